"""Texts in YAML that were parsed before are not parsed again: pure Python takes its time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import pytest
from ruamel.yaml import YAML

KEPT = 64  # texts


@contextmanager
def yaml_once() -> Iterator[None]:
    """Let ``YAML(typ="safe").load`` of a text return a copy of what it found before."""
    parse, found = YAML.load, {}

    def load(self: YAML, stream: Any) -> Any:
        if self.typ != ["safe"] or not isinstance(stream, str | bytes):
            return parse(self, stream)
        key = (self.pure, stream)
        if key not in found:
            if len(found) == KEPT:
                del found[next(iter(found))]  # the oldest
            found[key] = parse(self, stream)
        return deepcopy(found[key])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(YAML, "load", load)
        yield
