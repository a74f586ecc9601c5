from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from dfpg.core.config import Config
from dfpg.core.errors import UserError
from dfpg.pretrained.vggface import (
    CARD,
    LAYERS,
    SHAPES,
    TAPS,
    WEIGHTS,
    PriorNetwork,
    State,
    load_prior,
    prior_taps,
    read_card,
    read_vggface,
    to_canonical,
)

# torchvision's vgg16().features: index of each convolution
CONV_INDEX = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
NAMES = ["1_1", "1_2", "2_1", "2_2", "3_1", "3_2", "3_3", "4_1", "4_2", "4_3", "5_1", "5_2", "5_3"]


@pytest.fixture(scope="module")
def state() -> State:
    random = torch.Generator().manual_seed(0)
    return {
        key: torch.randn(shape, generator=random)
        * (0.1 if len(shape) == 1 else (2 / (shape[1] * 9)) ** 0.5)
        for key, shape in SHAPES.items()
    }


@pytest.fixture(scope="module")
def network(state: State) -> PriorNetwork:
    return PriorNetwork(state)


@pytest.fixture
def images() -> Tensor:
    return torch.rand(2, 3, 32, 40, generator=torch.Generator().manual_seed(1)) * 2 - 1


def reference(state: State, x: Tensor) -> dict[str, Tensor]:
    out = {}
    for name, index in zip(NAMES, CONV_INDEX, strict=True):
        weight, bias = state[f"features.{index}.weight"], state[f"features.{index}.bias"]
        out[f"conv{name}"] = F.conv2d(x, weight, bias, padding=1)
        x = out[f"relu{name}"] = out[f"conv{name}"].clamp(min=0)
        if name in ("1_2", "2_2", "3_3", "4_3", "5_3"):
            x = out[f"pool{name[0]}"] = F.max_pool2d(x, 2)
    return out


def test_every_layer_equals_an_independent_forward(
    state: State, network: PriorNetwork, images: Tensor
) -> None:
    expected = reference(state, images)
    assert len(LAYERS) == 31
    assert set(LAYERS) == set(expected)
    for name, found in zip(LAYERS, network.raw_features(images, LAYERS), strict=True):
        torch.testing.assert_close(found, expected[name], rtol=1e-4, atol=1e-4)


def test_released_taps_end_before_the_last_relu(network: PriorNetwork, images: Tensor) -> None:
    paper = network.features(images, TAPS["paper"])
    released = network.features(images, TAPS["released"])
    assert [tuple(f.shape[1:]) for f in paper] == [(64, 32, 40), (128, 16, 20), (256, 8, 10)]
    assert torch.equal(paper[0], released[0])
    assert torch.equal(paper[1], released[1])
    assert released[2].min() < 0
    assert torch.equal(paper[2], released[2].relu())
    assert all(f.min() == 0 for f in paper)


def test_order_of_taps_is_kept(network: PriorNetwork, images: Tensor) -> None:
    deep, shallow = network.features(images, ["pool2", "relu1_1"])
    assert (deep.shape[1], shallow.shape[1]) == (128, 64)


def test_stops_after_the_deepest_tap(network: PriorNetwork, images: Tensor) -> None:
    called: list[str] = []
    hooks = [
        layer.register_forward_hook(lambda *_args, name=name: called.append(name))
        for name, layer in zip(LAYERS, network.layers, strict=True)
    ]
    network.features(images, ["relu1_2", "conv2_1"])
    for hook in hooks:
        hook.remove()
    assert called == ["conv1_1", "relu1_1", "conv1_2", "relu1_2", "pool1", "conv2_1"]


def test_unknown_tap_is_refused(network: PriorNetwork, images: Tensor) -> None:
    with pytest.raises(ValueError, match="relu6_1"):
        network.features(images, ["relu6_1"])


def test_canonical_is_bgr_minus_vggfaces_mean() -> None:
    image = torch.tensor([255.0, 128.0, 0.0]).view(1, 3, 1, 1) / 127.5 - 1
    found = to_canonical(image).flatten().tolist()
    assert found == pytest.approx([0 - 93.5940, 128 - 104.7624, 255 - 129.1863], abs=1e-4)


def test_canonical_and_lab_inputs(network: PriorNetwork, images: Tensor) -> None:
    red, green, blue = ((images + 1) * 127.5).unbind(1)
    manual = torch.stack([blue - 93.5940, green - 104.7624, red - 129.1863], 1)
    (found,) = network.features(images, ["relu2_1"])
    torch.testing.assert_close(
        found, network.raw_features(manual, ["relu2_1"])[0], rtol=1e-4, atol=1e-3
    )
    (authors,) = network.features(images, ["relu2_1"], "authors")
    assert torch.equal(authors, network.raw_features(images, ["relu2_1"])[0])
    assert not torch.allclose(authors, found)


def test_gradient_reaches_the_image_and_no_weight(network: PriorNetwork) -> None:
    image = torch.rand(1, 3, 8, 8, dtype=torch.float32).requires_grad_()
    sum(f.square().mean() for f in network.features(image, TAPS["paper"])).backward()
    assert image.grad is not None
    assert bool((image.grad != 0).all())
    assert not network.training
    assert all(not p.requires_grad and p.grad is None for p in network.parameters())


def test_runs_under_bf16_autocast(network: PriorNetwork, images: Tensor) -> None:
    exact = network.features(images, TAPS["paper"])
    with torch.autocast("cpu", torch.bfloat16):
        rounded = network.features(images, TAPS["paper"])
    for a, b in zip(exact, rounded, strict=True):
        assert b.dtype == torch.bfloat16
        assert (a - b.float()).norm() / a.norm() < 0.02


def test_construction_leaves_the_global_random_stream_alone(state: State) -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    PriorNetwork(state)
    assert torch.equal(before, torch.get_rng_state())


def test_state_gives_back_what_went_in(state: State, network: PriorNetwork) -> None:
    found = network.state()
    assert list(found) == list(state)
    assert all(torch.equal(found[key], state[key]) for key in state)


def test_taps_by_configuration(config: Config) -> None:
    prior = config.prior
    assert prior_taps(prior.model_copy(update={"taps": "paper"})) == (
        "relu1_2",
        "relu2_2",
        "relu3_3",
    )
    released = prior_taps(prior.model_copy(update={"taps": "released"}))
    assert released == ("relu1_2", "relu2_2", "conv3_3")


def with_classifier(state: State, name: str, outputs: int) -> State:
    return state | {f"{name}.bias": torch.zeros(outputs), f"{name}.weight": torch.zeros(outputs, 4)}


def renamed(state: State, prefix: str) -> State:
    layer = {f"features.{i}": f"{prefix}{n}" for n, i in zip(NAMES, CONV_INDEX, strict=True)}
    return {f"{layer[k.rpartition('.')[0]]}.{k.rpartition('.')[2]}": v for k, v in state.items()}


LAYOUTS: dict[str, Callable[[State], object]] = {
    "state_dict": lambda s: {
        "epoch": 3,
        "state_dict": with_classifier(s, "classifier.6", 2622),
    },
    "torchvision": lambda s: s,
    "parallel": lambda s: {"state_dict": {f"module.{k}": v for k, v in s.items()}},
    "torch7": lambda s: with_classifier(renamed(s, "conv_"), "fc8", 2622),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_is_read(layout: str, state: State, tmp_path: Path) -> None:
    path = tmp_path / "vggface.pth"
    torch.save(LAYOUTS[layout](state), path)
    found = read_vggface(path)
    assert set(found) == set(SHAPES)
    assert all(torch.equal(found[key], state[key]) for key in SHAPES)


def test_dag_layout_takes_rgb_so_its_first_layer_is_swapped(
    state: State, network: PriorNetwork, images: Tensor, tmp_path: Path
) -> None:
    path = tmp_path / "vgg_face_dag.pth"
    torch.save(renamed(state, "conv"), path)
    dag = PriorNetwork(read_vggface(path))
    torch.testing.assert_close(
        dag.raw_features(images.flip(1), ["relu1_1"]), network.raw_features(images, ["relu1_1"])
    )


def test_safetensors_and_half_precision_are_read(state: State, tmp_path: Path) -> None:
    path = tmp_path / "vggface.safetensors"
    safetensors.torch.save_file({k: v.half() for k, v in state.items()}, path)
    found = read_vggface(path)
    assert all(found[key].dtype == torch.float32 for key in SHAPES)
    assert all(torch.equal(found[key], state[key].half().float()) for key in SHAPES)


WRONG: dict[str, tuple[Callable[[State], object], str]] = {
    "other network": (lambda _: {"conv1.weight": torch.zeros(64, 3, 7, 7)}, "found conv1.weight"),
    "no mapping": (lambda _: [torch.zeros(3)], "found a list"),
    "one layer short": (
        lambda s: {k: v for k, v in s.items() if k != "features.28.weight"},
        "no conv5_3 features.28.weight",
    ),
    "shape": (
        lambda s: s | {"features.5.weight": torch.zeros(128, 64, 5, 5)},
        r"conv2_1 features.5.weight has shape \(128, 64, 5, 5\), VGG-16 has \(128, 64, 3, 3\)",
    ),
    "ImageNet": (lambda s: with_classifier(s, "classifier.6", 1000), "1000 outputs, VGGFace has"),
    "NaN": (lambda s: s | {"features.0.bias": torch.full((64,), torch.nan)}, "conv1_1 .* NaN"),
    "no tensor": (lambda s: s | {"features.0.bias": 3}, "no conv1_1 features.0.bias"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_file_is_refused_in_one_line(case: str, state: State, tmp_path: Path) -> None:
    build, expected = WRONG[case]
    path = tmp_path / "wrong.pth"
    torch.save(build(state), path)
    with pytest.raises(UserError, match=f"{re.escape(str(path))}: .*{expected}") as caught:
        read_vggface(path)
    assert "\n" not in str(caught.value)


class Payload:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("executed",)


@pytest.mark.parametrize("name", ["x.pth", "x.safetensors"])
@pytest.mark.parametrize("content", ["missing", "empty", "text", "truncated", "code"])
def test_damaged_or_hostile_file_is_refused(
    content: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    if content == "code":
        torch.save({"features.0.weight": Payload()}, path)
    elif content == "truncated":
        torch.save({"features.0.weight": torch.zeros(64, 3, 3, 3)}, path)
        path.write_bytes(path.read_bytes()[:-900])
    elif content != "missing":
        path.write_bytes(b"" if content == "empty" else b"<html>quota exceeded</html>" * 50)
    with pytest.raises(UserError, match=re.escape(str(path))) as caught:
        read_vggface(path)
    assert "\n" not in str(caught.value)
    assert "executed" not in capsys.readouterr().out


def test_prior_is_loaded_from_its_folder(state: State, images: Tensor, tmp_path: Path) -> None:
    safetensors.torch.save_file(state, tmp_path / WEIGHTS)
    torch.testing.assert_close(
        load_prior(tmp_path).features(images, ["relu1_1"])[0],
        PriorNetwork(state).features(images, ["relu1_1"])[0],
    )


def test_missing_prior_names_the_stage(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="dvc repro priors"):
        load_prior(tmp_path)
    with pytest.raises(UserError, match="dvc repro priors"):
        read_card(tmp_path)


@pytest.mark.parametrize("text", ["{", "[1]"])
def test_damaged_card_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / CARD).write_text(text)
    with pytest.raises(UserError, match="damaged"):
        read_card(tmp_path)
