"""The sets of photographs that can be read, by the name of their reader in params.yaml."""

from __future__ import annotations

from pathlib import Path

from dfpg.core.config import PARAMS, FaceSource
from dfpg.core.errors import UserError
from dfpg.core.files import expand_home
from dfpg.data.faces.celeba import CelebA
from dfpg.data.faces.celebamask_hq import CelebAMaskHQ
from dfpg.data.faces.ffhq import FFHQ
from dfpg.data.faces.folder import Folder
from dfpg.data.faces.helen import Helen
from dfpg.data.faces.source import Source

READERS: dict[str, type[Source]] = {
    "celeba": CelebA,
    "celebamask_hq": CelebAMaskHQ,
    "ffhq": FFHQ,
    "folder": Folder,
    "helen": Helen,
}


def open_source(name: str, settings: FaceSource) -> Source:
    """Open a set of photographs: its lists are read and checked, its pictures are not.

    Args:
        name: key under ``faces``.
        settings: its reader and folder.

    Raises:
        UserError: no folder is set, it is not there, or is not that set's.
    """
    reader = READERS[settings.reader]
    where = f"{PARAMS}: faces.{name}.path"
    if settings.path is None:
        raise UserError(
            f"{where}: not set: give your folder of {reader.title} ({reader.origin}), "
            f"as `dfpg profile use PROFILE --faces {name}=FOLDER` does"
        )
    root = expand_home(Path(settings.path))
    if not root.is_dir():
        raise UserError(f"{where}: {root}: no such folder: name that of {reader.title}")
    source = reader(root)
    if source.index.empty:
        raise UserError(f"{where}: {source.pictures}: no pictures: copy those of {reader.title}")
    return source
