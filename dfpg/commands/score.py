"""Score anyone's restored images against sharp ones, by every convention, outside a project too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from dfpg.analysis.metric_ranges import clip_values
from dfpg.analysis.people_bootstrap import LEAST_PEOPLE, make_stratum, mean_interval
from dfpg.commands.export import sharp_stem
from dfpg.core.config import Config
from dfpg.core.errors import UserError
from dfpg.core.files import read_image, write_text
from dfpg.core.progress import Progress

if TYPE_CHECKING:
    import torch

    from dfpg.metrics.common import Metric
    from dfpg.pretrained.vggface import PriorNetwork

BATCH_PIXELS = 32 * 128 * 128  # bounds memory: 32 images at 128 px, one from 725 px on
PRIORS = Path("artifacts/priors")
Size = tuple[int, int]  # height, width in px


class ImagePair(NamedTuple):
    """A restored image and its sharp one."""

    restored: Path
    sharp: Path


def score(restored: Path, sharp: Path, out: Path, force: bool, vggface: Path | None) -> str:
    """Score a folder of images; write the per-image CSV and return means and conventions as text.

    The settings are the paper's (profile ``paper``), whatever the project's are.

    Args:
        restored: folder of restored images.
        sharp: folder of sharp images.
        out: the CSV.
        force: replace ``out``.
        vggface: the user's VGGFace file for d_VGG; None: the network in ``artifacts/priors``,
            and no d_VGG where there is none.

    Raises:
        UserError: the CSV exists, images do not match or cannot be read, or an asset is missing.
    """
    from dfpg.core.device import select_device
    from dfpg.core.profile import resolve_profile
    from dfpg.metrics.registry import build_metrics

    if out.exists() and not force:
        raise UserError(f"{out}: exists: name another file with --out, or replace it with --force")
    config, _ = resolve_profile("paper")
    pairs, published = match_images(restored, sharp)
    sizes = image_sizes(pairs)
    prior, sentence = _load_prior(vggface)
    device = select_device()
    metrics = build_metrics(config, prior, device)
    scores = score_pairs(config, pairs, sizes, metrics, device)
    write_text(out, scores.to_csv(index=False, float_format="%.6f", lineterminator="\n"))
    lines = [
        _describe_match(pairs, published),
        f"size: {', '.join(f'{width} x {height} px' for height, width in sorted(set(sizes)))}",
        sentence,
        "",
        summarise(config, scores, metrics),
        "",
        f"{out}: scores of every image",
    ]
    return "\n".join(lines)


def match_images(restored: Path, sharp: Path) -> tuple[list[ImagePair], int]:
    """Pairs of the files of two folders, sorted by sharp, then restored name.

    A restored image belongs to the sharp one with the same name without suffix; where there is
    none, ``<stem>_ker<NN>_blur_k<size>`` belongs to ``<stem>``, as in the published test sets.

    Returns:
        The pairs, and how many of them were found by the published naming.

    Raises:
        UserError: a folder is missing or empty, two of its images have one name, or an image has
            no partner.
    """
    by_stem, wanted = _images(restored), _images(sharp)
    pairs, published = [], 0
    for stem, path in by_stem.items():
        source = stem if stem in wanted else sharp_stem(stem)
        if source not in wanted:
            raise UserError(
                f"{path}: no sharp image {source!r} in {sharp}: names must be equal, or "
                "<stem>_ker<NN>_blur_k<size> for the sharp <stem>"
            )
        published += source != stem
        pairs.append(ImagePair(path, wanted[source]))
    idle = sorted(set(wanted.values()) - {pair.sharp for pair in pairs})
    if idle:
        raise UserError(
            f"{idle[0]}: no restored image in {restored} ({len(idle)} of {len(wanted)} sharp "
            "images have none): supply them, or remove the sharp ones"
        )
    return sorted(pairs, key=lambda pair: (pair.sharp, pair.restored)), published


def _images(folder: Path) -> dict[str, Path]:
    """Files of a folder by stem; hidden files and subfolders are passed over."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.is_dir() or path.name.startswith("."):
            continue
        if path.stem in found:
            raise UserError(
                f"{path}: {found[path.stem].name} has the same name without suffix: remove one"
            )
        found[path.stem] = path
    if not found:
        raise UserError(f"{folder}: no images in it: name the folder that holds them directly")
    return found


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

    Images of one size are scored in batches of at most ``evaluation.batch_size``.
    """
    import torch

    from dfpg.evaluation.score import score_images

    def load(paths: Sequence[Path]) -> torch.Tensor:
        images = np.stack([read_image(path) for path in paths])
        return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))).to(device)

    frames = []
    with Progress("score", len(pairs), "image") as progress, torch.inference_mode():
        for size in sorted(set(sizes)):
            rows = [row for row, found in enumerate(sizes) if found == size]
            step = min(config.evaluation.batch_size, max(1, BATCH_PIXELS // (size[0] * size[1])))
            for start in range(0, len(rows), step):
                batch = rows[start : start + step]
                faces = list(dict.fromkeys(pairs[row].sharp for row in batch))
                face_of = torch.tensor([faces.index(pairs[row].sharp) for row in batch])
                restored = {"": load([pairs[row].restored for row in batch])}
                found = score_images(restored, load(faces), face_of.to(device), metrics)[""]
                frames.append(pd.DataFrame(found, index=batch))
                progress.advance(len(batch))
    names = pd.DataFrame(
        {"restored": [p.restored.name for p in pairs], "sharp": [p.sharp.name for p in pairs]}
    )
    return pd.concat([names, (pd.concat(frames).sort_index().round(6) + 0.0)], axis=1)


def summarise(config: Config, scores: pd.DataFrame, metrics: Mapping[str, Metric]) -> str:
    """Mean of every column with its interval over sharp images, and what the column is."""
    names = list(metrics)
    people = scores["sharp"].astype(str).tolist()
    settings = config.statistics
    values = scores[names].to_numpy(np.float64)
    stratum = make_stratum(values, people, settings.resamples, config.seed, "score")
    interval = clip_values(mean_interval([stratum], settings.level), names)
    count = scores["sharp"].nunique()
    head = f"mean over {len(scores)} images"
    if count >= LEAST_PEOPLE:
        head += f" [{100 * settings.level:g} % interval, {count} sharp images are resampled]"
    lines = [head]
    bounds = zip(interval.mean, interval.low, interval.high, strict=True)
    for (name, metric), (mean, low, high) in zip(metrics.items(), bounds, strict=True):
        cell = f"{mean:.4f}" + (f" [{low:.4f}, {high:.4f}]" if np.isfinite(low) else "")
        direction = "higher" if metric.higher_is_better else "lower"
        lines += [f"{name:16} {cell}, {direction} is better", f"    {metric.convention}"]
    return "\n".join(lines)


def _describe_match(pairs: Sequence[ImagePair], published: int) -> str:
    restored, sharp = len(pairs), len({pair.sharp for pair in pairs})
    ways = []
    if restored > published:
        ways.append(f"{restored - published} by equal names")
    if published:
        ways.append(
            f"{published} by the published naming (<stem>_ker<NN>_blur_k<size> belongs to <stem>)"
        )
    return f"matched: {restored} restored with {sharp} sharp images, {', '.join(ways)}"


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
