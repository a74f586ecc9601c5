"""Scaling against sums by hand; timing on the real machine only for its shape."""

from __future__ import annotations

import pytest

from dfpg.forecast import (
    ADVERSARIAL,
    PLAIN,
    Probe,
    forecast,
    gmacs,
    has_discriminator,
    time_run,
)
from dfpg.methods.overview import cost
from dfpg.profile import resolve_profile


def probe(run: str, seconds_per_gmac: float) -> Probe:
    return Probe(run, 32, 4, 3, 4 * 2.0 * seconds_per_gmac, 2.0)


def test_a_forecast_is_the_sum_over_runs_by_kind(config):
    runs = {name: config.runs[name] for name in ("b1", "b5", "nafnet")}
    runs["b1"] = runs["b1"].model_copy(update={"steps": 1000})
    part = config.model_copy(update={"runs": runs})
    found = forecast(part, probe(PLAIN, 0.5), probe(ADVERSARIAL, 3.0))
    share = (32 / 128) ** 2 / 1e9
    by_hand = (
        1000 * 4 * cost(config, "b1").macs * share * 0.5
        + 4 * 4 * cost(config, "nafnet").macs * share * 0.5
        + 4 * 4 * cost(config, "b5").macs * share * 3.0
    )
    assert found.seconds == pytest.approx(by_hand)
    assert found.runs == 3


def test_a_run_of_published_weights_costs_nothing(config):
    taken = config.runs["b1"].model_copy(update={"weights": "folder"})
    part = config.model_copy(update={"runs": {"b1": taken}})
    found = forecast(part, probe(PLAIN, 1.0), probe(ADVERSARIAL, 1.0))
    assert (found.runs, found.seconds) == (0, 0)


def test_gmacs_grow_with_the_area():
    small, _ = resolve_profile("smoke")
    large = small.model_copy(update={"image_size": 64})
    assert gmacs(large, "b1") == pytest.approx(4 * gmacs(small, "b1"))


def test_kinds_are_those_of_the_methods(config):
    kinds = {run: has_discriminator(config, run) for run in ("b1", "b4", "b5", "dfpg_a", "nafnet")}
    assert kinds == {"b1": False, "b4": False, "b5": True, "dfpg_a": True, "nafnet": False}


def test_timed_steps_are_real_ones(config):
    timed = time_run(config, ADVERSARIAL, budget=0.0)
    assert timed.steps == 1
    assert timed.images == config.training.batch_size
    assert timed.seconds > 0
    assert timed.gmacs == pytest.approx(gmacs(config, ADVERSARIAL))


def test_a_full_size_batch_is_cut_on_a_cpu(monkeypatch, config):
    monkeypatch.setattr("dfpg.forecast.CPU_MACS", gmacs(config, PLAIN) * 2.5e9)
    assert time_run(config, PLAIN, budget=0.0).images == 2
