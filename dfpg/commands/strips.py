"""The strips that ``dfpg deblur --strip`` writes beside photographs are no photographs."""

from __future__ import annotations

from dataclasses import replace

from dfpg.core.listing import Listing

STRIP = ".strip.png"  # put to a photograph's name


def drop_strips(listing: Listing) -> tuple[Listing, str]:
    """The listing without strips, and what was skipped or is no image, as one line.

    A strip is an image called as another one of the listing, and ``STRIP``.
    """
    names = set(listing.images)
    kept = tuple(
        name
        for name in listing.images
        if not (name.endswith(STRIP) and name.removesuffix(STRIP) in names)
    )
    dropped = len(names) - len(kept)
    remarks = [listing.describe_skipped(), f"strips passed over: {dropped}" if dropped else ""]
    return replace(listing, images=kept), "; ".join(filter(None, remarks))
