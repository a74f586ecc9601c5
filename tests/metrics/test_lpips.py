from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.places import SHARED
from safetensors.torch import load_file
from torch.nn import functional

from dfpg.core.errors import UserError
from dfpg.core.files import read_image
from dfpg.metrics import lpips
from dfpg.metrics.torchvision_shim import import_lpips
from dfpg.pretrained.assets import store
from dfpg.pretrained.assets.store import asset_path

EXAMPLE = SHARED / "data" / "lpips_example"
HEAD_CHANNELS = {"alex": (64, 192, 384, 256, 256), "vgg": (64, 128, 256, 512, 512)}


@pytest.fixture(scope="module")
def networks():
    return {trunk: lpips.load_network(trunk) for trunk in ("alex", "vgg")}


def read(name):
    return torch.from_numpy(read_image(EXAMPLE / name).transpose(2, 0, 1).copy())[None]


@pytest.mark.skipif(not EXAMPLE.is_dir(), reason="needs shared/data/lpips_example (DFPG_SHARED)")
@pytest.mark.parametrize(("name", "published"), [("ex_p0.png", 0.722), ("ex_p1.png", 0.138)])
def test_official_example(networks, name, published):
    metric = lpips.lpips_alex(networks["alex"])
    score = metric.score(read(name), metric.features(read("ex_ref.png"))).item()
    assert score == pytest.approx(published, abs=5e-4)


@pytest.mark.parametrize(
    ("make", "trunk"),
    [(lpips.lpips_alex, "alex"), (lpips.lpips_vgg, "vgg"), (lpips.lpips_vgg_authors, "vgg")],
)
def test_equals_the_packages_own_forward(networks, sharp, blurred, make, trunk):
    metric = make(networks[trunk])
    inputs = [images.float() for images in (blurred, sharp)]
    if not metric.unscaled:
        inputs = [images / 127.5 - 1 for images in inputs]
    expected = networks[trunk](*inputs).flatten().double()
    torch.testing.assert_close(
        metric.score(blurred, metric.features(sharp)), expected, rtol=1e-5, atol=1e-7
    )


def test_vgg_equals_the_formula_written_out(sharp, blurred):
    weights = load_file(asset_path("lpips_vgg"))
    shift = torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1)
    scale = torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1)

    def levels(images):
        x = (images.float() / 127.5 - 1 - shift) / scale
        index = 0
        for convolutions in (2, 2, 3, 3, 3):
            for _ in range(convolutions):
                kernel, bias = (weights[f"features.{index}.{part}"] for part in ("weight", "bias"))
                x = functional.relu(functional.conv2d(x, kernel, bias, padding=1))
                index += 2
            yield x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10)
            x = functional.max_pool2d(x, 2)
            index += 1

    expected = torch.zeros(len(sharp))
    for level, (own, other) in enumerate(zip(levels(blurred), levels(sharp), strict=True)):
        difference = (own - other).square() * weights[f"lin{level}.weight"].view(1, -1, 1, 1)
        expected += difference.sum(1).mean((1, 2))
    metric = lpips.lpips_vgg(lpips.load_network("vgg"))
    score = metric.score(blurred, metric.features(sharp))
    np.testing.assert_allclose(score.numpy(), expected.numpy(), rtol=1e-5)


@pytest.mark.parametrize("trunk", ["alex", "vgg"])
def test_heads_are_those_of_the_package(networks, trunk):
    folder = Path(import_lpips().__file__).parent / "weights" / "v0.1"
    official = torch.load(folder / f"{trunk}.pth", map_location="cpu", weights_only=True)
    assert len(official) == 5
    for index, channels in enumerate(HEAD_CHANNELS[trunk]):
        own = networks[trunk].lins[index].model[-1].weight
        assert own.shape == (1, channels, 1, 1)
        assert torch.equal(own, official[f"lin{index}.model.1.weight"])


def test_loading_draws_no_random_numbers_and_needs_no_gradient():
    before = torch.get_rng_state()
    network = lpips.load_network("alex")
    assert torch.equal(before, torch.get_rng_state())
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert not any(parameter.is_meta for parameter in network.state_dict().values())
    assert not network.training


def unreachable(*_):
    raise UserError("nobody answers")


def test_missing_asset_is_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DFPG_ASSETS", raising=False)
    monkeypatch.setattr(store, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(store, "download", unreachable)
    with pytest.raises(UserError, match="asset lpips_vgg is missing and nobody answers"):
        lpips.load_network("vgg")
