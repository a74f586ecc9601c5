"""Loss terms that drown, or drown the others, in words; no torch: tables say it, too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

FAINT, LOUD = 0.001, 0.9  # shares of the gradient below and above which a term is named


def imbalances(shares: Mapping[str, float]) -> dict[tuple[str, str], str]:
    """What to say of shares that are out of balance, by their name and ``faint`` or ``loud``.

    Terms without any gradient, and those that a part of the generator has alone, are left out.

    Args:
        shares: ``share.<term>.<part>``, see :func:`dfpg.training.diagnostics.gradient_shares`;
            figures of other names are passed over.
    """
    found = {}
    for name, share in shares.items():
        if not name.startswith("share."):
            continue
        _, term, part = name.split(".")
        start = f"loss {term} has {100 * share:.2g} % of the gradient on the {part}"
        if 0 < share < FAINT:
            found[name, "faint"] = f"{start}: it does next to nothing"
        if LOUD < share < 1:
            found[name, "loud"] = f"{start}: the others do next to nothing"
    return found


def new_imbalances(
    shares: Mapping[str, float], earlier: Sequence[Mapping[str, float]]
) -> list[str]:
    """What :func:`imbalances` says of the shares, and did not say of an earlier row."""
    said = {key for row in earlier for key in imbalances(row)}
    return [line for key, line in imbalances(shares).items() if key not in said]
