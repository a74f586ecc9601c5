from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.signal import convolve

from dfpg.core.config import NOMINAL_SIZES
from dfpg.core.errors import UserError
from dfpg.data.testsets import open_testset
from dfpg.evaluation.per_image import read_per_image
from dfpg.evaluation.robustness import measure as module
from dfpg.evaluation.robustness.measure import PEOPLE, choose_images, measure, move_images
from dfpg.evaluation.robustness.moves import MOVES, STILL
from dfpg.methods.registry import build_method
from dfpg.methods.weights import save_weights

RUNS = ["nafnet", "xia2019"]  # protocol b; protocol a, scored on both


@pytest.mark.parametrize("protocol", ["a", "b"])
def test_unmoved_images_are_those_of_the_test_set(config, images, inputs, protocol):
    found, plain = images[protocol], open_testset(inputs.testsets / protocol)
    chosen = choose_images(config, protocol, plain.index)
    still = found.index[found.index["mode"] == STILL.mode]
    assert still["person"].tolist() == chosen["person"].tolist()
    np.testing.assert_array_equal(found.sharp[still["sharp"]], plain.sharp[chosen["sharp"]])
    np.testing.assert_array_equal(found.blurred[still["image"]], plain.blurred[chosen["image"]])
    assert config.protocols["a"].test.noise > 0  # so that the noise is the test set's, too


@pytest.mark.parametrize("protocol", ["a", "b"])
def test_the_moved_face_is_blurred_by_the_images_own_kernel_and_noise(
    config, images, banks, protocol
):
    """Without noise it is a plain convolution; with noise, the unmoved image's is added."""
    found, level = images[protocol], config.protocols[protocol].test.noise
    count = len(found.index) // len(MOVES)
    residuals = []
    for move in (0, 4, 8, 15):
        row = found.index.iloc[move * count + 1]
        kernel = banks[protocol].test[row["size"]][row["kernel"]].astype(np.float64)
        half = len(kernel) // 2
        sharp = found.sharp[row["sharp"]].astype(np.float64)
        padded = np.pad(sharp, ((half, half), (half, half), (0, 0)), mode="reflect")
        plain = np.stack([convolve(padded[..., c], kernel, "valid") for c in range(3)], -1)
        residuals.append((found.blurred[row["image"]] - plain).ravel())
    if level:
        assert np.std(residuals) == pytest.approx(level, rel=0.1)
        assert np.corrcoef(residuals)[0].min() > 0.9
    else:
        assert np.abs(residuals).max() < 0.51


def test_every_move_shows_the_same_people_and_kernels(images):
    for found in images.values():
        keys = ["subset", "person", "face", "kernel", "size"]
        parts = [part[keys].reset_index(drop=True) for _, part in found.index.groupby("mode")]
        assert len(parts) == len(MOVES)
        assert all(part.equals(parts[0]) for part in parts)
        assert found.index["mirrored"].between(0, 1).all()
        still = found.index[found.index["mode"] == STILL.mode]
        assert (still["mirrored"] == 0).all()


def test_directions_are_shared_out_evenly(images):
    """Half of the faces turn clockwise: a half turn is the same both ways, a quarter turn not."""
    found = images["b"]
    count = len(found.index) // len(MOVES)
    quarter = next(place for place, move in enumerate(MOVES) if move.mode == "rotation 90")
    ways = []
    for image in range(count):
        plain, turned = (found.sharp[place * count + image] for place in (0, quarter))
        errors = [np.abs(np.rot90(plain, way) - turned.astype(float)).mean() for way in (-1, 1)]
        ways.append(int(np.argmin(errors)))
    assert abs(sum(ways) - count / 2) <= 1


def index_of(people, subsets=("one", "two"), mode="center"):
    rows = [
        (subset, mode, f"{subset}-{person}", f"{subset}-{person}.jpg", size)
        for subset in subsets
        for person in range(people)
        for size in NOMINAL_SIZES
    ]
    table = pd.DataFrame(rows, columns=["subset", "mode", "person", "face", "size"])
    return table.assign(sharp=0, kernel=0).rename_axis("image").reset_index()


def test_one_image_per_person_the_number_shared_by_the_subsets(config):
    chosen = choose_images(config, "a", index_of(100))
    assert len(chosen) == len(set(chosen["person"])) == PEOPLE
    assert chosen["subset"].value_counts().tolist() == [PEOPLE // 2] * 2
    for _, part in chosen.groupby("subset"):
        counts = part["size"].value_counts().reindex(NOMINAL_SIZES, fill_value=0)
        assert counts.max() - counts.min() <= 1
    assert chosen.equals(choose_images(config, "a", index_of(100)))
    other = choose_images(config.model_copy(update={"seed": 1}), "a", index_of(100))
    assert set(other["person"]) != set(chosen["person"])


def test_fewer_people_are_all_taken(config):
    assert len(choose_images(config, "a", index_of(5))) == 10


def test_a_test_set_without_centred_faces_is_refused(config):
    with pytest.raises(UserError, match=r"protocols\.b\.test\.modes: no center faces"):
        choose_images(config, "b", index_of(5, mode="random"))


def test_faces_that_are_not_the_test_sets_are_refused(config, inputs, banks, faces):
    strangers = {"embedded": replace(faces["embedded"], names=("x.jpg",) * 36)}
    index = open_testset(inputs.testsets / "b").index
    with pytest.raises(UserError, match="no test face of embedded: run `dvc repro testsets`"):
        move_images(config, "b", index, banks["b"], strangers)


@pytest.fixture(scope="module")
def once(config, inputs, images, tmp_path_factory):
    """Untrained weights of two runs, and their parts."""
    folder = tmp_path_factory.mktemp("measured")
    for run in RUNS:
        save_weights(folder / "weights" / f"{run}.safetensors", build_method(config, run, None), 0)
    made = replace(inputs, weights=folder / "weights", parts=folder / "robustness")
    measure(config, RUNS, images, made, torch.device("cpu"))
    return made


@pytest.fixture
def trained(once, tmp_path):
    """The weights alone; its own folders for weights and parts."""
    shutil.copytree(once.weights, tmp_path / "weights")
    return replace(once, weights=tmp_path / "weights", parts=tmp_path / "robustness")


@pytest.fixture
def measured(once, trained):
    """The parts, too, as old as they are."""
    shutil.copytree(once.parts, trained.parts)
    return trained


def written(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_parts_hold_every_move_of_the_protocols_that_the_run_is_scored_on(once):
    rows = read_per_image(once.parts / "xia2019.csv")
    assert set(rows["test_set"]) == {"shen", "mspl"}
    assert set(rows["mode"]) == {move.mode for move in MOVES}
    assert set(read_per_image(once.parts / "nafnet.csv")["test_set"]) == {"mspl"}
    baselines = read_per_image(once.parts / "baselines.csv")
    assert set(baselines["method"]) == {"sharp", "blurred"}
    assert np.isinf(baselines.loc[baselines["method"] == "sharp", "psnr"]).all()


def test_a_stopped_command_goes_on_with_the_run_where_it_stopped(
    config, images, trained, device, monkeypatch
):
    def stop(config, name, *rest, **options):
        if name == "xia2019":
            raise KeyboardInterrupt
        return score_testsets(config, name, *rest, **options)

    score_testsets = module.score_testsets
    with monkeypatch.context() as patch:
        patch.setattr(module, "score_testsets", stop)
        order = config.model_copy(update={"runs": {run: config.runs[run] for run in RUNS}})
        with pytest.raises(KeyboardInterrupt):
            measure(order, RUNS, images, trained, device)
    before = written(trained.parts)
    assert set(before) == {
        f"{name}.{end}" for name in ("baselines", "nafnet") for end in ("csv", "json")
    }
    lines = measure(config, RUNS, images, trained, device)
    assert lines[0] == "baselines: up to date"
    assert "nafnet: up to date" in lines
    after = written(trained.parts)
    assert {name: after[name] for name in before} == before
    assert "xia2019.json" in after


def test_other_weights_are_measured_again_and_nothing_else(config, images, measured, device):
    before = written(measured.parts)
    other = build_method(config.model_copy(update={"seed": 5}), "nafnet", None)
    save_weights(measured.weights / "nafnet.safetensors", other, 0)
    measure(config, RUNS, images, measured, device)
    after = written(measured.parts)
    assert {name for name in after if after[name] != before[name]} == {"nafnet.csv", "nafnet.json"}


def test_another_precision_measures_the_runs_again_but_not_the_baselines(
    config, images, measured, device, set_cpu
):
    before = written(measured.parts)
    set_cpu(bf16=True, amx=True)
    settings = config.evaluation.model_copy(update={"precision": "auto"})
    other = config.model_copy(update={"evaluation": settings})
    lines = measure(other, RUNS, images, measured, device)
    assert lines[0] == "baselines: up to date"
    after = written(measured.parts)
    changed = {f"{run}.{end}" for run in RUNS for end in ("csv", "json")}
    assert {name for name in after if after[name] != before[name]} == changed
    set_cpu(bf16=False, amx=False)
    settings = config.evaluation.model_copy(update={"precision": "bf16"})
    refused = config.model_copy(update={"evaluation": settings})
    with pytest.raises(UserError, match=r"^evaluation\.precision: bf16 is not supported"):
        measure(refused, RUNS, images, measured, device)
    assert written(measured.parts) == after


@pytest.mark.parametrize("damage", ["{", '{"fingerprint": "other"}', None])
def test_a_part_without_its_card_is_made_again(config, images, measured, device, damage):
    card = measured.parts / "nafnet.json"
    good = json.loads(card.read_text())
    if damage is None:
        card.unlink()
    else:
        card.write_text(damage)
    assert "up to date" not in measure(config, ["nafnet"], images, measured, device)[-1]
    assert json.loads(card.read_text()) == good


def test_a_part_of_other_weights_does_not_stay_where_its_run_is_not_asked_for(
    config, images, measured, device
):
    (measured.weights / "xia2019.safetensors").unlink()
    assert (measured.parts / "xia2019.csv").exists()
    lines = measure(config, ["nafnet"], images, measured, device)
    assert not (measured.parts / "xia2019.csv").exists()
    assert any(line.startswith("xia2019: its part-file") for line in lines)


def test_bad_input_gets_one_line(config, images, trained, device):
    with pytest.raises(UserError, match="no weights of dfpg_b; train a run first"):
        measure(config, ["dfpg_b"], images, trained, device)
    assert not trained.parts.exists()
    (trained.weights / "nafnet.safetensors").write_bytes(b"junk")
    with pytest.raises(UserError, match="damaged, or not weights"):
        measure(config, ["nafnet"], images, trained, device)
    assert not (trained.parts / "nafnet.csv").exists()
