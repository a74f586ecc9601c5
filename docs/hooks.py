"""Hooks of the site's build: the notebook of the tour becomes a page."""

from __future__ import annotations

import json
import re
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

NOTEBOOK, PAGE = "tour.ipynb", "tour.md"
# Of pandas' tables: the site styles tables that have no class.
STYLE = re.compile(r"<style scoped>.*?</style>\n|(?<=<table) [^>]*", re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page, made of the notebook's text, code and stored outputs."""
    notebook = files.get_file_from_path(NOTEBOOK)
    assert notebook is not None
    content = markdown_of(json.loads(notebook.content_string))
    files.append(File.generated(config, PAGE, content=content))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Links to the notebook, which GitHub shows as it is, lead to the page here."""
    return markdown.replace(f"]({NOTEBOOK})", f"]({PAGE})")


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
