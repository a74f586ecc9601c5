"""``dfpg cluster run``: what is stale in ``dvc.yaml``, every run a task on some machine.

The nodes train and score into the project's folder, which they share. DVC runs on the driver's
machine alone: it makes what runs share, enters each run when it is finished, and makes the tables
and the report after them. So no lock of DVC is ever asked for by two machines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from dfpg.commands.cluster.attempt import Task
from dfpg.commands.cluster.tasks import connect, open_folder, run_tasks, share_of, variables
from dfpg.commands.dvc_calls import dvc, status
from dfpg.commands.dvc_stages import Stage, read_stages
from dfpg.commands.graph import COPY, SHARED, FailedError, keep_lock, mend, repro, stale_runs
from dfpg.commands.recording import enter_training
from dfpg.commands.side_by_side import Driver
from dfpg.core.config import PARAMS, Config, load_config
from dfpg.core.errors import UserError
from dfpg.stages.code import check_code


def cluster_run(
    config: Config, root: Path, runs: Sequence[str], address: str | None, cores: int, per_gpu: int
) -> str:
    """Train and score what is stale on all nodes of a Ray cluster; says what was done.

    Stopped or killed, it goes on where it was: run it again.

    Args:
        config: of ``params.yaml``.
        root: the project, on all nodes at the same place; it is the current folder.
        runs: keys of ``runs``; without any all, and the tables and the report after them.
        address: of a running cluster, see :func:`dfpg.commands.cluster.tasks.connect`; None: Ray is
            started on this machine.
        cores: runs at a time where Ray is started here and there is no GPU.
        per_gpu: runs at a time on a GPU.

    Raises:
        FailedError: a stage failed. The runs that do not need it were made.
        ModuleNotFoundError: Ray is not installed.
        StoppedError: SIGINT or SIGTERM; every training has saved a checkpoint.
        UserError: no such run; no such cluster; another one works in this project.
    """
    import ray

    for run in runs:
        if run not in config.runs:
            known = ", ".join(config.runs)
            raise UserError(f"{PARAMS}: runs.{run}: no such run; there are {known}")
    with Driver(root, "cluster") as driver:
        mend(root)
        if not status(root):
            return "nothing to do: everything is up to date"
        share = share_of(connect(address, cores), per_gpu)
        try:
            keep_lock(root)
            repro(driver, *SHARED)
            keep_lock(root)
            stale = [run for run in stale_runs(root) if not runs or run in runs]
            trains = {run: not _is_trained(config, root, run) for run in stale}
            tasks = plan(root.resolve(), trains, read_stages(root), open_folder(root))
            failed = run_tasks(
                driver, tasks, share, lambda run: _enter(config, root, run, trains[run])
            )
        finally:
            ray.shutdown()
        if failed:
            raise FailedError(f"cluster: {', '.join(failed)} failed: see above")
        if not runs:
            repro(driver)
        (root / COPY).unlink(missing_ok=True)
    return f"{len(stale)} runs made; " + (
        "everything is up to date" if not runs else "`dvc repro` makes what rests on them"
    )


def _is_trained(config: Config, root: Path, run: str) -> bool:
    """Whether a run's training is in ``dvc.lock``, perhaps entered just now.

    A driver that was killed leaves finished trainings that nobody entered.
    """
    if not any(name == f"train@{run}" for name in status(root)):
        return True
    try:
        enter_training(config, root, run)
    except UserError:
        return False
    return True


def plan(
    root: Path, trains: Mapping[str, bool], stages: Mapping[str, Stage], token: str
) -> list[Task]:
    """A task for each run, trained where it has to be and then scored.

    Args:
        root: the project, absolute.
        trains: whether to train, by run.
        stages: of ``dvc.yaml``.
        token: see :func:`dfpg.commands.cluster.tasks.open_folder`.
    """
    tasks = []
    for run, train in trains.items():
        made = ["train", "evaluate"] if train else ["evaluate"]
        commands = tuple(("-m", "dfpg", stage, run) for stage in made)
        outputs = tuple(path for stage in made for path in stages[f"{stage}@{run}"].outputs)
        tasks.append(Task(run, root, token, commands, outputs, variables()))
    return tasks


def _enter(config: Config, root: Path, run: str, trained: bool) -> None:
    """Take a run that is finished into ``dvc.lock``.

    Raises:
        UserError: code or parameters changed while it ran.
    """
    if load_config() != config:
        raise UserError(f"{PARAMS} changed while {run} ran: run again")
    for stage in (f"train@{run}", f"evaluate@{run}"):
        check_code(stage)
    if trained and config.runs[run].weights is None:
        enter_training(config, root, run)
    elif trained:
        dvc(root, "commit", "--quiet", "--force", f"train@{run}")
    dvc(root, "commit", "--quiet", "--force", f"evaluate@{run}")
    keep_lock(root)
