"""MobileFaceNet as an ONNX file that ``insightface`` loads as an ArcFace embedder.

Chen et al. 2018, "MobileFaceNets", with PReLU and a 7 x 7 global depthwise convolution, 512-d
embedding. The graph is written node by node, so that the same weights give the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIZE = 112  # px, side of the aligned input
EMBEDDING = 512
OPSET = 17
IR_VERSION = 8
EPSILON = 1e-5  # of every batch normalisation
TRAINED_SCALE = 128.0  # the weights expect (BGR - 127.5) / 128
FED_SCALE = 127.5  # insightface feeds (RGB - 127.5) / 127.5

# Stage name -> (residual units, or None for one unit without shortcut, and its stride).
_STAGES: dict[str, tuple[int | None, int]] = {
    "conv_23": (None, 2),
    "conv_3": (4, 1),
    "conv_34": (None, 2),
    "conv_4": (6, 1),
    "conv_45": (None, 2),
    "conv_5": (2, 1),
}


def insightface_input(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """First convolution [O, 3, 3, 3] that takes RGB / 127.5 in place of BGR / 128."""
    return np.ascontiguousarray(weight[:, ::-1] * np.float32(FED_SCALE / TRAINED_SCALE))


class _Graph:
    """Collects nodes and weights; every method returns the name of its output."""

    def __init__(self, weights: Mapping[str, NDArray[Any]]) -> None:
        self.weights = weights
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []

    def constant(self, name: str, value: NDArray[Any]) -> str:
        from onnx import numpy_helper

        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        from onnx import helper

        # insightface takes a node called Sub... or Mul... among the first for preprocessing.
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def normalise(self, x: str, name: str) -> str:
        parts = ("weight", "bias", "running_mean", "running_var")
        values = [self.constant(f"{name}.{part}", self.weights[f"{name}.{part}"]) for part in parts]
        return self.node("BatchNormalization", [x, *values], f"{name}.out", epsilon=EPSILON)

    def block(self, x: str, name: str, stride: int = 1, padding: int = 0) -> str:
        """Convolution, batch normalisation and, where the weights have one, PReLU."""
        weight = self.weights[f"{name}.conv.weight"]
        depthwise = weight.shape[1] == 1
        x = self.node(
            "Conv",
            [x, self.constant(f"{name}.conv.weight", weight)],
            f"{name}.conv.out",
            kernel_shape=list(weight.shape[2:]),
            strides=[stride, stride],
            pads=[padding] * 4,
            group=weight.shape[0] if depthwise else 1,
        )
        x = self.normalise(x, f"{name}.bn")
        slope = self.weights.get(f"{name}.prelu.weight")
        if slope is None:
            return x
        slopes = self.constant(f"{name}.prelu.weight", slope[:, None, None])
        return self.node("PRelu", [x, slopes], f"{name}.prelu.out")

    def unit(self, x: str, name: str, stride: int) -> str:
        """Inverted bottleneck: expand 1 x 1, depthwise 3 x 3, project 1 x 1 without PReLU."""
        x = self.block(x, f"{name}.conv")
        x = self.block(x, f"{name}.conv_dw", stride, padding=1)
        return self.block(x, f"{name}.project")


def write_onnx(weights: Mapping[str, NDArray[Any]]) -> bytes:
    """ONNX file of the network.

    Args:
        weights: arrays by name (``conv1.conv.weight`` ...), float32, trained on BGR input.

    Returns:
        The file's bytes: input [N, 3, 112, 112] RGB in [-1, 1], output unit vectors [N, 512].
        Preprocessing is folded into the first convolution, see :func:`insightface_input`.
    """
    from onnx import TensorProto, helper

    first = "conv1.conv.weight"
    graph = _Graph({**weights, first: insightface_input(weights[first])})
    x = graph.block("input", "conv1", stride=2, padding=1)
    x = graph.block(x, "conv2_dw", padding=1)
    for stage, (units, stride) in _STAGES.items():
        if units is None:
            x = graph.unit(x, stage, stride)
            continue
        for index in range(units):
            name = f"{stage}.model.{index}"
            x = graph.node("Add", [x, graph.unit(x, name, stride)], f"{name}.out")
    x = graph.block(x, "conv_6_sep")
    x = graph.block(x, "conv_6_dw")
    x = graph.node("Flatten", [x], "flatten.out", axis=1)
    x = graph.node(
        "Gemm",
        [x, graph.constant("linear.weight", weights["linear.weight"])],
        "linear.out",
        transB=1,
    )
    x = graph.normalise(x, "bn")
    x = graph.node("LpNormalization", [x], "embedding", axis=1, p=2)
    proto = helper.make_graph(
        graph.nodes,
        "mobilefacenet",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, SIZE, SIZE])],
        [helper.make_tensor_value_info(x, TensorProto.FLOAT, ["N", EMBEDDING])],
        graph.initializers,
    )
    model = helper.make_model(
        proto,
        producer_name="dfpg",
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET)],
    )
    return bytes(model.SerializeToString(deterministic=True))
