"""Measuring the structure of a flow map."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from .._flow import FlowMap
from .._rollout import Rollout, rollout
from .._status import Status
from ._drift import Drift, measure_drift
from ._result import Certificate, MomentumDrift
from ._tangent import tangent_map

KEPT = 200
ORDER_STEPS = 8


def certify(
    flow: FlowMap, x: Tensor, steps: int = 10_000, control: Tensor | None = None, backend: str = "auto"
) -> Certificate:
    """Measure the structure of a flow map at states and along the rollouts that start there.

    One step gives the symplectic defect (by automatic differentiation), the volume, the residual of the
    solver, the reversibility and the inverse; halving the step gives the order; the rollout gives the
    distance from the groups, the drift of the energy and the change of the momenta. What a map does not have
    is left out. A map can bring its own ``phase_derivative(x, control) -> (D, before, after)`` (derivative of
    a step and symplectic forms), ``step_residual(x, control)``, ``energy(x)``, ``momentum(x)``,
    ``momentum_rate(x)`` (what the potential changes) and ``flip_velocities(x)``.

    Args:
        flow: The map.
        x: States ``(..., n)`` at which it is measured; a few are enough.
        steps: Length of the rollout.
        control: Inputs ``(m,)`` that are held all the time.
        backend: Backend of the rollout.

    Returns:
        The measurements.

    Raises:
        ValueError: If there is no state, or too few steps to tell a drift.
    """
    flow.space.check(x, "x")
    if x.numel() == 0 or steps < 16:
        raise ValueError(
            f"certify: expected at least one state and 16 steps, got {tuple(x.shape)} and {steps}"
        )
    states = x.detach().reshape(-1, x.shape[-1])
    held = None if control is None else control.expand(len(states), flow.control_size)
    run = _roll(flow, states, steps, control, backend)
    eps = torch.finfo(x.dtype).eps
    symplectic, scale, volume = _derivatives(flow, states, held)
    with torch.no_grad():
        error, growth = _groups(run)
        return Certificate(
            flow=type(flow).__name__,
            h=flow.h,
            steps=steps,
            trajectories=len(states),
            failed=int((run.status >= int(Status.NOT_CONVERGED)).sum()),
            eps=eps,
            symplectic_defect=symplectic,
            form_scale=scale,
            state_scale=max(1.0, float(states.abs().max())),
            volume_defect=volume,
            group_error=error,
            group_growth=growth,
            solver_residual=_largest(flow, "step_residual", states, held),
            energy=_energy(run, eps),
            momentum=_momentum(flow, run, held),
            reversibility=_reversibility(flow, states, held),
            inverse=_inverse(flow, states, held),
            order=_order(flow, states, held),
            stated_order=flow.order,
        )


def _roll(flow: FlowMap, x: Tensor, steps: int, control: Tensor | None, backend: str) -> Rollout:
    observe: dict[str, Any] = {
        name: getattr(flow, name) for name in ("energy", "momentum") if callable(getattr(flow, name, None))
    }
    every = max(1, steps // KEPT)
    return rollout(flow, x, steps, every, control, observe, 1, backend)


def _derivatives(flow: FlowMap, x: Tensor, control: Tensor | None) -> tuple[float | None, float, float]:
    """Symplectic defect, largest entry of the form, and volume defect."""
    phase = getattr(flow, "phase_derivative", None)
    defect, scale = None, 1.0
    if phase is None:
        derivative = tangent_map(flow, x, control)
    else:
        derivative, before, after = phase(x, control)
        defect = float((derivative.mT @ after @ derivative - before).abs().max())
        scale = max(1.0, float(before.abs().max()), float(after.abs().max()))
    return defect, scale, float((torch.linalg.det(derivative.detach()).abs() - 1).abs().max())


def _largest(flow: FlowMap, name: str, x: Tensor, control: Tensor | None) -> float | None:
    measure = getattr(flow, name, None)
    return None if measure is None else float(measure(x, control).max())


def _groups(run: Rollout) -> tuple[dict[str, float], dict[str, float]]:
    """Distance of each part from its group at the end, and its growth per step by a straight line."""
    error, growth = {}, {}
    for part in run.space.parts:
        if part.manifold is None:
            continue
        residual = part.manifold.residual(run.part(part.name)).flatten(1).amax(1).double()
        number = torch.arange(len(residual), dtype=torch.float64) * (run.times[1] / run.h)
        centred = number - number.mean()
        error[part.name] = float(residual.max())
        growth[part.name] = float((centred @ residual.cpu()) / (centred @ centred))
    return error, growth


def _energy(run: Rollout, eps: float) -> Drift | None:
    if "energy" not in run.observations:
        return None
    times, values = run.observation_times.numpy(), run.observations["energy"].double().cpu().numpy()
    made = torch.where(run.failed_at < 0, run.steps, run.failed_at - 1).tolist()
    drifts = [
        measure_drift(times[: last + 1], values[: last + 1, k], eps)
        for k, last in enumerate(made)
        if last >= 16
    ]
    if not drifts:
        return None
    return max(drifts, key=lambda drift: (drift.significant, abs(drift.t_statistic)))


def _momentum(flow: FlowMap, run: Rollout, control: Tensor | None) -> tuple[MomentumDrift, ...]:
    if "momentum" not in run.observations:
        return ()
    values = run.observations["momentum"].double()
    change = (values - values[0]).abs().flatten(0, 1).amax(0)
    scale = float(values.abs().max())
    conserved = _symmetries(flow, run, control, values.shape[-1])
    return tuple(MomentumDrift(float(c), scale, known) for c, known in zip(change, conserved, strict=True))


def _symmetries(flow: FlowMap, run: Rollout, control: Tensor | None, size: int) -> list[bool | None]:
    """Which components are conserved: no force acts, and the potential changes them nowhere on the way."""
    rate = getattr(flow, "momentum_rate", None)
    if rate is None:
        return [None] * size
    pushed = control is not None and bool((control != 0).any())
    if pushed or getattr(flow, "dissipation", None) is not None:
        return [False] * size
    rates = rate(run.states.flatten(0, -2)).double().abs().amax(0)
    tolerance = 1e4 * torch.finfo(run.states.dtype).eps * float(rates.max())
    return [bool(value <= tolerance) for value in rates]


def _reversibility(flow: FlowMap, x: Tensor, control: Tensor | None) -> float | None:
    flip = getattr(flow, "flip_velocities", None)
    if flip is None:
        return None
    return float((flip(flow(flip(flow(x, control)), control)) - x).abs().max())


def _inverse(flow: FlowMap, x: Tensor, control: Tensor | None) -> float | None:
    try:
        return float((flow.inverse(flow(x, control), control) - x).abs().max())
    except NotImplementedError:
        return None


def _order(flow: FlowMap, x: Tensor, control: Tensor | None) -> float | None:
    """Order from the differences between steps ``h``, ``h/2`` and ``h/4``; ``None`` if they are rounding."""
    if flow.order is None:
        return None
    ends = []
    for halving in range(3):
        finer, y = flow.with_step(flow.h / 2**halving), x
        for _ in range(ORDER_STEPS * 2**halving):
            y = finer(y, control)
        ends.append(y)
    coarse, fine = ((ends[k] - ends[k + 1]).abs().max() for k in range(2))
    if float(fine) < 1e5 * torch.finfo(x.dtype).eps * float(x.abs().max()):
        return None
    return math.log2(float(coarse) / float(fine))
