"""``dfpg rescore``: the recorded networks restore the test images again, here.

The blur kernels and test sets are synthesised anew. The recorded weights restore them, the metrics
are computed, Tables 1 to 4 are built, and every image is compared with its record. Nothing of the
record changes; what is made lies in ``artifacts/rescored``.

Where not all images are wanted, the part is chosen by rule, so that everybody takes the same: of
every subset and framing ``PART`` images, each of another person, drawn by the seed, with nominal
kernel sizes as evenly as there are.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

import numpy as np
import pandas as pd
import torch

from dfpg.analysis.agreement import (
    AgreementRecord,
    describe_agreement,
    recognition_agreement,
    restrict_observations,
    restrict_scores,
    score_agreement,
)
from dfpg.analysis.estimates import load_scores
from dfpg.analysis.floor import mean_estimates, measure_floor
from dfpg.analysis.observations import load_observations
from dfpg.analysis.records import csv_text
from dfpg.analysis.result_records import TableRecord
from dfpg.analysis.tables import estimate_columns, table_records
from dfpg.analysis.training_cost import training_remarks
from dfpg.commands.cards import FOLDER as CARDS
from dfpg.commands.cards import card, is_made
from dfpg.core.closure import closure, digest
from dfpg.core.config import Config, ProtocolName
from dfpg.core.device import select_device
from dfpg.core.errors import UserError
from dfpg.core.files import sha256, write_text
from dfpg.core.paths import ARTIFACTS, PRIORS, REFERENCES, TESTSETS
from dfpg.core.progress import Progress
from dfpg.core.seeds import generator
from dfpg.data.blur.kernels import build_kernels, load_kernels
from dfpg.data.stratify import pick_one_per_person
from dfpg.data.testsets import MANIFEST, TestSet, open_testset
from dfpg.evaluation.recognition.observe import build_recogniser
from dfpg.evaluation.restore import load_restore
from dfpg.evaluation.score import score_testsets
from dfpg.metrics.registry import build_metrics
from dfpg.metrics.remembered import cache_features
from dfpg.paper.rows import evaluation_protocols
from dfpg.paper.tables import RECOGNITION, TABLES
from dfpg.pretrained.vggface import WEIGHTS, load_prior
from dfpg.stages.testsets import synthesise

OUT = ARTIFACTS / "rescored"
PART = 16  # images of each subset and framing: two of every nominal kernel size
BASELINES_PART = "baselines"
NEEDED = ("per_image", "recognition", "references", "testsets", "weights")


@dataclass(frozen=True)
class Rescored:
    """What to print, and whether every image agrees with its record."""

    text: str
    agree: bool


def rescore(config: Config, full: bool = False) -> Rescored:
    """Restore and score with the recorded weights, and compare with the record.

    Stopped, it goes on where it was. Writes Tables 1 to 4, the same images' recorded values as
    ``recorded/table*.csv``, and ``agreement.csv`` into ``artifacts/rescored``.

    Args:
        config: of ``params.yaml``.
        full: every image, instead of the part.

    Raises:
        UserError: the record is not here, or its images are others.
    """
    _check_record(config)
    done = OUT / "done"
    if done.exists():  # the last one went to its end: begin anew
        shutil.rmtree(OUT)
    sets, notes = _synthesise(config, full)
    count = sum(len(testset.index) for testset in sets.values())
    share = "all" if full else f"a part, {PART} of each subset and framing"
    images = f"{count} test images ({share})"
    _score(config, sets)
    records = _compare(config, sets)
    write_text(OUT / "agreement.csv", csv_text(AgreementRecord, records))
    write_text(done, "")
    tables = [
        describe_agreement(table, [one for one in records if one.table == table.name])
        for table in TABLES
    ]
    bad = sum(not one.agrees for one in records)
    verdict = f"{bad} values out of tolerance" if bad else "every value agrees with the record"
    last = f"{images}, {len(records)} values: {verdict}; tables: {OUT}"
    first = f"Values of {images}, as recorded and as scored here"
    return Rescored("\n\n".join([first, *tables, "\n".join([*notes, last])]), not bad)


def choose_part(config: Config, protocol: str, index: pd.DataFrame) -> pd.DataFrame:
    """Rows of a test set's index that are taken where not all are; see this module."""
    chosen: list[int] = []
    for (subset, mode), rows in index.groupby(["subset", "mode"], sort=False):
        stream = generator(config.seed, "rescore", protocol, str(subset), str(mode))
        chosen += pick_one_per_person(rows, PART, stream)
    return index.loc[sorted(chosen)]


def _check_record(config: Config) -> None:
    absent = [ARTIFACTS / name for name in NEEDED if not (ARTIFACTS / name).is_dir()]
    absent += [path for path in (PRIORS / WEIGHTS,) if not path.exists()]
    weights = [ARTIFACTS / "weights" / f"{run}.safetensors" for run in config.runs]
    absent += [path for path in weights if not path.exists()]
    if absent:
        raise UserError(f"{absent[0]}: not here: `dvc pull` brings the record, if there is one")


def _synthesise(config: Config, full: bool) -> tuple[dict[ProtocolName, TestSet], list[str]]:
    """Test sets made here, all or part of their images; and how they differ from the recorded."""
    build_kernels(config, OUT / "kernels")
    sets: dict[ProtocolName, TestSet] = {}
    notes = []
    for name in get_args(ProtocolName):
        kernels = load_kernels(OUT / "kernels" / f"{config.protocols[name].kernels}.safetensors")
        synthesise(config, name, kernels, OUT / "testsets" / name)
        made, recorded = open_testset(OUT / "testsets" / name), open_testset(TESTSETS / name)
        if not made.index.equals(recorded.index):
            raise UserError(
                f"{TESTSETS / name}: other images than params.yaml asks for: run `dvc status`"
            )
        notes.append(f"test set {name}: {_describe_difference(made, recorded)}")
        rows = made.index if full else choose_part(config, name, made.index)
        sets[name] = TestSet(made.sharp, made.blurred, rows)
    return sets, notes


def _describe_difference(made: TestSet, recorded: TestSet) -> str:
    pairs = ((made.sharp, recorded.sharp), (made.blurred, recorded.blurred))
    values = sum(one.size for one, _ in pairs)
    moved = [np.abs(one.astype(np.int16) - two.astype(np.int16)) for one, two in pairs]
    count, largest = sum(int((part > 0).sum()) for part in moved), max(map(np.max, moved))
    if not count:
        return f"{len(made.index)} images, byte for byte as recorded"
    return f"{count} of {values} values differ from the record, by at most {largest} of 255"


def _score(config: Config, sets: Mapping[ProtocolName, TestSet]) -> None:
    """Scores and observations of the baselines and of every run, but for those that are there."""
    device = select_device()
    parts = {BASELINES_PART: tuple(sets)} | {
        run: tuple(evaluation_protocols(config, run)) for run in config.runs
    }
    cards = {name: _card(config, name, sets, device) for name in parts}
    waiting = {
        name: protocols for name, protocols in parts.items() if not is_made(OUT, name, cards[name])
    }
    total = sum(len(sets[name].index) for names in waiting.values() for name in names)
    if not total:
        return
    shutil.copytree(REFERENCES, OUT / "references", dirs_exist_ok=True)
    metrics = cache_features(build_metrics(config, load_prior(PRIORS), device))
    observe = build_recogniser(config)
    with torch.inference_mode(), Progress("rescore", total, "image") as progress:
        for name, protocols in waiting.items():
            path = ARTIFACTS / "weights" / f"{name}.safetensors"
            restore = None if name == BASELINES_PART else load_restore(config, path, device)
            chosen = {protocol: sets[protocol] for protocol in protocols}
            out = OUT / "per_image" / f"{name}.csv"
            score_testsets(
                config, name, restore, chosen, metrics, out, str(device), observe, progress
            )
            observe.write(OUT / "recognition" / f"{name}.csv")
            write_text(OUT / CARDS / f"{name}.json", cards[name])


def _card(
    config: Config, name: str, sets: Mapping[ProtocolName, TestSet], device: torch.device
) -> str:
    """A hash of all that a part's scores depend on."""
    methods = [] if name == BASELINES_PART else [f"dfpg.methods.{config.runs[name].method}"]
    weights = ARTIFACTS / "weights" / f"{name}.safetensors"
    facts = {
        "weights": sha256(weights) if methods else "",
        "prior": sha256(PRIORS / WEIGHTS),
        "images": {
            protocol: [
                sha256(OUT / "testsets" / protocol / MANIFEST),
                [int(image) for image in testset.index["image"]],
            ]
            for protocol, testset in sets.items()
        },
        "evaluation": config.evaluation.model_dump(mode="json"),
        "code": digest(closure("dfpg.stages.evaluate", *methods)),
        "device": device.type,
        "torch": torch.__version__,
    }
    return card(facts)


def _compare(config: Config, sets: Mapping[ProtocolName, TestSet]) -> list[AgreementRecord]:
    """Compare image by image; writes the tables of both."""
    images = {name: testset.index["image"].tolist() for name, testset in sets.items()}
    scores = {
        "recorded": restrict_scores(load_scores(config, ARTIFACTS / "per_image"), images),
        "here": load_scores(config, OUT / "per_image"),
    }
    seen = images[RECOGNITION.protocol]
    observations = {
        "recorded": restrict_observations(load_observations(config, ARTIFACTS), seen),
        "here": load_observations(config, OUT),
    }
    remarks = training_remarks(config, ARTIFACTS)
    estimates = {
        name: {
            table.name: estimate_columns(config, table, scores[name], observations[name])
            for table in TABLES
        }
        for name in scores
    }
    floors = {
        name: measure_floor(estimates[name], mean_estimates(config, own))
        for name, own in scores.items()
    }
    records = []
    for table in TABLES:
        values: dict[str, list[TableRecord]] = {}
        for name, folder in (("recorded", OUT / "recorded"), ("here", OUT)):
            found = estimates[name][table.name]
            values[name] = table_records(config, table, found, floors[name], remarks)
            write_text(folder / f"{table.name}.csv", csv_text(TableRecord, values[name]))
        pair = (values["recorded"], values["here"])
        if table.recognition:
            both = (observations["recorded"], observations["here"])
            records += recognition_agreement(config, table, both, pair)
        else:
            records += score_agreement(config, table, (scores["recorded"], scores["here"]), pair)
    return records
