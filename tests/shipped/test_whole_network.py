"""The whole DFPGnet starts from its backbone; its training faces are those it may see."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from dfpg.blur.kernels import build_kernels
from dfpg.config import Config
from dfpg.errors import UserError
from dfpg.faces.dataset import EMBEDDED, LANDMARK_COLUMNS, load_faces
from dfpg.files import write_text
from dfpg.methods.base import Method, read_card, save_weights
from dfpg.methods.registry import build_method
from dfpg.shipped import train
from dfpg.shipped.train import BACKBONE, WHOLE, start_from, training_faces


def small(config: Config, run: str, width: int = 8) -> Method:
    sizes = {"width": width, "blocks": 1, "prior_blocks": 1, "init": "identity", "output": "linear"}
    options = config.methods["dfpgnet"] | sizes
    return build_method(
        config.model_copy(update={"methods": config.methods | {"dfpgnet": options}}), run, None
    )


def trained(config: Config, path: Path, width: int = 8) -> Method:
    """A backbone that has moved away from its start, and its weights file."""
    method = small(config, BACKBONE, width)
    stream = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in method.networks["generator"].parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=stream)
    save_weights(path, method, steps=3)
    return method


def noise() -> Tensor:
    return torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(5)) * 2 - 1


def test_the_whole_network_begins_as_its_backbone(config, tmp_path):
    backbone = trained(config, tmp_path / "b1.safetensors")
    whole = small(config, WHOLE)
    blurred = noise()
    assert (whole.restore(blurred) - backbone.restore(blurred)).abs().max() > 0.01
    start_from(whole, tmp_path / "b1.safetensors")
    torch.testing.assert_close(whole.restore(blurred), backbone.restore(blurred))


def test_its_prior_stream_learns_from_the_first_step(config, tmp_path):
    trained(config, tmp_path / "b1.safetensors")
    whole = small(config, WHOLE)
    start_from(whole, tmp_path / "b1.safetensors")
    generator = whole.networks["generator"]
    generator(noise()).image.square().mean().backward()
    last = generator.fuse[0].shift[-1].weight
    assert last.grad.abs().max() > 0


def test_a_backbone_of_other_width_is_refused(config, tmp_path):
    trained(config, tmp_path / "b1.safetensors", width=4)
    with pytest.raises(UserError, match=r"b1\.safetensors: not the backbone of this network"):
        start_from(small(config, WHOLE), tmp_path / "b1.safetensors")


def test_a_whole_network_is_no_backbone(config, tmp_path):
    save_weights(tmp_path / "b1.safetensors", small(config, WHOLE), steps=3)
    with pytest.raises(UserError, match="not the backbone"):
        start_from(small(config, WHOLE), tmp_path / "b1.safetensors")


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
    (tmp_path / "data").symlink_to(Path(__file__).parents[2] / "data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_everybody_who_was_generated_is_trained_on_and_no_embedded_test_person(project):
    faces = training_faces(generated_folder(project / "generated"))
    people = set(faces.people)
    own = {person for person in people if person.startswith("embedded/")}
    assert people - own == {"generated/train/p0", "generated/test/p1"}
    assert own == {f"embedded/{person}" for person in load_faces(EMBEDDED, "train").people}
    assert len(faces.pictures) == len(load_faces(EMBEDDED, "train").people) + 2


class FlatPrior:
    """Averages of the image as features of the prior network's shapes."""

    def features(self, images: Tensor, _taps: object, _input: object) -> list[Tensor]:
        grey = images.mean(1, keepdim=True) + 2
        sizes = ((64, 1), (128, 2), (256, 4))
        return [F.avg_pool2d(grey, side).expand(-1, n, -1, -1) for n, side in sizes]

    def to(self, _device: object) -> FlatPrior:
        return self


def test_second_stage_leaves_weights_and_facts_for_the_card(config, project, monkeypatch):
    generated = generated_folder(project / "generated")
    sizes = {"width": 8, "blocks": 1, "prior_blocks": 1, "init": "identity", "output": "linear"}
    methods = config.methods | {"dfpgnet": config.methods["dfpgnet"] | sizes}
    config = config.model_copy(update={"methods": methods})
    trained(config, train.weights_of(BACKBONE))
    build_kernels(config, train.KERNELS)
    write_text(train.PRIORS / "vgg16.safetensors", "")
    monkeypatch.setattr(train, "load_prior", lambda _: FlatPrior())
    with pytest.raises(UserError, match=r"b1\.json: missing: train run b1 first"):
        train.training_facts(config, generated)
    train.train_whole(config, generated)
    steps = config.runs[WHOLE].steps
    assert read_card(train.weights_of(WHOLE)).steps == steps
    assert "prior" in Path("artifacts/history/dfpg_b.csv").read_text().splitlines()[0]
    shutil.copy(train.cost_of(WHOLE), train.cost_of(BACKBONE))
    first, second = train.training_facts(config, generated)
    assert (first["variant"], first["people"]) == ("b1", 300)
    assert (second["people"], second["steps"], second["device"]) == (302, steps, "cpu")
