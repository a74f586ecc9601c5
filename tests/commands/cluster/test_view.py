from __future__ import annotations

from dfpg.commands.cluster import view as module
from dfpg.commands.cluster.view import State, View, running_lines, summary

STATES = {
    "b1": State("done"),
    "b2": State("running", "node-1: train b2: 5/20 step"),
    "b3": State("waiting"),
    "b4": State("failed", "no luck"),
    "b5": State("done"),
}


def test_the_summary_counts_and_only_runs_at_work_have_a_line():
    assert summary("cluster", STATES) == "cluster: 2 done, 1 running, 1 waiting, 1 failed"
    assert running_lines("cluster", STATES)[1:] == [
        "  b2                 node-1: train b2: 5/20 step"
    ]


def test_off_a_terminal_what_changed_is_said_every_few_seconds(capsys, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    with View("cluster", list(STATES)) as view:
        view.show(STATES)
        view.show(STATES | {"b3": State("done")})  # too early
        now[0] += 11
        view.show(STATES)  # the same as shown last
        view.show(STATES | {"b2": State("done")})
        view.say("b4: failed")
    assert capsys.readouterr().err.splitlines() == [
        *running_lines("cluster", STATES),
        "cluster: 3 done, 1 waiting, 1 failed",
        "b4: failed",
    ]


def test_on_a_terminal_every_run_has_a_line(capsys, monkeypatch):
    monkeypatch.setattr(module.sys.stderr, "isatty", lambda: True)
    with View("cluster", list(STATES)) as view:
        view.show(STATES)
    shown = capsys.readouterr().err
    for words in ("2 done, 1 running", "train b2: 5/20 step", "no luck", "waiting"):
        assert words in shown


def test_a_log_cannot_act_on_the_terminal():
    lines = running_lines("cluster", {"b2": State("running", "node: \x1b[2J")})
    assert "\x1b" not in "".join(lines)
