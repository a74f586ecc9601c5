"""Stage ``parsing``: parsing maps of the training faces."""

from __future__ import annotations

from pathlib import Path

from dfpg.core.config import load_config
from dfpg.core.device import resolve_precision, select_device
from dfpg.core.paths import PARSING
from dfpg.data.faces.dataset import JOIN, PREPARED, load_faces
from dfpg.data.faces.prepare import own_labels
from dfpg.pretrained.assets.store import asset_path
from dfpg.pretrained.bisenet import load_bisenet
from dfpg.pretrained.parsing import draw_parsing_sheet, label_file, parse_faces, save_labels


def parsing(sheet: Path | None) -> None:
    """Stage ``parsing``: maps of the training faces as they are stored, one file per source.

    A set's own masks are used where it has some; else BiSeNet draws the maps.
    """
    config = load_config()
    device = select_device()
    precision = resolve_precision(config.training.precision, device)
    names = {name for protocol in config.protocols.values() for name in protocol.source.split(JOIN)}
    for name in sorted(names):
        faces = load_faces(name, "train")
        labels = own_labels(PREPARED / name)
        if labels is None:
            labels = parse_faces(
                faces.pictures,
                load_bisenet(asset_path("bisenet")).to(device),
                precision=precision,
                side=config.prior.parsing_size,
            )
        save_labels(label_file(PARSING, name), labels)
        if sheet is not None:
            shown = slice(None, None, max(1, len(labels) // 24))
            path = sheet.with_stem(f"{sheet.stem}_{name}") if len(names) > 1 else sheet
            draw_parsing_sheet(faces.pictures[shown], labels[shown], path)
