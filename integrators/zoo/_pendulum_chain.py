"""The chain of pendulums in Cartesian coordinates, where its rods are constraints."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..systems import ConstrainedHamiltonian, Lagrangian
from ._pendulums import n_pendulum
from ._problem import Problem


@dataclass(frozen=True)
class PendulumChain:
    """A chain of ``n`` masses of 1 kg on rods of 1 m, in angles and in Cartesian coordinates.

    Cartesian states are ``(x1, ..., xn, y1, ..., yn, x1', ..., xn', y1', ..., yn')``, shape ``(..., 4 n)``,
    ``y`` upwards from the hinge; a mass of 1 kg makes momenta and velocities equal. With ``d`` for the
    difference to the mass above, ``2 n`` constraints hold: ``(dx^2 + dy^2 - 1) / 2 = 0``, and its rate
    ``dx dx' + dy dy' = 0``. Friction in the joints is that of ``n_pendulum``.

    Source: White et al., arXiv:2410.23667 (2024), and their published code (the damped chain).

    Attributes:
        n: Number of masses.
        friction: Rate of the friction in the joints, in 1/s.
        gravity: Acceleration of gravity in m/s^2.
        problem: The same chain in angles and momenta, with a start and a reference.

    Raises:
        ValueError: If there is no mass or friction is negative.

    Examples:
        >>> import torch
        >>> from integrators.zoo import PendulumChain
        >>> chain = PendulumChain(2)
        >>> u = chain.cartesian(torch.tensor([0.5, 1.0]).double(), torch.tensor([1.0, 0.0]).double())
        >>> bool(chain.residual(u).abs().max() < 1e-15)
        True
        >>> chain.angles(u)[0]
        tensor([0.5000, 1.0000], dtype=torch.float64)
    """

    n: int = 2
    friction: float = 0.1
    gravity: float = 9.81
    problem: Problem[Lagrangian] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Build the problem in angles, which checks the numbers."""
        problem = n_pendulum(self.n, gravity=self.gravity, friction=self.friction)
        object.__setattr__(self, "problem", problem)

    def cartesian(self, angles: Tensor, rates: Tensor) -> Tensor:
        """Compute Cartesian states ``(..., 4 n)`` of angles from the downward vertical and their rates.

        Args:
            angles: In radians, ``(..., n)``.
            rates: In rad/s, ``(..., n)``.

        Returns:
            The states.
        """
        sine, cosine = angles.sin(), angles.cos()
        parts = (sine, -cosine, cosine * rates, sine * rates)
        return torch.cat([part.cumsum(-1) for part in parts], -1)

    def angles(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Compute angles in ``(-pi, pi]`` and their rates, each ``(..., n)``, of states on the constraints.

        Args:
            u: Cartesian states ``(..., 4 n)``.

        Returns:
            The two.
        """
        dx, dy, vx, vy = self._rods(u)
        return torch.atan2(dx, -dy), dx * vy - dy * vx

    def from_problem(self, x: Tensor) -> Tensor:
        """Compute Cartesian states ``(..., 4 n)`` of states ``(..., 2 n)`` of ``problem.system``."""
        return self.cartesian(x[..., : self.n], self.problem.system.velocity_of(x))

    def to_problem(self, u: Tensor) -> Tensor:
        """Compute states ``(..., 2 n)`` of ``problem.system`` of Cartesian ones on the constraints."""
        return self.problem.system.state(*self.angles(u))

    def residual(self, u: Tensor) -> Tensor:
        """Compute how far states ``(..., 4 n)`` are from the rods and their rates, shape ``(..., 2 n)``."""
        dx, dy, vx, vy = self._rods(u)
        return torch.cat(((dx * dx + dy * dy - 1) / 2, dx * vx + dy * vy), -1)

    def energy(self, u: Tensor) -> Tensor:
        """Compute the energy in J of Cartesian states ``(..., 4 n)``, shape ``(...)``."""
        _, y, vx, vy = u.split(self.n, -1)
        return ((vx * vx + vy * vy) / 2 + self.gravity * y).sum(-1)

    def _rods(self, u: Tensor) -> list[Tensor]:
        """Differences of ``x``, ``y``, ``x'``, ``y'`` along each rod."""
        zero = u.new_zeros(())
        return [torch.diff(part, prepend=zero.expand_as(part[..., :1])) for part in u.split(self.n, -1)]

    @property
    def rods(self) -> dict[str, str]:
        """The ``n`` constraints of positions ``q1 ... q2n``, all ``x`` before all ``y``, by name."""
        return {f"rod{k}": f"({self._gap(k)}**2 + {self._gap(self.n + k)}**2 - 1)/2" for k in self._numbers}

    @property
    def rates(self) -> dict[str, str]:
        """Their rates in positions ``q1 ... q2n`` and velocities ``v1 ... v2n``, by name."""
        return {
            f"rate{k}": " + ".join(f"{self._gap(i)}*{self._gap(i, 'v')}" for i in (k, self.n + k))
            for k in self._numbers
        }

    @property
    def accelerations(self) -> list[str]:
        """The ``2 n`` accelerations without the rods: gravity, and friction across the rods.

        With the rods as constraints in the metric of the masses they give the motion.
        """
        slips, pushes = {}, {}
        for k in self._numbers:
            x, y, vx, vy = (self._gap(i, s) for s in "qv" for i in (k, self.n + k))
            slips[k] = f"({x}*{vy} - {y}*{vx})"
        for k in self._numbers:
            slip = f"({slips[k]} - {slips[k - 1]})" if k > 1 else slips[k]
            pushes[k] = (f" + b*{slip}*{self._gap(self.n + k)}", f" - b*{slip}*{self._gap(k)}")
        sums = [
            "".join(pushes[j][i] for j in range(1, k + 1)) if self.friction else ""
            for i in range(2)
            for k in self._numbers
        ]
        return ["0" + total for total in sums[: self.n]] + ["-g" + total for total in sums[self.n :]]

    @property
    def parameters(self) -> dict[str, float]:
        """Values of the symbols in ``accelerations``."""
        return {"g": self.gravity} | ({"b": self.friction} if self.friction else {})

    def constrained(self) -> ConstrainedHamiltonian:
        """Give the chain without friction as a Hamiltonian system with constraints, for ``Rattle``."""
        kinetic = " + ".join(f"p{k}**2" for k in range(1, 2 * self.n + 1))
        height = " + ".join(f"q{self.n + k}" for k in self._numbers)
        return ConstrainedHamiltonian(
            f"({kinetic})/2 + g*({height})", self.rods, {"g": self.gravity}, units=("m", "kg m/s")
        )

    @property
    def _numbers(self) -> range:
        return range(1, self.n + 1)

    def _gap(self, k: int, letter: str = "q") -> str:
        """Difference of a coordinate to that of the mass above."""
        first = k in (1, self.n + 1)
        return f"{letter}{k}" if first else f"({letter}{k} - {letter}{k - 1})"
