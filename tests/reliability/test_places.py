"""Places that refuse: every command says so in one line, with advice that fits the reason."""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import Said, obey_permissions, run_commands
from helpers.counts import count
from helpers.kernels import copy_kernels
from helpers.places import ROOT
from helpers.toy_scores import write_artifacts, write_submission
from PIL import Image
from ruamel.yaml import YAML

from dfpg.analysis.tables import build_tables
from dfpg.core.config import load_config
from dfpg.core.profile import use_profile
from dfpg.data.blur.kernels import load_kernels
from dfpg.data.faces.dataset import FaceSet
from dfpg.data.testsets import build_testset

COMMANDS = [
    ["verify"],
    ["profile", "list"],
    ["profile", "use", "smoke"],
    ["licences"],
    ["code"],
    ["kernels"],
    ["testsets", "a"],
    ["tables", "--show"],
    ["tables"],
    ["compare", "results", "results"],
    ["seeds", "one", "two"],
    ["publish", "record"],
    ["environment"],
    ["data", "check"],
    ["faces", "prepare"],
    ["faces", "sheet", "--out", "sheet.png"],
    ["testset", "export", "a", "out"],
    ["deblur", "in", "restored", "--aligned"],
    ["submit", "other", "--restored", "in", "--protocol", "a"],
    ["submit", "mynet", "--remove"],
    ["score", "--restored", "in", "--sharp", "in"],
    ["sheet", "sheet.png"],
    ["priors"],
    ["parsing"],
    ["train", "b1"],
    ["evaluate", "b1"],
    ["evaluate", "baselines"],
    ["robustness"],
    ["pictures"],
    ["report"],
]
QUICK = [
    ["verify"],
    ["profile", "use", "smoke"],
    ["kernels"],
    ["testsets", "a"],
    ["tables", "--show"],
    ["testset", "export", "a", "out"],
    ["deblur", "in", "restored", "--aligned"],
    ["data", "check"],
    ["train", "b1"],
    ["submit", "mynet", "--remove"],
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project (smoke, two runs) with kernels, test sets, invented scores and their tables."""
    folder = tmp_path_factory.mktemp("whole") / "project"
    folder.mkdir()
    use_profile("smoke", folder / "params.yaml")
    yaml = YAML()
    data = yaml.load(folder / "params.yaml")
    data["runs"] = {name: data["runs"][name] for name in ("dfpg_a", "b1")}
    yaml.dump(data, folder / "params.yaml")
    config = load_config(folder / "params.yaml")
    shutil.copytree(ROOT / "data", folder / "data", copy_function=os.symlink)
    artifacts = folder / "artifacts"
    artifacts.mkdir()
    write_artifacts(config, artifacts)
    write_submission(config, artifacts, folder / "submissions")
    copy_kernels(config, artifacts / "kernels")
    bank = load_kernels(artifacts / "kernels" / "trajectory.safetensors")
    rng = np.random.default_rng(0)
    faces = FaceSet(
        rng.integers(0, 256, (16, 40, 40, 3), np.uint8),
        tuple(f"p{number // 2}" for number in range(16)),
        tuple(f"{number}.jpg" for number in range(16)),
        np.zeros((16, 5, 2), np.float32),
    )
    build_testset(config, "a", bank, {"embedded": faces}, artifacts / "testsets" / "a")
    build_tables(config, artifacts, folder / "results")
    (folder / "in").mkdir()
    for name in ("a", "b"):
        Image.fromarray(faces.pictures[0]).save(folder / "in" / f"{name}.png")
    return folder


@dataclass(frozen=True)
class Place:
    """What is wrong with the project or the process, and what the lines may not advise."""

    change: Callable[[Path], None] = lambda _: None
    prepare: Callable[[], None] | None = obey_permissions
    output: Path | None = None
    never: tuple[str, ...] = ()
    quick: bool = False


def walk(folder: Path) -> Iterator[Path]:
    yield folder
    yield from (path for path in folder.rglob("*") if not path.is_symlink())


def read_only(folder: Path) -> None:
    for path in walk(folder):
        path.chmod(path.stat().st_mode & ~0o222)


def unreadable(*names: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        for name in names:
            (folder / name).chmod(0)

    return change


def files_in_the_way(folder: Path) -> None:
    for name in ("artifacts", "results", "submissions", "restored", "out"):
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).write_text("in the way")


def nobody() -> None:
    """A user without a home and without an entry in the table of users."""
    obey_permissions()
    for name in ("HOME", "USER", "LOGNAME", "USERNAME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        os.environ.pop(name, None)

    def unknown(number: object) -> None:
        raise KeyError(f"getpwuid(): uid not found: {number}")

    pwd.getpwuid = unknown  # type: ignore[assignment]
    pwd.getpwnam = unknown  # type: ignore[assignment]


def latin() -> None:
    os.environ["PYTHONIOENCODING"] = "latin-1"


def away() -> None:
    """The current folder was removed by somebody else."""
    folder = Path.cwd() / "gone"
    folder.mkdir()
    os.chdir(folder)
    folder.rmdir()


PLACES = {
    "read-only tree": Place(read_only, never=("free space",), quick=True),
    "unreadable params.yaml": Place(unreadable("params.yaml"), never=("free space",)),
    "unreadable kernels": Place(unreadable("artifacts/kernels"), never=("free space",)),
    "unreadable test sets": Place(
        unreadable("artifacts/testsets/a/blurred.zip", "artifacts/testsets/a"),
        never=("free space",),
    ),
    "unreadable faces": Place(unreadable("data/faces", "in"), never=("free space",)),
    "unreadable artifacts": Place(unreadable("artifacts"), never=("free space",)),
    "files in the way": Place(files_in_the_way, never=("free space",)),
    "no home, no user": Place(prepare=nobody),
    "full output": Place(output=Path("/dev/full")),
    "folder removed": Place(prepare=away),
    "Latin-1 terminal": Place(prepare=latin),
}


@pytest.fixture
def project(whole: Path, tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "project"
    shutil.copytree(whole, folder, symlinks=True)
    yield folder
    for path in [folder, *folder.rglob("*")]:  # so that pytest can clean up
        if path.is_dir():
            path.chmod(0o755)


def check(place: Place, said: list[Said]) -> None:
    bad = [f"{one.command}: {one.code}\n{one.error[-2000:]}" for one in said if one.traceback]
    assert not bad, "\n".join(bad)
    for one in said:
        lines = [line for line in one.error.splitlines() if line.startswith("dfpg: ")]
        if one.code == 2 and "Usage" not in one.error:
            assert len(lines) == 1, one
        for advice in place.never:
            assert advice not in one.error, one


@pytest.mark.parametrize("name", [name for name, place in PLACES.items() if place.quick])
def test_a_place_that_refuses_is_one_line(name: str, project: Path, tmp_path: Path) -> None:
    place = PLACES[name]
    place.change(project)
    said = run_commands(project, QUICK, tmp_path / "log", place.prepare, place.output)
    check(place, said)
    count(f"commands ({name})", len(said), f"{sum(s.code == 2 for s in said)} lines, 0 tracebacks")


@pytest.mark.slow
@pytest.mark.parametrize("name", list(PLACES))
def test_every_command_says_it_in_one_line(name: str, project: Path, tmp_path: Path) -> None:
    place = PLACES[name]
    place.change(project)
    said = run_commands(project, COMMANDS, tmp_path / "log", place.prepare, place.output)
    check(place, said)
    count(f"commands ({name})", len(said), f"{sum(s.code == 2 for s in said)} lines, 0 tracebacks")
