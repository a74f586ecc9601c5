from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
import torch
from helpers.toys import Linear, Toy, ToyBatches, rows, toy_config, train_toy
from safetensors.torch import load, load_file
from torch import nn

from dfpg.core.errors import UserError
from dfpg.core.files import write_text
from dfpg.core.schedule import Schedule
from dfpg.methods.base import Phase
from dfpg.methods.weights import load_weights

CONSTANT = Schedule(shape="constant")
as_kept = partial(pytest.approx, rel=2.0**-11, abs=1e-6)  # weights are kept in half precision


def train_linear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **training) -> bytes:
    method = Linear()
    monkeypatch.setattr("helpers.toys.Toy", lambda: method)
    return train_toy(tmp_path, toy_config(10, {"lr": 0.1}, **training), validation=None)


def test_learning_rate_follows_the_schedule(tmp_path, monkeypatch):
    halved = Schedule(shape="exponential", factor=0.5, times=5)
    weights, history = train_linear(
        tmp_path, monkeypatch, schedule=halved, ema=0.0, validate_every=1
    )
    rates = [0.1 * 0.5 ** (step // 2) for step in range(10)]
    assert [float(row["lr"]) for row in rows(history)] == pytest.approx(rates)
    # d(loss)/dw = 1, so w falls by the learning rate of every step.
    assert load(weights)["weight"].flatten().tolist() == as_kept([1 - sum(rates)] * 3)


def test_moving_average_has_its_closed_form(tmp_path, monkeypatch):
    weights, _ = train_linear(tmp_path, monkeypatch, schedule=CONSTANT, ema=0.4)
    # w_k = 1 - 0.1 k; the newest has the share max(0.6, 10 / (k + 9)): 1 at first, 0.6 from k = 8
    expected = 1.0
    for k in range(1, 11):
        share = max(0.6, 10 / (k + 9))
        expected += share * (1 - 0.1 * k - expected)
    assert load(weights)["weight"].flatten().tolist() == as_kept([expected] * 3)


@pytest.mark.parametrize("clip", [None, 0.5, 100.0])
def test_gradients_are_clipped_and_recorded_as_they_were(tmp_path, monkeypatch, clip):
    weights, history = train_linear(tmp_path, monkeypatch, schedule=CONSTANT, ema=0.0, clip=clip)
    # The gradient is (1, 1, 1), of norm sqrt 3.
    length = 3**0.5
    step = 0.1 * min(1.0, (clip or length) / length)
    expected = as_kept([1 - 10 * step] * 3)
    assert load(weights)["weight"].flatten().tolist() == expected
    assert float(rows(history)[-1]["gradient_generator"]) == pytest.approx(length, rel=1e-5)


def test_history_holds_the_means_since_the_last_row(tmp_path):
    config = toy_config(25, validate_every=10)
    single = toy_config(25, validate_every=1)
    _, history = train_toy(tmp_path / "ten", config)
    _, each = train_toy(tmp_path / "one", single)
    assert [row["step"] for row in rows(history)] == ["10", "20", "25"]
    losses = [float(row["pixel"]) for row in rows(each)]
    means = [sum(losses[:10]) / 10, sum(losses[10:20]) / 10, sum(losses[20:]) / 5]
    assert [float(row["pixel"]) for row in rows(history)] == pytest.approx(means, rel=1e-4)
    assert rows(history)[1]["validation_gain"] == rows(each)[19]["validation_gain"]


def test_validation_sees_the_average_and_leaves_the_weights_alone(tmp_path):
    seen = {}

    def look(_method, weights):
        seen.update({name: value.clone() for name, value in weights.items()})
        return {}

    with_look, _ = train_toy(tmp_path / "a", toy_config(20, validate_every=7), validation=look)
    without, _ = train_toy(tmp_path / "b", toy_config(20, validate_every=7), validation=None)
    assert with_look == without
    assert all(torch.equal(value, seen[name].half()) for name, value in load(with_look).items())


class Alternating(Linear):
    """Discriminator d with loss d, then generator g with loss d g: g must see the stepped d."""

    def __init__(self) -> None:
        super().__init__()
        other = nn.Conv2d(3, 1, 1, bias=False)
        nn.init.ones_(other.weight)
        self.networks["discriminator"] = other

    def optimisers(self, lr, lr_discriminator):
        rates = {"generator": lr, "discriminator": lr_discriminator}
        return {
            name: torch.optim.SGD(network.parameters(), rates[name])
            for name, network in self.networks.items()
        }

    def phases(self, _batch):
        g, d = (network.weight for network in self.networks.values())
        yield Phase("discriminator", d.sum(), {})
        yield Phase("generator", (d * g).sum(), {})


def test_the_discriminators_gradient_is_not_clipped(tmp_path, monkeypatch):
    method = Alternating()
    monkeypatch.setattr("helpers.toys.Toy", lambda: method)
    config = toy_config(
        1, {"lr": 0.1, "lr_discriminator": 0.03}, schedule=CONSTANT, ema=0.0, clip=0.1
    )
    weights, _ = train_toy(tmp_path, config, validation=None)
    assert method.networks["discriminator"].weight.flatten().tolist() == pytest.approx([0.97] * 3)
    expected = 1 - 0.1 * 0.1 / 3**0.5
    assert load(weights)["weight"].flatten().tolist() == as_kept([expected] * 3)


def test_phases_alternate_and_do_not_leak_gradients(tmp_path, monkeypatch):
    method = Alternating()
    monkeypatch.setattr("helpers.toys.Toy", lambda: method)
    config = toy_config(5, {"lr": 0.1, "lr_discriminator": 0.03}, schedule=CONSTANT, ema=0.0)
    weights, _ = train_toy(tmp_path, config, validation=None)
    d = [1 - 0.03 * k for k in range(1, 6)]  # the gradient that d g leaves in d counts for nothing
    expected = 1 - 0.1 * sum(d)
    assert load(weights)["weight"].flatten().tolist() == as_kept([expected] * 3)
    assert method.networks["discriminator"].weight.flatten().tolist() == pytest.approx([d[-1]] * 3)


@pytest.mark.skipif(
    not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="this CPU cannot compute bf16"
)
def test_bf16_trains_close_to_fp32(tmp_path):
    half, _ = train_toy(tmp_path / "bf16", toy_config(20, precision="bf16"))
    full, _ = train_toy(tmp_path / "fp32", toy_config(20, precision="fp32"))
    assert half != full
    for name, value in load(full).items():
        assert load(half)[name].dtype == torch.float16  # as all weights are kept
        assert load(half)[name] == pytest.approx(value, abs=0.02)


def test_training_improves_on_its_start_and_the_weights_load(tmp_path):
    config = toy_config(100, schedule=CONSTANT)
    _, history = train_toy(tmp_path, config)
    assert float(rows(history)[-1]["validation_gain"]) > float(rows(history)[0]["validation_gain"])
    assert load_weights(tmp_path / "toy.safetensors", Toy()).steps == 100


@pytest.mark.parametrize(
    ("dropout", "ema"),
    [
        (0.0, 0.0),
        (0.3, 0.9),
        pytest.param(0.0, 0.9, marks=pytest.mark.slow),
        pytest.param(0.3, 0.0, marks=pytest.mark.slow),
    ],
)
def test_resume_is_exact_with_two_optimisers(tmp_path, ema, dropout):
    config = toy_config(40, ema=ema, checkpoint_every=8, validate_every=9)
    expected = train_toy(tmp_path / "whole", config, dropout=dropout)

    class Breaks(ToyBatches):
        def batch(self, step):
            if step in fails:
                fails.remove(step)
                raise RuntimeError("power cut")
            return super().batch(step)

    fails = [5, 13, 30, 39]
    for _ in list(fails):
        with pytest.raises(RuntimeError):
            train_toy(tmp_path, config, dropout=dropout, batches=Breaks())
        torch.rand(3)  # what happens to the global generator in between does not matter
    batches = ToyBatches()
    assert train_toy(tmp_path, config, dropout=dropout, batches=batches) == expected
    assert batches.served == list(range(32, 40))
    assert not (tmp_path / "scratch").exists()


@pytest.mark.parametrize("poison", [0, 11])
def test_nan_stops_with_the_batch_saved_and_no_later_checkpoint(tmp_path, poison):
    config = toy_config(20, checkpoint_every=1)
    write_text(tmp_path / "toy.csv", "earlier")
    with pytest.raises(UserError, match=rf"is nan at step {poison}.*lower runs.toy.lr") as caught:
        train_toy(tmp_path, config, batches=ToyBatches(poison=poison))
    assert "\n" not in str(caught.value)
    saved = tmp_path / "scratch" / f"nonfinite-step-{poison:09d}.safetensors"
    assert str(saved) in str(caught.value)
    batch = load_file(saved)
    assert batch["blurred"].isnan().sum() == 1
    assert torch.equal(batch["sharp"], ToyBatches().batch(poison).sharp)
    assert len(list((tmp_path / "scratch").glob("checkpoint-*"))) == min(1 + poison, 2)
    assert (tmp_path / "toy.csv").read_text() == "earlier"
    # With the cause removed the run goes on as if nothing had happened.
    assert train_toy(tmp_path, config) == train_toy(tmp_path / "whole", config)


def test_infinite_gradient_of_a_finite_loss_stops(tmp_path, monkeypatch):
    class Root(Linear):
        def phases(self, _batch):
            weight = self.networks["generator"].weight
            yield Phase("generator", (weight - 1).sqrt().sum(), {})

    method = Root()
    monkeypatch.setattr("helpers.toys.Toy", lambda: method)
    with pytest.raises(UserError, match="gradient_generator is inf at step 0"):
        train_toy(tmp_path, toy_config(3), validation=None)


@pytest.mark.parametrize("on_device", [False, True])
def test_the_file_of_costs_says_where_the_device_drew_the_noise(tmp_path, on_device):
    train_toy(tmp_path, toy_config(1, noise_on_device=on_device))
    costs = json.loads((tmp_path / "toy.json").read_text())
    assert costs.get("noise_on_device", False) is on_device


def test_networks_are_channels_last_in_training(tmp_path):
    layouts = []

    def look(method, _weights):
        weight = method.networks["generator"][0].weight
        layouts.append(weight.is_contiguous(memory_format=torch.channels_last))
        return {}

    train_toy(tmp_path, toy_config(1), validation=look)
    assert layouts == [True, True]  # at the start and at the end
