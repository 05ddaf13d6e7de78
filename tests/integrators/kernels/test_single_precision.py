"""Kernels in float32: every number is one, answers against float64 and against torch in float32."""

from __future__ import annotations

from functools import cache

import numba
import numpy as np
import pytest
import torch

from integrators import GaussLegendre, Hamiltonian, Status, Verlet, rollout
from integrators.kernels import load_source
from integrators.kernels._module import typed

EXPRESSION = "p**2/2 + 2*q**2 - q**6/20 + tanh(q)/3 + 0.1*exp(-q**2) + 0.2*sin(t)*q + sqrt(1 + q**2)/3"


@cache
def flow(dtype: torch.dtype) -> Verlet:
    return Verlet(Hamiltonian(EXPRESSION, dtype=dtype), 0.05)


def starts(dtype: torch.dtype) -> torch.Tensor:
    q = torch.linspace(-0.6, 0.6, 40, dtype=torch.float64)
    return torch.stack((q, 0.3 - q * q, torch.zeros_like(q)), -1).to(dtype)


def test_no_variable_of_a_kernel_in_float32_is_double() -> None:
    program = flow(torch.float32).kernel_program(["energy"])
    single = torch.float32
    module = load_source(program.source(32, single).replace("cache=True, ", ""))  # types are not kept on disk
    x, parameters = starts(single).numpy(), program.builder.flat_parameters(single)
    carry = np.zeros((len(x), program.carry_size), dtype=np.float32)
    states, seen = np.zeros((1, *x.shape), dtype=np.float32), np.zeros((1, len(x), 1), dtype=np.float32)
    codes, failed_at = np.zeros(len(x), dtype=np.int8), np.full(len(x), -1)
    module.start_all(x, parameters, carry)
    table = np.zeros((0, 1, 0), dtype=np.float32)
    module.run_serial(carry, parameters, table, 0, 40, 40, states, 40, seen, codes, failed_at)
    checked = 0
    for function in vars(module).values():
        for compiled in getattr(function, "overloads", {}).values():
            for name, kind in compiled.type_annotation.typemap.items():
                element = getattr(kind, "dtype", kind)
                literal = name.startswith("$const") or "load_attr" in name  # what np.float32 is applied to
                assert element != numba.types.float64 or literal, (function, name)
                checked += 1
    assert checked > 100
    assert states.dtype == np.float32
    assert (
        np.abs(states[0] - rollout(flow(single), starts(single), 40, backend="torch").final.numpy()).max()
        < 1e-5
    )


def test_single_precision_is_right_to_its_rounding_and_like_torch() -> None:
    runs = {
        name: rollout(flow(dtype), starts(dtype), 200, every=200, observe="energy", backend=backend)
        for name, dtype, backend in (
            ("kernel", torch.float32, "numba"),
            ("torch", torch.float32, "torch"),
            ("exact", torch.float64, "numba"),
        )
    }
    assert runs["kernel"].final.dtype == torch.float32
    assert runs["kernel"].observations["energy"].dtype == torch.float32
    exact = runs["exact"].final
    error = float((runs["kernel"].final - exact).abs().max())
    assert 1e-8 < error < 5e-5  # above: it is no rounded float64 computation
    assert error < 4 * float((runs["torch"].final - exact).abs().max())


def test_lanes_that_leave_the_range_of_float32_stop_where_torch_stops_them() -> None:
    x = starts(torch.float32)
    x[::7, 0] = 4.0
    runs = [
        rollout(flow(torch.float32), x, 200, every=200, backend=backend) for backend in ("numba", "torch")
    ]
    assert torch.equal(runs[0].status, runs[1].status)
    assert torch.equal(runs[0].failed_at, runs[1].failed_at)
    assert (runs[0].status[::7] == int(Status.NON_FINITE)).all()
    assert int((runs[0].status == 0).sum()) == 34


def test_implicit_steps_of_float32_states_are_solved_in_double_precision() -> None:
    program = GaussLegendre(Hamiltonian(EXPRESSION, dtype=torch.float32), 0.05).kernel_program([])
    assert program.dtype(torch.float32) == torch.float64
    assert flow(torch.float32).kernel_program([]).dtype(torch.float32) == torch.float32
    assert flow(torch.float64).kernel_program([]).dtype(torch.float64) == torch.float64


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x = 0.5 * y1 + 1e-3", "x = np.float32(0.5) * y1 + np.float32(1e-3)"),
        ("x = A[3 * L + l] if k == 2 else float(k)", "x = A[3 * L + l] if k == 2 else np.float32(k)"),
        ("x = -2.0 * math.pi", "x = -np.float32(2.0) * np.float32(math.pi)"),
    ],
)
def test_literals_get_the_type_and_indices_stay(text: str, expected: str) -> None:
    assert typed(text + "\n", torch.float32) == expected + "\n"
    assert typed(text + "\n", torch.float64) == text + "\n"
