"""Small linear systems in kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from integrators.kernels import KernelBuilder, emit_linear_solve, gram_solve_text, symmetric_solve

from ._interpreted import run_section


@pytest.mark.parametrize("n", [1, 2, 3, 6])
def test_solution_equals_that_of_numpy(n: int) -> None:
    random = np.random.default_rng(n)
    factor, twist = random.normal(size=(2, 5, n, n))
    matrices = factor @ factor.swapaxes(1, 2) + 0.1 * np.eye(n) + twist - twist.swapaxes(1, 2)
    right = random.normal(size=(5, n))
    b = KernelBuilder()
    matrix_rows, right_rows = b.rows(n * n), b.rows(n)
    b.section("start")
    emit_linear_solve(b, matrix_rows, right_rows)
    filled = np.concatenate([matrices.reshape(5, -1).T, right.T])
    found = run_section(b, "start", filled)[right_rows].T
    expected = np.linalg.solve(matrices, right[..., None])[..., 0]
    condition = np.linalg.cond(matrices).max()
    assert np.abs(found - expected).max() <= 1e-15 * condition * np.abs(expected).max()


@pytest.mark.parametrize("n", [1, 2, 3, 8])
def test_symmetric_systems_in_variables_of_a_lane(n: int) -> None:
    random = np.random.default_rng(n)
    factor = random.normal(size=(n, n))
    matrix, right = factor @ factor.T + 0.1 * np.eye(n), random.normal(size=n)
    names = [[f"m_{i}_{j}" for j in range(i + 1)] for i in range(n)]
    values = {names[i][j]: matrix[i, j] for i in range(n) for j in range(i + 1)}
    values |= {f"r_{i}": right[i] for i in range(n)}
    for statement in symmetric_solve(names, [f"r_{i}" for i in range(n)]):
        exec(statement, {}, values)
    expected = np.linalg.solve(matrix, right)
    found = np.array([values[f"r_{i}"] for i in range(n)])
    slack = 4e-15 * np.linalg.cond(matrix) * np.abs(expected).max()
    assert np.abs(found - expected).max() <= slack


def test_zeros_of_a_pattern_are_left_out() -> None:
    """A chain closed to a ring: elimination fills the last row, and reads no entry outside the pattern."""
    n, random = 6, np.random.default_rng(0)
    pattern = [[(i - j) % n in (0, 1, n - 1) for j in range(n)] for i in range(n)]
    matrices = np.where(pattern, random.normal(size=(5, n, n)), 0.0) + 4 * np.eye(n)
    right = random.normal(size=(5, n))
    b = KernelBuilder()
    matrix_rows, right_rows = b.rows(n * n), b.rows(n)
    b.section("start")
    emit_linear_solve(b, matrix_rows, right_rows, pattern)
    stale = np.where(pattern, matrices, np.nan)
    found = run_section(b, "start", np.concatenate([stale.reshape(5, -1).T, right.T]))[right_rows].T
    expected = np.linalg.solve(matrices, right[..., None])[..., 0]
    assert np.abs(found - expected).max() <= 1e-14


def test_gram_solve_text_in_plain_python() -> None:
    m, n, lanes = 4, 6, 3
    generator = np.random.default_rng(0)
    slope, weight = generator.normal(size=(m, n, lanes)), generator.uniform(1, 2, size=(n, 1))
    right = generator.normal(size=(m, lanes))
    work = np.concatenate(
        [slope.ravel(), (slope * weight).ravel(), np.full((m * m + m + 1) * lanes, np.nan), right.ravel()]
    )
    first = 2 * m * n
    text = gram_solve_text("solve", m, n, 0, m * n, first, first + m * m + m + 1)
    namespace: dict[str, Any] = {"L": lanes}
    exec(text, namespace)
    namespace["solve"](work, None)
    gram = np.einsum("inl,jnl->lij", slope, slope * weight)
    expected = np.stack([np.linalg.solve(gram[lane], right[:, lane]) for lane in range(lanes)], -1)
    rows = work.reshape(-1, lanes)
    np.testing.assert_allclose(rows[-m:], expected, rtol=1e-12)
    diagonal = rows[first + m * m : first + m * m + m]
    np.testing.assert_allclose(diagonal, np.einsum("lii->il", gram), rtol=1e-13)
