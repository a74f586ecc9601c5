from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.places import ROOT, SHARED
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from dfpg.core.errors import UserError
from dfpg.data.faces.dataset import load_folder
from dfpg.pretrained.assets.store import asset_path
from dfpg.pretrained.bisenet import EPSILON, BiSeNet, fold, load_bisenet
from dfpg.pretrained.parsing import (
    CELEBAMASK_ORDER,
    CLASSES,
    FOUR,
    SHEN11,
    assign_sides,
    draw_parsing_sheet,
    from_celebamask,
    label_file,
    load_labels,
    one_hot,
    parse_faces,
    save_labels,
    swap_sides,
    to_four,
    to_shen11,
)

MASKS = SHARED / "data" / "celebamask_hq"


@pytest.fixture(scope="module")
def network():
    try:
        return load_bisenet(asset_path("bisenet"))
    except UserError as error:
        pytest.skip(str(error))


def classes(*names):
    return torch.tensor([[CLASSES.index(name) for name in names]], dtype=torch.uint8)[None]


def test_nineteen_classes_to_eleven():
    assert len(CLASSES) == 19
    assert len(SHEN11) == 11
    given = classes("skin", "r_brow", "l_eye", "nose", "u_lip", "mouth", "l_lip", "hair", "l_ear")
    found = [SHEN11[number] for number in to_shen11(given).flatten()]
    assert found == ["skin", "r_brow", "l_eye", "nose", "u_lip", "mouth", "l_lip", "hair", "skin"]
    outside = to_shen11(classes("background", "neck", "cloth", "hat", "earring", "necklace"))
    assert outside.tolist() == [[[0] * 6]]
    every = to_shen11(torch.arange(19, dtype=torch.uint8).reshape(1, 1, 19))
    assert set(every.flatten().tolist()) == set(range(11))
    assert every.dtype == torch.uint8


def test_nineteen_classes_to_four_agree_with_eleven():
    every = torch.arange(19, dtype=torch.uint8).reshape(1, 1, 19)
    four, eleven = to_four(every).flatten().tolist(), to_shen11(every).flatten().tolist()
    coarse = {"background": 0, "skin": 1, "hair": 2}
    for name, number, fine in zip(CLASSES, four, eleven, strict=True):
        expected = 3 if name == "glasses" else coarse.get(SHEN11[fine], 3)
        assert number == expected, name
    assert FOUR == ("background", "skin", "hair", "inner")


def test_mirrored_exchanges_sides_and_is_its_own_inverse():
    every = torch.arange(19, dtype=torch.uint8).reshape(1, 1, 19)
    names = [CLASSES[number] for number in swap_sides(every).flatten()]
    for before, after in zip(CLASSES, names, strict=True):
        if before[:2] in ("l_", "r_") and before != "l_lip":
            assert after == {"l": "r", "r": "l"}[before[0]] + before[1:]
        else:
            assert after == before
    assert torch.equal(swap_sides(swap_sides(every)), every)


def test_one_hot():
    labels = torch.tensor([[[0, 2], [1, 2]]], dtype=torch.uint8)
    found = one_hot(labels, 3)
    assert found.shape == (1, 3, 2, 2)
    assert found.dtype == torch.float32
    assert torch.equal(found.argmax(1), labels.long())
    assert torch.equal(found.sum(1), torch.ones(1, 2, 2))


def drawn_face(**parts):
    labels = np.full((40, 60), CLASSES.index("skin"), np.uint8)
    for name, (rows, columns) in parts.items():
        labels[rows, columns] = CLASSES.index(name.rstrip("_"))
    return labels


def test_sides_are_assigned_by_place():
    wrong = drawn_face(
        l_eye=(slice(10, 14), slice(10, 20)),
        r_eye=(slice(10, 14), slice(40, 50)),
        r_eye_=(slice(10, 14), slice(17, 20)),  # part of an eye taken for the other
        r_brow=(slice(4, 6), slice(41, 49)),  # no partner: the nose decides
        nose=(slice(14, 25), slice(26, 33)),
    )
    found = assign_sides(wrong)
    assert (found[10:14, 10:20] == CLASSES.index("r_eye")).all()
    assert (found[10:14, 40:50] == CLASSES.index("l_eye")).all()
    assert (found[4:6, 41:49] == CLASSES.index("l_brow")).all()
    others = ~np.isin(wrong, [CLASSES.index(n) for n in ("l_eye", "r_eye", "l_brow", "r_brow")])
    assert np.array_equal(found[others], wrong[others])
    assert np.array_equal(assign_sides(found), found)


def test_a_turned_face_keeps_both_eyes_apart():
    turned = drawn_face(
        l_eye=(slice(10, 14), slice(4, 8)),
        r_eye=(slice(10, 14), slice(14, 20)),
        nose=(slice(14, 25), slice(2, 5)),  # left of both
    )
    found = assign_sides(turned)
    assert found[11, 5] == CLASSES.index("r_eye")
    assert found[11, 16] == CLASSES.index("l_eye")
    assert np.array_equal(assign_sides(np.zeros((8, 8), np.uint8)), np.zeros((8, 8), np.uint8))


def released_state(seed=0):
    """Random values under the released names."""
    stream = torch.Generator().manual_seed(seed)
    blank = BiSeNet.__new__(BiSeNet)
    nn.Module.__init__(blank)
    from dfpg.pretrained.bisenet import ContextPath, Fusion, Head

    blank.cp, blank.ffm, blank.conv_out = ContextPath(), Fusion(), Head()
    state = {}
    for key, value in blank.state_dict().items():
        name, kind = key.rsplit(".", 1)
        if kind == "weight":
            fan = value[0].numel()
            state[key] = torch.randn(value.shape, generator=stream) * (2 / fan) ** 0.5
        else:
            path, own = name.rsplit(".", 1)
            norms = {"conv": "bn", "conv1": "bn1", "conv2": "bn2", "conv_atten": "bn_atten"}
            norm = f"{path}.{norms.get(own, '1')}"
            uniform = torch.rand(4, len(value), generator=stream)
            state[f"{norm}.weight"], state[f"{norm}.running_var"] = uniform[:2] + 0.5
            state[f"{norm}.bias"], state[f"{norm}.running_mean"] = (uniform[2:] - 0.5) * 0.2
    state["conv_out16.conv.conv.weight"] = torch.zeros(1)
    return state


def test_folding_equals_batch_normalisation():
    state = released_state()
    folded = fold(state)
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    for conv, norm, inputs in (
        ("cp.resnet.conv1", "cp.resnet.bn1", images),
        ("cp.resnet.layer2.0.downsample.0", "cp.resnet.layer2.0.downsample.1", None),
        ("cp.arm16.conv_atten", "cp.arm16.bn_atten", None),
    ):
        weight = state[f"{conv}.weight"]
        given = torch.randn(2, weight.shape[1], 5, 5) if inputs is None else inputs
        statistics = [state[f"{norm}.{kind}"] for kind in ("running_mean", "running_var")]
        affine = [state[f"{norm}.{kind}"] for kind in ("weight", "bias")]
        plain = nn.functional.conv2d(given, weight)
        expected = nn.functional.batch_norm(plain, *statistics, *affine, eps=EPSILON)
        found = nn.functional.conv2d(given, folded[f"{conv}.weight"], folded[f"{conv}.bias"])
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_the_network_has_the_released_size_and_a_score_per_class_and_pixel():
    network = BiSeNet(released_state())
    assert network(torch.zeros(1, 3, 64, 96)).shape == (1, 19, 64, 96)
    assert not any(parameter.requires_grad for parameter in network.parameters())
    # ResNet-18 without its classifier: 11,176,512, of which 4,800 of its biases were norms'.
    trunk = sum(value.numel() for value in network.cp.resnet.parameters())
    assert trunk == 11_176_512 - 4_800


def test_damaged_or_foreign_weights_are_refused(tmp_path):
    path = tmp_path / "bisenet.safetensors"
    path.write_bytes(b"nonsense")
    with pytest.raises(UserError, match="dfpg fetch"):
        load_bisenet(path)
    state = released_state()
    del state["ffm.conv1.weight"]
    save_file(state, path)
    with pytest.raises(UserError, match="not the weights of BiSeNet"):
        load_bisenet(path)


def test_labels_survive_storage_and_missing_or_damaged_ones_are_named(tmp_path):
    with pytest.raises(UserError, match="missing; run `dvc repro parsing`"):
        load_labels(tmp_path, ["one"])
    one, two = np.random.default_rng(0).integers(0, 19, (2, 3, 8, 8), np.uint8)
    save_labels(label_file(tmp_path, "one"), one)
    save_labels(label_file(tmp_path, "two"), two)
    assert np.array_equal(load_labels(tmp_path, ["one"]), one)
    assert np.array_equal(load_labels(tmp_path, ["two", "one"]), np.concatenate([two, one]))
    path = label_file(tmp_path, "one")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match="damaged"):
        load_labels(tmp_path, ["one"])


def test_the_sheet_shows_faces_beside_their_maps(tmp_path):
    pictures = np.random.default_rng(0).integers(0, 255, (5, 8, 8, 3), np.uint8)
    labels = np.zeros((5, 8, 8), np.uint8)
    labels[4] = CLASSES.index("hair")
    draw_parsing_sheet(pictures, labels, tmp_path / "sheet.png", columns=3)
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert sheet.shape == (16, 48, 3)
    assert np.array_equal(sheet[8:, 16:24], pictures[4])
    assert len(np.unique(sheet[8:, 24:32].reshape(-1, 3), axis=0)) == 1
    assert not np.array_equal(sheet[8, 24], sheet[0, 8])
    assert (sheet[8:, 32:] == 255).all()


def test_landmarks_of_the_embedded_faces_lie_on_their_parts(network):
    faces = load_folder(ROOT / "data", "test", None)
    rows = np.arange(0, len(faces.pictures), len(faces.pictures) // 6)[:6]
    labels = parse_faces(faces.pictures[rows], network)
    assert labels.shape == (6, 160, 160)
    wanted = [{"r_eye", "glasses"}, {"l_eye", "glasses"}, {"nose"}]  # as seen: left one first
    hits = []
    for one, points in zip(labels, faces.landmarks[rows], strict=True):
        for names, (x, y) in zip(wanted, points, strict=False):
            near = one[round(y) - 2 : round(y) + 3, round(x) - 2 : round(x) + 3]
            hits.append(bool(np.isin(near, [CLASSES.index(name) for name in names]).any()))
    assert np.mean(hits) > 0.9


def test_smaller_input_gives_coarser_maps_of_the_same_face(network):
    faces = load_folder(ROOT / "data", "test", None)
    fine = parse_faces(faces.pictures[:4], network)
    coarse = parse_faces(faces.pictures[:4], network, side=256)
    assert 0.9 < (fine == coarse).mean() < 1


@pytest.mark.skipif(not MASKS.is_dir(), reason="needs shared/data/celebamask_hq (DFPG_SHARED)")
def test_parsing_agrees_with_the_masks_of_celebamask(network):
    masks = sorted((MASKS / "masks").glob("*.png"))[::140][:8]
    pictures = np.stack(
        [np.asarray(Image.open(MASKS / "images" / f"{path.stem}.jpg")) for path in masks]
    )
    truth = from_celebamask(torch.from_numpy(np.stack([np.array(Image.open(m)) for m in masks])))
    found = parse_faces(pictures, network)
    assert set(CELEBAMASK_ORDER) == set(CLASSES)
    for name, least in (("skin", 0.9), ("hair", 0.85), ("nose", 0.8)):
        one, other = found == CLASSES.index(name), truth.numpy() == CLASSES.index(name)
        assert (one & other).sum() / (one | other).sum() > least, name
