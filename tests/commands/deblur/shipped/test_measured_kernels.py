"""What a file of measured kernels may hold, and one line for everything else."""

from __future__ import annotations

import numpy as np
import pytest

from dfpg.commands.deblur.shipped.measured_kernels import read_kernels
from dfpg.core.errors import UserError

SIDE = 16  # px of a face: kernels of up to 31 px


@pytest.fixture
def write(tmp_path):
    def make(**arrays):
        np.savez(tmp_path / "kernels.npz", **arrays)
        return tmp_path / "kernels.npz"

    return make


def test_kernels_are_read_by_name_and_normalised(write):
    first = np.array([[2.0]])
    second = np.add.outer(*2 * [15 - abs(np.arange(31, dtype=np.int64) - 15)]).astype(np.uint16)
    found = read_kernels(write(second=second, first=first), SIDE)
    assert list(found) == ["second", "first"]
    assert np.array_equal(found["first"], [[1.0]])
    np.testing.assert_allclose(found["second"], second / second.sum(), rtol=1e-6)
    assert found["second"].dtype == np.float32


def test_the_centroid_comes_to_lie_in_the_middle(write):
    """Two pixels of weight 3 and 1 in a corner: their centroid is nearest to the first."""
    corner = np.zeros((5, 5))
    corner[0, 0], corner[0, 1] = 3, 1
    found = read_kernels(write(corner=corner), SIDE)["corner"]
    assert found.shape == (9, 9)
    assert (found[4, 4], found[4, 5], found.sum()) == (0.75, 0.25, 1)


def test_weight_too_far_from_the_middle_is_refused(write):
    edge = np.zeros((31, 31))
    edge[30, 30] = 1
    with pytest.raises(UserError, match="edge: its weight lies too far from the middle"):
        read_kernels(write(edge=edge), SIDE)


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.ones((4, 4)), r"shape \(4, 4\): give a square of an odd side, 1 to 31 px"),
        (np.ones((3, 5)), r"shape \(3, 5\)"),
        (np.ones((33, 33)), r"shape \(33, 33\)"),
        (np.ones((1, 3, 3)), r"shape \(1, 3, 3\)"),
        (np.ones((3, 3), complex), "complex128: give real numbers"),
        (np.array([[True]]), "bool: give real numbers"),
        (np.full((3, 3), -1.0), "give weights of 0 and more"),
        (np.full((3, 3), np.nan), "give weights of 0 and more"),
        (np.zeros((3, 3)), "nothing but zeros"),
    ],
)
def test_what_is_no_kernel_is_refused_by_name(write, array, said):
    with pytest.raises(UserError, match=rf"kernels\.npz: odd: .*{said}"):
        read_kernels(write(good=np.ones((3, 3)), odd=array), SIDE)


def test_other_files_are_refused(write, tmp_path):
    with pytest.raises(UserError, match=r"kernels\.npz: holds no array"):
        read_kernels(write(), SIDE)
    with pytest.raises(
        UserError, match=r"kernels\.npz: not an .npz file of numbers: .*numpy\.savez"
    ):
        read_kernels(write(kernel=np.array([{}], object)), SIDE)
    with pytest.raises(UserError, match=r"gone\.npz: cannot read .*it is not there"):
        read_kernels(tmp_path / "gone.npz", SIDE)
    with pytest.raises(UserError, match="cannot read"):
        read_kernels(tmp_path, SIDE)
    single = tmp_path / "single.npy"
    np.save(single, np.ones((3, 3)))
    damaged = tmp_path / "damaged.npz"
    damaged.write_bytes(b"PK\x03\x04 and nothing else")
    text, empty = tmp_path / "kernels.txt", tmp_path / "empty.npz"
    text.write_text("1 2 1")
    empty.write_bytes(b"")
    for path in (single, damaged, text, empty):
        with pytest.raises(UserError, match=rf"{path.name}: not an .npz file"):
            read_kernels(path, SIDE)
