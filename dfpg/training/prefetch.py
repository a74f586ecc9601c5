"""Training batches made ahead: the next one in a thread, while the step of this one computes."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import torch

from dfpg.training.step import tensors_of

if TYPE_CHECKING:
    from dfpg.methods.batch import Batch


class Batches(Protocol):
    """Source of training batches (``dfpg.training.batches.BatchSource``)."""

    def batch(self, step: int) -> Batch:
        """The whole batch of ``step``, a pure function of it, on the loop's device."""


class PrefetchedBatches:
    """Batches of a source, each asked for while the one before it is in use.

    A batch is a pure function of its step: neither the order in which steps are asked for nor a
    thread changes what it holds, so a training resumes to the bit.
    """

    def __init__(
        self, source: Batches, steps: int, worker: ThreadPoolExecutor, device: torch.device
    ) -> None:
        """Nothing is made yet.

        Args:
            source: used by ``worker`` alone from now on.
            steps: number of the training's steps: none from there on is made ahead.
            worker: of one thread, whose work on CUDA goes to a stream of its own.
            device: that the batches are on.
        """
        self._source, self._steps, self._worker, self._device = source, steps, worker, device
        self._ahead: tuple[int, Future[tuple[Batch, torch.cuda.Event | None]]] | None = None

    def batch(self, step: int) -> Batch:
        """The batch of ``step``; that of the next step is begun.

        Raises:
            Exception: whatever the source raised for this step.
        """
        if self._ahead is None or self._ahead[0] != step:  # the first, or after a step back
            self._ahead = self._begin(step)
        found, made = self._ahead[1].result()
        if made is not None:
            take_over(found, made, torch.cuda.current_stream(self._device))
        self._ahead = self._begin(step + 1) if step + 1 < self._steps else None
        return found

    def _begin(self, step: int) -> tuple[int, Future[tuple[Batch, torch.cuda.Event | None]]]:
        return step, self._worker.submit(self._make, step)

    def _make(self, step: int) -> tuple[Batch, torch.cuda.Event | None]:
        """A batch, and on CUDA the event behind the last work on it: it need not be done yet."""
        batch = self._source.batch(step)
        if self._device.type != "cuda":
            return batch, None
        return batch, torch.cuda.current_stream(self._device).record_event()


def take_over(batch: Batch, made: torch.cuda.Event, stream: torch.cuda.Stream) -> None:
    """Let a stream use what another one makes: it waits, and memory is not used again before it.

    Args:
        batch: made on another stream.
        made: behind that.
        stream: that uses the batch from now on.
    """
    stream.wait_event(made)
    for tensor in tensors_of(batch).values():
        tensor.record_stream(stream)


@contextmanager
def prefetched(source: Batches, steps: int, device: torch.device) -> Iterator[Batches]:
    """Make the batches of a source ahead; on leaving, wait for the one that is being made.

    On CUDA they are made on a stream of their own, beside the step's kernels instead of between
    them. On a CPU only where PyTorch has one thread. OpenMP gives each of two threads a team of its
    own; two teams of two on two cores wait for one another, and steps took 1.7 times as long.

    Args:
        source: of the batches.
        steps: number of the training's steps.
        device: the process's own, which CUDA keeps for each thread.
    """

    def enter_thread() -> None:
        if device.type == "cuda":
            torch.cuda.set_device(device)
            torch.cuda.set_stream(torch.cuda.Stream(device))  # type: ignore[no-untyped-call]
        # Leaving the outermost autocast of any thread empties the one cache of weights in bf16. A
        # step would cast a weight anew and sum its gradients in another order, now and then.
        torch.autocast_increment_nesting()

    if device.type == "cpu" and torch.get_num_threads() > 1:
        yield source
        return
    with ThreadPoolExecutor(1, "batches", initializer=enter_thread) as worker:
        yield PrefetchedBatches(source, steps, worker, device)
