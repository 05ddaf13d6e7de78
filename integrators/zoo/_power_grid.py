"""A power grid whose loads are algebraic constraints."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .._linear import apply, solve
from .._state import StateSpace, vector
from .._status import StepError
from ..systems import System
from ._power_grid_data import LINES, LOADS, OPERATING_POINT
from ._power_grid_text import constraint_texts
from ._problem import Problem, positive

_BUSES, _NEWTON = 14, 30
_SLACK, _GENERATORS, _LOADS = [1], [0, 2, 5, 7], [bus - 1 for bus in LOADS]


class PowerGrid(System):
    """Voltages of 14 buses: generators move, loads take constant power, one bus is held.

    States are ``(Re v1, ..., Re v14, Im v1, ..., Im v14)``, per unit, in the frame that turns with bus 2, the
    slack bus, held at 1. With the admittance matrix ``Y`` the power fed in at a bus is ``s = v conj(Y v)``.
    It is constant at the 9 load buses, which with the slack bus makes 20 constraints of 28 entries.

    The four generators, buses 1, 3, 6 and 8, are dispatchable virtual oscillators,
    ``v' = k (e^(i c) (conj(s0) / |v0|^2 v - Y v) + a (1 - |v|^2 / |v0|^2) v)``, which rest at the operating
    point ``v0``, ``s0``; the voltages of the loads follow from the constraints.

    Lines, loads and the operating point are those of a published experiment whose lines are those of the IEEE
    test case with 14 buses. It is not that case: the voltage of bus 8 is 0.385 at the operating point, where
    the case has 1.09; the bus appears to have been mis-set. The motion of the generators is not that of the
    experiment either, whose model is not published in full: it is specified here.

    Source: White et al., arXiv:2410.23667 (2024), and their published code (lines, loads, operating point);
    Colombino, Groß, Brouillon, Dörfler, IEEE Trans. Autom. Control 64 (2019) 4496 (virtual oscillators).

    Examples:
        >>> import torch
        >>> from integrators.zoo import power_grid
        >>> grid = power_grid().system
        >>> x = grid.draw(5, 0.1, torch.Generator().manual_seed(0))
        >>> bool(grid.constraint(x).abs().max() < 1e-13)
        True
    """

    conductance: Tensor
    susceptance: Tensor
    loads: Tensor
    gains: Tensor
    operating_point: Tensor

    def __init__(
        self,
        gains: Sequence[float] = (0.1, 0.12, 0.08, 0.15),
        rotation: float = 0.3,
        stiffness: float = 0.5,
    ) -> None:
        """Build the admittance matrix and find the operating point to rounding.

        Args:
            gains: Rates ``k`` of the generators at buses 1, 3, 6 and 8.
            rotation: Angle ``c`` in radians.
            stiffness: Weight ``a`` of the magnitudes.

        Raises:
            ValueError: If there are not four positive gains.
        """
        super().__init__()
        positive(**{f"gains[{k}]": gain for k, gain in enumerate(gains)})
        if len(gains) != len(_GENERATORS):
            raise ValueError(f"gains: expected {len(_GENERATORS)} positive numbers, got {list(gains)}")
        matrix = torch.zeros(2, _BUSES, _BUSES, dtype=torch.float64)
        for (i, j), line in LINES.items():
            y = torch.tensor(line, dtype=torch.float64)
            for a, b in ((i - 1, j - 1), (j - 1, i - 1)):
                matrix[:, a, a] += y
                matrix[:, a, b] -= y
        self.register_buffer("conductance", matrix[0])
        self.register_buffer("susceptance", matrix[1])
        self.register_buffer("loads", torch.tensor(list(LOADS.values()), dtype=torch.float64).T.flatten())
        self.register_buffer("gains", torch.tensor(list(gains), dtype=torch.float64))
        self.rotation, self.stiffness = float(rotation), float(stiffness)
        self.space = StateSpace(vector("re", _BUSES), vector("im", _BUSES))
        self.invariants = {"constraint": 2 * len(_LOADS) + 2}
        published = torch.tensor(OPERATING_POINT, dtype=torch.float64).T.flatten()
        self.register_buffer("operating_point", self.settle(published))

    def current(self, x: Tensor) -> Tensor:
        """Compute the currents ``Y v`` fed in at the buses, real parts first, shape ``(..., 28)``."""
        re, im = x.split(_BUSES, -1)
        g, b = self.conductance, self.susceptance
        return torch.cat((apply(g, re) - apply(b, im), apply(b, re) + apply(g, im)), -1)

    def power(self, x: Tensor) -> Tensor:
        """Compute the powers fed in at the buses, active before reactive, shape ``(..., 28)``."""
        (re, im), (i, j) = x.split(_BUSES, -1), self.current(x).split(_BUSES, -1)
        return torch.cat((re * i + im * j, im * i - re * j), -1)

    def constraint(self, x: Tensor) -> Tensor:
        """Compute what loads feed in beyond their power, and the slack bus beyond 1, shape ``(..., 20)``."""
        loads = self.power(x)[..., _both(_LOADS)] - self.loads
        return torch.cat((loads, x[..., _SLACK] - 1, x[..., [_SLACK[0] + _BUSES]]), -1)

    def constraint_jacobian(self, x: Tensor) -> Tensor:
        """Compute the derivative of ``constraint``, shape ``(..., 20, 28)``."""
        (re, im), (i, j) = x.unsqueeze(-1).split(_BUSES, -2), self.current(x).split(_BUSES, -1)
        g, b, i, j = self.conductance, self.susceptance, torch.diag_embed(i), torch.diag_embed(j)
        active = torch.cat((i + re * g + im * b, j - re * b + im * g), -1)
        reactive = torch.cat((-j - re * b + im * g, i - re * g - im * b), -1)
        loads = torch.cat((active[..., _LOADS, :], reactive[..., _LOADS, :]), -2)
        return torch.cat((loads, self._rows(_SLACK).expand(*x.shape[:-1], 2, 2 * _BUSES)), -2)

    def field(self, x: Tensor, control: Tensor | None = None) -> Tensor:
        """Compute the time derivative: generators are driven, the others follow from the constraints.

        Args:
            x: States ``(..., 28)``.
            control: None; there are no inputs.

        Returns:
            Shape ``(..., 28)``, tangent to the constraints at every level of them.
        """
        v, current = self._phasors(x), self._phasors(self.current(x))
        rest, drive = self._phasors(self.operating_point), self._phasors(self.current(self.operating_point))
        size = (rest * rest).sum(-2)
        ratio = _times(drive, rest * rest.new_tensor([[1.0], [-1.0]])) / size  # conj(s0) / |v0|^2
        turn = v.new_tensor([[math.cos(self.rotation)], [math.sin(self.rotation)]])
        pull = self.stiffness * (1 - (v * v).sum(-2, keepdim=True) / size)
        slope = self.gains * (_times(turn, _times(ratio, v) - current) + pull * v)
        driven = slope.flatten(-2) @ self._rows(_GENERATORS)
        return driven - self._response(x, apply(self.constraint_jacobian(x), driven))

    def settle(self, x: Tensor) -> Tensor:
        """Move loads and slack onto the constraints by Newton's method; generators stay.

        Args:
            x: States ``(..., 28)``.

        Returns:
            States with ``constraint(x) = 0`` to rounding.

        Raises:
            StepError: If Newton's method does not reach the constraints: the loads ask for too much.
        """
        for _ in range(_NEWTON):
            x = x - self._response(x, self.constraint(x))
            off = float(self.constraint(x).detach().abs().amax()) if x.numel() else 0.0
            if off < 100 * torch.finfo(x.dtype).eps:
                return x - self._response(x, self.constraint(x))
        raise StepError(
            f"settle: no voltages of the loads found, power still off by {off:g}; start closer to the "
            "operating point"
        )

    def draw(self, count: int, spread: float, generator: torch.Generator | None = None) -> Tensor:
        """Draw states on the constraints, generators around their operating point.

        Args:
            count: How many.
            spread: Standard deviation of the real and imaginary parts of the generators' voltages, relative.
            generator: Source of the random numbers.

        Returns:
            States ``(count, 28)``.
        """
        noise = torch.randn(count, 2, len(_GENERATORS), generator=generator, dtype=self.loads.dtype)
        rest = self._phasors(self.operating_point)
        size = (rest * rest).sum(-2).sqrt()
        moved = (spread * size * noise).flatten(-2) @ self._rows(_GENERATORS)
        return self.settle(self.operating_point + moved)

    def invariant(self, name: str, x: Tensor) -> Tensor:
        """Compute ``constraint``, the one conserved quantity, by name."""
        return self.constraint(x) if name == "constraint" else super().invariant(name, x)

    @property
    def expressions(self) -> dict[str, str]:
        """The constraints as text in ``x1 ... x28``, by name: active, reactive power of loads, slack."""
        loads = dict(zip(_LOADS, self.loads.view(2, -1).T.tolist(), strict=True))
        return constraint_texts(self.conductance.tolist(), self.susceptance.tolist(), loads, _SLACK[0])

    def _phasors(self, x: Tensor) -> Tensor:
        """Entries of the generators, real above imaginary, shape ``(..., 2, 4)``."""
        return x.unflatten(-1, (2, _BUSES))[..., _GENERATORS]

    def _rows(self, buses: list[int]) -> Tensor:
        """Unit vectors of the entries of some buses, ``(2 k, 28)``."""
        return torch.eye(2 * _BUSES, dtype=self.loads.dtype, device=self.loads.device)[_both(buses)]

    def _response(self, x: Tensor, excess: Tensor) -> Tensor:
        """Change of the voltages of loads and slack that changes the constraints by so much."""
        rows = self._rows(_LOADS + _SLACK)
        return solve(self.constraint_jacobian(x) @ rows.mT, excess) @ rows


def power_grid() -> Problem[PowerGrid]:
    """Voltages of a grid of 14 buses that swing back to rest, the powers of the loads held.

    Returns:
        The problem, see ``PowerGrid``; per unit and seconds.
    """
    system = PowerGrid()
    return Problem(
        "power grid",
        system,
        system.draw(1, 0.1, torch.Generator().manual_seed(0))[0],
        duration=10.0,
        units={"time": "s", "re": "1", "im": "1"},
        source="White et al., arXiv:2410.23667 (2024), published code; generators specified here",
        accuracy=1e-11,
    )


def _both(buses: list[int]) -> list[int]:
    """Places of real and imaginary parts of some buses."""
    return buses + [bus + _BUSES for bus in buses]


def _times(a: Tensor, b: Tensor) -> Tensor:
    """Product of complex numbers, real above imaginary in the second last dimension."""
    (re, im), (x, y) = a.unbind(-2), b.unbind(-2)
    return torch.stack((re * x - im * y, re * y + im * x), -2)
