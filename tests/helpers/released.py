"""Files in the layouts in which authors released their weights, made from our own networks.

Each method's rules are inverted: our tensors get their authors' names and axes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.io import savemat
from torch import Tensor, nn

from dfpg.core.profile import resolve_profile
from dfpg.methods import dfpgnet, lee2020, lu2019, nafnet, restormer, shen2018, xia2019, yasarla2020
from dfpg.methods.base import Method, Setting
from dfpg.methods.official import CONVOLUTION, Rule, rename_tensor
from dfpg.methods.registry import method_class
from dfpg.methods.zhang2019 import DECODER_LAYERS, ENCODER_LAYERS, names

State = dict[str, Tensor]
Edit = Callable[[State], None]


def released_state(
    network: nn.Module,
    rules: Sequence[Rule],
    axes: Callable[[str], Sequence[int] | None] = lambda _: None,
    without: Collection[str] = (),
) -> State:
    """A network's tensors under their authors' names and with their axes."""
    state = {}
    for ours, value in network.state_dict().items():
        if ours in without:
            continue
        theirs = rename_tensor(ours, rules)
        order = axes(theirs)
        state[theirs] = value if order is None else value.permute(*np.argsort(order).tolist())
    return state


def dmphn_files(folder: Path, generator: Any) -> None:
    """Write a generator of zhang2019 as DMPHN's six files."""
    for part, layers in (("encoder", ENCODER_LAYERS), ("decoder", DECODER_LAYERS)):
        for level, network in enumerate(getattr(generator, part + "s"), start=1):
            torch.save(released_state(network, names(layers)), folder / f"{part}_lv{level}.pkl")


def _one_file(rules: Sequence[Rule], wrapper: str | None) -> Callable[[Path, Any, Edit], Path]:
    def write(folder: Path, generator: nn.Module, edit: Edit) -> Path:
        state = released_state(generator, rules)
        edit(state)
        path = folder / "weights.pth"
        torch.save(state if wrapper is None else {wrapper: state}, path)
        return path

    return write


def _umsn(folder: Path, generator: Any, edit: Edit) -> Path:
    inner = {f"segmentation.{name}" for name in generator.segmentation.state_dict()}
    deblurring = released_state(
        generator, yasarla2020.DEBLURRING_NAMES, yasarla2020.deblurring_axes, {"steps", *inner}
    )
    for unused in ("conv1010.bias", "deblur_class2.conv1040.weight", "conf_ker.conv4.bn.weight"):
        deblurring[unused] = torch.zeros(1)
    deblurring["deblur_class4.trans_block6.conv2.weight"] = torch.zeros(4, 4, 3, 3)
    segmentation = released_state(
        generator.segmentation, yasarla2020.SEGMENTATION_NAMES, yasarla2020.segmentation_axes
    )
    for unused in ("dense_block2.sharewconv1.weight", "refineclean1.bias", "batchnorm20.weight"):
        segmentation[unused] = torch.zeros(1)
    edit(deblurring)
    deblurring = {f"module.{name}": value for name, value in deblurring.items()}
    torch.save(deblurring, folder / yasarla2020.DEBLURRING)
    torch.save(segmentation, folder / yasarla2020.SEGMENTATION)
    return folder


def _uid_gan(folder: Path, generator: nn.Module, edit: Edit) -> Path:
    state = released_state(generator, lu2019.NAMES)
    for name in [n for n in state if n.startswith(("gen.decA2.0.model.1", "gen.decB3.0.model.1"))]:
        state[name] = state[name][:, None, None]  # the released class's layer normalisation
    edit(state)
    parts: dict[str, Any] = {"ep": 3, "disA": {"Diss.0.0.model.1.bias": torch.zeros(4)}}
    for part in lu2019.PARTS:
        own = {n.removeprefix(f"{part}."): v for n, v in state.items() if n.startswith(f"{part}.")}
        parts[part] = own
    torch.save(parts, folder / "00079.pth")
    return folder / "00079.pth"


def _xia(folder: Path, generator: Any, edit: Edit) -> Path:
    counters = [n for n in generator.state_dict() if n.endswith("num_batches_tracked")]
    state = released_state(
        generator,
        xia2019.names(generator),
        lambda name: CONVOLUTION if name.endswith("_w") else None,
        counters,
    )
    state = {n: v.flatten() if n.endswith("_b") else v for n, v in state.items()}
    edit(state)
    arrays: Mapping[str, Any] = {name: value.numpy() for name, value in state.items()}
    np.savez(folder / "iter_190000.model.npz", **arrays)
    return folder / "iter_190000.model.npz"


def _shen(folder: Path, generator: Any, edit: Edit) -> Path:
    moments = [n for n in generator.state_dict() if "running_" in n or "tracked" in n]
    state = released_state(
        generator,
        shen2018.NAMES,
        lambda name: CONVOLUTION if name.endswith(("w", "upw")) and ".bw" not in name else None,
        ["steps", *moments],
    )
    edit(state)
    for file, net, count in zip(shen2018.PAIRS[0], ("net_G", "net_P"), (33, 12), strict=True):
        layers = np.zeros((1, count), dtype=[(name, object) for name in shen2018.FIELDS])
        for number in range(count):
            for name in shen2018.FIELDS:
                value = state.get(f"{net}({number + 1}).{name}")
                array = np.zeros((0, 0)) if value is None else value.numpy()
                layers[0, number][name] = array[:, None] if array.ndim == 1 else array
        savemat(folder / file, {net: layers})
    return folder


@dataclass(frozen=True)
class Release:
    """How one method's published files are imitated.

    Attributes:
        write: the files from a generator into a folder; returns what a user would name. ``edit``
            changes the tensors before.
        options: changes of the smoke profile's block that the files need.
        tensor: the authors' name of one tensor in them.
        shape: of that tensor in the files, at these options.
        fits: what ``official_options`` finds, where it is not ``options``.
        side: of images, px.
    """

    write: Callable[[Path, Any, Edit], Path]
    options: dict[str, Any]
    tensor: str
    shape: list[int]
    fits: dict[str, Any] = field(default_factory=dict)
    side: int = 32


_PLAIN = {"init": "released", "output": "tanh"}
RELEASES: dict[str, Release] = {
    "dfpgnet": Release(
        _one_file(dfpgnet.NAMES, None),
        {"variant": "b6", "width": 64, "blocks": 1, "prior_blocks": 2, **_PLAIN},
        "vggf2.1.main.1.blocks.3.channel_attention.0.weight",
        [8, 128, 1, 1],
        side=16,
    ),
    "lee2020": Release(
        _one_file(lee2020.NAMES, "state_dict"),
        {"width": 16, "blocks": 1, "middle_blocks": 2, **_PLAIN},
        "net2.middle.1.blocks.2.bias",
        [16],
    ),
    "lu2019": Release(
        _uid_gan, {"width": 8, "latent": 8}, "gen.decA3.0.model.0.weight", [32, 16, 3, 3]
    ),
    "nafnet": Release(
        _one_file(nafnet.NAMES, "params"),
        {
            "width": 8,
            "encoder_blocks": [1, 2, 1, 1],
            "middle_blocks": 2,
            "decoder_blocks": [1, 1, 1, 2],
            "pixels": "unit",
        },
        "encoders.1.1.sca.1.weight",
        [16, 16, 1, 1],
    ),
    "restormer": Release(
        _one_file(restormer.NAMES, "params_ema"),
        {
            "width": 8,
            "blocks": [1, 2, 1, 1],
            "refinement_blocks": 2,
            "heads": [1, 2, 4, 8],
            "expansion": 2.66,
            "pixels": "unit",
        },
        "decoder_level2.1.attn.qkv_dwconv.weight",
        [48, 1, 3, 3],
        {"expansion": 2.66},
    ),
    "shen2018": Release(
        _shen,
        {
            "width": 8,
            "parsing_width": [4, 6, 8, 10, 12, 14],
            "parsing_up": "behind",
            "parsing_statistics": "image",
            "pixels": "released",
            "output": "image",
        },
        "net_G(20).w",
        [5, 5, 8, 8],
    ),
    "xia2019": Release(
        _xia,
        {"width": 4, "variant": "blind", "init": "released"},
        "dconv_2_w",
        [4, 4, 16, 64],
    ),
    "yasarla2020": Release(
        _umsn,
        {
            "width": 16,
            "segmentation_width": 12,
            "segmentation_statistics": "image",
            **_PLAIN,
        },
        "trans_block2.conv1.weight",
        [35, 16, 1, 1],
    ),
}


def method_of(name: str, seed: int = 0, **changes: Any) -> Method:
    """A method of ``RELEASES`` as its files need it; ``changes`` of its options."""
    release, method = RELEASES[name], method_class(name)
    options = resolve_profile("smoke")[0].methods[name] | release.options | changes
    setting = Setting(release.side, seed, None, (), "canonical")
    return method(name, method.Options.model_validate(options), setting)


def random_method(name: str, seed: int = 0, **changes: Any) -> Method:
    """The same with random values in every tensor, so that none is where it started."""
    method = method_of(name, **changes)
    stream = torch.Generator().manual_seed(seed + 1)
    for ours, value in method.networks["generator"].state_dict().items():
        if value.is_floating_point():
            spread = 0.1 if value.ndim < 4 else 0.5 * value[0].numel() ** -0.5
            new = spread * torch.randn(value.shape, generator=stream)
            value.copy_(new.abs() + 0.5 if "running_var" in ours else new)
    return method
