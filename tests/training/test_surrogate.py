from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from dfpg.core.config import Config, Surrogate
from dfpg.core.errors import UserError
from dfpg.core.files import sha256
from dfpg.data.faces.dataset import FaceSet
from dfpg.metrics.auc import cosines, draw_pairs
from dfpg.pretrained.vggface import (
    CARD,
    SHAPES,
    WEIGHTS,
    PriorNetwork,
    State,
    load_prior,
    read_card,
    to_canonical,
)
from dfpg.training import surrogate
from dfpg.training.surrogate import (
    build_prior,
    drift,
    embed,
    fine_tune,
    fold_normalisation,
    fold_state,
    rows_of_step,
)

CPU = torch.device("cpu")
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)  # torchvision's normalisation
STD = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
TINY = Surrogate(size=32, steps=2, batch_size=4, lr=1e-4)


@pytest.fixture(scope="module")
def trunk() -> State:
    random = torch.Generator().manual_seed(0)
    return {
        key: torch.randn(shape, generator=random)
        * (0.1 if len(shape) == 1 else (2 / (shape[1] * 9)) ** 0.5)
        for key, shape in SHAPES.items()
    }


@pytest.fixture(scope="module")
def tuned(trunk: State) -> State:
    return fine_tune(trunk, toy_faces(0, 3), TINY, 0, CPU, "fp32")


def toy_faces(first: int, count: int, pictures: int = 4) -> FaceSet:
    """A person is a faint smooth pattern; strong smooth patterns of one picture hide it."""
    rng = np.random.default_rng(first)

    def patterns(n: int, cells: int, amplitude: float) -> Tensor:
        coarse = torch.from_numpy(rng.standard_normal((n, 3, cells, cells))).float() * amplitude
        return F.interpolate(coarse, size=(40, 40), mode="bicubic")

    own = patterns(count, 8, 30).repeat_interleave(pictures, 0)
    values = 128 + own + patterns(count * pictures, 3, 50)
    pixels = values.clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
    people = tuple(f"p{first + i // pictures}" for i in range(len(pixels)))
    names = tuple(f"{i}.jpg" for i in range(len(pixels)))
    return FaceSet(pixels, people, names, np.zeros((len(pixels), 5, 2), np.float32))


@pytest.fixture
def asset(trunk: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "asset" / "vgg16_imagenet.safetensors"
    path.parent.mkdir()
    safetensors.torch.save_file(trunk, path)
    monkeypatch.setattr(surrogate, "asset_path", lambda _name: path)
    return path


def test_folded_first_layer_is_a_drop_in_away_from_the_border(trunk: State) -> None:
    images = torch.rand(2, 3, 12, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1
    weight, bias = trunk["features.0.weight"], trunk["features.0.bias"]
    expected = F.conv2d(((images + 1) / 2 - MEAN) / STD, weight, bias, padding=1)
    found = F.conv2d(to_canonical(images), *fold_normalisation(weight, bias), padding=1)
    difference = (found - expected).abs()
    assert difference[..., 1:-1, 1:-1].max() < 1e-4 * expected.abs().max()
    # The padding is VGGFace's mean colour, at most 0.20 ImageNet deviations from ImageNet's.
    assert difference.max() > 0.01
    assert (difference <= 0.202 * weight.abs().sum((1, 2, 3)).view(1, -1, 1, 1)).all()


def test_folded_network_is_a_drop_in_beyond_the_border_of_each_level(trunk: State) -> None:
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(2)) * 2 - 1
    taps = ("relu1_2", "relu2_2", "relu3_3")
    expected = PriorNetwork(trunk).raw_features(((images + 1) / 2 - MEAN) / STD, taps)
    found = PriorNetwork(fold_state(trunk)).features(images, taps)
    # A ring of 1 px grows by 1 with each 3x3 convolution and halves with each pooling.
    for a, b, ring in zip(expected, found, (2, 3, 5), strict=True):
        inner = (..., slice(ring, -ring), slice(ring, -ring))
        assert (a[inner] - b[inner]).abs().max() < 1e-4 * a.abs().max()
        assert (a - b).abs().max() > 1e-3 * a.abs().max()


def test_embedding_is_the_mean_of_pool5(trunk: State) -> None:
    network = PriorNetwork(fold_state(trunk))
    pictures = np.full((2, 40, 40, 3), 90, np.uint8)
    found = embed(network, pictures, 64)
    flat = torch.full((2, 3, 64, 64), 90 / 127.5 - 1)
    expected = network.features(flat, ["pool5"])[0].mean((2, 3))
    assert found.shape == (2, 512)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-3, atol=1e-3)


def test_drift_is_zero_for_one_network_and_the_relative_change_for_two(trunk: State) -> None:
    pictures = toy_faces(0, 2).pictures
    network = PriorNetwork(fold_state(trunk))
    assert set(drift(network, network, pictures, 32).values()) == {0.0}
    doubled = fold_state(trunk)
    doubled["features.2.weight"] = doubled["features.2.weight"] * 2
    doubled["features.2.bias"] = doubled["features.2.bias"] * 2
    assert drift(network, PriorNetwork(doubled), pictures, 32)["relu1_2"] == pytest.approx(1.0)


def test_every_picture_is_seen_once_per_epoch() -> None:
    seen = np.concatenate([rows_of_step(10, 4, seed=0, step=step) for step in range(5)])
    assert sorted(seen[:10]) == sorted(seen[10:]) == list(range(10))
    assert (seen[:10] != seen[10:]).any()
    large = rows_of_step(3, 7, seed=0, step=0)
    assert np.bincount(large).tolist() in ([2, 2, 3], [2, 3, 2], [3, 2, 2])


def test_training_is_a_function_of_its_seed(trunk: State, tuned: State) -> None:
    faces = toy_faces(0, 3)
    again, other = (fine_tune(trunk, faces, TINY, seed, CPU, "fp32") for seed in (0, 1))
    assert all(torch.equal(tuned[key], again[key]) for key in SHAPES)
    assert not torch.equal(tuned["features.28.weight"], other["features.28.weight"])


def test_training_starts_at_the_folded_trunk_and_moves_every_layer(
    trunk: State, tuned: State
) -> None:
    start = fold_state(trunk)
    for key, value in tuned.items():
        # Adam moves a weight by at most about its rate in each of two steps; conv1_1's weights
        # are divided by 255 times ImageNet's deviation, and its bias sums 27 of them.
        change = (value - start[key]).abs().max()
        assert 0 < change <= 2 * 2 * TINY.lr * (10 if key == "features.0.bias" else 1)


def test_training_teaches_to_tell_people_apart(trunk: State) -> None:
    settings = Surrogate(size=32, steps=12, batch_size=8, lr=2e-4)
    faces = toy_faces(0, 4)
    tuned = fine_tune(trunk, faces, settings, 0, CPU, "fp32")
    pairs = draw_pairs(faces.people, 0)

    def auc(state: State) -> float:
        scores = cosines(embed(PriorNetwork(state), faces.pictures, 32), pairs)
        return float(roc_auc_score(pairs.same, scores))

    assert auc(tuned) > auc(fold_state(trunk)) + 0.03


def test_divergence_is_one_line(trunk: State) -> None:
    with pytest.raises(UserError, match=r"at step 1: lower prior\.surrogate\.lr"):
        fine_tune(trunk, toy_faces(0, 3), TINY.model_copy(update={"lr": 1e30}), 0, CPU, "fp32")


def test_stage_writes_network_and_card(config: Config, asset: Path, tmp_path: Path) -> None:
    config = config.model_copy(
        update={"prior": config.prior.model_copy(update={"surrogate": TINY})}
    )
    train, held_out = toy_faces(0, 3), toy_faces(100, 5)
    for name in ("first", "again"):
        build_prior(config, train, held_out, tmp_path / name)
    weights = tmp_path / "again" / WEIGHTS
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(UserError, match=r"damaged \(checksum differs\); run `dvc repro -f priors`"):
        load_prior(tmp_path / "again")
    data[-1] ^= 1
    weights.write_bytes(data)
    for file in (WEIGHTS, CARD):
        assert sha256(tmp_path / "first" / file) == sha256(tmp_path / "again" / file)
    stored = safetensors.torch.load_file(tmp_path / "first" / WEIGHTS)
    assert {value.dtype for value in stored.values()} == {torch.float16}
    assert {value.dtype for value in load_prior(tmp_path / "first").state().values()} == {
        torch.float32
    }
    card = read_card(tmp_path / "first")
    assert card["network"] == "surrogate"
    assert card["sha256"] == sha256(asset)
    assert card["training"] == config.prior.surrogate.model_dump() | {"n_people": 3}
    assert set(card["drift"]) == {"relu1_2", "relu2_2", "relu3_3"}
    verification = card["verification"]
    assert (verification["n_people"], verification["n_pairs"]) == (5, 60)
    assert set(verification["auc"]) == {"before", "after", "gain"}
    for figure in verification["auc"].values():
        assert figure["low"] <= figure["value"] <= figure["high"]
    pairs = draw_pairs(held_out.people, config.seed)
    network = load_prior(tmp_path / "first")
    scores = cosines(embed(network, held_out.pictures, config.prior.surrogate.size), pairs)
    expected = roc_auc_score(pairs.same, scores)
    assert verification["auc"]["after"]["value"] == pytest.approx(expected, abs=1e-6)
    assert "/" not in json.dumps(card)


@pytest.fixture
def with_vggface(config: Config) -> Callable[[Path], Config]:
    def change(path: Path) -> Config:
        prior = config.prior.model_copy(update={"vggface": str(path)})
        return config.model_copy(update={"prior": prior})

    return change


def test_own_vggface_file_is_used_as_it_is(
    with_vggface: Callable[[Path], Config], trunk: State, tmp_path: Path
) -> None:
    path = tmp_path / "VGGFace16.pth"
    torch.save({"state_dict": trunk}, path)
    build_prior(with_vggface(path), toy_faces(0, 3), toy_faces(100, 5), tmp_path / "out")
    card = read_card(tmp_path / "out")
    assert (card["network"], card["source"]) == ("VGGFace", "VGGFace16.pth")
    assert card["sha256"] == sha256(path)
    assert set(card["verification"]["auc"]) == {"after"}
    found = load_prior(tmp_path / "out").state()
    assert all(torch.equal(found[key], trunk[key]) for key in SHAPES)


def test_wrong_vggface_file_leaves_the_old_prior_as_it_is(
    with_vggface: Callable[[Path], Config], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / WEIGHTS).write_bytes(b"old")
    path = tmp_path / "wrong.pth"
    torch.save({"fc.weight": torch.zeros(3)}, path)
    with pytest.raises(UserError, match=r"found fc\.weight; accepted VGGFace layouts"):
        build_prior(with_vggface(path), toy_faces(0, 3), toy_faces(100, 5), out)
    assert [file.name for file in out.iterdir()] == [WEIGHTS]
    assert (out / WEIGHTS).read_bytes() == b"old"


def test_shared_people_are_refused(config: Config, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="person p2 is both"):
        build_prior(config, toy_faces(0, 3), toy_faces(2, 3), tmp_path)
