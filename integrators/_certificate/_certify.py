"""Measuring the structure of a flow map."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._flow import FlowMap
from .._rollout import Rollout, rollout
from .._status import Status
from ._drift import Drift, measure_drift
from ._growth import Growth, measure_growth
from ._result import Certificate, InvariantDrift, MomentumDrift
from ._step import differentiate, inverse_error, measured_order, reversibility

KEPT = 200


def certify(
    flow: FlowMap, x: Tensor, steps: int = 10_000, control: Tensor | None = None, backend: str = "auto"
) -> Certificate:
    """Measure the structure of a flow map at states and along the rollouts that start there.

    One step gives the symplectic or Poisson defect (by automatic differentiation), the volume, the residual
    of the solver, the reversibility and the inverse; halving the step gives the order; the rollout gives the
    distance from the groups and constraints, the drift of the energy and the law by which its error grows,
    and the change of the momenta and of the invariants of the system. What a map does not have is left out. A
    map can bring its own ``phase_derivative(x, control) -> (D, before, after)`` (derivative of a step and
    symplectic forms), ``step_residual(x, control)``, ``energy(x)``, ``momentum(x)``, ``momentum_rate(x)``
    (what the potential changes), ``flip_velocities(x)`` and ``constraint_residual(x)``; its ``system`` can
    have a Poisson ``structure(x)``, ``invariants`` and constraints.

    Args:
        flow: The map.
        x: States ``(..., n)`` at which it is measured; a few are enough.
        steps: Length of the rollout.
        control: Inputs ``(m,)`` that are held all the time.
        backend: Backend of the rollout.

    Returns:
        The measurements; printing them shows a table.

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
    derivatives = differentiate(flow, states, held)
    with torch.no_grad():
        error, growth = _groups(run)
        return Certificate(
            flow=type(flow).__name__,
            h=flow.h,
            steps=steps,
            trajectories=len(states),
            failed=int((run.status >= int(Status.NOT_CONVERGED)).sum()),
            eps=eps,
            symplectic_defect=derivatives.symplectic,
            form_scale=derivatives.form_scale,
            poisson_defect=derivatives.poisson,
            structure_scale=derivatives.structure_scale,
            state_scale=max(1.0, float(states.abs().max())),
            volume_defect=derivatives.volume,
            group_error=error,
            group_growth=growth,
            constraint_residual=_constraint(flow, run),
            solver_residual=_residual(flow, states, held),
            energy=_energy(run, eps),
            energy_growth=_energy_growth(run),
            momentum=_momentum(flow, run, held),
            invariants=_invariants(flow, run),
            reversibility=reversibility(flow, states, held),
            inverse=inverse_error(flow, states, held),
            order=measured_order(flow, states, held),
            stated_order=flow.order,
        )


def _roll(flow: FlowMap, x: Tensor, steps: int, control: Tensor | None, backend: str) -> Rollout:
    observe: dict[str, Any] = dict.fromkeys(_conserved(flow))
    observe = {name: name for name in observe}
    for name in ("energy", "momentum"):
        if name not in observe and callable(getattr(flow, name, None)):
            observe[name] = getattr(flow, name)
    every = max(1, steps // KEPT)
    return rollout(flow, x, steps, every, control, observe, 1, backend)


def _conserved(flow: FlowMap) -> list[str]:
    """Names of the invariants of the map's system, beside the energy."""
    invariants: dict[str, int] = getattr(getattr(flow, "system", None), "invariants", {})
    return [name for name in invariants if name in getattr(flow, "observables", {})]


def _residual(flow: FlowMap, x: Tensor, control: Tensor | None) -> float | None:
    measure = getattr(flow, "step_residual", None)
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


def _constraint(flow: FlowMap, run: Rollout) -> float | None:
    measure = getattr(flow, "constraint_residual", None)
    system: Any = getattr(flow, "system", None)
    if measure is None and hasattr(system, "constraint"):
        measure = system.residual
    return None if measure is None else float(measure(run.states.flatten(0, -2)).abs().max())


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


def _energy_growth(run: Rollout) -> Growth | None:
    """Law of the energy error over the trajectories that went through."""
    going = run.failed_at < 0
    if "energy" not in run.observations or not bool(going.any()):
        return None
    return measure_growth(run.observations["energy"][:, going].double().cpu().numpy())


def _momentum(flow: FlowMap, run: Rollout, control: Tensor | None) -> tuple[MomentumDrift, ...]:
    if "momentum" not in run.observations or "momentum" in _conserved(flow):
        return ()
    values = run.observations["momentum"].double()
    change = (values - values[0]).abs().flatten(0, 1).amax(0)
    scale = float(values.abs().max())
    conserved = _symmetries(flow, run, control, values.shape[-1])
    return tuple(MomentumDrift(float(c), scale, known) for c, known in zip(change, conserved, strict=True))


def _invariants(flow: FlowMap, run: Rollout) -> tuple[InvariantDrift, ...]:
    drifts = []
    for name in _conserved(flow):
        values = run.observations[name].double()
        change = float((values - values[:1]).abs().max())
        drifts.append(InvariantDrift(name, change, float(values.abs().max())))
    return tuple(drifts)


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
