"""Training of the shipped model: the profile's run on embedded and freshly generated people.

Its batches are :class:`dfpg.commands.deblur.shipped.blur.AnyBlur`; validation in its course is
protocol B's, under kernels of 13 px and more.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dfpg.commands.deblur.shipped.blur import SIDES, AnyBlur
from dfpg.core.closure import closure
from dfpg.core.config import Config
from dfpg.core.device import select_device
from dfpg.core.errors import UserError
from dfpg.core.files import read_json, sha256
from dfpg.core.paths import ARTIFACTS, KERNELS, PRIORS, SCRATCH
from dfpg.core.schedule import training_steps
from dfpg.data.blur.kernels import FAMILIES, load_kernels
from dfpg.data.faces.dataset import (
    EMBEDDED,
    FACES,
    FaceSet,
    Split,
    join_sets,
    load_faces,
    load_folder,
    read_index,
)
from dfpg.data.faces.source import SPLITS
from dfpg.methods.registry import build_method
from dfpg.methods.weights import load_weights
from dfpg.pretrained.vggface import load_prior
from dfpg.training.batches import ViewInputs
from dfpg.training.fingerprint import fingerprint
from dfpg.training.loop import train as training_loop
from dfpg.training.validation import make_validation

RUN = "dfpg_b"
TRAINED_WEIGHTS = ARTIFACTS / "weights" / f"{RUN}.safetensors"
COST = ARTIFACTS / "cost" / f"{RUN}.json"  # seconds of training, and the device


def train(config: Config, generated: Path, start: Path | None = None) -> None:
    """Train run ``dfpg_b``; a stopped training resumes.

    Args:
        config: the profile ``shipped``.
        generated: folder of ``dfpg faces generate``, drawn with another seed than the embedded
            faces; all of its people are trained on, beside the embedded training people.
        start: weights that the training starts from; None: fresh ones.

    Raises:
        UserError: faces, kernels, the prior network or the weights are missing or do not fit; or
            as training does.
    """
    banks = {family: KERNELS / f"{family}.safetensors" for family in FAMILIES}
    method = build_method(config, RUN, load_prior(PRIORS))
    if start:
        load_weights(start, method)
    kernels = {family: load_kernels(path) for family, path in banks.items()}
    own = kernels.pop(config.protocols["b"].kernels)
    (others,) = kernels.values()
    faces = training_faces(generated)
    inputs = [*banks.values(), FACES, generated, PRIORS / "vgg16.safetensors"]
    inputs += [start] if start else []
    code = closure(__name__, type(method).__module__)
    training_loop(
        config,
        RUN,
        method,
        AnyBlur(ViewInputs(config, RUN, faces, own, select_device()), others),
        out=TRAINED_WEIGHTS,
        history=ARTIFACTS / "history" / f"{RUN}.csv",
        cost=COST,
        snapshots=ARTIFACTS / "snapshots" / RUN,
        scratch=SCRATCH / fingerprint(config, RUN, inputs, code),
        validate=make_validation(config, "b", own),
    )


def training_facts(config: Config, generated: Path, start: Path | None = None) -> dict[str, Any]:
    """What the card says of the training: run, steps, faces, seconds, device, and where it began.

    Raises:
        UserError: the run has not been trained, or there are no weights ``start``.
    """
    try:
        cost = read_json(COST)
    except OSError as error:
        raise UserError(f"{COST}: missing: run `make shipped` first") from error
    faces = training_faces(generated)
    return {
        "variant": config.runs[RUN].options["variant"],
        "steps": training_steps(config, RUN),
        "batch_size": config.training.batch_size,
        "people": len(set(faces.people)),
        "pictures": len(faces.people),
        "kernel_sides_px": [0, *SIDES],
        "kernel_families": list(FAMILIES),
        "noise_grey_levels": [0, config.protocols["b"].noise],
        "started_from_sha256": sha256(start) if start else None,
        **cost,
    }


def training_faces(generated: Path) -> FaceSet:
    """The embedded training people and everybody in a folder of freshly generated people."""
    parts = {
        str(split): load_folder(generated, split, None) for split in splits_with_images(generated)
    }
    return join_sets({EMBEDDED: load_faces(EMBEDDED, "train"), "generated": join_sets(parts)})


def splits_with_images(folder: Path) -> list[Split]:
    """Splits of which a folder of faces holds pictures."""
    found = set(read_index(folder)["split"])
    return [split for split in SPLITS if split in found]
