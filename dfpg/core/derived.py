"""What follows from ``params.yaml`` without standing in it, or stands behind its values.

Unlike the modules that only check the file, this one decides results (``dfpg.core.closure``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dfpg.core.config import Config

NOMINAL_SIZES = (13, 15, 17, 19, 21, 23, 25, 27)  # kernel sizes at 128 px, paper section 4.2
REFERENCE_SIZE = 128  # px: image size that the nominal kernel sizes refer to


def sources(config: Config) -> dict[str, str]:
    """Every face source that the profile uses, by the parameter that asks for it."""
    found = {"prior.source": config.prior.source}
    for name, protocol in config.protocols.items():
        found[f"protocols.{name}.source"] = protocol.source
        for column, subset in protocol.test.subsets.items():
            found[f"protocols.{name}.test.subsets.{column}.source"] = subset.source
    return found
