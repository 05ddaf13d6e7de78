"""Pairs of states one step apart, and windows of solutions of a system."""

from __future__ import annotations

import math

import pytest
import torch

from geomlearn.data import Windows, solved_windows
from integrators import Hamiltonian, ModuleField, StateSpace, StepError, vector

F64 = torch.float64
SPACE = StateSpace(vector("q", 1), vector("p", 1))


def test_pairs_are_windows_of_two_samples() -> None:
    before, after = torch.rand(5, 2, dtype=F64), torch.rand(5, 2, dtype=F64)
    pairs = Windows.from_pairs(before, after, 0.1, SPACE, torch.ones(5, 3, dtype=F64))
    assert torch.equal(pairs.states[:, 0], before)
    assert torch.equal(pairs.states[:, 1], after)
    assert pairs.controls is not None
    assert pairs.controls.shape == (5, 1, 3)
    assert pairs.recording.tolist() == [0, 1, 2, 3, 4]
    assert pairs.h == 0.1


@pytest.mark.parametrize(("before", "after"), [((5, 2), (4, 2)), ((5,), (5,)), ((2, 5, 2), (2, 5, 2))])
def test_tensors_that_are_no_pairs_are_refused(before: tuple[int, ...], after: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="before, after: expected two tensors"):
        Windows.from_pairs(torch.zeros(before), torch.zeros(after), 0.1, SPACE)


def test_solved_windows_of_an_oscillator_are_turns() -> None:
    starts = torch.tensor([[1.0, 0.0], [0.3, -2.0], [0.0, 0.0]], dtype=F64)
    windows = solved_windows(Hamiltonian("(p**2 + q**2)/2"), starts, 0.7, samples=4)
    assert windows.states.shape == (3, 4, 2)
    for k in range(4):
        c, s = math.cos(0.7 * k), math.sin(0.7 * k)
        turn = torch.tensor([[c, -s], [s, c]], dtype=F64)
        torch.testing.assert_close(windows.states[:, k], starts @ turn, rtol=0, atol=1e-12)


def test_starts_that_cannot_be_integrated_are_refused() -> None:
    system = Hamiltonian("(p**2 + q**2)/2")
    with pytest.raises(TypeError, match="starts: expected float64"):
        solved_windows(system, torch.zeros(1, 2), 0.1)
    with pytest.raises(ValueError, match="starts: expected shape"):
        solved_windows(system, torch.zeros(2, dtype=F64), 0.1)
    with pytest.raises(ValueError, match="samples, h: expected at least 2"):
        solved_windows(system, torch.zeros(1, 2, dtype=F64), 0.1, samples=1)
    explosion = ModuleField(lambda x: x**2, 1)
    with pytest.raises(StepError, match="DOP853 gave up"):
        solved_windows(explosion, torch.ones(1, 1, dtype=F64), 2.0)
