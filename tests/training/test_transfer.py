from __future__ import annotations

import torch

from dfpg.training.transfer import to_device

CPU = torch.device("cpu")


def test_a_tensor_goes_to_the_device_as_it_is():
    tensor = torch.arange(6.0).reshape(2, 3).T
    assert torch.equal(to_device(tensor, CPU), tensor)
    assert to_device(tensor, CPU) is tensor  # nothing is copied where it is


def test_to_cuda_a_tensor_goes_from_pinned_memory_and_nobody_waits(monkeypatch):
    def pin(tensor):
        pinned.append(tensor)
        return Pinned()

    class Pinned:
        def to(self, *arguments, **options):
            return arguments, options

    pinned = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", pin)
    tensor, device = torch.ones(2), torch.device("cuda")
    assert to_device(tensor, device) == ((device,), {"non_blocking": True})
    assert pinned[0] is tensor
