"""Choose the classical rows' parameters on validation people, and say what each choice gains."""

from __future__ import annotations

from typing import get_args

import numpy as np
from numpy.typing import NDArray

from dfpg.core.config import Classical, Config, ProtocolName, load_config
from dfpg.core.markdown import markdown_table
from dfpg.core.paths import KERNELS
from dfpg.core.profile_edit import set_values

# Tried: standard deviations in px of a 128 px image, steps, and balances a factor of about three
# apart.
SIGMAS = (1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0)
STEPS = (2, 3, 5, 7, 10, 15)
BALANCES = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1)


def choose_classical(take: bool = False) -> str:
    """Try the grid on the validation images of both protocols.

    Args:
        take: write the best into ``params.yaml`` and into its profile.

    Returns:
        A table per protocol: mean PSNR over the blurred images in dB, and what was chosen.

    Raises:
        UserError: the kernels are missing, or there are no validation people.
    """
    config = load_config()
    lines = []
    changes: dict[tuple[str, ...], float] = {}
    for protocol in get_args(ProtocolName):
        found, text = choose(config, protocol)
        lines.append(f"protocol {protocol}: {found.model_dump()}\n\n{text}")
        changes |= {
            ("classical", protocol, key): value for key, value in found.model_dump().items()
        }
    if take:
        lines.append(set_values(changes))
    return "\n\n".join(lines)


def choose(config: Config, protocol: ProtocolName) -> tuple[Classical, str]:
    """The best parameters for one protocol, and the gains of all, in dB, as a table."""
    import torch

    from dfpg.data.blur.kernels import load_kernels
    from dfpg.evaluation.classical import gaussian, richardson_lucy, wiener
    from dfpg.metrics.psnr import psnr
    from dfpg.training.validation import make_validation

    bank = load_kernels(KERNELS / f"{config.protocols[protocol].kernels}.safetensors")
    images = make_validation(config, protocol, bank)
    blurred, kernels = images.blurred.cpu().numpy(), list(images.kernels.cpu().numpy())
    sharp, before = images.sharp.cpu(), float(images.psnr_blurred.mean())

    def gain(restored: NDArray[np.uint8]) -> float:
        return float(psnr(torch.from_numpy(restored), sharp).mean()) - before

    grid = {
        (sigma, steps): gain(richardson_lucy(blurred, gaussian(sigma, config.image_size), steps))
        for sigma in SIGMAS
        for steps in STEPS
    }
    balances = {balance: gain(wiener(blurred, kernels, balance)) for balance in BALANCES}
    (sigma, steps), balance = (
        max(grid, key=grid.__getitem__),
        max(balances, key=balances.__getitem__),
    )
    rows = [
        [f"Richardson-Lucy, sigma {one:g}", *(f"{grid[one, number]:+.3f}" for number in STEPS)]
        for one in SIGMAS
    ]
    table = markdown_table(["gain (dB)", *(f"{number} steps" for number in STEPS)], rows)
    tried = ", ".join(f"balance {one:g}: {value:+.3f}" for one, value in balances.items())
    return Classical(sigma=sigma, steps=steps, balance=balance), f"{table}\n\nWiener: {tried} dB"
