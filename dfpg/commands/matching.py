"""Which restored image belongs to which sharp one, by their names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from dfpg.commands.export import sharp_stem
from dfpg.commands.strips import drop_strips
from dfpg.core.errors import UserError, escape_text
from dfpg.core.listing import Listing, list_images, normalise_name

# What codes of the compared methods put to the name of a restored image.
SUFFIXES = ("_random", "_out3", "_deblur")
EQUAL = "equal names"
PUBLISHED = "the published naming (<stem>_ker<NN>_blur_k<size> belongs to <stem>)"


class ImagePair(NamedTuple):
    """A restored image and its sharp one."""

    restored: Path
    sharp: Path


@dataclass(frozen=True)
class Matching:
    """Pairs, and how they were found.

    Attributes:
        pairs: sorted by sharp, then restored name.
        ways: how many pairs each way of naming gave.
        remarks: a line on each folder in which something was passed over.
    """

    pairs: tuple[ImagePair, ...]
    ways: Mapping[str, int]
    remarks: tuple[str, ...]

    def describe(self) -> str:
        """How the images were matched, and what was passed over."""
        sharp = len({pair.sharp for pair in self.pairs})
        ways = ", ".join(f"{count} by {way}" for way, count in self.ways.items())
        head = f"matched: {len(self.pairs)} restored with {sharp} sharp images, {ways}"
        return "\n".join([head, *self.remarks])


def match_images(restored: Path, sharp: Path, suffix: str | None = None) -> Matching:
    """Match the images of two folders.

    A restored image belongs to the sharp one with the same name without ending; where there is
    none, ``<stem>_ker<NN>_blur_k<size>`` belongs to ``<stem>``, as in the published test sets.
    What a code put to its names is cut off first where that leads to a sharp image. Names are
    compared in Unicode's composed form.

    Args:
        restored: folder of restored images.
        sharp: folder of sharp images.
        suffix: what the names of restored images end with: images without it are passed over.
            None: one of ``SUFFIXES``, or nothing.

    Raises:
        UserError: a folder is missing or empty, two of its images have one name, or an image has
            no partner, or not only one.
    """
    listings = {
        folder: drop_strips(list_images(folder, deep=False)) for folder in (restored, sharp)
    }
    found, wanted = (_by_stem(listings[folder][0]) for folder in (restored, sharp))
    remarks = [
        f"{escape_text(path)}: {skipped}" for path, (_, skipped) in listings.items() if skipped
    ]
    if suffix is not None:
        rest = [stem for stem in found if not stem.endswith(normalise_name(suffix))]
        if len(rest) == len(found):
            raise UserError(f"{restored}: no image has a name that ends with {suffix!r}")
        if rest:
            remarks.append(f"{escape_text(restored)}: {len(rest)} without {suffix} passed over")
    pairs, ways = [], Counter[str]()
    taken: dict[str, Path] = {}
    for stem, path in found.items():
        if suffix is not None and stem in rest:
            continue
        name, way = _strip_suffix(stem, wanted, suffix)
        source = name if name in wanted else sharp_stem(name)
        if source not in wanted:
            raise UserError(
                f"{path}: no sharp image {source!r} in {sharp}: names must be equal, or "
                "<stem>_ker<NN>_blur_k<size> for the sharp <stem>; what is put to the name of "
                "every restored image is named with --suffix"
            )
        if name in taken:
            raise UserError(
                f"{path}: {taken[name].name} is a restored image {name!r}, too: say which to "
                "score with --suffix, or remove one"
            )
        taken[name] = path
        ways[way or (EQUAL if source == name else PUBLISHED)] += 1
        pairs.append(ImagePair(path, wanted[source]))
    idle = sorted(set(wanted.values()) - {pair.sharp for pair in pairs})
    if idle:
        raise UserError(
            f"{idle[0]}: no restored image in {restored} ({len(idle)} of {len(wanted)} sharp "
            "images have none): supply them, or remove the sharp ones"
        )
    pairs.sort(key=lambda pair: (pair.sharp, pair.restored))
    return Matching(tuple(pairs), ways, tuple(remarks))


def _strip_suffix(stem: str, wanted: Mapping[str, Path], suffix: str | None) -> tuple[str, str]:
    """A stem without what a code put to it, and by which suffix; the stem itself and nothing."""
    if suffix is None and (stem in wanted or sharp_stem(stem) in wanted):
        return stem, ""
    for known in SUFFIXES if suffix is None else (normalise_name(suffix),):
        name = stem.removesuffix(known)
        if name != stem and (name in wanted or sharp_stem(name) in wanted):
            return name, f"the suffix {known}"
    return stem, ""


def _by_stem(listing: Listing) -> dict[str, Path]:
    """Images that lie in a folder itself, by the stems of their names."""
    found: dict[str, Path] = {}
    for name in listing.require_images(_subfolder_hint(listing)):
        path = listing.folder / name
        stem = normalise_name(path.stem)
        if stem in found:
            raise UserError(
                f"{path}: {found[stem].name} has the same name without ending: remove one"
            )
        found[stem] = path
    return found


def _subfolder_hint(listing: Listing) -> str:
    """What to do about a folder without images: name one in it that has some."""
    for folder in listing.folders:
        deeper = list_images(listing.folder / folder, deep=False).images
        if deeper:
            return f"{listing.folder / folder} has {len(deeper)}: name that folder"
    return "name the folder that holds them directly"
