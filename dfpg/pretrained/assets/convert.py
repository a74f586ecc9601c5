"""From the members of a foreign archive to the files that this project keeps."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfpg.core.errors import UserError
from dfpg.pretrained.assets.archives import load_numpy_pickle, load_torch_module

Members = Mapping[str, bytes]

# Index of each convolution in torchvision's `features`.
ALEXNET_CONVOLUTIONS = (0, 3, 6, 8, 10)
VGG16_CONVOLUTIONS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
LPIPS_HEADS = 5


def sole_member(members: Members) -> bytes:
    """The one member as it is."""
    (data,) = members.values()
    return data


def _safetensors(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    from safetensors.numpy import save

    return save({name: np.ascontiguousarray(value) for name, value in arrays.items()})


def _trunk(tree: Any, name: str, convolutions: tuple[int, ...]) -> dict[str, NDArray[Any]]:
    arrays = {}
    for order, index in enumerate(convolutions):
        layer = tree[name][f"Conv_{order}"]
        arrays[f"features.{index}.weight"] = layer["kernel"].transpose(3, 2, 0, 1)  # HWIO to OIHW
        arrays[f"features.{index}.bias"] = layer["bias"]
    return arrays


def _heads(tree: Any) -> dict[str, NDArray[Any]]:
    return {
        f"lin{index}.weight": tree[f"NetLinLayer_{index}"]["Conv_0"]["kernel"].transpose(3, 2, 0, 1)
        for index in range(LPIPS_HEADS)
    }


def lpips_alex(members: Members) -> bytes:
    """Trunk ``features.I.weight|bias`` and heads ``lin0.weight`` ... ``lin4.weight``."""
    tree = load_numpy_pickle(sole_member(members))
    return _safetensors(_trunk(tree, "AlexNet_0", ALEXNET_CONVOLUTIONS) | _heads(tree))


def lpips_vgg(members: Members) -> bytes:
    """Trunk ``features.I.weight|bias`` and heads ``lin0.weight`` ... ``lin4.weight``."""
    tree = load_numpy_pickle(sole_member(members))
    return _safetensors(_trunk(tree, "VGG16_0", VGG16_CONVOLUTIONS) | _heads(tree))


def vgg16_imagenet(members: Members) -> bytes:
    """The 13 convolutions of VGG-16, named as in torchvision: ``features.I.weight|bias``."""
    return _safetensors(
        _trunk(load_numpy_pickle(sole_member(members)), "VGG16_0", VGG16_CONVOLUTIONS)
    )


def mobilefacenet(members: Members) -> bytes:
    """ONNX file of :mod:`dfpg.pretrained.mobilefacenet`."""
    from dfpg.pretrained.mobilefacenet import write_onnx

    arrays = load_torch_module(sole_member(members))
    return write_onnx({name.removeprefix("module."): value for name, value in arrays.items()})


def bisenet(members: Members) -> bytes:
    """State dict of BiSeNet with its own names, without the batch counters."""
    import pickle

    import torch

    try:
        state = torch.load(io.BytesIO(sole_member(members)), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError) as error:
        raise UserError(f"BiSeNet's weight file cannot be read safely ({error})") from error
    return _safetensors(
        {name: value.numpy() for name, value in state.items() if value.is_floating_point()}
    )
