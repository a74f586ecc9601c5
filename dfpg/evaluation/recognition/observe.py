"""What detectors and embedder see in every restored image of Table 3's test set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dfpg.core.config import Config, ProtocolName
from dfpg.core.paths import REFERENCES
from dfpg.evaluation.per_image import RECOGNITION_COLUMNS, write_recognition
from dfpg.evaluation.recognition.references import References, load_references, table3_rows
from dfpg.metrics.detection import DlibHog
from dfpg.paper.tables import RECOGNITION, TEST_IMAGES
from dfpg.pretrained.assets.store import asset_path
from dfpg.pretrained.detector import FaceDetector
from dfpg.pretrained.embedder import FaceEmbedder, embedder_path

Values = list[float]


class Recogniser:
    """Observes batches of images that ``evaluate`` hands on, and keeps one row per image.

    Args:
        dlib_hog: the paper's detector.
        scrfd: the second detector; its points align the probes.
        embedder: the verification network.
        references: of the test set.
    """

    def __init__(
        self,
        dlib_hog: DlibHog,
        scrfd: FaceDetector,
        embedder: FaceEmbedder,
        references: References,
    ) -> None:
        self._dlib_hog, self._scrfd, self._embedder = dlib_hog, scrfd, embedder
        self._references = references
        self._pair_of = {pair.person: row for row, pair in enumerate(references.pairs)}
        self._frames: list[pd.DataFrame] = []

    def __call__(
        self, protocol: ProtocolName, method: str, rows: pd.DataFrame, images: NDArray[np.uint8]
    ) -> None:
        """Observe a batch.

        Args:
            protocol: of the test set; others than Table 3's are passed over.
            method: name for the column.
            rows: of the test set's index.
            images: RGB uint8 [N, H, W, 3], restored, in the order of ``rows``.
        """
        if protocol != RECOGNITION.protocol:
            return
        wanted = table3_rows(rows)
        places = rows.index.get_indexer(wanted.index)
        seen: dict[tuple[str, int, bytes], Values] = {}  # the row `sharp` repeats its images
        values = []
        for place, person, sharp in zip(places, wanted["person"], wanted["sharp"], strict=True):
            key = (person, int(sharp), images[place].tobytes())
            if key not in seen:
                seen[key] = self._observe(images[place], person, int(sharp))
            values.append(seen[key])
        frame = wanted.drop(columns="sharp").assign(method=method, test_set=TEST_IMAGES[protocol])
        columns = np.array(values, np.float64).reshape(-1, len(RECOGNITION_COLUMNS))
        self._frames.append(frame.assign(**dict(zip(RECOGNITION_COLUMNS, columns.T, strict=True))))

    def write(self, path: Path) -> None:
        """Write all rows and forget them, so that the next run can be observed.

        The header alone where no image belonged to Table 3's test set.
        """
        write_recognition(self._frames, path)
        self._frames = []

    def _observe(self, image: NDArray[np.uint8], person: str, sharp: int) -> Values:
        """Values of ``RECOGNITION_COLUMNS``; NaN where there is none."""
        box = self._dlib_hog(image)
        faces = self._scrfd(image)
        values: Values = list(box) if box else [np.nan] * 5
        values.append(len(faces))
        if faces:
            values += [faces[0].score, *faces[0].box.tolist(), *faces[0].landmarks.ravel().tolist()]
        else:
            values += [np.nan] * 15
        detected = faces[0].landmarks if faces else None
        values += self._distances(image, person, detected)
        points = self._references.landmarks[sharp]
        return values + self._distances(image, person, None if np.isnan(points).any() else points)

    def _distances(
        self, image: NDArray[np.uint8], person: str, points: NDArray[np.float32] | None
    ) -> Values:
        """Squared L2 distance, 0 to 4, to the person's positive and negative reference."""
        row = self._pair_of.get(person)
        if row is None or points is None:
            return [np.nan, np.nan]
        vector = self._embedder(image, points).astype(np.float64)
        return [
            float(((vector - other[row].astype(np.float64)) ** 2).sum())
            for other in (self._references.positive, self._references.negative)
        ]


def build_recogniser(config: Config) -> Recogniser:
    """What Table 3 records of every image, with the references that ``baselines`` wrote."""
    references = load_references(REFERENCES)
    embedder = FaceEmbedder(embedder_path(config.recognition.embedder))
    return Recogniser(DlibHog(), build_detector(config), embedder, references)


def build_detector(config: Config) -> FaceDetector:
    """SCRFD with the profile's threshold."""
    return FaceDetector(asset_path("scrfd"), config.recognition.scrfd_threshold)
