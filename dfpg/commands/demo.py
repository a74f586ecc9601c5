"""``dfpg demo``: a page on this machine that deblurs a photograph dropped on it (Gradio)."""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from dfpg.commands.deblur.command import Options, parse_device, weights_file
from dfpg.commands.deblur.command import deblur as deblur_file
from dfpg.commands.deblur.detection import CanvasDetector, find_faces
from dfpg.commands.deblur.framing import Pixels
from dfpg.commands.deblur.photographs import read_photograph
from dfpg.core.errors import UserError
from dfpg.pretrained.assets.store import asset_path

HOST = "127.0.0.1"
TITLE = "DFPG-Bench: deblur the faces of a photograph"
NOTE = (
    "The photograph stays on this machine. The model takes blur off; it invents no face that the "
    "blur has taken away."
)
BOX = (255, 196, 0)

Answer = tuple[Image.Image, Image.Image, str, str | None]


def demo(port: int, choices: Options, opened: bool) -> None:
    """Serve the page until the process is stopped.

    Args:
        port: of the address 127.0.0.1, which no other machine reaches.
        choices: what ``dfpg deblur`` would be told.
        opened: whether to open the page in the user's browser.

    Raises:
        UserError: the port is taken, or the weights or the detector are missing.
        ModuleNotFoundError: gradio is not installed.
    """
    # Gradio asks for its version and fonts elsewhere unless it is told not to.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import gradio  # noqa: F401 (the first of what may be missing: before anything is fetched)

    weights_file(choices.weights)
    parse_device(choices.device)
    asset_path("scrfd")
    with tempfile.TemporaryDirectory(prefix="dfpg.") as folder:
        page = build(choices, Path(folder))
        try:
            page.launch(
                server_name=HOST,
                server_port=port,
                share=False,
                inbrowser=opened,
                allowed_paths=[folder],
            )
        except OSError as error:
            raise UserError(f"--port {port}: {error}: name another") from error


def build(choices: Options, folder: Path) -> Any:
    """The page as ``gradio.Blocks``; results are written into ``folder``."""
    import gradio

    with gradio.Blocks(title=TITLE, analytics_enabled=False) as page:
        gradio.Markdown(f"# {TITLE}\n{NOTE}")
        given = gradio.File(
            label="Photograph", type="filepath", file_types=["image"], elem_id="given"
        )
        with gradio.Row():
            before = gradio.Image(label="Before", interactive=False, elem_id="before")
            after = gradio.Image(label="After", interactive=False, elem_id="after")
        report = gradio.Textbox(label="Report", interactive=False, elem_id="report")
        result = gradio.File(label="Download", interactive=False, elem_id="result")
        given.upload(
            lambda path: restore(Path(path), choices, folder),
            given,
            [before, after, report, result],
        )
    return page


def restore(path: Path, choices: Options, folder: Path) -> Answer | tuple[None, None, str, None]:
    """What the page shows of one photograph: before and after with boxes, report, and the file."""
    try:
        photograph = read_photograph(path)
        place = Path(tempfile.mkdtemp(dir=folder))
        outcome = deblur_file(path, place, replace(choices, copy=False, force=True))
        written = place / path.name
        boxes = [face.box for face in find_faces(photograph.pixels, _detector())]
        after = read_photograph(written).pixels if written.exists() else photograph.pixels
        text = outcome.text.replace(f"{place}: ", "")
    except UserError as error:
        return None, None, str(error).replace(f"{path}: ", ""), None
    return (
        _draw_boxes(photograph.pixels, boxes),
        _draw_boxes(after, boxes),
        text,
        str(written) if written.exists() else None,
    )


@cache
def _detector() -> CanvasDetector:
    return CanvasDetector(asset_path("scrfd"))


def _draw_boxes(pixels: Pixels, boxes: list[NDArray[np.float32]]) -> Image.Image:
    """The photograph with a rectangle about every face."""
    image = Image.fromarray(pixels)
    pen, line = ImageDraw.Draw(image), max(3, image.width // 200)
    for box in boxes:
        pen.rectangle([float(value) for value in box], outline=BOX, width=line)
    return image
