from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from dfpg.data.faces.selection import Selection, head_turn
from dfpg.pretrained.detector import Detection

FRONTAL = np.array([[60, 75], [100, 75], [80, 100], [65, 120], [95, 120]], np.float32)
PICTURE = np.zeros((8, 8, 3), np.uint8)


@dataclass
class Fakes:
    """Detections and embeddings to hand out, one per picture."""

    scores: list[list[float]] = field(default_factory=lambda: [[0.8]] * 4)
    landmarks: np.ndarray = field(default_factory=lambda: FRONTAL)
    vectors: list[np.ndarray] = field(default_factory=lambda: [np.eye(8)[0]] * 4)

    def screen(self, selection: Selection) -> str | None:
        scores, vectors = iter(self.scores), iter(self.vectors)
        selection.detector = lambda _: [
            Detection(score, np.zeros(4, np.float32), self.landmarks) for score in next(scores)
        ]
        selection.embedder = lambda _picture, _landmarks: next(vectors)
        return selection.screen([PICTURE] * 4).reason


@pytest.fixture
def selection() -> Selection:
    return Selection(None, None)


def at_angle(cosine: float, axis: int = 1) -> np.ndarray:
    vector = np.zeros(8)
    vector[0], vector[axis] = cosine, np.sqrt(1 - cosine**2)
    return vector


def test_turn_is_in_eye_distances():
    turned = FRONTAL.copy()
    turned[2, 0] += 20
    assert head_turn(FRONTAL) == 0
    assert head_turn(turned) == pytest.approx(0.5)


def test_a_good_person_is_kept(selection):
    assert Fakes().screen(selection) is None
    assert selection.dropped.total() == 0


@pytest.mark.parametrize(
    ("scores", "reason"),
    [
        ([[0.8], [0.8], [], [0.8]], "no face found"),
        ([[0.8], [0.69], [0.8], [0.8]], "no face found"),
        ([[0.8], [0.8], [0.8], [0.8, 0.5]], "several faces"),
        ([[0.8], [0.8], [0.8], [0.8, 0.49]], None),
    ],
)
def test_every_picture_needs_exactly_one_face(selection, scores, reason):
    assert Fakes(scores=scores).screen(selection) == reason


def test_turned_faces_are_dropped(selection):
    turned = FRONTAL.copy()
    turned[2, 0] += 0.36 * 40
    assert Fakes(landmarks=turned).screen(selection) == "face turned away"


@pytest.mark.parametrize(("cosine", "reason"), [(0.36, None), (0.34, "pictures do not look alike")])
def test_pictures_of_a_person_must_look_alike(selection, cosine, reason):
    vectors = [np.eye(8)[0]] * 3 + [at_angle(cosine)]
    assert Fakes(vectors=vectors).screen(selection) == reason


def test_a_double_of_somebody_kept_is_dropped_and_counted(selection):
    assert Fakes().screen(selection) is None
    assert Fakes(vectors=[at_angle(0.71)] * 4).screen(selection) == "resembles another person"
    assert Fakes(vectors=[at_angle(0.69)] * 4).screen(selection) is None
    assert selection.dropped == {"resembles another person": 1}
