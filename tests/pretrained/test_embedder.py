from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from dfpg.core.errors import UserError
from dfpg.pretrained import embedder
from dfpg.pretrained.embedder import TEMPLATE, FaceEmbedder, embedder_path


def test_an_embedder_is_named_by_path_or_pack(tmp_path, monkeypatch):
    own = tmp_path / "mine.onnx"
    own.write_bytes(b"onnx")
    assert embedder_path(str(own)) == own
    monkeypatch.setattr(embedder, "BUFFALO_SC", own)
    assert embedder_path("buffalo_sc") == own


@pytest.mark.parametrize("name", ["buffalo_sc", "no/such.onnx"])
def test_a_missing_embedder_is_one_line(tmp_path, monkeypatch, name):
    monkeypatch.setattr(embedder, "BUFFALO_SC", tmp_path / "w600k_mbf.onnx")
    with pytest.raises(UserError, match=r"recognition\.embedder: .* is missing") as caught:
        embedder_path(name)
    assert "\n" not in str(caught.value)


def mean_of_channels(path, names=(), side=112):
    """Writes a network whose embedding is the mean of each channel of what it is fed."""
    fed = helper.make_tensor_value_info("fed", TensorProto.FLOAT, ["N", 3, side, side])
    given = helper.make_tensor_value_info("given", TensorProto.FLOAT, ["N", 3])
    nodes, last = [], "fed"
    for name in names:  # they change nothing
        nodes.append(helper.make_node("Identity", [last], [name], name=name))
        last = name
    nodes.append(helper.make_node("GlobalAveragePool", [last], ["mean"], name="mean"))
    nodes.append(helper.make_node("Flatten", ["mean"], ["given"], name="flat"))
    graph = helper.make_graph(nodes, "means", [fed], [given])
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8), path)


@pytest.mark.parametrize(
    ("names", "fed"),
    [
        ((), (np.array([200, 100, 30]) - 127.5) / 127.5),
        (("_minusscalar0", "_mulscalar0"), np.array([200, 100, 30])),
        (("Sub_1", "other"), (np.array([200, 100, 30]) - 127.5) / 127.5),
    ],
)
def test_a_network_is_fed_rgb_in_the_range_it_was_trained_with(tmp_path, names, fed):
    path = tmp_path / "means.onnx"
    mean_of_channels(path, names)
    picture = np.full((112, 112, 3), (200, 100, 30), np.uint8)
    vector = FaceEmbedder(path)(picture, TEMPLATE)
    np.testing.assert_allclose(vector, fed / np.linalg.norm(fed), rtol=2e-4)


def test_another_network_is_one_line(tmp_path):
    path = tmp_path / "other.onnx"
    mean_of_channels(path, side=224)
    with pytest.raises(UserError, match="no ArcFace network as ONNX"):
        FaceEmbedder(path)
