from __future__ import annotations

from dfpg.commands.deblur.plan import plan
from dfpg.commands.matching import match_images
from dfpg.commands.strips import drop_strips
from dfpg.core.listing import list_images


def fill(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_a_strip_is_an_image_beside_the_one_it_is_called_after(tmp_path):
    folder = fill(
        tmp_path,
        "a.jpg",
        "a.jpg.strip.png",
        "b.strip.png",
        "deep/c.png",
        "c.png.strip.png",
        "d.txt",
    )
    listing, remark = drop_strips(list_images(folder))
    assert listing.images == ("a.jpg", "b.strip.png", "c.png.strip.png", "deep/c.png")
    assert remark == "other files, not read: d.txt; strips passed over: 1"


def test_what_deblur_wrote_is_scored_and_deblurred_again_without_its_strips(tmp_path):
    restored = fill(tmp_path / "restored", "a.jpg", "a.jpg.strip.png")
    found = match_images(restored, fill(tmp_path / "sharp", "a.png"))
    assert [pair.restored.name for pair in found.pairs] == ["a.jpg"]
    assert f"{restored}: strips passed over: 1" in found.describe().splitlines()
    again = plan(restored, tmp_path / "again", png=False, strip=True)
    assert [job.source.name for job in again.jobs] == ["a.jpg"]
    assert again.remark == "strips passed over: 1"
