"""Score anyone's restored images against sharp ones, by every convention, outside a project too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dfpg.analysis.metric_ranges import clip_values
from dfpg.analysis.people_bootstrap import LEAST_PEOPLE, mean_interval
from dfpg.analysis.strata import make_stratum
from dfpg.commands.matching import ImagePair, Matching, match_images
from dfpg.core.config import Config
from dfpg.core.csv_files import to_csv
from dfpg.core.errors import UserError, escape_text
from dfpg.core.files import read_image, write_text
from dfpg.core.progress import Progress

if TYPE_CHECKING:
    import torch

    from dfpg.metrics.common import Metric
    from dfpg.pretrained.vggface import PriorNetwork

BATCH_PIXELS = 16 * 128 * 128  # bounds memory: 16 images at 128 px, one from 363 px on
PRIORS = Path("artifacts/priors")
Size = tuple[int, int]  # height, width in px


def score(
    restored: Path,
    sharp: Path,
    out: Path,
    force: bool,
    vggface: Path | None,
    suffix: str | None = None,
) -> str:
    """Score a folder of images; write the per-image CSV and return means and conventions as text.

    The settings are the paper's (profile ``paper``), whatever the project's are.

    Args:
        restored: folder of restored images.
        sharp: folder of sharp images.
        out: the CSV.
        force: replace ``out``.
        vggface: the user's VGGFace file for d_VGG; None: the network in ``artifacts/priors``,
            and no d_VGG where there is none.
        suffix: as :func:`dfpg.commands.matching.match_images` takes it.

    Raises:
        UserError: the CSV exists, images do not match or cannot be read, or an asset is missing.
    """
    if out.exists() and not force:
        raise UserError(f"{out}: exists: name another file with --out, or replace it with --force")
    found = measure(restored, sharp, vggface, suffix)
    write_text(out, to_csv(found.scores, index=False, float_format="%.6f"))
    sizes = sorted(set(found.sizes))
    lines = [
        found.matching.describe(),
        f"size: {', '.join(f'{width} x {height} px' for height, width in sizes)}",
        found.prior,
        "",
        summarise(found.config, found.scores, found.metrics),
        "",
        f"{escape_text(out)}: scores of every image",
    ]
    return "\n".join(lines)


class Measured(NamedTuple):
    """Scores of every pair, and what they are: settings, pairs, sizes, network of d_VGG."""

    scores: pd.DataFrame
    config: Config
    matching: Matching
    sizes: list[Size]
    prior: str
    metrics: Mapping[str, Metric]


def measure(restored: Path, sharp: Path, vggface: Path | None, suffix: str | None) -> Measured:
    """Match two folders and score every pair; arguments and errors as of :func:`score`."""
    from dfpg.core.device import select_device
    from dfpg.core.profile import resolve_profile
    from dfpg.metrics.registry import build_metrics

    config, _ = resolve_profile("paper")
    matching = match_images(restored, sharp, suffix)
    sizes = image_sizes(matching.pairs)
    prior, sentence = _load_prior(vggface)
    device = select_device()
    metrics = build_metrics(config, prior, device)
    scores = score_pairs(config, matching.pairs, sizes, metrics, device)
    return Measured(scores, config, matching, sizes, sentence, metrics)


def image_sizes(pairs: Sequence[ImagePair]) -> list[Size]:
    """Size of each pair, after reading every image once, so that nothing fails later.

    Raises:
        UserError: an image cannot be read (:func:`dfpg.core.files.read_image`), or a pair's sizes
            differ.
    """
    sharp: dict[Path, Size] = {}
    sizes = []
    for pair in pairs:
        if pair.sharp not in sharp:
            sharp[pair.sharp] = _size(pair.sharp)
        (height, width), (rows, columns) = sharp[pair.sharp], _size(pair.restored)
        if (rows, columns) != (height, width):
            raise UserError(
                f"{pair.restored}: {columns} x {rows} px, but {pair.sharp} has {width} x {height}: "
                "supply images of one size"
            )
        sizes.append((height, width))
    return sizes


def _size(path: Path) -> Size:
    height, width, _ = read_image(path).shape
    return height, width


def score_pairs(
    config: Config,
    pairs: Sequence[ImagePair],
    sizes: Sequence[Size],
    metrics: Mapping[str, Metric],
    device: torch.device | str = "cpu",
) -> pd.DataFrame:
    """File names and scores of every pair, six decimals, rows in the order of ``pairs``.

    Images of one size are scored in batches of at most ``evaluation.batch_size``; one that is too
    large for a batch in parts, by :mod:`dfpg.metrics.bands`.
    """
    import torch

    from dfpg.evaluation.score import score_images
    from dfpg.metrics.bands import score_in_bands

    def load(paths: Sequence[Path]) -> torch.Tensor:
        images = np.stack([read_image(path) for path in paths])
        return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))).to(device)

    def score_one(batch: Sequence[int]) -> dict[str, NDArray[np.float64]]:
        own, other = (load([path]) for path in pairs[batch[0]])
        return {
            name: score_in_bands(metric, own, other).cpu().numpy()
            for name, metric in metrics.items()
        }

    def score_batch(batch: Sequence[int]) -> dict[str, NDArray[np.float64]]:
        faces = list(dict.fromkeys(pairs[row].sharp for row in batch))
        face_of = torch.tensor([faces.index(pairs[row].sharp) for row in batch])
        restored = {"": load([pairs[row].restored for row in batch])}
        return score_images(restored, load(faces), face_of.to(device), metrics)[""]

    frames = []
    with Progress("score", len(pairs), "image") as progress, torch.inference_mode():
        for size in sorted(set(sizes)):
            rows = [row for row, found in enumerate(sizes) if found == size]
            step = min(config.evaluation.batch_size, max(1, BATCH_PIXELS // (size[0] * size[1])))
            scored = score_one if step == 1 else score_batch
            for start in range(0, len(rows), step):
                batch = rows[start : start + step]
                frames.append(pd.DataFrame(scored(batch), index=batch))
                progress.advance(len(batch))
    names = pd.DataFrame(
        {
            "restored": [escape_text(pair.restored.name) for pair in pairs],
            "sharp": [escape_text(pair.sharp.name) for pair in pairs],
        }
    )
    return pd.concat([names, (pd.concat(frames).sort_index().round(6) + 0.0)], axis=1)


def summarise(config: Config, scores: pd.DataFrame, metrics: Mapping[str, Metric]) -> str:
    """Mean of every column with its interval over sharp images, and what the column is.

    The PSNR of an image that equals its sharp one is infinite: such images are counted, and the
    mean is that of the others.
    """
    count = scores["sharp"].nunique()
    head = f"mean over {len(scores)} images"
    if count >= LEAST_PEOPLE:
        level = 100 * config.statistics.level
        head += f" [{level:g} % interval, {count} sharp images are resampled]"
    elif count > 1:
        head += f", without intervals: of {count} sharp images they would say nothing"
    names = list(metrics)
    finite = np.isfinite(scores[names].to_numpy(np.float64)).all(axis=1)
    cells = _cells(config, scores, [name for name in names if np.isfinite(scores[name]).all()])
    equal = int((~finite).sum())
    lines = [head]
    for name, metric in metrics.items():
        if name in cells:
            cell = cells[name]
        elif equal == len(scores):
            cell = f"infinite: all {equal} equal their sharp images"
        else:
            rest = _cells(config, scores.iloc[np.flatnonzero(finite)], [name])[name]
            cell = f"{rest} over {len(scores) - equal}; {equal} equal, infinite"
        direction = "higher" if metric.higher_is_better else "lower"
        lines += [f"{name:17} {cell}, {direction} is better", f"    {metric.convention}"]
    return "\n".join(lines)


def _cells(config: Config, scores: pd.DataFrame, names: Sequence[str]) -> dict[str, str]:
    """Mean of columns without infinite values, as text; from ``LEAST_PEOPLE`` on with its interval.

    No end of an interval lies outside of what the metric can be.
    """
    people = scores["sharp"].astype(str).tolist()
    settings = config.statistics
    values = scores[list(names)].to_numpy(np.float64)
    stratum = make_stratum(values, people, settings.resamples, config.seed, "score")
    interval = clip_values(mean_interval([stratum], settings.level), names)
    bounds = zip(interval.mean, interval.low, interval.high, strict=True)
    return {
        name: f"{mean:.4f}" + (f" [{low:.4f}, {high:.4f}]" if np.isfinite(low) else "")
        for name, (mean, low, high) in zip(names, bounds, strict=True)
    }


def _load_prior(vggface: Path | None) -> tuple[PriorNetwork | None, str]:
    """Network of d_VGG, and a sentence that says which it is."""
    from dfpg.paper.tables import VGGFACE
    from dfpg.pretrained.vggface import WEIGHTS, PriorNetwork, load_prior, read_card, read_vggface

    if vggface is not None:
        return PriorNetwork(read_vggface(vggface)), f"d_VGG: by {VGGFACE} from {vggface}"
    if not (PRIORS / WEIGHTS).is_file():
        return None, (
            f"d_VGG: left out, it needs a network: name a {VGGFACE} file with --vggface, or run "
            "in a project whose priors stage has run"
        )
    network = str(read_card(PRIORS).get("network"))
    sentence = f"d_VGG: by the network in {PRIORS} ({network})"
    if network != VGGFACE:
        sentence += "; not comparable with published values"
    return load_prior(PRIORS), sentence
