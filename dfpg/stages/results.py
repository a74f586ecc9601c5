"""The stages of ``dvc.yaml`` from trained weights to tables and report, one function each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, get_args

from dfpg.core.config import PARAMS, Config, ProtocolName, load_config
from dfpg.core.errors import UserError
from dfpg.core.files import write_text
from dfpg.core.paths import (
    ARTIFACTS,
    KERNELS,
    PICTURES,
    PRIORS,
    REFERENCES,
    RESULTS,
    ROBUSTNESS,
    TESTSETS,
)
from dfpg.paper.tables import BASELINES, RECOGNITION, evaluated_on
from dfpg.stages.pipeline import load_bank

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dfpg.data.testsets import TestSet
    from dfpg.evaluation.recognition.observe import Recogniser
    from dfpg.pretrained.detector import FaceDetector
    from dfpg.report.sheet import Column, Example


def evaluate(run: str) -> None:
    """Stage ``evaluate``: restore and score every test image, or score the baselines."""
    import torch

    from dfpg.core.device import select_device
    from dfpg.data.testsets import open_testset
    from dfpg.evaluation.restore import load_restore
    from dfpg.evaluation.score import Restore
    from dfpg.evaluation.score import evaluate as score_images
    from dfpg.metrics import build_metrics
    from dfpg.pretrained.vggface import load_prior

    config = load_config()
    device = select_device()
    restore: Restore | None = None
    protocols: tuple[ProtocolName, ...] = get_args(ProtocolName)
    if run != "baselines":
        weights = ARTIFACTS / "weights" / f"{run}.safetensors"
        if run not in config.runs:
            known = ", ".join(["baselines", *config.runs])
            raise UserError(f"{PARAMS}: runs.{run}: no such run; there are {known}")
        restore = load_restore(config, weights, device)
        protocols = tuple(evaluated_on(config, run))
    metrics = build_metrics(config, load_prior(PRIORS), device)
    sets: dict[str, TestSet] = {name: open_testset(TESTSETS / name) for name in protocols}
    if run == "baselines":
        _references(config, sets[RECOGNITION.protocol])
    recogniser = build_recogniser(config)
    with torch.inference_mode():
        rate = score_images(
            config,
            run,
            restore,
            sets,
            metrics,
            ARTIFACTS / "per_image" / f"{run}.csv",
            str(device),
            recogniser,
        )
    recogniser.write(ARTIFACTS / "recognition" / f"{run}.csv")
    print(f"evaluated {run if restore else ', '.join(BASELINES)}: {rate:.1f} images/s")


def robustness(runs: Sequence[str]) -> str:
    """Stage ``robustness``: score moved test faces, all runs where none is named; says what it did.

    A run whose part-file is up to date is not scored again, so that a stopped command goes on
    where it stopped. ``results/robustness.csv`` and the figure hold every run that has a part.
    """
    import pandas as pd

    from dfpg.analysis.robustness import curve_records, read_curve
    from dfpg.core.device import select_device
    from dfpg.data.faces.dataset import load_faces
    from dfpg.data.testsets import open_testset
    from dfpg.evaluation.robustness.measure import Inputs, measure, moved_images
    from dfpg.methods.registry import run_options
    from dfpg.report.robustness_plot import draw_robustness

    config = load_config()
    for run in runs:
        run_options(config, run)
    images = {}
    for name, settings in config.protocols.items():
        used = sorted({subset.source for subset in settings.test.subsets.values()})
        faces = {source: load_faces(source, "test", settings.framing) for source in used}
        index = open_testset(TESTSETS / name).index
        images[name] = moved_images(config, name, index, load_bank(settings.kernels), faces)
    inputs = Inputs(ARTIFACTS / "weights", TESTSETS, KERNELS, ROBUSTNESS)
    lines = measure(config, runs or list(config.runs), images, inputs, select_device())
    records = curve_records(config, read_curve(config, ROBUSTNESS), ROBUSTNESS)
    table = pd.DataFrame(records).to_csv(index=False, lineterminator="\n")
    write_text(RESULTS / "robustness.csv", table)
    draw_robustness(config, records, ROBUSTNESS / "robustness.png")
    return "\n".join([*lines, f"{RESULTS / 'robustness.csv'}, {ROBUSTNESS / 'robustness.png'}"])


def _references(config: Config, testset: TestSet) -> None:
    """Pairs, reference embeddings and the embedder's card, for all methods alike."""
    from dfpg.data.faces.dataset import load_faces
    from dfpg.evaluation.recognition.card import write_card
    from dfpg.evaluation.recognition.references import EMBEDDER_CARD, build_references
    from dfpg.pretrained.embedder import FaceEmbedder, embedder_path

    protocol = config.protocols[RECOGNITION.protocol]
    slot = protocol.test.subsets.get(RECOGNITION.subset)
    source = slot.source if slot else None
    faces = load_faces(source, "test", protocol.framing) if source else None
    path = embedder_path(config.recognition.embedder)
    detector, embedder = _detector(config), FaceEmbedder(path)
    build_references(config, testset, faces, detector, embedder, REFERENCES)
    write_card(config, path, embedder, detector, source, faces, REFERENCES / EMBEDDER_CARD)


def build_recogniser(config: Config) -> Recogniser:
    """What Table 3 records of every image, with the references that ``baselines`` wrote."""
    from dfpg.evaluation.recognition.observe import Recogniser
    from dfpg.evaluation.recognition.references import load_references
    from dfpg.metrics.detection import DlibHog
    from dfpg.pretrained.embedder import FaceEmbedder, embedder_path

    references = load_references(REFERENCES)
    embedder = FaceEmbedder(embedder_path(config.recognition.embedder))
    return Recogniser(DlibHog(), _detector(config), embedder, references)


def _detector(config: Config) -> FaceDetector:
    from dfpg.pretrained.assets.store import asset_path
    from dfpg.pretrained.detector import FaceDetector

    return FaceDetector(asset_path("scrfd"), config.recognition.scrfd_threshold)


def tables() -> None:
    """Stage ``tables``: everything in ``results/`` but the environment."""
    from dfpg.analysis.submissions import FOLDER
    from dfpg.analysis.tables import build_tables

    build_tables(load_config(), ARTIFACTS, RESULTS, FOLDER)


def environment() -> None:
    """Stage ``environment``: what machine and which versions made the results."""
    from dfpg.stages.environment import write_environment

    write_environment(load_config(), RESULTS / "environment.json")


def show_tables() -> str:
    """The tables in ``results/`` in the paper's layout, as Markdown."""
    from dfpg.paper.tables import TABLES
    from dfpg.report.markdown import render

    return "\n\n".join(render(RESULTS / f"{table.name}.csv") for table in TABLES)


def sheet(out: Path) -> str:
    """Restored test faces of every run that has weights, one PNG per protocol; says where."""
    from dfpg.report.sheet import draw

    config = load_config()
    lines = []
    for name, chosen, shown in _restored_examples(config):
        subsets = config.protocols[name].test.subsets.values()
        sources = sorted({subset.source for subset in subsets})
        title = (
            f"Test set {name}, profile {config.profile}, faces: {', '.join(sources)}. "
            "Per framing the images of best, median and worst PSNR when blurred."
        )
        path = out.with_name(f"{out.stem}_{name}.png")
        draw(path, title, chosen, shown)
        lines.append(f"{path}: {len(chosen)} images, {len(shown) - 2} runs")
    return "\n".join(lines)


def real_blur(folder: Path, out: Path, beside: list[str]) -> str:
    """Really blurred faces as every run with weights restores them; nothing is scored.

    Args:
        folder: pictures.
        out: PNG file to write.
        beside: ``HEADING=FOLDER`` of further columns.
    """
    from dfpg.report.real_blur import real_blur_sheet

    pairs = [given.partition("=") for given in beside]
    for heading, sign, place in pairs:
        if not (heading and sign and place):
            raise UserError(f"--beside {heading}{sign}{place}: write HEADING=FOLDER")
    others = {heading: Path(place) for heading, _, place in pairs}
    count = real_blur_sheet(load_config(), folder, out, ARTIFACTS / "weights", others)
    return f"{out}: {count} images"


def _restored_examples(
    config: Config,
) -> Iterator[tuple[ProtocolName, list[Example], list[Column]]]:
    """Per protocol the images that a rule chooses, blurred, restored by every run, and sharp.

    Raises:
        UserError: no run has weights.
    """
    from dfpg.core.device import select_device
    from dfpg.data.testsets import open_testset
    from dfpg.evaluation.restore import load_restore
    from dfpg.report.sheet import columns, examples

    weights = {run: ARTIFACTS / "weights" / f"{run}.safetensors" for run in config.runs}
    weights = {run: path for run, path in weights.items() if path.exists()}
    if not weights:
        raise UserError(f"{ARTIFACTS / 'weights'}: no weights of any run; train one first")
    device = select_device()
    restores = {run: load_restore(config, path, device) for run, path in weights.items()}
    for name in config.protocols:
        testset = open_testset(TESTSETS / name)
        chosen = examples(testset)
        scored = {run: r for run, r in restores.items() if name in evaluated_on(config, run)}
        yield name, chosen, columns(testset, chosen, scored, device)


def pictures() -> None:
    """Stage ``pictures``: restored example faces and every run's cost, for the report."""
    from dfpg.report.pictures import write_costs, write_pictures

    config = load_config()
    for name, chosen, shown in _restored_examples(config):
        write_pictures(PICTURES / f"{name}.png", chosen, shown)
        print(f"pictures {name}: {len(chosen)} images, {len(shown) - 2} runs")
    write_costs(config, PICTURES / "costs.csv")


def report() -> None:
    """Stage ``report``: one HTML file, and the tables for papers and READMEs."""
    from dfpg.report.build import build_report

    build_report(load_config(), ARTIFACTS, RESULTS)


def methods(csv: Path | None) -> str:
    """The compared methods as a Markdown table, and into a CSV where one is named."""
    import pandas as pd

    from dfpg.commands.methods import markdown, overview
    from dfpg.core.profile import resolve_profile

    full, _ = resolve_profile("paper")
    records = overview(load_config(), full)
    if csv is not None:
        write_text(csv, pd.DataFrame(records).to_csv(index=False))
    return markdown(records)
