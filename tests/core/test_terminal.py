from __future__ import annotations

import io
import sys

import pytest

from dfpg.core.terminal import accept_any_text, to_ascii


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "ascii", "koi8-r", "utf-8"])
def test_every_encoding_takes_every_text(encoding, monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding))
    accept_any_text()
    text = "PSNR ↑ \u22120.5 ± 1 … Zürich 東京 \udc80\udcff"
    print(text, flush=True)
    shown = raw.getvalue().decode(encoding)
    assert "\\x80\\xff" in shown
    if encoding == "utf-8":
        assert "PSNR ↑ \u22120.5 ± 1 … Zürich 東京" in shown
    if encoding == "ascii":
        assert shown.startswith("PSNR ^ -0.5 +- 1 ... Zurich ?? ")


def test_plain_text_is_ascii_and_ascii_stays():
    every = "".join(map(chr, range(0x20, 0x3000))) + "\udc80"
    assert to_ascii(every).isascii()
    ascii_only = "".join(map(chr, range(128)))
    assert to_ascii(ascii_only) == ascii_only
