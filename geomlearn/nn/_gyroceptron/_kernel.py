"""Code of the compiled rollout of a gyroceptron."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from integrators.kernels import KernelBuilder, KernelProgram

from .._symplectic._emit import emit_layers
from .._symplectic._layer import SymplecticLayer

if TYPE_CHECKING:
    from ._gyroceptron import Gyroceptron


def gyroceptron_program(net: Gyroceptron, observables: list[str]) -> KernelProgram:
    """Write the map and its invariant.

    Args:
        net: The map.
        observables: ``["adiabatic_invariant"]`` or nothing.

    Returns:
        The program.
    """
    b = KernelBuilder()
    n, size = 2 * net.degrees, net.space.size
    state = b.rows(size)
    z = state[:n]
    observed = b.rows(1)[0]
    scratch = b.rows(n) if observables and net.psi_layers else z

    def number(value: float) -> str:
        return b.number(b.parameter(torch.tensor([value], dtype=torch.float64)))

    def emit(layers: list[SymplecticLayer], rows: list[int], strength: str, inverse: bool = False) -> None:
        emit_layers(b, layers, rows, [strength] * len(layers), inverse)

    b.section("start")
    b.section("step")
    if net.epsilon is None:
        strength = f"@{b.rows(1)[0]}"
        b.lanes(f"{strength} = @{state[n]} * {number(net.h)}")
    else:
        strength = number(net.epsilon * net.h)
    one = number(1.0)
    if not net.near_identity_last:
        emit(net.near_layers, z, strength)
    emit(net.psi_layers, z, one, inverse=True)
    net.turn.emit(b, z, number(net.h / net.angle_step))
    emit(net.psi_layers, z, one)
    if net.near_identity_last:
        emit(net.near_layers, z, strength)
    b.section("finish")
    b.section("observe")
    if observables:
        if net.psi_layers:
            b.lanes(*[f"@{own} = @{row}" for own, row in zip(scratch, z, strict=True)])
            emit(net.psi_layers, scratch, number(1.0), inverse=True)
        b.lanes(f"@{observed} = 0.5 * ({net.action.moment_text(scratch)})")
    return KernelProgram(
        b,
        carry_size=size,
        state_row=state[0],
        state_size=size,
        control_row=state[0],
        observed_row=observed,
        observed_size=len(observables),
        checked=False,
        controlled=False,
    )
