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
    from dfpg.blur.kernels import KernelBank
    from dfpg.blur.testsets import TestSet
    from dfpg.methods.base import Method
    from dfpg.priors.detector import FaceDetector
    from dfpg.recognition.observe import Recogniser
    from dfpg.training.loop import Validation

ARTIFACTS = Path("artifacts")
SCRATCH = Path("scratch")
RESULTS = Path("results")
KERNELS = ARTIFACTS / "kernels"
TESTSETS = ARTIFACTS / "testsets"
PRIORS = ARTIFACTS / "priors"
REFERENCES = ARTIFACTS / "references"
LABELS = ARTIFACTS / "parsing" / "labels.npy"
VALIDATION_BATCHES = 5
VALIDATION_BATCH = 16


def verify() -> None:
    """Stage ``verify``: parameters are valid, data and assets are the pinned ones."""
    from dfpg.faces.dataset import check_source
    from dfpg.methods.registry import run_options
    from dfpg.priors.assets import verify_assets
    from dfpg.verify import verify_data

    config = load_config()
    for name, protocol in config.protocols.items():
        check_source(protocol.source, f"{PARAMS}: protocols.{name}.source")
        for column, subset in protocol.test.subsets.items():
            where = f"{PARAMS}: protocols.{name}.test.subsets.{column}.source"
            check_source(subset.source, where)
    for run in config.runs:
        run_options(config, run)
    counts = {"data_files": verify_data(), "asset_files": verify_assets()}
    write_text(ARTIFACTS / "verified.json", json.dumps(counts) + "\n")
    print(f"verified {counts['data_files']} data files and {counts['asset_files']} asset files")


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

    if protocol not in get_args(ProtocolName):
        raise UserError(f"protocol {protocol!r} is unknown: use a or b")
    name = cast(ProtocolName, protocol)
    config = load_config()
    settings = config.protocols[name]
    sources = {subset.source for subset in settings.test.subsets.values()}
    faces = {source: load_faces(source, "test") for source in sorted(sources)}
    rate = build_testset(config, name, _kernels(settings.kernels), faces, TESTSETS / name)
    print(f"test set {name}: {rate}")


def priors() -> None:
    """Stage ``priors``: VGGFace from the user's file, or its surrogate."""
    from dfpg.faces.dataset import load_faces
    from dfpg.priors.surrogate import build_prior

    config = load_config()
    source = config.protocols["b"].source
    build_prior(config, load_faces(source, "train"), load_faces(source, "test"), PRIORS)


def parsing(sheet: Path | None) -> None:
    """Parsing maps of the training faces, for the runs of semantic methods."""
    from dfpg.device import resolve_precision, select_device
    from dfpg.faces.dataset import load_faces
    from dfpg.priors.assets import asset_path
    from dfpg.priors.bisenet import load_bisenet
    from dfpg.priors.parsing import draw_parsing_sheet, parse_faces, save_labels

    config = load_config()
    sources = {protocol.source for protocol in config.protocols.values()}
    if len(sources) > 1:
        raise UserError(
            f"{PARAMS}: protocols: parsing maps need one training source for both protocols, "
            f"not {' and '.join(sorted(sources))}"
        )
    faces = load_faces(sources.pop(), "train")
    device = select_device()
    network = load_bisenet(asset_path("bisenet")).to(device)
    precision = resolve_precision(config.training.precision, device)
    labels = parse_faces(faces.pictures, network, precision=precision)
    save_labels(LABELS, labels)
    if sheet is not None:
        shown = slice(None, None, max(1, len(labels) // 24))
        draw_parsing_sheet(faces.pictures[shown], labels[shown], sheet)


def train(run: str) -> None:
    """Stage ``train``: train one run, resuming what an earlier attempt left behind."""
    from dfpg.device import select_device
    from dfpg.faces.dataset import load_faces
    from dfpg.methods.registry import build_method, needs_prior
    from dfpg.priors.parsing import load_labels
    from dfpg.priors.vggface import load_prior
    from dfpg.training.fingerprint import fingerprint, training_code
    from dfpg.training.loop import train as training_loop
    from dfpg.training.views import WITH_LABELS, open_view

    config = load_config()
    prior = load_prior(PRIORS) if needs_prior(config, run) else None
    method = build_method(config, run, prior)
    protocol = config.runs[run].protocol
    settings = config.protocols[protocol]
    bank = _kernels(settings.kernels)
    faces = load_faces(settings.source, "train")
    view = getattr(type(method), "view", "plain")
    labels = load_labels(LABELS) if view in WITH_LABELS else None
    batches = open_view(view, config, run, faces, bank, select_device(), labels)
    inputs = [KERNELS / f"{settings.kernels}.safetensors", Path("data")]
    if prior is not None:
        inputs.append(PRIORS / "vgg16.safetensors")
    if labels is not None:
        inputs.append(LABELS)
    state = fingerprint(config, run, inputs, training_code(type(method)))
    training_loop(
        config,
        run,
        method,
        batches,
        out=ARTIFACTS / "weights" / f"{run}.safetensors",
        history=ARTIFACTS / "history" / f"{run}.csv",
        scratch=SCRATCH / state,
        validation=_validation(config, protocol, bank),
    )


def _validation(config: Config, protocol: ProtocolName, bank: KernelBank) -> Validation:
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
    from dfpg.methods.registry import build_restorer
    from dfpg.metrics import build_metrics
    from dfpg.priors.vggface import load_prior

    config = load_config()
    device = select_device()
    restore: Restore | None = None
    protocols: tuple[ProtocolName, ...] = get_args(ProtocolName)
    if run != "baselines":
        weights = ARTIFACTS / "weights" / f"{run}.safetensors"
        if run not in config.runs:
            known = ", ".join(["baselines", *config.runs])
            raise UserError(f"{PARAMS}: runs.{run}: no such run; there are {known}")
        restore = build_restorer(weights, device).restore
        protocols = tuple(evaluated_on(config, run))
    metrics = build_metrics(config, load_prior(PRIORS), device)
    sets: dict[str, TestSet] = {name: open_testset(TESTSETS / name) for name in protocols}
    if run == "baselines":
        _references(config, sets[RECOGNITION.protocol])
    recogniser = _recogniser(config)
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


def _recogniser(config: Config) -> Recogniser:
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
    from dfpg.tables import build_tables

    build_tables(load_config(), ARTIFACTS, RESULTS)


def environment() -> None:
    """Stage ``environment``: what machine and which versions made the results."""
    from dfpg.environment import write_environment

    write_environment(load_config(), RESULTS / "environment.json")


def show_tables() -> str:
    """The tables in ``results/`` in the paper's layout, as Markdown."""
    from dfpg.layout import TABLES
    from dfpg.render import render

    return "\n\n".join(render(RESULTS / f"{table.name}.csv") for table in TABLES)


def _kernels(family: str) -> KernelBank:
    from dfpg.blur.kernels import load_kernels

    return load_kernels(KERNELS / f"{family}.safetensors")
