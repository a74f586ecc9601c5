"""The same scores of a large image, in parts: memory that hardly grows with the image.

A map of VGG-16's first level has 64 float32 values a pixel. Here no such map is ever whole. Each
stage of a VGG trunk, the convolutions between two poolings, goes over the image in bands of rows.
A band takes as many rows more on either side as its convolutions look aside, and drops what lies
there: what remains is what the whole image would give there. Only what is pooled is kept, a
quarter of the first level. SSIM goes over tiles in the same way. The other metrics need little.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from dfpg.metrics.common import Metric, check_images, check_match, full_precision
from dfpg.metrics.d_vgg import LEAST_SIZE, DVgg
from dfpg.metrics.lpips import Lpips, unit_length
from dfpg.metrics.ssim import Ssim

BAND_VALUES = 2**23  # of one map of a band: 32 MiB
TILE = 256  # px, side of SSIM's tiles


def score_in_bands(metric: Metric, restored: Tensor, sharp: Tensor) -> Tensor:
    """``metric.score(restored, metric.features(sharp))`` up to the order of sums, float64 [N].

    Args:
        metric: any; those with large maps are computed in parts.
        restored: uint8 [N, 3, H, W].
        sharp: uint8 [N, 3, H, W].

    Raises:
        UserError: as the metric does.
    """
    check_match(restored, sharp.shape, metric.name)
    with torch.inference_mode(), full_precision():
        if isinstance(metric, Ssim):
            return _ssim(metric, restored, sharp)
        if isinstance(metric, Lpips) and _is_vgg(layers := _trunk(metric)):
            return _lpips(metric, layers, restored, sharp)
        if isinstance(metric, DVgg) and not metric.canonical:
            return _d_vgg(metric, restored, sharp)
        return metric.score(restored, metric.features(sharp))


def _ssim(metric: Ssim, restored: Tensor, sharp: Tensor) -> Tensor:
    check_images(sharp, metric.name, least=len(metric.window))
    reach = len(metric.window) // 2
    margin = reach if metric.border == "valid" else 0
    height, width = sharp.shape[2:]
    total, count = torch.zeros(len(sharp), dtype=torch.float64, device=sharp.device), 0
    for top, bottom in _spans(margin, height - margin):
        for left, right in _spans(margin, width - margin):
            above, before = max(0, top - reach), max(0, left - reach)
            around = (..., slice(above, bottom + reach), slice(before, right + reach))
            found = metric.map(restored[around], metric.features(sharp[around]))
            if not margin:  # at the image's border its own padding, elsewhere dropped
                found = found[..., top - above :, left - before :]
                found = found[..., : bottom - top, : right - left]
            total += found.sum(dim=(1, 2, 3))
            count += found[0].numel()
    return total / count


def _spans(start: int, stop: int) -> Iterator[tuple[int, int]]:
    """Ranges of nearly one length, at most ``TILE``, from ``start`` to ``stop``."""
    length = stop - start
    parts = -(-length // TILE)
    edges = [start + length * part // parts for part in range(parts + 1)]
    yield from pairwise(edges)


def _trunk(metric: Lpips) -> list[nn.Module]:
    """Layers of the package's trunk, which it keeps in five slices."""
    net = metric.network.net
    return [layer for level in range(net.N_slices) for layer in getattr(net, f"slice{level + 1}")]


def _is_vgg(layers: Sequence[nn.Module]) -> bool:
    """Whether all convolutions are 3 x 3, as VGG's and not AlexNet's are."""
    return all(x.kernel_size == (3, 3) for x in layers if isinstance(x, nn.Conv2d))


def _stages(layers: Sequence[nn.Module]) -> list[nn.Sequential]:
    """The layers between poolings of 2 x 2, without these."""
    stages = [nn.Sequential()]
    for layer in layers:
        if isinstance(layer, nn.MaxPool2d):
            stages.append(nn.Sequential())
        else:
            stages[-1].append(layer)
    return [stage for stage in stages if len(stage)]


def _lpips(metric: Lpips, layers: Sequence[nn.Module], restored: Tensor, sharp: Tensor) -> Tensor:
    total = torch.zeros(len(sharp), dtype=torch.float64, device=sharp.device)
    inputs = [metric.trunk_input(images) for images in (restored, sharp)]
    for stage, head in zip(_stages(layers), metric.network.lins, strict=True):
        height, width = inputs[0].shape[2:]
        pooled = [_pooled_space(stage, values) for values in inputs]
        for top, bottom in _bands(stage, inputs[0]):
            maps = [_band(stage, values, top, bottom) for values in inputs]
            for level, space in zip(maps, pooled, strict=True):
                _pool(level, space, top)
            difference = unit_length(maps[0]).sub_(unit_length(maps[1])).square_()
            values = head(difference).sum(dim=(1, 2, 3), dtype=torch.float64)
            total += values / (height * width)
        inputs = pooled
    return total


def _d_vgg(metric: DVgg, restored: Tensor, sharp: Tensor) -> Tensor:
    own, other = (_pool5(metric, images).to(torch.float64) for images in (restored, sharp))
    return (own - other).square().mean(dim=(1, 2, 3))


def _pool5(metric: DVgg, images: Tensor) -> Tensor:
    checked = check_images(images, metric.name, LEAST_SIZE)
    values = checked.to(torch.float32, memory_format=torch.channels_last)
    for stage in _stages(list(metric.prior.layers)):
        pooled = _pooled_space(stage, values)
        for top, bottom in _bands(stage, values):
            _pool(_band(stage, values, top, bottom), pooled, top)
        values = pooled
    return values


def _convolutions(stage: nn.Sequential) -> list[nn.Conv2d]:
    return [layer for layer in stage if isinstance(layer, nn.Conv2d)]


def _bands(stage: nn.Sequential, values: Tensor) -> Iterator[tuple[int, int]]:
    """First row and the row after the last, the first one even."""
    height, width = values.shape[2:]
    channels = _convolutions(stage)[-1].out_channels
    rows = max(8, BAND_VALUES // (len(values) * channels * width) // 2 * 2)
    for top in range(0, height, rows):
        yield top, min(top + rows, height)


def _band(stage: nn.Sequential, values: Tensor, top: int, bottom: int) -> Tensor:
    """Rows of the stage's output, which is as high as its input."""
    reach = len(_convolutions(stage))  # each convolution looks one row aside
    above = max(0, top - reach)
    found: Tensor = stage(values[:, :, above : bottom + reach])
    return found[:, :, top - above : bottom - above]


def _pooled_space(stage: nn.Sequential, values: Tensor) -> Tensor:
    height, width = values.shape[2:]
    channels = _convolutions(stage)[-1].out_channels
    space = values.new_empty(len(values), channels, height // 2, width // 2)
    return space.contiguous(memory_format=torch.channels_last)


def _pool(level: Tensor, space: Tensor, top: int) -> None:
    """Write a band's maxima of 2 x 2 into its place; a last odd row has none."""
    rows = level.shape[2] // 2
    if rows:
        space[:, :, top // 2 : top // 2 + rows] = functional.max_pool2d(level, 2)
