from __future__ import annotations

import math

import pytest

from dfpg.analysis.histories import read_history
from dfpg.analysis.mechanisms import mechanism_records
from dfpg.analysis.training_cost import training_records, training_remarks
from dfpg.core.errors import UserError
from dfpg.core.schedule import training_steps
from dfpg.report.curves import training_charts

HEAD = "step,validation_gain,discriminator_auc,validation_people"


def test_rows_are_numbers_and_what_was_not_measured_is_nan(config, tmp_path):
    end = training_steps(config, "b1")
    (tmp_path / "b1.csv").write_text(f"{HEAD}\n2,0.5,,20\n{end},0.7,0.6,20\n")
    first, last = read_history(config, tmp_path, "b1")
    assert (first["step"], first["validation_gain"]) == (2, 0.5)
    assert math.isnan(first["discriminator_auc"])
    assert (last["step"], last["discriminator_auc"]) == (end, 0.6)
    assert read_history(config, tmp_path, "b2") == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "has no step of 4"),
        (f"{HEAD}\n", "has no step of 4"),
        (f"{HEAD}\n2,0.5,0.6,20\n", "ends at step 2 of 4"),
        (f"{HEAD}\n4,0.5,0.6,20\n8,0.5,0.6,20\n", "ends at step 8 of 4"),
        (f"{HEAD}\n2,0.5,0.6,20\n4,0.5,hi", "no history of a training"),
        (f"{HEAD}\n4,0.5,0.6,20,7\n", "no history of a training"),
        ("validation_gain\n0.5\n", "has no step of 4"),
    ],
)
def test_a_history_cut_short_does_not_pass_for_a_whole_one(config, tmp_path, text, fault):
    assert training_steps(config, "b5") == 4
    folder = tmp_path / "history"
    folder.mkdir()
    (folder / "b5.csv").write_text(text)
    readers = (
        lambda: mechanism_records(config, folder),
        lambda: training_records(config, tmp_path),
        lambda: training_remarks(config, tmp_path),
        lambda: training_charts(config, folder, "b"),
    )
    for read in readers:
        with pytest.raises(UserError, match=rf"b5\.csv: {fault}; run train again"):
            read()


def test_published_weights_were_validated_once_before_the_first_step(config, tmp_path):
    taken = config.runs["b1"].model_copy(update={"weights": "weights/net.pth"})
    published = config.model_copy(update={"runs": {"b1": taken}})
    (tmp_path / "b1.csv").write_text(f"{HEAD}\n0,0.5,,20\n")
    assert [row["step"] for row in read_history(published, tmp_path, "b1")] == [0]
    with pytest.raises(UserError, match="ends at step 0 of 4"):
        read_history(config, tmp_path, "b1")
