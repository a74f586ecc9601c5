from __future__ import annotations

import platform
import subprocess
import sys

import pytest
import torch

from dfpg.core.device import (
    describe_device,
    resolve_precision,
    select_device,
    set_deterministic,
)
from dfpg.core.errors import UserError

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("bf16", "amx", "avx512_bf16", "expected"),
    [
        (True, True, False, "bf16"),
        (True, False, True, "bf16"),
        (True, False, False, "fp32"),
        (False, False, False, "fp32"),
    ],
)
def test_auto_is_bf16_only_where_the_cpu_has_it_natively(set_cpu, bf16, amx, avx512_bf16, expected):
    set_cpu(bf16, amx, avx512_bf16)
    assert resolve_precision("auto", CPU) == expected
    assert resolve_precision("fp32", CPU) == "fp32"


def test_explicit_bf16_is_allowed_where_it_is_only_slow(set_cpu):
    set_cpu(bf16=True, amx=False)
    assert resolve_precision("bf16", CPU) == "bf16"


def test_explicit_bf16_is_refused_in_one_line_where_unsupported(set_cpu):
    set_cpu(bf16=False, amx=False)
    with pytest.raises(UserError, match=r"training\.precision: bf16 is not supported") as caught:
        resolve_precision("bf16", CPU)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("supported", "expected"), [(True, "bf16"), (False, "fp32")])
def test_auto_on_cuda_follows_the_hardware(monkeypatch, supported, expected):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: supported)
    assert resolve_precision("auto", torch.device("cuda")) == expected


def test_mps_computes_in_fp32():
    assert resolve_precision("auto", torch.device("mps")) == "fp32"


def test_device_is_the_best_there_is():
    best = "cpu"
    if torch.backends.mps.is_available():
        best = "mps"
    if torch.cuda.is_available():
        best = "cuda"
    assert select_device().type == best


def test_deterministic_settings():
    set_deterministic()
    assert torch.are_deterministic_algorithms_enabled()
    assert torch.backends.cudnn.deterministic
    assert not torch.backends.cudnn.benchmark
    # Fresh memory is not filled: with the debugging aid on, this would be NaN throughout.
    assert not torch.utils.deterministic.fill_uninitialized_memory


def test_description_holds_what_environment_json_needs():
    facts = describe_device("fp32")
    assert facts["device"] == select_device().type
    assert facts["device_name"]
    assert facts["threads"] == torch.get_num_threads()
    assert facts["processes"] == 1
    assert facts["precision"] == "fp32"


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc alone is told")
def test_freed_memory_is_kept_for_the_next_tensors() -> None:
    """Fresh pages cost a fault each; a process of its own, because the setting stays."""
    code = (
        "import resource, torch\n"
        "from dfpg.core.device import keep_freed_memory\n"
        "def faults():\n"
        "    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "    for _ in range(5): torch.ones(16 << 20)\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before\n"
        "returned = faults()\n"
        "keep_freed_memory()\n"
        "torch.ones(16 << 20)\n"
        "print(faults(), returned)\n"
    )
    # Where the kernel has put something right behind the heap, that cannot grow: so not once only.
    for _ in range(4):
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
        kept, returned = map(int, run.stdout.split())
        if kept < returned / 3:
            return
    pytest.fail(f"{kept} faults with the setting, {returned} without")
