"""The table of methods, and how a run's block of params.yaml becomes one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from dfpg.core.config import PARAMS, Config, Frozen, validation_message
from dfpg.core.errors import UserError
from dfpg.core.seeds import derive_seed
from dfpg.methods.base import Method, PriorFeatures, Setting, load_weights, read_card
from dfpg.methods.dfpgnet import DFPGNet
from dfpg.methods.lee2020 import Lee2020
from dfpg.methods.li2020 import Li2020
from dfpg.methods.lu2019 import Lu2019
from dfpg.methods.nafnet import NAFNet
from dfpg.methods.restormer import Restormer
from dfpg.methods.shen2018 import Shen2018
from dfpg.methods.wang2021 import Wang2021
from dfpg.methods.xia2019 import Xia2019
from dfpg.methods.yasarla2020 import Yasarla2020
from dfpg.methods.zhang2019 import Zhang2019
from dfpg.pretrained.vggface import prior_taps


@dataclass(frozen=True)
class MethodEntry:
    """One compared system: its class, its name, and the paper it comes from.

    ``weights`` says under which licence its authors published trained weights (their
    repository's), and whether a run's ``weights`` can name them.
    """

    method: type[Method]
    title: str
    paper: str
    year: int
    weights: str


METHODS: dict[str, MethodEntry] = {
    "dfpgnet": MethodEntry(DFPGNet, "DFPGnet", "Jung et al., WACV", 2022, "none published; read"),
    "lee2020": MethodEntry(
        Lee2020, "MSPL-GAN", "Lee et al., IEEE Access", 2020, "no licence stated; read"
    ),
    "li2020": MethodEntry(
        Li2020, "DFDNet", "Li et al., ECCV", 2020, "CC BY-NC-SA 4.0; not read: other networks"
    ),
    "lu2019": MethodEntry(Lu2019, "UID-GAN", "Lu et al., CVPR", 2019, "no licence stated; read"),
    "nafnet": MethodEntry(NAFNet, "NAFNet", "Chen et al., ECCV", 2022, "MIT; read"),
    "restormer": MethodEntry(
        Restormer, "Restormer", "Zamir et al., CVPR", 2022, "the repository's own licence; read"
    ),
    "shen2018": MethodEntry(
        Shen2018, "Deep semantic deblurring", "Shen et al., CVPR", 2018, "no licence stated; read"
    ),
    "wang2021": MethodEntry(
        Wang2021, "GFPGAN", "Wang et al., CVPR", 2021, "Apache-2.0; v1.2 to v1.4 are read"
    ),
    "xia2019": MethodEntry(
        Xia2019,
        "Unsupervised pairs",
        "Xia and Chakrabarti, NeurIPS",
        2019,
        "no licence stated; read",
    ),
    "yasarla2020": MethodEntry(Yasarla2020, "UMSN", "Yasarla et al., TIP", 2020, "MIT; read"),
    "zhang2019": MethodEntry(
        Zhang2019, "DMPHN 1-2-4", "Zhang et al., CVPR", 2019, "no licence stated; GoPro's are read"
    ),
}


def run_options(config: Config, run_name: str) -> Frozen:
    """Options of a run: its method's block, overridden by the run's own ``options``.

    Raises:
        UserError: no such run or method; an option that is unknown, missing or out of range.
    """
    if run_name not in config.runs:
        raise UserError(f"{PARAMS}: runs.{run_name}: no such run; there are {_list(config.runs)}")
    run = config.runs[run_name]
    entry = _entry(run.method, f"{PARAMS}: runs.{run_name}.method")
    shared = config.methods.get(run.method, {})
    try:
        return entry.method.Options.model_validate(shared | run.options)
    except ValidationError as error:
        own = error.errors()[0]["loc"][:1] in [(key,) for key in run.options]
        section = f"runs.{run_name}.options" if own else f"methods.{run.method}"
        message = validation_message(section, error).replace(": ", ".", 1)
        raise UserError(f"{PARAMS}: {message}") from error


def needs_prior(config: Config, run_name: str) -> bool:
    """Whether training the run uses the prior network."""
    options = run_options(config, run_name)
    return METHODS[config.runs[run_name].method].method.needs_prior(options)


def build_method(config: Config, run_name: str, prior: PriorFeatures | None) -> Method:
    """The untrained method of a run, on the CPU; equal configurations give equal weights.

    Args:
        config: the whole of params.yaml.
        run_name: key in ``runs``.
        prior: the prior network if :func:`needs_prior` says so.

    Raises:
        UserError: as :func:`run_options`.
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
    return _construct(name, options, setting)


def build_restorer(weights: Path, device: torch.device) -> Method:
    """A trained method from its weights file alone, ready for ``restore``.

    Raises:
        UserError: not readable, not of this suite, or its method or options are unknown here.
    """
    card = read_card(weights)
    entry = _entry(card.method, str(weights))
    try:
        options = entry.method.Options.model_validate(card.options)
    except ValidationError as error:
        raise UserError(validation_message(weights, error)) from error
    setting = Setting(card.image_size, 0, prior=None, prior_taps=(), prior_input="canonical")
    method = _construct(card.method, options, setting)
    load_weights(weights, method)
    return method.to(device).train(False)


def _construct(name: str, options: Frozen, setting: Setting) -> Method:
    # PyTorch's layers draw from the global stream when constructed; it is put back as it was.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(setting.seed, "construct"))
        return METHODS[name].method(name, options, setting)


def _entry(name: str, where: str) -> MethodEntry:
    if name not in METHODS:
        raise UserError(f"{where}: unknown method {name!r}; there are {_list(METHODS)}")
    return METHODS[name]


def _list(names: dict[str, Any]) -> str:
    return ", ".join(sorted(names))
