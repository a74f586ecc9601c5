"""What the schema lets pass works, or is refused in one line where it is used."""

from __future__ import annotations

import signal
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from helpers.counts import count
from helpers.kernels import kernel_bank
from helpers.mutations import FILE, SMALL, WRONG, Place, changed, mutants, outcome
from helpers.places import ROOT
from helpers.toy_scores import write_artifacts
from helpers.toys import ToyBatches, run_toy
from ruamel.yaml import YAML

from dfpg.analysis.tables import build_tables
from dfpg.core.config import NOMINAL_SIZES, Config, parse_config, sources
from dfpg.core.errors import UserError
from dfpg.core.profile import resolve_profile
from dfpg.data.blur.kernels import Family, KernelBank, build_kernels, make_kernels
from dfpg.data.faces.dataset import FaceSet, check_source, load_faces
from dfpg.data.testsets import build_testset
from dfpg.methods.li2020 import random_trunk
from dfpg.methods.registry import build_method
from dfpg.pretrained.vggface import PriorNetwork
from dfpg.training.batch_views import WITH_LABELS, open_view
from dfpg.training.surrogate import fine_tune

LIMIT_S = 300  # a piece of work that takes longer hangs
CPU = torch.device("cpu")


class Suite:
    """Every part of the pipeline, cut to one step of the smallest work."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.prior = trunk()
        self.faces = {split: faces(split) for split in ("train", "test")}
        self.smoke = resolve_profile("smoke")[0]
        self.banks: dict[Any, KernelBank] = {}

    def bank(self, config: Config, family: Family, fresh: bool) -> KernelBank:
        if not fresh and config.image_size == self.smoke.image_size:
            return kernel_bank(self.smoke, family)
        key = (family, config.image_size)
        if not fresh and key in self.banks:
            return self.banks[key]
        made = {
            split: {k: make_kernels(config, family, split, k) for k in NOMINAL_SIZES}
            for split in ("train", "test")
        }
        bank = KernelBank(family, made["train"], made["test"])
        return bank if fresh else self.banks.setdefault(key, bank)

    def work(self, config: Config, place: Place) -> None:
        """Do what depends on the parameter at ``place``."""
        section = str(place[0])
        for where, source in sources(config).items():
            check_source(config, source, where)
        if section in ("kernels", "image_size", "seed"):
            build_kernels(config, self.folder / "kernels")
        if section in ("protocols", "image_size", "seed", "kernels"):
            for name, protocol in config.protocols.items():
                if section != "protocols" or place[1] == name:
                    bank = self.bank(config, protocol.kernels, section == "kernels")
                    faces = {"embedded": self.faces["test"]}
                    build_testset(config, name, bank, faces, self.folder / "testset")
        if section == "training":
            whole = {"runs": {"toy": config.runs["b1"].model_copy(update={"images": 12})}}
            batches = ToyBatches(config.training.batch_size)
            run_toy(self.folder / "toy", config.model_copy(update=whole), batches=batches)
        if section == "prior":
            short = config.prior.surrogate.model_copy(update={"steps": 1})
            trunk = PriorNetwork(self.prior.state()).state()
            fine_tune(trunk, self.faces["train"], short, config.seed, CPU, "fp32")
        if section in ("statistics", "seed"):
            scores = self.folder / "scores"
            if not scores.exists():
                scores.mkdir()
                write_artifacts(config, scores)
            build_tables(config, scores, self.folder / "results", self.folder / "submissions")
        refusals = []
        for run in self.runs(config, place):
            try:
                self.step(config, run)
            except UserError as error:
                refusals.append(error)
        if refusals:
            raise refusals[0]

    def runs(self, config: Config, place: Place) -> list[str]:
        """Runs that depend on the parameter: one of every method, where it is not one's own."""
        if place[0] == "runs":
            return [str(place[1])]
        if place[0] == "protocols":
            return ["b1" if place[1] == "b" else "shen2018"]
        if place[0] not in ("methods", "image_size", "prior", "training"):
            return []
        chosen: dict[str, str] = {}
        for name, run in config.runs.items():
            if place[0] != "methods" or run.method == place[1]:
                chosen[run.method] = name
        return list(chosen.values())

    def step(self, config: Config, run: str) -> None:
        """One batch, its losses with gradients and steps, and a restored image."""
        method = build_method(config, run, self.prior)
        protocol = config.protocols[config.runs[run].protocol]
        view = config.runs[run].view or method.view
        pictures = self.faces["train"].pictures
        labels = np.zeros(pictures.shape[:3], np.uint8) if view in WITH_LABELS else None
        bank = self.bank(config, protocol.kernels, fresh=False)
        source = open_view(view, config, run, self.faces["train"], bank, CPU, labels)
        settings = config.runs[run]
        optimisers = method.to(CPU).train().optimisers(settings.lr, settings.lr_discriminator)
        batch = source.batch(0)
        for phase in method.phases(batch):
            optimisers[phase.optimiser].zero_grad()
            phase.loss.backward()
            optimisers[phase.optimiser].step()
        restored = method.restore(batch.blurred[:2])
        assert restored.shape == batch.blurred[:2].shape


@cache
def trunk() -> PriorNetwork:
    return random_trunk(0)


@cache
def faces(split: Literal["train", "test"]) -> FaceSet:
    """The first 48 pictures."""
    whole, few = load_faces("embedded", split), slice(48)
    return FaceSet(whole.pictures[few], whole.people[few], whole.names[few], whole.landmarks[few])


@pytest.fixture(scope="module")
def smoke() -> dict[str, Any]:
    return YAML(typ="safe", pure=True).load(resolve_profile("smoke")[1])


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Suite:
    monkeypatch.chdir(ROOT)
    return Suite(tmp_path)


def hung(_signal: int, _frame: Any) -> None:
    raise TimeoutError(f"more than {LIMIT_S} s")


def attempt(suite: Suite, config: Config, place: Place) -> str:
    """``works``, or the line of the refusal; anything else fails the test."""
    before = signal.signal(signal.SIGALRM, hung)
    signal.alarm(LIMIT_S)
    try:
        suite.work(config, place)
    except UserError as error:
        return str(error) if str(error).isprintable() else "more than one line"
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    return "works"


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (("methods", "lu2019", "discriminator_scales"), 3, "methods.lu2019.discriminator_scales"),
        (
            ("methods", "li2020", "lambda_adversarial"),
            [1.0] * 4,
            "methods.li2020.lambda_adversarial",
        ),
        (("methods", "wang2021", "size"), 16, "works"),
        (("methods", "xia2019", "width"), 1, "works"),
        pytest.param(  # every kernel and both test sets are made first
            ("image_size",),
            36,
            "image_size: 36 px is no multiple of 32, without which shen2018",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_value_at_the_edge_works_or_is_one_line(
    suite: Suite, smoke: dict[str, Any], place: Place, value: Any, said: str
) -> None:
    config = parse_config(changed(smoke, place, value), FILE)
    assert said in attempt(suite, config, place)


@pytest.mark.slow
def test_every_value_that_passes_works_or_is_one_line(suite: Suite, smoke: dict[str, Any]) -> None:
    found: Counter[str] = Counter()
    failed = []
    for name, place, data in mutants(smoke, WRONG | SMALL):
        config = outcome(data)
        if isinstance(config, str):
            found["refused by the schema"] += 1
            continue
        try:
            said = attempt(suite, config, place)
        except Exception as error:
            failed.append(f"{place} {name}: {type(error).__name__} {str(error)[:200]}")
            continue
        assert said != "more than one line"
        found["at work" if said == "works" else "refused at work"] += 1
    count("parameters", found.total() + len(failed), f"{dict(found)}, {len(failed)} tracebacks")
    assert failed == []
