from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from dfpg.core.errors import UserError
from dfpg.methods.dfpgnet import DFPGNet

Make = Callable[..., DFPGNet]


@pytest.mark.parametrize("size", [(32, 32), (30, 33), (5, 41)])
def test_restore_reflects_the_border_and_crops_it_off(
    make: Make, pair: Any, size: tuple[int, int]
) -> None:
    height, width = size
    method = make(init="released")
    image = F.interpolate(pair.blurred, size=size)
    bottom, right = -height % 4, -width % 4
    rows = [*range(height), *(height - 2 - i for i in range(bottom))]
    columns = [*range(width), *(width - 2 - i for i in range(right))]
    whole = method.restore(image[:, :, rows][:, :, :, columns])
    assert torch.equal(method.restore(image), whole[..., :height, :width])


def test_restore_is_clamped_repeatable_and_keeps_the_training_mode(make: Make, pair: Any) -> None:
    method = make().train()
    restored = method.restore(3 * pair.blurred)
    assert restored.abs().max() == 1
    assert torch.equal(restored, method.restore(3 * pair.blurred))
    assert method.networks["generator"].training
    assert not restored.requires_grad


def test_an_image_too_small_to_reflect_is_refused(make: Make) -> None:
    with pytest.raises(UserError, match="3x2 px is too small"):
        make().restore(torch.zeros(1, 3, 2, 3))


def test_optimisers_are_adam_with_the_papers_betas_and_two_rates(make: Make) -> None:
    optimisers = make().optimisers(1e-4, 1e-5)
    assert {name: o.defaults["lr"] for name, o in optimisers.items()} == {
        "generator": 1e-4,
        "discriminator": 1e-5,
    }
    assert all(o.defaults["betas"] == (0.9, 0.999) for o in optimisers.values())
