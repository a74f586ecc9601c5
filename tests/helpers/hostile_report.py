"""A report of two runs and a submission, where others' names and notes are code."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pandas as pd
from helpers.places import ROOT
from helpers.toy_scores import write_artifacts, write_submission

from dfpg.analysis.tables import build_tables
from dfpg.core.config import Config
from dfpg.core.csv_files import to_csv
from dfpg.report.build import build_report

HOSTILE = (
    '=HYPERLINK("http://x.example","y")<script>alert(1)</script><img src=x onerror=alert(1)>'
    "|cell|\\input{/etc/passwd}$\\write18{id}$[a](javascript:alert(1))![b](http://x.example)"
    "\n\n# heading\n| a | b |\n& % # _ ^ ~ {} \" ' ` \x1b[2J \x00"
)


def make_hostile_report(config: Config, folder: Path) -> Path:
    """``artifacts``, ``results`` and report; people, files and a submission have such names.

    There are no pictures, and the curve of robustness was not measured.
    """
    artifacts, results, submissions = (folder / n for n in ("artifacts", "results", "submissions"))
    artifacts.mkdir()
    write_artifacts(config, artifacts)
    write_submission(config, artifacts, submissions)
    for path in [*artifacts.rglob("*.csv"), *submissions.rglob("*.csv")]:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
        for name in {"person", "face", "positive", "negative", "negative_person"} & {*frame}:
            frame[name] = HOSTILE.replace("\x00", "") + frame[name]
        path.write_text(to_csv(frame, index=False))
    card = submissions / "mynet" / "card.json"
    facts = json.loads(card.read_text())
    facts |= {"paper": facts["paper"] + HOSTILE, "by": HOSTILE, "profile": HOSTILE}
    pairs = artifacts / "references" / "pairs.csv"
    facts["pairs"] = hashlib.sha256(pairs.read_bytes()).hexdigest()
    card.write_text(json.dumps(facts))
    build_tables(config, artifacts, results, submissions)
    environment = {"commit": HOSTILE, "device": HOSTILE, "python": HOSTILE, "packages": {}}
    (results / "environment.json").write_text(json.dumps(environment))
    build_report(config, artifacts, results, ROOT)
    return folder
