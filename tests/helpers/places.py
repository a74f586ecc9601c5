"""Where the tests find the project, and the photographs that only its developers have."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("DFPG_SHARED", ROOT.parent / "shared"))
