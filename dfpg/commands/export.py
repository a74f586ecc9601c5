"""A protocol's test set as PNG folders in the published naming, so that any code can restore it.

Protocol A is laid out as the Shen test set (joanshen0508/Deep-Semantic-Face-Deblurring), protocol B
with the file names of the MSPL test sets (sujyQ/SAPPGAN), whose folder names are assumed.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

import pandas as pd

from dfpg.core.config import ProtocolName, protocol_name
from dfpg.core.csv_files import to_csv
from dfpg.core.errors import UserError
from dfpg.core.files import write_image, write_text
from dfpg.core.paths import TESTSETS
from dfpg.core.progress import Progress
from dfpg.data.testsets import TestSet, open_testset
from dfpg.paper.tables import SUBSET_TITLES

INDEX = "index.csv"
# MSPL's rule is "the stem without its last 15 characters", which is this for two-digit numbers.
BLUR = re.compile(r"_ker\d+_blur_k\d+$")


def sharp_stem(stem: str) -> str:
    """Stem of the sharp image that ``<stem>_ker<NN>_blur_k<size>`` was made of; else the same."""
    return BLUR.sub("", stem)


def image_folders(protocol: ProtocolName, subset: str, mode: str) -> tuple[str, str]:
    """Folders of the sharp and of the blurred images of one subset and mode."""
    label = SUBSET_TITLES.get(subset, subset)
    if protocol == "a":
        return f"Test_data_{label}/final_{label}_gt", f"Test_data_{label}/final_{label}_blur"
    return f"MSPL_{mode.capitalize()}/{label}/gt", f"MSPL_{mode.capitalize()}/{label}/blur"


def file_names(protocol: ProtocolName, index: pd.DataFrame) -> pd.DataFrame:
    """Paths of a test set's images in its export, from the export's root.

    Args:
        protocol: "a" or "b".
        index: of the test set (:class:`dfpg.data.testsets.TestSet`).

    Returns:
        Columns ``blurred`` and ``sharp``, rows as in ``index``. Kernels are numbered from 1.
    """
    stems = _stems(index)
    rows = []
    for row, stem in zip(index.itertuples(), stems, strict=True):
        sharp, blurred = image_folders(protocol, str(row.subset), str(row.mode))
        name = f"{stem}_ker{int(str(row.kernel)) + 1:02d}_blur_k{row.size}.png"
        rows.append((f"{blurred}/{name}", f"{sharp}/{stem}.png"))
    return pd.DataFrame(rows, columns=["blurred", "sharp"], index=index.index)


def _stems(index: pd.DataFrame) -> list[str]:
    """Name of each row's sharp face without suffix; equal names in a folder get the face's row."""
    flat = [str(PurePosixPath(face).with_suffix("")).replace("/", "_") for face in index["face"]]
    named = index[["subset", "mode", "sharp"]].assign(stem=flat)
    faces = named.groupby(["subset", "mode", "stem"])["sharp"].transform("nunique")
    return [
        stem if count == 1 else f"{stem}-{sharp}"
        for stem, count, sharp in zip(flat, faces, index["sharp"], strict=True)
    ]


def export_testset(protocol: str, out: Path, force: bool) -> str:
    """One protocol's test set as PNG folders; says what was written.

    Raises:
        UserError: as :func:`export_images`; no such protocol, or its test set is not made.
    """
    name = protocol_name(protocol)
    return export_images(open_testset(TESTSETS / name), name, out, force)


def export_images(testset: TestSet, protocol: ProtocolName, out: Path, force: bool) -> str:
    """Write the pairs as PNG and ``index.csv``, which comes last; says what was written.

    Args:
        testset: the protocol's test set.
        protocol: "a" or "b".
        out: root of the folders.
        force: replace images of the same names.

    Raises:
        UserError: the folder holds something and ``force`` is not given, or images that are not of
            this test set; it cannot be written.
    """
    names = file_names(protocol, testset.index)
    sharp = dict(zip(names["sharp"], testset.index["sharp"], strict=True))
    _refuse_to_overwrite(out, {*names["blurred"], *sharp}, force)
    with Progress(f"export {protocol}", len(names) + len(sharp), "image") as progress:
        for name, face in sharp.items():
            write_image(out / name, testset.sharp[face])
            progress.advance()
        for name, image in zip(names["blurred"], testset.index["image"], strict=True):
            write_image(out / name, testset.blurred[image])
            progress.advance()
    columns = ["image", "subset", "mode", "person", "face", "kernel", "size"]
    table = pd.concat([names, testset.index[columns]], axis=1)
    write_text(out / INDEX, to_csv(table, index=False))
    parents = sorted({str(PurePosixPath(name).parent) for name in names["blurred"]})
    return (
        f"{out}: {len(names)} blurred and {len(sharp)} sharp images, listed in {INDEX}\n"
        f"blurred: {', '.join(parents)}"
    )


def _refuse_to_overwrite(out: Path, names: set[str], force: bool) -> None:
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: is a file: name a folder for the export")
    if not out.exists():
        return
    if not force and any(out.iterdir()):
        raise UserError(f"{out}: not empty: name another folder, or replace images with --force")
    parents = {PurePosixPath(name).parent for name in names}
    for parent in sorted(parents):
        for path in sorted((out / parent).glob("*")):
            if str(parent / path.name) not in names:
                raise UserError(f"{path}: not of this test set: delete {out / parent} first")
