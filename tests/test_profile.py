from __future__ import annotations

import pytest

from dfpg.config import NOMINAL_SIZES, load_config
from dfpg.errors import UserError
from dfpg.profile import NAMES, describe_profile, resolve_profile, use_profile


@pytest.mark.parametrize("name", NAMES)
def test_every_profile_resolves_and_says_what_it_is_for(name):
    config, _ = resolve_profile(name)
    assert config.profile == name
    text = describe_profile(name)
    assert all(word in text for word in ("What for:", "Needs:", "Takes:"))


def test_written_params_read_back_as_the_same_configuration(tmp_path):
    path = tmp_path / "params.yaml"
    assert use_profile("smoke", path) == load_config(path)


def test_assumptions_stay_marked_in_the_written_file():
    assert resolve_profile("embedded")[1].count("assumed") >= 8


def test_paper_profile_has_the_papers_sizes():
    config, _ = resolve_profile("paper")
    a, b = config.protocols["a"].test, config.protocols["b"].test
    kernels = len(NOMINAL_SIZES) * a.kernels_per_size
    assert len(a.subsets) * a.faces_per_subset * kernels == 16_000
    assert len(b.subsets) * len(b.modes) * b.faces_per_subset * kernels == 38_400
    assert a.images_per_subset is None
    assert b.images_per_subset is None
    assert config.kernels.spline.train * len(NOMINAL_SIZES) == 18_000
    assert config.methods["dfpgnet"]["width"] == 64


def test_unknown_profile_is_refused():
    with pytest.raises(UserError, match="'huge' is unknown"):
        resolve_profile("huge")
