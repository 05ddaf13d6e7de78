from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load as from_bytes
from safetensors.torch import save as to_bytes
from torch import nn

from geomlearn.training import (
    CheckpointError,
    build,
    describe,
    load,
    load_weights,
    register,
    registered,
    save,
)
from geomlearn.training._document import read_document, write_document

from ._double import Leapfrog, run


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return set(a) == set(b) and all(torch.equal(a[k], b[k]) and a[k].dtype == b[k].dtype for k in a)


def test_a_saved_model_is_rebuilt(tmp_path: Path) -> None:
    model = Leapfrog(12.345678901234567, 1 / 3)
    save(model, tmp_path / "m.safetensors")
    again = load(tmp_path / "m.safetensors")
    assert type(again) is Leapfrog
    assert same(weights(model), weights(again))
    other = Leapfrog()
    load_weights(other, tmp_path / "m.safetensors")
    assert same(weights(model), weights(other))


def test_a_float32_model_stays_float32(tmp_path: Path) -> None:
    save(Leapfrog(0.1, dtype=torch.float32), tmp_path / "m.safetensors")
    assert load(tmp_path / "m.safetensors").stiffness.dtype == torch.float32


def test_a_plain_reader_of_safetensors_sees_the_weights(tmp_path: Path) -> None:
    save(Leapfrog(12.5), tmp_path / "m.safetensors")
    content = from_bytes((tmp_path / "m.safetensors").read_bytes())
    assert content["model.stiffness"].tolist() == [12.5]
    copy = json.loads((tmp_path / "m.json").read_text())
    assert copy["config"]["type"] == "test-leapfrog"


def test_checkpoints_can_be_loaded_as_models(tmp_path: Path) -> None:
    trained = run(tmp_path, "adam", steps=14)
    assert same(weights(load(tmp_path / "best.safetensors")), weights(trained))
    last = run(tmp_path / "last", "adam", steps=14, restore_best=False)
    assert same(weights(load(tmp_path / "last.safetensors")), weights(last))
    assert describe(tmp_path / "last.safetensors")["step"] == 14


def test_a_truncated_file_is_refused_at_every_length(tmp_path: Path) -> None:
    run(tmp_path, "adam", steps=7)
    whole = (tmp_path / "last.safetensors").read_bytes()
    path = tmp_path / "cut.safetensors"
    model = Leapfrog()
    before = weights(model)
    lengths = {*range(24), *range(24, len(whole), 97), *range(len(whole) - 16, len(whole))}
    for length in sorted(lengths):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match=r"cut\.safetensors: truncated or damaged"):
            load_weights(model, path)
        assert path.read_bytes() == whole[:length]
    assert same(weights(model), before)


def test_a_flipped_byte_never_gives_wrong_numbers(tmp_path: Path) -> None:
    run(tmp_path, "adam", steps=7)
    source = tmp_path / "last.safetensors"
    whole = source.read_bytes()
    good = read_document(source, {"checkpoint"})
    path = tmp_path / "flipped.safetensors"
    refused = 0
    positions = [*range(0, len(whole), 61), *range(len(whole) - 40, len(whole))]
    for position in positions:
        flipped = bytearray(whole)
        flipped[position] ^= 1 << (position % 8)
        path.write_bytes(flipped)
        try:
            got = read_document(path, {"checkpoint"})
        except CheckpointError:
            refused += 1
        else:
            assert got.info == good.info
            assert same(got.tensors, good.tensors)
    assert refused > 0.95 * len(positions)


def test_a_damaged_checkpoint_stops_the_resume_and_stays(tmp_path: Path) -> None:
    run(tmp_path, "adam", steps=7)
    path = tmp_path / "last.safetensors"
    path.write_bytes(path.read_bytes()[:-3])
    damaged = path.read_bytes()
    for resume in (True, "auto"):
        with pytest.raises(CheckpointError, match="Restore the file from a copy"):
            run(tmp_path, "adam", resume=resume)
    assert path.read_bytes() == damaged


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    model = nn.Linear(3, 2)
    save(model, path)
    for other, message in (
        (nn.Linear(4, 2), r"'weight': expected shape \(2, 4\), got \(2, 3\)"),
        (nn.Linear(3, 2, bias=False), r"unknown \['bias'\]"),
        (nn.Sequential(nn.Linear(3, 2)), r"missing \['0.bias', '0.weight'\]"),
        (nn.Linear(3, 2).double(), "expected torch.float64, got torch.float32"),
    ):
        before = weights(other)
        with pytest.raises(CheckpointError, match=message):
            load_weights(other, path)
        assert same(weights(other), before)


def test_nan_weights_are_neither_saved_nor_loaded(tmp_path: Path) -> None:
    model = nn.Linear(3, 2)
    save(model, tmp_path / "good.safetensors")
    good = (tmp_path / "good.safetensors").read_bytes()
    with torch.no_grad():
        model.weight[1, 2] = float("nan")
    with pytest.raises(CheckpointError, match="1 of 6 entries of 'weight' are not finite"):
        save(model, tmp_path / "good.safetensors")
    assert (tmp_path / "good.safetensors").read_bytes() == good
    bad = {"model." + name: tensor for name, tensor in model.state_dict().items()}
    write_document(tmp_path / "bad.safetensors", "model", {}, bad)
    with pytest.raises(CheckpointError, match="not finite"):
        load_weights(nn.Linear(3, 2), tmp_path / "bad.safetensors")


def test_files_of_others_and_of_the_future_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(to_bytes({"weight": torch.zeros(2)}))
    with pytest.raises(CheckpointError, match="not written by geomlearn"):
        load(path)
    path.write_bytes(to_bytes({}, {"geomlearn": '{"format": 2, "kind": "model"}'}))
    with pytest.raises(CheckpointError, match="format version 2, this library reads 1"):
        load(path)
    with pytest.raises(FileNotFoundError, match="no file"):
        load(tmp_path / "absent.safetensors")
    with pytest.raises(ValueError, match=r"ending in \.safetensors"):
        save(nn.Linear(1, 1), tmp_path / "m.pt")


def test_a_model_file_is_no_checkpoint(tmp_path: Path) -> None:
    save(Leapfrog(), tmp_path / "last.safetensors")
    with pytest.raises(CheckpointError, match="expected a file of kind checkpoint, got kind model"):
        run(tmp_path, "adam")


def test_a_model_without_configuration_needs_the_caller_to_build_it(tmp_path: Path) -> None:
    save(nn.Linear(1, 1), tmp_path / "m.safetensors")
    with pytest.raises(CheckpointError, match="load_weights"):
        load(tmp_path / "m.safetensors")


def test_registry() -> None:
    assert "test-leapfrog" in registered()
    with pytest.raises(ValueError, match="got 'nobody'; import the module"):
        build({"type": "nobody"})
    with pytest.raises(ValueError, match="already taken by Leapfrog"):
        register("test-leapfrog")(type("Other", (Leapfrog,), {}))
    with pytest.raises(TypeError, match="expected methods config"):
        register("test-linear")(nn.Linear)


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    run(tmp_path, "adam", steps=7)
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full) if call == "fsync" else patch.setattr(Path, "replace", full)
        with pytest.raises(OSError, match="No space left") as caught:
            run(tmp_path, "adam", steps=20)
    assert caught.value.errno == errno.ENOSPC
    assert any("earlier one there is unchanged" in note for note in caught.value.__notes__)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == files
    run(tmp_path, "adam", steps=20)
    assert describe(tmp_path / "last.safetensors")["step"] == 20
