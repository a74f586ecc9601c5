"""``dfpg retrain``: runs trained from scratch, side by side; their gains beside the recorded."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from dfpg.analysis.estimates import is_of
from dfpg.analysis.records import read_records
from dfpg.analysis.result_records import SeedRecord
from dfpg.analysis.tolerances import TRAINED
from dfpg.commands.cards import FOLDER as CARDS
from dfpg.commands.cards import card, is_made
from dfpg.commands.doctor.forecast import forecast_trainings
from dfpg.commands.doctor.report import format_duration
from dfpg.commands.dvc_calls import DVC
from dfpg.commands.graph import SHARED, FailedError
from dfpg.commands.side_by_side import Driver
from dfpg.commands.store import pull_missing
from dfpg.core.config import Config, check_runs
from dfpg.core.files import sha256, write_text
from dfpg.core.markdown import markdown_table
from dfpg.core.paths import ARTIFACTS, CODE, RESULTS, TESTSETS
from dfpg.core.terminal import say
from dfpg.data.testsets import MANIFEST
from dfpg.evaluation.per_image import read_per_image
from dfpg.paper.tables import TEST_SETS

OUT = ARTIFACTS / "retrained"
SPREAD = 2 * math.sqrt(2)  # of two trainings' difference, in standard deviations of one: 95 %


@dataclass(frozen=True)
class Retrained:
    """What to print, and whether every gain agrees with its record."""

    text: str
    agree: bool


def retrain(config: Config, runs: Sequence[str], jobs: int, root: Path = Path()) -> Retrained:
    """Train runs into ``artifacts/retrained``, score them there, and compare; the record stays.

    Stopped or killed, it goes on where it was. A run that has been retrained with this code and
    these parameters is not trained again.

    Args:
        config: of ``params.yaml``.
        runs: keys of ``runs``; all, where there are none.
        jobs: runs at a time.
        root: the project.

    Raises:
        FailedError: a training failed; the others were made.
        StoppedError: SIGINT or SIGTERM.
        UserError: no such run.
    """
    check_runs(config, runs)
    chosen = list(runs) or list(config.runs)
    python = (sys.executable, "-m", "dfpg")
    with Driver(root, "retrain") as driver:
        pull_missing(root)
        if driver.run({"shared": [(*DVC, "--wait-for-lock", "repro", *SHARED)]}):
            raise FailedError("retrain: dvc repro failed: see above")
        cards = {run: _card(config, run) for run in chosen}
        waiting = [run for run in chosen if not is_made(OUT, run, cards[run])]
        say(_forecast(config, waiting, jobs))
        tasks = {
            run: [
                (*python, "train", run, "--into", str(OUT)),
                (*python, "evaluate", run, "--into", str(OUT)),
            ]
            for run in waiting
        }
        failed = driver.run(tasks, jobs)
        for run in set(waiting) - set(failed):
            write_text(OUT / CARDS / f"{run}.json", cards[run])
    if failed:
        raise FailedError(f"retrain: {', '.join(failed)} failed: see above")
    return compare_gains(chosen)


def compare_gains(runs: Sequence[str]) -> Retrained:
    """Gains in PSNR over the blurred images, of the record and of ``artifacts/retrained``.

    Two trainings differ by chance. They agree where their gains are no further apart than
    ``SPREAD`` standard deviations between seeds (``results/seeds.csv``; for a run without seeds,
    the largest of those with), or than the tolerance of the same seed on another machine.
    """
    blurred = read_per_image(ARTIFACTS / "per_image" / "baselines.csv").query("method == 'blurred'")
    lines, agree, compared = [], True, 0
    for run in runs:
        here = _gains(read_per_image(OUT / "per_image" / f"{run}.csv"), blurred)
        path = ARTIFACTS / "per_image" / f"{run}.csv"
        recorded = _gains(read_per_image(path), blurred) if path.exists() else {}
        for name, gain in here.items():
            if name not in recorded:
                lines.append([run, TEST_SETS[name].title, "-", f"{gain:+.2f}", "-", "-", "-"])
                continue
            difference, limit = gain - recorded[name], max(SPREAD * _seed_sd(run), TRAINED["psnr"])
            same = abs(difference) <= limit
            agree, compared = agree and same, compared + 1
            lines.append(
                [
                    run,
                    TEST_SETS[name].title,
                    f"{recorded[name]:+.2f}",
                    f"{gain:+.2f}",
                    f"{difference:+.3f}",
                    f"{limit:.3f}",
                    "yes" if same else "no",
                ]
            )
    headings = ["run", "test set", "recorded", "here", "difference", "may differ by", "agrees"]
    title = "Gain over the blurred images, PSNR in dB"
    verdict = "no record of these runs to compare with"
    if compared:
        verdict = "every gain agrees" if agree else "some gains differ more than seeds do"
    return Retrained(f"{title}\n\n{markdown_table(headings, lines)}\n\n{verdict}", agree)


def _gains(scores: pd.DataFrame, blurred: pd.DataFrame) -> dict[str, float]:
    """Mean gain by test set."""
    keys = ["test_set", "image"]
    both = scores.merge(blurred[[*keys, "psnr"]], on=keys, suffixes=("", " blurred"))
    gain = both["psnr"] - both["psnr blurred"]
    found = {}
    for name, test_set in TEST_SETS.items():
        chosen = gain[is_of(test_set, both)]
        if len(chosen):
            found[name] = float(chosen.mean())
    return found


def _seed_sd(run: str) -> float:
    """Standard deviation of a run's PSNR between seeds, dB; 0 where no seeds are on record."""
    path = RESULTS / "seeds.csv"
    if not path.exists():
        return 0.0
    found = [
        (record.run, record.seed_sd)
        for record in read_records(SeedRecord, path)
        if record.metric == "psnr" and math.isfinite(record.seed_sd)
    ]
    own = [deviation for name, deviation in found if name == run]
    return max(own or [deviation for _, deviation in found], default=0.0)


def _forecast(config: Config, runs: Sequence[str], jobs: int) -> str:
    if not runs:
        return "retrain: all of them have been trained with this code and these parameters"
    span = forecast_trainings(config, runs, jobs)
    takes = (
        f"about {format_duration(span[0])} to {format_duration(span[1])} here"
        if span
        else f"nobody has timed the profile {config.profile}"
    )
    side = f", {jobs} side by side" if jobs > 1 else ""
    return f"retrain: {len(runs)} trainings{side}: {takes}; stop and repeat as you like"


def _card(config: Config, run: str) -> str:
    """What a retrained run was made with: code, parameters, test images."""
    facts = {
        "code": [sha256(CODE / stage / f"{run}.json") for stage in ("train", "evaluate")],
        "parameters": config.model_dump(mode="json"),
        "images": [sha256(path) for path in sorted(TESTSETS.glob(f"*/{MANIFEST}"))],
    }
    return card(facts)
