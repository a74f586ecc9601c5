from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from helpers.toys import Toy, ToyBatches, rows, toy_config, train_toy
from safetensors.torch import load
from torch import nn

from dfpg.core.device import process_group
from dfpg.methods.base import Phase
from dfpg.training import compiled
from dfpg.training.compiled import (
    compile_networks,
    compiled_networks,
    compiled_step,
    compiler_fault,
)
from dfpg.training.ema import clone

CPU = torch.device("cpu")


class Whole(nn.Module):
    """A network with a ``forward`` of its own: what has PyTorch's is not compiled."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x):
        return self.body(x)


class Own(Toy):
    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__(dropout)
        self.networks = {name: Whole(network) for name, network in self.networks.items()}


@pytest.fixture(autouse=True)
def _own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("helpers.toys.Toy", Own)


@pytest.fixture(autouse=True)
def _backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Everything but the last part of compiling, which takes minutes on a loaded machine."""
    monkeypatch.setattr(compiled, "BACKEND", "aot_eager")
    compiler_fault.cache_clear()
    torch._dynamo.reset()
    yield
    compiler_fault.cache_clear()
    torch._dynamo.reset()


def compilations() -> int:
    return torch._dynamo.utils.counters["stats"]["unique_graphs"]


def compiled_toy(said: list[str], method: Toy | None = None):
    made = (method or Own()).to(CPU).train()
    batch = ToyBatches()
    context = compiled_networks(
        True, made, lambda: batch.batch(0), process_group(), "fp32", said.append
    )
    return made, context


def was_compiled(folder: Path) -> bool:
    """What the training's file of costs says."""
    return json.loads((folder / "toy.json").read_text()).get("compiled", False)


def test_losses_are_those_of_the_networks_as_they_are(tmp_path, capfd):
    before = compilations()
    settings = {"validate_every": 1, "checkpoint_every": 4}
    weights, history = train_toy(tmp_path / "c", toy_config(12, compile=True, **settings))
    assert compilations() > before + 2  # generator, discriminator, discriminator frozen
    expected, course = train_toy(tmp_path / "e", toy_config(12, **settings))
    for one, other in zip(rows(history), rows(course), strict=True):
        assert one.keys() == other.keys()
        for name, value in one.items():
            assert float(value) == pytest.approx(float(other[name]), rel=1e-5, abs=1e-6)
    for name, value in load(expected).items():
        assert load(weights)[name] == pytest.approx(value, abs=2e-3)  # kept in half precision
    assert "not compiled" not in capfd.readouterr().err
    assert was_compiled(tmp_path / "c")
    assert not was_compiled(tmp_path / "e")


def test_nothing_is_compiled_that_is_not_asked_for(tmp_path):
    before = compilations()
    train_toy(tmp_path, toy_config(3))
    assert compilations() == before


def test_a_compiled_training_resumes_exactly(tmp_path):
    dropout = 0.3
    config = toy_config(12, compile=True, checkpoint_every=5, validate_every=4)
    expected = train_toy(tmp_path / "whole", config, dropout=dropout)

    class Breaks(ToyBatches):
        def batch(self, step):
            if step == fails:
                raise RuntimeError("power cut")
            return super().batch(step)

    fails = 8
    with pytest.raises(RuntimeError, match="power cut"):
        train_toy(tmp_path, config, dropout=dropout, batches=Breaks())
    assert train_toy(tmp_path, config, dropout=dropout) == expected


def test_weights_keep_their_names_and_a_copy_is_not_compiled():
    method, plain = Own().to(CPU), Own().to(CPU)
    compile_networks(method, CPU)
    for name, network in method.networks.items():
        assert list(network.state_dict()) == list(plain.networks[name].state_dict())
        assert list(clone(network)) == list(plain.networks[name].state_dict())
        assert network._compiled_call_impl is not None
        assert copy.deepcopy(network)._compiled_call_impl is None
    x = ToyBatches().batch(0).blurred
    generators = [m.networks["generator"] for m in (method, plain)]
    copied = copy.deepcopy(generators[0])
    torch.testing.assert_close(copied(x), generators[1](x), rtol=0, atol=0)
    torch.testing.assert_close(generators[0](x), generators[1](x))


def refuse(_graph, _inputs):
    raise RuntimeError("no compiler here\nand more lines")


def test_without_a_compiler_training_goes_on_and_says_why(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(compiled, "BACKEND", refuse)
    weights, history = train_toy(tmp_path / "c", toy_config(6, compile=True))
    expected, course = train_toy(tmp_path / "e", toy_config(6))
    assert (weights, history) == (expected, course)
    lines = [line for line in capfd.readouterr().err.splitlines() if "not compiled" in line]
    assert len(lines) == 1
    assert "no compiler here" in lines[0]
    assert not was_compiled(tmp_path / "c")


class Twice(Own):
    """Differentiates the discriminator twice, as gradient penalties do."""

    def phases(self, batch):
        yield from super().phases(batch)
        sharp = batch.sharp.clone().requires_grad_(True)
        logits = self.networks["discriminator"](sharp)
        (gradient,) = torch.autograd.grad(logits.sum(), sharp, create_graph=True)
        yield Phase.of("discriminator", {"r1": (1.0, gradient.square().mean())})


def test_a_network_that_cannot_be_compiled_trains_as_it_is(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr("helpers.toys.Toy", Twice)
    result = train_toy(tmp_path / "c", toy_config(6, compile=True))
    assert result == train_toy(tmp_path / "e", toy_config(6))
    lines = [line for line in capfd.readouterr().err.splitlines() if "not compiled" in line]
    assert len(lines) == 1
    assert "double backward" in lines[0]
    assert not was_compiled(tmp_path / "c")


def test_what_fails_to_compile_later_runs_as_it_is(monkeypatch):
    refused = []

    def refuse_later(graph, inputs):
        if later:
            refused.append(1)
            return refuse(graph, inputs)
        return graph.forward

    later, said = False, []
    monkeypatch.setattr(compiled, "BACKEND", refuse_later)
    method, context = compiled_toy(said)
    x = ToyBatches().batch(1).blurred
    with context as works:
        assert works
        later = True
        with compiled_step(method):
            found = method.networks["generator"](x[:2])
    assert refused
    assert torch.equal(found, method.networks["generator"](x[:2]))


def test_a_method_that_calls_its_networks_by_parts_is_said_to_train_as_it_is():
    said: list[str] = []
    _, context = compiled_toy(said, Toy())
    with context as works:
        assert not works
    assert said == [
        "training.compile: networks are trained as they are, not compiled: "
        "toy calls none of its networks as a whole"
    ]


@pytest.mark.slow
def test_the_compiler_itself(tmp_path, monkeypatch):
    monkeypatch.setattr(compiled, "BACKEND", "inductor")
    if fault := compiler_fault(CPU):
        pytest.skip(f"no compiler: {fault}")
    _, history = train_toy(tmp_path / "c", toy_config(4, compile=True, validate_every=1))
    _, course = train_toy(tmp_path / "e", toy_config(4, validate_every=1))
    assert was_compiled(tmp_path / "c")
    for one, other in zip(rows(history), rows(course), strict=True):
        for name, value in one.items():
            assert float(value) == pytest.approx(float(other[name]), rel=1e-5, abs=1e-5)
