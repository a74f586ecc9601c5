from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch
from helpers.toys import ToyBatches, toy_config, train_toy

from dfpg.training.prefetch import prefetched

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Watched(ToyBatches):
    """Says which thread made each batch, and when one is begun."""

    def __init__(self, fails: int | None = None) -> None:
        super().__init__()
        self.threads: list[str] = []
        self.begun = [threading.Event() for _ in range(10)]
        self.fails = fails

    def batch(self, step):
        self.threads.append(threading.current_thread().name)
        self.begun[step].set()
        if step == self.fails:
            raise MemoryError("no room")
        return super().batch(step)


def test_batches_are_the_sources_each_is_made_once_and_none_behind_the_last_step():
    source = Watched()
    with prefetched(source, 6, CPU) as ahead:
        made = [ahead.batch(step) for step in range(6)]
    assert source.served == list(range(6))
    for step, batch in enumerate(made):
        assert torch.equal(batch.blurred, ToyBatches().batch(step).blurred)


def test_the_next_batch_is_made_while_this_one_is_used_in_another_thread():
    source = Watched()
    with prefetched(source, 3, CPU) as ahead:
        ahead.batch(0)
        assert source.begun[1].wait(10)  # nobody asked for it yet
        assert not source.begun[2].is_set()
    assert set(source.threads) == {"batches_0"}
    assert threading.current_thread().name not in source.threads
    assert "batches_0" not in {thread.name for thread in threading.enumerate()}


def test_after_a_step_back_the_batch_that_is_asked_for_comes():
    source = Watched()
    with prefetched(source, 10, CPU) as ahead:
        for step in (0, 1, 2, 1, 2, 7):
            assert torch.equal(ahead.batch(step).blurred, ToyBatches().batch(step).blurred)


def test_an_error_comes_with_its_own_step():
    with prefetched(Watched(fails=2), 5, CPU) as ahead:
        ahead.batch(0)
        ahead.batch(1)
        with pytest.raises(MemoryError, match="no room"):
            ahead.batch(2)


def test_a_batch_that_leaves_autocast_leaves_the_steps_cached_weights_alone():
    class Blurs(Watched):
        def batch(self, step):
            with torch.autocast("cpu", enabled=False):
                return super().batch(step)

    weight = torch.ones(4, 4, requires_grad=True)
    with (
        prefetched(Blurs(), 9, CPU) as ahead,
        torch.autocast("cpu", torch.bfloat16),
    ):
        first = torch.ones(2, 4) @ weight
        for step in range(4):
            ahead.batch(step)
        second = torch.ones(2, 4) @ weight
    casts = [output.grad_fn.next_functions[1][0] for output in (first, second)]
    assert casts[0] is casts[1]  # else gradients are summed in fp32 here, in bf16 there


def test_with_more_threads_on_a_cpu_batches_are_made_in_line():
    torch.set_num_threads(2)
    source = Watched()
    with prefetched(source, 3, CPU) as batches:
        batches.batch(0)
    assert source.served == [0]
    assert source.threads == [threading.current_thread().name]


class Cuda:
    """Stands in for CUDA's streams: says what is asked of which, in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[tuple[str, str, object]] = []
        self.current = threading.local()
        self.number = 0
        for name in ("set_stream", "current_stream"):
            monkeypatch.setattr(torch.cuda, name, getattr(self, name))
        monkeypatch.setattr(torch.cuda, "set_device", lambda _: None)
        monkeypatch.setattr(torch.cuda, "Stream", lambda _: Stream(self, "own"))
        monkeypatch.setattr(
            torch.Tensor,
            "record_stream",
            lambda tensor, stream: self.calls.append((stream.name, "uses", tensor.data_ptr())),
        )

    def set_stream(self, stream):
        self.current.stream = stream

    def current_stream(self, _device):
        return getattr(self.current, "stream", Stream(self, "default"))


class Stream:
    def __init__(self, cuda: Cuda, name: str) -> None:
        self.cuda, self.name = cuda, name

    def record_event(self):
        self.cuda.number += 1
        self.cuda.calls.append((self.name, "records", self.cuda.number))
        return self.cuda.number

    def wait_event(self, event):
        self.cuda.calls.append((self.name, "waits", event))


def test_on_cuda_the_steps_stream_waits_for_each_batch_and_keeps_it(monkeypatch):
    cuda = Cuda(monkeypatch)
    with prefetched(ToyBatches(), 3, torch.device("cuda")) as ahead:
        for step in range(3):
            batch = ahead.batch(step)
            made = ("own", "records", step + 1)
            waits = ("default", "waits", step + 1)
            used = [("default", "uses", t.data_ptr()) for t in (batch.sharp, batch.blurred)]
            start = cuda.calls.index(waits)
            assert cuda.calls.index(made) < start
            mine = [call for call in cuda.calls[start:] if call[0] == "default"]
            assert mine == [waits, *used]
            assert torch.equal(batch.blurred, ToyBatches().batch(step).blurred)
    assert cuda.number == 3


def test_a_training_makes_its_batches_in_that_thread_and_leaves_none_behind(tmp_path):
    source = Watched()
    train_toy(tmp_path, toy_config(5), batches=source)
    assert source.threads == ["batches_0"] * 5
    assert "batches_0" not in {thread.name for thread in threading.enumerate()}
