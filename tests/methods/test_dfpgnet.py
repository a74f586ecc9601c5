from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from functools import cache
from typing import Any

import pytest
import torch
from helpers.steps import reached_parameters, step, train
from pydantic import ValidationError
from torch import Tensor, nn

from dfpg.core.profile import NAMES, resolve_profile
from dfpg.methods.base import Setting
from dfpg.methods.blocks import SFT, SSFT, ChannelAttention
from dfpg.methods.dfpgnet import (
    VARIANTS,
    DFPGNet,
    DFPGNetOptions,
    Variant,
)
from dfpg.methods.initialise import freeze

Make = Callable[..., DFPGNet]
LOSSES = {
    "b1": {"pixel"},
    "b2": {"pixel", "perceptual"},
    "b3": {"pixel", "prior"},
    "b4": {"pixel", "prior"},
    "b5": {"pixel", "prior", "adversarial"},
    "b6": {"pixel", "prior", "adversarial"},
    "b6_ca": {"pixel", "prior", "adversarial"},
    "b6_prior": {"pixel", "prior", "adversarial"},
}


@pytest.fixture
def two(pair: Any) -> Any:
    """Half of the images: enough where a discriminator of the paper's size is trained."""
    return replace(pair, sharp=pair.sharp[:2], blurred=pair.blurred[:2])


def test_decoder_takes_the_streams_own_feature_not_its_projection(make: Make, pair: Any) -> None:
    generator = make(inference=True, init="released").networks["generator"]
    before = generator(pair.blurred)
    with torch.no_grad():
        for layer in generator.project:
            layer.weight.mul_(2)
    after = generator(pair.blurred)
    assert torch.equal(before.image, after.image)
    torch.testing.assert_close(after.prior[1], 2 * before.prior[1])


def test_tanh_bounds_the_output(make: Make, pair: Any) -> None:
    network = make(inference=True, init="released", output="tanh").networks["generator"]
    with torch.no_grad():
        network.to_rgb.bias.fill_(2.0)
        assert network(100 * pair.blurred).image.abs().max() <= 1


def test_variants_are_the_rows_of_table_4() -> None:
    columns = ["perceptual", "prior_stream", "transforms", "discriminator", "weighted_prior"]
    assert [field.name for field in fields(Variant)] == columns
    assert VARIANTS["b2"] == replace(VARIANTS["b1"], perceptual=True)
    assert VARIANTS["b3"] == replace(VARIANTS["b1"], prior_stream=True)
    assert VARIANTS["b4"] == replace(VARIANTS["b3"], transforms=True)
    assert VARIANTS["b5"] == replace(VARIANTS["b4"], discriminator="plain")
    assert VARIANTS["b6"] == replace(VARIANTS["b5"], discriminator="attention", weighted_prior=True)
    assert VARIANTS["b6_ca"] == replace(VARIANTS["b5"], discriminator="attention")
    assert VARIANTS["b6_prior"] == replace(VARIANTS["b5"], weighted_prior=True)


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_differ_only_as_declared(make: Make, pair: Any, variant: str) -> None:
    method, full, flags = make(variant=variant), make(), VARIANTS[variant]
    modules = [type(m) for m in method.networks["generator"].modules()]
    assert (SFT in modules, SSFT in modules) == (flags.transforms, flags.transforms)
    own, reference = (m.networks["generator"].state_dict() for m in (method, full))
    shared = own.keys() & reference.keys()
    same = {name for name in shared if torch.equal(own[name], reference[name])}
    # B3 with "add" divides the last convolution; see Generator.start_as_identity.
    assert shared - same <= ({"to_rgb.weight"} if variant == "b3" else set())
    assert ("discriminator" in method.networks) == (flags.discriminator != "none")
    if flags.discriminator != "none":
        attention = [type(m) for m in method.networks["discriminator"].attention]
        attended = flags.discriminator == "attention"
        assert attention == [ChannelAttention if attended else nn.Identity] * 3
    *before, last = method.phases(pair)
    assert [phase.optimiser for phase in before] == list(method.networks)[1:]
    assert (last.optimiser, set(last.figures)) == ("generator", LOSSES[variant])


def test_total_loss_is_the_weighted_sum_of_equation_10(make: Make, pair: Any) -> None:
    *_, phase = make(lambda_prior=0.7, lambda_adversarial=0.3).phases(pair)
    parts = phase.figures
    expected = parts["pixel"] + 0.7 * parts["prior"] + 0.3 * parts["adversarial"]
    torch.testing.assert_close(phase.loss.detach(), expected)


def test_b6_weights_its_prior_loss_by_the_discriminators_attention(make: Make, pair: Any) -> None:
    values = {}
    for variant in ("b5", "b6"):
        *_, phase = make(variant=variant).phases(pair)
        values[variant] = phase.figures["prior"].item()
    assert values["b5"] != values["b6"]


def channel_weights(variant: str, make: Make, two: Any) -> tuple[Tensor, Tensor]:
    """The generator's prior and adversarial loss after the discriminator's attention changed."""
    method = make(variant=variant)
    changed = {"b6": "discriminator", "b6_ca": "discriminator"}.get(variant)
    own = method.networks[changed or "attention_discriminator"]
    with torch.no_grad():
        own.attention[0].excite.bias[0] += 5
    restored = method.networks["generator"](two.blurred)
    losses = method.generator_losses(two, restored, method.target_prior(two.sharp))
    return losses["prior"][1], losses["adversarial"][1]


def test_variants_between_b5_and_b6_have_attention_in_one_loss_each(make: Make, two: Any) -> None:
    @cache
    def plain(variant: str) -> tuple[Tensor, Tensor]:
        method = make(variant=variant)
        restored = method.networks["generator"](two.blurred)
        losses = method.generator_losses(two, restored, method.target_prior(two.sharp))
        return losses["prior"][1], losses["adversarial"][1]

    for variant, in_prior, in_adversarial in (
        ("b6", True, True),
        ("b6_ca", False, True),
        ("b6_prior", True, False),
    ):
        before, after = plain(variant), channel_weights(variant, make, two)
        changed = [not torch.equal(a, b) for a, b in zip(before, after, strict=True)]
        assert changed == [in_prior, in_adversarial]
    assert torch.equal(plain("b6_ca")[0], plain("b5")[0])
    assert torch.equal(plain("b6_prior")[1], plain("b5")[1])
    assert torch.equal(plain("b6_prior")[0], plain("b6")[0])  # equal attention at the start


def test_b6_prior_trains_its_second_discriminator_without_moving_the_first(
    make: Make, two: Any
) -> None:
    method, plain = make(variant="b6_prior").train(), make(variant="b5").train()
    for one in (method, plain):
        train(one, two, one.optimisers(0.0, 1e-3), 2)
    own, other = (m.networks["discriminator"].state_dict() for m in (method, plain))
    assert own.keys() == other.keys()
    assert all(torch.equal(own[name], other[name]) for name in own)
    fresh = make(variant="b6_prior").networks["attention_discriminator"].state_dict()
    trained = method.networks["attention_discriminator"].state_dict()
    weight = "attention.0.excite.weight"
    assert not torch.equal(fresh[weight], trained[weight])


def test_discriminator_input_is_free_of_a_factor(make: Make, pair: Any) -> None:
    method, raw = make(), make(discriminator_input="raw")
    levels = method.target_prior(pair.sharp)
    large = [7 * level for level in levels]
    for one, same in ((method, True), (raw, False)):
        discriminator = one.networks["discriminator"].eval()  # no power iteration between the two
        given = [discriminator(one.discriminator_input(x)) for x in (levels, large)]
        assert torch.allclose(*given, rtol=1e-4, atol=1e-5) is same
    rms = [level.square().mean(dim=(1, 2, 3)).sqrt() for level in method.discriminator_input(large)]
    torch.testing.assert_close(torch.stack(rms), torch.ones(3, 4))
    assert raw.discriminator_input(large) is large


@pytest.mark.parametrize("variant", ["b5", "b6"])
def test_scaled_prediction_changes_no_loss_of_the_same_scale(
    make: Make, two: Any, variant: str
) -> None:
    method = make(variant=variant, init="released", width=64, prior_scale="none").train(False)
    restored = method.networks["generator"](two.blurred)
    target = method.target_prior(two.sharp)
    one = method.generator_losses(two, restored, target)
    other = method.generator_losses(
        two, restored._replace(prior=[50 * p for p in restored.prior]), [3 * p for p in target]
    )
    for name in ("prior", "adversarial"):
        torch.testing.assert_close(one[name][1], other[name][1], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("variant", "terms", "compares"),
    [
        ("b3", {"pixel"}, False),
        ("b4", {"pixel"}, False),
        ("b5", {"pixel", "adversarial"}, True),
        ("b6", {"pixel", "adversarial", "prior"}, True),
        ("b6_ca", {"pixel", "adversarial"}, True),
    ],
)
def test_without_the_unweighted_prior_loss_only_the_weighted_one_is_left(
    make: Make, pair: Any, variant: str, terms: set[str], compares: bool
) -> None:
    method = make(variant=variant, unweighted_prior=False)
    *_, last = method.phases(pair)
    assert set(last.figures) == terms
    assert method.needs_prior(method.options) is compares


@pytest.mark.parametrize("offset", [0, 1])
def test_transforms_are_equations_1_and_2_with_or_without_the_released_codes_one(
    offset: int,
) -> None:
    feature, condition = torch.randn(2, 1, 4, 8, 8)
    for module, given in ((SSFT(4, offset), feature), (SFT(4, offset), condition)):
        inputs = (feature,) if isinstance(module, SSFT) else (feature, condition)
        expected = (module.scale(given) + offset) * feature + module.shift(given)
        torch.testing.assert_close(module(*inputs), expected)


@pytest.mark.parametrize(
    ("fusion", "width", "offset"), [("add", 8, 1), ("concat", 24, 1), ("add", 24, 0)]
)
@pytest.mark.parametrize("variant", VARIANTS)
def test_identity_start_returns_its_input(
    make: Make, pair: Any, variant: str, fusion: str, width: int, offset: int
) -> None:
    size = {"width": width, "blocks": 2, "prior_blocks": 3}
    method = make(inference=True, variant=variant, prior_fusion=fusion, scale_offset=offset, **size)
    assert (method.restore(pair.blurred) - pair.blurred).abs().max() < 1e-5


def test_released_start_does_not_return_its_input(make: Make, pair: Any) -> None:
    method = make(inference=True, init="released", output="tanh")
    assert (method.restore(pair.blurred) - pair.blurred).abs().mean() > 0.05


def test_released_initialisation_has_a_tenth_of_kaimings_spread(make: Make) -> None:
    method = make(init="released", width=32)
    weight = method.networks["generator"].en3.blocks[0].body[0].weight
    assert weight.std().item() == pytest.approx(0.1 * (2 / (128 * 9)) ** 0.5, rel=0.02)
    original = method.networks["discriminator"].head[0][0].parametrizations.weight.original
    assert original.std().item() == pytest.approx((2 / (256 * 16)) ** 0.5, rel=0.02)


# Each kind of generator and of discriminators is in one case that is not slow.
QUICK = {"identity": ("b1", "b3", "b5", "b6"), "released": ("b1", "b3", "b4", "b6_prior")}


@pytest.mark.parametrize(
    ("variant", "init", "width"),
    [
        pytest.param(variant, init, width, marks=() if variant in QUICK[init] else pytest.mark.slow)
        for variant in VARIANTS
        for init, width in (("identity", 8), ("released", 32))
    ],
)
def test_gradient_reaches_every_parameter_within_three_steps(
    make: Make, pair: Any, variant: str, init: str, width: int
) -> None:
    method = make(variant=variant, init=init, width=width).train()
    reached = reached_parameters(method, pair, method.optimisers(1e-3, 1e-3), 3)
    assert reached == {p for network in method.networks.values() for p in network.parameters()}


def test_generator_step_leaves_the_discriminator_without_gradient(make: Make, pair: Any) -> None:
    method = make()
    discriminator = method.networks["discriminator"]
    attention = list(discriminator.attention.parameters())
    phases = method.phases(pair)
    phase = next(phases)
    phase.loss.backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in attention)
    assert all(p.grad is None for p in method.networks["generator"].parameters())
    discriminator.zero_grad()
    phase = next(phases)
    phase.loss.backward()
    assert all(p.grad is None for p in discriminator.parameters())
    assert all(p.requires_grad for p in discriminator.parameters())


def test_adversarial_gradient_reaches_the_prior_through_the_frozen_attention(
    make: Make, pair: Any
) -> None:
    method = make()
    discriminator = method.networks["discriminator"]
    levels = [level.requires_grad_() for level in method.target_prior(pair.sharp)]
    with freeze(discriminator):
        loss = discriminator(levels).sum()
    loss.backward()
    assert all(level.grad.abs().max() > 0 for level in levels)
    assert all(p.grad is None for p in discriminator.parameters())


@pytest.mark.parametrize("profile", NAMES)
def test_discriminator_learns_at_one_share_of_the_generators_rate(profile: str) -> None:
    """The paper's tenth; a ninetieth in narrow networks, where D wins at once.

    The ablation has the rates of the whole network, so that its rows differ in the network alone.
    """
    config, _ = resolve_profile(profile)
    ablation = [run for run in config.runs.values() if run.method == "dfpgnet"]
    assert ablation
    share = 1 / 90 if profile in ("embedded", "photographs", "gpu") else 1 / 10
    for run in ablation:
        if VARIANTS[run.options["variant"]].discriminator != "none":
            assert run.lr_discriminator == pytest.approx(run.lr * share)
    assert profile == "shipped" or len({run.lr for run in ablation}) == 1


def test_both_phases_share_one_pass_of_the_generator(make: Make, pair: Any) -> None:
    method, passes = make(), []
    method.networks["generator"].register_forward_hook(lambda *_: passes.append(1))
    list(method.phases(pair))
    assert len(passes) == 1


def test_generator_phase_sees_the_discriminator_already_stepped(make: Make, two: Any) -> None:
    def adversarial(lr: float) -> float:
        method = make()
        return step(method, two, method.optimisers(1e-3, lr))["adversarial"]

    assert adversarial(0.05) != adversarial(0.0)


def test_discriminator_learns_to_tell_the_priors_apart(make: Make, two: Any) -> None:
    method = make()
    first, *_, last = train(method, two, method.optimisers(0.0, 1e-3), 4)
    assert last["d_real"] - last["d_fake"] > first["d_real"] - first["d_fake"] + 0.2


def test_discriminators_convolutions_have_spectral_norm_one(make: Make) -> None:
    discriminator = make().networks["discriminator"]
    level = torch.ones(1, 64, 4, 4)
    with torch.no_grad():
        for _ in range(30):  # one power iteration each
            discriminator.features[0](level)
            discriminator.head(torch.ones(1, 256, 4, 4))
    for layer in (
        discriminator.features[0][0],
        *(discriminator.head[0][:1]),
        discriminator.head[1],
    ):
        norm = torch.linalg.matrix_norm(layer.weight.flatten(1), ord=2).item()
        assert norm == pytest.approx(1, abs=0.02)
    wrapped = [m for m in discriminator.modules() if hasattr(m, "parametrizations")]
    assert len(wrapped) == 5
    assert all(layer.bias is None for layer in wrapped)


def test_prior_scale_makes_levels_unit_or_leaves_them(make: Make, pair: Any, prior: Any) -> None:
    raw = prior.features(pair.sharp, ("relu1_2", "relu2_2", "relu3_3"), "canonical")
    assert all(map(torch.equal, make(prior_scale="none").target_prior(pair.sharp), raw))
    scaled = make(prior_scale="rms").target_prior(pair.sharp)
    assert scaled[2].square().mean().item() == pytest.approx(1, rel=1e-5)


def test_prior_network_is_asked_for_the_configured_taps_and_inputs(
    make: Make, pair: Any, prior: Any
) -> None:
    list(make(variant="b6").phases(pair))
    assert prior.calls == [(("relu1_2", "relu2_2", "relu3_3"), "canonical")]
    prior.calls.clear()
    list(make(variant="b2").phases(pair))
    assert prior.calls == [(("conv3_2",), "authors")] * 2
    prior.calls.clear()
    list(make(variant="b1").phases(pair))
    assert prior.calls == []


def test_equal_seeds_give_equal_networks_and_others_do_not(
    prior: Any, options: dict[str, Any]
) -> None:
    def weights(seed: int) -> list[Tensor]:
        setting = Setting(32, seed, prior, ("relu1_2", "relu2_2", "relu3_3"), "canonical")
        networks = DFPGNet("dfpgnet", DFPGNetOptions(**options), setting).networks.values()
        return [value for network in networks for value in network.state_dict().values()]

    one, same, other = weights(1), weights(1), weights(2)
    assert all(map(torch.equal, one, same))
    assert not all(map(torch.equal, one, other))


@pytest.mark.parametrize(("variant", "steps"), [("b1", 20), ("b3", 10), ("b6", 10)])
def test_training_improves_on_the_blurred_input(
    make: Make, two: Any, variant: str, steps: int
) -> None:
    method = make(variant=variant).train()
    train(method, two, method.optimisers(2e-3, 1e-4), steps)
    blurred, restored = (
        (x - two.sharp).square().mean() for x in (two.blurred, method.restore(two.blurred))
    )
    assert 10 * torch.log10(blurred / restored) > 0.3  # dB


def test_inference_needs_no_prior_and_training_says_so(make: Make, pair: Any) -> None:
    method = make(inference=True)
    assert set(method.networks) == {"generator"}
    assert method.restore(pair.blurred).shape == pair.blurred.shape
    with pytest.raises(ValueError, match="built for inference"):
        next(method.phases(pair))


@pytest.mark.parametrize(
    "change",
    [
        {"variant": "b7"},
        {"widht": 8},
        {"width": 0},
        {"lambda_prior": -1.0},
        {"blocks": 2.5},
        {"output": "tanh"},
        {"scale_offset": 2},
        {"discriminator_input": "rms"},
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(change))):
        DFPGNetOptions(**(options | change))
