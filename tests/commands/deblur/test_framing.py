from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.portraits import background, faces

from dfpg.commands.deblur import framing
from dfpg.commands.deblur.framing import (
    FEATHER,
    TEMPLATE,
    Frame,
    crop,
    feather_mask,
    frame_from_landmarks,
    paste_back,
)
from dfpg.core.profile import resolve_profile
from dfpg.data.augmentation import face_views

SIZE = 64


def square(side: float, angle: float, middle: tuple[float, float]) -> Frame:
    """A frame by side (px), turn (degrees) and middle (x, y)."""
    turn = np.exp(-1j * np.radians(angle)) / side
    shift = 0.5 + 0.5j - turn * complex(*middle)
    rows = [[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]]
    return Frame(np.array(rows))


def inside(frame: Frame, height: int, width: int) -> np.ndarray:
    """Place of every pixel in the frame, [H, W, 2]; in [0, 1] where it lies inside."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x, y, np.ones_like(x)], -1) @ frame.matrix.T


@pytest.mark.parametrize("seed", range(5))
def test_frame_undoes_any_similarity_of_the_template(seed):
    rng = np.random.default_rng(seed)
    frame = square(rng.uniform(8, 3000), rng.uniform(-180, 180), tuple(rng.uniform(0, 900, 2)))
    linear, shift = frame.matrix[:, :2], frame.matrix[:, 2]
    landmarks = (TEMPLATE - shift) @ np.linalg.inv(linear).T
    found = frame_from_landmarks(landmarks.astype(np.float32))
    assert found.side == pytest.approx(frame.side, rel=1e-4)
    places = landmarks @ found.matrix[:, :2].T + found.matrix[:, 2]
    assert places == pytest.approx(TEMPLATE, abs=1e-4)


def test_frames_of_the_committed_faces_are_the_training_view():
    """The centre view is the middle 0.875 of the 160-px picture: side 140, from 9.5 to 149.5."""
    frames = [frame_from_landmarks(landmarks) for landmarks in faces().landmarks]
    assert np.median([frame.side for frame in frames]) == pytest.approx(140, abs=2)
    middles = [np.linalg.solve(f.matrix[:, :2], 0.5 - f.matrix[:, 2]) for f in frames]
    assert np.median(middles, axis=0) == pytest.approx([79.5, 79.5], abs=1.5)
    angles = [np.degrees(np.arctan2(f.matrix[1, 0], f.matrix[0, 0])) for f in frames]
    assert np.abs(angles).max() < 8


def test_cut_is_the_training_view_of_the_same_square():
    plain = resolve_profile("smoke")[0].protocols["b"].augmentation
    picture = faces().pictures[:1]
    view = face_views(torch.from_numpy(picture.copy()), 0.875, plain, SIZE, None)
    expected = (view[0].permute(1, 2, 0).numpy() + 1) * 127.5
    found = crop(picture[0], square(140, 0, (79.5, 79.5)), SIZE)
    assert np.abs(found - expected).max() <= 1.5
    assert np.abs(found - expected).mean() < 0.5


def test_cut_turns_a_tilted_face_upright():
    picture = faces().pictures[0]
    upright = crop(picture, square(100, 0, (79.5, 79.5)), SIZE)
    turned = np.rot90(picture).copy()  # counter-clockwise: what was right is on top
    assert np.array_equal(crop(turned, square(100, -90, (79.5, 79.5)), SIZE), upright)


FRAMES = [square(200, 25, (150, 120)), square(90, -70, (60, 200)), square(20, 10, (250, 40))]


@pytest.mark.parametrize("frame", FRAMES)
def test_no_change_gives_the_photograph_back(frame):
    photograph = background(240, 300)
    canvas = photograph.copy()
    paste_back(canvas, photograph, frame, np.zeros((SIZE, SIZE, 3), np.float32))
    assert np.array_equal(canvas, photograph)


@pytest.mark.parametrize("frame", [*FRAMES, square(300, 45, (10, 10))])
def test_a_change_stays_in_its_frame_and_is_whole_in_its_middle(frame):
    photograph = background(240, 300)
    canvas = photograph.copy()
    change = np.full((SIZE, SIZE, 3), (20, -10, 40), np.float32)
    paste_back(canvas, photograph, frame, change)
    moved = canvas.astype(int) - photograph
    places = inside(frame, 240, 300)
    outside = ((places < 0) | (places > 1)).any(-1)
    # A pixel of the photograph may be wider than the feather's end.
    margin = FEATHER + 1.5 / SIZE + 1 / frame.side
    middle = ((places > margin) & (places < 1 - margin)).all(-1)
    assert middle.any()
    assert not moved[outside].any()
    assert (moved[middle] == (20, -10, 40)).all()
    assert (moved[..., 0] >= 0).all()
    assert moved[..., 0].max() <= 20


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("spot", [(20, 40), (44, 30)])
def test_a_change_lands_where_it_was_cut(frame, spot):
    """The centre of gravity of a spot is where the frame says, also for faces of 20 px."""
    row, column = spot
    y, x = np.mgrid[:SIZE, :SIZE]
    bump = 200 * np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * 5**2))
    photograph = np.zeros((240, 300, 3), np.uint8)
    canvas = photograph.copy()
    paste_back(canvas, photograph, frame, np.repeat(bump[..., None], 3, 2).astype(np.float32))
    weight = canvas[..., 0].astype(float)
    yy, xx = np.mgrid[:240, :300]
    found = np.array([(weight * xx).sum(), (weight * yy).sum()]) / weight.sum()
    place = (np.array([column, row]) + 0.5) / SIZE
    expected = np.linalg.solve(frame.matrix[:, :2], place - frame.matrix[:, 2])
    assert found == pytest.approx(expected, abs=0.35)


def test_changes_of_overlapping_frames_do_not_add_up():
    photograph = np.full((200, 200, 3), 100, np.uint8)
    canvas = photograph.copy()
    change = np.full((SIZE, SIZE, 3), 30, np.float32)
    for frame in (square(100, 0, (90, 100)), square(100, 10, (110, 100))):
        paste_back(canvas, photograph, frame, change)
    assert canvas.max() == 130


def test_change_of_bands_equals_that_of_the_whole(monkeypatch):
    photograph = faces().pictures[0]
    change = np.random.default_rng(0).normal(0, 30, (SIZE, SIZE, 3)).astype(np.float32)
    results = []
    for band in (1 << 20, 1000):
        monkeypatch.setattr(framing, "BAND", band)
        results.append(photograph.copy())
        paste_back(results[-1], photograph, square(120, 17, (80, 80)), change)
    assert np.abs(results[0].astype(int) - results[1]).max() <= 1
    assert (results[0] != photograph).any()


def test_soft_square_is_one_inside_and_nothing_at_the_edge():
    weight = feather_mask(SIZE)
    assert weight[SIZE // 2, SIZE // 2] == 1
    assert not weight[0].any()
    assert not weight[:, -1].any()
    assert np.allclose(weight, weight.T)
    assert np.allclose(weight, weight[::-1])
    assert (np.diff(weight[SIZE // 2, : SIZE // 2]) >= 0).all()
