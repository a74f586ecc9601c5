"""Throughput of DFPGnet: restoring and training, at the embedded and at full width."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dfpg.config import Config, load_config
from dfpg.device import resolve_precision
from dfpg.methods.base import Method
from dfpg.methods.registry import build_method
from dfpg.priors.assets import asset_path
from dfpg.priors.surrogate import fold_state
from dfpg.priors.vggface import PriorNetwork, load_trunk
from dfpg.training.batches import Batch

FULL = {"width": 64, "blocks": 5, "prior_blocks": 10}


@pytest.fixture(scope="module")
def prior(device) -> PriorNetwork:
    """VGG-16's ImageNet trunk: as fast as VGGFace or the surrogate."""
    return PriorNetwork(fold_state(load_trunk(asset_path("vgg16_imagenet")))).to(device)


def method_of(width: str, prior: PriorNetwork, device: torch.device) -> Method:
    config = load_config(Path(__file__).parent.parent / "params.yaml")
    if width == "full":
        data = config.model_dump()
        data["methods"]["dfpgnet"] |= FULL
        config = Config.model_validate(data)
    return build_method(config, "dfpg_b", prior).to(device)


@pytest.mark.parametrize("width", ["embedded", "full"])
def test_restore(measure, images, prior, device, width):
    method = method_of(width, prior, device).train(False)
    with torch.inference_mode():
        restored = measure(lambda: method.restore(images))
    assert restored.shape == images.shape
    assert restored.abs().max() <= 1


def test_training_step(measure, images, prior, device):
    method = method_of("embedded", prior, device).train()
    optimisers = method.optimisers(1e-4, 1e-5)
    zeros = torch.zeros(len(images), dtype=torch.int64)
    batch = Batch(images, images * 0.9, images[:, 0], zeros, zeros)
    native = resolve_precision("auto", device) == "bf16"

    def step() -> dict[str, float]:
        losses = {}
        phases = method.phases(batch)
        while True:
            with torch.autocast(device.type, torch.bfloat16, enabled=native):
                phase = next(phases, None)
            if phase is None:
                return losses
            optimisers[phase.optimiser].zero_grad(set_to_none=True)
            phase.loss.backward()
            optimisers[phase.optimiser].step()
            losses[phase.optimiser] = float(phase.loss.detach())

    losses = measure(step)
    assert set(losses) == {"discriminator", "generator"}
    assert all(value == value for value in losses.values())
