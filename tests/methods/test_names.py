from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dfpg.core.errors import UserError
from dfpg.methods import names
from dfpg.methods.names import check_name, method_names


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder of methods in place of the suite's."""
    monkeypatch.setattr(names, "FOLDER", tmp_path)
    method_names.cache_clear()
    yield tmp_path
    method_names.cache_clear()


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)


def test_the_methods_of_the_paper_and_two_more_are_found() -> None:
    assert set(method_names()) >= {
        *("dfpgnet", "lee2020", "li2020", "lu2019", "shen2018", "wang2021"),
        *("xia2019", "yasarla2020", "zhang2019", "nafnet", "restormer"),
    }
    assert not {"base", "blocks", "losses", "registry"} & set(method_names())


def test_a_class_of_method_is_found_however_its_bases_are_written(folder: Path) -> None:
    write(
        folder,
        base="class Method(ABC):\n    pass\n",
        plain="class Plain(Method):\n    pass\n",
        dotted="class Dotted(base.Method):\n    pass\n",
        second="class Second(\n    Mixin,\n    Method,\n):\n    pass\n",
        derived="class Derived(Plain):\n    pass\n",
        twice="class Twice(derived.Derived):\n    pass\n",
        layers="class Layer(nn.Module):\n    def f(self):\n        class Inner(Method):\n",
    )
    assert method_names() == ("derived", "dotted", "plain", "second", "twice")


def test_what_methods_share_is_none_and_its_classes_count(folder: Path) -> None:
    write(
        folder,
        _shared="class Shared(Method):\n    pass\n",
        mine="class Mine(Shared):\n    pass\n",
    )
    assert method_names() == ("mine",)


def test_a_network_that_is_named_as_another_files_method_is_none(folder: Path) -> None:
    write(
        folder,
        net="class Net(Method):\n    pass\n",
        layers="class Net(nn.Module):\n    pass\n\n\nclass Wide(Net):\n    pass\n",
    )
    assert method_names() == ("net",)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nafnett", r"^here: unknown method 'nafnett'; there are dfpgnet, lee2020"),
        ("../core/files", r"^here: unknown method '\.\./core/files'; there are dfpgnet"),
        ("losses", r"^here: dfpg/methods/losses\.py defines no method; there are dfpgnet"),
    ],
)
def test_another_name_is_refused_with_the_known_ones(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        check_name(name, "here")
    assert "\n" not in str(error.value)
