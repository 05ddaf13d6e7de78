"""Rollouts: samples, batches, controls, failures, observers and chunks, on both backends."""

from __future__ import annotations

import math
import multiprocessing
import tracemalloc
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import numba
import pytest
import torch

from integrators import RigidBodyIntegrator, Rollout, Status, StepError, rollout
from integrators._rollout import _run
from integrators._rollout._plan import Pace
from lie import SE3, SO3

from ._flows import DOUBLE, NAMES, Pendulum, body, body_states, controls

BACKENDS = ["torch", "numba"]


@numba.njit
def spin_squared(x):
    return x[9] ** 2 + x[10] ** 2 + x[11] ** 2


def spin_squared_torch(x):
    return x[..., 9:].square().sum(-1)


def fixed_chunks(monkeypatch: pytest.MonkeyPatch, length: int) -> None:
    class Fixed(Pace):
        def choose(self, left: int) -> int:
            return min(length, left)

    monkeypatch.setattr(_run, "Pace", Fixed)


def same(a: Rollout, b: Rollout) -> bool:
    fields = ("times", "states", "observation_times", "status", "failed_at", "final")
    return all(torch.equal(getattr(a, f), getattr(b, f)) for f in fields) and all(
        torch.equal(a.observations[name], b.observations[name])
        for name in {**a.observations, **b.observations}
    )


@pytest.mark.parametrize("backend", BACKENDS)
def test_samples_are_the_states_of_a_step_by_step_computation(backend: str) -> None:
    flow = body()
    x = body_states(flow, 5)
    u = controls(20, 5)
    run = rollout(flow, x, 20, every=3, controls=u, observe=NAMES, observe_every=2, backend=backend)
    path = torch.cat((x[None], flow.unroll(x, controls=u)))
    assert run.states.shape == (7, 5, 12)
    torch.testing.assert_close(run.states, path[::3], rtol=0, atol=1e-13)
    torch.testing.assert_close(run.times, 0.15 * torch.arange(7, dtype=DOUBLE))
    torch.testing.assert_close(run.observation_times, 0.1 * torch.arange(11, dtype=DOUBLE))
    torch.testing.assert_close(run.observations["energy"], flow.energy(path[::2]), rtol=0, atol=1e-12)
    torch.testing.assert_close(run.observations["momentum"], flow.momentum(path[::2]), rtol=0, atol=1e-12)
    torch.testing.assert_close(run.final, path[-1], rtol=0, atol=1e-13)
    torch.testing.assert_close(run.part("omega"), run.states[..., 9:], rtol=0, atol=0)
    assert run.part("R").shape == (7, 5, 3, 3)
    assert run.ok
    assert run.backend == backend
    run.raise_for_status()


PAIRS = [(SO3, "trace", False), (SO3, "cayley", True), (SE3, "trace", True), (SE3, "cayley", False)]
OTHERS = [(SO3, "trace", True), (SO3, "cayley", False), (SE3, "trace", False), (SE3, "cayley", True)]


@pytest.mark.parametrize(
    ("group", "kinetic", "damped"), PAIRS + [pytest.param(*p, marks=pytest.mark.slow) for p in OTHERS]
)
def test_both_backends_agree_over_100_steps(group, kinetic: str, damped: bool) -> None:
    flow = body(group, kinetic, damped)
    x = body_states(flow, 5)
    for u in (None, controls(5), controls(100, 5)):
        a, b = (rollout(flow, x, 100, controls=u, observe=NAMES, backend=name) for name in BACKENDS)
        scale = max(1.0, float(a.states.abs().max()))
        assert (a.states - b.states).abs().max() <= 1e-12 * scale
        for name in NAMES:
            size = max(1.0, float(a.observations[name].abs().max()))
            assert (a.observations[name] - b.observations[name]).abs().max() <= 1e-12 * size
        assert torch.equal(a.status, b.status)
        assert a.ok


@pytest.mark.parametrize("batch", [(), (1,), (3,), (2, 3), (0,), (2, 0)])
def test_any_batch_shape(batch: tuple[int, ...]) -> None:
    flow = Pendulum()
    x = torch.randn(*batch, 2, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    observe: dict[str, Any] = {"e": flow.energy, "both": lambda x: x * 2}
    run = rollout(flow, x, 10, every=5, observe=observe, backend="torch")
    assert run.states.shape == (3, *batch, 2)
    assert run.observations["e"].shape == (3, *batch)
    assert run.observations["both"].shape == (3, *batch, 2)
    assert run.status.shape == run.failed_at.shape == batch
    assert run.final.shape == (*batch, 2)
    y = x
    for _ in range(10):
        y = flow(y)
    torch.testing.assert_close(run.final, y, rtol=0, atol=1e-15)


def test_batch_shapes_of_the_kernel() -> None:
    flow = body()
    x = body_states(flow, 6)
    flat = rollout(flow, x, 10, observe=NAMES, backend="numba")
    grid = rollout(flow, x.reshape(2, 3, 12), 10, observe=NAMES, backend="numba")
    assert torch.equal(grid.states.flatten(1, 2), flat.states)
    assert grid.observations["momentum"].shape == (11, 2, 3, 3)
    empty = rollout(flow, x[:0], 10, observe=NAMES, backend="numba")
    assert empty.states.shape == (11, 0, 12)
    assert empty.ok


def test_no_steps_return_the_initial_state() -> None:
    flow = body()
    x = body_states(flow, 2)
    for backend in BACKENDS:
        run = rollout(flow, x, 0, observe=NAMES, backend=backend)
        assert torch.equal(run.states, x[None])
        torch.testing.assert_close(run.final, x, rtol=0, atol=1e-15)


def test_all_forms_of_controls_mean_what_they_say() -> None:
    flow = Pendulum()
    x = torch.zeros(2, 3, 2, dtype=DOUBLE)
    per_trajectory = torch.randn(2, 3, 1, dtype=DOUBLE, generator=torch.Generator().manual_seed(1))
    per_step = torch.randn(7, 1, dtype=DOUBLE, generator=torch.Generator().manual_seed(2))
    both = torch.randn(7, 2, 3, 1, dtype=DOUBLE, generator=torch.Generator().manual_seed(3))
    cases = [
        (torch.tensor([0.4], dtype=DOUBLE), torch.full((7, 2, 3, 1), 0.4, dtype=DOUBLE)),
        (per_trajectory, per_trajectory.expand(7, 2, 3, 1)),
        (per_trajectory[None], per_trajectory.expand(7, 2, 3, 1)),
        (per_step, per_step[:, None, None].expand(7, 2, 3, 1)),
        (both[:, :, :1], both[:, :, :1].expand(7, 2, 3, 1)),
        (both, both),
    ]
    for given, meant in cases:
        run = rollout(flow, x, 7, controls=given, backend="torch")
        torch.testing.assert_close(run.states[1:], flow.unroll(x, controls=meant), rtol=0, atol=1e-15)


def test_feedback_sees_time_and_states() -> None:
    flow = Pendulum()
    x = torch.tensor([[1.0, 0.0], [2.0, 0.0]], dtype=DOUBLE)
    run = rollout(flow, x, 5, controls=lambda t, x: t - x[..., 1:])
    y = x
    for k in range(5):
        y = flow(y, 0.1 * k - y[..., 1:])
    torch.testing.assert_close(run.final, y, rtol=0, atol=1e-15)
    with pytest.raises(ValueError, match=r"expected the function to return \(..., 1\)"):
        rollout(flow, x, 5, controls=lambda t, x: x)


def test_ambiguous_controls_are_refused_and_the_remedies_work() -> None:
    flow = Pendulum()
    x = torch.zeros(4, 2, dtype=DOUBLE)
    u = torch.randn(4, 1, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match="fits both 4 steps and 4 trajectories"):
        rollout(flow, x, 4, controls=u)
    constant = rollout(flow, x, 4, controls=u[None])
    each = rollout(flow, x, 4, controls=u[:, None])
    torch.testing.assert_close(constant.states[1:], flow.unroll(x, controls=u.expand(4, 4, 1)))
    torch.testing.assert_close(each.states[1:], flow.unroll(x, controls=u[:, None].expand(4, 4, 1)))


X = torch.zeros(3, 2, dtype=DOUBLE)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"x0": X[..., :1]}, ValueError, r"x0: expected shape"),
        (
            {"x0": X.float(), "controls": torch.zeros(1, dtype=DOUBLE)},
            TypeError,
            "control: expected the dtype",
        ),
        ({"x0": X.int()}, TypeError, "x0: expected a float32 or float64 tensor"),
        ({"x0": X + math.nan}, ValueError, r"x0: expected finite states, got nan in q\[0\]"),
        ({"steps": -1}, ValueError, "steps: expected at least 0"),
        ({"steps": 2.0}, TypeError, "steps: expected an integer"),
        ({"every": 0}, ValueError, "every: expected at least 1"),
        ({"observe_every": 0}, ValueError, "observe_every: expected at least 1"),
        ({"backend": "jax"}, ValueError, "backend: expected one of"),
        ({"backend": "numba"}, TypeError, "'numba' is not possible, since Pendulum has no compiled kernel"),
        ({"controls": [1.0]}, TypeError, "controls: expected a tensor"),
        ({"controls": torch.zeros(2, dtype=DOUBLE)}, ValueError, "control: expected shape"),
        (
            {"controls": torch.zeros(5, 1, dtype=DOUBLE)},
            ValueError,
            r"controls: expected shape \(1,\) or \(3, 1\)",
        ),
        ({"controls": torch.full((1,), math.inf, dtype=DOUBLE)}, ValueError, "controls: expected finite"),
        ({"observe": ["energy"]}, ValueError, "observe: expected one of"),
        ({"observe": {"e": 3}}, TypeError, "observe: expected a function or a name"),
        ({"observe": {"e": lambda x: x.sum()}}, ValueError, r"observe: 'e' returned shape \(\)"),
        ({"observe": {"e": lambda x: 1.0}}, TypeError, "observe: 'e' returned float"),
        ({"flow": torch.nn.Linear(2, 2)}, TypeError, "flow: expected a FlowMap"),
    ],
)
def test_wrong_arguments_are_named(change: dict, error: type[Exception], words: str) -> None:
    arguments: dict[str, Any] = {"flow": Pendulum(), "x0": X, "steps": 4} | change
    with pytest.raises(error, match=words):
        rollout(**arguments)


def test_a_state_that_is_no_rotation_is_refused() -> None:
    flow = body()
    x = body_states(flow, 2)
    x[1, 0] += 0.1
    with pytest.raises(ValueError, match=r"x0\.R"):
        rollout(flow, x, 3)


def test_states_that_cannot_fit_into_memory_are_refused() -> None:
    with pytest.raises(MemoryError, match="keep fewer states"):
        rollout(Pendulum(), torch.zeros(10**4, 2, dtype=DOUBLE), 10**10, backend="torch")


def test_failed_trajectories_stay_at_their_last_good_state_on_both_backends() -> None:
    flow = body()
    x = body_states(flow, 40)
    x[5, 9:] = torch.tensor([30.0, 0, 0])
    x[7, 9:] = torch.tensor([0, 0, 25.0])
    push = torch.zeros(60, 40, 3, dtype=DOUBLE)
    push[30:, 11] = 60.0
    runs = [rollout(flow, x, 60, controls=push, observe=NAMES, backend=name) for name in BACKENDS]
    for run in runs:
        assert not run.ok
        assert run.failed_at[[5, 7]].tolist() == [1, 1]
        assert run.failed_at[11] > 30
        assert (run.failed_at >= 0).sum() == 3
        assert run.status[5] == run.status[11] == int(Status.UNSOLVABLE)
        last = int(run.failed_at[11]) - 1
        assert torch.equal(run.states[last:, 11], run.states[last, 11].expand(61 - last, -1))
        assert not torch.equal(run.states[last, 11], run.states[last - 1, 11])
        torch.testing.assert_close(run.states[:, 5], x[5].expand(61, -1), rtol=1e-15, atol=1e-15)
        assert run.observations["energy"][last:, 11].unique().numel() == 1
        fine = [k for k in range(40) if k not in (5, 7, 11)]
        alone = flow.unroll(x[fine], controls=push[:, fine])
        torch.testing.assert_close(run.states[1:, fine], alone, rtol=0, atol=1e-12)
        with pytest.raises(StepError, match=r"3 of 40 trajectories failed, the first at batch index \(5,\)"):
            run.raise_for_status()
        assert "3 of 40 trajectories FAILED" in repr(run)
    assert torch.equal(runs[0].status, runs[1].status)
    assert torch.equal(runs[0].failed_at, runs[1].failed_at)


def test_a_force_that_becomes_nan_stops_the_trajectory_before_it() -> None:
    def potential(R: torch.Tensor) -> torch.Tensor:
        return 0.1 * (R[..., 0, 0] - 0.5) ** 1.5

    flow = RigidBodyIntegrator(SO3, 0.05, torch.eye(3, dtype=DOUBLE), potential)
    x = flow.space.pack(R=torch.eye(3, dtype=DOUBLE), omega=torch.tensor([0.0, 0.0, 1.0], dtype=DOUBLE))
    run = rollout(flow, x, 100)
    assert run.status == int(Status.NON_FINITE)
    assert torch.isfinite(run.states).all()
    angle = math.acos(float(run.final[0]))
    assert angle <= math.pi / 3 < angle + 0.06
    assert run.failed_at == run.states[:, 0].unique().numel()


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_kind_of_observer_and_no_dependence_on_chunks(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = body()
    x = body_states(flow, 3)
    x[1, 9:] *= 40
    u = controls(50, 3)
    observe: dict[str, Any] = {
        "energy": flow.energy,
        "momentum": "momentum",
        "again": "energy",
        "torch": spin_squared_torch,
        "numba": spin_squared,
    }
    runs = []
    for length in (1, 7, 50):
        fixed_chunks(monkeypatch, length)
        runs.append(rollout(flow, x, 50, 6, u, observe, 4, backend))
    run = runs[0]
    assert same(run, runs[1])
    assert same(run, runs[2])
    assert list(run.observations) == list(observe)
    assert torch.equal(run.observations["energy"], run.observations["again"])
    path = rollout(flow, x, 50, controls=u, observe=NAMES, backend="torch").states[::4]
    for name in ("torch", "numba"):
        torch.testing.assert_close(run.observations[name], spin_squared_torch(path), rtol=1e-11, atol=1e-11)


def test_observing_every_step_of_a_long_run_keeps_no_states() -> None:
    flow = body()
    x = body_states(flow)
    rollout(flow, x, 5, observe={"w": spin_squared}, backend="numba")
    tracemalloc.start()
    run = rollout(
        flow,
        x,
        500_000,
        every=500_000,
        observe={"w": spin_squared},
        observe_every=1,
        backend="numba",
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert run.observations["w"].shape == (500_001,)
    assert run.states.shape == (2, 12)
    assert peak < 0.9 * 500_000 * 12 * 8
    torch.testing.assert_close(run.observations["w"][-1], spin_squared_torch(run.final))


def test_float32_states_are_computed_in_float64_by_the_kernel() -> None:
    flow = body().float()
    x = flow.space.pack(R=torch.eye(3), omega=body_states(body(), 3)[:, 9:].float())
    run = rollout(flow, x, 3000, every=1000, observe=NAMES, backend="numba")
    near = rollout(flow, x, 50, observe=NAMES, backend="numba")
    wide = rollout(body(), x.double(), 50, observe=NAMES, backend="numba")
    assert run.states.dtype == run.final.dtype == run.observations["energy"].dtype == torch.float32
    torch.testing.assert_close(near.states, wide.states.float(), rtol=0, atol=1e-4)
    # Only the rounding of the result: 3000 steps in float32 leave the group by some 1e-4.
    assert SO3.residual(run.part("R")[-1].double()).max() < 1e-6


def test_auto_says_why_a_long_run_is_in_torch() -> None:
    flow = RigidBodyIntegrator(SO3, 0.05, torch.eye(3, dtype=DOUBLE), lambda R: R[..., 0, 0])
    x = body_states(body())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert rollout(flow, x, 20).backend == "torch"
    with pytest.warns(UserWarning, match="FunctionPotential"):
        rollout(flow, x.expand(100, 12), 10)
    with pytest.raises(TypeError, match=r"'numba' is not possible.*FunctionPotential"):
        rollout(flow, x, 5, backend="numba")
    assert rollout(body(), body_states(body(), 2), 5, observe=NAMES).backend == "numba"


def test_parallel_and_serial_kernels_and_shards_give_the_same_bits() -> None:
    flow = body()
    x = body_states(flow, 137)
    u = controls(40, 137)
    options: dict[str, Any] = {
        "controls": u,
        "observe": {"energy": flow.energy, "momentum": "momentum"},
        "backend": "numba",
    }
    serial = rollout(flow, x, 40, parallel=False, **options)
    assert same(serial, rollout(flow, x, 40, parallel=True, **options))
    with ThreadPoolExecutor(3) as executor:
        shards = rollout(
            flow, x.reshape(1, 137, 12), 40, executor=executor, **options | {"controls": u[:, None]}
        )
    assert torch.equal(shards.states[:, 0], serial.states)
    assert torch.equal(shards.observations["momentum"][:, 0], serial.observations["momentum"])
    assert shards.failed_at.shape == (1, 137)


@pytest.mark.slow
def test_shards_in_other_processes() -> None:
    flow = body()
    x = body_states(flow, 70)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=spawn) as executor:
        run = rollout(flow, x, 30, observe={"e": flow.energy}, executor=executor)
    assert torch.equal(run.states, rollout(flow, x, 30, observe={"e": flow.energy}).states)


def _in_child(queue, x) -> None:
    torch.set_num_threads(
        1
    )  # as torch's own data-loading workers do: its thread pool does not survive a fork
    flow = body()
    run = rollout(flow, x, 2000, every=2000, observe=NAMES, backend="numba")
    try:
        rollout(flow, x, 10, observe=NAMES, backend="numba", parallel=True)
    except RuntimeError as error:
        queue.put((run.final.numpy(), str(error)))


def test_a_forked_process_runs_serially() -> None:
    flow = body()
    x = body_states(flow, 64)
    here = rollout(flow, x, 2000, every=2000, observe=NAMES, backend="numba")
    fork = multiprocessing.get_context("fork")
    queue = fork.Queue()
    child = fork.Process(target=_in_child, args=(queue, x))
    child.start()
    final, message = queue.get(timeout=60)
    child.join(60)
    assert child.exitcode == 0
    assert torch.equal(torch.from_numpy(final), here.final)
    assert "cannot run in a forked process" in message


def test_progress_is_shown_on_request_and_silent_otherwise(capsys: pytest.CaptureFixture[str]) -> None:
    x = torch.zeros(2, dtype=DOUBLE)
    rollout(Pendulum(), x, 100, progress=True)
    shown = capsys.readouterr()
    assert "100/100 steps" in shown.err
    assert "steps/s" in shown.err
    assert shown.out == ""
    rollout(Pendulum(), x, 100)
    silent = capsys.readouterr()
    assert silent.err == silent.out == ""
