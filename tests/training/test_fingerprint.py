from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.toys import RUN, toy_config

from dfpg.core.closure import FOLDER
from dfpg.core.errors import UserError
from dfpg.core.schedule import Schedule
from dfpg.methods.dfpgnet import DFPGNet
from dfpg.training.fingerprint import fingerprint, training_code


@pytest.fixture
def files(tmp_path: Path) -> dict[str, list[Path]]:
    folder = tmp_path / "faces"
    folder.mkdir()
    (folder / "one.bin").write_bytes(b"1")
    (tmp_path / "kernels.bin").write_bytes(b"k")
    (tmp_path / "method.py").write_text("x = 1\n")
    return {"inputs": [tmp_path / "kernels.bin", folder], "code": [tmp_path / "method.py"]}


def updated(config: Any, path: str, value: Any) -> Any:
    """Copy of a model (or dict) with one nested value replaced."""
    head, _, rest = path.partition(".")
    if isinstance(config, dict):
        return config | {head: updated(config[head], rest, value) if rest else value}
    new = updated(getattr(config, head), rest, value) if rest else value
    return config.model_copy(update={head: new})


def test_is_64_hexadecimal_digits_and_repeatable(files):
    one = fingerprint(toy_config(9), RUN, **files)
    assert len(bytes.fromhex(one)) == 32
    assert one == fingerprint(toy_config(9), RUN, **files)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("seed", 99),
        ("image_size", 36),
        ("runs.toy.images", 48),
        ("runs.toy.lr", 0.5),
        ("runs.toy.options", {"dropout": 0.1}),
        ("methods.toy", {"dropout": 0.1}),
        ("training.ema", 0.5),
        ("training.clip", 0.5),
        ("training.schedule", None),
        ("runs.toy.schedule", Schedule(shape="cosine")),
        ("training.batch_size", 2),
        ("training.compile", True),
        ("training.noise_on_device", True),
        ("prior.taps", "released"),
    ],
)
def test_changes_with_what_decides_the_weights(files, path, value):
    config = toy_config(9)
    assert fingerprint(updated(config, path, value), RUN, **files) != fingerprint(
        config, RUN, **files
    )


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("profile", "another"),
        ("training.checkpoint_every", 77),
        ("evaluation.batch_size", 77),
        ("statistics.resamples", 77),
        ("methods.other", {"width": 7}),
    ],
)
def test_does_not_change_with_what_does_not(files, path, value):
    config = toy_config(9)
    assert fingerprint(updated(config, path, value), RUN, **files) == fingerprint(
        config, RUN, **files
    )


def test_depends_on_the_run_s_own_protocol_only(files):
    config = toy_config(9, {"protocol": "a"})
    one = fingerprint(config, RUN, **files)
    assert fingerprint(updated(config, "protocols.b.noise", 9.0), RUN, **files) == one
    assert fingerprint(updated(config, "protocols.a.test.faces_per_subset", 9), RUN, **files) == one
    assert fingerprint(updated(config, "protocols.a.test.noise", 9.0), RUN, **files) != one
    assert fingerprint(updated(config, "protocols.a.noise", 9.0), RUN, **files) != one


def test_auto_precision_counts_as_what_it_resolves_to(files, set_cpu):
    set_cpu(bf16=True, amx=False)
    if not torch.cuda.is_available():
        auto = fingerprint(toy_config(9, precision="auto"), RUN, **files)
        assert auto == fingerprint(toy_config(9, precision="fp32"), RUN, **files)


@pytest.mark.parametrize("name", ["kernels.bin", "faces/one.bin"])
def test_changes_with_every_byte_of_inputs(files, tmp_path, name):
    before = fingerprint(toy_config(9), RUN, **files)
    path = tmp_path / name
    path.write_bytes(path.read_bytes() + b" ")
    assert fingerprint(toy_config(9), RUN, **files) != before


def test_changes_with_what_code_does_and_not_with_what_it_says(files, tmp_path):
    before = fingerprint(toy_config(9), RUN, **files)
    (tmp_path / "method.py").write_text('"""One."""\n\nx = 1  # the first\n')
    assert fingerprint(toy_config(9), RUN, **files) == before
    (tmp_path / "method.py").write_text("x = 2\n")
    assert fingerprint(toy_config(9), RUN, **files) != before


def test_does_not_change_with_the_place_of_the_project(files, tmp_path):
    before = fingerprint(toy_config(9), RUN, **files)
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("kernels.bin", "faces", "method.py"):
        (tmp_path / name).rename(moved / name)
    files = {key: [moved / path.name for path in paths] for key, paths in files.items()}
    assert fingerprint(toy_config(9), RUN, **files) == before


def test_bad_input_is_named(files, tmp_path):
    with pytest.raises(UserError, match=r"runs\.nope: no such run"):
        fingerprint(toy_config(9), "nope", **files)
    with pytest.raises(UserError, match=r"absent\.bin: missing"):
        fingerprint(toy_config(9), RUN, [tmp_path / "absent.bin"], [])


def test_training_code_is_the_method_s_files_and_what_training_runs():
    names = {path.relative_to(FOLDER).as_posix() for path in training_code(DFPGNet)}
    assert {"methods/dfpgnet.py", "methods/losses.py", "methods/base.py"} <= names
    assert {"training/loop.py", "data/blur/degrade.py", "core/seeds.py"} <= names
    assert not any(name.startswith(("metrics/lpips", "data/faces/generator")) for name in names)
