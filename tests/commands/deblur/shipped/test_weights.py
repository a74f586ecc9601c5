"""The model that ships is the one on its card, and restores held-out faces."""

from __future__ import annotations

import json

import torch
from helpers.places import ROOT

from dfpg.commands.deblur.shipped import CARD, WEIGHTS
from dfpg.commands.deblur.shipped.by_size import SizeGain
from dfpg.commands.deblur.shipped.measure import Gain, Measured
from dfpg.commands.deblur.shipped.pack import LIMIT_BYTES, set_shortfalls, shortfalls
from dfpg.core.config import Augmentation
from dfpg.core.files import sha256
from dfpg.data.augmentation import face_views
from dfpg.data.blur.degrade import blur, quantise, to_signed
from dfpg.data.blur.kernels import make_kernels
from dfpg.data.faces.dataset import load_folder
from dfpg.methods.registry import build_restorer
from dfpg.metrics.psnr import psnr

FACES = 8
# The weights of 26 November 2026 were packed before the bar had kernel sizes and measured kernels.
BEFORE_SIZES = "87ce3aa073643e7145e7fd550cb0db8713dd77b9e07b77e61a2c079fe0b3a768"
PLAIN = Augmentation(random_crop=False, flip=False, rotation=0.0, color_jitter=0.0)


def test_card_is_that_of_the_file_and_above_the_bar():
    card = json.loads(CARD.read_text())
    assert card["sha256"] == sha256(WEIGHTS)
    assert WEIGHTS.stat().st_size <= LIMIT_BYTES
    assert card["image_size"] == 128
    sets = {name: Gain(**found) for name, found in card["measured_psnr_db"].items()}
    assert tuple(sets) == ("generated_a", "generated_b", "celeba_a", "celeba_b")
    if card["sha256"] == BEFORE_SIZES:
        assert set_shortfalls(sets) == []
    else:
        sizes, kernels = (
            [SizeGain(**row) for row in card[part]["rows"]]
            for part in ("by_kernel_size", "measured_kernels")
        )
        assert shortfalls(Measured(sets, sizes, kernels)) == []


def test_it_restores_faces_of_people_that_it_was_not_trained_on(config):
    pictures = torch.from_numpy(load_folder(ROOT / "data", "test", None).pictures[::60][:FACES])
    sharp = quantise(face_views(pictures, 0.8, PLAIN, 128, None))
    large = config.model_copy(update={"image_size": 128})
    kernels = torch.from_numpy(make_kernels(large, "spline", "test", 21)[:FACES])
    blurred = quantise(blur(to_signed(sharp), kernels))
    restored = quantise(build_restorer(WEIGHTS, torch.device("cpu")).restore(to_signed(blurred)))
    gain = psnr(restored, sharp) - psnr(blurred, sharp)
    assert gain.mean() > 1.0
    assert (gain > 0).all()
