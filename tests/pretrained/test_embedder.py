from __future__ import annotations

import pytest

from dfpg.core.errors import UserError
from dfpg.pretrained import embedder
from dfpg.pretrained.embedder import embedder_path


def test_an_embedder_is_named_by_path_or_pack(tmp_path, monkeypatch):
    own = tmp_path / "mine.onnx"
    own.write_bytes(b"onnx")
    assert embedder_path(str(own)) == own
    monkeypatch.setattr(embedder, "BUFFALO_SC", own)
    assert embedder_path("buffalo_sc") == own


@pytest.mark.parametrize("name", ["buffalo_sc", "no/such.onnx"])
def test_a_missing_embedder_is_one_line(tmp_path, monkeypatch, name):
    monkeypatch.setattr(embedder, "BUFFALO_SC", tmp_path / "w600k_mbf.onnx")
    with pytest.raises(UserError, match=r"recognition\.embedder: .* is missing") as caught:
        embedder_path(name)
    assert "\n" not in str(caught.value)
