"""``dfpg export-onnx``: a trained method as an ONNX file, checked against onnxruntime."""

from __future__ import annotations

import io
import json
import warnings
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dfpg.core.errors import UserError
from dfpg.core.files import atomic_write
from dfpg.methods.base import Method
from dfpg.methods.registry import build_restorer
from dfpg.methods.weights import read_card
from dfpg.pretrained.onnx_network import session_options

OPSET = 17
INPUT, OUTPUT = "blurred", "restored"
FREE = {0: "batch", 2: "height", 3: "width"}
TOLERANCE = 2e-3  # in [-1, 1]: a quarter of a grey level
SEED = 0  # of the random pictures that the check restores


class _Network(nn.Module):
    """The computation of :meth:`dfpg.methods.base.Method.restore` without its padding."""

    def __init__(self, method: Method) -> None:
        super().__init__()
        self._method = method
        self.generator = method.networks["generator"]

    def forward(self, blurred: Tensor) -> Tensor:
        return self._method.infer(blurred).float().clamp(-1, 1)


def export_onnx(weights: Path, out: Path, force: bool = False) -> str:
    """Write a trained method as ONNX and say how far onnxruntime's result is from PyTorch's.

    Input ``blurred`` and output ``restored`` are float32 [N, 3, H, W] in [-1, 1]. Where the
    network allows it, N, H and W are free, H and W in multiples that the metadata state; else they
    are those of one training picture.

    Args:
        weights: of a trained run.
        out: file to write, ending in ``.onnx``.
        force: replace it.

    Returns:
        What was written, the sizes it takes, and the greatest difference.

    Raises:
        UserError: the file is there or has another ending; the weights cannot be read; the method
            cannot be exported, or onnxruntime computes something else.
    """
    if out.suffix.lower() != ".onnx":
        raise UserError(f"{out}: name a file that ends in .onnx")
    if out.exists() and not force:
        raise UserError(f"{out}: is there: --force replaces it")
    method = build_restorer(weights, torch.device("cpu"))
    network = _Network(method).eval().requires_grad_(False)
    data, free, difference = _export(network, method, weights)
    steps = read_card(weights).steps
    with atomic_write(out) as stream:
        stream.write(_with_metadata(data, method, free, steps))
    side = method.setting.image_size
    sizes = (
        f"any batch, height and width in multiples of {method.multiple} px"
        if free
        else f"one picture of {side} x {side} px: {method.name} does not leave its size free"
    )
    return (
        f"{out}: {method.name}, ONNX opset {OPSET}, {len(data) / 1e6:.1f} MB\n"
        f"takes {sizes}; RGB in [-1, 1], float32 [N, 3, H, W]\n"
        f"greatest difference between onnxruntime and PyTorch: {difference:.1e} of [-1, 1], "
        f"{difference * 127.5:.4f} grey levels"
    )


def _export(network: nn.Module, method: Method, weights: Path) -> tuple[bytes, bool, float]:
    """The network as ONNX, whether batch, height and width are free, and what the check found.

    A size is left free only if the file computes right at other sizes, too: a network that reads
    its input's size while it is traced is exported without complaint, and is wrong elsewhere.
    """
    reason = ""
    for free in (True, False):
        try:
            data = _trace(network, method, free)
            difference = _check(data, network, method, free, weights)
        except UserError as error:
            reason = str(error).removeprefix(f"{weights}: ")
        except Exception as error:  # the exporter and onnxruntime raise classes of their own
            reason = f"{type(error).__name__}: {(str(error).splitlines() or ['no reason'])[0]}"
        else:
            return data, free, difference
    raise UserError(f"{weights}: {method.name} cannot be exported to ONNX ({reason[:160]})")


def _trace(network: nn.Module, method: Method, free: bool) -> bytes:
    """ONNX by tracing: PyTorch's exporter that needs no further package."""
    side = method.setting.image_size
    with (
        TemporaryDirectory() as folder,
        warnings.catch_warnings(),
        redirect_stdout(io.StringIO()),
        torch.no_grad(),
    ):
        warnings.simplefilter("ignore")  # about values fixed by tracing, which the check tests
        path = Path(folder) / "traced.onnx"
        torch.onnx.export(
            network,
            (_pictures(1 + free, side, side),),
            path,
            dynamo=False,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_axes={INPUT: FREE, OUTPUT: FREE} if free else None,
        )
        return path.read_bytes()


def _check(data: bytes, network: nn.Module, method: Method, free: bool, weights: Path) -> float:
    """Greatest difference from PyTorch at the training size and, where free, at two others.

    Raises:
        UserError: it is more than ``TOLERANCE``.
    """
    import onnxruntime

    side, step = method.setting.image_size, method.multiple
    shapes = [(1, side, side)]
    if free:
        shapes += [(3, side + step, side + 2 * step), (2, side + 3 * step, side)]
    options = session_options()
    options.log_severity_level = 4  # a failure is raised, too
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    worst = 0.0
    for count, height, width in shapes:
        pictures = _pictures(count, height, width)
        with torch.no_grad():
            wanted = network(pictures).numpy()
        found = session.run(None, {INPUT: pictures.numpy()})[0]
        worst = max(worst, float(np.abs(found - wanted).max()))
    if not worst <= TOLERANCE:  # nor no number
        raise UserError(f"{weights}: onnxruntime's result is {worst:.1e} from PyTorch's")
    return worst


def _pictures(count: int, height: int, width: int) -> Tensor:
    """Random pictures [count, 3, height, width] in [-1, 1]."""
    stream = torch.Generator().manual_seed(SEED)
    return torch.rand(count, 3, height, width, generator=stream) * 2 - 1


def _with_metadata(data: bytes, method: Method, free: bool, steps: int) -> bytes:
    """The model with what a reader of the file needs to know, as ONNX metadata."""
    import onnx

    model = onnx.load_from_string(data)
    facts: dict[str, Any] = {
        "method": method.name,
        "options": json.dumps(method.options.model_dump(mode="json")),
        "multiple": method.multiple if free else method.setting.image_size,
        "image_size": method.setting.image_size,
        "steps": steps,
        "range": "RGB, -1 to 1",
    }
    onnx.helper.set_model_props(model, {name: str(value) for name, value in facts.items()})
    packed: bytes = model.SerializeToString()
    return packed
