from __future__ import annotations

import pytest
import torch
from helpers.block_faces import block_faces
from helpers.kernels import copy_kernels

from dfpg.core.config import Config
from dfpg.data.blur.kernels import load_kernels
from dfpg.data.testsets import build_testset, open_testset
from dfpg.evaluation.robustness.measure import Inputs, move_images


@pytest.fixture(scope="session")
def faces():
    return block_faces()


@pytest.fixture(scope="session")
def inputs(config: Config, faces, tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    """Kernels and both test sets, as the stages make them; no weights, no parts yet."""
    folder = tmp_path_factory.mktemp("inputs")
    copy_kernels(config, folder / "kernels")
    for protocol, settings in config.protocols.items():
        bank = load_kernels(folder / "kernels" / f"{settings.kernels}.safetensors")
        build_testset(config, protocol, bank, faces, folder / "testsets" / protocol)
    return Inputs(
        folder / "weights", folder / "testsets", folder / "kernels", folder / "robustness"
    )


@pytest.fixture(scope="session")
def banks(config: Config, inputs: Inputs):
    return {
        protocol: load_kernels(inputs.kernels / f"{settings.kernels}.safetensors")
        for protocol, settings in config.protocols.items()
    }


@pytest.fixture(scope="session")
def images(config: Config, inputs: Inputs, faces, banks):
    return {
        protocol: move_images(
            config, protocol, open_testset(inputs.testsets / protocol).index, bank, faces
        )
        for protocol, bank in banks.items()
    }


@pytest.fixture
def device() -> torch.device:
    return torch.device("cpu")
