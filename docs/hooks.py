"""Hooks of the site's build: the tour's notebook becomes a page, and the API pages are filled."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

NOTEBOOK, TOUR = "tour.ipynb", "tour.md"
# Of pandas' tables: the site styles tables that have no class.
STYLE = re.compile(r"<style scoped>.*?</style>\n|(?<=<table) [^>]*", re.DOTALL)
DIRECTIVE = re.compile(r"^::: (dfpg[\w.]*)(\.\*)?$", re.MULTILINE)
ROLE = re.compile(r":(?:func|class|meth|data|mod):<code>([\w.]+)</code>")
UNSHOWN = {"__init__", "__main__", "cli"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the tour, made of the notebook's text, code and stored outputs."""
    notebook = files.get_file_from_path(NOTEBOOK)
    assert notebook is not None
    content = markdown_of(json.loads(notebook.content_string))
    files.append(File.generated(config, TOUR, content=content))
    return files


def on_page_markdown(markdown: str, config: MkDocsConfig, **_: Any) -> str:
    """Lead links to the notebook, which GitHub shows as it is, to the page; list modules.

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

    return DIRECTIVE.sub(listed, markdown.replace(f"]({NOTEBOOK})", f"]({TOUR})"))


def on_page_content(html: str, **_: Any) -> str:
    """Turn the docstrings' roles (``:func:`` and the like) into links to what they name."""
    shown = re.findall(r'id="(dfpg\.[\w.]+)"', html)

    def linked(role: re.Match[str]) -> str:
        name = role[1]
        found = [i for i in shown if i.endswith(f".{name}")] or [name]
        target = f'<autoref identifier="{found[0]}" optional>'
        return f"{target}<code>{name}</code></autoref>"

    return ROLE.sub(linked, html)


def markdown_of(notebook: dict[str, Any]) -> str:
    """A notebook as Markdown, pictures as data URIs, and where to get the notebook at its end."""
    parts = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
        else:
            parts.append(f"```python\n{source}\n```")
            parts += [markdown_of_output(output) for output in cell["outputs"]]
    parts.append(f'This page is a notebook: <a href="{NOTEBOOK}" download>{NOTEBOOK}</a>.')
    return "\n\n".join(parts)


def markdown_of_output(output: dict[str, Any]) -> str:
    """One output: a picture, a table, or text."""
    data = output.get("data", {"text/plain": output.get("text")})
    if "image/png" in data:
        encoded = "".join(data["image/png"]).replace("\n", "")
        return f'<img alt="output of the cell above" src="data:image/png;base64,{encoded}">'
    if "text/html" in data:
        return STYLE.sub("", "".join(data["text/html"]))
    return f"```text\n{''.join(data['text/plain']).rstrip()}\n```"
