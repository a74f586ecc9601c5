"""Device, precision and determinism: chosen once, from the machine and ``training.precision``."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch

from dfpg.core.config import Requested
from dfpg.core.errors import UserError

if TYPE_CHECKING:
    from accelerate import PartialState

CPU_ONLY = "ACCELERATE_USE_CPU"
PLACE = "LOCAL_RANK"  # what launchers of several processes tell each of them
Precision = Literal["fp32", "bf16"]
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # parameters of glibc's mallopt


def process_group() -> PartialState:
    """This process's device and its place among the processes of one training.

    One process unless started by ``accelerate launch`` or ``torchrun``. CUDA comes before MPS
    before the CPU; ``ACCELERATE_USE_CPU=1`` forces the CPU.
    """
    from accelerate import PartialState

    return PartialState(cpu=_accelerator() is None)


def select_device() -> torch.device:
    """Device that this process computes on; see :func:`process_group`."""
    if PLACE in os.environ:
        device: torch.device = process_group().device
        return device
    return _accelerator() or torch.device("cpu")


def _accelerator() -> torch.device | None:
    """The fastest device that is not the CPU, unless the user wants the CPU."""
    if os.environ.get(CPU_ONLY, "").lower() in ("1", "true", "t", "yes", "y", "on"):
        return None
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps") if torch.backends.mps.is_available() else None


def resolve_precision(
    requested: Requested, device: torch.device, parameter: str = "training.precision"
) -> Precision:
    """Precision to compute in; ``auto`` is bf16 where the hardware multiplies it natively.

    On a CPU "natively" means AMX tiles or AVX-512 BF16: without them bf16 is converted on the fly,
    which is slower than fp32.

    Args:
        requested: value of the parameter.
        device: that computes.
        parameter: by which it was requested, to be named where it cannot be.

    Raises:
        UserError: bf16 is asked for and the device cannot compute it.
    """
    if requested == "bf16" and not _supports_bf16(device, native=False):
        raise UserError(
            f"{parameter}: bf16 is not supported by this {device.type} device: "
            "set it to auto or fp32"
        )
    if requested == "auto":
        return "bf16" if _supports_bf16(device, native=True) else "fp32"
    return requested


def _supports_bf16(device: torch.device, native: bool) -> bool:
    """Whether the device computes bf16 at all, or (``native``) without emulation."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu" and torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        products = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
        return bool((products or not native) and torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return False


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """Context in which forward passes on ``device`` compute in ``precision``."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


def set_deterministic() -> None:
    """Make equal inputs give equal bits on one machine: what exact resume rests on.

    cuDNN's benchmark mode stays off, because it picks algorithms by timing, and these differ in
    their last bits from run to run. Operations without a deterministic version only warn.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Filling fresh memory is for finding bugs and costs time on every allocation.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def keep_freed_memory() -> None:
    """Let the C library keep memory that tensors free, for the next ones.

    By default glibc hands large blocks back and asks for them again, zeroed by the kernel, dozens
    of times in a training step. Elsewhere than on Linux with glibc this does nothing.
    """
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "mallopt"):
        library.mallopt(M_MMAP_MAX, 0)
        library.mallopt(M_TRIM_THRESHOLD, -1)  # never


def describe_device(requested: Requested = "auto") -> dict[str, str | int]:
    """Facts for ``environment.json``: device, its name, processes, CPU threads, precision."""
    group = process_group()
    device = group.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _cpu_name()
    return {
        "device": device.type,
        "device_name": name,
        "processes": group.num_processes,
        "threads": torch.get_num_threads(),
        "precision": resolve_precision(requested, device),
    }


def _cpu_name() -> str:
    """Processor model: Linux keeps it in /proc, elsewhere Python knows."""
    table = Path("/proc/cpuinfo")
    if table.exists():
        for line in table.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
