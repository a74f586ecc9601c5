"""Second half of the shipped model's training: the whole DFPGnet, from its trained backbone.

The backbone (B1 of Table 4: no prior stream) is trained first by ``dfpg train b1``: its steps cost
0.4 of the whole network's. Then the prior stream is put to it. With the identity start the
transforms change nothing at first, so the whole network begins as good as its backbone is.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from dfpg.blur.kernels import load_kernels
from dfpg.config import Config
from dfpg.device import select_device
from dfpg.errors import UserError
from dfpg.faces.dataset import (
    EMBEDDED,
    FACES,
    FaceSet,
    Split,
    joined,
    load_faces,
    load_folder,
    read_index,
)
from dfpg.faces.source import SPLITS
from dfpg.methods.base import Method, read_card
from dfpg.methods.registry import build_method
from dfpg.pipeline import ARTIFACTS, KERNELS, PRIORS, SCRATCH, make_validation
from dfpg.priors.vggface import load_prior
from dfpg.training.fingerprint import fingerprint, training_code
from dfpg.training.loop import train as training_loop
from dfpg.training.views import open_view

BACKBONE = "b1"
WHOLE = "dfpg_b"
STREAM = ("prior.", "project.", "fuse.")  # layers that the backbone has not


def train_whole(config: Config, generated: Path) -> None:
    """Train run ``dfpg_b`` from the weights of run ``b1``; a stopped training resumes.

    Args:
        config: the profile ``shipped``.
        generated: folder of ``dfpg faces generate``, drawn with another seed than the embedded
            faces; all of its people are trained on, beside the embedded training people.

    Raises:
        UserError: weights, faces or kernels are missing or do not fit; or as training does.
    """
    backbone = weights_of(BACKBONE)
    bank = KERNELS / f"{config.protocols['b'].kernels}.safetensors"
    method = build_method(config, WHOLE, load_prior(PRIORS))
    start_from(method, backbone)
    kernels = load_kernels(bank)
    faces = training_faces(generated)
    inputs = [bank, FACES, generated, PRIORS / "vgg16.safetensors", backbone]
    code = [*training_code(type(method)), Path(__file__)]
    training_loop(
        config,
        WHOLE,
        method,
        open_view(method.view, config, WHOLE, faces, kernels, select_device()),
        out=weights_of(WHOLE),
        history=ARTIFACTS / "history" / f"{WHOLE}.csv",
        cost=cost_of(WHOLE),
        scratch=SCRATCH / fingerprint(config, WHOLE, inputs, code),
        validation=make_validation(config, "b", kernels),
    )


def weights_of(run: str) -> Path:
    """Trained weights of a run."""
    return ARTIFACTS / "weights" / f"{run}.safetensors"


def cost_of(run: str) -> Path:
    """Seconds and device of a run's training."""
    return ARTIFACTS / "cost" / f"{run}.json"


def training_facts(config: Config, generated: Path) -> list[dict[str, Any]]:
    """What the card says of both stages of the training.

    Raises:
        UserError: a stage has not been trained.
    """
    stages = {BACKBONE: load_faces(EMBEDDED, "train"), WHOLE: training_faces(generated)}
    facts: list[dict[str, Any]] = []
    for run, faces in stages.items():
        try:
            cost = json.loads(cost_of(run).read_text())
        except OSError as error:
            raise UserError(f"{cost_of(run)}: missing: train run {run} first") from error
        facts.append(
            {
                "variant": config.runs[run].options["variant"],
                "steps": config.runs[run].steps,
                "batch_size": config.training.batch_size,
                "people": len(set(faces.people)),
                "pictures": len(faces.people),
                **cost,
            }
        )
    return facts


def training_faces(generated: Path) -> FaceSet:
    """The embedded training people and everybody in a folder of freshly generated people."""
    parts = {str(split): load_folder(generated, split, None) for split in present(generated)}
    return joined({EMBEDDED: load_faces(EMBEDDED, "train"), "generated": joined(parts)})


def present(folder: Path) -> list[Split]:
    """Splits of which a folder of faces holds pictures."""
    found = set(read_index(folder)["split"])
    return [split for split in SPLITS if split in found]


def start_from(method: Method, backbone: Path) -> None:
    """Load a backbone's weights into the generator of a whole DFPGnet; its stream stays as it is.

    Raises:
        UserError: no weights, or those of a network with other layers than the backbone's.
    """
    generator = method.networks["generator"]
    read_card(backbone)
    state = load_file(backbone)
    own = generator.state_dict()
    wanted = {name for name in own if not name.startswith(STREAM)}
    if state.keys() != wanted or any(own[name].shape != state[name].shape for name in wanted):
        raise UserError(f"{backbone}: not the backbone of this network: train run {BACKBONE} again")
    generator.load_state_dict(own | state)
