"""Where the pipeline keeps what it makes, from the project's root."""

from __future__ import annotations

from pathlib import Path

ARTIFACTS = Path("artifacts")
SCRATCH = Path("scratch")
RESULTS = Path("results")
CODE = ARTIFACTS / "code"
KERNELS = ARTIFACTS / "kernels"
TESTSETS = ARTIFACTS / "testsets"
PRIORS = ARTIFACTS / "priors"
PARSING = ARTIFACTS / "parsing"
REFERENCES = ARTIFACTS / "references"
ROBUSTNESS = ARTIFACTS / "robustness"
PICTURES = ARTIFACTS / "pictures"
