"""The implicit part of a step as one differentiable call: compiled on the CPU, torch everywhere else."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._plain import runs_plainly
from .._torch_backward import backward_in_torch
from ._implicit import solve_implicitly
from ._kernel_turn import turn_module
from ._kinetic import KINETIC_TERMS, DiscreteKinetic
from ._rotation import turn


@dataclass(frozen=True)
class CompiledTurn:
    """Compiled functions with their parameters for one trajectory.

    Attributes:
        module: Holds ``turn_all`` and ``turn_back_all``.
        parameters: ``h``, ``J`` and its inverse, flat float64.
    """

    module: ModuleType
    parameters: np.ndarray


def compiled_turn(
    kinetic: DiscreteKinetic, h: float, inertia: Tensor, inverse: Tensor
) -> CompiledTurn | None:
    """The compiled form of the step's implicit part, where it can be used.

    Args:
        kinetic: The discrete kinetic term.
        h: Step.
        inertia: ``J`` ``(3, 3)``.
        inverse: ``J^-1`` ``(3, 3)``.

    Returns:
        The compiled functions, or ``None`` off the CPU, in other precisions than float64 and while torch
        transforms or compiles, where the formulas run as torch operations.
    """
    if not _fits(inertia) or kinetic not in KINETIC_TERMS.values():
        return None
    flat = np.empty(19)
    flat[0] = h
    flat[1:10] = inertia.detach().numpy().ravel()
    flat[10:] = inverse.detach().numpy().ravel()
    return CompiledTurn(turn_module(kinetic), flat)


def _fits(*tensors: Tensor) -> bool:
    """Whether tensors are float64 arrays in memory that nothing traces or transforms."""
    for tensor in tensors:
        if tensor.dtype is not torch.float64 or not tensor.is_cpu:
            return False
    return runs_plainly(*tensors)


def turn_frame(
    kinetic: DiscreteKinetic,
    rotation: Tensor,
    pi: Tensor,
    h: float,
    inertia: Tensor,
    isotropic: bool,
    compiled: CompiledTurn | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Solve the step equation for ``a = h pi`` and turn the frame and the momentum: ``(R Z, Z^T pi)``.

    Args:
        kinetic: The discrete kinetic term.
        rotation: ``R`` ``(..., 3, 3)``.
        pi: Body momentum ``(..., 3)``.
        h: Step.
        inertia: ``J`` ``(3, 3)``.
        isotropic: Whether ``J`` is a multiple of the identity.
        compiled: Compiled functions for this ``h`` and ``J``, if they can be used.

    Returns:
        The rotation and the momentum after the step, and codes of ``Status`` ``(...)``.
    """
    if rotation.shape[:-2] != pi.shape[:-1]:
        rotation = rotation.expand(*pi.shape[:-1], 3, 3)
    if compiled is not None and _fits(rotation, pi):
        return _FusedTurn.apply(rotation, pi, inertia, (kinetic, h, compiled))
    return _turn_in_torch(kinetic, rotation, pi, h, inertia, isotropic)


def _turn_in_torch(
    kinetic: DiscreteKinetic, rotation: Tensor, pi: Tensor, h: float, inertia: Tensor, isotropic: bool
) -> tuple[Tensor, Tensor, Tensor]:
    z, status = solve_implicitly(kinetic, h * pi, inertia, isotropic)
    rows = turn(torch.cat((rotation, pi.unsqueeze(-2)), dim=-2), z)
    return rows[..., :3, :], rows[..., 3, :], status


class _FusedTurn(torch.autograd.Function):
    """``(R, pi, J) -> (R Z, Z^T pi)`` with one compiled call in each direction."""

    @staticmethod
    def forward(ctx: Any, rotation: Tensor, pi: Tensor, inertia: Tensor, options: Any) -> Any:
        compiled: CompiledTurn = options[2]
        frames, momenta = _flat(rotation, 9), _flat(pi, 3)
        turned, spun, z = np.empty_like(frames), np.empty_like(momenta), np.empty_like(momenta)
        codes = np.empty(len(z), dtype=np.int8)
        compiled.module.turn_all(frames, momenta, compiled.parameters, turned, spun, z, codes)
        ctx.options, ctx.arrays = options, (frames, momenta, compiled.parameters, z)
        ctx.save_for_backward(rotation, pi, inertia)
        status = torch.from_numpy(codes).view(pi.shape[:-1])
        ctx.mark_non_differentiable(status)
        return torch.from_numpy(turned).view(rotation.shape), torch.from_numpy(spun).view(pi.shape), status

    @staticmethod
    def backward(ctx: Any, turned_bar: Tensor, momentum_bar: Tensor, _: Any) -> Any:
        inputs = ctx.saved_tensors  # refuses inputs that were changed in place
        kinetic, h, compiled = ctx.options
        if torch.is_grad_enabled() or not _fits(turned_bar, momentum_bar):
            return *backward_in_torch(
                lambda *tensors: _turn_in_torch(kinetic, tensors[0], tensors[1], h, tensors[2], False)[:2],
                inputs,
                (turned_bar, momentum_bar),
            ), None
        frames_bar, momenta_bar, inertia_bar = (
            np.empty((len(ctx.arrays[0]), 9)),
            np.empty_like(ctx.arrays[1]),
            np.zeros(9),
        )
        cotangents = _flat(turned_bar, 9), _flat(momentum_bar, 3)
        compiled.module.turn_back_all(*ctx.arrays, *cotangents, frames_bar, momenta_bar, inertia_bar)
        return (
            torch.from_numpy(frames_bar).view(turned_bar.shape),
            torch.from_numpy(momenta_bar).view(momentum_bar.shape),
            torch.from_numpy(inertia_bar).view(3, 3),
            None,
        )


def _flat(tensor: Tensor, columns: int) -> np.ndarray:
    array: np.ndarray = tensor.detach().contiguous().numpy().reshape(tensor.numel() // columns, columns)
    return array
