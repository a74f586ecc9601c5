"""``python -m bench.page CSV ...``: the figures of throughput CSVs in docs/benchmarks.md."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

from bench.facts import ROOT
from dfpg.core.errors import UserError
from dfpg.core.files import write_text
from dfpg.core.markdown import markdown_table

PAGE = ROOT / "docs" / "benchmarks.md"
START, END = "<!-- figures -->", "<!-- /figures -->"

IMAGES, PER_FACE, FACES_BATCH = 16_000, 80, 32  # a test set of the paper, and evaluation.batch_size
CANONICAL = "d_vgg_canonical"
VARIANTS = ("fp32", "channels_last", "bf16", "compiled")
ABSENT = "-"


def read(path: Path) -> pd.DataFrame:
    """A throughput CSV, text and empty cells as they are.

    Raises:
        UserError: unreadable.
    """
    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: no readable CSV; run `make bench`") from error


def figures(rows: pd.DataFrame, name: str) -> str:
    """All tables of one device, as Markdown.

    Args:
        rows: of a throughput CSV.
        name: of that file, to be named.
    """
    first = rows.iloc[0]
    where = (
        f"`results/{name}`: {first['device_name']} ({first['device']}), "
        f"{first['threads']} threads, PyTorch {first['torch']}, "
        f"Python {first['python']}, commit `{first['commit'][:12]}`; "
        f"load average while measuring {_range(rows['load'])}."
    )
    if is_shared(rows):
        where += (
            "\n\n**The machine was shared while this was measured**: absolute times are too long, "
            "and shares of the peak, which was measured at another moment, can be wrong either way "
            "(some exceed 1). Only figures of one group, measured in turn, can be compared."
        )
    head = f"### {first['device_name']}"
    return "\n\n".join([head, where, restore_table(rows), metric_table(rows), others(rows)])


def is_shared(rows: pd.DataFrame) -> bool:
    """Whether more ran than the measurement's own threads: a load average over them by one."""
    limit = int(rows["threads"].iloc[0] or 1) + 1
    return any(float(load) > limit for load in rows["load"] if load)


def restore_table(rows: pd.DataFrame) -> str:
    """Every method's median in ms per image, best and worst behind it, and share of the peak."""
    found = rows[rows["benchmark"] == "restore"]
    lines = []
    for (method, size, batch), group in found.groupby(
        ["subject", "image_size", "batch"], sort=False
    ):
        variants = group.set_index("variant")
        lines.append(
            [
                method,
                size,
                batch,
                group["gmacs_per_image"].iloc[0],
                *(_ms(variants, variant) for variant in VARIANTS),
                _share(variants, "channels_last"),
                _share(variants, "bf16"),
            ]
        )
    head = ["method", "px", "batch", "GMACs", *VARIANTS, "of peak: fp32", "of peak: bf16"]
    return "#### Restoring, ms per image\n\n" + markdown_table(head, lines)


def metric_table(rows: pd.DataFrame) -> str:
    """What each metric costs per image, and for ``IMAGES`` images, beside restoring them."""
    restored = rows[rows["benchmark"] == "restore_beside_metrics"]
    lines, total = [], 0.0
    for _, row in restored.iterrows():
        seconds = float(row["ms_per_image"]) / 1000
        share = row["fraction_of_peak"]
        lines.append([f"restoring, {row['variant']}", *_costs(seconds), share])
    for metric, parts in rows[rows["benchmark"] == "metric"].groupby("subject", sort=False):
        part = parts.set_index("variant")
        seconds = metric_cost(
            float(part.loc["score", "ms_per_image"]) / 1000,
            float(part.loc["features", "ms_per_image"]) / 1000,
        )
        total += seconds * (metric != CANONICAL)
        lines.append([f"`{metric}`", *_costs(seconds), part.loc["score", "fraction_of_peak"]])
    lines.append([f"all metrics but `{CANONICAL}`", *_costs(total), ""])
    for _, row in rows[rows["benchmark"] == "recognition"].iterrows():
        seconds = float(row["ms_per_image"]) / 1000
        lines.append([f"`{row['subject']}` (Table 3 only)", *_costs(seconds), ""])
    head = ["", "ms per image", f"{IMAGES:,} images, minutes", "of peak"]
    title = "#### Restoring with full-width DFPGnet and scoring, 128 px"
    text = f"{title}\n\n{markdown_table(head, lines)}"
    for _, row in restored.iterrows():
        share = total / (float(row["ms_per_image"]) / 1000)
        text += (
            f"\n\nAll metrics but `{CANONICAL}` together take {share:.2f} times as long as "
            f"restoring in {row['variant']}."
        )
    return text


def face_batches(images: int = IMAGES, per_face: int = PER_FACE, batch: int = FACES_BATCH) -> int:
    """How often a sharp image's features are computed: once per face and batch, in their order."""
    return len({(image // per_face, image // batch) for image in range(images)})


def metric_cost(score: float, features: float) -> float:
    """Seconds per restored image: its score and its part of the sharp images' features."""
    return score + features * face_batches() / IMAGES


def others(rows: pd.DataFrame) -> str:
    """Everything else: median, best and worst in ms, images per second, share of the peak."""
    apart = ("restore", "restore_beside_metrics", "metric", "recognition")
    lines = [
        [
            row["benchmark"].replace("_", " "),
            " ".join(filter(None, [row["subject"], row["variant"]])),
            row["image_size"] or ABSENT,
            row["batch"] or ABSENT,
            " / ".join(
                f"{1000 * float(row[f'{key}_s']):.4g}" for key in ("best", "median", "worst")
            ),
            row["images_per_s"] or ABSENT,
            row["fraction_of_peak"] or ABSENT,
        ]
        for _, row in rows[~rows["benchmark"].isin(apart)].iterrows()
    ]
    head = ["what", "of", "px", "batch", "best / median / worst, ms", "images/s", "of peak"]
    return "#### Everything else\n\n" + markdown_table(head, lines)


def _costs(seconds: float) -> list[str]:
    return [f"{1000 * seconds:.2f}", f"{seconds * IMAGES / 60:.1f}"]


def _ms(variants: pd.DataFrame, variant: str) -> str:
    """Median per image, with the best and the worst round."""
    if variant not in variants.index:
        return ABSENT
    row = variants.loc[variant]
    best, median, worst = (
        1000 * float(row[f"{key}_s"]) / int(row["batch"]) for key in ("best", "median", "worst")
    )
    return f"{median:.4g} ({best:.4g} to {worst:.4g})"


def _share(variants: pd.DataFrame, variant: str) -> str:
    return variants.loc[variant, "fraction_of_peak"] if variant in variants.index else ABSENT


def _range(loads: pd.Series) -> str:
    values = [float(load) for load in loads if load]
    return f"{min(values):.1f} to {max(values):.1f}" if values else "unknown"


def fill_page(page: str, content: str) -> str:
    """The page with ``content`` between its two marks.

    Raises:
        UserError: a mark is missing.
    """
    before, start, rest = page.partition(START)
    _, end, after = rest.partition(END)
    if not (start and end):
        raise UserError(f"{PAGE.name}: the marks {START} and {END} are missing: restore the page")
    return f"{before}{START}\n{content}\n{END}{after}"


def main(arguments: list[str]) -> int:
    """Renew the page's figures, one device after the other; exit code 2 where that fails."""
    try:
        if not arguments:
            raise UserError("usage: python -m bench.page results/throughput-DEVICE.csv ...")
        parts = [figures(read(path), path.name) for path in map(Path, arguments)]
        write_text(PAGE, fill_page(PAGE.read_text(encoding="utf-8"), "\n\n".join(parts)))
    except UserError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
