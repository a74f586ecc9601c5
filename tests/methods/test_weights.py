from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from dfpg.core.errors import UserError
from dfpg.methods.dfpgnet import DFPGNet
from dfpg.methods.weights import load_weights, read_card, save_weights

Make = Callable[..., DFPGNet]


def stored(value: torch.Tensor) -> torch.Tensor:
    return value.half().float()


def test_weights_come_back_in_half_precision_with_their_card(make: Make, tmp_path: Path) -> None:
    method, other, path = make(seed=1), make(seed=2), tmp_path / "w.safetensors"
    save_weights(path, method, steps=7)
    card = load_weights(path, other)
    assert (card.method, card.image_size, card.steps) == ("dfpgnet", 32, 7)
    assert card.options == method.options.model_dump()
    own, loaded = (m.networks["generator"].state_dict() for m in (method, other))
    assert all(torch.equal(stored(own[name]), loaded[name]) for name in own)
    assert {value.dtype for value in loaded.values()} == {torch.float32}
    assert {value.dtype for value in load_file(path).values()} == {torch.float16}


def test_what_half_precision_would_change_is_kept_as_it_is(make: Make, tmp_path: Path) -> None:
    method, path = make(), tmp_path / "w.safetensors"
    state = dict(method.networks["generator"].state_dict())
    state["to_rgb.bias"] = torch.tensor([1e6, 0.1, 0.2])  # float16 ends at 65,504
    state["up2.bias"] = torch.full((8,), 1e-8)  # and begins at 6e-8
    save_weights(path, method, 1, state)
    load_weights(path, method)
    loaded = method.networks["generator"].state_dict()
    assert torch.equal(loaded["to_rgb.bias"], state["to_rgb.bias"])
    assert torch.equal(loaded["up2.bias"], state["up2.bias"])


def test_published_weights_are_kept_as_they_are(make: Make, tmp_path: Path) -> None:
    method, other, path = make(seed=1), make(seed=2), tmp_path / "w.safetensors"
    save_weights(path, method, steps=0, official="ab" * 32)
    load_weights(path, other)
    own, loaded = (m.networks["generator"].state_dict() for m in (method, other))
    assert all(torch.equal(own[name], loaded[name]) for name in own)


def test_equal_weights_give_equal_bytes_in_any_memory_layout(make: Make, tmp_path: Path) -> None:
    files = [tmp_path / f"{i}.safetensors" for i in range(6)]
    for index, path in enumerate(files):
        method = make()
        if index % 2:
            method.to(torch.device("cpu"))  # channels_last
        save_weights(path, method, steps=1)
    assert len({path.read_bytes() for path in files}) == 1


def test_an_average_can_be_stored_instead_of_the_current_weights(
    make: Make, tmp_path: Path
) -> None:
    method, path = make(), tmp_path / "w.safetensors"
    average = {k: v + 1 for k, v in method.networks["generator"].state_dict().items()}
    save_weights(path, method, 1, average)
    load_weights(path, method)
    assert all(
        torch.equal(v, stored(average[k]))
        for k, v in method.networks["generator"].state_dict().items()
    )


def test_wrong_files_are_refused_in_one_line(make: Make, tmp_path: Path) -> None:
    method, path = make(), tmp_path / "w.safetensors"

    def refused(match: str) -> None:
        with pytest.raises(UserError, match=match) as error:
            load_weights(path, method)
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)

    refused("no such weights")
    save_weights(path, method, steps=1)
    whole = path.read_bytes()
    for size in (0, 5, 1000, len(whole) - 1):
        path.write_bytes(whole[:size])
        refused("damaged")
    save_file({"a": torch.zeros(2)}, path)
    refused("not weights of this suite")
    save_weights(path, make(variant="b1"), steps=1)
    refused("missing from")
    save_weights(path, make(width=12), steps=1)
    refused("expected")
    state = method.networks["generator"].state_dict()
    save_weights(path, method, 1, state | {"extra": torch.zeros(1)})
    refused("extra is unexpected")
    save_weights(path, method, 1, state | {"to_rgb.bias": torch.full((3,), torch.nan)})
    refused("not finite")
    method.name = "other"
    refused("weights of dfpgnet, not of other")


def test_a_refused_file_leaves_the_method_as_it_was(make: Make, tmp_path: Path) -> None:
    method, path = make(), tmp_path / "w.safetensors"
    before = {k: v.clone() for k, v in method.networks["generator"].state_dict().items()}
    bad = {k: v + 1 for k, v in before.items()} | {"up2.bias": torch.full((8,), torch.inf)}
    save_weights(path, method, 1, bad)
    with pytest.raises(UserError):
        load_weights(path, method)
    assert all(
        torch.equal(v, before[k]) for k, v in method.networks["generator"].state_dict().items()
    )
    assert read_card(path).method == "dfpgnet"
