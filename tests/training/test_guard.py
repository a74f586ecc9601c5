from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.toys import Linear, ToyBatches, rows, toy_config, train_toy
from safetensors.torch import load
from torch import nn

from dfpg.core.config import Config
from dfpg.core.errors import UserError
from dfpg.core.schedule import Schedule
from dfpg.methods.base import Phase
from dfpg.methods.weights import read_card
from dfpg.training.guard import MAX_DROP, MAX_RATIO, MIN_VALUES, WINDOW, Guard

DISCRIMINATORS = ("discriminator", "attention_discriminator", "critic")


def fed(guard: Guard, losses: list[float], name: str = "loss_generator", **others: float) -> int:
    """Number of losses until one is said to explode; 0: none is."""
    for number, loss in enumerate(losses, 1):
        if guard.check_losses({name: loss, **others}, DISCRIMINATORS):
            return number
    return 0


def test_a_loss_far_above_its_median_explodes_once_there_are_enough():
    guard = Guard()
    assert fed(guard, [1.0] * (MIN_VALUES - 1) + [MAX_RATIO + 1]) == 0
    assert fed(Guard(), [1.0] * MIN_VALUES + [MAX_RATIO]) == 0
    assert fed(Guard(), [1.0] * MIN_VALUES + [MAX_RATIO * 1.01]) == MIN_VALUES + 1


def test_the_median_is_of_the_recent_losses():
    """A loss may rise by any factor in the course of time, and a rare outlier moves no median."""
    slowly = [1.05**step for step in range(300)]
    assert slowly[-1] > 1e6
    assert fed(Guard(), slowly) == 0
    assert fed(Guard(), [1.0] * WINDOW + [1e-3] * WINDOW + [1.0]) == 2 * WINDOW + 1
    outliers = [15.0 if step % 10 == 9 else 1.0 for step in range(100)]
    assert fed(Guard(), [*outliers, MAX_RATIO + 1]) == 101


def test_negative_losses_explode_upwards_only():
    assert fed(Guard(), [-30.0] * MIN_VALUES + [-1e9]) == 0
    assert fed(Guard(), [-30.0] * MIN_VALUES + [601.0]) == MIN_VALUES + 1


@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_no_discriminators_loss_is_compared_with_its_median(name: str):
    assert fed(Guard(), [0.002] * MIN_VALUES + [0.06], f"loss_{name}") == 0
    assert fed(Guard(), [0.002] * MIN_VALUES + [0.06], f"loss_{name}_like") == MIN_VALUES + 1


def test_other_sets_of_terms_are_apart():
    guard = Guard()
    assert fed(guard, [1.0] * MIN_VALUES, r1=1.0) == 0
    assert fed(guard, [100.0] * MIN_VALUES) == 0  # without the penalty: another sum
    assert fed(guard, [100.0], r1=1.0) == 1


def test_a_gain_far_below_the_best_explodes_where_something_was_gained():
    guard = Guard()
    found = [
        bool(guard.check_gain(gain)) for gain in (0.0, 1.0, 0.5, 1.0 - MAX_DROP, 0.99 - MAX_DROP)
    ]
    assert found == [False, False, False, False, True]
    far = Guard()
    assert not any(far.check_gain(gain) for gain in (-20.0, -9.0, -15.0, -8.0))


CONSTANT = Schedule(shape="constant")


class Parabola(Linear):
    """Loss w^2 / 2 with plain SGD: a rate above 2 makes w grow by |1 - rate| a step."""

    def phases(self, _batch):
        weight = self.networks["generator"].weight
        yield Phase("generator", (weight**2).sum() / 2, {})


def parabola_config(rate: float, **training: Any) -> Config:
    values = {"schedule": CONSTANT, "ema": 0.0, "checkpoint_every": 10, "validate_every": 10}
    steps = training.pop("steps", 40)
    return toy_config(steps, {"lr": rate}, **(values | training))


def train_parabola(
    folder: Path, monkeypatch: pytest.MonkeyPatch, config: Config, **options: object
) -> tuple[bytes, bytes]:
    monkeypatch.setattr("helpers.toys.Toy", Parabola)
    return train_toy(folder, config, **({"validation": None} | options))


def test_an_exploding_loss_goes_back_once_and_ends_at_half_the_rate(tmp_path, monkeypatch, capfd):
    weights, history = train_parabola(tmp_path, monkeypatch, parabola_config(2.5))
    # Twenty-one steps make w 1.5^20 and show it; step 20 was saved; then w falls by 1 - 1.25.
    expected = 1.5**20 * 0.25**20
    assert load(weights)["weight"].abs().flatten().tolist() == pytest.approx([expected] * 3)
    course = [(row["step"], row["lr"], row["exploded_at"]) for row in rows(history)]
    assert course[:2] == [("10", "2.5", ""), ("20", "2.5", "")]
    assert course[2:] == [("30", "1.25", "21"), ("40", "1.25", "21")]
    assert read_card(tmp_path / "toy.safetensors").exploded_at == 21
    said = [line for line in capfd.readouterr().err.splitlines() if "back to step 20" in line]
    assert len(said) == 1
    assert "toy: step 21: loss_generator is" in said[0]


def test_a_training_that_does_not_explode_says_nothing_of_it(tmp_path, monkeypatch):
    _, history = train_parabola(tmp_path, monkeypatch, parabola_config(0.5))
    assert "exploded_at" not in rows(history)[0]
    assert read_card(tmp_path / "toy.safetensors").exploded_at is None


def test_the_second_explosion_is_one_line(tmp_path, monkeypatch):
    with pytest.raises(
        UserError, match=r"exploded at step 21 already.*lower runs\.toy\.lr"
    ) as caught:
        train_parabola(tmp_path, monkeypatch, parabola_config(5.5, steps=60))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "toy.safetensors").exists()


class TwoDiscriminators(Parabola):
    """A generator at rest, and two discriminators whose losses grow 30 times in one step."""

    def __init__(self) -> None:
        super().__init__()
        self.networks |= {name: nn.Linear(1, 1, bias=False) for name in DISCRIMINATORS[:2]}
        self.steps = 0

    def optimisers(self, lr, lr_discriminator):
        del lr, lr_discriminator
        return {n: torch.optim.SGD(m.parameters(), 0.0) for n, m in self.networks.items()}

    def phases(self, _batch):
        self.steps += 1
        loss = 0.002 if self.steps <= MIN_VALUES else 0.06
        for name in DISCRIMINATORS[:2]:
            yield Phase(name, 0 * self.networks[name].weight.sum() + loss, {})
        yield Phase("generator", (self.networks["generator"].weight ** 2).sum(), {})


def test_neither_of_two_discriminators_explodes(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr("helpers.toys.Toy", TwoDiscriminators)
    train_toy(tmp_path, parabola_config(0.5, steps=30), validation=None)
    assert "back to step" not in capfd.readouterr().err
    assert read_card(tmp_path / "toy.safetensors").exploded_at is None


def gain_of_parabola(method, _weights):
    """In dB, 0 at the start."""
    size = float(method.networks["generator"].weight.detach().abs().mean())
    return {"validation_gain": -20 * math.log10(max(size, 1e-30))}


def test_a_falling_gain_goes_back_to_the_start_where_nothing_is_saved_yet(tmp_path, monkeypatch):
    config = parabola_config(2.1, validate_every=2, checkpoint_every=100)
    weights, history = train_parabola(tmp_path, monkeypatch, config, validation=gain_of_parabola)
    # 1.1^4 is 3.3 dB; then from 1 on with 1 - 1.05.
    assert rows(history)[0]["exploded_at"] == "4"
    assert float(rows(history)[0]["validation_gain"]) == pytest.approx(-40 * math.log10(0.05), 1e-4)
    assert load(weights)["weight"].abs().max() == 0  # below the least of half precision


@pytest.mark.parametrize(
    ("fails", "cuts"),
    # Batch 21 is made ahead and given up, since step 20 explodes: it cuts nothing.
    [([3], 1), ([20], 1), ([21, 22], 1), ([5, 20, 30], 3), ([39], 1)],
)
def test_resume_around_an_explosion_is_exact(tmp_path, monkeypatch, fails, cuts):
    config = parabola_config(2.5, ema=0.5)
    expected = train_parabola(tmp_path / "whole", monkeypatch, config)
    left = list(fails)

    class Breaks(ToyBatches):
        def batch(self, step):
            if step in left:
                left.remove(step)
                raise RuntimeError("power cut")
            return super().batch(step)

    for _ in range(cuts):
        with pytest.raises(RuntimeError, match="power cut"):
            train_parabola(tmp_path, monkeypatch, config, batches=Breaks())
    assert not left
    assert train_parabola(tmp_path, monkeypatch, config) == expected


def test_an_explosion_forgets_what_it_did_to_moments_and_averages(tmp_path, monkeypatch):
    """With Adam and both averages: but for the rate, the training is as if it had not been."""

    class WithAdam(Parabola):
        def optimisers(self, lr, _lr_discriminator):
            return {"generator": torch.optim.Adam(self.networks["generator"].parameters(), lr)}

        def phases(self, _batch):
            weight = self.networks["generator"].weight
            scale = 1e9 if self.poisoned and self.step_number == 25 else 1.0
            self.step_number += 1
            self.poisoned = self.poisoned and scale == 1.0
            yield Phase("generator", scale * ((weight - 2) ** 2).sum(), {})

    def run(folder: Path, poisoned: bool, rate: float) -> dict[str, torch.Tensor]:
        def make():
            method = WithAdam()
            method.poisoned, method.step_number = poisoned, 0
            return method

        monkeypatch.setattr("helpers.toys.Toy", make)
        config = parabola_config(rate, ema=0.9, snapshots=[0.5, 1.0])
        weights, _ = train_toy(folder, config, validation=None)
        return load(weights)

    whole = run(tmp_path / "a", True, 0.1)

    monkeypatch.setattr(Guard, "factor", property(lambda _: 1.0))
    same_rate = run(tmp_path / "b", True, 0.1)
    plain = run(tmp_path / "c", False, 0.1)
    assert all(torch.equal(same_rate[name], plain[name]) for name in plain)
    assert not torch.equal(whole["weight"], plain["weight"])
