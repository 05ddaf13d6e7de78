"""What a ready problem consists of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import torch
from torch import Tensor

from ..runge_kutta import reference_solution
from ..systems import System

S = TypeVar("S", bound=System, covariant=True)


@dataclass(frozen=True, repr=False)
class Problem(Generic[S]):
    """A system with a start, units and a solution to compare with.

    Attributes:
        name: Name.
        system: The system.
        start: Initial state ``(n,)``, float64.
        duration: A time span over which the problem is usually solved, and for which ``accuracy`` holds.
        units: Unit of ``"time"``, of ``"energy"`` where there is one, and of each part of the state.
        source: Where the problem and its numbers come from.
        parameters: Values of the named parameters.
        period: Time after which the motion from ``start`` returns, if it does.
        solution: Closed form: the state ``(n,)`` at a time, or ``None`` where there is none.
        accuracy: Bound on the error of ``reference`` up to ``duration``, largest entry of the state.
    """

    name: str
    system: S
    start: Tensor
    duration: float
    units: Mapping[str, str]
    source: str
    parameters: Mapping[str, float] = field(default_factory=dict)
    period: float | None = None
    solution: Callable[[float], Tensor] | None = None
    accuracy: float = 1e-12

    def __post_init__(self) -> None:
        """Check that every quantity has a unit and the start fits the system.

        Raises:
            ValueError: If not.
        """
        self.system.space.check(self.start, "start")
        needed = {"time", *self.system.space.names} - {"t"} | (
            {"energy"} if self.system.has_energy else set()
        )
        if needed - set(self.units):
            raise ValueError(f"units: expected those of {sorted(needed)}, got {sorted(self.units)}")

    @property
    def invariants(self) -> tuple[str, ...]:
        """Names of the conserved quantities, the energy first; what ``rollout(observe=...)`` takes."""
        return tuple(self.system.observables)

    @property
    def exact(self) -> bool:
        """Whether the reference is a closed form."""
        return self.solution is not None

    def reference(self, t: float | Tensor) -> Tensor:
        """State at given times, from a closed form or from an integration to rounding error.

        Where there is no closed form the field is integrated by DOP853 with a relative tolerance of 1e-13
        from time to time, so that no interpolation enters.

        Args:
            t: Times, any shape; negative ones are in the past.

        Returns:
            States ``(..., n)``, float64.
        """
        times = torch.as_tensor(t, dtype=torch.float64)
        flat = times.reshape(-1).tolist()
        if self.solution is not None:
            states = [self.solution(value) for value in flat]
        else:
            states = self._integrate(flat)
        stacked = torch.stack(states) if states else self.start.new_zeros(0, self.start.shape[-1])
        return stacked.reshape(*times.shape, self.start.shape[-1])

    def _integrate(self, times: list[float]) -> list[Tensor]:
        found = {0.0: self.start}
        future, past = sorted({t for t in times if t > 0}), sorted({t for t in times if t < 0}, reverse=True)
        for way in (future, past):
            if way:
                states = reference_solution(self.system, self.start, way, 1e-13, 1e-14)
                found |= dict(zip(way, states, strict=True))
        return [found[t] for t in times]

    def __repr__(self) -> str:
        """Name, parameters and what is known."""
        values = ", ".join(f"{name}={value:g}" for name, value in self.parameters.items())
        known = "closed form" if self.exact else f"reference to {self.accuracy:g}"
        return f"Problem({self.name}{': ' + values if values else ''}; {known})"


def state(*values: float) -> Tensor:
    """A state from its entries.

    Args:
        *values: The entries.

    Returns:
        ``(n,)``, float64.
    """
    return torch.tensor(values, dtype=torch.float64)


def positive(**values: float) -> None:
    """Refuse parameters that are not positive and finite.

    Args:
        **values: The parameters by name.

    Raises:
        ValueError: If one is not.
    """
    for name, value in values.items():
        if not 0 < value < float("inf"):
            raise ValueError(f"{name}: expected a positive finite number, got {value}")
