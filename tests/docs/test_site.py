"""The documentation site builds strictly, and a reader's browser needs no network for it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from helpers.places import ROOT

pytestmark = pytest.mark.smoke  # `make pages`
pytest.importorskip("mkdocs", reason="needs the extra `docs`")
pytest.importorskip("material", reason="needs the extra `docs`")


class Targets(HTMLParser):
    """Where a page's links lead, and the places in it that links can lead to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.places: set[str] = {""}
        self.feed(path.read_text())

    def handle_starttag(self, _tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src") and value is not None:
                self.links.add(value)
            elif name == "id" and value is not None:
                self.places.add(value)


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Targets]:
    """Every page but the one for a server's missing pages, whose links are absolute."""
    found = [path for path in site.rglob("*.html") if path.name != "404.html"]
    return {path: Targets(path) for path in found}


def led_to(page: Path, link: str) -> tuple[Path, str] | None:
    """File and place that a link of a page leads to; None outside the site."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return None
    target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    return target, unquote(parts.fragment)


def test_every_link_of_every_page_leads_somewhere(pages):
    broken = []
    for page, targets in pages.items():
        for link in targets.links:
            found = led_to(page, link)
            if found is None:
                continue
            target, place = found
            known = pages[target].places if target in pages else {place}
            if not target.is_file() or place not in known:
                broken.append((page.name, link))
    assert broken == []


def test_every_page_can_be_reached_from_the_first_one(site, pages):
    seen: set[Path] = set()
    todo = [site / "index.html"]
    while todo:
        page = todo.pop()
        if page in seen:
            continue
        seen.add(page)
        found = {led_to(page, link) for link in pages[page].links} - {None}
        todo += [target for target, _ in found if target in pages and target not in seen]
    assert seen == set(pages)
    assert len(seen) >= 14


def test_pages_load_nothing_from_elsewhere(pages):
    loads = r"<(?:script|img|iframe|link)\b[^>]*(?:src|href)=[\"']?(?:https?:)?//[^\"' >]*"
    for page in pages:
        assert re.findall(loads, page.read_text()) == [], page.name


def test_the_api_shows_every_module_and_of_it_the_public_things(site):
    api = {path.stem: path.read_text() for path in (site / "api").glob("*.html")}
    assert 'id="dfpg.methods.base.Method.restore"' in api["methods"]
    assert 'id="dfpg.methods.registry._construct"' not in api["methods"]
    assert "multiply-accumulates of its convolutions" in api["methods"]
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in (ROOT / "dfpg").rglob("*.py")
        if path.stem not in ("__init__", "__main__", "cli")
    }
    text = "".join(api.values())
    assert [name for name in sorted(modules) if f'id="{name}"' not in text] == []


def test_roles_of_docstrings_become_links(site):
    text = "".join(path.read_text() for path in (site / "api").glob("*.html"))
    assert not re.search(r":(?:func|class|meth|data|mod):", text)
    assert re.search(r'href="#dfpg.analysis.estimates.load_scores"><code>load_scores</code>', text)


def test_the_tour_is_a_page_with_its_outputs(site):
    tour = (site / "tour.html").read_text()
    assert tour.count('src="data:image/png;base64,') == 4
    assert "identity at step 0: True" in tour
    assert "<th>ci_low</th>" in tour
    assert 'href="tour.html"' in (site / "index.html").read_text()
    assert 'href="tour.ipynb" download' in tour


def test_the_tour_names_no_script_elsewhere(site):
    """Formulas and diagrams in notebooks would be drawn by scripts from a content network."""
    scripts = re.findall(r"<script\b.*?</script>", (site / "tour.html").read_text(), re.DOTALL)
    assert scripts
    assert not any(re.search(r"https?://[^\"']*\.m?js|src=\"\"", script) for script in scripts)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A site of one page that is checked as strictly as the true one."""
    text = (ROOT / "mkdocs.yml").read_text()
    checks = text[text.index("validation:") :]
    (tmp_path / "mkdocs.yml").write_text(f"site_name: A\nnav: [index.md]\n{checks}")
    (tmp_path / "docs").mkdir()
    return tmp_path


def test_a_broken_link_or_anchor_is_an_error(build_site, small):
    page = small / "docs" / "index.md"
    page.write_text("# A\n\n[here](#a)\n")
    assert build_site(small, small / "site").returncode == 0
    for target in ("absent.md", "#absent"):
        page.write_text(f"# A\n\n[there]({target})\n")
        assert build_site(small, small / "site").returncode == 1, target


def test_a_page_that_the_navigation_lacks_is_an_error(build_site, small):
    (small / "docs" / "index.md").write_text("# A\n")
    (small / "docs" / "other.md").write_text("# B\n")
    result = build_site(small, small / "site")
    assert result.returncode == 1
    assert "other.md" in result.stderr
