"""The training loop: one for plain networks and GANs, explicit, resumable to the bit."""

from __future__ import annotations

import json
import math
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from accelerate import PartialState
from accelerate.utils import reduce
from safetensors.torch import save

from dfpg.core.config import Config, Training
from dfpg.core.device import (
    autocast,
    describe_device,
    keep_freed_memory,
    process_group,
    resolve_precision,
    set_deterministic,
)
from dfpg.core.errors import UserError, within_memory
from dfpg.core.files import atomic_write, write_text
from dfpg.core.progress import Progress
from dfpg.core.seeds import derive_seed
from dfpg.core.terminal import print_error
from dfpg.methods.base import Method
from dfpg.methods.weights import save_weights
from dfpg.training.agreement import agree_on_refusal
from dfpg.training.checkpoint import TrainingState, load_checkpoint, save_checkpoint
from dfpg.training.compiled import compiled_networks, compiled_step
from dfpg.training.diagnostics import gradient_shares
from dfpg.training.ema import clone
from dfpg.training.guard import ExplodedError
from dfpg.training.imbalance import new_imbalances
from dfpg.training.lock import Owner, StateFolder, StoppedError, StopSignals, remove_temporaries
from dfpg.training.prefetch import Batches, prefetched
from dfpg.training.recipe import resolve_recipe
from dfpg.training.snapshots import snapshot_steps, write_snapshots
from dfpg.training.step import discriminator_optimisers, tensors_of, training_step

if TYPE_CHECKING:
    from dfpg.methods.batch import Batch
    from dfpg.training.validation import Validate


@within_memory("training.batch_size, image_size or the method's width")
def train(
    config: Config,
    run_name: str,
    method: Method,
    batches: Batches,
    out: Path,
    history: Path,
    cost: Path,
    snapshots: Path,
    scratch: Path,
    validate: Validate | None = None,
) -> None:
    """Train one run and write its weights and history; resume where an earlier attempt stopped.

    Learning rates, clipping and averaging follow :func:`dfpg.training.recipe.resolve_recipe`.
    A training that explodes (:class:`dfpg.training.guard.Guard`) goes back to its last checkpoint
    once, on at half the rate: its later rows and its weights' card have the step, ``exploded_at``.
    Started by ``accelerate launch``, every process takes its share of the same batches and
    gradients are averaged, so that the result is that of one process (batch normalisation aside).
    With ``training.compile`` steps run compiled networks where that works, see
    :mod:`dfpg.training.compiled`.

    Args:
        config: the whole configuration.
        run_name: key under ``runs``.
        method: networks and objective, freshly initialised.
        batches: source of batches.
        out: weights file to write (their moving average if the recipe has one).
        history: CSV to write: step, lr, means of the step's figures since the last row, shares of
            the gradient (:func:`dfpg.training.diagnostics.gradient_shares`), validation figures.
        cost: JSON to write: seconds of training and validation, the device, and ``compiled`` or
            ``noise_on_device`` where these were on.
        snapshots: folder to write: see :func:`dfpg.training.snapshots.write_snapshots`.
        scratch: this run's own folder, ``scratch/<fingerprint>``; deleted on success.
        validate: figures of the method as it stands, see
            :class:`dfpg.training.validation.Validation`; called every ``validate_every`` steps.

    Raises:
        StoppedError: SIGINT, SIGTERM, or the dvc that started this is gone; a checkpoint is saved.
        UserError: a loss or gradient is not finite (the batch is saved), the training explodes
            again, the disk is full, another process trains this run, or the batch cannot be shared
            among the processes.
    """
    run, training = config.runs[run_name], config.training
    world = process_group()
    with agree_on_refusal(world):
        owner = Owner()
        if training.batch_size % world.num_processes:
            raise UserError(
                f"training.batch_size: {training.batch_size} cannot be shared evenly "
                f"among {world.num_processes} processes"
            )
        precision = resolve_precision(training.precision, world.device)
    set_deterministic()
    keep_freed_memory()
    torch.manual_seed(derive_seed(config.seed, "training", run_name))
    method.to(world.device).train()
    generator = method.networks["generator"]
    optimisers = method.optimisers(run.lr, run.lr_discriminator)
    discriminators = discriminator_optimisers(method, optimisers)
    for optimiser in optimisers.values():
        for group in optimiser.param_groups:
            group["initial_lr"] = group["lr"]
    recipe = resolve_recipe(config, run_name, type(method))
    kept = snapshot_steps(training.snapshots, recipe.steps)
    state = TrainingState(
        method.networks,
        optimisers,
        average=clone(generator) if recipe.ema else {},
        course=clone(generator) if kept else {},
    )

    def validation_figures() -> dict[str, float]:
        with autocast(world.device, precision):
            return validate(method, state.average) if validate else {}

    with lock_state(scratch, world) as folder, StopSignals() as signals:
        if world.is_main_process:
            for path in (out, history, cost):
                remove_temporaries(path.parent, path.name)
        if not resume(scratch, state, world):
            with agree_on_refusal(world):
                if folder:  # where an explosion before the first checkpoint goes back to
                    state.guard.check_gain(validation_figures().get("validation_gain", 0.0))
                    save_checkpoint(scratch, state)
        clock = Stopwatch(state.seconds)
        with (
            prefetched(batches, recipe.steps, world.device) as ahead,
            show_progress(run_name, recipe.steps, state.step, world) as progress,
            compiled_networks(
                training.compile,
                method,
                lambda: ahead.batch(state.step),
                world,
                precision,
                progress.say if progress else print_error,
            ) as compiled,
        ):
            state.compiled |= compiled
            while state.step < recipe.steps:
                rate = recipe.rate(state.step) * state.guard.factor
                for optimiser in optimisers.values():
                    for group in optimiser.param_groups:
                        group["lr"] = group["initial_lr"] * rate
                batch = ahead.batch(state.step)
                with compiled_step(method) if compiled else nullcontext():
                    figures = training_step(
                        method, batch, optimisers, world, precision, recipe.clip, discriminators
                    )
                check_finite(figures, batch, run_name, state.step, scratch, world)
                state.step += 1
                state.update_averages(recipe.ema, kept)
                state.history.add(figures)
                fault = state.guard.check_losses(figures, discriminators)
                if progress:
                    losses = {name: v for name, v in figures.items() if name.startswith("loss_")}
                    progress.advance(1, **losses)
                if state.step % training.validate_every == 0 or state.step == recipe.steps:
                    figures = {}
                    if progress:
                        figures = gradient_shares(method, batch, world, precision)
                        for warning in new_imbalances(figures, state.history.rows):
                            progress.say(f"{run_name}: step {state.step}: {warning}")
                        figures |= validation_figures()
                        if "validation_gain" in figures:
                            fault = fault or state.guard.check_gain(figures["validation_gain"])
                    if state.guard.exploded_at is not None:
                        figures["exploded_at"] = state.guard.exploded_at
                    state.history.close_row(state.step, run.lr * rate, **figures)
                requested = signals.received or (signal.SIGHUP if owner.is_gone() else 0)
                stop, exploded = largest_over_processes((requested, bool(fault)), world)
                if exploded:
                    line = roll_back(scratch, state, world, run_name, fault)
                    if progress:
                        progress.say(line)
                        progress.return_to(state.step)
                due = state.step % training.checkpoint_every == 0 and state.step < recipe.steps
                state.seconds = clock.seconds()
                if due or stop or exploded:
                    with agree_on_refusal(world):
                        if folder:
                            folder.check()
                            save_checkpoint(scratch, state)
                if stop:
                    cause = "dvc is gone" if stop == signal.SIGHUP else signal.Signals(stop).name
                    raise StoppedError(
                        f"{run_name}: stopped at step {state.step} of {recipe.steps} ({cause}); "
                        "checkpoint saved, run again to resume",
                        128 + stop,
                    )
        with agree_on_refusal(world):
            if folder:
                folder.check()
                write_text(history, state.history.csv())
                write_text(cost, costs(state.seconds, training, state.compiled))
                write_snapshots(snapshots, method, state.snapshots, training.batch_size)
                save_weights(
                    out,
                    method,
                    recipe.steps,
                    state.average or None,
                    exploded_at=state.guard.exploded_at,
                )
                folder.discard()


def resume(scratch: Path, state: TrainingState, world: PartialState) -> bool:
    """Bring the state to the last checkpoint, in all processes; False if there is none."""
    found = False
    for turn in (True, False):  # the main process first: it removes damaged checkpoints
        with agree_on_refusal(world):
            if world.is_main_process is turn:
                found = load_checkpoint(scratch, state)
    return found


def roll_back(
    scratch: Path, state: TrainingState, world: PartialState, run_name: str, fault: str
) -> str:
    """Bring an exploded training to its last checkpoint, to go on from there at half the rate.

    Args:
        scratch: where the checkpoints are.
        state: of the training.
        world: its processes.
        run_name: of the run.
        fault: what exploded, in words; of another process where it is empty.

    Returns:
        A line that says what happened.

    Raises:
        ExplodedError: it is the second time.
    """
    step, before = state.step, state.guard.exploded_at
    message = f"{run_name}: step {step}: {fault or 'another process found that it explodes'}"
    if before is not None:
        raise ExplodedError(
            f"{message}; it had exploded at step {before} already and went on at half the rate: "
            f"lower runs.{run_name}.lr, or set training.clip, then run again"
        )
    resume(scratch, state, world)
    state.guard.start_again(step)
    return f"{message}; back to step {state.step}, on at half the rate"


class Stopwatch:
    """Seconds since it was made, on top of those of earlier attempts."""

    def __init__(self, before: float) -> None:
        self._start = time.monotonic() - before

    def seconds(self) -> float:
        """Seconds so far."""
        return time.monotonic() - self._start


def costs(seconds: float, training: Training, compiled: bool = False) -> str:
    """What a training took, on what, and which options that decide its bits were on, as JSON."""
    facts = {"seconds": round(seconds, 1), **describe_device(training.precision)}
    options = {"compiled": compiled, "noise_on_device": training.noise_on_device}
    facts |= {name: True for name, on in options.items() if on}
    return json.dumps(facts, indent=2) + "\n"


@contextmanager
def lock_state(scratch: Path, world: PartialState) -> Iterator[StateFolder | None]:
    """The locked state folder in the main process, None in the others."""
    with ExitStack() as stack:
        folder = None
        with agree_on_refusal(world):
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


def largest_over_processes(numbers: Sequence[int], world: PartialState) -> list[int]:
    """The largest of each number in any of the processes."""
    highest: list[int] = reduce(torch.tensor(numbers, device=world.device), "max").tolist()
    return highest


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
