"""What every forced variational integrator shares: its slots, its forces and its adjoint."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from .._flow import FlowMap
from .._linear import apply, solve
from .._status import report
from ._fused import CompiledTurn
from ._slots import ArrayLike, Configuration, Potential, as_matrix, as_potential, takes_configuration


@dataclass(frozen=True)
class Coefficients:
    """What stays the same along a trajectory of a body.

    Attributes:
        inertia: ``J`` ``(n, n)``.
        inverse_inertia: ``J^-1`` ``(n, n)``.
        mass: ``m`` ``()``, where the body also moves.
        gain: Constant input gain ``(rows, m)``, if there is one.
        damping: Constant damping matrix ``(rows, rows)``, if there is one.
        alpha: Weight of the potential at the end of the step.
        force_split: Share of each step's forces that acts at its beginning.
        damping_sign: 1, or -1 when time runs backwards.
        compiled: Compiled form of the implicit part of a step, where it can be used.
    """

    inertia: Tensor
    inverse_inertia: Tensor
    mass: Tensor | None
    gain: Tensor | None
    damping: Tensor | None
    alpha: float
    force_split: float
    damping_sign: float = 1.0
    compiled: CompiledTurn | None = None


class ForcedCarry(Protocol):
    """What the shared force code reads from the working form of a state."""

    @property
    def gain(self) -> Tensor | None:
        """Input gain ``(..., rows, m)`` where it depends on the configuration."""

    @property
    def configuration(self) -> Configuration:
        """Arguments of the potential."""


class ForcedIntegrator(FlowMap):
    """Base of the forced variational integrators: potential, inputs, damping, ``alpha``, ``force_split``.

    Attributes:
        rows: Number of velocity components, the last entries of the state.
        alpha: Weight of the potential at the end of the step.
        force_split: Share of the forces that acts at the beginning of the step.
    """

    symplectic = True
    rows: int
    alpha: float
    force_split: float
    inertia: nn.Module
    potential: Potential
    input_gain: nn.Module | None
    dissipation: nn.Module | None
    mass: nn.Module | None

    def _set_scheme(self, h: float, alpha: float, force_split: float) -> None:
        if not (h > 0 and h < float("inf")):
            raise ValueError(f"h: expected a positive step in seconds, got {h}")
        for name, value in (("alpha", alpha), ("force_split", force_split)):
            if not 0 <= value <= 1:
                raise ValueError(f"{name}: expected a number in [0, 1], got {value}")
        self.h, self.alpha, self.force_split = float(h), float(alpha), float(force_split)

    def _set_forces(
        self,
        potential: Callable[..., Tensor] | None,
        free: Callable[[torch.dtype], Potential],
        input_gain: ArrayLike | nn.Module | None,
        dissipation: ArrayLike | nn.Module | None,
        depth: int = 2,
    ) -> None:
        dtype = self.dtype or torch.float64
        self.potential = free(dtype) if potential is None else as_potential(potential, depth)
        self.input_gain = as_matrix(input_gain, "input_gain", self.rows, -1, dtype)
        self.dissipation = as_matrix(dissipation, "dissipation", self.rows, self.rows, dtype)
        self.gain_varies = self.input_gain is not None and takes_configuration(self.input_gain)
        self.damping_varies = self.dissipation is not None and takes_configuration(self.dissipation)
        self._require_one_dtype()
        self.control_size = self._count_controls()
        self._check_damping()

    @abstractmethod
    def identity_configuration(self) -> Configuration:
        """The configuration at the origin, in the dtype and on the device of the map."""

    @abstractmethod
    def _step(self, carry: Any, control: Tensor | None, k: Coefficients) -> tuple[Any, Tensor]:
        """One step and its status."""

    @abstractmethod
    def _mass_matrix(self, k: Coefficients) -> Tensor:
        """The matrix ``(rows, rows)`` from body velocities to body momenta."""

    def _like_own(self) -> Tensor:
        """An empty tensor in the dtype and on the device of the map."""
        for tensor in (*self.parameters(), *self.buffers()):
            if tensor.is_floating_point():
                return tensor.new_empty(0)
        return torch.empty(0, dtype=torch.float64)

    def _require_one_dtype(self) -> None:
        with torch.no_grad():
            own = self.inertia().dtype
        for name, tensor in (*self.named_parameters(), *self.named_buffers()):
            if tensor.is_floating_point() and tensor.dtype != own:
                raise TypeError(
                    f"{name}: expected the dtype of the inertia, {own}, got {tensor.dtype};"
                    " convert one of them"
                )

    def _count_controls(self) -> int:
        if self.input_gain is None:
            return 0
        with torch.no_grad():
            gain = self.input_gain(*(self.identity_configuration() if self.gain_varies else ()))
        if gain.ndim != 2 or gain.shape[0] != self.rows:
            raise ValueError(
                f"input_gain: expected a module returning (..., {self.rows}, m), got {tuple(gain.shape)}"
            )
        return int(gain.shape[1])

    def _check_damping(self) -> None:
        if self.dissipation is None:
            return
        with torch.no_grad():
            matrix = self.dissipation(*(self.identity_configuration() if self.damping_varies else ()))
        if tuple(matrix.shape) != (self.rows, self.rows):
            raise ValueError(
                f"dissipation: expected a module returning (..., {self.rows}, {self.rows}),"
                f" got {tuple(matrix.shape)}"
            )
        rates = torch.linalg.eigvalsh(0.5 * (matrix + matrix.mT))
        if not rates.min() >= -1e-9 * rates.abs().max():
            raise ValueError(
                f"dissipation: expected a positive semidefinite matrix, got eigenvalues {rates.tolist()}"
            )

    @property
    def order(self) -> int:  # type: ignore[override]
        """2 for the symmetric choice of ``alpha`` and ``force_split``, else 1."""
        symmetric = self.alpha == 0.5 and (self.force_split == 0.5 or not self.forced)
        return 2 if symmetric else 1

    @property
    def symmetric(self) -> bool:  # type: ignore[override]
        """Whether the step with ``-h`` is the inverse, as for ``alpha = force_split = 1/2``."""
        return self.order == 2

    @property
    def reversible(self) -> bool:  # type: ignore[override]
        """Whether flipping the velocities turns the map into its inverse."""
        return self.order == 2 and self.dissipation is None

    @property
    def forced(self) -> bool:
        """Whether there is an input gain or dissipation."""
        return self.input_gain is not None or self.dissipation is not None

    def constants(self) -> Coefficients:
        """Inertia, its inverse, mass and constant matrices, from the parameters."""
        inertia = self.inertia()
        return Coefficients(
            inertia=inertia,
            inverse_inertia=torch.linalg.inv_ex(inertia)[0],
            mass=None if self.mass is None else self.mass(),
            gain=None if self.input_gain is None or self.gain_varies else self.input_gain(),
            damping=None if self.dissipation is None or self.damping_varies else self.dissipation(),
            alpha=self.alpha,
            force_split=self.force_split,
        )

    def prepare(self, controls: Tensor | None, constants: Coefficients) -> Tensor | None:
        """Impulses of the inputs at one end of the steps where the gain is constant, else the inputs.

        Args:
            controls: Inputs ``(..., m)``, or ``None``.
            constants: What ``constants`` returned.

        Returns:
            Impulses ``(..., rows)``, inputs ``(..., m)``, or ``None``.

        Raises:
            ValueError: If there are inputs but no input gain.
        """
        if controls is not None and self.input_gain is None:
            raise ValueError("control: expected None, since the map has no input_gain")
        if controls is None or constants.gain is None:
            return controls
        return _prepared_share(constants) * self.h * apply(constants.gain, controls)

    def advance(self, carry: Any, control: Tensor | None, constants: Coefficients) -> Any:
        """Move momenta and configuration by one step; raises ``StepError`` where there is no solution.

        Args:
            carry: What ``start`` or ``advance`` returned.
            control: What ``prepare`` made of the inputs held over the step, or ``None``.
            constants: What ``constants`` returned.

        Returns:
            The carry one step later.
        """
        carry, status = self._step(carry, control, constants)
        report(status)
        return carry

    def try_advance(self, carry: Any, control: Tensor | None, constants: Coefficients) -> tuple[Any, Tensor]:
        """Like ``advance``, with a status per trajectory in place of an error.

        Args:
            carry: What ``start`` or ``advance`` returned.
            control: What ``prepare`` made of the inputs held over the step, or ``None``.
            constants: What ``constants`` returned.

        Returns:
            The carry one step later, and codes of ``Status`` ``(...)``.
        """
        return self._step(carry, control, constants)

    def inverse(self, y: Tensor, control: Tensor | None = None) -> Tensor:
        """Undo one step: the adjoint map with flipped velocities.

        Args:
            y: States ``(..., n)``.
            control: The inputs that were held over the step.

        Returns:
            The states from which ``forward`` leads to ``y``.
        """
        self.check_inputs(y, control)
        k = self.constants()
        backwards = replace(k, alpha=1 - k.alpha, force_split=1 - k.force_split, damping_sign=-k.damping_sign)
        return self.flip_velocities(self._one_step(self.flip_velocities(y), control, backwards))

    def flip_velocities(self, x: Tensor) -> Tensor:
        """Turn the velocities around; the reversal under which the map is symmetric.

        Args:
            x: States ``(..., n)``.

        Returns:
            States ``(..., n)``.
        """
        return torch.cat((x[..., : -self.rows], -x[..., -self.rows :]), dim=-1)

    def energy(self, x: Tensor) -> Tensor:
        """Total energy ``(...)`` of states ``(..., n)``."""
        return self.kinetic_energy(x) + self.potential_energy(x)

    @abstractmethod
    def kinetic_energy(self, x: Tensor) -> Tensor:
        """Kinetic energy ``(...)`` of states ``(..., n)``."""

    @abstractmethod
    def potential_energy(self, x: Tensor) -> Tensor:
        """Potential energy ``(...)`` of states ``(..., n)``."""

    def _gain_at(self, q: Configuration) -> Tensor | None:
        """The input gain, where it depends on the configuration."""
        return self.input_gain(*q) if self.input_gain is not None and self.gain_varies else None

    def _damping_at(self, q: Configuration, k: Coefficients) -> Tensor:
        if k.damping is not None:
            return k.damping
        damping: Tensor = self.dissipation(*q)  # type: ignore[misc]
        return damping

    def _input_impulse(
        self, carry: ForcedCarry, control: Tensor | None, k: Coefficients, share: float
    ) -> Tensor | None:
        """Impulse ``(..., rows)`` of the inputs, body frame, or ``None`` for zero."""
        if control is None or share == 0:
            return None
        if carry.gain is not None:
            return share * self.h * apply(carry.gain, control)
        return control if share == _prepared_share(k) else share / _prepared_share(k) * control

    def _early_impulse(
        self, carry: ForcedCarry, velocity: Callable[[], Tensor], control: Tensor | None, k: Coefficients
    ) -> Tensor | None:
        """Impulse ``(..., rows)`` of inputs and damping at the beginning of the step; ``None`` for zero."""
        impulse = self._input_impulse(carry, control, k, k.force_split)
        if self.dissipation is None or k.force_split == 0:
            return impulse
        rate = -k.damping_sign * k.force_split * self.h
        drag = rate * apply(self._damping_at(carry.configuration, k), velocity())
        return drag if impulse is None else impulse + drag

    def _late_velocity(self, carry: ForcedCarry, momentum: Tensor, k: Coefficients) -> Tensor:
        """Body velocity after the damping at the end of the step: ``(M + share h D) velocity = momentum``."""
        rate = k.damping_sign * (1 - k.force_split) * self.h
        return solve(self._mass_matrix(k) + rate * self._damping_at(carry.configuration, k), momentum)


def _prepared_share(k: Coefficients) -> float:
    """Share of a step's impulse that ``prepare`` returns."""
    return k.force_split or 1.0
