from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
from helpers.toys import Linear, Toy, ToyBatches, toy_config, train_toy
from safetensors.torch import load_file

from dfpg.core.checked import to_half
from dfpg.core.schedule import Schedule
from dfpg.methods.weights import load_weights, read_card
from dfpg.training.snapshots import snapshot_steps, write_snapshots


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("steps", "expected"),
    [(800, {50, 100, 200, 400, 800}), (4, {1, 2, 4}), (1, {1}), (100, {6, 12, 25, 50, 100})],
)
def test_steps_are_shares_of_the_run(steps, expected):
    assert snapshot_steps([0.0625, 0.125, 0.25, 0.5, 1.0], steps) == expected


def test_what_float16_cannot_hold_stays_as_it_is():
    state = {
        "weight": torch.tensor([0.1, -2.0]),
        "large": torch.tensor([1e5, 1.0]),
        "count": torch.tensor(70_000),
    }
    found = to_half(state)
    assert [value.dtype for value in found.values()] == [torch.float16, torch.float32, torch.int64]
    assert found["weight"].float() == pytest.approx(state["weight"], rel=1e-3)
    assert torch.equal(found["large"], state["large"])
    assert found["count"] == 70_000


def test_snapshots_hold_the_average_of_about_the_last_tenth(tmp_path, monkeypatch):
    """Weights that fall by 0.1 a step, from 1: the average of n steps lags by (n - 1) / 11."""
    monkeypatch.setattr("helpers.toys.Toy", Linear)
    config = toy_config(
        40,
        {"lr": 0.1},
        schedule=Schedule(shape="constant"),
        ema=0.0,
        snapshots=[0.025, 0.25, 0.5, 1.0],
    )
    train_toy(tmp_path, config, validation=None)
    with (tmp_path / "snapshots" / "index.csv").open() as lines:
        index = list(csv.DictReader(lines))
    assert [(row["step"], row["images"]) for row in index] == [
        ("1", "4"),
        ("10", "40"),
        ("20", "80"),
        ("40", "160"),
    ]
    for row in index:
        path = tmp_path / "snapshots" / row["file"]
        step = int(row["step"])
        assert read_card(path).steps == step
        weight = load_file(path)["weight"]
        assert weight.dtype == torch.float16
        expected = 1 - 0.1 * (step - (step - 1) / 11)
        assert weight.flatten().tolist() == pytest.approx([expected] * 3, rel=1e-3, abs=1e-3)


def test_a_snapshot_is_read_like_other_weights(tmp_path):
    config = toy_config(20, ema=0.0, snapshots=[1.0], schedule=Schedule(shape="linear"))
    train_toy(tmp_path, config)
    method, last = Toy(), Toy()
    load_weights(tmp_path / "snapshots" / "step-000000020.safetensors", method)
    load_weights(tmp_path / "toy.safetensors", last)
    blurred = ToyBatches().batch(0).blurred
    assert method.restore(blurred).dtype == torch.float32
    assert (method.restore(blurred) - last.restore(blurred)).abs().max() < 0.05


def test_large_layers_of_a_snapshot_are_finite_to_the_reader(tmp_path):
    """Their sum of absolute values is none that float16 holds."""
    method = Toy()
    state = method.networks["generator"].state_dict()
    state = {name: torch.full_like(value, 60_000.0).half() for name, value in state.items()}
    write_snapshots(tmp_path, method, {3: state}, 4)
    assert load_weights(tmp_path / "step-000000003.safetensors", Toy()).steps == 3


def test_without_snapshots_there_is_an_index_alone(tmp_path):
    (tmp_path / "snapshots").mkdir()
    (tmp_path / "snapshots" / "step-000000007.safetensors").write_text("of an earlier run")
    train_toy(tmp_path, toy_config(3, snapshots=[]), validation=None)
    assert files(tmp_path / "snapshots") == {"index.csv": b"step,images,file\n"}


def test_snapshots_leave_the_result_alone_and_survive_a_resume(tmp_path):
    without, _ = train_toy(tmp_path / "without", toy_config(40, snapshots=[]))
    config = toy_config(40, snapshots=[0.1, 0.5, 1.0], checkpoint_every=8)
    whole = train_toy(tmp_path / "whole", config)
    assert whole[0] == without

    class Breaks(ToyBatches):
        def batch(self, step):
            if step in fails:
                fails.remove(step)
                raise RuntimeError("power cut")
            return super().batch(step)

    fails = [3, 5, 19, 21, 39]
    for _ in list(fails):
        with pytest.raises(RuntimeError):
            train_toy(tmp_path / "broken", config, batches=Breaks())
    assert train_toy(tmp_path / "broken", config) == whole
    assert files(tmp_path / "broken" / "snapshots") == files(tmp_path / "whole" / "snapshots")
