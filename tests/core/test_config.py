from __future__ import annotations

import copy
from pathlib import Path

import pytest
from helpers.places import ROOT
from pydantic import ValidationError

from dfpg.core.config import check_runs, load_config, load_yaml, parse_config
from dfpg.core.errors import UserError
from dfpg.core.profile import resolve_profile


@pytest.fixture(scope="module")
def params() -> dict:
    return load_yaml(ROOT / "params.yaml")


def test_committed_params_are_the_embedded_profile():
    assert load_config(ROOT / "params.yaml") == resolve_profile("embedded")[0]


@pytest.mark.parametrize(
    ("path", "key", "value"),
    [
        ((), "imagesize", 64),
        (("protocols", "b"), "no_blurr", True),
        (("protocols", "b", "augmentation"), "flipp", True),
        (("runs", "b1"), "learning_rate", 1e-4),
        (("training",), "batchsize", 8),
    ],
)
def test_unknown_key_is_named_with_its_path(params, path, key, value):
    broken = copy.deepcopy(params)
    section = broken
    for part in path:
        section = section[part]
    section[key] = value
    with pytest.raises(UserError) as error:
        parse_config(broken, Path("params.yaml"))
    assert ".".join((*path, key)) in str(error.value)
    assert "unknown key" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [("image_size", 30), ("image_size", "64"), ("image_size", 66), ("seed", 0.5)],
)
def test_wrong_value_is_refused(params, key, value):
    with pytest.raises(UserError, match=key):
        parse_config({**params, key: value}, Path("params.yaml"))


def test_unknown_precision_of_restoring_is_named_with_its_path(params):
    broken = {**params, "evaluation": {**params["evaluation"], "precision": "fp16"}}
    with pytest.raises(UserError, match=r"evaluation\.precision: .*'fp32'"):
        parse_config(broken, Path("params.yaml"))


@pytest.mark.parametrize("key", ["compile", "noise_on_device"])
def test_an_option_that_is_not_taken_is_no_parameter(params, key):
    usual = parse_config(params, Path("p"))
    assert key not in params["training"]
    assert getattr(usual.training, key) is False
    for value in (False, True):
        given = {**params, "training": {**params["training"], key: value}}
        config = parse_config(given, Path("p"))
        assert getattr(config.training, key) is value
        # What hashes of records and fingerprints are made of.
        assert (config.model_dump() == usual.model_dump()) is not value


def test_missing_key_is_named(params):
    broken = {key: value for key, value in params.items() if key != "seed"}
    with pytest.raises(UserError, match=r"params.yaml: seed"):
        parse_config(broken, Path("params.yaml"))


def test_seed_zero_is_a_seed(params):
    assert parse_config({**params, "seed": 0}, Path("p")).seed == 0


def test_config_is_frozen(config):
    with pytest.raises(ValidationError):
        config.seed = 1


def test_yaml_1_2_floats(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("lr: 1.0e-4\nanswer: no\n")
    assert load_yaml(file) == {"lr": 1e-4, "answer": "no"}


@pytest.mark.parametrize("text", ["a: [1", "- 1\n- 2\n", "a: 1\na: 2\n"])
def test_bad_yaml_is_one_line(tmp_path, text):
    file = tmp_path / "params.yaml"
    file.write_text(text)
    with pytest.raises(UserError) as error:
        load_config(file)
    assert str(file) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_run_that_does_not_exist_is_answered_with_those_that_do(config):
    runs = ", ".join(config.runs)
    check_runs(config, ["b1", "dfpg_b"])
    with pytest.raises(UserError) as error:
        check_runs(config, ["b1", "b9"])
    assert str(error.value) == f"params.yaml: runs.b9: no such run: use one of {runs}"
    with pytest.raises(UserError, match=f"runs.b9: no such run: use one of baselines, {runs}"):
        check_runs(config, ["b9"], further=["baselines"])
