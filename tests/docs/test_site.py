"""The documentation site builds strictly, and a reader's browser needs no network for it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mkdocs", reason="needs the extra `docs`")
pytest.importorskip("material", reason="needs the extra `docs`")

ROOT = Path(__file__).parents[2]


def build(folder: Path, site: Path) -> subprocess.CompletedProcess[str]:
    # With --quiet warnings are not even counted, and --strict is without effect.
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    result = build(ROOT, folder)
    assert result.returncode == 0, result.stderr
    return folder


def test_pages_load_nothing_from_elsewhere(site):
    pages = list(site.glob("*.html"))
    assert len(pages) >= 7
    loads = r"<(?:script|img|iframe|link)\b[^>]*(?:src|href)=[\"']?(?:https?:)?//[^\"' >]*"
    for page in pages:
        assert re.findall(loads, page.read_text()) == [], page.name


def test_the_api_shows_docstrings_of_public_things_only(site):
    api = (site / "api.html").read_text()
    assert 'id="dfpg.methods.base.Method.restore"' in api
    assert "multiply-accumulates of its convolutions" in api
    assert 'id="dfpg.methods.registry._construct"' not in api


def test_a_broken_link_or_anchor_is_an_error(tmp_path):
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    text = (tmp_path / "mkdocs.yml").read_text()
    (tmp_path / "mkdocs.yml").write_text(
        text[: text.index("plugins:")] + text[text.index("validation:") :]
    )
    (tmp_path / "docs").mkdir()
    page = tmp_path / "docs" / "index.md"
    page.write_text("# A\n\n[here](#a)\n")
    assert build(tmp_path, tmp_path / "site").returncode == 0
    for target in ("absent.md", "#absent"):
        page.write_text(f"# A\n\n[there]({target})\n")
        assert build(tmp_path, tmp_path / "site").returncode == 1, target
