from __future__ import annotations

import pytest
import torch
from helpers.steps import step
from helpers.toys import Toy, ToyBatches

from dfpg.training.checkpoint import TrainingState, load_checkpoint, save_checkpoint
from dfpg.training.ema import clone
from dfpg.training.history import History


def make_state(steps: int) -> TrainingState:
    """State of a toy after a few steps, channels_last as in the loop."""
    method = Toy().to(torch.device("cpu")).train()
    optimisers = method.optimisers(1e-2, 1e-3)
    state = TrainingState(
        method.networks, optimisers, clone(method.networks["generator"]), History(), steps
    )
    for number in range(steps):
        state.history.add(step(method, ToyBatches().batch(number), optimisers))
    return state


def everything(state: TrainingState) -> list:
    networks = [v for n in state.networks.values() for v in n.state_dict().values()]
    slots = [
        entries[key]
        for optimiser in state.optimisers.values()
        for _, entries in sorted(optimiser.state_dict()["state"].items())
        for key in sorted(entries)
    ]
    return [*networks, *slots, *state.average.values()]


def assert_same(a: TrainingState, b: TrainingState) -> None:
    assert len(everything(a)) == len(everything(b))
    for left, right in zip(everything(a), everything(b), strict=True):
        assert torch.equal(left, right)
        assert left.stride() == right.stride()
    assert (a.step, a.history) == (b.step, b.history)


def test_round_trip_keeps_every_bit_and_every_memory_layout(tmp_path):
    state = make_state(3)
    state.history.close_row(3, 0.1, validation_gain=1 / 3)
    state.history.add({"loss": 0.1})
    torch.manual_seed(5)
    save_checkpoint(tmp_path, state)
    drawn = torch.rand(4)
    other = make_state(0)
    assert load_checkpoint(tmp_path, other)
    assert torch.equal(torch.rand(4), drawn)
    assert_same(state, other)
    moment = other.optimisers["generator"].state_dict()["state"][0]["exp_avg"]
    assert moment.is_contiguous(memory_format=torch.channels_last)
    assert not moment.is_contiguous()


def test_the_last_two_are_kept_each_in_one_file(tmp_path):
    state = make_state(1)
    for state.step in (1, 2, 9, 10):
        save_checkpoint(tmp_path, state)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "checkpoint-000000009.safetensors",
        "checkpoint-000000010.safetensors",
    ]


def test_no_checkpoint_leaves_the_state_alone(tmp_path):
    state, fresh = make_state(0), make_state(0)
    assert not load_checkpoint(tmp_path, state)
    assert_same(state, fresh)


def truncate(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flip(data: bytes) -> bytes:
    return data[:-50] + bytes([data[-50] ^ 1]) + data[-49:]


@pytest.mark.parametrize("damage", [truncate, flip, lambda _: b"", lambda d: b"\xff" * len(d)])
def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(tmp_path, capsys, damage):
    older, newer = make_state(2), make_state(4)
    save_checkpoint(tmp_path, older)
    save_checkpoint(tmp_path, newer)
    path = tmp_path / "checkpoint-000000004.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    state = make_state(0)
    assert load_checkpoint(tmp_path, state)
    assert_same(state, older)
    warning = capsys.readouterr().err
    assert warning.startswith(f"{path}: damaged checkpoint")
    assert warning.count("\n") == 1
    assert not path.exists()


def test_all_damaged_means_from_the_beginning(tmp_path, capsys):
    for number in (1, 2):
        (tmp_path / f"checkpoint-{number:09d}.safetensors").write_bytes(b"junk")
    state = make_state(0)
    assert not load_checkpoint(tmp_path, state)
    assert capsys.readouterr().err.count("damaged checkpoint") == 2
