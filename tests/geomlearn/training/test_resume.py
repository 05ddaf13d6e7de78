from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from geomlearn.training import Batches, Checkpointer, CheckpointError, History, StepInfo, fit, train_step
from geomlearn.training._document import read_document

from . import _double
from ._double import Leapfrog, data, run


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[list[str]]]:
    root = tmp_path_factory.mktemp("runs")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(p or "." for p in sys.path),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, _double.__file__, str(root)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return root, [line.split() for line in done.stdout.splitlines()]


def test_killed_runs_end_with_the_bits_of_the_whole_run(campaign: tuple[Path, list[list[str]]]) -> None:
    root, lines = campaign
    killed = 0
    for kind, name, whole, death, resumed, _ in lines:
        assert (whole, resumed) == ("0", "0"), (kind, name)
        killed += death == str(-signal.SIGKILL)
        for file in ("last.safetensors", "best.safetensors"):
            expected = (root / kind / "whole" / file).read_bytes()
            assert (root / kind / name / file).read_bytes() == expected, (kind, name, file)
        assert not [p.name for p in (root / kind / name).iterdir() if p.name.startswith(".")], (kind, name)
    assert killed >= 16


def test_the_campaign_killed_in_every_phase_of_a_write(campaign: tuple[Path, list[list[str]]]) -> None:
    _, lines = campaign
    left = [line[5].split(",") for line in lines if line[1].startswith(("fsync", "rename"))]
    assert any(name.startswith(".last.") for names in left for name in names)
    assert any(name.startswith(".best.") for names in left for name in names)


def test_what_a_checkpoint_holds(campaign: tuple[Path, list[list[str]]]) -> None:
    root, _ = campaign
    adam = read_document(root / "adam" / "whole" / "last.safetensors", {"checkpoint"})
    assert adam.info["step"] == 40
    assert len(adam.section("history")["losses"]) == 40
    assert set(adam.section("model")) == {"stiffness", "gain", "calls"}
    moments = [t for t in adam.section("optimizer").values() if t.shape == (1,)]
    assert len(moments) == 4
    lbfgs = read_document(root / "lbfgs" / "whole" / "last.safetensors", {"checkpoint"})
    assert len(lbfgs.section("optimizer")) > 6


def test_interrupting_by_a_callback_changes_no_bit(tmp_path: Path) -> None:
    run(tmp_path / "whole", "adam")

    def pause(info: StepInfo) -> bool:
        return info.step % 11 == 0

    for _ in range(4):
        run(tmp_path / "parts", "adam", callbacks=[pause])
    whole, parts = (
        read_document(tmp_path / name / "last.safetensors", {"checkpoint"}) for name in ("whole", "parts")
    )
    assert whole.info == parts.info
    assert set(whole.tensors) == set(parts.tensors)
    for name, tensor in whole.tensors.items():
        assert torch.equal(tensor, parts.tensors[name]), name


def test_resuming_a_finished_run_changes_nothing(tmp_path: Path) -> None:
    first = run(tmp_path, "adam")
    before = (tmp_path / "last.safetensors").read_bytes()
    again = run(tmp_path, "adam", resume=True)
    assert (tmp_path / "last.safetensors").read_bytes() == before
    assert torch.equal(first.stiffness, again.stiffness)


def test_a_run_can_be_made_longer(tmp_path: Path) -> None:
    run(tmp_path, "adam", steps=14)
    run(tmp_path, "adam", steps=20)
    assert read_document(tmp_path / "last.safetensors", {"checkpoint"}).info["step"] == 20
    with pytest.raises(CheckpointError, match="has already taken 20 steps"):
        run(tmp_path, "adam", steps=5)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"lr": 0.1}, "hyperparameters"),
        ({"seed": 4}, "seed"),
        ({"schedule": None}, "schedule"),
        ({"optimizer": "adamw"}, "optimizer"),
        ({"gradient_clip": 1.0}, "gradient_clip"),
        ({"batch_size": 6}, "batches of 5"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else value,
)
def test_resuming_under_other_settings_is_refused(
    tmp_path: Path, change: dict[str, object], named: str
) -> None:
    run(tmp_path, "adam", steps=7)
    before = (tmp_path / "last.safetensors").read_bytes()
    with pytest.raises(CheckpointError, match=named):
        run(tmp_path, "adam", steps=7, **change)
    assert (tmp_path / "last.safetensors").read_bytes() == before


def test_resuming_on_other_windows_is_refused(tmp_path: Path) -> None:
    settings = {"steps": 3, "checkpoint_dir": tmp_path, "progress": False}
    fit(Leapfrog(), data(0), **settings)  # type: ignore[arg-type]
    with pytest.raises(CheckpointError, match="windows"):
        fit(Leapfrog(), data(1), resume=True, **settings)  # type: ignore[arg-type]


def test_a_checkpoint_is_never_overwritten_by_a_new_run(tmp_path: Path) -> None:
    run(tmp_path, "adam", steps=7)
    with pytest.raises(CheckpointError, match="resume='auto'"):
        run(tmp_path, "adam", steps=7, resume=False)


def test_resume_needs_something_to_resume(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint"):
        run(tmp_path, "adam", resume=True)
    with pytest.raises(ValueError, match="resume: expected a checkpoint_dir"):
        fit(Leapfrog(), data(), steps=1, resume=True, progress=False)


def test_a_loop_of_ones_own_can_be_checkpointed(tmp_path: Path) -> None:
    def loop(stops: list[int]) -> torch.Tensor:
        for stop in stops:
            model = Leapfrog()
            optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
            batches = Batches(data(), 7, seed=1)
            checkpointer = Checkpointer(tmp_path / str(len(stops)), every=4)
            history = (
                checkpointer.restore(model, optimizer, batches).history
                if checkpointer.exists()
                else History()
            )
            while history.steps < stop:
                result = train_step(
                    model,
                    optimizer,
                    lambda m, x, u: (m(x[:, 0], u[:, 0]) - x[:, 1]).square().mean(),
                    batches.next(),
                    step=history.steps + 1,
                )
                history.losses.append(result.loss)
                history.gradient_norms.append(result.gradient_norm)
                history.learning_rates.append(0.1)
                if checkpointer.due(history.steps):
                    checkpointer.save(model, optimizer, batches, history)
        return model.stiffness.detach()

    assert torch.equal(loop([12]), loop([5, 11, 12]))
