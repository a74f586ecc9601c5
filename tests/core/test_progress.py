from __future__ import annotations

from dfpg.core import progress
from dfpg.core.progress import Progress


def test_without_a_terminal_there_are_whole_lines_with_rate_and_remaining_time(capsys, monkeypatch):
    monkeypatch.setattr(progress, "LINE_INTERVAL_S", 0.0)
    with Progress("train", 20, "step", initial=5) as bar:
        for _ in range(15):
            bar.advance(loss=0.25)
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("train: 20/20 step, ")
    assert "step/s" in lines[-1] or "s/step" in lines[-1]
    assert "00:00 left" in lines[-1]
    assert "loss=0.25" in lines[-1]
    assert not any("\r" in line for line in lines)


def test_lines_are_rare_without_a_terminal(capsys):
    with Progress("train", 1000, "step") as bar:
        for _ in range(1000):
            bar.advance()
    assert len(capsys.readouterr().err.splitlines()) <= 3
