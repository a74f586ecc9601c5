"""Equal tuning: as many trials of the learning rates for every run, at one short budget.

Every run gets ``TRIALS`` trials around its paper's rates: a third of them, as they are, three and
nine times them, and a fifth one, with a third of the discriminator's rate alone, or a ninth of the
only rate. Chosen is the highest rate whose gain lies within a standard error of the best one: a
trial is short, and a longer training whose rate falls towards its end can use more. The ablation's
runs take what was best for the whole network: like the paper's, they
differ in the network and in nothing else. A trial is scored by what the run gains over the
blurred images on validation people with kernels that no training uses.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, cast

from dfpg.analysis.records import csv_text
from dfpg.analysis.result_records import TrainingRecord
from dfpg.analysis.study_records import TuningRecord
from dfpg.analysis.training_cost import training_records
from dfpg.core.config import Config, Run, check_runs, load_config
from dfpg.core.errors import UserError
from dfpg.core.files import write_text
from dfpg.core.paths import ARTIFACTS, RESULTS
from dfpg.core.profile import resolve_profile
from dfpg.core.profile_edit import set_values
from dfpg.core.terminal import say
from dfpg.training.guard import ExplodedError
from dfpg.training.trial import is_finished, stamp_trial

if TYPE_CHECKING:
    from dfpg.methods.base import PriorFeatures

FOLDER = ARTIFACTS / "tuning"
SHEET = "tuning.csv"
IMAGES = 1600  # of a trial
PAPER = "paper"  # profile with the papers' own rates
WHOLE = "dfpg_b"  # the ablation's last row


class Trial(NamedTuple):
    """Factors on a run's rates."""

    name: str
    generator: float
    discriminator: float


UNCHANGED = Trial("paper", 1, 1)
WITH_DISCRIMINATOR = (
    UNCHANGED,
    Trial("third", 1 / 3, 1 / 3),
    Trial("triple", 3, 3),
    Trial("ninefold", 9, 9),
    Trial("d_third", 1, 1 / 3),
)
ALONE = (
    UNCHANGED,
    Trial("third", 1 / 3, 1),
    Trial("triple", 3, 1),
    Trial("ninefold", 9, 1),
    Trial("ninth", 1 / 9, 1),
)
TRIALS = 5


def tune(runs: Sequence[str], images: int = IMAGES, take: bool = False) -> str:
    """Train the trials that are not there yet, and write ``results/tuning.csv`` of all that are.

    A stopped trial resumes. Several processes can tune different runs side by side.

    Args:
        runs: keys of ``runs``; none: all that are trained here.
        images: training images of a trial.
        take: write the winners' rates into ``params.yaml`` and its profile instead of training.

    Returns:
        What was found.

    Raises:
        UserError: an unknown run, too few images for a step, or a run to take that lacks trials.
    """
    config = load_config()
    check_runs(config, runs)
    if images < config.training.batch_size:
        raise UserError(f"--images {images}: less than a batch of {config.training.batch_size}")
    trained = [name for name, run in config.runs.items() if run.weights is None]
    chosen = list(runs) or trained
    if take:
        return _take(config, chosen, images)
    from dfpg.stages.train import train

    for run in chosen:
        for trial in trials_of(config, run):
            varied, folder = trial_config(config, run, trial, images), FOLDER / run / trial.name
            if not is_finished(varied, run, folder):
                try:
                    train(run, folder, varied)
                except ExplodedError as error:  # a rate too high is a result, too: it has no gain
                    say(f"{run}, trial {trial.name}: {error}")
                stamp_trial(varied, run, folder)
    records = tuning_records(config, trained, images)
    write_text(RESULTS / SHEET, csv_text(TuningRecord, records))
    done = {record.run for record in records}
    return f"{RESULTS / SHEET}: {len(records)} trials of {len(done)} runs, {images} images each"


def trials_of(config: Config, run: str) -> tuple[Trial, ...]:
    """The trials of a run, as many for each."""
    from dfpg.methods.registry import build_method

    # Methods look at the prior network in training alone; with none they have no discriminator.
    stand_in = cast("PriorFeatures", object())
    alone = len(build_method(config, run, stand_in).networks) == 1
    return ALONE if alone else WITH_DISCRIMINATOR


def trial_config(config: Config, run: str, trial: Trial, images: int) -> Config:
    """The configuration of one trial: nothing but the run's rates and its length differs."""
    base = paper_rates(config, run)
    varied = config.runs[run].model_copy(
        update={
            "lr": base.lr * trial.generator,
            "lr_discriminator": base.lr_discriminator * trial.discriminator,
            "images": images,
        }
    )
    return config.model_copy(update={"runs": {run: varied}})


def paper_rates(config: Config, run: str) -> Run:
    """The run with its paper's rates; one that the suite does not know keeps its own."""
    return resolve_profile(PAPER)[0].runs.get(run, config.runs[run])


def tuning_records(config: Config, runs: Sequence[str], images: int) -> list[TuningRecord]:
    """One record per finished trial; the best of each run that has them all is ``chosen``."""
    records: list[TuningRecord] = []
    for run in runs:
        if not (FOLDER / run).is_dir():
            continue
        found: dict[Trial, TrainingRecord] = {}
        trials = trials_of(config, run)
        for trial in trials:
            varied, folder = trial_config(config, run, trial, images), FOLDER / run / trial.name
            if is_finished(varied, run, folder):
                found[trial] = training_records(varied, folder)[0]
        best = _choose(found)
        for trial, record in found.items():
            varied_run = trial_config(config, run, trial, images).runs[run]
            chosen = trial == best and len(found) == TRIALS
            records.append(
                TuningRecord(
                    run=run,
                    trial=trial.name,
                    lr=varied_run.lr,
                    lr_discriminator=varied_run.lr_discriminator,
                    images=images,
                    seconds=record.seconds,
                    validation_gain=record.validation_gain,
                    validation_gain_se=record.validation_gain_se,
                    chosen="yes" if chosen else "no",
                    at_edge="yes" if chosen and _is_at_edge(trials, trial) else "no",
                    seed=config.seed,
                    profile=config.profile,
                )
            )
    return records


def _choose(found: Mapping[Trial, TrainingRecord]) -> Trial | None:
    """The trial of the highest rates within a standard error of the best; None without a gain."""
    gains = {
        trial: record for trial, record in found.items() if math.isfinite(record.validation_gain)
    }
    if not gains:
        return None
    best = max(gains.values(), key=lambda record: record.validation_gain)
    least = best.validation_gain - best.validation_gain_se
    near = [trial for trial, record in gains.items() if record.validation_gain >= least]
    return max(near, key=lambda trial: (trial.generator, trial.discriminator))


def _is_at_edge(trials: Sequence[Trial], trial: Trial) -> bool:
    """Whether a better rate may lie beyond the trials: the factor is other than 1 and extreme."""
    for rate in ("generator", "discriminator"):
        factors = [getattr(one, rate) for one in trials]
        own = getattr(trial, rate)
        if own != 1 and own in (min(factors), max(factors)):
            return True
    return False


def _take(config: Config, runs: Sequence[str], images: int) -> str:
    """Write the winners' rates into ``params.yaml`` and its profile."""
    deciding = {run: _decider(config, run) for run in runs}
    winners = {
        record.run: record
        for record in tuning_records(config, list(dict.fromkeys(deciding.values())), images)
        if record.chosen == "yes"
    }
    if missing := [run for run in deciding.values() if run not in winners]:
        raise UserError(f"{missing[0]}: not all {TRIALS} trials are there: run `dfpg tune` first")
    changes: dict[tuple[str, ...], float] = {}
    for run, decider in deciding.items():
        record = winners[decider]
        changes["runs", run, "lr"] = record.lr
        changes["runs", run, "lr_discriminator"] = record.lr_discriminator
    return set_values(changes)


def _decider(config: Config, run: str) -> str:
    """The run whose best trial decides: of the ablation that of the whole network."""
    own, whole = config.runs[run], config.runs.get(WHOLE)
    same = whole is not None and (own.method, own.protocol) == (whole.method, whole.protocol)
    return WHOLE if same else run
