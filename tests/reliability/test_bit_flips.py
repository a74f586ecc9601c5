"""One flipped bit anywhere in a checkpoint or a weights file is noticed before it is used."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from helpers.counts import count
from helpers.toys import Toy, toy_config, train_toy
from safetensors.torch import load_file, save

from dfpg.core.checked import read_facts, write_checked
from dfpg.core.config import Config
from dfpg.core.errors import UserError
from dfpg.methods.base import Method
from dfpg.methods.li2020 import random_trunk
from dfpg.methods.registry import build_method, build_restorer
from dfpg.methods.weights import load_weights, read_card, save_weights
from dfpg.pretrained.vggface import WEIGHTS
from dfpg.training.checkpoint import TrainingState, load_checkpoint, save_checkpoint

FLIPS = 500


def flipped(path: Path, number: int, seed: int) -> Iterator[int]:
    """Flip one bit after the other, half of them in the header, and put each back."""
    whole = path.read_bytes()
    header = 8 * (8 + int.from_bytes(whole[:8], "little"))
    stream = random.Random(seed)
    for turn in range(number):
        bit = stream.randrange(header if turn % 2 else 8 * len(whole))
        with path.open("r+b") as file:
            file.seek(bit // 8)
            file.write(bytes([whole[bit // 8] ^ (1 << bit % 8)]))
        yield bit
        path.write_bytes(whole)


def state_of(method: Method) -> TrainingState:
    return TrainingState(method.networks, method.optimisers(1e-2, 1e-3), {})


def values(state: TrainingState) -> list[torch.Tensor]:
    networks = [v for n in state.networks.values() for v in n.state_dict().values()]
    slots = [
        value
        for optimiser in state.optimisers.values()
        for entries in optimiser.state_dict()["state"].values()
        for value in entries.values()
        if isinstance(value, torch.Tensor)
    ]
    return [*networks, *slots]


def saved(folder: Path, method: Method, step: int) -> list[torch.Tensor]:
    """Save a checkpoint whose weights say its step; returns copies of what it holds."""
    state = state_of(method)
    with torch.no_grad():
        for network in state.networks.values():
            for parameter in network.parameters():
                parameter.fill_(step)
    state.step = step
    state.history.add({"loss": float(step)})
    state.history.close_row(step, 0.1)
    save_checkpoint(folder, state)
    return [value.clone() for value in values(state)]


def flip_checkpoints(
    folder: Path, method: Method, number: int, capsys: pytest.CaptureFixture
) -> int:
    """Flip bits of the newer of two checkpoints; returns how many were noticed."""
    older = saved(folder, method, 1)
    saved(folder, method, 2)
    newer = folder / "checkpoint-000000002.safetensors"
    whole = newer.read_bytes()
    noticed = 0
    for bit in flipped(newer, number, seed=len(whole)):
        state = state_of(method)
        capsys.readouterr()
        assert load_checkpoint(folder, state)
        said = capsys.readouterr().err
        assert said.startswith(f"{newer}: damaged checkpoint"), f"bit {bit}"
        assert said.count("\n") == 1
        assert state.step == 1
        assert state.history.rows[-1]["loss"] == 1.0
        assert all(map(torch.equal, values(state), older))
        noticed += 1
    assert load_checkpoint(folder, state_of(method))
    return noticed


def flip_weights(path: Path, method: Method, number: int) -> int:
    save_weights(path, method, steps=7)
    noticed = 0
    for bit in flipped(path, number, seed=path.stat().st_size):
        for use in (read_card, lambda p: load_weights(p, method)):
            with pytest.raises(UserError, match="damaged") as caught:
                use(path)
            assert str(caught.value).isprintable(), f"bit {bit}"
        noticed += 1
    assert load_weights(path, method).steps == 7
    return noticed


def test_500_flipped_bits_of_a_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    noticed = flip_checkpoints(tmp_path, Toy(), FLIPS, capsys)
    count("flipped bits in checkpoints", FLIPS, f"{FLIPS - noticed} not noticed")


def test_500_flipped_bits_of_weights(tmp_path: Path) -> None:
    noticed = flip_weights(tmp_path / "w.safetensors", Toy(), FLIPS)
    count("flipped bits in weights", FLIPS, f"{FLIPS - noticed} not noticed")


def test_a_training_resumes_from_the_older_checkpoint_with_equal_bytes(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    config = toy_config(30, checkpoint_every=5)
    whole = train_toy(tmp_path / "whole", config)
    stopped = tmp_path / "stopped"

    def stop(*_: object) -> dict[str, float]:
        if len(list(stopped.glob("scratch/checkpoint-*"))) == 2:
            raise RuntimeError("power cut")
        return {}

    with pytest.raises(RuntimeError, match="power cut"):
        train_toy(stopped, toy_config(30, checkpoint_every=5, validate_every=1), validation=stop)
    newest = max(stopped.glob("scratch/checkpoint-*"))
    data = bytearray(newest.read_bytes())
    data[data.index(b'\\"step\\": ') + len(b'\\"step\\": ')] ^= 2  # step 10 becomes step 30
    newest.write_bytes(data)
    again = train_toy(stopped, config)
    assert "damaged checkpoint (checksum differs); using the one before" in capsys.readouterr().err
    assert again[0] == whole[0]


def test_every_bit_of_a_header_is_guarded(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    method = Toy()
    save_weights(path, method, steps=7)
    whole = path.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    bits = range(0, 8 * header, 7)  # one of every byte, at least
    for bit in bits:
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        with pytest.raises(UserError, match="damaged"):
            read_card(path)
    count("bits of a weights file's header flipped", len(bits), "0 not noticed")


def test_weights_of_earlier_versions_have_no_checksum_and_are_read(tmp_path: Path) -> None:
    method = Toy()
    new, old = tmp_path / "new.safetensors", tmp_path / "old.safetensors"
    save_weights(new, method, steps=7)
    facts, checked = read_facts(new)
    assert checked
    state = method.networks["generator"].state_dict()
    plain = {name: value.contiguous() for name, value in state.items()}
    old.write_bytes(save(plain, metadata={"dfpg": json.dumps(facts)}))
    assert read_facts(old) == (facts, False)
    assert load_weights(old, Toy()) == load_weights(new, Toy())


def test_other_programs_read_a_file_with_a_checksum(tmp_path: Path) -> None:
    method = Toy()
    save_weights(tmp_path / "w.safetensors", method, steps=7)
    found = load_file(tmp_path / "w.safetensors")
    state = method.networks["generator"].state_dict()
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], value.half()) for name, value in state.items())


@pytest.mark.slow
def test_500_flipped_bits_of_checkpoints_and_weights_of_every_method(
    tmp_path: Path, config: Config, capsys: pytest.CaptureFixture
) -> None:
    runs = {run.method: name for name, run in config.runs.items()}
    tried = noticed = 0
    for method_name, run in runs.items():
        method = build_method(config, run, trunk := random_trunk(0))
        folder = tmp_path / method_name
        noticed += flip_checkpoints(folder, method, 25, capsys)
        noticed += flip_weights(folder / "w.safetensors", method, 25)
        write_checked(tmp_path / WEIGHTS, trunk.state(), {})  # an encoder has a file of its own
        build_restorer(folder / "w.safetensors", torch.device("cpu"), tmp_path)
        tried += 50
    assert tried >= FLIPS
    count("flipped bits over all methods", tried, f"{tried - noticed} not noticed")
