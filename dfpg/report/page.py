"""The page: a template filled in, with every text escaped."""

from __future__ import annotations

import re
from html import escape
from typing import Any

import jinja2
from markupsafe import Markup

TEMPLATE = "report.html.j2"


def render_page(context: dict[str, Any]) -> str:
    """The HTML; a name that the context lacks is an error."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("dfpg.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = (slug, break_underscores, first_of, capitalise)
    environment.filters |= {function.__name__: function for function in filters}
    return environment.get_template(TEMPLATE).render(**context)


def slug(text: str) -> str:
    """A text as class or id: lower case, dashes."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def break_underscores(name: str) -> Markup:
    """A name that may break after its underscores."""
    return Markup("_<wbr>").join(name.split("_"))


def capitalise(text: str) -> str:
    """A text that starts with a capital; the rest is as it was."""
    return text[:1].upper() + text[1:]


def first_of(text: str, count: bool = True) -> str:
    """The first of several parts between semicolons, and on request how many more there are."""
    first, *others = text.split("; ")
    return f"{first}, and {len(others)} more" if others and count else first


def numbered_items(markdown: str) -> list[Markup]:
    """The items of a numbered Markdown list, their code spans kept, of links the text alone."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", markdown)
    items = re.split(r"^\d+\. ", plain, flags=re.MULTILINE)[1:]
    return [
        Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", escape(" ".join(item.split()))))
        for item in items
    ]
