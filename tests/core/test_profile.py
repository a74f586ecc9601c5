from __future__ import annotations

import pytest

from dfpg.core import profile
from dfpg.core.config import NOMINAL_SIZES, load_config
from dfpg.core.errors import UserError
from dfpg.core.profile import NAMES, OFFICIAL, describe_profile, resolve_profile, use_profile

RUN = "{method: nafnet, protocol: a, images: 16, lr: 1.0e-3, lr_discriminator: 1.0e-3, options: {}}"


TRAINING = tuple(name for name in NAMES if name != OFFICIAL)


@pytest.mark.parametrize("name", NAMES)
def test_every_profile_resolves_and_says_what_it_is_for(name):
    config, _ = resolve_profile(name)
    assert config.profile == name
    text = describe_profile(name)
    assert all(word in text for word in ("What for:", "Needs:", "Takes:"))


def test_written_params_read_back_as_the_same_configuration(tmp_path):
    path = tmp_path / "params.yaml"
    assert use_profile("smoke", path) == []
    assert load_config(path) == resolve_profile("smoke")[0]


def test_assumptions_stay_marked_in_the_written_file():
    assert resolve_profile("embedded")[1].count("assumed") >= 8


def test_paper_profile_has_the_papers_sizes():
    config, _ = resolve_profile("paper")
    a, b = config.protocols["a"].test, config.protocols["b"].test
    kernels = len(NOMINAL_SIZES) * a.kernels_per_size
    assert len(a.subsets) * a.faces_per_subset * kernels == 16_000
    assert len(b.subsets) * len(b.modes) * b.faces_per_subset * kernels == 38_400
    assert a.images_per_subset is None
    assert b.images_per_subset is None
    assert config.kernels.spline.train * len(NOMINAL_SIZES) == 18_000
    assert config.methods["dfpgnet"]["width"] == 64


def test_a_profile_sets_options_of_a_run_that_base_leaves_to_its_method():
    assert "lambda_adversarial" not in resolve_profile("paper")[0].runs["b5"].options
    options = {"variant": "b5", "lambda_adversarial": 0.0005}
    assert resolve_profile("embedded")[0].runs["b5"].options == options
    whole = profile._read("base")
    for changes in (
        {"runs": {"b5": {"lambda_adversarial": 0.1}}},
        {"methods": {"dfpgnet": {"options": {"width": 4}}}},
    ):
        with pytest.raises(UserError, match="unknown key"):
            profile._merge(whole, changes, "profile mine")


def test_gpu_profile_is_the_embedded_one_with_more_training():
    small, large = (resolve_profile(name)[0] for name in ("embedded", "gpu"))
    for run, settings in large.runs.items():
        fewer = small.runs[run]
        assert settings.images > fewer.images
        assert settings.model_copy(update={"images": fewer.images}) == fewer
    changed = {"profile": "embedded", "training": small.training, "runs": small.runs}
    assert large.model_copy(update=changed) == small


def test_photographs_profile_is_the_embedded_one_on_photographs():
    generated, photographs = (resolve_profile(name)[0] for name in ("embedded", "photographs"))
    alike = ("image_size", "kernels", "training", "methods", "runs", "evaluation", "classical")
    assert all(getattr(photographs, key) == getattr(generated, key) for key in alike)
    for protocol, settings in photographs.protocols.items():
        test = settings.test
        sources = {settings.source, *(subset.source for subset in test.subsets.values())}
        assert "embedded" not in sources
        people, images = test.faces_per_subset, test.images_per_subset
        theirs = generated.protocols[protocol].test
        assert people > theirs.faces_per_subset
        assert images > theirs.images_per_subset
    assert photographs.protocols["a"].test.faces_per_subset >= 100  # people of Table 3


def test_a_run_that_a_profile_leaves_out_is_gone_and_no_user_s_own(tmp_path, monkeypatch):
    lean = {"based_on": "smoke", "profile": "smoke", "runs": {"b2": None}}
    read = profile._read
    monkeypatch.setattr(profile, "_read", lambda name: lean if name == "embedded" else read(name))
    path = tmp_path / "params.yaml"
    use_profile("smoke", path)
    whole = load_config(path).runs
    assert "b2" in whole
    assert use_profile("embedded", path) == []
    assert set(load_config(path).runs) == set(whole) - {"b2"}
    use_profile("smoke", path)
    assert list(load_config(path).runs) == list(whole)


def test_unknown_profile_is_refused():
    with pytest.raises(UserError, match="'huge' is unknown"):
        resolve_profile("huge")


def test_folders_are_given_on_the_command_line_and_survive(tmp_path):
    """A profile is used again, and another one after it: nothing is lost in silence."""
    path = tmp_path / "params.yaml"
    own = ["celeba=/pictures/celeba", "portraits=folder:/pictures/own"]
    notes = use_profile("research", path, own, ["b.ffhq=portraits"])
    assert notes == [
        "set: faces.celeba <- /pictures/celeba (not there now)",
        "set: faces.portraits <- /pictures/own (not there now)",
        "set: slot b.ffhq <- portraits",
    ]
    first = load_config(path)
    assert first.faces["celeba"].path == "/pictures/celeba"
    assert first.faces["celeba"].train == 4464
    assert first.protocols["b"].test.subsets["ffhq"].source == "portraits"
    assert [note.replace("kept", "set") for note in use_profile("research", path)] == notes
    assert load_config(path) == first
    dropped = use_profile("embedded", path)
    assert dropped[2] == "not kept: slot b.ffhq <- portraits: this profile's is embedded"
    embedded = load_config(path)
    assert embedded.protocols == resolve_profile("embedded")[0].protocols
    assert embedded.faces["portraits"] == first.faces["portraits"]


def test_own_values_that_a_new_profile_replaces_are_named(tmp_path):
    path = tmp_path / "params.yaml"
    use_profile("research", path, ["celeba=/pictures"])
    own = path.read_text()
    for old, new in (
        ("vggface: null", "vggface: vgg.bin"),
        ("published_pairs: null", "published_pairs: {lists: /lists, pictures: /pictures}"),
        ("celeba, path: /pictures, train: 4464", "celeba, path: /pictures, train: 2300"),
        ("source: celeba+helen", "source: celeba"),
        ("  dfpg_a: {", f"  own: {RUN}\n  dfpg_a: {{"),
    ):
        assert own.count(old) == 1, old
        own = own.replace(old, new)
    path.write_text(own)
    assert use_profile("research", path) == [
        "kept: faces.celeba <- /pictures (not there now)",
        "kept: runs.own",
        "not kept: faces.celeba.train: 2300",
        "not kept: protocols.a.source: celeba",
        "not kept: prior.vggface: vgg.bin",
        "not kept: recognition.published_pairs.lists: /lists",
        "not kept: recognition.published_pairs.pictures: /pictures",
    ]


KEPT = ["kept: methods.mine", "kept: methods.other", "kept: runs.own"]


def added(text: str) -> str:
    """``params.yaml`` with methods and a run that a user added below the sections' first lines."""
    blocks = [
        "  mine: {width: 8, taps: [a, b]}  # my own",
        "  other:      # a second one",
        "    width: 8    # px",
        "    # One per level.",
        "    heads: [1, 2]   # of attention",
    ]
    text = text.replace("\nmethods:\n", "\n".join(["\nmethods:", *blocks, ""]), 1)
    return text.replace("\nruns:\n", f"\nruns:\n  own: {RUN}\n", 1)


def test_own_methods_and_runs_survive_every_profile_as_they_are_written(tmp_path):
    path = tmp_path / "params.yaml"
    use_profile("embedded", path)
    path.write_text(added(path.read_text()))
    before = path.read_text()
    for name in (*TRAINING, "embedded"):
        assert use_profile(name, path) == [
            "kept: methods.mine",
            "kept: methods.other",
            "kept: runs.own",
        ]
        assert path.read_text() == added(resolve_profile(name)[1])
    assert path.read_text() == before


def test_own_blocks_at_the_end_of_a_section_leave_the_comments_that_follow(tmp_path):
    path = tmp_path / "params.yaml"
    use_profile("embedded", path)
    text = path.read_text()
    methods, comment, rest = text.partition("\n\n# images:")
    path.write_text(f"{methods}\n  mine:\n    width: 8{comment}{rest}")
    assert use_profile("embedded", path) == ["kept: methods.mine"]
    assert path.read_text() == text.replace(
        "\nmethods:\n", "\nmethods:\n  mine:\n    width: 8\n", 1
    )


def test_own_blocks_survive_where_the_old_profile_is_unknown_or_sections_are_gone(tmp_path):
    path = tmp_path / "params.yaml"
    use_profile("embedded", path)
    text = added(path.read_text())
    path.write_text(text.replace("profile: embedded", "profile: mine"))
    notes = use_profile("embedded", path)
    assert notes[:3] == KEPT
    assert notes[3].startswith("not kept: other values that you may have changed: profile 'mine'")
    assert path.read_text() == text
    path.write_text(text[text.index("methods:") :])
    assert use_profile("embedded", path) == [
        *KEPT,
        f"the old {path} lacks sections: folders that it named are not kept",
    ]
    assert path.read_text() == text


def test_an_own_block_that_is_not_valid_is_named_and_the_file_stays(tmp_path):
    path = tmp_path / "params.yaml"
    use_profile("embedded", path)
    text = path.read_text().replace("\nruns:\n", "\nruns:\n  own: {method: nafnet}\n", 1)
    path.write_text(text)
    with pytest.raises(UserError, match=r"params\.yaml: runs\.own\.protocol: Field required"):
        use_profile("smoke", path)
    assert path.read_text() == text


def test_from_one_profile_to_another_nothing_is_lost_where_nothing_was_changed(tmp_path):
    path = tmp_path / "params.yaml"
    for name in (*TRAINING, TRAINING[0]):
        assert use_profile(name, path) == []


def test_new_folder_takes_the_place_of_the_kept_one(tmp_path):
    path = tmp_path / "params.yaml"
    use_profile("research", path, ["ffhq=/old"])
    notes = use_profile("research", path, ["ffhq=/new"])
    assert notes[-1] == "set: faces.ffhq <- /new (not there now)"
    assert load_config(path).faces["ffhq"].path == "/new"


def test_other_pictures_under_a_sets_name_are_not_kept(tmp_path):
    path = tmp_path / "params.yaml"
    use_profile("research", path, ["ffhq=/pictures"])
    path.write_text(path.read_text().replace("reader: ffhq", "reader: folder"))
    assert use_profile("research", path) == ["not kept: faces.ffhq <- /pictures: read as folder"]
    assert load_config(path).faces["ffhq"].path is None


@pytest.mark.parametrize("text", ["profile: [", "- a", "seed: 0\nseed: 1\n"])
def test_params_that_are_no_yaml_are_refused_and_stay(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match="correct the old file, or remove it") as error:
        use_profile("smoke", path)
    assert "\n" not in str(error.value)
    assert path.read_text() == text


@pytest.mark.parametrize(
    ("faces", "slots", "message"),
    [
        (["celeba"], [], "write SOURCE=FOLDER"),
        (["mine=/pictures"], [], "'mine' is none of celeba, .*mine=READER:/pictures"),
        (["mine=jpeg:/pictures"], [], "'mine' is none of celeba"),
        (["ffhq=folder:/pictures"], [], "ffhq is read as ffhq: name other pictures otherwise"),
        ([], ["b.lfw=celeba"], r"no slot 'b\.lfw': use one of a\.helen, "),
        ([], ["b.ffhq=mine"], "no source 'mine': use one of embedded, celeba"),
    ],
)
def test_mistyped_folder_or_slot_is_refused_and_the_file_stays(tmp_path, faces, slots, message):
    path = tmp_path / "params.yaml"
    use_profile("smoke", path)
    before = path.read_bytes()
    with pytest.raises(UserError, match=message):
        use_profile("research", path, faces, slots)
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["research", "paper"])
def test_profiles_on_photographs_fill_every_slot_with_its_own_set(name):
    config, _ = resolve_profile(name)
    found = {
        f"{protocol}.{subset}": settings.source
        for protocol, section in config.protocols.items()
        for subset, settings in section.test.subsets.items()
    }
    assert found == {
        "a.helen": "helen",
        "a.celeba": "celeba",
        "b.celeba": "celeba",
        "b.celeba_hq": "celebamask_hq",
        "b.ffhq": "ffhq",
    }
    assert config.protocols["a"].source == "celeba+helen"
    assert config.protocols["b"].source == "celebamask_hq"
    assert config.faces["celeba"].train == 2300 + 2164


def test_official_profile_has_the_runs_that_have_weights_and_keeps_them(tmp_path):
    path = tmp_path / "params.yaml"
    own = ["zhang2019_generic=/weights/dmphn", "xia2019=iter.npz"]
    notes = use_profile("official", path, weights=own)
    assert notes == [
        "set: runs.zhang2019_generic.weights <- /weights/dmphn (not there now)",
        "set: runs.xia2019.weights <- iter.npz (not there now)",
    ]
    first = load_config(path)
    assert {name: run.weights for name, run in first.runs.items()} == {
        "xia2019": "iter.npz",
        "zhang2019_generic": "/weights/dmphn",
    }
    again = use_profile("official", path, weights=["nafnet=nafnet.pth"])
    assert again == [
        "kept: runs.xia2019.weights <- iter.npz (not there now)",
        "kept: runs.zhang2019_generic.weights <- /weights/dmphn (not there now)",
        "set: runs.nafnet.weights <- nafnet.pth (not there now)",
    ]
    assert set(load_config(path).runs) == {"xia2019", "zhang2019_generic", "nafnet"}
    dropped = use_profile("embedded", path)
    assert "not kept: runs.nafnet.weights: nafnet.pth" in dropped
    assert all(run.weights is None for run in load_config(path).runs.values())


def test_official_profile_trains_nothing(tmp_path):
    path = tmp_path / "params.yaml"
    with pytest.raises(UserError, match="no weights are named: give --weights RUN=FILE"):
        use_profile("official", path)
    assert not path.exists()
    use_profile("embedded", path)
    text = path.read_text().replace("\nruns:\n", f"\nruns:\n  own: {RUN}\n", 1)
    path.write_text(text)
    notes = use_profile("official", path, weights=["xia2019=iter.npz"])
    assert "not kept: runs.own.method: nafnet" in notes
    assert set(load_config(path).runs) == {"xia2019"}


def test_a_source_of_the_users_own_is_limited_as_the_profiles_own_are(tmp_path):
    path = tmp_path / "params.yaml"
    for name, weights, train in (
        ("official", ["xia2019=iter.npz"], 16),
        ("research", [], None),
    ):
        path.unlink(missing_ok=True)
        use_profile(name, path, faces=["portraits=folder:/p"], weights=weights)
        assert load_config(path).faces["portraits"].train == train


def test_weights_are_given_to_a_run_of_any_profile(tmp_path):
    path = tmp_path / "params.yaml"
    use_profile("embedded", path, weights=["nafnet=net.pth"])
    config = load_config(path)
    assert config.runs["nafnet"].weights == "net.pth"
    assert set(config.runs) == set(resolve_profile("embedded")[0].runs)
    for given, words in (
        ("nafnett=net.pth", "runs.nafnett: no such run: use one of"),
        ("nafnet", "write RUN=FILE"),
    ):
        with pytest.raises(UserError, match=words):
            use_profile("official", path, weights=[given])
    assert load_config(path) == config


def test_what_is_written_into_a_resolved_profile_stays_there():
    config, _ = resolve_profile("smoke")
    config.runs.clear()
    assert resolve_profile("smoke")[0].runs


def test_a_place_that_is_there_gets_no_remark(tmp_path):
    (tmp_path / "net.pth").touch()
    notes = use_profile(
        "research",
        tmp_path / "params.yaml",
        faces=[f"celeba={tmp_path}"],
        weights=[f"nafnet={tmp_path / 'net.pth'}"],
    )
    assert notes == [
        f"set: faces.celeba <- {tmp_path}",
        f"set: runs.nafnet.weights <- {tmp_path / 'net.pth'}",
    ]
