from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from dfpg.core.errors import UserError
from dfpg.data.faces.dataset import FaceSet
from dfpg.evaluation.recognition.card import (
    accuracy_interval,
    fold_pairs,
    people_with_pairs,
    write_card,
)
from dfpg.metrics.auc import Pairs
from dfpg.pretrained.detector import Detection


def face_set(people: int, pictures: int) -> FaceSet:
    """Pictures whose red channel tells the person."""
    owner = np.repeat(np.arange(people), pictures)
    pixels = np.zeros((len(owner), 4, 4, 3), np.uint8)
    pixels[..., 0] = owner[:, None, None]
    names = tuple(f"{i}.jpg" for i in range(len(owner)))
    points = np.zeros((len(owner), 5, 2), np.float32)
    return FaceSet(pixels, tuple(f"p{i:02d}" for i in owner), names, points)


def one_hot(picture, _):
    vector = np.zeros(256, np.float32)
    vector[picture[0, 0, 0]] = 1
    return vector


def whole(picture):
    return [Detection(1.0, np.zeros(4, np.float32), np.zeros((5, 2), np.float32))] * bool(
        picture.any()
    )


@pytest.fixture
def network(tmp_path):
    path = tmp_path / "network.onnx"
    path.write_bytes(b"onnx")
    return path


def card_of(config, network, embedder, faces, out) -> dict:
    write_card(config, network, embedder, whole, "toys", faces, out)
    return json.loads(out.read_text())


@pytest.mark.parametrize("people", [4, 7, 40])
def test_folds_of_the_card_share_no_person(people):
    owners = [f"p{i // 3:02d}" for i in range(3 * people)] + ["single"]
    pairs, folds = fold_pairs(owners, 0)
    assert "single" not in people_with_pairs(owners)
    where = {}
    for one, two, fold in zip(pairs.first_person, pairs.second_person, folds, strict=True):
        assert where.setdefault(one, fold) == where.setdefault(two, fold) == fold
    assert len(where) == people
    assert len(set(folds.tolist())) == min(10, people // 2)
    assert pairs.same.sum() == 3 * people == len(pairs.same) / 2
    names = np.unique(owners)
    for rows, person in ((pairs.first, pairs.first_person), (pairs.second, pairs.second_person)):
        assert [owners[row] for row in rows] == names[person].tolist()


def test_a_network_that_knows_everyone_and_one_that_knows_nobody(config, network, tmp_path):
    faces = face_set(40, 3)
    good = card_of(config, network, one_hot, faces, tmp_path / "good.json")["held_out"]
    assert good["accuracy"] == good["auc"] == {"value": 1, "low": 1, "high": 1}
    assert (good["n_people"], good["n_pairs"], good["folds"]) == (40, 240, 10)
    rng = np.random.default_rng(0)

    def guess(*_):
        return rng.standard_normal(64).astype(np.float32) / 8

    bad = card_of(config, network, guess, faces, tmp_path / "bad.json")["held_out"]
    for measure in ("accuracy", "auc"):
        assert bad[measure]["low"] < 0.5 < bad[measure]["high"] + 0.05
        assert bad[measure]["value"] == pytest.approx(0.5, abs=0.1)


def test_accuracy_interval_weighs_people_like_the_auc():
    """Everyone in one pair of each kind: with equal draws the weights cancel in the mean."""
    n = 30
    one = np.arange(n)
    pairs = Pairs(*[np.concatenate(x) for x in ((one, one), (one, (one + 1) % n)) * 2], n)
    right = np.repeat([True, False], n)
    found = accuracy_interval(right, pairs, 0, 400, 0.95)
    assert found["value"] == 0.5
    assert found["low"] < 0.5 < found["high"]
    assert found["high"] - found["low"] < 0.3


def test_without_people_or_with_single_pictures_that_part_is_null(config, network, tmp_path):
    for faces in (None, face_set(40, 1), face_set(3, 2)):
        card = card_of(config, network, one_hot, faces, tmp_path / "card.json")
        assert card["held_out"] is card["lfw"] is None
        assert card["embedder"] == "mobilefacenet (pinned asset)"
        assert len(card["sha256"]) == 64


def lfw_folder(folder, pairs_per_fold: int = 2):
    """A folder in LFW's layout: solid pictures, one grey level per person, ten folds."""
    home = folder / "lfw_home"
    lines = [f"10\t{pairs_per_fold}"]
    for fold in range(10):
        names = [f"Person_{fold}_{i}" for i in range(pairs_per_fold + 1)]
        for i, name in enumerate(names):
            (home / "lfw_funneled" / name).mkdir(parents=True)
            for number in (1, 2):
                level = 10 + 5 * (fold * len(names) + i)
                Image.new("RGB", (250, 250), (level, level, level)).save(
                    home / "lfw_funneled" / name / f"{name}_{number:04d}.jpg", quality=100
                )
        lines += [f"{name}\t1\t2" for name in names[:-1]]
        lines += [f"{one}\t1\t{two}\t1" for one, two in pairwise(names)]
    (home / "pairs.txt").write_text("\n".join(lines) + "\n")
    return folder


def test_lfw_is_read_from_the_users_folder(config, network, tmp_path):
    folder = lfw_folder(tmp_path / "lfw")
    recognition = config.recognition.model_copy(update={"lfw": str(folder)})
    own = config.model_copy(update={"recognition": recognition})
    lfw = card_of(own, network, one_hot, None, tmp_path / "card.json")["lfw"]
    assert (lfw["n_pairs"], lfw["not_found"]) == (40, 0)
    assert lfw["accuracy"] == lfw["auc"] == {"value": 1, "low": 1, "high": 1}


def test_lfw_that_is_not_there_is_one_line(config, network, tmp_path):
    recognition = config.recognition.model_copy(update={"lfw": str(tmp_path / "nothing")})
    own = config.model_copy(update={"recognition": recognition})
    with pytest.raises(UserError, match=r"recognition\.lfw: .*nothing: no such folder"):
        card_of(own, network, one_hot, None, tmp_path / "card.json")
    assert not (tmp_path / "nothing").exists()
