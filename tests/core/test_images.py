from __future__ import annotations

import numpy as np
import pytest

from dfpg.core.errors import UserError
from dfpg.core.images import check_image


def test_an_image_keeps_its_values_and_gets_a_plain_layout():
    image = np.arange(2 * 4 * 3, dtype=np.uint8).reshape(2, 4, 3)[:, ::-1]
    found = check_image(image, "image")
    assert found.flags.c_contiguous
    assert (found == image).all()


@pytest.mark.parametrize(
    ("image", "line"),
    [
        (np.zeros((2, 2, 3)), r"face: float64 \[2, 2, 3\]: give RGB uint8 \[H, W, 3\]"),
        (np.zeros((2, 2), np.uint8), r"face: uint8 \[2, 2\]"),
        (np.zeros((2, 2, 4), np.uint8), r"face: uint8 \[2, 2, 4\]"),
        (np.zeros((0, 2, 3), np.uint8), r"face: uint8 \[0, 2, 3\]"),
    ],
)
def test_what_is_no_image_is_refused_by_its_type_and_shape(image, line):
    with pytest.raises(UserError, match=line):
        check_image(image, "face")
