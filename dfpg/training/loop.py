"""The training loop: one for plain networks and GANs, explicit, resumable to the bit."""

from __future__ import annotations

import json
import math
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import torch
from accelerate import PartialState
from accelerate.utils import reduce
from safetensors.torch import save

from dfpg.core.config import Config, Training
from dfpg.core.device import (
    autocast,
    describe_device,
    process_group,
    resolve_precision,
    set_deterministic,
)
from dfpg.core.errors import UserError, within_memory
from dfpg.core.files import atomic_write, write_text
from dfpg.core.progress import Progress
from dfpg.core.seeds import derive_seed
from dfpg.methods.base import Method
from dfpg.methods.weights import save_weights
from dfpg.training.agreement import together
from dfpg.training.checkpoint import TrainingState, load_checkpoint, save_checkpoint
from dfpg.training.diagnostics import gradient_shares, new_imbalances
from dfpg.training.ema import clone, update_average
from dfpg.training.lock import Owner, StateFolder, StoppedError, StopSignals, remove_temporaries
from dfpg.training.step import tensors_of, training_step

if TYPE_CHECKING:
    from dfpg.methods.batch import Batch
    from dfpg.training.validation import Validate


class Batches(Protocol):
    """Source of training batches (``dfpg.training.batches.BatchSource``)."""

    def batch(self, step: int) -> Batch:
        """The whole batch of ``step``, a pure function of it, on the loop's device."""


@within_memory("training.batch_size, image_size or the method's width")
def train(
    config: Config,
    run_name: str,
    method: Method,
    batches: Batches,
    out: Path,
    history: Path,
    cost: Path,
    scratch: Path,
    validate: Validate | None = None,
) -> None:
    """Train one run and write its weights and history; resume where an earlier attempt stopped.

    Learning rates follow :func:`learning_rate_factor` (paper section 4.1: x 0.99 per epoch).
    Started by ``accelerate launch``, every process takes its share of the same batches and
    gradients are averaged, so that the result is that of one process (batch normalisation aside).

    Args:
        config: the whole configuration.
        run_name: key under ``runs``.
        method: networks and objective, freshly initialised.
        batches: source of batches.
        out: weights file to write (EMA weights if ``training.ema`` is above 0).
        history: CSV to write: step, lr, means of the step's figures since the last row, shares of
            the gradient (:func:`dfpg.training.diagnostics.gradient_shares`), validation figures.
        cost: JSON to write: seconds of training and validation, and the device.
        scratch: this run's own folder, ``scratch/<fingerprint>``; deleted on success.
        validate: figures of the method as it stands, see
            :class:`dfpg.training.validation.Validation`; called every ``validate_every`` steps.

    Raises:
        StoppedError: SIGINT, SIGTERM, or the dvc that started this is gone; a checkpoint is saved.
        UserError: a loss or gradient is not finite (the batch is saved), the disk is full,
            another process trains this run, or the batch cannot be shared among the processes.
    """
    run, training = config.runs[run_name], config.training
    world = process_group()
    with together(world):
        owner = Owner()
        if training.batch_size % world.num_processes:
            raise UserError(
                f"training.batch_size: {training.batch_size} cannot be shared evenly "
                f"among {world.num_processes} processes"
            )
        precision = resolve_precision(training.precision, world.device)
    set_deterministic()
    torch.manual_seed(derive_seed(config.seed, "training", run_name))
    method.to(world.device).train()
    generator = method.networks["generator"]
    optimisers = method.optimisers(run.lr, run.lr_discriminator)
    for optimiser in optimisers.values():
        for group in optimiser.param_groups:
            group["initial_lr"] = group["lr"]
    average = clone(generator) if training.ema else {}
    state = TrainingState(method.networks, optimisers, average)

    with lock_state(scratch, world) as folder, StopSignals() as signals:
        if world.is_main_process:
            for path in (out, history, cost):
                remove_temporaries(path.parent, path.name)
        for turn in (True, False):  # the main process first: it removes damaged checkpoints
            with together(world):
                if world.is_main_process is turn:
                    load_checkpoint(scratch, state)
        with show_progress(run_name, run.steps, state.step, world) as progress:
            clock = Stopwatch(state.seconds)
            while state.step < run.steps:
                decay = learning_rate_factor(training, state.step)
                for optimiser in optimisers.values():
                    for group in optimiser.param_groups:
                        group["lr"] = group["initial_lr"] * decay
                batch = batches.batch(state.step)
                figures = training_step(method, batch, optimisers, world, precision)
                check_finite(figures, batch, run_name, state.step, scratch, world)
                if average:
                    update_average(average, generator, training.ema)
                state.step += 1
                state.history.add(figures)
                if progress:
                    losses = {name: v for name, v in figures.items() if name.startswith("loss_")}
                    progress.advance(1, **losses)
                if state.step % training.validate_every == 0 or state.step == run.steps:
                    figures = {}
                    if progress:
                        figures = gradient_shares(method, batch, world, precision)
                        for warning in new_imbalances(figures, state.history.rows):
                            progress.say(f"{run_name}: step {state.step}: {warning}")
                        if validate:
                            with autocast(world.device, precision):
                                figures |= validate(method, average)
                    state.history.close_row(state.step, run.lr * decay, **figures)
                asked = signals.received or (signal.SIGHUP if owner.gone() else 0)
                stop = agree_to_stop(asked, world)
                due = state.step % training.checkpoint_every == 0 and state.step < run.steps
                state.seconds = clock.seconds()
                if due or stop:
                    with together(world):
                        if folder:
                            folder.check()
                            save_checkpoint(scratch, state)
                if stop:
                    cause = "dvc is gone" if stop == signal.SIGHUP else signal.Signals(stop).name
                    raise StoppedError(
                        f"{run_name}: stopped at step {state.step} of {run.steps} ({cause}); "
                        "checkpoint saved, run again to resume",
                        128 + stop,
                    )
        with together(world):
            if folder:
                folder.check()
                write_text(history, state.history.csv())
                write_text(cost, costs(state.seconds, training))
                save_weights(out, method, run.steps, average or None)
                folder.discard()


def learning_rate_factor(training: Training, step: int) -> float:
    """Share of the initial learning rate at ``step``: linear rise, then exponential decay."""
    rise = min(1.0, (step + 1) / training.warmup) if training.warmup else 1.0
    return rise * training.lr_decay ** (step // training.decay_every)


class Stopwatch:
    """Seconds since it was made, on top of those of earlier attempts."""

    def __init__(self, before: float) -> None:
        self._start = time.monotonic() - before

    def seconds(self) -> float:
        """Seconds so far."""
        return time.monotonic() - self._start


def costs(seconds: float, training: Training) -> str:
    """What a training took, and on what, as JSON."""
    facts = {"seconds": round(seconds, 1), **describe_device(training.precision)}
    return json.dumps(facts, indent=2) + "\n"


@contextmanager
def lock_state(scratch: Path, world: PartialState) -> Iterator[StateFolder | None]:
    """The locked state folder in the main process, None in the others."""
    with ExitStack() as stack:
        folder = None
        with together(world):
            if world.is_main_process:
                folder = stack.enter_context(StateFolder(scratch))
        yield folder


@contextmanager
def show_progress(
    run_name: str, steps: int, step: int, world: PartialState
) -> Iterator[Progress | None]:
    """Progress of a training in the main process, None in the others."""
    if world.is_main_process:
        with Progress(f"train {run_name}", steps, "step", initial=step) as progress:
            yield progress
    else:
        yield None


def agree_to_stop(stop: int, world: PartialState) -> int:
    """The signal to stop at that any of the processes has received, or 0."""
    return int(reduce(torch.tensor(stop, device=world.device), "max").item())


def check_finite(
    figures: dict[str, float],
    batch: Batch,
    run_name: str,
    step: int,
    scratch: Path,
    world: PartialState,
) -> None:
    """Stop at the first loss or gradient norm that is NaN or infinite, keeping the batch.

    Raises:
        UserError: names the value, the step and the file that holds the batch.
    """
    bad = next((name for name, value in figures.items() if not math.isfinite(value)), None)
    if bad is None:
        return
    path = scratch / f"nonfinite-step-{step:09d}.safetensors"
    if world.is_main_process:
        whole = {name: t.detach().cpu().contiguous() for name, t in tensors_of(batch).items()}
        with atomic_write(path) as stream:
            stream.write(save(whole))
    raise UserError(
        f"{run_name}: {bad} is {figures[bad]} at step {step}; its batch is in {path}: "
        f"lower runs.{run_name}.lr or correct the loss, then run again"
    )
