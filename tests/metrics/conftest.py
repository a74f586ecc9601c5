from __future__ import annotations

import pytest
from helpers.drawings import blur_box, draw_faces

from dfpg.metrics.registry import build_metrics
from dfpg.pretrained.assets.store import asset_path
from dfpg.pretrained.vggface import PriorNetwork, load_trunk


@pytest.fixture(scope="session")
def sharp():
    return draw_faces(2, 48)


@pytest.fixture(scope="session")
def blurred(sharp):
    return blur_box(sharp)


@pytest.fixture(scope="session")
def prior():
    return PriorNetwork(load_trunk(asset_path("vgg16_imagenet")))


@pytest.fixture(scope="session")
def metrics(config, prior):
    return build_metrics(config, prior)
