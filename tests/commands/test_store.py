from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from dfpg.commands import store
from dfpg.commands.dvc_calls import dvc
from dfpg.commands.dvc_stages import read_stages
from dfpg.commands.lock import read_lock
from dfpg.core.errors import UserError
from dfpg.core.profile import use_profile
from dfpg.stages.code import describe_code

pytestmark = pytest.mark.usefixtures("forked_dvc")

MORE = """
  b:
    cmd: echo 6 > kept && echo 7 > free
    outs: [kept, {free: {cache: false}}]
  c:
    cmd: echo 5 > lost
    outs: [lost]
"""
CONFIG = """[core]
    analytics = false
    no_scm = true
    remote = store
['remote "store"']
    url = ../store
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project of `toy`, made once: every DVC command takes a second."""
    folder = tmp_path_factory.mktemp("store")
    (folder / ".dvc").mkdir()
    (folder / ".dvc" / "config").write_text(CONFIG)
    (folder / "dvc.yaml").write_text(
        "stages:\n  a:\n    cmd: mkdir -p d && echo ${v} > d/x && echo 5 > d/y\n"
        "    params: [v]\n    outs: [d]\n"
    )
    (folder / "params.yaml").write_text("v: 1\n")
    dvc(folder, "repro", "-q")
    dvc(folder, "push", "-q")
    return folder


@pytest.fixture
def toy(made: Path, tmp_path: Path) -> Path:
    """A DVC project with a store: one stage, whose output depends on one parameter; it has run."""
    return Path(shutil.copytree(made, tmp_path / "toy", symlinks=True))


def files(folder: Path) -> int:
    return sum(path.is_file() for path in folder.rglob("*"))


def test_the_store_keeps_the_current_record_alone_and_the_cache_everything(toy):
    (toy / "params.yaml").write_text("v: 2\n")
    dvc(toy, "repro", "-q")
    dvc(toy, "push", "-q")
    assert files(toy / "store") == 5  # two folders, of one file that changed and one that did not
    cached = files(toy / ".dvc" / "cache")
    store.drop_unused(toy)
    assert files(toy / "store") == 3
    assert files(toy / ".dvc" / "cache") == cached


def test_without_a_record_there_is_one_line(toy):
    (toy / "dvc.lock").unlink()
    shutil.rmtree(toy / "d")
    with pytest.raises(UserError, match="no record of this version's trainings") as caught:
        store.pull_outputs(toy, [Path("d")])
    assert "\n" not in str(caught.value)
    assert "make smoke" in str(caught.value)
    assert "make graph" in str(caught.value)


@pytest.mark.parametrize("wanted", ["d", "d/x", "."])
def test_outputs_come_out_of_the_store_whole_or_in_part(toy, wanted):
    for folder in (toy / "d", toy / ".dvc" / "cache"):
        shutil.rmtree(folder)
    store.pull_outputs(toy, [Path(wanted)])
    assert (toy / "d" / "x").read_text() == "1\n"
    assert (toy / "d" / "y").exists() == (wanted != "d/x")


def test_what_is_here_is_left_as_it_is(toy):
    (toy / "d" / "x").write_text("changed")
    store.pull_outputs(toy, [Path("d")])
    store.pull_missing(toy)
    assert (toy / "d" / "x").read_text() == "changed"
    shutil.rmtree(toy / "d")
    store.pull_missing(toy)
    assert (toy / "d" / "x").read_text() == "1\n"


def test_the_lock_names_nothing_that_the_store_lacks(toy):
    """What was lost is made again; what DVC does not keep needs no place in the store."""
    shutil.rmtree(toy / "store")
    (toy / "dvc.yaml").write_text((toy / "dvc.yaml").read_text() + MORE)
    dvc(toy, "repro", "-q")
    for path in (toy / ".dvc" / "cache").rglob("*"):
        if path.is_file() and path.read_bytes() == b"5\n":
            path.unlink()  # of d and of lost
    shutil.rmtree(toy / "d")
    (toy / "lost").unlink()
    lock = YAML(typ="safe").load(toy / "dvc.lock")
    lock["stages"]["gone"] = {"cmd": "echo", "outs": [{"path": "gone", "md5": "ab" * 16}]}
    YAML(typ="safe").dump(lock, toy / "dvc.lock")
    before = read_stages(toy)
    assert {name for name, stage in before.items() if stage.locked} == {"a", "b", "c"}
    assert store.keep(toy).startswith("store: 0.0 MB in ")
    after = read_stages(toy)
    assert {name for name, stage in after.items() if stage.locked} == {"b"}
    assert all(stage.kept for stage in after.values() if stage.locked)
    assert set(read_lock(toy)) == {"b"}
    dvc(toy, "repro", "-q")
    assert (toy / "lost").read_text() == "5\n"


@pytest.fixture(scope="module")
def digest(config) -> str:
    """Of the code that trains b1, as the stage `code` writes it for all runs."""
    return hashlib.md5(describe_code(config)["train/b1.json"].encode()).hexdigest()


@pytest.fixture
def recorded(tmp_path, monkeypatch, digest):
    """A project of the smoke profile whose lock says that b1 was trained, and how."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "dfpg.commands.doctor.forecast.forecast_trainings", lambda *_: (600.0, 1200.0)
    )
    use_profile("smoke", Path("params.yaml"))
    entry = {
        "cmd": "python -m dfpg train b1",
        "deps": [{"path": "artifacts/code/train/b1.json", "md5": digest}],
        "params": {"params.yaml": {"runs.b1": plain("runs", "b1"), "seed": plain("seed")}},
        "outs": [{"path": "artifacts/weights/b1.safetensors", "md5": "ab" * 16}],
    }
    write({"schema": "2.0", "stages": {"train@b1": entry}})
    kept = Path("store/files/md5/ab") / ("ab" * 15)
    kept.parent.mkdir(parents=True)
    kept.touch()
    return tmp_path


def plain(*keys: str) -> object:
    value = YAML(typ="safe").load(Path("params.yaml"))
    for key in keys:
        value = value[key]
    return value


def write(lock: object) -> None:
    YAML(typ="safe").dump(lock, Path("dvc.lock"))


@pytest.mark.usefixtures("recorded")
def test_weights_on_record_are_announced_before_a_training():
    assert store.pull_hint("b1", Path("artifacts")) == (
        "train b1: its weights are on record: `dvc pull` brings them in seconds, "
        "training takes 10 min to 20 min here. Training."
    )


@pytest.mark.usefixtures("recorded")
@pytest.mark.parametrize(
    "change", ["weights", "elsewhere", "code", "parameter", "store", "other run", "no lock"]
)
def test_what_cannot_be_pulled_is_not_announced(change):
    run, out = "b1", Path("artifacts")
    lock = YAML(typ="safe").load(Path("dvc.lock"))
    if change == "weights":
        Path("artifacts/weights").mkdir(parents=True)
        Path("artifacts/weights/b1.safetensors").touch()
    elif change == "elsewhere":
        out = Path("artifacts/retrained")
    elif change == "code":
        lock["stages"]["train@b1"]["deps"][0]["md5"] = "0" * 32
        write(lock)
    elif change == "parameter":
        text = Path("params.yaml").read_text()
        Path("params.yaml").write_text(text.replace("seed: 0", "seed: 1"))
    elif change == "store":
        next(path for path in Path("store").rglob("*") if path.is_file()).unlink()
    elif change == "other run":
        run = "b2"
    else:
        Path("dvc.lock").unlink()
    assert store.pull_hint(run, out) is None


def test_files_of_another_run_are_not_overwritten_and_the_way_out_is_said(toy):
    dvc(toy, "repro", "-q")
    dvc(toy, "push", "-q")
    (toy / "d" / "x").write_text("of another profile")
    with pytest.raises(UserError, match="`dvc pull --force --allow-missing` puts the recorded"):
        store.pull_record(toy)
    assert (toy / "d" / "x").read_text() == "of another profile"
    dvc(toy, "pull", "--force", "--allow-missing")
    assert (toy / "d" / "x").read_text() != "of another profile"
