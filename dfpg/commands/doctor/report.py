"""``dfpg doctor``: what this machine is, what is installed and there, what a profile costs here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from dfpg.commands.doctor.checks import (
    Machine,
    Problem,
    check_assets,
    check_data,
    check_libraries,
    check_machine,
    check_packages,
    check_parameters,
    check_sources,
    check_tools,
    describe_machine,
)

if TYPE_CHECKING:
    from dfpg.commands.doctor.forecast import Forecast, Probe

HOW = (
    "Recorded times (dfpg/commands/doctor/recorded.csv), scaled by what these runs took here on "
    "random images",
    "(on a CPU: processor time of one thread, which other work changes little):",
)


@dataclass(frozen=True)
class Report:
    """Everything that ``dfpg doctor`` says.

    Attributes:
        machine: facts.
        packages: ``pinned`` (number), ``other`` (name -> installed and pinned version), ``absent``.
        assets: name -> present, changed or missing.
        data: state of ``data/``.
        sources: the user's own files by the parameter that names them.
        profile: of params.yaml; None if it is not valid.
        forecasts: estimated cost of every profile.
        problems: what stops `make repro`.
    """

    machine: Machine
    packages: dict[str, Any]
    assets: dict[str, str]
    data: str
    sources: dict[str, str]
    profile: str | None
    forecasts: Sequence[Forecast] = ()
    problems: Sequence[Problem] = field(default_factory=list)

    @property
    def ready(self) -> bool:
        """Whether `make repro` could run now, without a network."""
        return not self.problems

    @property
    def next(self) -> str:
        """What to do next, one line."""
        return self.problems[0].todo if self.problems else "make repro"

    def record(self) -> dict[str, Any]:
        """For ``--json``."""
        return {"ready": self.ready, "next": self.next, **asdict(self)}


def diagnose(machine: Machine | None = None, measure: bool = True) -> Report:
    """Examine the project in the working directory.

    Args:
        machine: facts to take; None: those of this machine.
        measure: time training steps, which takes about ten seconds on an idle machine.
    """
    packages, problems = check_packages()
    usable = not problems  # without its packages the project's own modules do not load
    config = None
    assets: dict[str, str] = {}
    sources: dict[str, str] = {}
    forecasts: Sequence[Forecast] = ()
    if usable:
        config, found = check_parameters()
        problems += found
        assets, found = check_assets()
        problems += found
    if config:
        sources, found = check_sources(config)
        problems += found
    machine = machine or describe_machine(config.training.precision if config else "auto")
    data, found = check_data()
    problems += [*found, *check_tools(), *check_libraries(), *check_machine(machine)]
    if measure and usable:
        from dfpg.commands.doctor.forecast import forecast_profiles

        forecasts = forecast_profiles()
    profile = config.profile if config else None
    return Report(machine, packages, assets, data, sources, profile, forecasts, problems)


def render(report: Report) -> str:
    """The report as aligned lines."""
    lines = [
        *_section("machine", _machine(report.machine)),
        *_section("compute", [_compute(report.machine)]),
        *_section("packages", _packages(report.packages)),
        *_section("assets", [f"{name}: {state}" for name, state in report.assets.items()]),
        *_section("data", [report.data]),
        *_section("sources", [f"{key}: {state}" for key, state in report.sources.items()]),
        *_section("profile", [report.profile or "params.yaml is not valid"]),
        *_section("cost", _costs(report)),
        *_section("problems", [problem.text for problem in report.problems] or ["none"]),
        *_section("next", [report.next]),
    ]
    return "\n".join(lines)


def format_duration(seconds: float) -> str:
    """Two digits in the largest fitting unit: ``35 s``, ``12 min``, ``3.4 h``, ``9.1 years``."""
    for unit, size in (("years", 31557600), ("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 1.5 * size:
            value = seconds / size
            return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"
    return f"{seconds:.0f} s"


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return [f"{title if not n else '':<10}{line}" for n, line in enumerate(lines)]


def _machine(machine: Machine) -> list[str]:
    lines = [
        f"{machine.cores} cores, {machine.processor}",
        f"{machine.memory_gb:g} GB memory ({machine.memory_free_gb:g} free), "
        f"{machine.disk_free_gb:g} GB disk free",
        f"accelerator: {machine.accelerator or 'none'}",
    ]
    if machine.load > machine.cores / 2:
        lines.append(f"busy: load {machine.load:g}; the costs below are those of an idle one")
    return lines


def _compute(machine: Machine) -> str:
    if machine.device is None:
        return "unknown: torch does not load"
    native = "native" if machine.bf16_native else "not native"
    return (
        f"{machine.device}, {machine.precision}, {machine.threads} threads; bf16 is {native} here"
    )


def _packages(packages: dict[str, Any]) -> list[str]:
    other, absent = packages["other"], packages["absent"]
    same = packages["pinned"] - len(other) - len(absent)
    lines = [f"{same} of {packages['pinned']} as in constraints.txt"]
    if other:
        changed = [f"{name} {v['installed']} ({v['pinned']})" for name, v in other.items()]
        lines.append(f"other versions (pinned): {', '.join(changed)}")
    if absent:
        lines.append(f"not installed: {', '.join(absent)}")
    return lines


def _costs(report: Report) -> list[str]:
    if not report.forecasts:
        return ["not measured"]
    probes = dict.fromkeys(probe for forecast in report.forecasts for probe in forecast.measured)
    return [*map(_forecast, report.forecasts), *HOW, *map(_probe, probes)]


def _forecast(forecast: Forecast) -> str:
    scope = "the whole pipeline" if forecast.whole else "trainings alone"
    side = f", {forecast.jobs} runs side by side" if forecast.jobs > 1 else ""
    low, high = format_duration(forecast.low), format_duration(forecast.high)
    return f"{forecast.profile}: {low} to {high}, {scope}{side}"


def _probe(probe: Probe) -> str:
    return (
        f"  {probe.run} at {probe.image_size} px: {probe.seconds:.2g} s a step of {probe.images} "
        f"(fastest of {probe.steps}), {probe.slowdown:.2g} times the recorded"
    )
