"""The training faces are those it may see; a training leaves weights and facts for the card."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from helpers.kernels import copy_kernels
from helpers.places import ROOT
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from dfpg.commands.deblur.shipped import train
from dfpg.commands.deblur.shipped.blur import AnyBlur
from dfpg.commands.deblur.shipped.train import training_faces
from dfpg.core.errors import UserError
from dfpg.core.files import sha256, write_text
from dfpg.core.profile import resolve_profile
from dfpg.core.schedule import training_steps
from dfpg.data.faces.dataset import EMBEDDED, LANDMARK_COLUMNS, load_faces
from dfpg.methods.base import Method
from dfpg.methods.registry import build_method
from dfpg.methods.weights import read_card, save_weights


def generated_folder(folder: Path) -> Path:
    """Two people under the names of generated ones, one of them of the split ``test``."""
    source = load_faces(EMBEDDED, "val")
    (folder / "faces").mkdir(parents=True)
    rows = []
    for number, split in enumerate(["train", "test"]):
        name = source.names[number]
        shutil.copy(Path("data/faces") / name, folder / "faces")
        points = dict.fromkeys(LANDMARK_COLUMNS, 1.0)
        rows.append({"file": name, "person": f"p{number}", "split": split, "score": 1.0, **points})
    pd.DataFrame(rows).to_csv(folder / "faces.csv", index=False)
    return folder


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """An empty project with the embedded faces, as the working folder."""
    (tmp_path / "data").symlink_to(ROOT / "data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_everybody_who_was_generated_is_trained_on_and_no_embedded_test_person(project):
    faces = training_faces(generated_folder(project / "generated"))
    people = set(faces.people)
    own = {person for person in people if person.startswith("embedded/")}
    assert people - own == {"generated/train/p0", "generated/test/p1"}
    embedded = load_faces(EMBEDDED, "train").people
    assert own == {f"embedded/{person}" for person in embedded}
    assert len(faces.pictures) == len(embedded) + 2


class FlatPrior:
    """Averages of the image as features of the prior network's shapes."""

    def features(self, images: Tensor, _taps: object, _input: object) -> list[Tensor]:
        grey = images.mean(1, keepdim=True) + 2
        sizes = ((64, 1), (128, 2), (256, 4))
        return [F.avg_pool2d(grey, side).expand(-1, n, -1, -1) for n, side in sizes]

    def to(self, _device: object) -> FlatPrior:
        return self


def first_values(seen: list[dict[str, Tensor]]) -> Callable[..., dict[str, float]]:
    """A validation that keeps the generator as it finds it."""

    def validate(method: Method, _average: object) -> dict[str, float]:
        state = method.networks["generator"].state_dict()
        seen.append({name: value.clone() for name, value in state.items()})
        return {}

    return validate


def test_a_training_leaves_weights_and_facts_for_the_card(config, project, monkeypatch):
    generated = generated_folder(project / "generated")
    sizes = {"width": 8, "blocks": 1, "prior_blocks": 1, "init": "identity", "output": "linear"}
    methods = config.methods | {"dfpgnet": config.methods["dfpgnet"] | sizes}
    config = config.model_copy(update={"methods": methods})
    copy_kernels(config, train.KERNELS)
    write_text(train.PRIORS / "vgg16.safetensors", "")
    monkeypatch.setattr(train, "load_prior", lambda _: FlatPrior())
    drawn = []
    loop = train.training_loop

    def watched(config, run, method, batches, **places):
        drawn.append(type(batches))
        loop(config, run, method, batches, **places)

    monkeypatch.setattr(train, "training_loop", watched)
    with pytest.raises(UserError, match=r"dfpg_b\.json: missing: run `make shipped` first"):
        train.training_facts(config, generated)
    start = project / "start.safetensors"
    begun = build_method(config, train.RUN, FlatPrior())
    with torch.no_grad():
        for value in begun.networks["generator"].parameters():
            value.add_(0.01)
    save_weights(start, begun, 1)
    first = []
    monkeypatch.setattr(train, "make_validation", lambda *_: first_values(first))
    train.train(config, generated, start)
    assert drawn == [AnyBlur]
    kept = {name: value.half() for name, value in begun.networks["generator"].state_dict().items()}
    assert all(torch.equal(first[0][name].half(), value) for name, value in kept.items())
    steps = training_steps(config, train.RUN)
    assert read_card(train.TRAINED_WEIGHTS).steps == steps
    assert "prior" in Path("artifacts/history/dfpg_b.csv").read_text().splitlines()[0]
    facts = train.training_facts(config, generated, start)
    assert facts["started_from_sha256"] == sha256(start)
    assert (facts["people"], facts["steps"], facts["device"]) == (302, steps, "cpu")
    assert facts["kernel_sides_px"] == [0, *range(3, 28, 2)]
    assert facts["noise_grey_levels"] == [0, config.protocols["b"].noise]


def test_the_profile_trains_the_shipped_variant_without_a_discriminator():
    config = resolve_profile("shipped")[0]
    assert config.runs[train.RUN].options["variant"] == "b4"
    assert config.image_size == 128


def test_the_profile_draws_a_size_for_every_image_and_no_blur_among_them():
    protocol = resolve_profile("shipped")[0].protocols["b"]
    assert (protocol.size_draw, protocol.no_blur, protocol.noise) == ("image", True, 2.55)
