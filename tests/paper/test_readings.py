from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dfpg.core.config import Config, parse_config
from dfpg.core.profile import NAMES, resolve_profile
from dfpg.methods.registry import run_options
from dfpg.paper.readings import CHOICES, Choice, wording
from dfpg.paper.tables import TABLES


@pytest.fixture(scope="module")
def configs() -> dict[str, Config]:
    return {name: resolve_profile(name)[0] for name in NAMES}


def lookup(values: Any, key: str) -> Any:
    for part in key.split("."):
        values = values[part]
    return values


def departed(config: Config, choice: Choice, answer: Any) -> Config:
    values = config.model_dump(exclude_unset=True)
    *parents, last = choice.key.split(".")
    place = lookup(values, ".".join(parents))
    place[last] = answer
    return parse_config(values, Path("params.yaml"))


def test_names_are_unique_and_every_choice_has_two_answers() -> None:
    assert len({choice.name for choice in CHOICES}) == len(CHOICES)
    assert len({choice.key for choice in CHOICES}) == len(CHOICES)
    assert all(len(set(choice.answers)) == len(choice.answers) >= 2 for choice in CHOICES)
    assert all(choice.quotation and choice.section and choice.why for choice in CHOICES)


def test_every_answer_has_words_of_its_own() -> None:
    words = [wording(choice.name, str(one)) for choice in CHOICES for one in choice.answers]
    assert len(set(words)) == len(words)
    assert words == [one for choice in CHOICES for one in choice.wordings]
    assert wording("profile", "") == "profile"
    assert wording("prior-scale", "mean_hw") == "prior-scale"


@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: choice.name)
def test_profiles_hold_one_of_the_answers_and_the_papers_the_default(
    configs: dict[str, Config], choice: Choice
) -> None:
    for name, config in configs.items():
        value = lookup(config.model_dump(), choice.key)
        assert value in choice.answers
        if name in ("paper", "research"):
            assert value == choice.default


@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: choice.name)
def test_every_answer_is_accepted_for_every_row_of_the_ablation(
    configs: dict[str, Config], choice: Choice
) -> None:
    ablation = next(table for table in TABLES if table.name == "table4")
    assert set(choice.runs) <= {row.run for row in ablation.rows}
    runs = {row.run for row in ablation.rows if row.run in configs["embedded"].runs}
    for answer in choice.answers:
        config = departed(configs["embedded"], choice, answer)
        assert lookup(config.model_dump(), choice.key) == answer
        for run in runs:
            run_options(config, str(run))
