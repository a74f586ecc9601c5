"""`dfpg submit` against the baselines of a small project: smoke profile, ImageNet trunk as P."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path

import dlib
import numpy as np
import pandas as pd
import pytest
from helpers.commands import run_commands, use_assets
from helpers.kernels import copy_kernels
from helpers.places import ROOT
from helpers.toy_scores import few_runs
from PIL import Image

from dfpg.analysis.tables import build_tables
from dfpg.commands.export import export_testset, file_names
from dfpg.commands.submit import remove, submit
from dfpg.core.config import load_config
from dfpg.core.errors import UserError
from dfpg.core.files import write_image, write_text
from dfpg.core.paths import KERNELS
from dfpg.core.profile import use_profile
from dfpg.data.testsets import open_testset
from dfpg.paper.tables import TEST_IMAGES
from dfpg.pretrained.assets.store import asset_path
from dfpg.stages.baselines import baselines as baselines_stage
from dfpg.stages.testsets import testsets as make_testsets

VALUES = ["subset", "metric", "value", "ci_low", "ci_high", "n_images", "n_people"]


@pytest.fixture(scope="module", autouse=True)
def _one_frontal_detector() -> Iterator[None]:
    """Each takes half a second to load, and keeps nothing of what it has seen."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dlib.get_frontal_face_detector", cache(dlib.get_frontal_face_detector))
        yield


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """A project whose baselines are scored, and the exports of both protocols."""
    root = tmp_path_factory.mktemp("submit") / "project"
    use_profile("smoke", root / "params.yaml")
    text = (root / "params.yaml").read_text()
    assert text.count("images_per_subset: 8") == 2
    (root / "params.yaml").write_text(text.replace("images_per_subset: 8", "images_per_subset: 4"))
    (root / "data").symlink_to(ROOT / "data")
    priors = root / "artifacts" / "priors"
    priors.mkdir(parents=True)
    assets = root / "artifacts" / "assets"
    assets.symlink_to(asset_path("lpips_alex").parent.resolve())
    (priors / "vgg16.safetensors").symlink_to(assets / "vgg16_imagenet.safetensors")
    write_text(priors / "card.json", '{"network": "surrogate", "sha256": "imagenet"}')
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setattr(
            "dfpg.stages.baselines.write_card",
            lambda *arguments: write_text(arguments[-1], '{"sha256": "toy"}'),
        )
        copy_kernels(load_config(), KERNELS)
        for protocol in ("a", "b"):
            make_testsets(protocol)
            export_testset(protocol, Path(f"export_{protocol}"), force=False)
        baselines_stage()
    return root


@pytest.fixture
def project(base, tmp_path, monkeypatch) -> Path:
    """A copy to work in; large files stay links."""
    root = shutil.copytree(base, tmp_path / "project", symlinks=True)
    monkeypatch.chdir(root)
    return Path(root)


def send(restored: str | Path, protocol: str = "a", name: str = "mynet", force: bool = False):
    return submit(name, Path(restored), protocol, "MyNet", "a tester", force)


def rows(path: str | Path, method: str, protocol: str) -> list[list[str]]:
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    frame = frame[(frame["method"] == method) & (frame["test_set"] == TEST_IMAGES[protocol])]
    assert len(frame)
    return frame.drop(columns="method").to_numpy().tolist()


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("protocol", ["a", "b"])
def test_the_blurred_images_submitted_are_the_row_blurred(protocol):
    text = send(f"export_{protocol}", protocol)
    assert "`dvc repro tables` adds the row" in text
    own = Path("submissions/mynet")
    baselines = Path("artifacts/per_image/baselines.csv")
    assert rows(own / "per_image.csv", "mynet", protocol) == rows(baselines, "blurred", protocol)
    card = json.loads((own / "card.json").read_text())
    assert (card["by"], card["paper"], card["prior"]) == ("a tester", "MyNet", "imagenet")
    assert (
        card["testset"]
        == json.loads(Path(f"artifacts/testsets/{protocol}/manifest.json").read_text())["sha256"]
    )
    names = ["card.json", "per_image.csv"]
    if protocol == "a":
        names.append("recognition.csv")
        seen = Path("artifacts/recognition/baselines.csv")
        assert rows(own / "recognition.csv", "mynet", "a") == rows(seen, "blurred", "a")
    assert sorted(path.name for path in own.iterdir()) == names
    few = few_runs(load_config(), "dfpg_a", "dfpg_b")
    build_tables(few, Path("artifacts"), Path("results"), Path("submissions"))
    for name in ("table1", "table3") if protocol == "a" else ("table2",):
        table = pd.read_csv(f"results/{name}.csv", dtype=str, keep_default_na=False)
        one, two = (table[table["row"] == row][VALUES] for row in ("mynet", "blurred"))
        assert one.to_numpy().tolist() == two.to_numpy().tolist()
    remove("mynet")
    assert not own.exists()


@pytest.mark.usefixtures("project")
def test_sharp_images_submitted_are_perfect():
    testset = open_testset(Path("artifacts/testsets/a"))
    names = file_names("a", testset.index)["blurred"]
    for name, sharp in zip(names, testset.index["sharp"], strict=True):
        write_image(Path("perfect") / name, testset.sharp[sharp])
    before = {"card.json": "an older one's", "left.csv": "of an older version"}
    for name, text in before.items():
        write_text(Path("submissions/mynet") / name, text)
    with pytest.raises(UserError, match="mynet: exists: name it otherwise, or replace"):
        send("perfect")
    assert {path.name: path.read_text() for path in Path("submissions/mynet").iterdir()} == before
    send("perfect", force=True)
    scores = pd.read_csv("submissions/mynet/per_image.csv")
    assert np.isinf(scores["psnr"]).all()
    for name in scores.columns[10:]:
        assert (scores[name] == float(name.startswith("ssim"))).all(), name
    assert json.loads(Path("submissions/mynet/card.json").read_text())["paper"] == "MyNet"
    assert not Path("submissions/mynet/left.csv").exists()
    assert [path.name for path in Path("submissions").iterdir()] == ["mynet"]


def first() -> Path:
    return sorted(Path("export_a").rglob("final_*_blur/*.png"))[0]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda: first().unlink(), r"\.png: missing \(1 of 8 are\)"),
        (lambda: first().rename(first().with_name("other.png")), r"\.png: missing \(1 of 8 are\)"),
        (lambda: Image.new("RGB", (32, 31)).save(first()), "32 x 31 px instead of 32 x 32"),
        (lambda: Image.new("RGBA", (32, 32)).save(first()), "has transparency"),
        (lambda: Image.new("I;16", (32, 32)).save(first()), "more than 8 bits per channel"),
        (lambda: first().write_text("x"), "not an image of"),
        (lambda: shutil.rmtree("export_a"), "export_a: no such folder"),
        (lambda: shutil.rmtree("artifacts/references"), "run `dfpg evaluate baselines`"),
        (lambda: shutil.rmtree("artifacts/per_image"), "run the evaluate stage first"),
        (lambda: Path("artifacts/priors/card.json").unlink(), "run `dvc repro priors`"),
    ],
)
@pytest.mark.usefixtures("project")
def test_what_does_not_fit_is_refused_and_nothing_is_stored(spoil, message):
    spoil()
    with pytest.raises(UserError, match=message) as caught:
        send("export_a")
    assert "\n" not in str(caught.value)
    assert not Path("submissions").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../mynet", "a name has small letters"),
        ("MyNet", "a name has small letters"),
        ("dfpg_a", "is a row of the suite already"),
        ("blurred", "is a row of the suite already"),
        ("b6", "is a row of the suite already"),
    ],
)
@pytest.mark.usefixtures("project")
def test_bad_names_are_refused(name, message):
    with pytest.raises(UserError, match=message):
        send("export_a", name=name)
    with pytest.raises(UserError, match="no such submission; there are: none"):
        remove(name)


def test_the_command_refuses_in_one_line(project, tmp_path):
    first().unlink()
    wrong = (
        ["--restored", "export_a", "--protocol", "a"],
        ["--restored", "export_a"],
        ["--remove"],
    )
    commands = [["submit", "mynet", *arguments] for arguments in wrong]
    assets = partial(use_assets, os.environ["DFPG_ASSETS"])
    said = run_commands(project, commands, tmp_path / "log", assets)
    assert [one.code for one in said] == [2, 2, 2]
    lines = [one.error.splitlines()[-1] for one in said]
    assert lines[0].startswith("dfpg: export_a/Test_data_")
    assert lines[1:] == [
        "dfpg: submit mynet: give --restored DIR and --protocol a or b",
        "dfpg: mynet: no such submission; there are: none",
    ]
    assert not (project / "submissions").exists()
