from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from dfpg.commands import store
from dfpg.commands.dvc_calls import dvc
from dfpg.core.errors import UserError
from dfpg.core.params_data import Subset
from dfpg.core.profile import use_profile
from dfpg.stages.code import describe_code

CONFIG = """[core]
    analytics = false
    no_scm = true
    remote = store
['remote "store"']
    url = ../store
"""


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    """A DVC project with a store: one stage, whose output depends on one parameter."""
    dvc(tmp_path, "init", "--no-scm", "-q")
    (tmp_path / ".dvc" / "config").write_text(CONFIG)
    (tmp_path / "dvc.yaml").write_text(
        "stages:\n  a:\n    cmd: mkdir -p d && echo ${v} > d/x && echo 5 > d/y\n"
        "    params: [v]\n    outs: [d]\n"
    )
    (tmp_path / "params.yaml").write_text("v: 1\n")
    return tmp_path


def files(folder: Path) -> int:
    return sum(path.is_file() for path in folder.rglob("*"))


def test_the_store_keeps_the_current_record_alone_and_the_cache_everything(toy):
    dvc(toy, "repro", "-q")
    dvc(toy, "push", "-q")
    (toy / "params.yaml").write_text("v: 2\n")
    dvc(toy, "repro", "-q")
    dvc(toy, "push", "-q")
    assert files(toy / "store") == 5  # two folders, of one file that changed and one that did not
    cached = files(toy / ".dvc" / "cache")
    store.drop_unused(toy)
    assert files(toy / "store") == 3
    assert files(toy / ".dvc" / "cache") == cached


def test_without_a_record_there_is_one_line(toy):
    with pytest.raises(UserError, match="no record of this version's trainings") as caught:
        store.pull_record(toy)
    assert "\n" not in str(caught.value)
    assert "make smoke" in str(caught.value)
    assert "make retrain" in str(caught.value)


def test_real_people_and_others_weights_stay_out_of_the_repository(config):
    store._check_publishable(config)
    own = config.model_copy(deep=True)
    own.protocols["b"].test.subsets["ffhq"] = Subset(source="portraits")
    weights = config.model_copy(deep=True)
    weights.runs["b1"] = config.runs["b1"].model_copy(update={"weights": "x.pth"})
    prior = config.model_copy(
        update={"prior": config.prior.model_copy(update={"vggface": "VGGFace16.pth"})}
    )
    for changed, said in (
        (own, r"portraits: photographs of real people"),
        (weights, r"runs\.b1\.weights: others' weights"),
        (prior, r"prior\.vggface: others' weights"),
    ):
        with pytest.raises(UserError, match=said):
            store._check_publishable(changed)


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """A project of the smoke profile whose lock says that b1 was trained, and how."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "dfpg.commands.doctor.forecast.forecast_trainings", lambda *_: (600.0, 1200.0)
    )
    use_profile("smoke", Path("params.yaml"))
    code = describe_code(store.load_config())["train/b1.json"]
    digest = hashlib.md5(code.encode()).hexdigest()
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
