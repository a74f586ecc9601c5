from __future__ import annotations

import pytest
from helpers.toy_scores import PEOPLE, few_runs, write_recognition_artifacts

from dfpg.analysis.observations import load_observations, load_seed_observations
from dfpg.core.errors import UserError
from dfpg.evaluation.recognition.pairs import read_pairs, write_pairs
from dfpg.paper.tables import BASELINES, CLASSICAL


@pytest.fixture
def few(config):
    return few_runs(config, "dfpg_a", "lee2020_a", "b1")


def test_every_run_of_protocol_a_is_seen_with_the_untrained_rows(few, tmp_path):
    write_recognition_artifacts(few, tmp_path)
    found = load_observations(few, tmp_path)
    assert set(found.rows) == {*BASELINES, *CLASSICAL, "dfpg_a", "lee2020_a"}
    assert len(found.groups) == PEOPLE
    assert set(found.folds) == set(found.groups)


def test_runs_that_saw_other_images_are_refused(config, tmp_path):
    write_recognition_artifacts(config, tmp_path)
    path = tmp_path / "recognition" / "dfpg_a.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(UserError, match=r"'dfpg_a': its images are not those"):
        load_observations(config, tmp_path)
    path.write_text((tmp_path / "recognition" / "baselines.csv").read_text())
    with pytest.raises(UserError, match="holds another method than dfpg_a"):
        load_observations(config, tmp_path)


def test_a_list_of_pairs_that_lacks_somebody_is_refused(few, tmp_path):
    write_recognition_artifacts(few, tmp_path)
    path = tmp_path / "references" / "pairs.csv"
    write_pairs([pair for pair in read_pairs(path) if pair.person != "celeba-9"], path)
    with pytest.raises(UserError, match=r"pairs\.csv: no pair of celeba-9, who was compared"):
        load_observations(few, tmp_path)


def test_other_seeds_stand_beside_the_tables_untrained_rows(few, tmp_path):
    own, other = tmp_path / "own", tmp_path / "other"
    for folder in (own, other):
        write_recognition_artifacts(few, folder)
    (other / "recognition" / "lee2020_a.csv").unlink()
    for name in ("baselines", "classical"):  # a seed's folder need not have them
        (other / "recognition" / f"{name}.csv").unlink()
    first = load_observations(few, own)
    found = load_seed_observations(first, few.runs, other)
    assert set(found.rows) == {*BASELINES, *CLASSICAL, "dfpg_a"}
    assert (found.groups, found.folds) == (first.groups, first.folds)
