"""Stage ``robustness``: every run on test faces moved by known amounts."""

from __future__ import annotations

from collections.abc import Sequence

from dfpg.analysis.records import csv_text
from dfpg.analysis.result_records import RobustnessRecord
from dfpg.analysis.robustness import curve_records, read_curve
from dfpg.core.config import load_config
from dfpg.core.device import select_device
from dfpg.core.files import write_text
from dfpg.core.paths import ARTIFACTS, KERNELS, RESULTS, ROBUSTNESS, TESTSETS
from dfpg.data.blur.kernels import load_bank
from dfpg.data.faces.dataset import load_faces
from dfpg.data.testsets import open_testset
from dfpg.evaluation.robustness.measure import Inputs, measure, move_images
from dfpg.methods.registry import run_options
from dfpg.report.robustness_plot import draw_robustness


def robustness(runs: Sequence[str]) -> str:
    """Stage ``robustness``: score moved test faces, all runs where none is named; says what it did.

    A run whose part-file is up to date is not scored again, so that a stopped command goes on
    where it stopped. ``results/robustness.csv`` and the figure hold every run that has a part.
    """
    config = load_config()
    for run in runs:
        run_options(config, run)
    images = {}
    for name, settings in config.protocols.items():
        used = sorted({subset.source for subset in settings.test.subsets.values()})
        faces = {source: load_faces(source, "test", settings.framing) for source in used}
        index = open_testset(TESTSETS / name).index
        images[name] = move_images(config, name, index, load_bank(settings.kernels), faces)
    inputs = Inputs(ARTIFACTS / "weights", TESTSETS, KERNELS, ROBUSTNESS)
    lines = measure(config, runs or list(config.runs), images, inputs, select_device())
    records = curve_records(config, read_curve(config, ROBUSTNESS), ROBUSTNESS)
    write_text(RESULTS / "robustness.csv", csv_text(RobustnessRecord, records))
    draw_robustness(config, records, ROBUSTNESS / "robustness.png")
    return "\n".join([*lines, f"{RESULTS / 'robustness.csv'}, {ROBUSTNESS / 'robustness.png'}"])
