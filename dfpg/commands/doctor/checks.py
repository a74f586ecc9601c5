"""What `make repro` needs, examined one by one: machine, packages, tools, assets, data, sources."""

from __future__ import annotations

import os
import shlex
import shutil
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil
from packaging.requirements import Requirement

from dfpg.core.config import PARAMS, Config, load_config
from dfpg.core.errors import UserError, error_line
from dfpg.stages.environment import FOREIGN_OWNER, why_no_commit

PROJECT = "dfpg-bench"
CONSTRAINTS = Path("constraints.txt")
MEMORY_GB = 2.0  # training b5 in the embedded profile took 1.3
DISK_GB = 2.0  # the embedded profile's artifacts and DVC's cache
GB = 1e9


@dataclass(frozen=True)
class Machine:
    """Facts about the machine; sizes in GB (1e9 bytes), ``load`` the mean over a minute.

    ``cores`` are those that this process may use. ``accelerator`` is None where there is only the
    CPU. ``device``, ``precision`` and ``threads`` are what a training would use; None where torch
    does not load.
    """

    cores: int
    processor: str
    memory_gb: float
    memory_free_gb: float
    disk_free_gb: float
    load: float
    accelerator: str | None = None
    bf16_native: bool | None = None
    device: str | None = None
    precision: str | None = None
    threads: int | None = None


@dataclass(frozen=True)
class Problem:
    """Why `make repro` cannot run now, and the command or act that helps."""

    text: str
    todo: str


def describe_machine(requested: Any = "auto") -> Machine:
    """Look at the machine; ``requested`` is ``training.precision``."""
    memory = psutil.virtual_memory()
    compute: dict[str, Any] = {}
    processor = "unknown"
    try:
        import torch

        from dfpg.core.device import _cpu_name, describe_device, resolve_precision
    except ImportError:  # reported with the packages
        pass
    else:
        processor = _cpu_name()
        facts = describe_device(requested)
        device = str(facts["device"])
        compute = {
            "accelerator": None if device == "cpu" else str(facts["device_name"]),
            "bf16_native": resolve_precision("auto", torch.device(device)) == "bf16",
            "device": device,
            "precision": facts["precision"],
            "threads": facts["threads"],
        }
    affinity = getattr(os, "sched_getaffinity", None)
    return Machine(
        cores=len(affinity(0)) if affinity else os.cpu_count() or 1,
        processor=processor,
        memory_gb=round(memory.total / GB, 1),
        memory_free_gb=round(memory.available / GB, 1),
        disk_free_gb=round(shutil.disk_usage(Path()).free / GB, 1),
        load=round(psutil.getloadavg()[0], 1),
        **compute,
    )


def check_packages(
    constraints: Path = CONSTRAINTS,
) -> tuple[dict[str, Any], list[Problem]]:
    """Installed versions against the pins; a requirement that is not met is a problem.

    A local version (``2.13.0+cpu``) counts as its public one.
    """
    pins = dict(line.split("==") for line in read_lines(constraints) if "==" in line)
    found = {name: installed_version(name) for name in pins}
    other = {
        name: {"installed": version, "pinned": pins[name]}
        for name, version in found.items()
        if version and version.partition("+")[0] != pins[name]
    }
    absent = [name for name, version in found.items() if version is None]
    unmet = []
    for requirement in requirements():
        version = installed_version(requirement.name)
        if version is None or not requirement.specifier.contains(version, prereleases=True):
            unmet.append(f"{requirement.name} {version or 'is missing'}")
    todo = "make setup (delete .venv/.installed first if it does nothing)"
    problems = [Problem(f"packages: {', '.join(unmet)}", todo)] if unmet else []
    return {"pinned": len(pins), "other": other, "absent": absent}, problems


def requirements() -> list[Requirement]:
    """What the pipeline needs to run: the package with its extra ``repro``."""
    try:
        lines = metadata.requires(PROJECT) or []
    except metadata.PackageNotFoundError:
        return [Requirement(PROJECT)]
    needed = map(Requirement, lines)
    return [r for r in needed if r.marker is None or r.marker.evaluate({"extra": "repro"})]


def installed_version(name: str) -> str | None:
    """Version of an installed package."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def check_machine(machine: Machine) -> list[Problem]:
    """Too little memory or disk for the embedded profile."""
    problems = []
    if machine.memory_gb < MEMORY_GB:
        text = f"memory: {machine.memory_gb:g} GB, a training needs {MEMORY_GB:g}"
        problems.append(Problem(text, f"use a machine with at least {MEMORY_GB:g} GB of memory"))
    if machine.disk_free_gb < DISK_GB:
        text = f"disk: {machine.disk_free_gb:g} GB free, artifacts and cache need {DISK_GB:g}"
        problems.append(Problem(text, f"free {DISK_GB:g} GB of disk"))
    return problems


def check_tools(root: Path = Path()) -> list[Problem]:
    """No make, or no git repository where DVC expects one."""
    problems = []
    if shutil.which("make") is None:
        problems.append(Problem("make: not found", "install make"))
    folder = root.resolve()
    in_git = any((parent / ".git").exists() for parent in (folder, *folder.parents))
    settings = [root / ".dvc" / name for name in ("config", "config.local")]
    if not in_git and not any("no_scm = true" in line for p in settings for line in read_lines(p)):
        text = "git: this folder is in no repository, and DVC expects one"
        problems.append(Problem(text, "dvc config core.no_scm true"))
    if in_git and shutil.which("git") and why_no_commit(root) == FOREIGN_OWNER:
        todo = f"git config --global --add safe.directory {shlex.quote(str(folder))}"
        problems.append(Problem(f"git: {FOREIGN_OWNER}", todo))
    return problems


def check_libraries() -> list[Problem]:
    """Libraries of the system that a wheel wants."""
    try:
        import cv2  # noqa: F401
    except ImportError as error:
        line = error_line(error) or f"OpenCV does not load: {error}"
        return [Problem(line, "install what the line above names")]
    return []


def check_assets() -> tuple[dict[str, str], list[Problem]]:
    """State of every pinned asset, by size and SHA-256; optional ones are no problem."""
    from dfpg.pretrained.assets.download import matches
    from dfpg.pretrained.assets.store import FOLDER
    from dfpg.pretrained.assets.table import ASSETS

    states = {}
    for name, asset in ASSETS.items():
        paths = [FOLDER / file.path for file in asset.files]
        if not all(path.is_file() for path in paths):
            states[name] = "missing"
        elif all(matches(FOLDER / f.path, f.size, f.sha256) for f in asset.files):
            states[name] = "present"
        else:
            states[name] = "changed"
    bad = [
        f"{name} {state}"
        for name, state in states.items()
        if state != "present" and not ASSETS[name].optional
    ]
    return states, [Problem(f"assets: {', '.join(bad)}", "dfpg fetch")] if bad else []


def check_data() -> tuple[str, list[Problem]]:
    """State of the embedded faces."""
    from dfpg.stages.verify import verify_data

    try:
        return f"{verify_data()} files, SHA-256 as pinned", []
    except UserError as error:
        return str(error), [Problem(str(error), "git checkout -- data")]


def check_sources(config: Config) -> tuple[dict[str, str], list[Problem]]:
    """The user's own folders and files: state by parameter, and the profile's that are absent."""
    from dfpg.core.config import sources
    from dfpg.data.faces.dataset import JOIN

    used = {name for source in sources(config).values() for name in source.split(JOIN)}
    named = {f"faces.{name}.path": source.path for name, source in config.faces.items()}
    needed = {f"faces.{name}.path" for name in used}
    pairs, embedder = config.recognition.published_pairs, config.recognition.embedder
    optional = {
        "prior.vggface": config.prior.vggface,
        "recognition.embedder": embedder if embedder and embedder.endswith(".onnx") else None,
        "recognition.lfw": config.recognition.lfw,
        "recognition.published_pairs.lists": pairs.lists if pairs else None,
        "recognition.published_pairs.pictures": pairs.pictures if pairs else None,
        **{f"runs.{name}.weights": run.weights for name, run in config.runs.items()},
    }
    states, problems = {}, []
    for key, path in (named | {k: p for k, p in optional.items() if p is not None}).items():
        here = path is not None and Path(path).exists()
        states[key] = "not given" if path is None else f"{path}: {'there' if here else 'missing'}"
        if not here and (key in needed or key in optional):
            problems.append(Problem(f"{PARAMS}: {key}: {states[key]}", f"correct {key}"))
    return states, problems


def check_parameters() -> tuple[Config | None, list[Problem]]:
    """``params.yaml`` with every run's options, or what is wrong with it."""
    from dfpg.methods.registry import run_options

    try:
        config = load_config()
        for run in config.runs:
            run_options(config, run)
    except UserError as error:
        todo = f"correct {PARAMS}, or `dfpg profile use embedded`"
        return None, [Problem(str(error), todo)]
    return config, []


def read_lines(path: Path) -> list[str]:
    """Lines of a text file; none where there is no file."""
    return path.read_text().splitlines() if path.is_file() else []
