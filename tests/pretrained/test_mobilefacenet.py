from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
from torch.nn import functional

from dfpg.pretrained.mobilefacenet import EMBEDDING, SIZE, write_onnx

UNITS = {"conv_23": (64, 64, 128), "conv_34": (64, 128, 256), "conv_45": (128, 128, 512)}
REPEATED = {"conv_3": (64, 4, 128), "conv_4": (128, 6, 256), "conv_5": (128, 2, 256)}
ORDER = ("conv_23", "conv_3", "conv_34", "conv_4", "conv_45", "conv_5")


@pytest.fixture(scope="module")
def weights():
    generator = np.random.default_rng(0)
    arrays = {}

    def block(name, inputs, outputs, kernel, groups=1, slope=True):
        fan = inputs // groups * kernel * kernel
        shape = (outputs, inputs // groups, kernel, kernel)
        arrays[f"{name}.conv.weight"] = generator.normal(0, fan**-0.5, shape)
        norm(f"{name}.bn", outputs)
        if slope:
            arrays[f"{name}.prelu.weight"] = generator.uniform(0, 0.5, outputs)

    def norm(name, width):
        arrays[f"{name}.weight"] = generator.uniform(0.5, 1.5, width)
        arrays[f"{name}.bias"] = generator.normal(0, 0.1, width)
        arrays[f"{name}.running_mean"] = generator.normal(0, 0.1, width)
        arrays[f"{name}.running_var"] = generator.uniform(0.5, 1.5, width)

    def unit(name, inputs, outputs, width):
        block(f"{name}.conv", inputs, width, 1)
        block(f"{name}.conv_dw", width, width, 3, width)
        block(f"{name}.project", width, outputs, 1, slope=False)

    block("conv1", 3, 64, 3)
    block("conv2_dw", 64, 64, 3, 64)
    for name, sizes in UNITS.items():
        unit(name, *sizes)
    for name, (channels, count, width) in REPEATED.items():
        for index in range(count):
            unit(f"{name}.model.{index}", channels, channels, width)
    block("conv_6_sep", 128, 512, 1)
    block("conv_6_dw", 512, 512, 7, 512, slope=False)
    arrays["linear.weight"] = generator.normal(0, 512**-0.5, (EMBEDDING, 512))
    norm("bn", EMBEDDING)
    return {name: value.astype(np.float32) for name, value in arrays.items()}


def reference(weights, bgr):
    """MobileFaceNet in torch's own functions, on the input its weights were trained with."""
    w = {name: torch.from_numpy(value) for name, value in weights.items()}

    def norm(x, name):
        return functional.batch_norm(
            x,
            w[f"{name}.running_mean"],
            w[f"{name}.running_var"],
            w[f"{name}.weight"],
            w[f"{name}.bias"],
        )

    def block(x, name, stride=1, padding=0):
        kernel = w[f"{name}.conv.weight"]
        groups = len(kernel) if kernel.shape[1] == 1 else 1
        x = norm(functional.conv2d(x, kernel, None, stride, padding, 1, groups), f"{name}.bn")
        slope = w.get(f"{name}.prelu.weight")
        return x if slope is None else functional.prelu(x, slope)

    def unit(x, name, stride):
        x = block(x, f"{name}.conv")
        return block(block(x, f"{name}.conv_dw", stride, 1), f"{name}.project")

    x = block(block(bgr, "conv1", 2, 1), "conv2_dw", 1, 1)
    for stage in ORDER:
        if stage in UNITS:
            x = unit(x, stage, 2)
        else:
            for index in range(REPEATED[stage][1]):
                x = x + unit(x, f"{stage}.model.{index}", 1)
    x = block(block(x, "conv_6_sep"), "conv_6_dw").flatten(1)
    return functional.normalize(norm(x @ w["linear.weight"].T, "bn"))


def test_onnx_equals_a_torch_implementation_on_bgr_over_128(weights):
    pixels = torch.randint(0, 256, (2, 3, SIZE, SIZE), generator=torch.Generator().manual_seed(0))
    session = onnxruntime.InferenceSession(write_onnx(weights), providers=["CPUExecutionProvider"])
    fed = ((pixels.float() - 127.5) / 127.5).numpy()  # RGB, what insightface feeds
    (embedding,) = session.run(None, {"input": fed})
    expected = reference(weights, (pixels.flip(1).float() - 127.5) / 128)
    assert embedding.shape == (2, EMBEDDING)
    np.testing.assert_allclose(np.linalg.norm(embedding, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(embedding, expected.numpy(), atol=2e-5)


def test_same_weights_give_the_same_bytes(weights):
    assert write_onnx(weights) == write_onnx(dict(reversed(weights.items())))


def test_insightface_takes_it_for_an_arcface_with_plain_preprocessing(weights, tmp_path):
    from insightface.model_zoo import ArcFaceONNX, get_model

    path = tmp_path / "mobilefacenet.onnx"
    path.write_bytes(write_onnx(weights))
    model = get_model(str(path), providers=["CPUExecutionProvider"])
    assert isinstance(model, ArcFaceONNX)
    assert (model.input_mean, model.input_std) == (127.5, 127.5)
    assert model.get_feat(np.zeros((SIZE, SIZE, 3), np.uint8)).shape == (1, EMBEDDING)
