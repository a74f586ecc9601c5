"""Stage ``testsets``: blurred and sharp test images of one protocol."""

from __future__ import annotations

from pathlib import Path

from dfpg.core.config import Config, ProtocolName, load_config, protocol_name
from dfpg.core.paths import TESTSETS
from dfpg.core.terminal import say
from dfpg.data.blur.kernels import KernelBank, load_bank
from dfpg.data.faces.dataset import load_faces
from dfpg.data.testsets import Rate, build_testset


def testsets(protocol: str) -> None:
    """Stage ``testsets``: synthesise one protocol's test set."""
    name = protocol_name(protocol)
    config = load_config()
    bank = load_bank(config.protocols[name].kernels)
    say(f"test set {name}: {synthesise(config, name, bank, TESTSETS / name)}")


def synthesise(config: Config, name: ProtocolName, kernels: KernelBank, out: Path) -> Rate:
    """Make one protocol's test set of its sources' test faces; says at what rate.

    Args:
        config: the profile.
        name: of the protocol.
        kernels: its family's.
        out: folder to write.

    Raises:
        UserError: faces are missing, or no kernels or faces are of the right kind.
    """
    settings = config.protocols[name]
    used = {subset.source for subset in settings.test.subsets.values()}
    faces = {source: load_faces(source, "test", settings.framing) for source in sorted(used)}
    return build_testset(config, name, kernels, faces, out)
