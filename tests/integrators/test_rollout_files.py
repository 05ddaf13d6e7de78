"""Rollouts in files: contents, interruptions at any instant, full disks, refusals."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from integrators import FlowMap, RigidBodyIntegrator, load_rollout, rollout
from integrators._rollout import _store
from integrators._rollout._layout import inspect
from lie import SO3

from ._flows import DOUBLE, Pendulum, body, body_states, controls
from .test_rollout import fixed_chunks, same, spin_squared_torch

ROOT = Path(__file__).resolve().parents[2]
BACKENDS = ["torch", "numba"]


def options(backend: str, steps: int) -> dict[str, Any]:
    flow = body()
    x = body_states(flow, 3)
    x[1, 9:] *= 40
    return {
        "flow": flow,
        "x0": x,
        "steps": steps,
        "every": 3,
        "controls": controls(60, 3)[:steps],
        "observe": {"energy": flow.energy, "momentum": "momentum", "torch": spin_squared_torch},
        "observe_every": 2,
        "backend": backend,
    }


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_file_holds_what_memory_would(backend: str, tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    expected = rollout(**options(backend, 50))
    run = rollout(**options(backend, 50), file=path)
    assert same(run, expected)
    assert same(load_rollout(path, in_memory=True), expected)
    assert run.complete
    assert run.file == path
    assert run.space == expected.space
    assert isinstance(run.states.numpy().base, np.memmap) or not run.states.numpy().flags.owndata
    run.states[0] = 0.0
    assert same(load_rollout(path), expected), "changes of a loaded tensor must not reach the file"


def test_the_file_explains_itself(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    rollout(**options("torch", 50), file=path)
    with h5py.File(path) as file:
        assert file.attrs["flow"] == "RigidBodyIntegrator"
        assert file.attrs["h"] == 0.05
        assert file["states"].attrs["units"].tolist() == ["1", "rad/s"]
        assert file["states"].attrs["frames"].tolist() == ["", "body"]
        assert [label.decode() for label in file["labels"][8:10]] == ["R[2,2]", "omega[0]"]
        assert file["states"].shape == (17, 3, 12)
        assert file["observations/momentum"].shape == (26, 3, 3)
        assert file["steps_done"][0] == 50
        assert file["status"][:].tolist() == [0, 3, 0]


@pytest.mark.parametrize("batch", [(), (0,), (2, 2)])
def test_any_batch_shape_in_a_file(batch: tuple[int, ...], tmp_path: Path) -> None:
    x = torch.randn(*batch, 2, dtype=DOUBLE, generator=torch.Generator().manual_seed(0)).float()
    arguments: dict[str, Any] = {"every": 4, "observe": {"e": Pendulum().energy}}
    run = rollout(Pendulum(), x, 10, **arguments, file=tmp_path / "run.h5")
    assert same(run, rollout(Pendulum(), x, 10, **arguments))
    assert run.states.dtype == torch.float32


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_longer_run_continues_a_shorter_one_with_the_same_bits(backend: str, tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    for steps in (0, 13, 13, 50):
        run = rollout(**options(backend, steps), file=path, resume=True)
        assert run.steps == steps
    assert same(run, rollout(**options(backend, 50)))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run.h5"]


def test_an_existing_file_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    rollout(Pendulum(), torch.zeros(2, dtype=DOUBLE), 5, file=path)
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match="resume=True"):
        rollout(Pendulum(), torch.zeros(2, dtype=DOUBLE), 5, file=path)
    assert path.read_bytes() == before
    with pytest.raises(FileNotFoundError, match="missing"):
        rollout(Pendulum(), torch.zeros(2, dtype=DOUBLE), 5, file=tmp_path / "missing" / "run.h5")


def heavier() -> dict[str, Any]:
    changed = options("torch", 30)
    changed["flow"].inertia.matrix *= 1.5
    return {"flow": changed["flow"]}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda: {"flow": body(h=0.04)}, r"h \(file: 0.05, now: 0.04\)"),
        (lambda: {"steps": 20, "controls": controls(60, 3)[:20]}, r"steps \(file: 30, now: 20"),
        (heavier, "parameters.inertia.matrix"),
        (lambda: {"flow": body(kinetic="cayley")}, r"settings.kinetic \(file: trace, now: cayley\)"),
        (lambda: {"flow": body(damped=True)}, "dissipation"),
        (lambda: {"x0": body_states(body(), 3, seed=4)}, "x0"),
        (lambda: {"x0": body_states(body(), 2), "controls": None}, "batch"),
        (lambda: {"controls": controls(30, 3, seed=8)}, "controls"),
        (lambda: {"every": 2}, "every"),
        (lambda: {"observe": {"torch": lambda x: x[..., 0]}}, "observe"),
        (lambda: {"backend": "numba"}, r"backend \(file: torch, now: numba\)"),
    ],
)
def test_another_run_is_not_continued(change, word: str, tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    arguments = options("torch", 30) | {"observe": {"torch": spin_squared_torch}}
    rollout(**arguments, file=path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=rf"{path}.*different: .*{word}"):
        rollout(**arguments | change(), file=path, resume=True)
    assert path.read_bytes() == before


def test_a_changed_function_is_noticed_by_its_first_step(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    scale = [1.0]
    flow = RigidBodyIntegrator(SO3, 0.05, torch.eye(3, dtype=DOUBLE), lambda R: scale[0] * R[..., 0, 0])
    x = body_states(body())
    rollout(flow, x, 10, file=path)
    rollout(flow, x, 12, file=path, resume=True)
    scale[0] = 2.0
    with pytest.raises(ValueError, match="the result of the first step"):
        rollout(flow, x, 14, file=path, resume=True)


def test_foreign_and_damaged_files_are_refused(tmp_path: Path) -> None:
    x = torch.zeros(2, dtype=DOUBLE)
    path = tmp_path / "run.h5"
    with pytest.raises(FileNotFoundError, match="there is no file"):
        load_rollout(path)
    path.write_text("hello")
    with pytest.raises(ValueError, match="damaged or not an HDF5 file"):
        load_rollout(path)
    path.unlink()
    with h5py.File(path, "w") as file:
        file["x"] = 1
    with pytest.raises(ValueError, match="not one written by rollout"):
        rollout(Pendulum(), x, 5, file=path, resume=True)
    path.unlink()
    rollout(Pendulum(), x, 50, file=path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"damaged|cut off"):
        load_rollout(path)


def test_a_half_written_checkpoint_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.h5"
    fixed_chunks(monkeypatch, 10)
    monkeypatch.setattr(_store, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(_store, "CHECKPOINT_SHARE", 0.0)
    x = torch.tensor([1.0, 0.0], dtype=DOUBLE)
    full = rollout(Pendulum(), x, 40, file=path)
    extents = inspect(path)[0]
    newest = _store.read_checkpoint(path, extents)
    with path.open("r+b") as file:
        file.seek(extents[_store.SLOTS[newest.sequence % 2]].offset + 70)
        file.write(b"\xff\xff\xff\xff")
    partial = load_rollout(path)
    assert (partial.steps, partial.complete) == (30, False)
    assert torch.equal(partial.states, full.states[:31])
    assert "interrupted" in repr(partial)
    assert same(rollout(Pendulum(), x, 40, file=path, resume=True), rollout(Pendulum(), x, 40))
    with path.open("r+b") as file:
        for name in _store.SLOTS:
            file.seek(extents[name].offset + 70)
            file.write(b"\xff\xff\xff\xff")
    with pytest.raises(ValueError, match="neither of its two checkpoints"):
        load_rollout(path)


SCRIPT = """
    import sys, torch
    from integrators import rollout
    from integrators._rollout import _run, _store
    from integrators._rollout._plan import Pace
    from tests.integrators._flows import Pendulum, body, body_states

    class Short(Pace):
        def choose(self, left):
            return min(int(sys.argv[3]), left)

    _run.Pace = Short
    _store.CHECKPOINT_SECONDS = _store.CHECKPOINT_SHARE = 0.0
    torch.set_num_threads(1)
    if sys.argv[2] == "torch":
        flow, x = Pendulum(), torch.tensor([[1.0, 0.0], [2.0, 0.5]], dtype=torch.float64)
    else:
        flow = body()
        x = body_states(flow, 3)
    print("ready", flush=True)
    rollout(flow, x, int(sys.argv[4]), every=2, observe={"e": flow.energy}, file=sys.argv[1], resume=True,
            backend=sys.argv[2])
"""


def start_script(path: Path, backend: str, chunk: int, steps: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(SCRIPT), str(path), backend, str(chunk), str(steps)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, cwd=ROOT)


@pytest.mark.parametrize(("backend", "chunk", "steps"), [("torch", 11, 4000), ("numba", 1001, 400_000)])
def test_a_run_killed_at_random_instants_ends_with_the_same_bits(
    backend: str, chunk: int, steps: int, tmp_path: Path
) -> None:
    path = tmp_path / "run.h5"
    draw = random.Random(1)
    progress = [0]
    for _ in range(3):
        child = start_script(path, backend, chunk, steps)
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        deadline = time.monotonic() + 60
        while child.poll() is None and time.monotonic() < deadline:
            if path.exists() and load_rollout(path).steps > progress[-1]:
                break
            time.sleep(0.002)
        time.sleep(draw.random() * 0.05)
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        run = load_rollout(path)
        assert run.states.shape[0] == run.steps // 2 + 1
        progress.append(run.steps)
    assert 0 < progress[1] < steps
    assert progress[1] <= progress[2] <= progress[3]
    top = body()
    flow: FlowMap = Pendulum() if backend == "torch" else top
    x = torch.tensor([[1.0, 0.0], [2.0, 0.5]], dtype=DOUBLE) if backend == "torch" else body_states(top, 3)
    observe = {"e": flow.energy}
    arguments: dict[str, Any] = {"every": 2, "observe": observe, "backend": backend}
    end = rollout(flow, x, steps, **arguments, file=path, resume=True)
    assert end.complete
    assert same(end, rollout(flow, x, steps, **arguments))


def test_two_processes_do_not_write_one_file(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    child = start_script(path, "torch", 11, 10**7)
    try:
        deadline = time.monotonic() + 60
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        x = torch.tensor([[1.0, 0.0], [2.0, 0.5]], dtype=DOUBLE)
        with pytest.raises(BlockingIOError, match="another process is writing"):
            rollout(
                Pendulum(),
                x,
                10**7,
                every=2,
                observe={"e": Pendulum().energy},
                file=path,
                resume=True,
                backend="torch",
            )
    finally:
        child.kill()
        child.wait()
        if child.stdout is not None:
            child.stdout.close()


def test_a_full_disk_keeps_what_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.h5"
    fixed_chunks(monkeypatch, 10)
    monkeypatch.setattr(_store, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(_store, "CHECKPOINT_SHARE", 0.0)
    x = torch.tensor([1.0, 0.0], dtype=DOUBLE)
    full = rollout(Pendulum(), x, 100)
    writes = [0]
    real = os.pwrite

    def limited(descriptor: int, data: memoryview, offset: int) -> int:
        writes[0] += 1
        if writes[0] == 40:
            return real(descriptor, data[: len(data) // 2], offset)
        if writes[0] > 40:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, data, offset)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", limited)
        with pytest.raises(
            OSError, match=rf"No space left on device: while writing {path} at step .* are kept"
        ) as e:
            rollout(Pendulum(), x, 100, file=path)
    assert e.value.errno == errno.ENOSPC
    kept = load_rollout(path)
    assert 0 < kept.steps < 100
    assert f"The first {kept.steps} steps are kept" in str(e.value)
    assert torch.equal(kept.states, full.states[: kept.steps + 1])
    assert same(rollout(Pendulum(), x, 100, file=path, resume=True), full)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        done = False
    if not done:
        pytest.skip("may not mount a tmpfs")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_really_full_disk(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = small_disk / "run.h5"
    filler = small_disk / "filler"
    monkeypatch.setattr(_store, "CHECKPOINT_SECONDS", 0.0)
    fixed_chunks(monkeypatch, 10)
    x = torch.randn(1000, 2, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    filler.write_bytes(b"\0" * (3 * 2**20))
    with (
        pytest.warns(UserWarning, match="GiB are free"),
        pytest.raises(OSError, match="No space left on device: while writing"),
    ):
        rollout(Pendulum(), x, 150, file=path, backend="torch")
    kept = load_rollout(path, in_memory=True)
    assert 0 < kept.steps < 150
    full = rollout(Pendulum(), x, 150, backend="torch")
    assert torch.equal(kept.states, full.states[: kept.steps + 1])
    filler.unlink()
    assert same(rollout(Pendulum(), x, 150, file=path, resume=True, backend="torch"), full)
