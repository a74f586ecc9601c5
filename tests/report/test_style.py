from __future__ import annotations

import itertools

from dfpg.report.style import METHOD_STYLES, style_of


def luminance(colour: str) -> float:
    """Relative luminance of WCAG 2."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_every_run_has_a_style_of_its_own(config):
    styles = [style_of(config, run) for run in ("sharp", "blurred", *config.runs)]
    for one, two in itertools.combinations(styles, 2):
        assert one != two


def test_runs_of_a_method_share_colour_and_marker(config):
    for one, two in itertools.combinations(config.runs, 2):
        same = config.runs[one].method == config.runs[two].method
        looks = [style_of(config, run)[:2] for run in (one, two)]
        assert (looks[0] == looks[1]) == same


def test_colours_are_seen_on_white():
    for colour, _ in METHOD_STYLES.values():
        assert 1.05 / (luminance(colour) + 0.05) > 2


def test_a_run_keeps_its_style_when_others_go(config):
    few = config.model_copy(update={"runs": {"nafnet": config.runs["nafnet"]}})
    assert style_of(few, "nafnet") == style_of(config, "nafnet")


def test_an_added_method_gets_a_style(config):
    added = config.runs["nafnet"].model_copy(update={"method": "mine"})
    other = config.model_copy(update={"runs": {**config.runs, "mine": added}})
    assert style_of(other, "mine") == style_of(other, "mine")
    assert style_of(other, "mine").marker not in {marker for _, marker in METHOD_STYLES.values()}
