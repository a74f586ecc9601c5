"""Training batches made ahead: the next one in a thread, while the step of this one computes."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import torch

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

    def __init__(self, source: Batches, steps: int, worker: ThreadPoolExecutor) -> None:
        """Nothing is made yet.

        Args:
            source: used by ``worker`` alone from now on.
            steps: number of the training's steps: none from there on is made ahead.
            worker: of one thread.
        """
        self._source, self._steps, self._worker = source, steps, worker
        self._ahead: tuple[int, Future[Batch]] | None = None

    def batch(self, step: int) -> Batch:
        """The batch of ``step``; that of the next step is begun.

        Raises:
            Exception: whatever the source raised for this step.
        """
        if self._ahead is None or self._ahead[0] != step:  # the first, or after a step back
            self._ahead = self._begin(step)
        found = self._ahead[1].result()
        self._ahead = self._begin(step + 1) if step + 1 < self._steps else None
        return found

    def _begin(self, step: int) -> tuple[int, Future[Batch]]:
        return step, self._worker.submit(self._source.batch, step)


@contextmanager
def prefetched(source: Batches, steps: int, device: torch.device) -> Iterator[Batches]:
    """Make the batches of a source ahead; on leaving, wait for the one that is being made.

    On a CPU only where PyTorch has one thread. OpenMP gives each of two threads a team of its own;
    two teams of two on two cores wait for one another, and steps took 1.7 times as long.

    Args:
        source: of the batches.
        steps: number of the training's steps.
        device: the process's own, which CUDA keeps for each thread.
    """

    def enter_thread() -> None:
        if device.type == "cuda":
            torch.cuda.set_device(device)
        # Leaving the outermost autocast of any thread empties the one cache of weights in bf16. A
        # step would cast a weight anew and sum its gradients in another order, now and then.
        torch.autocast_increment_nesting()

    if device.type == "cpu" and torch.get_num_threads() > 1:
        yield source
        return
    with ThreadPoolExecutor(1, "batches", initializer=enter_thread) as worker:
        yield PrefetchedBatches(source, steps, worker)
