"""One function per stage of ``dvc.yaml``: reads parameters and artifacts, writes artifacts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, cast, get_args

from dfpg.config import PARAMS, Config, ProtocolName, load_config
from dfpg.errors import UserError
from dfpg.files import write_text
from dfpg.layout import BASELINES, RECOGNITION, evaluated_on

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dfpg.blur.kernels import KernelBank
    from dfpg.blur.testsets import TestSet
    from dfpg.methods.base import Method
    from dfpg.priors.detector import FaceDetector
    from dfpg.recognition.observe import Recogniser
    from dfpg.report.sheet import Column, Example
    from dfpg.training.loop import Validation

ARTIFACTS = Path("artifacts")
SCRATCH = Path("scratch")
RESULTS = Path("results")
KERNELS = ARTIFACTS / "kernels"
TESTSETS = ARTIFACTS / "testsets"
PRIORS = ARTIFACTS / "priors"
PARSING = ARTIFACTS / "parsing"
REFERENCES = ARTIFACTS / "references"
ROBUSTNESS = ARTIFACTS / "robustness"
PICTURES = ARTIFACTS / "pictures"
VALIDATION_BATCHES = 5
VALIDATION_BATCH = 16


def verify() -> None:
    """Stage ``verify``: parameters are valid, data and assets are the pinned ones."""
    from dfpg.faces.dataset import check_source
    from dfpg.methods.registry import run_options
    from dfpg.priors.assets import verify_assets
    from dfpg.verify import verify_data

    config = load_config()
    for where, source in sources(config).items():
        check_source(config, source, f"{PARAMS}: {where}")
    for run in config.runs:
        run_options(config, run)
    counts = {"data_files": verify_data(), "asset_files": verify_assets()}
    write_text(ARTIFACTS / "verified.json", json.dumps(counts) + "\n")
    print(f"verified {counts['data_files']} data files and {counts['asset_files']} asset files")


def sources(config: Config) -> dict[str, str]:
    """Every face source that the profile uses, by the parameter that asks for it."""
    found = {"prior.source": config.prior.source}
    for name, protocol in config.protocols.items():
        found[f"protocols.{name}.source"] = protocol.source
        for column, subset in protocol.test.subsets.items():
            found[f"protocols.{name}.test.subsets.{column}.source"] = subset.source
    return found


def faces() -> str:
    """Stage ``faces``: prepare the photographs of all sources but the embedded one; says what."""
    from dfpg.faces.dataset import EMBEDDED, JOIN, PREPARED
    from dfpg.faces.prepare import SUMMARY, prepare_faces
    from dfpg.report.prepared import prepared

    config = load_config()
    names = {name for source in sources(config).values() for name in source.split(JOIN)}
    prepare_faces(config, sorted(names - {EMBEDDED}), PREPARED)
    return prepared(PREPARED / SUMMARY)


def kernels(sheet: Path | None) -> str:
    """Stage ``kernels``: make both families; returns their figures as text."""
    from dfpg.blur.kernels import build_kernels, kernel_report, kernel_sheet

    build_kernels(load_config(), KERNELS)
    banks = [_kernels(family) for family in ("spline", "trajectory")]
    if sheet is not None:
        for bank in banks:
            kernel_sheet(bank, sheet.with_stem(f"{sheet.stem}_{bank.family}"))
    return "\n\n".join(kernel_report(bank).to_string(index=False) for bank in banks)


def testsets(protocol: str) -> None:
    """Stage ``testsets``: synthesise one protocol's test set."""
    from dfpg.blur.testsets import build_testset
    from dfpg.faces.dataset import load_faces

    name = protocol_name(protocol)
    config = load_config()
    settings = config.protocols[name]
    used = {subset.source for subset in settings.test.subsets.values()}
    faces = {source: load_faces(source, "test") for source in sorted(used)}
    rate = build_testset(config, name, _kernels(settings.kernels), faces, TESTSETS / name)
    print(f"test set {name}: {rate}")


def export_testset(protocol: str, out: Path, force: bool) -> str:
    """One protocol's test set as PNG folders; says what was written."""
    from dfpg.blur.testsets import open_testset
    from dfpg.export import export_testset as export

    name = protocol_name(protocol)
    return export(open_testset(TESTSETS / name), name, out, force)


def protocol_name(text: str) -> ProtocolName:
    """The protocol that a user named.

    Raises:
        UserError: there is no such protocol.
    """
    if text not in get_args(ProtocolName):
        raise UserError(f"protocol {text!r} is unknown: use a or b")
    return cast(ProtocolName, text)


def priors() -> None:
    """Stage ``priors``: VGGFace from the user's file, or its surrogate."""
    from dfpg.faces.dataset import load_faces
    from dfpg.priors.surrogate import build_prior

    config = load_config()
    source = config.prior.source
    build_prior(config, load_faces(source, "train"), load_faces(source, "test"), PRIORS)


def parsing(sheet: Path | None) -> None:
    """Stage ``parsing``: maps of the training faces, one file per source.

    A set's own masks are used where it has some; else BiSeNet draws the maps.
    """
    from dfpg.device import resolve_precision, select_device
    from dfpg.faces.dataset import JOIN, PREPARED, load_faces
    from dfpg.faces.prepare import own_labels
    from dfpg.priors.assets import asset_path
    from dfpg.priors.bisenet import load_bisenet
    from dfpg.priors.parsing import draw_parsing_sheet, label_file, parse_faces, save_labels

    config = load_config()
    device = select_device()
    precision = resolve_precision(config.training.precision, device)
    names = {name for protocol in config.protocols.values() for name in protocol.source.split(JOIN)}
    for name in sorted(names):
        faces = load_faces(name, "train")
        labels = own_labels(PREPARED / name)
        if labels is None:
            labels = parse_faces(
                faces.pictures,
                load_bisenet(asset_path("bisenet")).to(device),
                precision=precision,
                side=config.prior.parsing_size,
            )
        save_labels(label_file(PARSING, name), labels)
        if sheet is not None:
            shown = slice(None, None, max(1, len(labels) // 24))
            path = sheet.with_stem(f"{sheet.stem}_{name}") if len(names) > 1 else sheet
            draw_parsing_sheet(faces.pictures[shown], labels[shown], path)


def train(run: str) -> None:
    """Stage ``train``: train one run, resuming what an earlier attempt left behind.

    A run with ``weights`` is not trained: it takes these.
    """
    from dfpg.device import select_device
    from dfpg.faces.dataset import EMBEDDED, FACES, JOIN, PREPARED, load_faces
    from dfpg.methods.registry import build_method, needs_prior
    from dfpg.priors.parsing import label_file, load_labels
    from dfpg.priors.vggface import load_prior
    from dfpg.training.fingerprint import fingerprint, training_code
    from dfpg.training.loop import train as training_loop
    from dfpg.training.views import WITH_LABELS, open_view

    config = load_config()
    if run in config.runs and (weights := config.runs[run].weights) is not None:
        _take_published(config, run, Path(weights))
        return
    prior = load_prior(PRIORS) if needs_prior(config, run) else None
    method = build_method(config, run, prior)
    protocol = config.runs[run].protocol
    settings = config.protocols[protocol]
    names = settings.source.split(JOIN)
    bank = _kernels(settings.kernels)
    faces = load_faces(settings.source, "train")
    view = config.runs[run].view or method.view
    labels = load_labels(PARSING, names) if view in WITH_LABELS else None
    batches = open_view(view, config, run, faces, bank, select_device(), labels)
    inputs = [KERNELS / f"{settings.kernels}.safetensors"]
    inputs += [FACES if name == EMBEDDED else PREPARED / name for name in names]
    if prior is not None:
        inputs.append(PRIORS / "vgg16.safetensors")
    if labels is not None:
        inputs += [label_file(PARSING, name) for name in names]
    state = fingerprint(config, run, inputs, training_code(type(method)))
    training_loop(
        config,
        run,
        method,
        batches,
        out=ARTIFACTS / "weights" / f"{run}.safetensors",
        history=ARTIFACTS / "history" / f"{run}.csv",
        cost=ARTIFACTS / "cost" / f"{run}.json",
        scratch=SCRATCH / state,
        validation=make_validation(config, protocol, bank),
    )


def _take_published(config: Config, run: str, path: Path) -> None:
    """Write what training would, from the user's file or folder: no steps, no seconds."""
    from dfpg.device import select_device
    from dfpg.methods.base import save_weights
    from dfpg.methods.official import load_published
    from dfpg.methods.registry import build_method
    from dfpg.training.checkpoint import History
    from dfpg.training.loop import costs

    method = build_method(config, run, prior=None)
    official = load_published(method, path)
    method.to(select_device())
    protocol = config.runs[run].protocol
    validation = make_validation(config, protocol, _kernels(config.protocols[protocol].kernels))
    history = History()
    history.close_row(0, lr=0.0, validation_psnr=validation(method))
    write_text(ARTIFACTS / "history" / f"{run}.csv", history.csv())
    write_text(ARTIFACTS / "cost" / f"{run}.json", costs(0.0, config.training))
    save_weights(ARTIFACTS / "weights" / f"{run}.safetensors", method, steps=0, official=official)
    print(f"{run}: took the published weights {path} (SHA-256 {official}); not trained")


def make_validation(config: Config, protocol: ProtocolName, bank: KernelBank) -> Validation:
    """PSNR in dB, mean per image, on fixed batches of the validation people."""
    import torch

    from dfpg.blur.degrade import quantise
    from dfpg.device import select_device
    from dfpg.faces.dataset import load_faces
    from dfpg.metrics.psnr import psnr
    from dfpg.training.batches import BatchSource

    faces = load_faces(config.protocols[protocol].source, "val")
    source = BatchSource(config, protocol, faces, bank, VALIDATION_BATCH, select_device())
    batches = [source.batch(step) for step in range(VALIDATION_BATCHES)]

    def validation(method: Method) -> float:
        scores = [
            psnr(quantise(method.restore(batch.blurred)), quantise(batch.sharp))
            for batch in batches
        ]
        return float(torch.cat(scores).mean())

    return validation


def evaluate(run: str) -> None:
    """Stage ``evaluate``: restore and score every test image, or score the baselines."""
    import torch

    from dfpg.blur.testsets import open_testset
    from dfpg.device import select_device
    from dfpg.evaluation import Restore
    from dfpg.evaluation import evaluate as score_images
    from dfpg.metrics import build_metrics
    from dfpg.priors.vggface import load_prior
    from dfpg.restoring import load_restore

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

    from dfpg.blur.testsets import open_testset
    from dfpg.device import select_device
    from dfpg.faces.dataset import load_faces
    from dfpg.methods.registry import run_options
    from dfpg.report.robustness_plot import draw_robustness
    from dfpg.robustness.curve import curve_records, read_curve
    from dfpg.robustness.measure import Inputs, measure, moved_images

    config = load_config()
    for run in runs:
        run_options(config, run)
    images = {}
    for name, settings in config.protocols.items():
        used = sorted({subset.source for subset in settings.test.subsets.values()})
        faces = {source: load_faces(source, "test") for source in used}
        index = open_testset(TESTSETS / name).index
        images[name] = moved_images(config, name, index, _kernels(settings.kernels), faces)
    inputs = Inputs(ARTIFACTS / "weights", TESTSETS, KERNELS, ROBUSTNESS)
    lines = measure(config, runs or list(config.runs), images, inputs, select_device())
    records = curve_records(config, read_curve(config, ROBUSTNESS), ROBUSTNESS)
    table = pd.DataFrame(records).to_csv(index=False, lineterminator="\n")
    write_text(RESULTS / "robustness.csv", table)
    draw_robustness(config, records, ROBUSTNESS / "robustness.png")
    return "\n".join([*lines, f"{RESULTS / 'robustness.csv'}, {ROBUSTNESS / 'robustness.png'}"])


def _references(config: Config, testset: TestSet) -> None:
    """Pairs, reference embeddings and the embedder's card, for all methods alike."""
    from dfpg.faces.dataset import load_faces
    from dfpg.priors.embedder import FaceEmbedder, embedder_path
    from dfpg.recognition.card import write_card
    from dfpg.recognition.references import EMBEDDER_CARD, build_references

    slot = config.protocols[RECOGNITION.protocol].test.subsets.get(RECOGNITION.subset)
    source = slot.source if slot else None
    faces = load_faces(source, "test") if source else None
    path = embedder_path(config.recognition.embedder)
    detector, embedder = _detector(config), FaceEmbedder(path)
    build_references(config, testset, faces, detector, embedder, REFERENCES)
    write_card(config, path, embedder, detector, source, faces, REFERENCES / EMBEDDER_CARD)


def build_recogniser(config: Config) -> Recogniser:
    """What Table 3 records of every image, with the references that ``baselines`` wrote."""
    from dfpg.metrics.detection import DlibHog
    from dfpg.priors.embedder import FaceEmbedder, embedder_path
    from dfpg.recognition.observe import Recogniser
    from dfpg.recognition.references import load_references

    references = load_references(REFERENCES)
    embedder = FaceEmbedder(embedder_path(config.recognition.embedder))
    return Recogniser(DlibHog(), _detector(config), embedder, references)


def _detector(config: Config) -> FaceDetector:
    from dfpg.priors.assets import asset_path
    from dfpg.priors.detector import FaceDetector

    return FaceDetector(asset_path("scrfd"), config.recognition.scrfd_threshold)


def tables() -> None:
    """Stage ``tables``: everything in ``results/`` but the environment."""
    from dfpg.submissions import FOLDER
    from dfpg.tables import build_tables

    build_tables(load_config(), ARTIFACTS, RESULTS, FOLDER)


def environment() -> None:
    """Stage ``environment``: what machine and which versions made the results."""
    from dfpg.environment import write_environment

    write_environment(load_config(), RESULTS / "environment.json")


def show_tables() -> str:
    """The tables in ``results/`` in the paper's layout, as Markdown."""
    from dfpg.layout import TABLES
    from dfpg.render import render

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
    from dfpg.blur.testsets import open_testset
    from dfpg.device import select_device
    from dfpg.report.sheet import columns, examples
    from dfpg.restoring import load_restore

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

    from dfpg.methods.overview import markdown, overview
    from dfpg.profile import resolve_profile

    full, _ = resolve_profile("paper")
    records = overview(load_config(), full)
    if csv is not None:
        write_text(csv, pd.DataFrame(records).to_csv(index=False))
    return markdown(records)


def _kernels(family: str) -> KernelBank:
    from dfpg.blur.kernels import load_kernels

    return load_kernels(KERNELS / f"{family}.safetensors")
