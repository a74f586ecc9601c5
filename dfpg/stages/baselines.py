"""Stage ``baselines``: the sharp and the blurred images themselves, and Table 3's references."""

from __future__ import annotations

from typing import get_args

import torch

from dfpg.core.config import Config, ProtocolName, load_config
from dfpg.core.device import select_device
from dfpg.core.paths import ARTIFACTS, PRIORS, REFERENCES, TESTSETS
from dfpg.core.terminal import say
from dfpg.data.faces.dataset import load_faces
from dfpg.data.testsets import TestSet, open_testset
from dfpg.evaluation.recognition.card import write_card
from dfpg.evaluation.recognition.observe import build_detector, build_recogniser
from dfpg.evaluation.recognition.references import EMBEDDER_CARD, build_references
from dfpg.evaluation.score import score_testsets
from dfpg.metrics.registry import build_metrics
from dfpg.paper.tables import BASELINES, RECOGNITION
from dfpg.pretrained.embedder import FaceEmbedder, embedder_path
from dfpg.pretrained.vggface import load_prior

RUN = "baselines"


def baselines() -> None:
    """Stage ``baselines``: score the images themselves; write what verification compares with.

    Raises:
        UserError: what it needs is missing.
    """
    config = load_config()
    device = select_device()
    metrics = build_metrics(config, load_prior(PRIORS), device)
    sets = {name: open_testset(TESTSETS / name) for name in get_args(ProtocolName)}
    _references(config, sets[RECOGNITION.protocol])
    recogniser = build_recogniser(config)
    out = ARTIFACTS / "per_image" / f"{RUN}.csv"
    with torch.inference_mode():
        rate = score_testsets(config, RUN, None, sets, metrics, out, str(device), recogniser)
    recogniser.write(ARTIFACTS / "recognition" / f"{RUN}.csv")
    say(f"evaluated {', '.join(BASELINES)}: {rate:.1f} images/s")


def _references(config: Config, testset: TestSet) -> None:
    """Pairs, reference embeddings and the embedder's card, for all methods alike."""
    protocol = config.protocols[RECOGNITION.protocol]
    slot = protocol.test.subsets.get(RECOGNITION.subset)
    source = slot.source if slot else None
    faces = load_faces(source, "test", protocol.framing) if source else None
    path = embedder_path(config.recognition.embedder)
    detector, embedder = build_detector(config), FaceEmbedder(path)
    build_references(config, testset, faces, detector, embedder, REFERENCES)
    write_card(config, path, embedder, detector, source, faces, REFERENCES / EMBEDDER_CARD)
