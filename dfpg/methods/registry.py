"""Methods by name: find a class, read a run's options, build the run's method."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from dfpg.core.config import (
    PARAMS,
    Config,
    Frozen,
    first_problem,
    key_path,
    validation_message,
)
from dfpg.core.errors import UserError, within_memory
from dfpg.core.paths import PRIORS
from dfpg.core.renamed import renamed_hook, renamed_import
from dfpg.core.seeds import derive_seed
from dfpg.methods.base import Method, PriorFeatures, Setting
from dfpg.methods.names import check_name
from dfpg.methods.weights import load_weights, read_card
from dfpg.pretrained.vggface import load_prior, prior_taps

REQUIRED = ("system", "contract", "Options", "multiple")  # of a method's class


def method_class(name: str, where: str = PARAMS.name) -> type[Method]:
    """The class of a method. Only its module is imported, and only now.

    Args:
        name: ``dfpg/methods/<name>.py`` defines it.
        where: the place that names it, for the message.

    Raises:
        UserError: there is no such file, it does not define exactly one complete method, or it uses
            a name of an earlier version.
    """
    check_name(name, where)
    try:
        module = import_module(f"dfpg.methods.{name}")
    except ImportError as error:
        if line := renamed_import(error):
            raise UserError(f"dfpg/methods/{name}.py: {line}") from error
        raise
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, Method)
        and value.__module__ == module.__name__
    ]
    if len(found) != 1:
        classes = ", ".join(sorted(value.__name__ for value in found))
        raise UserError(
            f"dfpg/methods/{name}.py: it must define one subclass of Method, and defines {classes}"
        )
    lacks = [key for key in REQUIRED if not hasattr(found[0], key)]
    if lacks := lacks + sorted(found[0].__abstractmethods__):
        raise UserError(
            f"dfpg/methods/{name}.py: {found[0].__name__} lacks {', '.join(lacks)}: "
            "see docs/add_a_method.md"
        )
    if line := renamed_hook(found[0]):
        raise UserError(f"dfpg/methods/{name}.py: {line}")
    return found[0]


def run_options(config: Config, run_name: str) -> Frozen:
    """Options of a run: its method's block, overridden by the run's own ``options``.

    Raises:
        UserError: no such run or method; an option that is unknown, missing or out of range.
    """
    if run_name not in config.runs:
        raise UserError(
            f"{PARAMS}: runs.{run_name}: no such run; there are {_join_names(config.runs)}"
        )
    run = config.runs[run_name]
    method_type = method_class(run.method, f"{PARAMS}: runs.{run_name}.method")
    shared = config.methods.get(run.method, {})
    try:
        return method_type.Options.model_validate(shared | run.options)
    except ValidationError as error:
        place, text = first_problem(error)
        own = place[:1] in [(key,) for key in run.options]
        section = ("runs", run_name, "options") if own else ("methods", run.method)
        whose = "" if own else f" (for runs.{run_name})"
        raise UserError(f"{PARAMS}: {key_path((*section, *place))}: {text}{whose}") from error


def check_options(config: Config) -> None:
    """Check the options of every run, and that every block of ``methods`` belongs to a method.

    Raises:
        UserError: as :func:`run_options`, or a block's name is unknown.
    """
    for name in config.methods:
        method_class(name, f"{PARAMS}: methods.{name}")
    for run_name in config.runs:
        run_options(config, run_name)


def needs_prior(config: Config, run_name: str) -> bool:
    """Whether training the run uses the prior network."""
    options = run_options(config, run_name)
    return method_class(config.runs[run_name].method).needs_prior(options)


@within_memory("the method's width and depth or image_size")
def build_method(config: Config, run_name: str, prior: PriorFeatures | None) -> Method:
    """The untrained method of a run, on the CPU; equal configurations give equal weights.

    Args:
        config: the whole of params.yaml.
        run_name: key in ``runs``.
        prior: the prior network, where :func:`needs_prior` is true.

    Raises:
        UserError: as :func:`run_options`; or the networks cannot take images of this size.
    """
    options = run_options(config, run_name)
    name = config.runs[run_name].method
    setting = Setting(
        image_size=config.image_size,
        seed=config.seed,
        prior=prior,
        prior_taps=tuple(prior_taps(config.prior)),
        prior_input=config.prior.input,
    )
    method = _construct(name, options, setting)
    if config.runs[run_name].weights is None and config.image_size % method.multiple:
        raise UserError(
            f"{PARAMS}: image_size: {config.image_size} px is no multiple of {method.multiple}, "
            f"without which {name} cannot be trained (runs.{run_name})"
        )
    return method


def build_restorer(weights: Path, device: torch.device, priors: Path = PRIORS) -> Method:
    """A trained method from its weights file, ready for ``restore``.

    Args:
        weights: what :func:`dfpg.methods.weights.save_weights` wrote.
        device: where it restores.
        priors: folder of the prior network; read only where that is the method's encoder.

    Raises:
        UserError: the file cannot be read or is not of this suite; its method or options are
            unknown here; or its encoder is missing, or not the one that it was trained with.
    """
    card = read_card(weights)
    method_type = method_class(card.method, str(weights))
    try:
        stated = {**method_type.earlier_options, **card.options}
        options = method_type.Options.model_validate(stated)
    except ValidationError as error:
        raise UserError(validation_message(weights, error)) from error
    prior = None if method_type.encoder is None else load_prior(priors)
    setting = Setting(card.image_size, 0, prior=prior, prior_taps=(), prior_input="canonical")
    method = _construct(card.method, options, setting)
    load_weights(weights, method)
    return method.to(device).train(False)


def _construct(name: str, options: Frozen, setting: Setting) -> Method:
    # Layers draw from PyTorch's global generator when constructed; its state is restored after.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(setting.seed, "construct"))
        return method_class(name)(name, options, setting)


def _join_names(names: dict[str, Any]) -> str:
    return ", ".join(sorted(names))
