from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.places import SHARED
from helpers.released import dmphn_files
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.flop_counter import FlopCounterMode

from dfpg.core.errors import UserError
from dfpg.data.blur.degrade import blur
from dfpg.data.faces.dataset import load_faces
from dfpg.methods.base import Setting
from dfpg.methods.zhang2019 import (
    Generator,
    Residual,
    Zhang2019,
    Zhang2019Options,
)

OFFICIAL = SHARED / "weights" / "dmphn_gopro"
OPTIONS: dict[str, Any] = {"width": 12, "objective": "native", "init": "identity"}


def make(**changes: Any) -> Zhang2019:
    setting = Setting(32, 0, None, (), "canonical")
    return Zhang2019("zhang2019", Zhang2019Options(**(OPTIONS | changes)), setting)


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_parts_have_the_published_sizes_and_cost() -> None:
    generator = make(width=32, init="released").networks["generator"]
    assert [parameters(part) for part in generator.encoders] == [868_288] * 3
    assert [parameters(part) for part in generator.decoders] == [939_843] * 3
    with FlopCounterMode(display=False) as counter:
        generator.to("meta")(torch.empty(1, 3, 128, 128, device="meta"))
    assert counter.get_total_flops() / 2e9 == pytest.approx(12.2, abs=0.05)


def test_hierarchy_is_that_of_the_released_code_patch_by_patch() -> None:
    """The flow written out for single patches, in image - 0.5 of [0, 1]."""
    generator = make(init="released").networks["generator"]
    x = torch.rand(2, 3, 24, 40, generator=torch.Generator().manual_seed(1)) * 2 - 1
    image = (x + 1) / 2 - 0.5
    (e1, e2, e3), (d1, d2, d3) = generator.encoders, generator.decoders
    features, inputs = [], []
    for rows in (slice(0, 12), slice(12, 24)):
        left, right = e3(image[:, :, rows, :20]), e3(image[:, :, rows, 20:])
        f3 = torch.cat([left, right], dim=3)
        inputs.append(image[:, :, rows] + d3(f3))
        features.append(e2(inputs[-1]) + f3)
    f2 = torch.cat(features, dim=2)
    f1 = e1(image + d2(f2)) + f2
    expected = (d1(f1) + 0.5) * 2 - 1
    torch.testing.assert_close(generator(x), expected)


@pytest.mark.parametrize("width", [12, 16])
@pytest.mark.parametrize("size", [(32, 32), (40, 24)])
def test_identity_start_returns_its_input_at_any_size(width: int, size: tuple[int, int]) -> None:
    x = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(2)) * 2 - 1
    assert (make(width=width).restore(x) - x).abs().max() < 1e-5


def test_released_initialisation_has_its_spread_over_outputs() -> None:
    generator = make(width=32, init="released").networks["generator"]
    for weight, outputs, taps in (
        (generator.encoders[0][6].weight, 128, 9),
        (generator.decoders[2][2].weight, 64, 16),
    ):
        assert weight.std().item() == pytest.approx(0.5 * (2 / (taps * outputs)) ** 0.5, rel=0.02)
    assert not any(p.any() for name, p in generator.named_parameters() if name.endswith("bias"))


def test_native_loss_is_the_squared_error_of_images_in_unit_range(pair: Any) -> None:
    (phase,) = make().phases(pair)
    expected = ((pair.blurred + 1) / 2 - (pair.sharp + 1) / 2).square().mean()
    torch.testing.assert_close(phase.loss, expected)


def test_identity_start_needs_room_for_the_pixels() -> None:
    with pytest.raises(ValidationError, match="identity needs width 12"):
        Zhang2019Options(**(OPTIONS | {"width": 8}))
    assert make(width=8, init="released").options.width == 8


def test_residual_block_keeps_its_input_where_its_last_layer_is_zero() -> None:
    block, x = Residual(4), torch.randn(1, 4, 5, 5)
    nn.init.zeros_(block.body[2].weight)
    nn.init.zeros_(block.body[2].bias)
    assert torch.equal(block(x), x)


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Tensor, Tensor]:
    """A folder in the released layout, an input, and what its network makes of it."""
    folder = tmp_path_factory.mktemp("released")
    method = make(width=32, init="released")
    dmphn_files(folder, method.networks["generator"])
    x = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(3)) * 2 - 1
    return folder, x, method.restore(x)


def test_files_of_the_released_layout_load_into_their_places(
    released: tuple[Path, Tensor, Tensor],
) -> None:
    folder, x, expected = released
    method = make(width=32)
    assert not torch.equal(method.restore(x), expected)
    method.load_official(folder)
    assert torch.equal(method.restore(x), expected)


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("decoder_lv3", None, r"decoder_lv3.pkl: no such file; accepted: a folder with the"),
        ("encoder_lv2", b"not weights", r"encoder_lv2.pkl: damaged, or no PyTorch weights"),
        ("encoder_lv1", [1, 2], r"encoder_lv1.pkl: found a list, expected named tensors"),
        ("encoder_lv1", "decoder_lv1", r"no layer1.weight, wanted \[32, 3, 3, 3\]"),
        (
            "encoder_lv1",
            {"layer5.weight": torch.zeros(8, 32, 3, 3)},
            r"layer5.weight is \[8, 32, 3, 3\], wanted \[64, 32, 3, 3\]",
        ),
        ("decoder_lv2", {"layer24.bias": torch.full((3,), torch.nan)}, r"layer24.bias holds NaN"),
        ("encoder_lv3", {"layer99.bias": torch.zeros(3)}, r"layer99.bias \[3\] is unexpected"),
    ],
)
def test_wrong_files_are_refused_in_one_line_and_change_nothing(
    released: tuple[Path, Tensor, Tensor], tmp_path: Path, part: str, change: Any, message: str
) -> None:
    for file in released[0].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    path = tmp_path / f"{part}.pkl"
    if change is None:
        path.unlink()
    elif isinstance(change, bytes):
        path.write_bytes(change)
    elif isinstance(change, str):
        path.write_bytes((tmp_path / f"{change}.pkl").read_bytes())
    elif isinstance(change, dict):
        torch.save(torch.load(path, weights_only=True) | change, path)
    else:
        torch.save(change, path)
    network = (method := make(width=32)).networks["generator"]
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(UserError, match=message) as error:
        method.load_official(tmp_path)
    assert "\n" not in str(error.value)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path: Path) -> None:
    class Harmful:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "ran",)

    torch.save({"layer1.weight": Harmful()}, tmp_path / "encoder_lv1.pkl")
    with pytest.raises(UserError, match="damaged, or no PyTorch"):
        make(width=32).load_official(tmp_path)
    assert not (tmp_path / "ran").exists()


def test_another_width_is_refused_and_the_fitting_one_is_known(
    released: tuple[Path, Tensor, Tensor],
) -> None:
    with pytest.raises(UserError, match=r"layer1.weight is \[32, 3, 3, 3\], wanted \[12, 3"):
        make().load_official(released[0])
    assert Zhang2019.official_options(released[0]) == {"width": 32, "init": "released"}


@pytest.mark.skipif(
    not OFFICIAL.is_dir(), reason="needs the released GoPro weights under DFPG_SHARED"
)
def test_released_weights_deblur_a_face() -> None:
    method = make(width=32, init="released")
    method.load_official(OFFICIAL)
    pictures = torch.from_numpy(load_faces("embedded", "test").pictures[:2].copy())
    sharp = F.interpolate(pictures.permute(0, 3, 1, 2) / 127.5 - 1, size=160, mode="area")
    kernels = torch.zeros(2, 13, 13)
    kernels[0, 6, 2:11] = 1 / 9  # horizontal motion of 9 px
    kernels[1] = torch.eye(13) / 13  # diagonal
    blurred = blur(sharp, kernels)
    before, after = (
        -10 * torch.log10((x - sharp).square().mean(dim=(1, 2, 3)) / 4)
        for x in (blurred, method.restore(blurred))
    )
    assert (after - before).min() > 2  # dB


def test_generator_takes_channels_last_and_gives_the_same() -> None:
    generator: Generator = make(init="released").networks["generator"]  # type: ignore[assignment]
    x = torch.rand(1, 3, 16, 24, generator=torch.Generator().manual_seed(4))
    expected = generator(x)
    generator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    torch.testing.assert_close(
        generator(x.contiguous(memory_format=torch.channels_last)), expected, rtol=1e-4, atol=1e-6
    )
