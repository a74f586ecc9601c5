"""``python -m bench.profiler [SUBJECT ...]``: which operators a subject's time goes into."""

from __future__ import annotations

import sys
from collections.abc import Callable

import torch
from torch.profiler import ProfilerActivity, profile

from bench import inputs, test_metrics, test_synthesis, test_training
from bench.measure import Action, synchronise
from bench.test_restore import restore_action
from dfpg.core.device import select_device
from dfpg.data.blur.degrade import blur, to_signed

SIZE = 128  # px
ROWS = 8


def restore(device: torch.device, precision: str) -> Action:
    """Full-width DFPGnet on one image."""
    network = (
        inputs.untrained_method(inputs.profile("paper", SIZE), "dfpgnet").to(device).train(False)
    )
    return restore_action(network, inputs.blurred_batch(SIZE, 1, device), precision)


def training_step(device: torch.device, precision: str) -> Action:
    """One step of full-width DFPGnet on two images."""
    prior = inputs.prior_network(device)
    method = inputs.untrained_method(inputs.profile("paper", SIZE), "dfpgnet", prior).to(device)
    pair = [to_signed(f(SIZE)[:2]).to(device) for f in (inputs.sharp_faces, inputs.blurred_faces)]
    return test_training.step_action(method, test_training.Pair(*pair), precision)


def synthesis(device: torch.device) -> Action:
    """Blur of 16 images by their own kernels of 27 px."""
    images = to_signed(inputs.sharp_faces(SIZE)[:16]).to(device)
    kernels = torch.from_numpy(test_synthesis.kernel_bank(SIZE).train[27][:1]).to(device)
    return lambda: blur(images, kernels.expand(16, -1, -1))


def metric(device: torch.device, name: str) -> Action:
    """A metric's score of 16 images."""
    return test_metrics.actions(device)[f"{name}-score"]


SUBJECTS: dict[str, Callable[[torch.device], Action]] = {
    "restore-fp32": lambda device: restore(device, "fp32"),
    "restore-bf16": lambda device: restore(device, "bf16"),
    "training-fp32": lambda device: training_step(device, "fp32"),
    "training-bf16": lambda device: training_step(device, "bf16"),
    "blur": synthesis,
    **{name: lambda device, name=name: metric(device, name) for name in test_metrics.NAMES},
}


def operators(action: Action, device: torch.device) -> str:
    """Table of the operators by their own time, after two calls to warm up."""
    activities = [ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    for _ in range(2):
        action()
    with profile(activities=activities) as recorded:
        action()
        synchronise(device)
    order = f"self_{device.type}_time_total"
    return recorded.key_averages().table(sort_by=order, row_limit=ROWS, max_name_column_width=44)


def main(names: list[str]) -> int:
    """Print the tables of the named subjects, or of all."""
    unknown = [name for name in names if name not in SUBJECTS]
    if unknown:
        print(f"bench: no subject {unknown[0]!r}; there are {', '.join(SUBJECTS)}", file=sys.stderr)
        return 2
    device = select_device()
    for name in names or SUBJECTS:
        print(f"== {name} ({device})\n{operators(SUBJECTS[name](device), device)}\n", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
