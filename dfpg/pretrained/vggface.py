"""The prior network P: VGG-16 with VGGFace's weights, or a surrogate that takes the same input.

A VGGFace file of the user's is read in one of these layouts, as a PyTorch file (tensors only,
nothing in it is executed) or as safetensors:

* ``features.N.weight``: torchvision's names, alone or under the key ``state_dict``
  (``VGGFace16.pth`` of Lu et al. 2019 and Lee et al. 2020);
* ``conv_1_1.weight``: the Torch7 release converted to PyTorch;
* ``conv1_1.weight``: ``vgg_face_dag``, converted from MatConvNet. It takes RGB where the others
  take BGR, so the input channels of its first convolution are swapped.

Names may be prefixed ``module.``. Fully connected layers are ignored, but if the last one is there
it must have VGGFace's 2,622 outputs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from dfpg.core.checked import DamagedError, read_facts
from dfpg.core.config import Prior
from dfpg.core.errors import UserError
from dfpg.core.files import read_json

BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
MEAN_BGR = (93.5940, 104.7624, 129.1863)  # VGGFace's training mean: blue, green, red
IDENTITIES = 2622  # outputs of VGGFace
WEIGHTS = "vgg16.safetensors"
CARD = "card.json"
TAPS = {
    "paper": ("relu1_2", "relu2_2", "relu3_3"),  # paper section 4.1
    # An in-place ReLU after the first two splits overwrites them; the third stays before its ReLU.
    "released": ("relu1_2", "relu2_2", "conv3_3"),
}
LAYOUTS = "features.N.weight (torchvision), conv_1_1.weight (Torch7) or conv1_1.weight (dag)"

PriorInput = Literal["canonical", "authors"]
State = dict[str, Tensor]


def _layer_names() -> tuple[str, ...]:
    names: list[str] = []
    for block, widths in enumerate(BLOCKS, start=1):
        for number in range(1, len(widths) + 1):
            names += [f"conv{block}_{number}", f"relu{block}_{number}"]
        names.append(f"pool{block}")
    return tuple(names)


LAYERS = _layer_names()  # position = index in torchvision's `features`, 0...30


def _shapes() -> dict[str, tuple[int, ...]]:
    widths = iter([width for block in BLOCKS for width in block])
    shapes: dict[str, tuple[int, ...]] = {}
    inputs = 3
    for index, name in enumerate(LAYERS):
        if name.startswith("conv"):
            outputs = next(widths)
            shapes[f"features.{index}.weight"] = (outputs, inputs, 3, 3)
            shapes[f"features.{index}.bias"] = (outputs,)
            inputs = outputs
    return shapes


SHAPES = _shapes()  # state of the trunk: 13 weights [out, in, 3, 3] and 13 biases [out]


def to_canonical(images: Tensor) -> Tensor:
    """VGGFace's own input: RGB [N, 3, H, W] in [-1, 1] to BGR in 0-255 minus the training mean."""
    mean = images.new_tensor(MEAN_BGR).view(1, 3, 1, 1)
    return (images.flip(1) + 1) * 127.5 - mean


class PriorNetwork(nn.Module):
    """Convolutions of VGG-16 (Simonyan and Zisserman 2015), frozen.

    Gradients reach the input images, never the weights. Layers are named ``conv1_1``, ``relu1_1``,
    ..., ``pool5``.

    Args:
        state: weights and biases of the 13 convolutions, keys and shapes as in ``SHAPES``; half
            precision is taken as float32.
    """

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.layers = nn.Sequential()
        for index, name in enumerate(LAYERS):
            if name.startswith("conv"):
                outputs, inputs = SHAPES[f"features.{index}.weight"][:2]
                # On "meta" nothing is initialised: that would draw from the global stream.
                conv = nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, device="meta")
                self.layers.append(conv)
            else:
                self.layers.append(nn.ReLU() if name.startswith("relu") else nn.MaxPool2d(2))
        own = {
            key.removeprefix("features."): value.float().clone(memory_format=_format(value))
            for key, value in state.items()
        }
        self.layers.load_state_dict(own, assign=True)
        self.requires_grad_(False)
        self.eval()

    def features(
        self, images: Tensor, taps: Sequence[str], input: PriorInput = "canonical"
    ) -> list[Tensor]:
        """Features of images at the layers ``taps``, in the order of ``taps``.

        Args:
            images: RGB float [N, 3, H, W] in [-1, 1].
            taps: layer names, e.g. ``TAPS["paper"]``.
            input: "canonical" converts with :func:`to_canonical`; "authors" feeds the images as
                they are, like the laboratory's released training code.

        Returns:
            One tensor [N, C, h, w] per tap; nothing after the deepest tap is computed.
        """
        return self.raw_features(to_canonical(images) if input == "canonical" else images, taps)

    def state(self) -> State:
        """Copy of weights and biases on the CPU, keys as in ``SHAPES``."""
        trunk = self.layers.state_dict()
        return {
            f"features.{key}": value.detach().cpu().contiguous().clone()
            for key, value in trunk.items()
        }

    def raw_features(self, values: Tensor, taps: Sequence[str]) -> list[Tensor]:
        """As :meth:`features`, for values [N, 3, H, W] fed as they are.

        Raises:
            ValueError: a tap is no layer of VGG-16.
        """
        unknown = set(taps) - set(LAYERS)
        if unknown:
            raise ValueError(f"no layer {sorted(unknown)[0]!r} in VGG-16")
        found: dict[str, Tensor] = {}
        deepest = max(LAYERS.index(tap) for tap in taps)
        for name, layer in zip(LAYERS[: deepest + 1], self.layers, strict=False):
            values = layer(values)
            if name in taps:
                found[name] = values
        return [found[tap] for tap in taps]


def prior_taps(prior: Prior) -> tuple[str, str, str]:
    """Layers of P_1, P_2, P_3 for ``prior.taps``."""
    return TAPS[prior.taps]


def load_prior(folder: Path) -> PriorNetwork:
    """The prior network that the ``priors`` stage wrote to ``folder``.

    Raises:
        UserError: the stage has not run, or its file is damaged.
    """
    path = folder / WEIGHTS
    if not path.is_file():
        raise UserError(f"{path}: missing; run `dvc repro priors`")
    try:
        read_facts(path)
    except DamagedError as error:
        raise UserError(f"{path}: damaged ({error}); run `dvc repro -f priors`") from error
    return PriorNetwork(load_trunk(path))


def load_trunk(path: Path) -> State:
    """Trunk stored under torchvision's names, as this suite's own files are; checked.

    Raises:
        UserError: the file is damaged or holds something else.
    """
    state = _read(path)
    _check(path, state)
    return {key: state[key] for key in SHAPES}


def read_card(folder: Path) -> dict[str, Any]:
    """What the ``priors`` stage recorded: network, its source and hash, verification AUC.

    Raises:
        UserError: the stage has not run, or its file is damaged.
    """
    path = folder / CARD
    try:
        card = read_json(path)
    except FileNotFoundError as error:
        raise UserError(f"{path}: missing; run `dvc repro priors`") from error
    except ValueError as error:
        raise UserError(f"{path}: damaged; run `dvc repro -f priors`") from error
    if not isinstance(card, dict):
        raise UserError(f"{path}: damaged; run `dvc repro -f priors`")
    return card


def read_vggface(path: Path) -> State:
    """Trunk of a VGGFace file, float32, torchvision names; layouts: this module's description.

    Raises:
        UserError: no such file, not a weights file, another layout, wrong shapes, or not VGGFace.
    """
    raw = _read(path)
    if isinstance(raw.get("state_dict"), Mapping):
        raw = raw["state_dict"]
    named = {str(key).removeprefix("module."): value for key, value in raw.items()}
    for last in ("classifier.6.bias", "fc8.bias"):
        if isinstance(named.get(last), Tensor) and named[last].shape != (IDENTITIES,):
            raise UserError(
                f"{path}: {last} has {len(named[last])} outputs, VGGFace has {IDENTITIES}: "
                "give a VGGFace file, or set prior.vggface to null for the surrogate"
            )
    state: dict[str, Any] = {}
    for index, layer in enumerate(LAYERS):
        if layer.startswith("conv"):
            spellings = (f"features.{index}", layer.replace("conv", "conv_"), layer)
            for kind in ("weight", "bias"):
                for spelling in spellings:
                    if f"{spelling}.{kind}" in named:
                        state[f"features.{index}.{kind}"] = named[f"{spelling}.{kind}"]
    if not state:
        found = ", ".join(sorted(named)[:3]) or "nothing"
        raise UserError(f"{path}: found {found}; accepted VGGFace layouts: {LAYOUTS}")
    _check(path, state)
    if "conv1_1.weight" in named:
        state["features.0.weight"] = state["features.0.weight"].flip(1)
    return {key: value.detach().float().contiguous() for key, value in state.items()}


def _read(path: Path) -> dict[Any, Any]:
    """Mapping in a safetensors or PyTorch file; only tensors and plain values are admitted."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; correct prior.vggface, or set it to null")
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        raw = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a parser of foreign bytes may fail in any way
        raise UserError(
            f"{path}: damaged, or not a plain PyTorch or safetensors weights file "
            f"({_first_words(error)}); accepted VGGFace layouts: {LAYOUTS}"
        ) from error
    if not isinstance(raw, Mapping):
        found = type(raw).__name__
        raise UserError(f"{path}: found a {found}; accepted VGGFace layouts: {LAYOUTS}")
    return dict(raw)


def _format(value: Tensor) -> torch.memory_format:
    return torch.channels_last if value.ndim == 4 else torch.contiguous_format


def _check(path: Path, state: Mapping[str, Any]) -> None:
    for key, shape in SHAPES.items():
        value = state.get(key)
        layer = LAYERS[int(re.findall(r"\d+", key)[0])]
        if not isinstance(value, Tensor):
            raise UserError(f"{path}: no {layer} {key}; accepted VGGFace layouts: {LAYOUTS}")
        if tuple(value.shape) != shape:
            raise UserError(
                f"{path}: {layer} {key} has shape {tuple(value.shape)}, VGG-16 has {shape}; "
                f"accepted VGGFace layouts: {LAYOUTS}"
            )
        if not bool(torch.isfinite(value).all()):
            raise UserError(f"{path}: {layer} {key} holds NaN or infinity: replace the file")


def _first_words(error: Exception) -> str:
    return " ".join(str(error).split())[:80] or type(error).__name__
