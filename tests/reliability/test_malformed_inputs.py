"""Files that commands read, damaged in every way: one line or a right result, never a traceback."""

from __future__ import annotations

import json
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.counts import count
from helpers.kernels import copy_kernels
from helpers.toy_curve import write_parts
from helpers.toy_scores import write_artifacts, write_submission
from helpers.toys import Toy
from PIL import Image

from dfpg.analysis.tables import build_tables
from dfpg.commands.compare import compare
from dfpg.commands.deblur.photographs import read_photograph
from dfpg.core.config import Config, load_config
from dfpg.core.errors import error_line
from dfpg.core.files import read_image
from dfpg.core.profile import use_profile
from dfpg.data.blur.kernels import load_kernels
from dfpg.data.faces.dataset import LANDMARK_COLUMNS, FaceSet, load_folder, load_prepared
from dfpg.data.testsets import build_testset, open_testset
from dfpg.methods.registry import run_options
from dfpg.methods.weights import load_weights, save_weights
from dfpg.pretrained.embedder import FaceEmbedder
from dfpg.pretrained.parsing import label_file, load_labels, save_labels
from dfpg.pretrained.vggface import read_card, read_vggface


def shuffled(data: bytes) -> bytes:
    lines = data.splitlines(keepends=True)
    random.Random(0).shuffle(lines)
    return b"".join(lines)


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "half": lambda data: data[: len(data) // 2],
    "last byte missing": lambda data: data[:-1],
    "first line missing": lambda data: data.partition(b"\n")[2],
    "last line missing": lambda data: b"".join(data.splitlines(keepends=True)[:-1]),
    "lines shuffled": shuffled,
    "every line twice": lambda data: b"".join(2 * line for line in data.splitlines(keepends=True)),
    "noise": lambda data: random.Random(1).randbytes(max(64, len(data) // 3)),
    "zeros": lambda data: bytes(len(data)),
    "no UTF-8": lambda data: data.replace(b"a", b"\xff"),
    "UTF-16": lambda data: data.decode("latin-1").encode("utf-16"),
    "other text": lambda _: b"hello\n",
    "a list": lambda _: b"[]",
    "a mapping": lambda _: b"{}",
    "null": lambda _: b"null",
    "deep": lambda _: b"[" * 100_000,
    "huge numbers": lambda data: data.replace(b"1", b"1e999"),
    "no numbers": lambda data: data.replace(b"0", b"x").replace(b".", b"y"),
    "no commas": lambda data: data.replace(b",", b";"),
    "a web page": lambda _: b"<html>quota exceeded</html>" * 50,
}
QUICK = ("empty", "half", "noise", "no UTF-8", "a list", "no numbers")

Read = Callable[[Path], object]


def results(folder: Path, config: Config) -> Read:
    """What ``dfpg tables`` reads: scores, recognition, cards, histories, costs, submissions."""
    write_artifacts(config, folder)
    write_submission(config, folder, folder / "submissions")
    write_parts(config, folder / "robustness", lambda *_: 1.0)
    out = folder.parent / "results"
    return lambda copy: build_tables(config, copy, out, copy / "submissions")


def parameters(folder: Path, _config: Config) -> Read:
    use_profile("smoke", folder / "params.yaml")

    def read(copy: Path) -> None:
        config = load_config(copy / "params.yaml")
        for run in config.runs:
            run_options(config, run)

    return read


def weights(folder: Path, _config: Config) -> Read:
    save_weights(folder / "w.safetensors", Toy(), 1)
    return lambda copy: load_weights(copy / "w.safetensors", Toy())


FAMILIES = ("spline", "trajectory")


def kernels(folder: Path, config: Config) -> Read:
    copy_kernels(config, folder)
    return lambda copy: [load_kernels(copy / f"{name}.safetensors") for name in FAMILIES]


def packed_testset(folder: Path, config: Config) -> Read:
    copy_kernels(config, folder.parent / "kernels")
    bank = load_kernels(folder.parent / "kernels" / "trajectory.safetensors")
    rng = np.random.default_rng(0)
    people = tuple(f"p{number // 2}" for number in range(16))
    names = tuple(f"{number}.jpg" for number in range(16))
    pictures = rng.integers(0, 256, (16, 40, 40, 3), np.uint8)
    faces = FaceSet(pictures, people, names, np.zeros((16, 5, 2), np.float32))
    build_testset(config, "a", bank, {"embedded": faces}, folder)
    return open_testset


def faces(folder: Path, _config: Config) -> Read:
    (folder / "faces").mkdir()
    rows = [",".join(["file", "person", "split", "score", *LANDMARK_COLUMNS])]
    for split in ("train", "test"):
        Image.new("RGB", (16, 16)).save(folder / "faces" / f"{split}.png")
        rows.append(",".join([f"{split}.png", split, split, "0.9", *["1.0"] * 10]))
    (folder / "faces.csv").write_text("\n".join(rows) + "\n")
    np.save(folder / "train.npy", np.zeros((1, 16, 16, 3), np.uint8))
    return lambda copy: (load_folder(copy, "train", 8), load_prepared(copy, "train"))


def images(folder: Path, _config: Config) -> Read:
    noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    for suffix in ("png", "jpg", "webp", "tif", "bmp"):
        Image.fromarray(noise).save(folder / f"a.{suffix}")

    def read(copy: Path) -> None:
        failed = []
        for path in sorted(copy.iterdir()):
            for reader in (read_image, read_photograph):
                try:
                    reader(path)
                except Exception as error:
                    failed.append(error)
        for error in sorted(failed, key=lambda one: error_line(one) is not None):
            raise error

    return read


def priors(folder: Path, _config: Config) -> Read:
    (folder / "card.json").write_text(json.dumps({"network": "surrogate", "sha256": "0"}))
    torch.save({"features.0.weight": torch.zeros(64, 3, 3, 3)}, folder / "own.pth")

    def read(copy: Path) -> None:
        read_card(copy)
        read_vggface(copy / "own.pth")

    return read


def labels(folder: Path, _config: Config) -> Read:
    save_labels(label_file(folder, "embedded"), np.zeros((2, 8, 8), np.uint8))
    return lambda copy: load_labels(copy, ["embedded"])


def embedder(folder: Path, _config: Config) -> Read:
    (folder / "own.onnx").write_bytes(b"\x08\x07" * 20)
    return lambda copy: FaceEmbedder(copy / "own.onnx")


def records(folder: Path, config: Config) -> Read:
    """Two result folders that ``dfpg compare`` compares."""
    artifacts = folder.parent / "artifacts"
    artifacts.mkdir()
    write_artifacts(config, artifacts)
    build_tables(config, artifacts, folder)
    whole = folder.parent / "whole"
    shutil.copytree(folder, whole)
    return lambda copy: compare(whole, copy)


INPUTS = {
    "parameters": parameters,
    "weights": weights,
    "kernels": kernels,
    "testset": packed_testset,
    "faces": faces,
    "images": images,
    "priors": priors,
    "labels": labels,
    "embedder": embedder,
    "records": records,
    "results": results,
}


@pytest.fixture(scope="module")
def two_runs(config: Config) -> Config:
    """Few runs, so that tables take a second."""
    runs = {name: config.runs[name] for name in ("dfpg_a", "b1")}
    return config.model_copy(update={"runs": runs})


def copies(folder: Path, target: Path, damages: tuple[str, ...]) -> Iterator[tuple[str, Path]]:
    """Copies of a folder with one file damaged, or replaced by a folder or a loop of links."""
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        for name in (*damages, "a folder", "a loop"):
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(folder, target)
            place = target / file.relative_to(folder)
            if name == "a folder":
                place.unlink()
                place.mkdir()
            elif name == "a loop":
                place.unlink()
                place.symlink_to(place.name)
            else:
                data = DAMAGES[name](file.read_bytes())
                if data == file.read_bytes():
                    continue
                place.write_bytes(data)
            yield f"{file.relative_to(folder)}: {name}", target


def attempt(what: str, folder: Path, config: Config, damages: tuple[str, ...]) -> Counter[str]:
    whole = folder / "whole-inputs"
    whole.mkdir()
    read = INPUTS[what](whole, config)
    found: Counter[str] = Counter()
    tracebacks = []
    for name, copy in copies(whole, folder / "copy", damages):
        found["tried"] += 1
        try:
            read(copy)
        except Exception as error:
            line = error_line(error)
            if line is None or not line.isprintable():
                tracebacks.append(f"{name}: {type(error).__name__}: {str(error)[:200]!r}")
            found["refused"] += 1
    assert not tracebacks, "\n".join(tracebacks)
    return found


@pytest.mark.parametrize("what", [name for name in INPUTS if name not in ("records", "results")])
def test_a_damaged_file_is_one_line(what: str, tmp_path: Path, two_runs: Config) -> None:
    found = attempt(what, tmp_path, two_runs, QUICK)
    assert found["refused"] > 0
    count(f"malformed inputs ({what})", found["tried"], f"{found['refused']} refused, 0 tracebacks")


@pytest.mark.slow
@pytest.mark.parametrize("what", list(INPUTS))
def test_a_file_damaged_in_any_way_is_one_line(what: str, tmp_path: Path, two_runs: Config) -> None:
    found = attempt(what, tmp_path, two_runs, tuple(DAMAGES))
    count(f"malformed inputs ({what})", found["tried"], f"{found['refused']} refused, 0 tracebacks")
