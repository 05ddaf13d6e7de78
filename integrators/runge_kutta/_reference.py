"""Solutions to high accuracy by adaptive steps, to compare other methods with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy  # loads its parts when they are asked for
import torch
from torch import Tensor

from .._method import SystemMethod
from .._status import Status, StepError, report
from ..systems import System

SMALLEST_TOLERANCE = 2.3e-14  # solve_ivp takes nothing below 100 units of rounding


def _solve(
    system: System,
    x: Tensor,
    time: float,
    control: Tensor | None,
    tolerances: tuple[float, float],
    method: str,
) -> tuple[Tensor, bool]:
    """State of one trajectory after a time, and whether the solver got there."""

    def field(_: float, y: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            slope = system.field(torch.as_tensor(y, dtype=x.dtype, device=x.device), control)
        value: np.ndarray = slope.double().cpu().numpy()
        return value

    start = x.detach().double().cpu().numpy()
    if time == 0 or not np.isfinite(start).all():
        return x, bool(np.isfinite(start).all())
    rtol, atol = tolerances
    with np.errstate(all="ignore"):
        run = scipy.integrate.solve_ivp(
            field, (0.0, time), start, method=method, rtol=rtol, atol=atol, t_eval=[time]
        )
    if not run.success:
        return torch.full_like(x, math.nan), False
    return torch.as_tensor(run.y[:, -1], dtype=x.dtype, device=x.device), True


def _check(rtol: float, atol: float) -> tuple[float, float]:
    if not rtol >= SMALLEST_TOLERANCE:
        raise ValueError(f"rtol: expected at least {SMALLEST_TOLERANCE}, got {rtol}")
    if not atol > 0:
        raise ValueError(f"atol: expected a positive number, got {atol}")
    return float(rtol), float(atol)


def reference_solution(
    system: System,
    x0: Tensor,
    times: Sequence[float] | Tensor,
    rtol: float = 1e-13,
    atol: float = 1e-13,
    control: Tensor | None = None,
    method: str = "DOP853",
) -> Tensor:
    """Solve to high accuracy by an adaptive method of SciPy, trajectory by trajectory.

    The solver stops at every time asked for, since between its steps it interpolates less accurately. No
    derivatives are recorded.

    Args:
        system: Any system.
        x0: States ``(..., n)`` at time 0.
        times: Times at which the solution is wanted, all of one sign and going away from 0.
        rtol: Relative tolerance of a step of the solver.
        atol: Absolute tolerance of a step of the solver.
        control: Inputs ``(..., m)``, held over all times.
        method: ``"DOP853"``, or ``"Radau"`` for stiff systems.

    Returns:
        States ``(len(times), ..., n)``.

    Raises:
        ValueError: If times go back and forth or a tolerance is too small.
        StepError: If the solver gives up before the last time.
    """
    tolerances = _check(rtol, atol)
    instants = [float(t) for t in times]
    lengths = np.diff([0.0, *instants])
    ways = {math.copysign(1, length) for length in lengths if length}
    if not instants or 0 in lengths[1:] or len(ways) > 1:
        raise ValueError(f"times: expected numbers that go away from 0, got {instants[:8]}")
    flat = x0.detach().reshape(-1, x0.shape[-1])
    held = None
    if control is not None:
        held = control.detach().expand(*x0.shape[:-1], -1).reshape(len(flat), -1)
    out = flat.new_empty((len(instants), *flat.shape))
    for i, start in enumerate(flat):
        x = start
        for k, length in enumerate(lengths):
            x, solved = _solve(
                system, x, float(length), None if held is None else held[i], tolerances, method
            )
            if not solved:
                raise StepError(f"times: {method} gave up on trajectory {i} before time {instants[k]}")
            out[k, i] = x
    return out.reshape(len(instants), *x0.shape)


class DOP853(SystemMethod):
    """The adaptive Runge-Kutta method of order 8 of Dormand and Prince as a map over a time ``h``.

    It is a reference: accurate, slow, and it keeps no structure. It runs in SciPy, trajectory by trajectory,
    and cannot be differentiated; ``GaussLegendre`` and ``RungeKutta4`` can.

    Source: Hairer, Nørsett, Wanner, Solving Ordinary Differential Equations I, 2nd ed. 1993, II.10; SciPy.
    """

    order = 8
    differentiable = False

    def __init__(self, system: System, h: float, rtol: float = 1e-12, atol: float = 1e-12) -> None:
        """Bind.

        Args:
            system: Any system.
            h: Time of one step of the map, over which the method takes as many of its own as it needs.
            rtol: Relative tolerance of a step of the method.
            atol: Absolute tolerance of a step of the method.

        Raises:
            ValueError: If a tolerance is too small.
        """
        super().__init__(system, h)
        self.rtol, self.atol = _check(rtol, atol)

    def advance(self, carry: Tensor, control: Tensor | None, constants: None) -> Tensor:
        """Integrate over ``h``; raises ``StepError`` where the solver gives up."""
        carry, status = self.try_advance(carry, control, constants)
        report(status)
        return carry

    def try_advance(self, carry: Tensor, control: Tensor | None, constants: None) -> tuple[Tensor, Tensor]:
        """Like ``advance``, with a status per trajectory in place of an error."""
        self._refuse_derivatives(carry, control)
        flat = carry.detach().reshape(-1, carry.shape[-1])
        held = None
        if control is not None:
            held = control.detach().expand(*carry.shape[:-1], -1).reshape(len(flat), -1)
        out, codes = torch.empty_like(flat), torch.zeros(len(flat), dtype=torch.int8, device=flat.device)
        tolerances = (self.rtol, self.atol)
        for i, x in enumerate(flat):
            u = None if held is None else held[i]
            out[i], solved = _solve(self.system, x, self.h, u, tolerances, "DOP853")
            codes[i] = int(Status.OK if solved else Status.NON_FINITE)
        return out.reshape(carry.shape), codes.reshape(carry.shape[:-1])

    def _refuse_derivatives(self, *tensors: Tensor | None) -> None:
        """Raise where a gradient would be wrong without a word."""
        wanted: list[Any] = [*tensors, *self.parameters()]
        recorded = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in wanted)
        if recorded or torch._C._are_functorch_transforms_active():
            raise TypeError(
                "DOP853 cannot be differentiated or transformed by torch.func; call it under "
                "torch.no_grad(), or use GaussLegendre or RungeKutta4"
            )

    def inverse(self, y: Tensor, control: Tensor | None = None) -> Tensor:
        """Integrate back in time: the inverse up to the tolerances."""
        back: Tensor = self.with_step(-self.h)(y, control)
        return back
