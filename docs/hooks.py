"""Hooks of the site's build: API pages are filled, and the notebook's page needs no network."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.pages import Page

# Scripts for formulas and diagrams, which name addresses elsewhere; the notebook has neither.
SCRIPTS = re.compile(
    r"<!-- Load mathjax -->.*?<!-- End of mathjax configuration -->"
    r'|<script type="module">.*?</script>',
    re.DOTALL,
)
PAGE_LINK = re.compile(r'(?<=href=")(\w+)\.md(?=[#"])')
DIRECTIVE = re.compile(r"^::: (dfpg[\w.]*)(\.\*)?$", re.MULTILINE)
ROLE = re.compile(r":(?:func|class|meth|data|mod):<code>([\w.]+)</code>")
UNSHOWN = {"__init__", "__main__", "cli"}


def on_page_markdown(markdown: str, config: MkDocsConfig, **_: Any) -> str:
    """List the modules of a package.

    ``::: dfpg.folder.*`` stands for the folder's modules that no API page names.
    """
    api = Path(config.docs_dir) / "api"
    texts = [page.read_text() for page in api.glob("*.md")]
    named = {name for text in texts for name, every in DIRECTIVE.findall(text) if not every}

    def listed(directive: re.Match[str]) -> str:
        package, every = directive.groups()
        if not every:
            return directive[0]
        folder = Path(config.docs_dir).parent / package.replace(".", "/")
        stems = sorted({path.stem for path in folder.glob("*.py")} - UNSHOWN)
        modules = [f"{package}.{stem}" for stem in stems]
        return "\n\n".join(f"::: {module}" for module in modules if module not in named)

    return DIRECTIVE.sub(listed, markdown)


def on_page_content(html: str, page: Page, **_: Any) -> str:
    """Turn the docstrings' roles into links; make the notebook's page a page of the site."""
    if page.file.src_uri.endswith(".ipynb"):
        return _finish_notebook(html, page.file.src_uri)
    return _link_roles(html)


def _finish_notebook(html: str, name: str) -> str:
    """Lead the notebook's links to pages of the site, and say where to get the notebook."""
    source = f'<p>This page is a notebook: <a href="{name}" download>{name}</a>.</p>'
    return PAGE_LINK.sub(r"\1.html", SCRIPTS.sub("", html)) + source


def _link_roles(html: str) -> str:
    """Turn the docstrings' roles (``:func:`` and the like) into links to what they name."""
    shown = re.findall(r'id="(dfpg\.[\w.]+)"', html)

    def linked(role: re.Match[str]) -> str:
        name = role[1]
        found = [i for i in shown if i.endswith(f".{name}")] or [name]
        target = f'<autoref identifier="{found[0]}" optional>'
        return f"{target}<code>{name}</code></autoref>"

    return ROLE.sub(linked, html)
