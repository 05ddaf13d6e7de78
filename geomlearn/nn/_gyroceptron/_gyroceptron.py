"""The symplectic gyroceptron: a network whose every set of weights is a nearly periodic symplectic map."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Self

import torch
from torch import Tensor, nn

from integrators import StateSpace, vector
from integrators.kernels import KernelProgram

from ..._registry import register
from .._symplectic._layer import half_dimension, phase_space, symplectic_form
from ._circle import CircleAction
from ._kernel import gyroceptron_program
from ._layers import jacobian, run, run_back
from ._nearly_periodic import NearlyPeriodicMap
from ._parts import CONJUGATION, GAIN, NEAR_IDENTITY, Size, conjugation_layers, near_identity_layers, sizes_of
from ._twist import TwistLayer

STATE = "state"


@register("Gyroceptron")
class Gyroceptron(NearlyPeriodicMap):
    """A rotation in some coordinates, then a map near the identity: ``F = I o psi o Phi o psi^-1``.

    ``Phi`` turns the pairs ``(q_i, p_i)`` by ``n_i theta``, ``psi`` is a symplectic change of coordinates,
    and ``I`` is symplectic and the identity at strength 0; it acts with strength ``epsilon h``. So the map is
    symplectic, has an explicit inverse, and is conjugate to a rotation at ``epsilon = 0``, whatever the
    weights are. Where the angle is far from every ``2 pi j / k`` with small ``k``, it has an adiabatic
    invariant: ``mu_0 o psi^-1``, with ``mu_0 = sum_i n_i (q_i^2 + p_i^2) / 2``, changes by ``O(epsilon)`` and
    does not drift, and ``corrected_invariant`` changes by ``O(epsilon^2)``.

    This is what a system with one fast oscillation and slow other motion does over a step of any length. Fix
    the angle at the fast frequency times the step where it is known. ``psi`` is needed where the fast motion
    is no rotation of the given coordinates, and an angle that depends on ``mu_0`` (``twist_degree``,
    ``twist_units``) where the fast frequency changes with the amplitude.

    Source: Duruisseaux, Burby, Tang, Approximation of nearly-periodic symplectic maps via
    structure-preserving neural networks, Scientific Reports 13 (2023) 8351; the invariant of nearly periodic
    maps in Burby, Hirvijoki, Leok, J. Nonlinear Sci. 33 (2023) 38; ridge modules as ``I`` in place of Hénon
    layers after Tapley, 2024, arXiv:2408.09821.

    Example:
        >>> import torch
        >>> from integrators import rollout
        >>> net = Gyroceptron(
        ...     dim=4,
        ...     epsilon=0.01,
        ...     circle_weights=(1, 0),
        ...     angle=2.4,
        ...     generator=torch.Generator().manual_seed(0),
        ... )
        >>> z = torch.tensor([1.0, 0.2, 0.0, 0.3], dtype=torch.float64)  # q1, q2, p1, p2
        >>> run = rollout(net, z, 100, observe=["adiabatic_invariant"], backend="torch")
        >>> bool((run.observations["adiabatic_invariant"] - 0.5).abs().max() < 0.05)
        True
        >>> torch.allclose(net.inverse(net(z)), z)
        True

    Attributes:
        epsilon: The small parameter, ``None`` where it is the last entry of the state.
        turn: The rotation.
        near: Layers of ``I``.
        psi: Layers of ``psi``, none where it is the identity.
        counts_steps: Whether no time was given for a step.
        observables: ``"adiabatic_invariant"``, which the compiled rollout evaluates itself.
    """

    symplectic = True
    observables = {"adiabatic_invariant": 1}  # noqa: RUF012 - as in other flow maps
    turn: TwistLayer

    def __init__(
        self,
        dim: int,
        epsilon: float | str,
        circle_weights: Iterable[int],
        angle: float,
        near_identity: str = "ridge",
        *,
        h: float | None = None,
        near_identity_size: Size = None,
        psi: str | None = None,
        psi_size: Size = None,
        psi_gain: float = GAIN,
        learn_angle: bool = False,
        twist_degree: int = 0,
        twist_units: int = 0,
        twist_sees_slow: bool = False,
        near_identity_last: bool = True,
        dtype: torch.dtype = torch.float64,
        generator: torch.Generator | None = None,
    ) -> None:
        """Draw the weights.

        Args:
            dim: Dimension ``2 d`` of phase space; states are ``(q_1..q_d, p_1..p_d)``.
            epsilon: The small parameter, 0 included; or ``"state"``: it is then an entry of the state after
                the momenta, which stays as it is, so that one model learns and rolls out several values.
            circle_weights: One integer ``n_i`` for each pair, 0 for slow pairs.
            angle: ``theta`` in radians: the fast frequency times the step.
            near_identity: ``"ridge"``, ``"henon"`` or ``"gradient"`` (shears), the layers of ``I``.
            h: Time of a step. ``I`` acts with strength ``epsilon h``. ``None`` counts time in steps,
                ``h = 1``, and ``fit`` then takes data that were sampled at any step.
            near_identity_size: Number of ridge modules, or numbers of layers and hidden units; by default
                91, (8, 6) and (8, 16).
            psi: ``"henon"`` or ``None`` for the identity.
            psi_size: Numbers of layers and hidden units, (10, 8) by default.
            psi_gain: Factor on the first weights of ``psi``; a small one starts near the identity.
            learn_angle: Whether ``theta`` is trained. It may then drift into a resonance: see ``resonance``.
            twist_degree: Highest power of ``mu_0`` in the angle.
            twist_units: Number of hyperbolic tangents of ``mu_0`` in the angle.
            twist_sees_slow: Whether they also see the positions of the slow pairs.
            near_identity_last: Whether ``I`` acts after the rotation, or before it.
            dtype: Floating-point type.
            generator: Source of the random weights; torch's global one by default.

        Raises:
            TypeError: If a circle weight is not an integer.
            ValueError: If the dimension is odd or another argument is out of range.

        Warns:
            ResonanceWarning: If the angle is too near a resonance for this ``epsilon h``.
        """
        super().__init__()
        degrees = half_dimension(dim)
        if h is not None and not 0 < abs(h) < math.inf:
            raise ValueError(f"h: expected a finite step that is not zero, or None, got {h}")
        weights = CircleAction(circle_weights, degrees).weights
        self.counts_steps = h is None
        self.h = self.angle_step = 1.0 if h is None else float(h)
        self.near_identity, self.psi_kind = near_identity, psi
        self.near_identity_size = sizes_of("near_identity", near_identity, near_identity_size, NEAR_IDENTITY)
        if psi is None and psi_size is not None:
            raise ValueError(f"psi_size: expected None where psi is None, got {psi_size}; pass psi='henon'")
        self.psi_size = () if psi is None else sizes_of("psi", psi, psi_size, CONJUGATION)
        self.near_identity_last = near_identity_last
        self._set_epsilon(epsilon, degrees)
        self.turn = TwistLayer(
            weights, angle, twist_degree, twist_units, twist_sees_slow, learn_angle, dtype, generator
        )
        self.psi = nn.ModuleList(
            conjugation_layers(self.psi_size, degrees, psi_gain, dtype, generator) if self.psi_size else []
        )
        self.near = nn.ModuleList(
            near_identity_layers(near_identity, self.near_identity_size, degrees, dtype, generator)
        )
        if self.turn.constant:
            self.resonance().warn(stacklevel=2)

    def _set_epsilon(self, epsilon: float | str, degrees: int) -> None:
        if epsilon != STATE and not (isinstance(epsilon, int | float) and math.isfinite(epsilon)):
            raise ValueError(f"epsilon: expected a finite number or {STATE!r}, got {epsilon!r}")
        space = phase_space(degrees)
        self.epsilon = None if isinstance(epsilon, str) else float(epsilon)
        self.space = space if self.epsilon is not None else StateSpace(*space.parts, vector("epsilon", 1))

    def with_epsilon(self, epsilon: float | str) -> Self:
        """The same family of maps at another parameter.

        Args:
            epsilon: The small parameter, 0 included, or ``"state"``.

        Returns:
            A shallow copy, which shares the weights.

        Warns:
            ResonanceWarning: If the angle is too near a resonance for this parameter and was not before.
        """
        other = self.with_step(self.h)
        other._set_epsilon(epsilon, self.degrees)
        if self.turn.constant and not self.resonance().close:
            other.resonance().warn(stacklevel=2)
        return other

    def advance(self, carry: Tensor, control: Tensor | None, constants: None) -> Tensor:
        """Apply the map.

        Args:
            carry: States ``(..., n)``.
            control: Not used.
            constants: Not used.

        Returns:
            States ``(..., n)``.
        """
        z, strength = self._parts(carry)
        if self.near_identity_last:
            return self._whole(run(self.near_layers, self._limit(z), strength), carry)
        return self._whole(self._limit(run(self.near_layers, z, strength)), carry)

    def inverse(self, y: Tensor, control: Tensor | None = None) -> Tensor:
        """Undo a step, without solving anything.

        Args:
            y: States ``(..., n)``.
            control: Not used.

        Returns:
            States ``(..., n)``.
        """
        self.check_inputs(y, control)
        z, strength = self._parts(y)
        if self.near_identity_last:
            return self._whole(self._limit(run_back(self.near_layers, z, strength), -1.0), y)
        return self._whole(run_back(self.near_layers, self._limit(z, -1.0), strength), y)

    def phase_derivative(self, x: Tensor, control: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Derivative of a step in ``(q, p)``, from the layers' formulas, and the form before and after it.

        Args:
            x: States ``(..., n)``.
            control: Not used.

        Returns:
            Three tensors: ``(..., 2 d, 2 d)`` and twice ``(2 d, 2 d)``.
        """
        z, strength = self._parts(x)
        d = torch.eye(2 * self.degrees, dtype=x.dtype, device=x.device).expand(*x.shape[:-1], -1, -1)
        if not self.near_identity_last:
            d = jacobian(self.near_layers, z, strength) @ d
            z = run(self.near_layers, z, strength)
        w = self.to_normal(z)
        turned = self.turn(w, self._time)
        middle = torch.linalg.solve(jacobian(self.psi_layers, w, 1.0), d)
        d = jacobian(self.psi_layers, turned, 1.0) @ self.turn.jacobian(w, self._time) @ middle
        if self.near_identity_last:
            d = jacobian(self.near_layers, run(self.psi_layers, turned, 1.0), strength) @ d
        form = symplectic_form(self.degrees, x)
        return d, form, form

    def kernel_program(self, observables: list[str]) -> KernelProgram:
        """Code of the compiled rollout.

        Args:
            observables: Names among ``observables``.

        Returns:
            The program.
        """
        if observables and self.turn.constant and isinstance(self.turn.angle, nn.Parameter):
            self.resonance().warn(stacklevel=2)
        return gyroceptron_program(self, observables)

    def config(self) -> dict[str, Any]:
        """Plain description; the numbers are weights."""
        turn = self.turn.config()
        return {
            "type": "Gyroceptron",
            "dim": 2 * self.degrees,
            "epsilon": STATE if self.epsilon is None else self.epsilon,
            "circle_weights": turn["circle_weights"],
            "angle": turn["angle"],
            "near_identity": self.near_identity,
            "h": self.h,
            "angle_step": None if self.counts_steps else self.angle_step,
            "near_identity_size": list(self.near_identity_size),
            "psi": self.psi_kind,
            "psi_size": list(self.psi_size) or None,
            "learn_angle": turn["learn_angle"],
            "twist_degree": turn["degree"],
            "twist_units": turn["units"],
            "twist_sees_slow": turn["sees_slow"],
            "near_identity_last": self.near_identity_last,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Build the model that ``config`` described, with fresh weights.

        Args:
            config: What ``config()`` returned.

        Returns:
            The model.
        """
        options = {key: value for key, value in config.items() if key not in ("type", "h", "angle_step")}
        return cls(**options, h=config["angle_step"]).with_step(config["h"])

    def extra_repr(self) -> str:
        """Show the parameter and the step."""
        return f"epsilon={'in the state' if self.epsilon is None else self.epsilon}, h={self.h:g}"
