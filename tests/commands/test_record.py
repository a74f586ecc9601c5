from __future__ import annotations

import pytest

from dfpg.commands.record import Check, stale_stages


def test_what_is_missing_in_a_fresh_clone_is_no_fault():
    status = {
        "train@b1": [
            {"changed deps": {"artifacts/kernels": "deleted", "artifacts/priors": "deleted"}},
            {"changed outs": {"artifacts/weights/b1.safetensors": "not in cache"}},
        ]
    }
    assert stale_stages(status) == {}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"changed deps": {"artifacts/code/train/b1.json": "modified"}},
            "train/b1.json (modified)",
        ),
        ({"changed deps": {"params.yaml": {"runs.b1.lr": "modified"}}}, "runs.b1.lr (modified)"),
        ({"changed outs": {"results/table1.csv": "deleted"}}, "results/table1.csv (deleted)"),
        ({"changed outs": {"results/table1.csv": "modified"}}, "results/table1.csv (modified)"),
        ("changed command", "changed command"),
    ],
)
def test_what_differs_is_named(change, said):
    (found,) = stale_stages({"train@b1": [change]})["train@b1"]
    assert said in found


def test_a_stale_record_passes_only_where_it_says_so():
    stale = {"train@b1": ["changed deps: artifacts/code/train/b1.json (modified)"]}
    assert Check().ok
    assert not Check(stale).ok
    assert "make record" in str(Check(stale))
    declared = Check(stale, declared="made at commit abc")
    assert declared.ok
    assert "made at commit abc" in str(declared)
    assert not Check(declared="made at commit abc").ok  # the declaration outlived its reason


def test_what_the_store_lacks_is_named():
    assert not Check(lost=("train@b1",)).ok
    assert "not in the store: train@b1" in str(Check(lost=("train@b1",)))
    assert Check(lost=("train@b1",), declared="made at commit abc").ok
