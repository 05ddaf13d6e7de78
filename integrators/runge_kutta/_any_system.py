"""Methods that take every system, and on Hamiltonian ones can show what they do to the symplectic form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from .._method import HamiltonianMethod, SystemMethod
from ..systems import HamiltonianSystem


class AnySystemMethod(SystemMethod):
    """Base of methods for every system; those that need momenta have no attribute where there are none."""

    @property
    def flip_velocities(self) -> Callable[[Tensor], Tensor]:
        """For Hamiltonian systems: change the sign of the momenta, and of time."""
        return self._of_hamiltonian("flip_velocities")

    @property
    def phase_derivative(self) -> Callable[..., tuple[Tensor, Tensor, Tensor]]:
        """For Hamiltonian systems: derivative of a step and the symplectic form before and after it."""
        return self._of_hamiltonian("phase_derivative")

    def _of_hamiltonian(self, name: str) -> Any:
        if not isinstance(self.system, HamiltonianSystem):
            raise AttributeError(f"{type(self).__name__} of {type(self.system).__name__} has no {name}")
        return getattr(HamiltonianMethod, name).__get__(self)
