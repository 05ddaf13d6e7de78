"""What one step of a flow map shows: derivatives, reversibility, inverse, order."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .._flow import FlowMap
from .._status import StepError
from ._tangent import tangent_map

ORDER_STEPS = 8
ORDER_DOUBLINGS = 4


@dataclass(frozen=True)
class Derivatives:
    """Defects of the derivative of a step.

    Attributes:
        symplectic: Largest entry of ``D^T after D - before``, or ``None``.
        form_scale: Largest entry of the form, at least 1.
        poisson: Largest entry of ``D B(x) D^T - B(y)``, or ``None``.
        structure_scale: Largest entry of ``B``, at least 1.
        volume: ``| |det D| - 1 |``, ``None`` for a map that cannot be differentiated.
    """

    symplectic: float | None
    form_scale: float
    poisson: float | None
    structure_scale: float
    volume: float | None


def differentiate(flow: FlowMap, x: Tensor, control: Tensor | None) -> Derivatives:
    """Measure the derivative of a step.

    Args:
        flow: The map.
        x: States ``(batch, n)``.
        control: Inputs ``(batch, m)``, or ``None``.

    Returns:
        The defects.
    """
    if not flow.differentiable:
        return Derivatives(None, 1.0, None, 1.0, None)
    phase = getattr(flow, "phase_derivative", None)
    symplectic, form_scale, poisson, structure_scale = None, 1.0, None, 1.0
    if phase is None:
        derivative = tangent_map(flow, x, control)
    else:
        derivative, before, after = phase(x, control)
        symplectic = _largest(derivative.mT @ after @ derivative - before)
        form_scale = max(1.0, _largest(before), _largest(after))
    structure = getattr(getattr(flow, "system", None), "structure", None)
    if structure is not None and phase is None and all(part.manifold is None for part in flow.space.parts):
        before, after = structure(x), structure(flow(x, control))
        poisson = _largest(derivative @ before @ derivative.mT - after)
        structure_scale = max(1.0, _largest(before), _largest(after))
    volume = _largest(torch.linalg.det(derivative.detach()).abs() - 1)
    return Derivatives(symplectic, form_scale, poisson, structure_scale, volume)


def _largest(values: Tensor) -> float:
    return float(values.detach().abs().max())


def reversibility(flow: FlowMap, x: Tensor, control: Tensor | None) -> float | None:
    """Largest entry of ``flip(step(flip(step(x)))) - x``.

    There is none where velocities cannot be flipped, where flipping them changes the energy, as in a magnetic
    field, and for systems that depend on time.

    Args:
        flow: The map.
        x: States ``(batch, n)``.
        control: Inputs ``(batch, m)``, or ``None``.

    Returns:
        The defect.
    """
    flip = getattr(flow, "flip_velocities", None)
    if flip is None or getattr(getattr(flow, "system", None), "timed", False):
        return None
    energy = getattr(flow, "energy", None)
    if energy is not None:
        before, after = energy(x), energy(flip(x))
        if _largest(after - before) > 1e4 * torch.finfo(x.dtype).eps * max(1.0, _largest(before)):
            return None
    return _largest(flip(flow(flip(flow(x, control)), control)) - x)


def inverse_error(flow: FlowMap, x: Tensor, control: Tensor | None) -> float | None:
    """Largest entry of ``inverse(step(x)) - x``, ``None`` where there is no inverse.

    Args:
        flow: The map.
        x: States ``(batch, n)``.
        control: Inputs ``(batch, m)``, or ``None``.

    Returns:
        The defect.
    """
    try:
        return _largest(flow.inverse(flow(x, control), control) - x)
    except NotImplementedError:
        return None


def measured_order(flow: FlowMap, x: Tensor, control: Tensor | None) -> float | None:
    """Order from the differences between steps ``h``, ``h/2`` and ``h/4``.

    Where those differences are rounding errors, ``h`` is doubled a few times.

    Args:
        flow: The map.
        x: States ``(batch, n)``.
        control: Inputs ``(batch, m)``, or ``None``.

    Returns:
        The order, or ``None`` if it cannot be told.
    """
    if flow.order is None:
        return None
    for doubling in range(ORDER_DOUBLINGS + 1):
        try:
            ends = [_end(flow, x, control, 2.0 ** (doubling - k), ORDER_STEPS * 2**k) for k in range(3)]
        except StepError:
            return None
        coarse, fine = (_largest(ends[k] - ends[k + 1]) for k in range(2))
        if not math.isfinite(coarse):
            return None
        if fine > 1e4 * torch.finfo(x.dtype).eps * _largest(x):
            return math.log2(coarse / fine)
    return None


def _end(flow: FlowMap, x: Tensor, control: Tensor | None, factor: float, steps: int) -> Tensor:
    finer = flow.with_step(flow.h * factor)
    for _ in range(steps):
        x = finer(x, control)
    return x
