"""The mean gradient along the step."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import sympy
import torch
from torch import Tensor

from ..systems import SymbolicSystem, System
from ._step import DiscreteGradient, EnergyCode

DEFAULT_NODES = 5


class AverageVectorField(DiscreteGradient):
    """Mean gradient along the straight step: order 2, symmetric, keeps polynomial energies to rounding.

    ``g = int_0^1 grad H(z0 + c (z1 - z0)) dc`` by Gauss quadrature with ``s`` nodes, which is exact for
    energies of degree ``2 s`` or less. The number of nodes follows from the degree. Where the energy is not a
    polynomial there are 5, the energy is kept up to the error of the quadrature, of order ``h^(2 s + 1)`` a
    step, and ``energy_preserving`` is false; ``GonzalezMidpoint`` keeps any energy.

    Source: Quispel, McLaren, J. Phys. A 41 (2008) 045206.

    Attributes:
        nodes: Number of nodes.
        degree: Degree of the energy as a polynomial, ``None`` if it is none or is not known.
    """

    order = 2

    def __init__(self, system: System, h: float, nodes: int | None = None, compensated: bool = False) -> None:
        """Bind.

        Args:
            system: A ``HamiltonianSystem`` or a ``SkewGradientSystem``; it may dissipate.
            h: Step; negative steps go back in time.
            nodes: Number of nodes of the quadrature; None takes what the degree of the energy needs.
            compensated: Whether the rounding errors of the states are carried along.

        Raises:
            ValueError: If there is no node.
        """
        super().__init__(system, h, compensated)
        if nodes is not None and nodes < 1:
            raise ValueError(f"nodes: expected at least 1, got {nodes}")
        self.degree = polynomial_degree(system)
        needed = DEFAULT_NODES if self.degree is None else max(1, (self.degree + 1) // 2)
        self.nodes = needed if nodes is None else nodes
        exact = self.degree is not None and 2 * self.nodes >= self.degree
        self.energy_preserving = self.energy_preserving and exact
        places, weights = np.polynomial.legendre.leggauss(self.nodes)
        self._places, self._weights = (0.5 * (1 + places)).tolist(), (0.5 * weights).tolist()

    def discrete_gradient(self, z0: Tensor, z1: Tensor, clock: Tensor | None) -> Tensor:
        """Compute the mean gradient, ``(..., k)``."""
        places = z0.new_tensor(self._places).reshape(-1, *(1,) * z0.ndim)
        weights = z0.new_tensor(self._weights).reshape(places.shape)
        points = z0 + places * (z1 - z0)
        return (weights * self.gradient_at(points, clock)).sum(0)

    def emit_discrete_gradient(self, rows: EnergyCode) -> Callable[[], None]:
        """Give what writes the mean gradient; number and places of the nodes are parameters."""
        code, b = rows.code, rows.code.builder
        pairs = [value for pair in zip(self._places, self._weights, strict=True) for value in pair]
        count = b.parameter(torch.tensor([float(self.nodes)], dtype=torch.float64))
        table = b.parameter(torch.tensor(pairs, dtype=torch.float64))
        point = b.rows(len(rows.first))

        def write() -> None:
            b.lanes(*[f"@{g} = 0.0" for g in rows.slope])
            with b.loop(f"for i in range(int(P[{count}])):"):
                b.line(f"place = P[{table} + 2 * i]")
                b.line(f"weight = P[{table + 1} + 2 * i]")
                ends = zip(point, rows.first, rows.last, strict=True)
                b.lanes(*[f"@{p} = @{z0} + place * (@{z1} - @{z0})" for p, z0, z1 in ends])
                targets = [f"@{g} = @{g} + weight * {{}}" for g in rows.slope]
                self.emit_gradient_at(code, [*point, *rows.clock], targets)

        return write

    def extra_repr(self) -> str:
        """Say how many nodes there are, and whether they are enough."""
        exact = "exact" if self.energy_preserving else "energy to the error of the quadrature"
        return f"nodes={self.nodes}, {exact}"


def polynomial_degree(system: System) -> int | None:
    """Degree of the energy as a polynomial in the variables.

    Args:
        system: The system.

    Returns:
        The degree, ``None`` if the energy is not a polynomial or has no expression.
    """
    expression = getattr(system, "expression", None)
    if not isinstance(system, SymbolicSystem) or not isinstance(expression, sympy.Expr):
        return None
    symbols = sorted(
        expression.free_symbols - {*system.parameter_symbols, sympy.Symbol("t", real=True)}, key=str
    )
    if not symbols:
        return 0
    polynomial = sympy.expand(expression).as_poly(*symbols)
    return None if polynomial is None else int(polynomial.total_degree())
