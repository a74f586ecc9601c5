"""Bad input ends in one line on stderr and exit code 2, and loses nothing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from functools import partial
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import pytest
import torch
from helpers.commands import run_commands, use_assets, use_kernels
from helpers.kernels import kernels_folder
from helpers.places import ROOT, SHARED
from helpers.released import dmphn_files
from safetensors.numpy import save_file
from torch.nn import functional as F  # noqa: N812

from dfpg.core.config import load_config
from dfpg.core.profile import use_profile
from dfpg.data.blur.degrade import blur
from dfpg.data.faces.dataset import load_faces
from dfpg.methods.registry import build_restorer
from dfpg.methods.weights import read_card
from dfpg.methods.zhang2019 import Generator

GOPRO = SHARED / "weights" / "dmphn_gopro"


@pytest.fixture
def project(tmp_path) -> Path:
    """A folder with params.yaml (smoke) and the asset folder, but no data."""
    use_profile("smoke", tmp_path / "params.yaml")
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "artifacts" / "assets").symlink_to(ROOT / "artifacts" / "assets")
    return tmp_path


def dfpg(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What a command leaves, of a process that has imported torch already."""
    assets = partial(use_assets, os.environ["DFPG_ASSETS"])
    with TemporaryDirectory() as log:
        (said,) = run_commands(folder, [arguments], Path(log), assets)
    return subprocess.CompletedProcess(arguments, said.code, said.output, said.error)


def dfpg_process(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What a command leaves, of a process as a user starts it."""
    return subprocess.run(
        [sys.executable, "-m", "dfpg", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )


def refused(result: subprocess.CompletedProcess[str]) -> str:
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith("dfpg: ")]
    assert len(lines) == 1, result.stderr
    assert result.stderr.splitlines()[-1] == lines[0]
    return lines[0]


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("image_size: 32", "imagesize: 32", "image_size"),
        (
            "  dfpgnet:\n    width:",
            "  dfpgnet:\n    widht:",
            "unknown key widht; did you mean width",
        ),
        ("options: {variant: b2}", "options: {variant: b9}", "runs.b2.options.variant"),
        ("method: dfpgnet", "method: dfpgnett", "runs.dfpg_a.method"),
        ("source: embedded", "source: celeba", "protocols.a.source"),
    ],
)
def test_mistyped_parameter_is_named_with_its_path(project, old, new, named):
    replace(project / "params.yaml", old, new)
    assert named in refused(dfpg(project, "verify"))


def test_no_params_is_one_line(tmp_path):
    assert "run dfpg in the project's root" in refused(dfpg_process(tmp_path, "kernels"))


@pytest.mark.parametrize(
    "command",
    [("record", "check"), ("record", "carry"), ("record", "pages"), ("tables", "--show")],
    ids=" ".join,
)
def test_outside_of_a_project_no_command_advises_a_training(tmp_path, command):
    line = refused(dfpg(tmp_path, *command))
    assert line == "dfpg: params.yaml: no such file; run dfpg in the project's root"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("command", "fault"),
    [
        (("sheet", "x.txt"), "x.txt: name a file that ends in .png"),
        (("kernels", "--sheet", "nowhere/k.png"), "nowhere: no such folder"),
        (("parsing", "--sheet", "params.yaml/p.png"), "params.yaml: no such folder"),
        (("faces", "sheet", "--out", "artifacts"), "artifacts: name a file that ends in .png"),
        (("sheet", "x.png", "--beside", "theirs=."), "--beside: only with --blurred FOLDER"),
        (("sheet", "x.png", "--blurred", ".", "--run", "b1"), "--run: not with --blurred"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_where_a_picture_goes_is_looked_at_before_the_work(project, command, fault):
    before = set(project.rglob("*"))
    assert fault in refused(dfpg(project, *command))
    assert set(project.rglob("*")) == before


def test_missing_asset_says_how_to_get_it(project):
    (project / "artifacts" / "assets").unlink()
    shutil.copytree(ROOT / "data", project / "data")
    line = refused(dfpg(project, "verify"))
    assert "dfpg fetch" in line
    assert "DFPG_ASSETS" in line
    assert "SHA-256" in line


def test_unknown_run_lists_the_known_ones(project):
    for command in ("train", "evaluate", "robustness"):
        assert "dfpg_a" in refused(dfpg(project, command, "b7"))


def test_one_folder_is_no_set_of_seeds(project):
    assert "name two or more folders" in refused(dfpg(project, "seeds", "."))
    assert not (project / "results").exists()


def test_missing_input_of_a_stage_names_the_file(project):
    shutil.copytree(ROOT / "data", project / "data")
    assert "artifacts/kernels" in refused(dfpg(project, "train", "b1"))


def test_wrong_vggface_file_is_refused_and_the_old_prior_stays(project):
    shutil.copytree(ROOT / "data", project / "data")
    priors = project / "artifacts" / "priors"
    priors.mkdir()
    (priors / "card.json").write_text("old")
    save_file({}, project / "vgg.safetensors")
    replace(project / "params.yaml", "vggface: null", "vggface: vgg.safetensors")
    line = refused(dfpg(project, "priors"))
    assert "vgg.safetensors" in line
    assert "features.N.weight" in line
    assert (priors / "card.json").read_text() == "old"


def publish(project: Path, weights: Path, method: str = "zhang2019", width: int = 32) -> None:
    """Let the run ``b1`` take published weights."""
    (project / "data").symlink_to(ROOT / "data")
    text = (project / "params.yaml").read_text()
    line = next(line for line in text.splitlines() if line.startswith("  b1:"))
    options = f"{{width: {width}}}" if method == "zhang2019" else "{variant: b1}"
    run = f"protocol: b, images: 16, lr: 1.0e-4, lr_discriminator: 1.0e-5, options: {options}"
    replace(project / "params.yaml", line, f"  b1: {{method: {method}, {run}, weights: {weights}}}")


def test_published_weights_are_taken_instead_of_training(project, tmp_path):
    published = project / "published"
    published.mkdir()
    dmphn_files(published, Generator(32))
    publish(project, Path("published"))
    made = kernels_folder(load_config(project / "params.yaml"))
    prepare = partial(use_kernels, os.environ["DFPG_ASSETS"], made)  # of which it takes seconds
    (said,) = run_commands(project, [["kernels"]], tmp_path / "log", prepare)
    assert said.code == 0, said.error
    result = dfpg(project, "train", "b1")
    assert result.returncode == 0, result.stderr
    card = read_card(project / "artifacts" / "weights" / "b1.safetensors")
    assert (card.method, card.steps, card.image_size) == ("zhang2019", 0, 32)
    assert card.official in result.stdout
    header, row = (project / "artifacts" / "history" / "b1.csv").read_text().splitlines()
    names = ("gain", "gain_se", "unblurred_psnr", "people")
    assert header == ",".join(["step", "lr", *(f"validation_{name}" for name in names)])
    assert row.startswith("0,0,")
    cost = json.loads((project / "artifacts" / "cost" / "b1.json").read_text())
    assert cost["seconds"] == 0
    assert not (project / "scratch").exists()


@pytest.mark.skipif(not GOPRO.is_dir(), reason="needs the released GoPro weights of DMPHN")
def test_the_released_weights_deblur_a_face_after_train(project):
    publish(project, GOPRO)
    assert dfpg(project, "kernels").returncode == 0
    assert dfpg(project, "train", "b1").returncode == 0
    weights = project / "artifacts" / "weights" / "b1.safetensors"
    method = build_restorer(weights, torch.device("cpu"))
    picture = torch.from_numpy(load_faces("embedded", "test").pictures[:1].copy())
    sharp = F.interpolate(picture.permute(0, 3, 1, 2) / 127.5 - 1, size=160, mode="area")
    motion = torch.zeros(1, 13, 13)
    motion[0, 6, 2:11] = 1 / 9  # horizontal, 9 px
    blurred = blur(sharp, motion)
    before, after = (
        -10 * torch.log10((x - sharp).square().mean() / 4)
        for x in (blurred, method.restore(blurred))
    )
    assert after - before > 2  # dB


@pytest.mark.parametrize(
    ("method", "width", "message"),
    [
        ("zhang2019", 32, "encoder_lv1.pkl: damaged, or no PyTorch weights"),
        ("dfpgnet", 32, "published: is a folder; accepted: a state dict of the generator class"),
    ],
)
def test_published_weights_that_do_not_fit_are_refused(project, method, width, message):
    published = project / "published"
    published.mkdir()
    (published / "encoder_lv1.pkl").write_text("not weights")
    publish(project, published, method, width)
    assert message in refused(dfpg(project, "train", "b1"))
    assert not (project / "artifacts" / "weights").exists()
    assert not (project / "artifacts" / "history").exists()


def test_a_check_of_weights_that_are_none_is_one_line(project):
    (project / "net.pth").write_text("not weights")
    line = refused(dfpg(project, "weights", "check", "nafnet", "net.pth"))
    assert "net.pth: damaged, or no PyTorch weights" in line
    assert "accepted: NAFNet-GoPro-width32.pth" in line


def test_official_profile_without_weights_says_how_to_name_them(project):
    before = (project / "params.yaml").read_text()
    line = refused(dfpg(project, "profile", "use", "official"))
    assert "no weights are named: give --weights RUN=FILE" in line
    assert (project / "params.yaml").read_text() == before


def test_tables_without_scores_leave_the_old_results(project):
    (project / "results").mkdir()
    (project / "results" / "table1.csv").write_text("old")
    refused(dfpg(project, "tables"))
    assert (project / "results" / "table1.csv").read_text() == "old"


@pytest.mark.slow
def test_methods_prints_the_table_and_writes_it(project):
    result = dfpg(project, "methods", "--csv", "methods.csv")
    assert result.returncode == 0, result.stderr
    assert "| dfpgnet | DFPGnet |" in result.stdout
    table = pd.read_csv(project / "methods.csv").set_index("method")
    assert float(table.loc["dfpgnet", "full_gmacs"]) == pytest.approx(95.2, abs=0.05)


def test_tables_are_shown_by_a_terminal_with_few_letters(project):
    """Case 14: `PYTHONIOENCODING=cp1252 dfpg tables --show`."""
    (project / "results").symlink_to(ROOT / "results")
    result = subprocess.run(
        [sys.executable, "-m", "dfpg", "tables", "--show"],
        cwd=project,
        capture_output=True,
        encoding="cp1252",
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "cp1252"},
    )
    assert result.returncode == 0, result.stderr
    assert "| PSNR (dB) ^ | SSIM ^ | d_VGG v |" in result.stdout


def test_a_name_that_is_no_utf8_is_one_line_in_every_command_of_faces(project, tmp_path):
    folder = tmp_path / "portraits"
    folder.mkdir()
    shutil.copy(ROOT / "data" / "faces" / "p00000_0.jpg", os.fsencode(folder) + b"/\xff\x1b[2J.jpg")
    use_profile("smoke", project / "params.yaml", [f"portraits=folder:{folder}"])
    replace(project / "params.yaml", "source: embedded", "source: portraits")
    shown = rf"{folder}/\xff\x1b[2J.jpg: its name is not UTF-8: rename it"
    assert shown in refused(dfpg(project, "faces", "prepare"))
    checked = dfpg(project, "data", "check")
    assert checked.returncode == 1
    assert f"portraits: {shown}" in checked.stdout
    assert "\x1b" not in checked.stdout + checked.stderr


NO_HOME = """
import json, pwd, sys
def unknown(_):
    raise KeyError("uid not found")
pwd.getpwuid = unknown
from dfpg.cli import main
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["dfpg", *arguments]
    try:
        main()
    except SystemExit as error:
        if error.code:
            raise
"""


def test_a_user_without_a_home_gets_no_traceback(project):
    """As in containers that run under any number: no HOME, and no entry for the user."""
    sharp = project / "sharp"
    sharp.mkdir()
    shutil.copy(ROOT / "data" / "faces" / "p00000_0.jpg", sharp)
    environment = {name: value for name, value in os.environ.items() if name != "HOME"}
    score = ["score", "--restored", str(sharp), "--sharp", str(sharp)]
    commands = [["data", "check"], ["profile", "use", "smoke"], score]
    result = subprocess.run(
        [sys.executable, "-c", NO_HOME, json.dumps(commands)],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
        env={**environment, "PYTHONPATH": str(ROOT)},
    )
    assert result.returncode == 0, result.stderr
    assert "PSNR" in result.stdout.upper()  # of the last command


WARNS = """
import warnings
from dfpg import cli
cli.app = lambda: warnings.warn("a library's own words")
cli.main()
"""


@pytest.mark.parametrize(("options", "shown"), [([], False), (["-W", "default"], True)])
def test_warnings_of_libraries_are_shown_where_they_are_asked_for(options, shown):
    """Pillow warns of pictures of 99 million pixels, for which the suite has its own line."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"}
    done = subprocess.run(
        [sys.executable, *options, "-c", WARNS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    assert ("a library's own words" in done.stderr) == shown
    assert shown or not done.stderr


def test_the_version_is_said(tmp_path):
    said = dfpg_process(tmp_path, "--version")
    assert said.stdout == f"dfpg-bench {metadata.version('dfpg-bench')}\n"
    assert dfpg_process(tmp_path).stderr.startswith("Usage: ")


def test_on_a_wide_terminal_help_says_each_command_in_full():
    said = subprocess.run(
        [sys.executable, "-m", "dfpg", "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COLUMNS": "120"},
    ).stdout
    assert "  score        Score anyone's restored images by every convention" in said
    commands = said.split("Commands:")[1].splitlines()
    assert [line for line in commands if line.endswith("...")] == []
