from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.places import ROOT

from dfpg.core.config import Config, Frozen, Run
from dfpg.core.errors import UserError
from dfpg.methods.base import Method
from dfpg.methods.names import method_names
from dfpg.methods.registry import (
    build_method,
    build_restorer,
    method_class,
    needs_prior,
    run_options,
)
from dfpg.methods.weights import load_weights, save_weights


@pytest.fixture
def small(config: Config, options: dict[str, Any]) -> Config:
    """Runs b1 ... b6 of tiny networks."""
    runs = {
        name: Run(
            method="dfpgnet", protocol="b", images=1, lr=1e-4, lr_discriminator=1e-5,
            options={"variant": name},
        )
        for name in ("b1", "b2", "b3", "b4", "b5", "b6")
    }  # fmt: skip
    shared = {key: value for key, value in options.items() if key != "variant"}
    return config.model_copy(update={"runs": runs, "methods": {"dfpgnet": shared}})


def with_options(config: Config, run: str, **options: Any) -> Config:
    changed = config.runs[run].model_copy(update={"options": config.runs[run].options | options})
    return config.model_copy(update={"runs": config.runs | {run: changed}})


def with_shared(config: Config, **options: Any) -> Config:
    return config.model_copy(update={"methods": {"dfpgnet": config.methods["dfpgnet"] | options}})


def test_every_run_of_the_profile_builds(config: Config, prior: Any) -> None:
    for name, run in config.runs.items():
        method = build_method(config, name, prior)
        assert method.name == run.method in method_names()
        assert "generator" in method.networks


def test_a_runs_own_option_wins_over_its_methods(small: Config) -> None:
    config = with_options(small, "b1", width=12)
    assert run_options(config, "b1").model_dump()["width"] == 12
    assert run_options(config, "b6").model_dump()["width"] == 8


def test_only_b1_trains_without_the_prior_network(small: Config) -> None:
    assert {name for name in small.runs if not needs_prior(small, name)} == {"b1"}


def test_building_twice_gives_equal_weights_and_leaves_the_global_stream(
    small: Config, prior: Any
) -> None:
    before = torch.get_rng_state()
    one, two = (build_method(small, "b6", prior) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    for name, network in one.networks.items():
        other = two.networks[name].state_dict()
        assert all(torch.equal(value, other[key]) for key, value in network.state_dict().items())


def test_a_weights_file_alone_restores_as_the_method_that_wrote_it(
    small: Config, prior: Any, pair: Any, tmp_path: Path
) -> None:
    method = build_method(with_shared(small, init="released", output="tanh"), "b6", prior)
    save_weights(tmp_path / "w.safetensors", method, steps=3)
    restorer = build_restorer(tmp_path / "w.safetensors", torch.device("cpu"))
    load_weights(tmp_path / "w.safetensors", method)  # as they are stored
    torch.testing.assert_close(restorer.restore(pair.blurred), method.restore(pair.blurred))
    assert set(restorer.networks) == {"generator"}


@pytest.mark.parametrize(
    ("shared", "own", "message"),
    [
        ({"widht": 8}, {}, r"params.yaml: methods.dfpgnet.widht: unknown key"),
        ({}, {"widht": 8}, r"params.yaml: runs.b1.options.widht: unknown key"),
        ({"width": "24"}, {}, r"methods.dfpgnet.width: .*integer.*got '24'"),
        ({}, {"prior_scale": "max"}, r"runs.b1.options.prior_scale: .*got 'max'"),
        ({"output": "tanh"}, {}, r"methods.dfpgnet.output: .*identity needs output linear"),
    ],
)
def test_a_bad_option_is_named_with_its_path(
    small: Config, shared: dict[str, Any], own: dict[str, Any], message: str
) -> None:
    config = with_options(with_shared(small, **shared), "b1", **own)
    with pytest.raises(UserError, match=message) as error:
        build_method(config, "b1", None)
    assert "\n" not in str(error.value)


def test_a_missing_option_is_named(small: Config) -> None:
    methods = {"dfpgnet": {k: v for k, v in small.methods["dfpgnet"].items() if k != "blocks"}}
    with pytest.raises(UserError, match=r"methods.dfpgnet.blocks: Field required"):
        run_options(small.model_copy(update={"methods": methods}), "b1")


def test_unknown_runs_and_methods_are_refused_with_the_known_ones(small: Config) -> None:
    with pytest.raises(UserError, match=r"runs.b9: no such run; there are b1, b2"):
        build_method(small, "b9", None)
    strange = small.runs["b1"].model_copy(update={"method": "dfpg"})
    config = small.model_copy(update={"runs": {"b1": strange}})
    with pytest.raises(
        UserError, match=r"runs.b1.method: unknown method 'dfpg'; there are dfpgnet"
    ):
        build_method(config, "b1", None)


def test_weights_with_options_unknown_here_are_refused(
    small: Config, prior: Any, tmp_path: Path
) -> None:
    method = build_method(small, "b1", prior)
    path = tmp_path / "w.safetensors"
    method.options = method.options.model_copy(update={"width": -8})
    save_weights(path, method, steps=1)
    with pytest.raises(UserError, match=r"w.safetensors: width: "):
        build_restorer(path, torch.device("cpu"))


def test_asking_for_one_method_imports_no_other() -> None:
    code = (
        "import sys; from dfpg.methods.names import method_names; "
        "from dfpg.methods.registry import method_class; "
        "names = method_names(); method_class('nafnet'); "
        "print(*(n for n in names if f'dfpg.methods.{n}' in sys.modules))"
    )
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["nafnet"]


def test_a_file_of_two_methods_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    module = method_class("nafnet").__module__
    other = type("Other", (method_class("nafnet"),), {"__module__": module})
    monkeypatch.setattr(sys.modules[module], "Other", other, raising=False)
    with pytest.raises(
        UserError, match=r"nafnet\.py: it must define one subclass of Method, and defines NAFNet, "
    ):
        method_class("nafnet")


def test_a_class_that_is_not_whole_is_refused_with_what_it_lacks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = sys.modules[method_class("nafnet").__module__]
    body = {"__module__": module.__name__, "Options": Frozen, "multiple": 1, "infer": None}
    monkeypatch.setattr(module, "NAFNet", type("Half", (Method,), body))
    with pytest.raises(
        UserError, match=r"nafnet\.py: Half lacks system, contract, phases: see docs/add_a_method"
    ):
        method_class("nafnet")


def test_an_unknown_method_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"^here: unknown method 'nafnett'; there are dfpgnet, lee"):
        method_class("nafnett", "here")


def test_a_method_file_with_an_old_name_is_told_the_new_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def load(_module: str) -> None:
        exec("from dfpg.methods.initialise import frozen", {})

    monkeypatch.setattr("dfpg.methods.registry.import_module", load)
    line = r"^dfpg/methods/nafnet\.py: 'frozen' of dfpg\.methods\.initialise is now 'freeze'$"
    with pytest.raises(UserError, match=line):
        method_class("nafnet")


def test_a_method_that_overrides_an_old_hook_is_told_the_new_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(method_class("dfpgnet"), "judged", lambda *_: None, raising=False)
    line = r"dfpgnet\.py: DFPGNet\.judged is now 'discriminator_input'"
    with pytest.raises(UserError, match=line):
        method_class("dfpgnet")
