"""After everything: the tree that was cloned is as it was."""

from __future__ import annotations

import pytest
from helpers.clones import changes
from helpers.places import ROOT

pytestmark = pytest.mark.smoke


def test_the_tree_that_was_cloned_stays_as_it_was(clone, tree_before):
    assert (clone / "results" / "table4.csv").is_file()
    assert changes(ROOT) == tree_before
