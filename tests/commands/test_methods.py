from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from dfpg.commands.methods import HEADINGS, markdown, overview
from dfpg.core.config import Config
from dfpg.core.profile import resolve_profile
from dfpg.methods.cost import Cost, cost
from dfpg.methods.names import method_names
from dfpg.methods.registry import method_class
from dfpg.methods.yasarla2020 import CLASSES, Auxiliary
from dfpg.paper.tables import TABLES

# Parameters in millions and GMACs at 128 px of the published networks.
# Left out are costs that it does not state (lu2019, li2020, wang2021). xia2019's parameters hold
# the kernel branch, which restoring does not run.
PUBLISHED = {
    "dfpgnet": (44.661, 95.2),
    "lee2020": (18.471, 112.2),
    "nafnet": (17.11, 4.0),
    "restormer": (26.13, 35.3),
    "xia2019": (41.826 + 26.450, 1.5),
    "zhang2019": (5.424, 12.2),
}
# Methods whose costs in the small profile are counted, too; of all it takes seconds.
COUNTED = ("lu2019", "nafnet", "restormer", "shen2018", "zhang2019")


@pytest.fixture(scope="module")
def full() -> Config:
    return resolve_profile("paper")[0]


@pytest.fixture(scope="module")
def records(config: Config, full: Config) -> dict[str, dict[str, str]]:
    def cost_of_some(given: Config, run: str) -> Cost:
        whole = given is full or given.runs[run].method in COUNTED
        return cost(given, run) if whole else Cost(0, 0)

    with pytest.MonkeyPatch.context() as patch:  # of the networks' shapes alone: seconds otherwise
        patch.setattr("dfpg.methods.li2020.normalise_spectra", lambda *_: None)
        patch.setattr("dfpg.commands.methods.cost", cost_of_some)
        return {record["method"]: record for record in overview(config, full)}


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_full_width_has_the_published_size_and_cost(records: Any, name: str) -> None:
    parameters, gmacs = PUBLISHED[name]
    assert float(records[name]["full_parameters"]) == pytest.approx(parameters, abs=0.01)
    assert float(records[name]["full_gmacs"]) == pytest.approx(gmacs, abs=0.06)


def test_umsn_costs_less_here_by_what_only_its_training_needs(records: Any) -> None:
    """METHODS counts the confidence net and the streams' own images, once per class, as well."""
    with torch.device("meta"):
        auxiliary, image = Auxiliary(64, False), torch.empty(1, 3, 128, 128)
        stream, features = torch.empty(1, 4, 128, 128), torch.empty(1, 16, 64, 64)
        with FlopCounterMode(display=False) as counter:
            auxiliary.confidence(image, image)
            auxiliary.outputs[0](stream, features)
    training = CLASSES * counter.get_total_flops() / 2e9
    assert float(records["yasarla2020"]["full_gmacs"]) + training == pytest.approx(94.5, abs=0.15)
    assert training > 3


def test_every_method_has_a_record_and_full_costs(records: Any, config: Config) -> None:
    assert list(records) == list(method_names())
    for name, record in records.items():
        assert list(record) == list(HEADINGS)
        assert all(record.values())
        assert 2015 < int(record["year"]) < 2030
        assert float(record["full_gmacs"]) > 0, name
        protocols = {run.protocol for run in config.runs.values() if run.method == name}
        assert record["protocols"] == ", ".join(sorted(protocols))
    for name in COUNTED:
        assert float(records[name]["full_gmacs"]) >= float(records[name]["gmacs"]) > 0, name


@pytest.mark.slow
def test_no_small_network_costs_more_than_its_full_one(config: Config, full: Config) -> None:
    for record in overview(config, full):
        assert float(record["full_gmacs"]) >= float(record["gmacs"]) > 0, record["method"]


def test_a_run_of_published_weights_shows_in_the_fidelity(config: Config) -> None:
    taken = config.runs["dfpg_a"].model_copy(update={"weights": "net.pth"})
    runs = config.model_copy(update={"runs": {"dfpg_a": taken, "b1": config.runs["b1"]}})
    record = overview(runs, runs)[method_names().index("dfpgnet")]  # full costs take seconds
    assert record["fidelity"] == "official weights, reimplementation"


def test_a_profile_without_runs_of_a_method_shows_dashes(config: Config) -> None:
    runs = config.model_copy(update={"runs": {"b1": config.runs["b1"]}})
    record = overview(runs, runs)[method_names().index("nafnet")]
    assert {record[key] for key in ("parameters", "gmacs", "protocols", "fidelity")} == {"-"}


def test_what_calls_itself_an_approximation_is_one_in_the_tables() -> None:
    rows = {row.key: row.fidelity for table in TABLES for row in table.rows}
    for name in method_names():
        module = inspect.getmodule(method_class(name))
        if module is not None and name in rows:
            said = "approximation" in (module.__doc__ or "")
            assert said == (rows[name] == "approximation"), name


def test_markdown_has_one_line_per_method(records: Any) -> None:
    lines = markdown(list(records.values())).splitlines()
    assert len(lines) == 2 + len(method_names())
    assert {line.count("|") for line in lines} == {len(HEADINGS) + 1}
