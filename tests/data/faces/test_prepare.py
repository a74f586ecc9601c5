"""Stage ``faces`` on small sets of generated people, and on real ones where they are at hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.layouts import celeba, celebamask_hq, enlarged, names_of, people, save
from helpers.places import ROOT, SHARED
from PIL import Image

from dfpg.core.config import FaceSource
from dfpg.core.errors import UserError
from dfpg.core.profile import resolve_profile, use_profile
from dfpg.data.faces import prepare
from dfpg.data.faces.check import check_data
from dfpg.data.faces.dataset import load_faces
from dfpg.data.faces.prepare import own_labels, prepare_faces
from dfpg.data.faces.readers import open_source
from dfpg.pretrained.assets.store import asset_path
from dfpg.pretrained.detector import FaceDetector
from dfpg.pretrained.parsing import load_labels
from dfpg.stages.parsing import parsing as parsing_stage


def with_faces(config, **folders):
    faces = {
        name: FaceSource(reader=name, path=str(path), train=None) for name, path in folders.items()
    }
    return config.model_copy(update={"faces": faces})


@pytest.fixture(scope="module")
def sets(tmp_path_factory, config):
    """CelebA of people 0-5; CelebAMask-HQ of 6-9, of a CelebA test person and a training one."""
    root, who = tmp_path_factory.mktemp("sets"), people()
    celeba(root / "celeba", "train", [person[:2] for person in who[:3]])
    celeba(root / "celeba", "val", [person[:1] for person in who[3:4]], first=100)
    celeba(root / "celeba", "test", [person[:2] for person in who[4:6]], first=200)
    train, test = names_of("train", 3), names_of("test", 3)
    shown = [who[6][0], who[7][0], who[4][2], who[8][0], who[9][0], who[0][3]]
    celebamask_hq(root / "celebamask_hq", shown, [*train, *test])
    return with_faces(config, **{name: root / name for name in ("celeba", "celebamask_hq")})


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, sets):
    out = tmp_path_factory.mktemp("prepared")
    prepare_faces(sets, ["celeba", "celebamask_hq"], out)
    return out


def test_profile_without_photographs_writes_the_summary_alone(tmp_path, config):
    """The bytes of this file are an input of every training: they must not change."""
    prepare_faces(config, [], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["summary.json"]
    assert (tmp_path / "summary.json").read_bytes() == b'{"faces": {}}\n'


def test_people_are_found_again_across_sets(prepared):
    """A CelebA training person is tested on in CelebAMask-HQ, and the other way round."""
    summary = json.loads((prepared / "summary.json").read_text())["faces"]
    assert summary["celeba"]["alike_to_test_faces_of"] == {"train": {"celebamask_hq": 2}}
    assert summary["celebamask_hq"]["alike_to_test_faces_of"] == {"train": {"celeba": 1}}
    assert summary["celeba"]["at_hand"]["train"] == {"pictures": 6, "people": 3}
    assert summary["celeba"]["kept"]["train"] == {"pictures": 4, "people": 2}
    assert summary["celebamask_hq"]["kept"]["train"] == {"pictures": 2, "people": 2}
    assert summary["celebamask_hq"]["kept"]["test"] == {"pictures": 3, "people": 3}


def test_prepared_faces_are_those_of_the_set(prepared, sets):
    for name in ("celeba", "celebamask_hq"):
        source = open_source(name, sets.faces[name])
        for split in ("train", "val", "test"):
            faces = load_faces(name, split, prepared=prepared)
            for picture, file in zip(faces.pictures, faces.names, strict=True):
                assert np.array_equal(picture, source.frame(file).picture)
    for name, side in (("celeba", 146), ("celebamask_hq", 256)):
        assert load_faces(name, "test", "close", prepared).pictures.shape[1:3] == (side, side)
    index = pd.read_csv(prepared / "celeba" / "faces.csv")
    assert (index.groupby("person")["split"].nunique() == 1).all()
    assert list(prepared.glob(".*")) == []


def test_masks_of_the_kept_training_faces_are_packed(prepared):
    labels = own_labels(prepared / "celebamask_hq")
    assert (
        labels.shape == load_faces("celebamask_hq", "train", prepared=prepared).pictures.shape[:3]
    )
    assert np.unique(labels[:, :, :128]).tolist() == [1]  # skin
    assert own_labels(prepared / "celeba") is None


def test_own_masks_take_the_place_of_bisenets_maps(prepared, tmp_path, monkeypatch):
    drawn = []

    def fake_parse(pictures, _network, **_options):
        drawn.append(len(pictures))
        return np.zeros(pictures.shape[:3], np.uint8)

    use_profile("research", tmp_path / "params.yaml")
    text = (tmp_path / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text.replace("celeba+helen", "celeba"))
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "artifacts" / "assets").symlink_to(ROOT / "artifacts" / "assets")
    (tmp_path / "artifacts" / "faces").symlink_to(prepared)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("dfpg.stages.parsing.parse_faces", fake_parse)
    parsing_stage(None)
    assert drawn == [len(load_faces("celeba", "train", prepared=prepared).pictures)]
    written = load_labels(Path("artifacts/parsing"), ["celebamask_hq"])
    assert np.array_equal(written, own_labels(prepared / "celebamask_hq"))


def test_preparing_twice_gives_the_same_bytes(prepared, sets, tmp_path, monkeypatch):
    monkeypatch.setattr(prepare, "BATCH", 3)
    prepare_faces(sets, ["celeba", "celebamask_hq"], tmp_path)
    files = sorted(path.relative_to(prepared) for path in prepared.rglob("*") if path.is_file())
    assert len(files) == 12
    for file in files:
        assert (tmp_path / file).read_bytes() == (prepared / file).read_bytes(), file


def test_a_set_without_any_face_is_refused(config, tmp_path):
    save(tmp_path / "set" / "blank.png", np.full((160, 160, 3), 90, np.uint8))
    with pytest.raises(UserError, match=r"faces\.helen: no picture of .* has a usable face"):
        prepare_faces(with_faces(config, helen=tmp_path / "set"), ["helen"], tmp_path / "out")


def test_damaged_labels_are_named(tmp_path):
    (tmp_path / "labels_train.npy").write_bytes(b"no")
    with pytest.raises(UserError, match=r"labels_train\.npy: damaged: run `dvc repro -f faces`"):
        own_labels(tmp_path)


def test_check_says_what_is_there_and_what_it_fills(sets):
    research = resolve_profile("research")[0]
    faces = research.faces | sets.faces
    text, complete = check_data(research.model_copy(update={"faces": faces}))
    assert not complete
    assert "11 pictures of 202599, 6 people; train 6, val 1, test 4" in text
    assert "fills: training of protocol a, test slot a.celeba, test slot b.celeba" in text
    assert "helen: params.yaml: faces.helen.path: not set: give your folder of Helen" in text
    assert "protocol a needs 100 test faces of celeba, it has 4" in text


def test_check_is_content_where_nothing_is_needed(config):
    text, complete = check_data(config)
    assert complete
    assert "embedded: generated people" in text


@pytest.mark.skipif(not (SHARED / "data").is_dir(), reason="needs real photographs (DFPG_SHARED)")
@pytest.mark.parametrize(
    ("reader", "folder", "at_least"),
    [
        ("celeba", "celeba", 100),
        ("celebamask_hq", "celebamask_hq", 80),
        ("helen", "helen", 100),
        ("folder", "unsplash_faces", 80),
    ],
)
def test_real_sets_are_read_and_fill_a_slot_of_the_papers_size(reader, folder, at_least):
    source = open_source(folder, FaceSource(reader=reader, path=str(SHARED / "data" / folder)))
    test = source.index[source.index["split"] == "test"]
    assert len(test) >= at_least
    assert (source.index.groupby("person")["split"].nunique() == 1).all()
    detector = FaceDetector(asset_path("scrfd"))
    shown = [source.frame(file) for file in test["file"].iloc[:4]]
    for framed in (face for face in shown if not isinstance(face, str)):
        found = detector(framed.picture)[0].landmarks
        away = np.linalg.norm(found - framed.landmarks, axis=1)
        assert np.median(away) < 0.06 * source.side


@pytest.mark.parametrize("orientation", [6, 8])
def test_portraits_that_are_stored_lying_are_all_framed_upright(tmp_path, orientation):
    """Case 1, with what systems leave among them: case 5."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    turn = {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}[orientation]
    for number, pictures in enumerate(people()[:6]):
        place = tmp_path / f"person{number}"
        save(place / "upright.png", enlarged(pictures[0], 320))
        image = Image.open(place / "upright.png").transpose(turn)
        (place / "upright.png").unlink()
        image.save(place / "1.jpg", exif=exif, quality=95)
        (place / "._1.jpg").write_bytes(bytes(4096))
        (place / "Thumbs.db").touch()
        (place / ".ipynb_checkpoints").mkdir()
        image.save(place / ".ipynb_checkpoints" / "1-checkpoint.jpg")
    source = open_source("portraits", FaceSource(reader="folder", path=str(tmp_path), train=None))
    assert source.index["person"].nunique() == len(source.index) == 6
    assert source.remark == "skipped: 18 hidden or left by the system"
    for file, pictures in zip(source.index["file"], people(), strict=False):
        framed = source.frame(file)
        assert not isinstance(framed, str), framed
        reference = enlarged(pictures[0], source.side).astype(int)
        assert np.abs(framed.picture - reference).mean() < 6
        assert framed.landmarks[:2, 1].max() < framed.landmarks[3:, 1].min()  # eyes above mouth
