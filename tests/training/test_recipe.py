from __future__ import annotations

from statistics import fmean

import pytest

from dfpg.core.config import Config
from dfpg.core.profile import NAMES, resolve_profile
from dfpg.core.schedule import Schedule, rate_factor
from dfpg.methods.nafnet import NAFNet
from dfpg.methods.registry import method_class
from dfpg.methods.xia2019 import Xia2019
from dfpg.training.recipe import resolve_recipe

COSINE, CONSTANT = Schedule(shape="cosine"), Schedule(shape="constant")

# Factor of the rate at a step of the published training, and its mean over the training.
PUBLISHED = [
    ("xia2019", 190_000, {0: 1, 169_999: 1, 170_000: 10**-0.5, 180_000: 0.1}, 0.917),
    ("wang2021", 800_000, {0: 1, 599_999: 1, 600_000: 0.5, 700_000: 0.25}, 0.844),
    ("lu2019", 80, {0: 1, 40: 1, 60: 0.5, 79: 1 / 40}, 0.756),
    ("nafnet", 200_000, {0: 1, 100_000: 0.50005}, 0.5),
    ("restormer", 300_000, {0: 1, 91_999: 1, 196_000: (1 + 1 / 300) / 2}, 0.654),
    ("dfpgnet", 200, {0: 1, 1: 0.99, 199: 0.99**199}, 0.433),
    ("lee2020", 200, {0: 1, 1: 0.99, 199: 0.99**199}, 0.433),
    ("yasarla2020", 60, {18: 1, 19: 0.5, 38: 0.25, 57: 0.125}, 0.560),
    ("zhang2019", 2400, {999: 1, 1000: 0.1, 2000: 0.01}, 0.460),
]


@pytest.mark.parametrize(("name", "steps", "factors", "mean"), PUBLISHED)
def test_each_system_has_its_published_schedule(name, steps, factors, mean):
    schedule = method_class(name).recipe.schedule
    for step, factor in factors.items():
        assert rate_factor(schedule, step / steps) == pytest.approx(factor, rel=1e-6), step
    parts = min(steps, 10_000)
    found = fmean(rate_factor(schedule, step / parts) for step in range(parts))
    assert found == pytest.approx(mean, abs=0.001)


def changed(config: Config, run: dict | None = None, **training: object) -> Config:
    update = {"training": config.training.model_copy(update=training)}
    if run:
        update["runs"] = config.runs | {"b1": config.runs["b1"].model_copy(update=run)}
    return config.model_copy(update=update)


def test_the_runs_schedule_comes_before_the_profiles_and_that_before_the_methods(config):
    own = changed(config, {"schedule": None}, schedule=None)
    assert resolve_recipe(own, "b1", Xia2019).schedule == Xia2019.recipe.schedule
    profile = changed(own, schedule=CONSTANT)
    assert resolve_recipe(profile, "b1", Xia2019).schedule == CONSTANT
    run = changed(profile, {"schedule": COSINE}, schedule=CONSTANT)
    assert resolve_recipe(run, "b1", Xia2019).schedule == COSINE


def test_clipping_and_averaging_are_the_profiles_where_the_system_says_nothing(config):
    profile = changed(config, clip=0.7, ema=0.3, warmup=0.2)
    silent, spoken = (resolve_recipe(profile, "b1", method) for method in (Xia2019, NAFNet))
    assert (silent.clip, silent.ema, silent.warmup) == (0.7, 0.3, 0.2)
    assert (spoken.clip, spoken.ema, spoken.warmup) == (0.01, 0.3, 0.2)
    assert method_class("restormer").recipe.clip == 0.01
    assert method_class("wang2021").recipe.ema == 0.998


# In profiles paper and official every system has its own number; shipped trains a single run.
@pytest.mark.parametrize("profile", sorted(set(NAMES) - {"paper", "official", "shipped"}))
def test_runs_of_a_protocol_see_the_same_number_of_images(profile):
    config = resolve_profile(profile)[0]
    for protocol in config.protocols:
        runs = [run for run in config.runs.values() if run.protocol == protocol and not run.weights]
        assert len({run.images for run in runs}) == 1


def test_the_papers_schedule_is_used_in_the_paper_and_research_profiles():
    for profile in ("paper", "research"):
        config = resolve_profile(profile)[0]
        for run in ("dfpg_b", "lee2020_b"):
            method = method_class(config.runs[run].method)
            schedule = resolve_recipe(config, run, method).schedule
            assert schedule == Schedule(shape="exponential", factor=0.99, times=200)
