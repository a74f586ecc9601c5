"""The stages of ``dvc.yaml`` up to trained weights, one function each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, cast, get_args

from dfpg.core.config import PARAMS, Config, ProtocolName, load_config
from dfpg.core.errors import UserError
from dfpg.core.files import write_text
from dfpg.core.paths import ARTIFACTS, KERNELS, PARSING, PRIORS, SCRATCH, TESTSETS

if TYPE_CHECKING:
    from dfpg.data.blur.kernels import KernelBank
    from dfpg.methods.base import Method
    from dfpg.training.loop import Validation

VALIDATION_BATCHES = 5
VALIDATION_BATCH = 16


def verify() -> None:
    """Stage ``verify``: parameters are valid, data and assets are the pinned ones."""
    from dfpg.data.faces.dataset import check_source
    from dfpg.methods.registry import run_options
    from dfpg.pretrained.assets.store import verify_assets
    from dfpg.stages.verify import verify_data

    config = load_config()
    if not config.runs:
        raise UserError(
            f"{PARAMS}: runs: none: name published weights with "
            "`dfpg profile use official --weights RUN=FILE`"
        )
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
    from dfpg.data.faces.dataset import EMBEDDED, JOIN, PREPARED
    from dfpg.data.faces.prepare import SUMMARY, prepare_faces
    from dfpg.data.faces.summary import prepared

    config = load_config()
    names = {name for source in sources(config).values() for name in source.split(JOIN)}
    prepare_faces(config, sorted(names - {EMBEDDED}), PREPARED)
    return prepared(PREPARED / SUMMARY)


def kernels(sheet: Path | None) -> str:
    """Stage ``kernels``: make both families; returns their figures as text."""
    from dfpg.data.blur.kernels import build_kernels, kernel_report, kernel_sheet

    build_kernels(load_config(), KERNELS)
    banks = [load_bank(family) for family in ("spline", "trajectory")]
    if sheet is not None:
        for bank in banks:
            kernel_sheet(bank, sheet.with_stem(f"{sheet.stem}_{bank.family}"))
    return "\n\n".join(kernel_report(bank).to_string(index=False) for bank in banks)


def testsets(protocol: str) -> None:
    """Stage ``testsets``: synthesise one protocol's test set."""
    from dfpg.data.faces.dataset import load_faces
    from dfpg.data.testsets import build_testset

    name = protocol_name(protocol)
    config = load_config()
    settings = config.protocols[name]
    used = {subset.source for subset in settings.test.subsets.values()}
    faces = {source: load_faces(source, "test") for source in sorted(used)}
    rate = build_testset(config, name, load_bank(settings.kernels), faces, TESTSETS / name)
    print(f"test set {name}: {rate}")


def export_testset(protocol: str, out: Path, force: bool) -> str:
    """One protocol's test set as PNG folders; says what was written."""
    from dfpg.commands.export import export_testset as export
    from dfpg.data.testsets import open_testset

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
    from dfpg.data.faces.dataset import load_faces
    from dfpg.training.surrogate import build_prior

    config = load_config()
    source = config.prior.source
    build_prior(config, load_faces(source, "train"), load_faces(source, "test"), PRIORS)


def parsing(sheet: Path | None) -> None:
    """Stage ``parsing``: maps of the training faces, one file per source.

    A set's own masks are used where it has some; else BiSeNet draws the maps.
    """
    from dfpg.core.device import resolve_precision, select_device
    from dfpg.data.faces.dataset import JOIN, PREPARED, load_faces
    from dfpg.data.faces.prepare import own_labels
    from dfpg.pretrained.assets.store import asset_path
    from dfpg.pretrained.bisenet import load_bisenet
    from dfpg.pretrained.parsing import draw_parsing_sheet, label_file, parse_faces, save_labels

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
    from dfpg.core.device import select_device
    from dfpg.data.faces.dataset import EMBEDDED, FACES, JOIN, PREPARED, load_faces
    from dfpg.methods.registry import build_method, needs_prior
    from dfpg.pretrained.parsing import label_file, load_labels
    from dfpg.pretrained.vggface import load_prior
    from dfpg.training.batch_views import WITH_LABELS, open_view
    from dfpg.training.fingerprint import fingerprint, training_code
    from dfpg.training.loop import train as training_loop

    config = load_config()
    if run in config.runs and (weights := config.runs[run].weights) is not None:
        _take_published(config, run, Path(weights))
        return
    prior = load_prior(PRIORS) if needs_prior(config, run) else None
    method = build_method(config, run, prior)
    protocol = config.runs[run].protocol
    settings = config.protocols[protocol]
    names = settings.source.split(JOIN)
    bank = load_bank(settings.kernels)
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
    from dfpg.core.device import select_device
    from dfpg.methods.base import save_weights
    from dfpg.methods.official import load_published
    from dfpg.methods.registry import build_method
    from dfpg.training.checkpoint import History
    from dfpg.training.loop import costs

    method = build_method(config, run, prior=None)
    official = load_published(method, path)
    method.to(select_device())
    protocol = config.runs[run].protocol
    validation = make_validation(config, protocol, load_bank(config.protocols[protocol].kernels))
    history = History()
    history.close_row(0, lr=0.0, validation_psnr=validation(method))
    write_text(ARTIFACTS / "history" / f"{run}.csv", history.csv())
    write_text(ARTIFACTS / "cost" / f"{run}.json", costs(0.0, config.training))
    save_weights(ARTIFACTS / "weights" / f"{run}.safetensors", method, steps=0, official=official)
    print(f"{run}: took the published weights {path} (SHA-256 {official}); not trained")


def make_validation(config: Config, protocol: ProtocolName, bank: KernelBank) -> Validation:
    """PSNR in dB, mean per image, on fixed batches of the validation people."""
    import torch

    from dfpg.core.device import select_device
    from dfpg.data.blur.degrade import quantise
    from dfpg.data.faces.dataset import load_faces
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


def load_bank(family: str) -> KernelBank:
    """Kernels of one family, as the stage ``kernels`` made them."""
    from dfpg.data.blur.kernels import load_kernels

    return load_kernels(KERNELS / f"{family}.safetensors")
