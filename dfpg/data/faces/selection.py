"""The rule by which generated people are kept or dropped.

A person is dropped when any of their pictures shows no face, several faces or a turned-away face,
when a picture does not look like the same person, or when they look like a person kept before.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dfpg.pretrained.detector import Detection, FaceDetector
from dfpg.pretrained.embedder import FaceEmbedder

LEAST_SCORE = 0.7  # of SCRFD, for the one face in a picture
SECOND_SCORE = 0.5  # a second face at or above this drops the picture
LARGEST_TURN = 0.35  # nose off the middle of the eyes, in eye distances
LEAST_LIKENESS = 0.35  # cosine between any two pictures of one person
LARGEST_RESEMBLANCE = 0.7  # cosine between the mean embeddings of two people


@dataclass(frozen=True)
class Outcome:
    """``reason`` is None for a person who is kept; ``faces`` holds one detection per picture."""

    reason: str | None
    faces: tuple[Detection, ...] = ()


def head_turn(landmarks: NDArray[np.float32]) -> float:
    """Horizontal offset of the nose from the middle of the eyes, in eye distances."""
    eyes = landmarks[:2]
    distance = float(np.linalg.norm(eyes[1] - eyes[0]))
    return abs(float(landmarks[2, 0] - eyes[:, 0].mean())) / distance


@dataclass
class Selection:
    """Applies the rule to one person after the other and remembers who was kept."""

    detector: FaceDetector
    embedder: FaceEmbedder
    dropped: Counter[str] = field(default_factory=Counter)
    _kept: list[NDArray[np.float32]] = field(default_factory=list)

    def screen(self, pictures: list[NDArray[np.uint8]]) -> Outcome:
        """Keep or drop the person shown in ``pictures`` (RGB uint8 [H, W, 3] each)."""
        outcome = self._find_outcome(pictures)
        if outcome.reason is not None:
            self.dropped[outcome.reason] += 1
        return outcome

    def _find_outcome(self, pictures: list[NDArray[np.uint8]]) -> Outcome:
        faces = []
        for picture in pictures:
            found = self.detector(picture)
            if not found or found[0].score < LEAST_SCORE:
                return Outcome("no face found")
            if len(found) > 1 and found[1].score >= SECOND_SCORE:
                return Outcome("several faces")
            if head_turn(found[0].landmarks) > LARGEST_TURN:
                return Outcome("face turned away")
            faces.append(found[0])
        vectors = np.stack(
            [
                self.embedder(picture, face.landmarks)
                for picture, face in zip(pictures, faces, strict=True)
            ]
        )
        if (vectors @ vectors.T).min() < LEAST_LIKENESS:
            return Outcome("pictures do not look alike")
        mean = vectors.mean(axis=0)
        mean /= np.linalg.norm(mean)
        if self._kept and (np.stack(self._kept) @ mean).max() > LARGEST_RESEMBLANCE:
            return Outcome("resembles another person")
        self._kept.append(mean)
        return Outcome(None, tuple(faces))
