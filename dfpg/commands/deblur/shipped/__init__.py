"""The model that ships with the package: DFPGnet for faces at 128 px (docs/shipped_model.md)."""

from __future__ import annotations

from pathlib import Path

WEIGHTS = Path(__file__).with_name("dfpgnet_128.safetensors")  # float16, loaded as float32
CARD = Path(__file__).with_name("dfpgnet_128.json")  # what it is, from what, how good
