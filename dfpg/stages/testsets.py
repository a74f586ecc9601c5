"""Stage ``testsets``: blurred and sharp test images of one protocol."""

from __future__ import annotations

from dfpg.core.config import load_config, protocol_name
from dfpg.core.paths import TESTSETS
from dfpg.core.terminal import say
from dfpg.data.blur.kernels import load_bank
from dfpg.data.faces.dataset import load_faces
from dfpg.data.testsets import build_testset


def testsets(protocol: str) -> None:
    """Stage ``testsets``: synthesise one protocol's test set."""
    name = protocol_name(protocol)
    config = load_config()
    settings = config.protocols[name]
    used = {subset.source for subset in settings.test.subsets.values()}
    faces = {source: load_faces(source, "test", settings.framing) for source in sorted(used)}
    rate = build_testset(config, name, load_bank(settings.kernels), faces, TESTSETS / name)
    say(f"test set {name}: {rate}")
