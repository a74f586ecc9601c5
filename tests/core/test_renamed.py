"""Whoever writes a name of an earlier version is told the new one, in one line."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest
from helpers.toy_scores import scores_of

import dfpg
from dfpg.analysis.estimates import subset_scores
from dfpg.analysis.records import csv_text, read_records
from dfpg.analysis.result_records import ClaimRecord, TableRecord
from dfpg.core.config import Config, parse_config
from dfpg.core.errors import UserError
from dfpg.core.renamed import (
    CHOICES,
    COLUMNS,
    KEYS,
    METRICS,
    NAMES,
    renamed_hook,
    renamed_import,
)
from dfpg.evaluation.per_image import read_per_image
from dfpg.methods.dfpgnet import DFPGNet
from dfpg.methods.registry import run_options

PLACES = {"Run": "runs.b1", "Training": "training"}  # of a section's model, in params.yaml


@pytest.mark.parametrize(("model", "key"), KEYS)
def test_an_old_key_is_answered_with_what_took_its_place(config: Config, model: str, key: str):
    values = config.model_dump(mode="json")
    section = PLACES.get(model, f"methods.{model.removesuffix('Options').lower()}")
    place = values
    for part in section.split("."):
        place = place[part]
    place[key] = 1
    with pytest.raises(UserError) as caught:
        run_options(parse_config(values, "params.yaml"), "b1" if model in PLACES else "restormer")
    line = str(caught.value)
    assert f"{section}.{key}: unknown key {key}; {KEYS[model, key]}" in line
    assert "\n" not in line


@pytest.mark.parametrize(("old", "new"), CHOICES.items())
def test_an_old_choice_is_answered_with_the_new_one(config: Config, old: str, new: str):
    values = config.model_dump(mode="json")
    values["prior"]["input"] = old
    with pytest.raises(UserError, match=rf"prior.input: '{old}' is now '{new}'"):
        parse_config(values, "params.yaml")


@pytest.mark.parametrize(("old", "new"), COLUMNS.items())
def test_a_file_with_an_old_column_is_answered_with_the_new_one(
    config: Config, tmp_path: Path, old: str, new: str
):
    path = tmp_path / "old.csv"
    scores = scores_of(config, "b1", ("b",), 1.0)
    if new in scores.columns:
        path.write_text(scores.rename(columns={new: old}).to_csv(index=False))
        with pytest.raises(UserError, match=rf"column '{old}' is now '{new}'"):
            subset_scores(read_per_image(path), "mspl_center", "celeba", [new])
    kinds = [kind for kind in (TableRecord, ClaimRecord) if new in kind.model_fields]
    for kind in kinds:
        path.write_text(csv_text(kind, []).replace(new, old))
        with pytest.raises(UserError, match=rf"column '{old}' is now '{new}'"):
            read_records(kind, path)
    assert new in scores.columns or kinds


@pytest.mark.parametrize(("old", "new"), METRICS.items())
def test_an_old_metric_is_answered_with_the_new_one(old: str, new: str):
    with pytest.raises(UserError, match=f"^metric '{old}' is now '{new}'") as caught:
        dfpg.metric(old)
    # d_vgg takes a network, which two images alone do not say.
    assert ("dfpg score" in str(caught.value)) == new.startswith("d_vgg")
    assert "\n" not in str(caught.value)


def test_a_column_that_is_no_metric_is_not_taken_for_one():
    with pytest.raises(UserError, match="metric 'protocol': unknown: use one of psnr"):
        dfpg.metric("protocol")


@pytest.mark.parametrize("module", NAMES)
def test_an_old_name_that_is_imported_is_answered_with_the_new_one(module: str):
    for old, new in NAMES[module].items():
        assert hasattr(import_module(module), new)
        with pytest.raises(ImportError) as caught:
            exec(f"from {module} import {old}", {})
        assert renamed_import(caught.value) == f"{old!r} of {module} is now {new!r}"
    with pytest.raises(ImportError) as caught:
        exec(f"from {module} import no_such_name", {})
    assert renamed_import(caught.value) is None


def test_an_old_hook_that_is_overridden_is_answered_with_the_new_one():
    class Old(DFPGNet):
        def judged(self, prior):
            return prior

    assert renamed_hook(Old) == "Old.judged is now 'discriminator_input'"
    assert renamed_hook(DFPGNet) is None
