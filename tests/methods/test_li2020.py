from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from helpers.steps import step, train
from pydantic import ValidationError
from safetensors.torch import load_file
from torch.nn import functional as F  # noqa: N812

from dfpg.core.errors import UserError
from dfpg.methods.base import Setting
from dfpg.methods.li2020 import (
    Box,
    Dictionary,
    Discriminator,
    Li2020,
    Li2020Options,
    Transfer,
    UpBlock,
    box,
    image_pyramid,
    random_trunk,
)
from dfpg.methods.weights import load_weights, save_weights
from dfpg.pretrained.vggface import PriorNetwork

SIDE = 32
OPTIONS: dict[str, Any] = {
    "objective": "native",
    "init": "identity",
    "output": "residual",
    "size": None,
    "width": 8,
    "atoms": 5,
    "dictionary_steps": 2,
    "components": {
        "left_eye": [0.354, 0.468, 0.179],
        "right_eye": [0.644, 0.469, 0.179],
        "nose": [0.497, 0.643, 0.112],
        "mouth": [0.5, 0.762, 0.246],
    },
    "discriminator_width": 8,
    "lambda_pixel": 100.0,
    "lambda_perceptual": [0.5, 1.0, 2.0, 4.0],
    "lambda_adversarial": [1.0, 1.0],
}


class Pair:
    def __init__(self, count: int = 4) -> None:
        noise = torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(5))
        self.sharp = F.interpolate(noise, size=SIDE, mode="bilinear").clamp(-1, 1)
        self.blurred = F.avg_pool2d(F.pad(self.sharp, (3, 3, 3, 3), mode="reflect"), 7, 1)


@pytest.fixture(scope="module")
def trunk() -> PriorNetwork:
    return random_trunk(1)


@pytest.fixture
def make(trunk: PriorNetwork) -> Callable[..., Li2020]:
    def build(inference: bool = False, side: int = SIDE, **changes: Any) -> Li2020:
        setting = Setting(side, 0, None if inference else trunk, (), "canonical")
        torch.manual_seed(0)
        return Li2020("li2020", Li2020Options(**(OPTIONS | changes)), setting)

    return build


Make = Callable[..., Li2020]


def test_boxes_are_centred_on_their_place_and_stay_inside() -> None:
    assert box([0.5, 0.25, 0.25], 32) == Box(top=4, left=12, side=8)
    assert box([0.99, 0.01, 0.25], 32) == Box(top=0, left=24, side=8)
    assert box([0.5, 0.5, 0.01], 4).side == 2
    feature = torch.arange(36.0).view(1, 1, 6, 6)
    assert Box(1, 2, 2).crop(feature).flatten().tolist() == [8, 9, 14, 15]


def test_kmeans_fills_its_atoms_first_and_then_keeps_the_mean_of_what_each_got() -> None:
    dictionary = Dictionary(2, 1, 1)
    dictionary.learn(torch.tensor([0.0, 10.0, 2.0]).view(3, 1, 1, 1))
    dictionary.learn(torch.tensor([1.0, 14.0]).view(2, 1, 1, 1))
    assert dictionary.atoms.flatten().tolist() == [1.0, 12.0]
    assert dictionary.counts.tolist() == [3, 2]


def test_kmeans_finds_separate_clusters() -> None:
    stream = torch.Generator().manual_seed(0)
    centres = 20 * torch.randn(3, 4, 2, 2, generator=stream)
    dictionary = Dictionary(3, 4, 2)
    for _ in range(40):
        dictionary.learn(centres + torch.randn(3, 4, 2, 2, generator=stream))
    torch.testing.assert_close(dictionary.atoms, centres, atol=0.6, rtol=0)


def test_match_equals_adain_and_inner_product_written_out() -> None:
    stream = torch.Generator().manual_seed(0)
    atoms, regions = (torch.randn(n, 6, 3, 3, generator=stream) for n in (7, 4))
    dictionary = Dictionary(9, 6, 3)  # two atoms are never filled
    dictionary.learn(atoms)
    for region, found in zip(regions, dictionary.match(regions), strict=True):
        mean, deviation = (
            f(region.flatten(1), dim=1)[:, None, None]
            for f in (torch.mean, lambda x, dim: x.std(dim, correction=0))
        )
        adapted = [
            (a - a.mean((1, 2), keepdim=True))
            / a.std((1, 2), keepdim=True, correction=0)
            * deviation
            + mean
            for a in atoms
        ]
        best = max(adapted, key=lambda a: float((a * region).sum()))
        torch.testing.assert_close(found, best, atol=1e-3, rtol=1e-3)


def test_a_match_depends_on_the_pattern_not_on_its_brightness_or_contrast() -> None:
    dictionary = Dictionary(4, 6, 3)
    dictionary.learn(torch.randn(4, 6, 3, 3, generator=torch.Generator().manual_seed(0)))
    region = 5 * dictionary.atoms[2:3] + 3
    torch.testing.assert_close(dictionary.match(region), region, atol=1e-2, rtol=1e-3)


def test_transfer_leaves_all_but_the_components_as_it_is() -> None:
    transfer = Transfer([Box(1, 1, 2), Box(4, 3, 3)], 4, 3, 8)
    feature = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    transfer.learn(feature)
    changed = (transfer(feature) != feature).any(dim=1).any(dim=0)
    inside = torch.zeros(8, 8, dtype=torch.bool)
    inside[1:3, 1:3] = inside[4:7, 3:6] = True
    assert torch.equal(changed, inside)


def test_transfer_adds_the_match_times_an_unbounded_attention() -> None:
    place = Box(2, 1, 3)
    transfer = Transfer([place], 4, 3, 8)
    feature = 9 * torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    transfer.learn(feature)
    region = place.crop(feature)
    match = transfer.dictionaries[0].match(region)
    first, _, last = transfer.attention[0]
    attention = last(F.leaky_relu(first(match - region), 0.2))
    torch.testing.assert_close(place.crop(transfer(feature)), region + match * attention)
    assert attention.min() < 0 or attention.max() > 1


def test_up_block_scales_without_one_and_shifts_between_0_and_1() -> None:
    torch.manual_seed(0)
    block, x, condition = UpBlock(6, 4, 5), torch.randn(1, 6, 3, 3), torch.randn(1, 5, 3, 3)
    given = []
    block.up.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    block(x, condition)
    shift = 1 / (1 + torch.exp(-block.shift(condition)))
    expected = block.body(x) * block.scale(condition) + shift
    expected = F.interpolate(expected, scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(given[0], expected)


def test_dilated_convolutions_see_the_feature_before_the_dictionaries_complete_it(
    make: Make,
) -> None:
    generator = make().networks["generator"]
    seen, completed = [], []
    generator.middle.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    generator.transfers[-1].register_forward_hook(lambda *hook: completed.append(hook[-1]))
    blurred = Pair().blurred
    generator(blurred)
    truth = generator.features(blurred)[-1]
    torch.testing.assert_close(seen[0], truth)
    assert completed[0].shape == truth.shape


def test_every_convolution_of_the_attention_has_a_spectral_norm(make: Make) -> None:
    for transfer in make().networks["generator"].transfers:
        convolutions = [m for m in transfer.modules() if isinstance(m, torch.nn.Conv2d)]
        assert len(convolutions) == 2 * 4
        assert all(hasattr(m, "parametrizations") for m in convolutions)


def test_dictionaries_learn_for_the_stated_steps_only(make: Make) -> None:
    method = make().train()
    dictionary = method.networks["generator"].transfers[0].dictionaries[0]
    totals = []
    for _ in range(3):
        list(method.phases(Pair()))
        totals.append(int(dictionary.counts.sum()))
    assert totals == [4, 8, 8]


def test_the_encoder_is_the_prior_network_itself_and_never_trained(
    make: Make, trunk: PriorNetwork
) -> None:
    method, before = make().train(), trunk.state()
    assert method.networks["generator"].trunk is trunk
    step(method, Pair(), method.optimisers(1e-2, 1e-2))
    assert all(torch.equal(value, before[key]) for key, value in trunk.state().items())


def test_weights_bring_their_dictionaries_and_name_their_encoder(
    make: Make, trunk: PriorNetwork, tmp_path: Path
) -> None:
    method, path = make().train(), tmp_path / "w.safetensors"
    step(method, Pair(), method.optimisers(1e-2, 1e-2))
    save_weights(path, method, 1)
    assert not [name for name in load_file(path) if name.startswith("trunk")]
    other = make(inference=True)
    assert set(other.networks) == {"generator"}
    with pytest.raises(UserError, match="another prior network"):
        load_weights(path, other)
    cast(Any, other.networks["generator"]).attach(trunk)
    load_weights(path, other)
    load_weights(tmp_path / "w.safetensors", method)  # as they are stored
    assert torch.equal(other.restore(Pair().blurred), method.restore(Pair().blurred))


def test_identity_start_returns_its_input_and_released_does_not(make: Make) -> None:
    blurred = Pair().blurred
    assert (make().restore(blurred) - blurred).abs().max() < 1e-5
    released = make(init="released", output="tanh").restore(blurred)
    assert (released - blurred).abs().max() > 0.1


def test_training_improves_on_its_input(make: Make) -> None:
    method, batch = make(objective="l1").train(), Pair(2)
    train(method, batch, method.optimisers(3e-3, 1e-4), 16)
    before, after = (
        (x - batch.sharp).square().mean() for x in (batch.blurred, method.restore(batch.blurred))
    )
    assert 10 * torch.log10(before / after) > 0.3  # dB


def test_plain_l1_is_the_distance_of_output_and_sharp_picture(make: Make) -> None:
    batch = Pair()
    (phase,) = make(objective="l1").phases(batch)
    torch.testing.assert_close(phase.loss, (batch.blurred - batch.sharp).abs().mean())


def test_each_discriminator_sees_half_the_size_of_the_one_before() -> None:
    discriminators = torch.nn.ModuleList(Discriminator(4) for _ in range(3))
    pictures = image_pyramid(torch.rand(1, 3, 32, 32), discriminators)
    assert [p.shape[-1] for p in pictures] == [32, 16, 8]
    logits = [
        discriminator(p).shape[-1]
        for discriminator, p in zip(discriminators, pictures, strict=True)
    ]
    assert logits == [4, 2, 1]


def test_pictures_of_any_size_are_worked_on_at_the_networks_size(make: Make) -> None:
    method = make(side=20, size=32)
    assert method.restore(torch.zeros(1, 3, 20, 31)).shape == (1, 3, 20, 31)
    with pytest.raises(UserError, match="20 px is no multiple of 16"):
        make(side=20)


def test_official_weights_are_refused_in_one_line(make: Make) -> None:
    with pytest.raises(
        UserError, match=r"net.pth: no file of DFDNet's released weights is accepted"
    ) as error:
        make().load_official(Path("net.pth"))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "change",
    [{"widht": 8}, {"output": "tanh"}, {"components": {"nose": [0.5]}}, {"lambda_perceptual": [1]}],
)
def test_bad_options_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(change))):
        Li2020Options(**(OPTIONS | change))
