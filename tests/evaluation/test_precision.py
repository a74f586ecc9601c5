"""Number formats of restoring: who reads ``evaluation.precision``, and what it does not reach."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.toys import Toy

from dfpg.commands.sheet import real_blur
from dfpg.commands.sheet import sheet as sheet_command
from dfpg.core.errors import UserError
from dfpg.core.files import write_image
from dfpg.core.profile import use_profile
from dfpg.data.testsets import TestSet as Shards
from dfpg.evaluation.restore import evaluation_precision, load_restore, restore_in_precision
from dfpg.evaluation.score import score_testsets
from dfpg.methods.registry import build_method
from dfpg.methods.weights import save_weights
from dfpg.metrics.psnr import Psnr
from dfpg.stages.environment import environment as environment_stage
from dfpg.stages.evaluate import evaluate as evaluate_stage
from dfpg.stages.pictures import pictures as pictures_stage

CPU = torch.device("cpu")
SIDE = 32
needs_bf16 = pytest.mark.skipif(
    not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="this CPU cannot compute bf16"
)


def with_precision(config, precision):
    settings = config.evaluation.model_copy(update={"precision": precision})
    return config.model_copy(update={"evaluation": settings})


@pytest.fixture
def testset() -> Shards:
    """Six images of three faces."""
    sharp = np.random.default_rng(0).integers(0, 256, (3, SIDE, SIDE, 3), dtype=np.uint8)
    keys = ["image", "subset", "mode", "person", "face", "sharp", "kernel", "size"]
    rows = [(i, "celeba", "center", f"p{i % 3}", f"{i % 3}.jpg", i % 3, i, 13) for i in range(6)]
    return Shards(sharp, np.roll(sharp[[0, 1, 2] * 2], 1, 1), pd.DataFrame(rows, columns=keys))


class Seen(Toy):
    """Records whether autocast is on while it restores."""

    def __init__(self) -> None:
        super().__init__()
        self.autocast: list[bool] = []

    def infer(self, blurred):
        self.autocast.append(torch.is_autocast_enabled("cpu"))
        return super().infer(blurred)


class Watching:
    """A metric that records whether autocast is on."""

    def __init__(self) -> None:
        self.autocast: list[bool] = []

    def features(self, sharp):
        self.autocast.append(torch.is_autocast_enabled("cpu"))
        return (sharp,)

    def score(self, restored, _):
        self.autocast.append(torch.is_autocast_enabled("cpu"))
        return restored.double().mean((1, 2, 3))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_precision_reaches_the_network_and_not_the_metrics(config, testset, tmp_path, precision):
    method, metric = Seen(), Watching()
    restore = restore_in_precision(method, CPU, precision)
    score_testsets(config, "b1", restore, {"b": testset}, {"mean": metric}, tmp_path / "b1.csv")
    assert set(method.autocast) == {precision == "bf16"}
    assert set(metric.autocast) == {False}


@pytest.fixture
def weights(config, tmp_path):
    """NAFNet, a little away from its identity start."""
    method = build_method(config, "nafnet", None)
    stream = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in method.networks["generator"].parameters():
            parameter.add_(0.01 * torch.randn(parameter.shape, generator=stream))
    save_weights(tmp_path / "artifacts" / "weights" / "nafnet.safetensors", method, 0)
    return tmp_path / "artifacts" / "weights" / "nafnet.safetensors"


@needs_bf16
def test_bf16_scores_differ_little_and_fp32_are_the_methods_own(config, weights, testset, tmp_path):
    tables = {}
    for precision in ("fp32", "bf16"):
        out = tmp_path / f"{precision}.csv"
        restore = load_restore(with_precision(config, precision), weights, CPU)
        assert restore(torch.zeros(1, 3, SIDE, SIDE)).dtype == torch.float32
        score_testsets(config, "b1", restore, {"b": testset}, {"psnr": Psnr()}, out)
        tables[precision] = pd.read_csv(out)
    difference = (tables["bf16"]["psnr"] - tables["fp32"]["psnr"]).abs()
    assert 0 < difference.max() < 0.05  # dB


def test_auto_is_resolved_for_the_device(config, set_cpu):
    auto = with_precision(config, "auto")
    set_cpu(bf16=True, amx=True)
    assert evaluation_precision(auto, CPU) == "bf16"
    assert evaluation_precision(config, CPU) == "fp32"  # the profiles' own value
    set_cpu(bf16=False, amx=False)
    assert evaluation_precision(auto, CPU) == "fp32"


COMMANDS = {
    "evaluate": lambda _: evaluate_stage("nafnet"),
    "sheet": lambda folder: sheet_command(folder / "sheet.png"),
    "pictures": lambda _: pictures_stage(),
    "real blur": lambda folder: real_blur(folder / "pictures", folder / "artifacts" / "x.png", []),
    "environment": lambda _: environment_stage(),
}


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.usefixtures("weights")
def test_every_command_that_restores_refuses_what_the_device_cannot(
    tmp_path, monkeypatch, set_cpu, name
):
    params = tmp_path / "params.yaml"
    use_profile("smoke", params)
    text = params.read_text()
    assert text.count("precision: fp32") == 1
    params.write_text(text.replace("precision: fp32", "precision: bf16"))
    write_image(tmp_path / "pictures" / "a.png", np.zeros((SIDE, SIDE, 3), np.uint8))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("dfpg.core.device.process_group", lambda: _Processor)
    monkeypatch.setattr("dfpg.core.device._accelerator", lambda: None)
    set_cpu(bf16=False, amx=False)
    with pytest.raises(UserError, match=r"^evaluation\.precision: bf16 is not supp") as error:
        COMMANDS[name](tmp_path)
    assert "\n" not in str(error.value)


class _Processor:
    """A process group of one, on the CPU."""

    device, num_processes = CPU, 1
