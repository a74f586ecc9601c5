from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps, features

from dfpg.commands.deblur.photographs import SETTINGS, SUFFIXES, Photograph, encode, read_photograph
from dfpg.core import files
from dfpg.core.errors import UserError

COLOURS = np.random.default_rng(0).integers(0, 256, (24, 40, 3), np.uint8)
ALPHA = np.random.default_rng(1).integers(0, 256, (24, 40), np.uint8)
# Stored -> upright; the EXIF standard says where row 0 and column 0 of the stored picture are.
UPRIGHT = {
    1: lambda a: a,  # top, left
    2: lambda a: a[:, ::-1],  # top, right
    3: lambda a: a[::-1, ::-1],  # bottom, right
    4: lambda a: a[::-1],  # bottom, left
    5: lambda a: a.swapaxes(0, 1),  # left, top
    6: lambda a: a[::-1].swapaxes(0, 1),  # right, top
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),  # right, bottom
    8: lambda a: a[:, ::-1].swapaxes(0, 1),  # left, bottom
}


def saved(path: Path, image: Image.Image, **options) -> Path:
    image.save(path, **options)
    return path


def rewritten(path: Path, photograph: Photograph, format: str | None = None) -> Image.Image:
    data = encode(photograph, format or photograph.format, path)
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP"])
def test_every_orientation_comes_out_upright_and_untagged(tmp_path, format, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = SETTINGS[format] | {"format": format, "exif": exif}
    path = saved(tmp_path / "a", Image.fromarray(COLOURS), **options)
    photograph = read_photograph(path)
    expected = UPRIGHT[orientation](COLOURS)
    assert np.array_equal(photograph.pixels, expected)
    written = rewritten(path, photograph)
    assert np.array_equal(np.asarray(ImageOps.exif_transpose(written)), expected)
    assert np.array_equal(np.asarray(written), expected)


def test_other_exif_profile_and_resolution_are_carried(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "Maker"
    exif.get_ifd(0x8769)[0x9003] = "2020:02:03 04:05:06"
    exif.get_ifd(0x8825)[1] = "N"
    for format in ("JPEG", "PNG", "WEBP"):
        options = SETTINGS[format] | {"exif": exif, "icc_profile": b"profile" * 30, "dpi": (72, 72)}
        path = saved(tmp_path / "a", Image.fromarray(COLOURS), format=format, **options)
        written = rewritten(path, read_photograph(path))
        found = written.getexif()
        assert 0x0112 not in found
        assert found[0x010F] == "Maker"
        assert found.get_ifd(0x8769)[0x9003] == "2020:02:03 04:05:06"
        assert found.get_ifd(0x8825)[1] == "N"
        assert written.info["icc_profile"] == b"profile" * 30
        if format != "WEBP":
            assert written.info["dpi"] == pytest.approx((72, 72), abs=0.1)


def test_orientation_goes_from_the_xmp_too(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    xmp = b'<x:xmpmeta><r tiff:Orientation="6" dc:title="kept"/></x:xmpmeta>'
    path = saved(tmp_path / "a.jpg", Image.fromarray(COLOURS), exif=exif, xmp=xmp)
    found = rewritten(path, read_photograph(path)).info["xmp"]
    assert b"Orientation" not in found
    assert b"kept" in found


def test_a_resolution_that_is_none_stops_nothing(tmp_path):
    path = saved(tmp_path / "a.tif", Image.fromarray(COLOURS), dpi=(0, 0))
    photograph = read_photograph(path)
    assert "dpi" not in photograph.carried
    assert np.array_equal(np.asarray(rewritten(path, photograph)), COLOURS)


def test_tags_of_a_tiffs_layout_do_not_reach_another_layout(tmp_path):
    palette = Image.fromarray(COLOURS).convert("P")
    path = saved(tmp_path / "a.tif", palette, compression="tiff_lzw", exif=exif_with_maker())
    photograph = read_photograph(path)
    for format in ("TIFF", "PNG"):
        written = rewritten(path, photograph, format)
        assert np.array_equal(np.asarray(written), np.asarray(palette.convert("RGB")))
        assert written.getexif()[0x010F] == "Maker"


def exif_with_maker() -> Image.Exif:
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    return exif


@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP", "BMP"])
def test_formats_without_loss_lose_nothing(tmp_path, format):
    path = saved(tmp_path / "a", Image.fromarray(COLOURS), format=format, **SETTINGS[format])
    photograph = read_photograph(path)
    assert photograph.format == format
    assert photograph.alpha is None
    assert not photograph.grey
    assert np.array_equal(np.asarray(rewritten(path, photograph)), COLOURS)


def test_jpeg_is_written_with_full_colour_resolution(tmp_path):
    smooth = cv2.GaussianBlur(COLOURS, (0, 0), 3)
    path = saved(tmp_path / "a.jpg", Image.fromarray(smooth), quality=100, subsampling=0)
    photograph = read_photograph(path)
    error = np.asarray(rewritten(path, photograph)).astype(int) - photograph.pixels
    assert np.abs(error).mean() < 1


@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP"])
def test_alpha_comes_out_as_it_was(tmp_path, format):
    image = Image.fromarray(np.dstack([COLOURS, ALPHA]))
    path = saved(tmp_path / "a", image, format=format, **SETTINGS[format])
    photograph = read_photograph(path)
    assert np.array_equal(photograph.alpha, ALPHA)
    assert np.array_equal(np.asarray(rewritten(path, photograph)), np.asarray(image))


@pytest.mark.parametrize("format", ["JPEG", "BMP"])
def test_a_format_without_alpha_is_refused_for_it(tmp_path, format):
    photograph = Photograph(COLOURS, ALPHA, grey=False, format="PNG")
    with pytest.raises(UserError, match="cannot hold its transparency"):
        encode(photograph, format, tmp_path / "a")


@pytest.mark.parametrize("alpha", [False, True])
def test_grey_stays_grey(tmp_path, alpha):
    grey = Image.fromarray(COLOURS[..., 0])
    if alpha:
        grey.putalpha(Image.fromarray(ALPHA))
    path = saved(tmp_path / "a.png", grey)
    photograph = read_photograph(path)
    assert photograph.grey
    assert all(np.array_equal(photograph.pixels[..., c], COLOURS[..., 0]) for c in range(3))
    written = rewritten(path, photograph)
    assert written.mode == ("LA" if alpha else "L")
    assert np.array_equal(np.asarray(written), np.asarray(grey))


def test_palette_becomes_colours_and_its_transparency_alpha(tmp_path):
    image = Image.fromarray(COLOURS).quantize(8)
    for transparency in (None, 3):
        options = {} if transparency is None else {"transparency": transparency}
        path = saved(tmp_path / "a.png", image, **options)
        photograph = read_photograph(path)
        assert np.array_equal(photograph.pixels, np.asarray(image.convert("RGB")))
        if transparency is None:
            assert photograph.alpha is None
        else:
            assert np.array_equal(photograph.alpha == 0, np.asarray(image) == transparency)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bit_is_refused_before_bits_are_dropped(tmp_path, suffix, channels):
    wide = np.random.default_rng(0).integers(0, 1 << 16, (8, 8, channels), np.uint16)
    cv2.imwrite(str(tmp_path / f"a{suffix}"), wide)
    with pytest.raises(UserError, match="more than 8 bits per channel"):
        read_photograph(tmp_path / f"a{suffix}")


@pytest.mark.parametrize(
    ("mode", "format", "message"),
    [
        ("CMYK", "JPEG", "mode CMYK, neither grey nor RGB"),
        ("1", "PNG", "mode 1, neither grey nor RGB"),
        ("F", "TIFF", "more than 8 bits"),
        ("RGB", "GIF", "not an image of PNG, JPEG"),
    ],
)
def test_what_is_no_8_bit_photograph_is_refused(tmp_path, mode, format, message):
    path = saved(tmp_path / "a", Image.new(mode, (8, 8)), format=format)
    with pytest.raises(UserError, match=message):
        read_photograph(path)


def test_several_pictures_in_a_file_are_refused_but_for_a_phones_second_one(tmp_path):
    first, second = Image.fromarray(COLOURS), Image.new("RGB", (40, 24))
    several = {"save_all": True, "append_images": [second]}
    with pytest.raises(UserError, match="2 pictures in one file"):
        read_photograph(saved(tmp_path / "a.tif", first, **several))
    photograph = read_photograph(saved(tmp_path / "b.jpg", first, format="MPO", **several))
    assert photograph.format == "JPEG"
    assert photograph.pixels.std() > 20


def test_a_huge_photograph_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MAX_PIXELS", 100)
    path = saved(tmp_path / "a.png", Image.fromarray(COLOURS))
    with pytest.raises(UserError, match="over the limit"):
        read_photograph(path)


def test_every_suffix_names_a_format_that_is_written():
    assert set(SUFFIXES.values()) == set(SETTINGS) == {*files.IMAGE_FORMATS, "AVIF"}
    read = {ending for ending, format in SUFFIXES.items() if format != "AVIF"}
    assert read == files.SUFFIXES


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow writes no AVIF")
def test_avif_is_written_with_little_loss_and_alpha(tmp_path):
    smooth = cv2.GaussianBlur(COLOURS, (0, 0), 3)
    photograph = Photograph(smooth, ALPHA, grey=False, format="PNG")
    written = np.asarray(rewritten(tmp_path / "a", photograph, "AVIF"))
    assert np.abs(written[..., :3].astype(int) - smooth).max() <= 3
    assert np.array_equal(written[..., 3], ALPHA)
