from __future__ import annotations

import math

import pytest
import torch
from pydantic import ValidationError
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    LRScheduler,
    MultiStepLR,
    SequentialLR,
)

from dfpg.core.config import Config, parse_config
from dfpg.core.schedule import Schedule, learning_rate, rate_factor, training_steps

STEPS = 60
SCHEDULES = {
    "constant": Schedule(shape="constant"),
    "cosine": Schedule(shape="cosine", final=0.01),
    "constant_cosine": Schedule(shape="cosine", constant=0.25, final=0.1),
    "linear": Schedule(shape="linear", final=0.2),
    "constant_linear": Schedule(shape="linear", constant=0.5),
    "step": Schedule(shape="step", drops=((0.7, 0.5), (0.9, 0.125))),
    "exponential": Schedule(shape="exponential", factor=0.9, times=STEPS),
    "stairs": Schedule(shape="exponential", factor=0.5, times=6),
    "constant_exponential": Schedule(shape="exponential", constant=0.5, factor=0.5, times=3),
}


def rates(schedule: Schedule, steps: int = STEPS, warmup: float = 0.0) -> list[float]:
    return [learning_rate(schedule, warmup, step, steps) for step in range(steps)]


def torch_schedulers(adam: torch.optim.Optimizer) -> dict[str, LRScheduler]:
    """PyTorch's schedulers that the schedules above must agree with."""
    unit = lambda _: 1.0  # noqa: E731
    chained = {
        "constant_cosine": (CosineAnnealingLR(adam, T_max=45, eta_min=0.1), 15),
        "constant_linear": (LinearLR(adam, 1.0, 0.0, total_iters=30), 30),
    }
    schedulers: dict[str, LRScheduler] = {
        "constant": LambdaLR(adam, unit),
        "cosine": CosineAnnealingLR(adam, T_max=STEPS, eta_min=0.01),
        "linear": LinearLR(adam, 1.0, 0.2, total_iters=STEPS),
        "step": LambdaLR(adam, lambda k: 1.0 if k < 42 else 0.5 if k < 54 else 0.125),
        "exponential": ExponentialLR(adam, 0.9),
        "stairs": MultiStepLR(adam, range(10, 60, 10), 0.5),
        "constant_exponential": MultiStepLR(adam, [40, 50], 0.5),
    }
    for name, (after, start) in chained.items():
        schedulers[name] = SequentialLR(adam, [LambdaLR(adam, unit), after], [start])
    return schedulers


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_is_pytorchs_own(name):
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    optimiser.param_groups[0]["initial_lr"] = 1.0
    scheduler = torch_schedulers(optimiser)[name]
    for group in optimiser.param_groups:  # making the other schedulers changed it
        group["lr"] = 1.0
    expected = []
    for _ in range(STEPS):
        expected.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        scheduler.step()
    assert rates(SCHEDULES[name]) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_means_the_same_at_every_budget(name):
    """Its mean and its last factor hardly depend on the number of steps; it starts at 1."""
    schedule = SCHEDULES[name]
    few, many = rates(schedule, 600), rates(schedule, 6000)
    assert few[0] == many[0] == 1
    assert all(0 <= rate <= 1 for rate in many)
    assert sum(few) / 600 == pytest.approx(sum(many) / 6000, abs=0.002)
    assert few == pytest.approx(many[::10], abs=1e-9)
    assert rate_factor(schedule, 1.0) == pytest.approx(many[-1], abs=0.002)


def test_changes_come_at_the_step_that_the_share_names():
    """Shares such as 7/100 are not exact: the change must not slip by a step for that."""
    for steps in (30, 100, 700, 999):
        for at in range(1, steps, 7):
            schedule = Schedule(shape="step", drops=((at / steps, 0.5),))
            assert rates(schedule, steps).count(1.0) == at


@pytest.mark.parametrize("steps", [20, 200, 1999])
def test_warm_up_rises_linearly_within_its_share_of_any_run(steps):
    found = rates(Schedule(shape="constant"), steps, warmup=0.1)
    expected = [min(1.0, (step + 1) / (0.1 * steps)) for step in range(steps)]
    assert found == pytest.approx(expected)
    assert math.isclose(found.index(1.0) + 1, 0.1 * steps, abs_tol=1)
    cosine = Schedule(shape="cosine")
    both = [rise * rate for rise, rate in zip(expected, rates(cosine, steps), strict=True)]
    assert rates(cosine, steps, warmup=0.1) == pytest.approx(both)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"shape": "cosine", "drops": [[0.5, 0.5]]}, "drops means nothing where shape is cosine"),
        ({"shape": "constant", "final": 0.1}, "final means nothing where shape is constant"),
        ({"shape": "step"}, "drops: give one or more"),
        ({"shape": "step", "drops": [[0.5, 0.5], [0.5, 0.2]]}, "each later than the one before"),
        ({"shape": "step", "drops": [[1.0, 0.5]]}, "less than 1"),
        ({"shape": "exponential", "factor": 0.9}, "exponential needs factor and times"),
        ({"shape": "linear", "constant": 1.0}, "less than 1"),
        ({"shape": "cosine", "final": 1.5}, "less than or equal to 1"),
        ({"shape": "sine"}, "constant"),
        ({"shape": "cosine", "finale": 0.1}, "did you mean final"),
    ],
)
def test_what_makes_no_sense_is_refused(values, said):
    with pytest.raises(ValidationError, match=said):
        Schedule.model_validate(values)


def raw(config: Config) -> dict:
    return config.model_dump(mode="json")


def test_a_schedule_is_read_from_yaml_lists(config):
    values = raw(config)
    values["training"]["schedule"] = {"shape": "step", "drops": [[0.5, 0.1]]}
    found = parse_config(values, "params.yaml").training.schedule
    assert found == Schedule(shape="step", drops=((0.5, 0.1),))


def test_steps_are_enough_to_show_the_images(config):
    def steps(images: int, **changes: object) -> int:
        run = config.runs["b1"].model_copy(update={"images": images} | changes)
        training = config.training.model_copy(update={"batch_size": 8})
        whole = config.model_copy(update={"runs": {"b1": run}, "training": training})
        return training_steps(whole, "b1")

    assert [steps(n) for n in (1, 8, 9, 3200)] == [1, 1, 2, 400]
    assert steps(3200, weights="weights.safetensors") == 0
