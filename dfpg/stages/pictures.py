"""Stage ``pictures``: example faces restored by every run, and what a picture costs each."""

from __future__ import annotations

from dfpg.core.config import load_config
from dfpg.core.paths import PICTURES
from dfpg.core.terminal import say
from dfpg.report.pictures import write_costs, write_pictures
from dfpg.report.sheet import restored_examples


def pictures() -> None:
    """Stage ``pictures``: restored example faces and every run's cost, for the report."""
    config = load_config()
    for name, chosen, shown in restored_examples(config):
        write_pictures(PICTURES / f"{name}.png", chosen, shown)
        say(f"pictures {name}: {len(chosen)} images, {len(shown) - 2} runs")
    write_costs(config, PICTURES / "costs.csv")
