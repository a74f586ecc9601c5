from __future__ import annotations

import csv
import pickle
import re
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.places import SHARED
from helpers.released import RELEASES, Edit, method_of, random_method
from scipy.io import savemat
from torch import Tensor, nn

from dfpg.core.errors import UserError
from dfpg.methods import dfpgnet, lee2020, lu2019, nafnet, restormer, xia2019, yasarla2020
from dfpg.methods.base import Method
from dfpg.methods.names import method_names
from dfpg.methods.official import (
    CONVOLUTION,
    Rule,
    digest,
    load_published,
    match_state,
    read_arrays,
    read_state,
    read_structs,
    rename_tensor,
)
from dfpg.methods.registry import build_restorer, method_class
from dfpg.methods.weights import load_weights, read_card, save_weights

KEYS = SHARED / "specs" / "official_keys"


@cache
def source(name: str) -> Method:
    """Whose weights files are written; no test changes it."""
    return random_method(name)


def keep(_: dict[str, Tensor]) -> None:
    """No edit."""


def images(side: int) -> Tensor:
    stream = torch.Generator().manual_seed(7)
    return torch.rand(2, 3, side, side, generator=stream) * 2 - 1


def test_digest_of_a_folder_is_what_sha256sum_prints(tmp_path: Path) -> None:
    for name in ("b.pkl", "a.pkl", "B.txt", ".hidden"):
        (tmp_path / name).write_text(name)
    (tmp_path / "folder").mkdir()
    command = "LC_ALL=C; sha256sum *.pkl *.txt | LC_ALL=C sort -k 2 | sha256sum"
    printed = subprocess.run(
        ["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert digest(tmp_path) == printed.stdout.split()[0]
    one = subprocess.run(["sha256sum", tmp_path / "a.pkl"], capture_output=True, text=True)
    assert digest(tmp_path / "a.pkl") == one.stdout.split()[0]


def test_a_method_without_a_reader_refuses_in_one_line(make: Any, tmp_path: Path) -> None:
    method, path = make(), tmp_path / "net.pth"
    method.load_official = lambda path: Method.load_official(method, path)
    with pytest.raises(UserError, match=r"net.pth: dfpgnet reads no published weights") as error:
        load_published(method, path)
    assert "\n" not in str(error.value)


def test_every_method_reads_published_weights_or_says_why_not() -> None:
    silent = {n for n in method_names() if method_class(n).load_official is Method.load_official}
    assert silent == set()
    assert set(RELEASES) == set(method_names()) - {
        "li2020",
        "wang2021",
        "zhang2019",
    }  # their own tests


def test_a_file_that_cannot_be_read_is_one_line(make: Any, tmp_path: Path) -> None:
    method = make()
    method.load_official = lambda path: path.read_bytes()
    with pytest.raises(UserError, match=r"net.pth: cannot read \(No such file"):
        load_published(method, tmp_path / "net.pth")


def test_the_card_says_where_weights_come_from(make: Any, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(path, make(), steps=0, official="ab" * 32)
    assert load_weights(path, make()).official == "ab" * 32
    save_weights(path, make(), steps=3)
    assert read_card(path).official is None


@pytest.mark.parametrize("name", RELEASES)
def test_a_file_in_the_authors_layout_gives_the_network_it_was_made_of(
    name: str, tmp_path: Path
) -> None:
    release = RELEASES[name]
    target = method_of(name, seed=5)
    path = release.write(tmp_path, source(name).networks["generator"], keep)
    expected = source(name).restore(images(release.side))
    assert 0.01 < expected.std() < 0.9  # neither constant nor saturated
    assert not torch.equal(target.restore(images(release.side)), expected)
    target.load_official(path)
    assert torch.equal(target.restore(images(release.side)), expected)
    assert type(target).official_options(path) == release.options | release.fits
    stored = tmp_path / "run.safetensors"
    save_weights(stored, target, steps=0, official=digest(path))
    again = build_restorer(stored, torch.device("cpu")).networks["generator"].state_dict()
    states = target.networks["generator"].state_dict()
    assert all(torch.equal(again[name], value) for name, value in states.items())


@pytest.mark.parametrize("name", RELEASES)
def test_files_that_differ_are_refused_with_the_first_difference(name: str, tmp_path: Path) -> None:
    release, method = RELEASES[name], method_of(name, seed=5)
    before = {k: v.clone() for k, v in method.networks["generator"].state_dict().items()}
    tensor, shape = release.tensor, release.shape

    def refused(edit: Edit, *words: str) -> None:
        path = release.write(tmp_path, source(name).networks["generator"], edit)
        with pytest.raises(UserError) as error:
            method.load_official(path)
        message = str(error.value)
        assert "\n" not in message
        assert all(word in message for word in words), message

    def nan(state: dict[str, Tensor]) -> None:
        state[tensor] = torch.full_like(state[tensor], torch.nan)

    wide = [2 * length for length in shape]
    file_name = tensor.split(".", 1)[1] if name == "lu2019" else tensor
    refused(lambda s: s.update({tensor: torch.zeros(wide)}), f"{file_name} is {wide}", str(shape))
    refused(lambda s: s.__delitem__(tensor), f"no {tensor}", str(shape))
    refused(nan, f"{tensor} holds NaN")
    after = method.networks["generator"].state_dict()
    assert all(torch.equal(before[name], value) for name, value in after.items())


# Shen's files have other fields, too.
@pytest.mark.parametrize("name", sorted(set(RELEASES) - {"shen2018"}))
def test_a_tensor_that_the_network_lacks_is_refused(name: str, tmp_path: Path) -> None:
    extra = "gen.more" if name == "lu2019" else "more"
    network = source(name).networks["generator"]
    path = RELEASES[name].write(tmp_path, network, lambda s: s.update({extra: torch.zeros(3, 2)}))
    with pytest.raises(UserError, match=rf"{extra} \[3, 2\] is unexpected"):
        method_of(name).load_official(path)


@pytest.mark.parametrize(
    ("name", "change", "needed"),
    [
        ("dfpgnet", {"output": "linear"}, "output: tanh, not linear"),
        ("dfpgnet", {"scale_offset": 0}, "scale_offset: 1, not 0"),
        ("lee2020", {"output": "linear"}, "output: tanh, not linear"),
        ("nafnet", {"pixels": "centred"}, "pixels: unit, not centred"),
        ("restormer", {"pixels": "centred"}, "pixels: unit, not centred"),
        ("shen2018", {"pixels": "unit"}, "pixels: released, not unit"),
        ("shen2018", {"parsing_statistics": "moving"}, "parsing_statistics: image, not moving"),
        ("yasarla2020", {"output": "linear"}, "output: tanh, not linear"),
        ("yasarla2020", {"segmentation_statistics": "moving"}, "image, not moving"),
    ],
)
def test_options_that_shapes_do_not_show_are_checked(
    name: str, change: dict[str, Any], needed: str, tmp_path: Path
) -> None:
    path = RELEASES[name].write(tmp_path, source(name).networks["generator"], keep)
    with pytest.raises(UserError, match=f"need methods.{name}.*{re.escape(needed)}"):
        method_of(name, **change).load_official(path)


# The published classes' tables: file, our network at its size, rules and axes.
Maker = Callable[[], nn.Module]
TABLES: dict[str, tuple[str, Maker, Callable[[nn.Module], Any], Callable[[str], Any]]] = {
    "dfpgnet": (
        "sappgan_dfpgnet.csv",
        lambda: dfpgnet.Generator(dfpgnet.VARIANTS["b6"], 64, 5, 10, "add", 1, "tanh"),
        lambda _: dfpgnet.NAMES,
        lambda _: None,
    ),
    "lee2020": (
        "mspl_gan.csv",
        lambda: lee2020.Generator(128, 2, 4, "tanh"),
        lambda _: lee2020.NAMES,
        lambda _: None,
    ),
    "lu2019": (
        "uid_gan.csv",
        lambda: lu2019.Generator(64, 8),
        lambda _: lu2019.NAMES,
        lambda _: None,
    ),
    "nafnet": (
        "nafnet.csv",
        lambda: nafnet.Generator(32, [2, 2, 4, 28], 12, [2, 2, 2, 2]),
        lambda _: nafnet.NAMES,
        lambda _: None,
    ),
    "restormer": (
        "restormer.csv",
        lambda: restormer.Generator(48, [4, 6, 6, 8], 4, [1, 2, 4, 8], 2.66),
        lambda _: restormer.NAMES,
        lambda _: None,
    ),
    "xia2019": (
        "xia.csv",
        lambda: xia2019.Generator(128, 64, 0.99, True),
        lambda network: xia2019.names(network),
        lambda name: CONVOLUTION if name.endswith("_w") else None,
    ),
    "segmentation": (
        "umsn.csv",
        lambda: yasarla2020.Segmentation(64),
        lambda _: yasarla2020.SEGMENTATION_NAMES,
        yasarla2020.segmentation_axes,
    ),
    "deblurring": (
        "umsn.csv",
        lambda: yasarla2020.Generator(64, 12, True),
        lambda _: yasarla2020.DEBLURRING_NAMES,
        yasarla2020.deblurring_axes,
    ),
}


def published(case: str) -> list[dict[str, str]]:
    """Rows of a table that concern the generator, with our names and theirs in full."""
    rows = list(csv.DictReader((KEYS / TABLES[case][0]).read_text().splitlines()))
    if case in ("segmentation", "deblurring"):
        return [
            r
            for r in rows
            if (r["official_file"], r["suite_network"])
            in {("segmentation", "generator.segmentation"), ("deblurring", "generator")}
            and r["official_file"] == case
        ]
    if case == "lu2019":
        parts = {
            "conv_B": ("enc_a", "blur."),
            "fc": ("enc_a", "blur."),
            "dec": ("gen", ""),
            "conv": ("enc_c", "content."),
        }
        for row in rows:
            first = next((p for p in parts if row["official_key"].startswith(p)), None)
            if first:
                row["official_key"] = f"{parts[first][0]}.{row['official_key']}"
                row["suite_key"] = parts[first][1] + row["suite_key"]
        return [r for r in rows if not r["official_key"].startswith("Diss")]
    heads = ("conv1_head", "conv2_head", "conv3_head", "conv4_head")
    discriminator = re.compile(r"conv\d\.") if case == "lee2020" else re.compile("(?!)")
    return [
        r
        for r in rows
        if not r["official_key"].startswith(heads) and not discriminator.match(r["official_key"])
    ]


@pytest.mark.skipif(
    not KEYS.is_dir(), reason="needs the tables of official names under DFPG_SHARED"
)
@pytest.mark.parametrize("case", TABLES)
def test_rules_give_the_published_classes_names_and_shapes(case: str) -> None:
    _, make_network, rules_of, axes = TABLES[case]
    with torch.device("meta"):
        network = make_network()
    rules = rules_of(network)
    shapes = {name: list(value.shape) for name, value in network.state_dict().items()}
    rows = published(case)
    assert len(rows) > 60
    for row in rows:
        name = rename_tensor(row["suite_key"], rules)
        assert name == row["official_key"]
        there = [int(n) for n in row["official_shape"].split("x") if n != "scalar"]
        order = axes(name)
        ours = [there[axis] for axis in order] if order else there
        assert [n for n in ours if n > 1] == [n for n in shapes[row["suite_key"]] if n > 1], name
    own = {"steps"} | {n for n in shapes if n.startswith("segmentation.") and case == "deblurring"}
    own |= {n for n in shapes if n.endswith("num_batches_tracked") and case == "xia2019"}
    assert {row["suite_key"] for row in rows} == set(shapes) - own


@pytest.mark.skipif(
    not KEYS.is_dir(), reason="needs the tables of official names under DFPG_SHARED"
)
def test_umsns_training_parts_are_the_names_that_are_ignored() -> None:
    rows = list(csv.DictReader((KEYS / "umsn.csv").read_text().splitlines()))
    for row in rows:
        unused = {
            "segmentation": yasarla2020.SEGMENTATION_UNUSED,
            "deblurring": yasarla2020.DEBLURRING_UNUSED,
        }[row["official_file"]]
        ignored = re.match(unused, row["official_key"]) is not None
        assert ignored == (row["suite_network"] == "auxiliary"), row["official_key"]


class Harmful:
    """Runs code where it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.target,)


def test_pickles_are_never_executed(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    torch.save({"w": Harmful(ran)}, tmp_path / "a.pth")
    np.savez(tmp_path / "a.npz", w=np.array([Harmful(ran)], dtype=object))
    (tmp_path / "b.npz").write_bytes(pickle.dumps(Harmful(ran)))
    with pytest.raises(UserError, match=r"a.pth: damaged, or no PyTorch weights \(.*accepted: X"):
        read_state(tmp_path / "a.pth", "X")
    for file in ("a.npz", "b.npz"):
        with pytest.raises(UserError, match=rf"{file}: damaged, or no NumPy archive of numbers"):
            read_arrays(tmp_path / file, "X")
    assert not ran.exists()


def test_states_are_found_plain_or_under_a_key_and_with_or_without_prefix(tmp_path: Path) -> None:
    state = {"a.w": torch.ones(2), "module.b": torch.zeros(1)}
    prefixed = {f"module.{name}": value for name, value in state.items()}
    for content in (state, prefixed, {"state_dict": prefixed, "epoch": 3}, {"params": state}):
        torch.save(content, tmp_path / "w.pth")
        assert set(read_state(tmp_path / "w.pth", "X")) == set(state)
    torch.save(
        {"params_ema": {"a": torch.ones(1)}, "params": {"b": torch.ones(1)}}, tmp_path / "w.pth"
    )
    assert set(read_state(tmp_path / "w.pth", "X")) == {"a"}


@pytest.mark.parametrize(
    "reader", [read_state, read_arrays, lambda p, a: read_structs(p, "net", a)]
)
def test_files_that_are_no_weights_are_one_line(reader: Any, tmp_path: Path) -> None:
    for content, word in (
        (None, "no such file"),
        (b"", "damaged"),
        (b"PK\3\4" + bytes(40), "damaged"),
    ):
        path = tmp_path / "file"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(UserError, match=rf"file: {word}.*accepted: X") as error:
            reader(path, "X")
        assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="is a folder; accepted: X"):
        reader(tmp_path, "X")


def test_a_file_without_permission_is_no_damaged_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "w.pth").write_bytes(b"x")
    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(UserError, match=r"w.pth: cannot read \(Permission denied\)"):
        read_state(tmp_path / "w.pth", "X")


def test_other_content_of_matlab_files_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.mat"
    savemat(path, {"net": np.ones((2, 2))})
    with pytest.raises(UserError, match="no struct array net"):
        read_structs(path, "net", "X")
    savemat(path, {"net": {"w": "text"}})
    with pytest.raises(UserError, match=r"net\(1\).w holds no numbers"):
        read_structs(path, "net", "X")
    header = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM"
    path.write_bytes(header + bytes(512))
    with pytest.raises(UserError, match=r"format 7\.3 is not read: save the file again"):
        read_structs(path, "net", "X")


def test_axes_of_length_one_may_differ_only_at_the_ends(tmp_path: Path) -> None:
    rules: list[Rule] = []
    norm = nn.GroupNorm(1, 4)
    state = {"weight": torch.rand(4, 1, 1), "bias": torch.rand(1, 4)}
    found = match_state(tmp_path, norm, state, rules, "X")
    assert torch.equal(found["weight"], state["weight"].flatten())
    conv = nn.Conv2d(4, 1, 3, bias=False)
    with pytest.raises(UserError, match=r"weight is \[4, 1, 3, 3\], wanted \[1, 4, 3, 3\]"):
        match_state(tmp_path, conv, {"weight": torch.rand(4, 1, 3, 3)}, rules, "X")


def test_counters_of_batch_normalisation_may_be_absent(tmp_path: Path) -> None:
    norm = nn.BatchNorm2d(3)
    norm.num_batches_tracked += 7
    state = {n: v for n, v in norm.state_dict().items() if not n.startswith("num")}
    found = match_state(tmp_path, norm, state, [], "X")
    assert found["num_batches_tracked"] == 7
