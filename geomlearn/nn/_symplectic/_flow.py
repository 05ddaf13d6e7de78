"""Symplectic layers one after another as a flow map."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from integrators import FlowMap
from integrators.kernels import KernelBuilder, KernelProgram
from integrators.systems import System

from ._emit import emit_layers
from ._layer import SymplecticLayer, phase_space, symplectic_form
from ._reversed import reverse

Scale = float | None


class SymplecticFlow(FlowMap):
    """Symplectic layers one after another, as a map that takes the time ``h``.

    A layer of scale ``s`` acts with strength ``s h``, one of scale ``None`` with strength 1 at any step.
    Symplecticity holds for all weights, up to rounding; so does the inverse. Parameters on which layers
    depend are the inputs of the map, held over a step; absent ones count as zero.

    Attributes:
        layers: The layers in the order in which they are applied.
        scales: The scale of each.
        degrees: Number ``d`` of positions, and of momenta.
        observables: Energy and invariants of the system that is followed.

    Example:
        >>> from geomlearn.nn import GradientShear
        >>> source = torch.Generator().manual_seed(0)
        >>> layers = [GradientShear(2, 8, half, generator=source) for half in "pqpq"]
        >>> flow = SymplecticFlow(layers, h=0.1)
        >>> z = torch.tensor([0.3, -0.2, 0.5, 0.7], dtype=torch.float64)
        >>> torch.allclose(flow.inverse(flow(z)), z)
        True
    """

    layers: nn.ModuleList
    symplectic = True

    def __init__(
        self,
        layers: Iterable[SymplecticLayer],
        h: float = 1.0,
        scale: Scale | Sequence[Scale] = 1.0,
        system: System | None = None,
        order: int | None = None,
    ) -> None:
        """Put layers one after another.

        Args:
            layers: The layers in the order in which they are applied.
            h: Time that the map takes.
            scale: Strength of the layers as a multiple of ``h``, or ``None`` for strength 1; one for all
                layers, or one for each.
            system: A system on the same states whose energy and invariants are followed; it is not saved.
            order: Order of accuracy, if the map approximates the flow of a differential equation.

        Raises:
            TypeError: If something is no symplectic layer.
            ValueError: If there is no layer, or numbers of degrees of freedom, parameters, scales or the
                states of the system do not fit, or the step is zero or not finite.
        """
        super().__init__()
        parts = list(layers)
        if not parts:
            raise ValueError("layers: expected at least one, got none")
        for k, layer in enumerate(parts):
            if not isinstance(layer, SymplecticLayer):
                raise TypeError(f"layers[{k}]: expected a SymplecticLayer, got {type(layer).__name__}")
        degrees, sizes = {p.degrees for p in parts}, {p.control_size for p in parts} - {0}
        if len(degrees) > 1 or len(sizes) > 1:
            raise ValueError(
                "layers: expected one number of degrees of freedom and of parameters, got"
                f" {[p.degrees for p in parts]} and {[p.control_size for p in parts]}"
            )
        if not 0 < abs(h) < math.inf:
            raise ValueError(f"h: expected a finite step that is not zero, got {h}")
        self.layers, self.h, self.order = nn.ModuleList(parts), float(h), order
        self.degrees, self.control_size = degrees.pop(), max(sizes, default=0)
        self.scales = _scales(scale, len(parts))
        self.space = phase_space(self.degrees)
        self._followed: tuple[System, ...] = ()
        self._adjoint_of: tuple[SymplecticFlow, ...] = ()
        self.follow(system)

    def follow(self, system: System | None) -> None:
        """Set the system whose energy and invariants are followed, which a file does not hold.

        Args:
            system: A system on the same states, or ``None``.

        Raises:
            ValueError: If its states have another size.
        """
        if system is not None and system.space.size != 2 * self.degrees:
            raise ValueError(f"system: expected states of size {2 * self.degrees}, got {system.space}")
        self._followed = () if system is None else (system,)
        self.space = phase_space(self.degrees) if system is None else system.space

    @property
    def system(self) -> System | None:
        """The system that is followed."""
        return self._followed[0] if self._followed else None

    @property
    def observables(self) -> dict[str, int]:
        """Names of what can be followed in the compiled loop, with their number of components."""
        return {} if self.system is None else self.system.observables

    def __getattr__(self, name: str) -> Any:
        """Give the energy and invariants of the system."""
        followed = self.__dict__.get("_followed", ())
        if followed and name in followed[0].observables:
            system = followed[0]
            return system.energy if name == "energy" else lambda x: system.invariant(name, x)
        return super().__getattr__(name)

    @property
    def parts(self) -> list[SymplecticLayer]:
        """The layers in the order in which they are applied."""
        return cast(list[SymplecticLayer], list(self.layers))

    @property
    def strengths(self) -> list[float]:
        """The strength of each layer."""
        return [1.0 if scale is None else scale * self.h for scale in self.scales]

    @property
    def identity_at_zero(self) -> bool:
        """Whether the map is the identity where all strengths are zero."""
        return all(layer.identity_at_zero for layer in self.parts)

    def advance(self, carry: Tensor, control: Tensor | None, constants: None) -> Tensor:
        """Apply the layers.

        Args:
            carry: States ``(..., 2 d)``.
            control: Parameters ``(..., m)``, or ``None``.
            constants: Not used.

        Returns:
            States ``(..., 2 d)``.
        """
        control = self._given(carry, control)
        for layer, strength in zip(self.parts, self.strengths):
            carry = layer(carry, strength, control)
        return carry

    def inverse(self, y: Tensor, control: Tensor | None = None) -> Tensor:
        """Undo one step, exactly: the inverses of the layers in reverse order.

        Args:
            y: States ``(..., 2 d)``.
            control: The parameters that were held over the step.

        Returns:
            The states from which ``forward`` leads to ``y``.
        """
        self.check_inputs(y, control)
        control = self._given(y, control)
        for layer, strength in zip(reversed(self.parts), reversed(self.strengths)):
            y = layer.inverse(y, strength, control)
        return y

    def _given(self, x: Tensor, control: Tensor | None) -> Tensor | None:
        """The parameters, zero where there are none."""
        if control is None and self.control_size:
            return x.new_zeros(*x.shape[:-1], self.control_size)
        return control

    def adjoint(self) -> SymplecticFlow:
        """Give the adjoint map, the inverse of the step with ``-h``; ``net @ net.adjoint()`` is symmetric."""
        if self._adjoint_of:
            return self._adjoint_of[0].with_step(self.h)
        scales = self.scales[::-1]
        layers = [reverse(p, scale is not None) for p, scale in zip(reversed(self.parts), scales)]
        other = SymplecticFlow(layers, self.h, scales, self.system, self.order)
        other._adjoint_of = (self,)
        return other

    def jacobian(self, x: Tensor, control: Tensor | None = None) -> Tensor:
        """Compute the derivative of a step by the chain rule from the closed forms of the layers.

        Args:
            x: States ``(..., 2 d)``.
            control: Parameters ``(..., m)``.

        Returns:
            Shape ``(..., 2 d, 2 d)``.
        """
        self.check_inputs(x, control)
        control = self._given(x, control)
        total: Tensor | None = None
        for layer, strength in zip(self.parts, self.strengths):
            one = layer.jacobian(x, strength, control)
            total = one if total is None else one @ total
            x = layer(x, strength, control)
        return x if total is None else total

    def phase_derivative(self, x: Tensor, control: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Give the derivative of a step and the symplectic form before and after it.

        Args:
            x: States ``(..., 2 d)``.
            control: Parameters ``(..., m)``.

        Returns:
            The derivative ``(..., 2 d, 2 d)``, and the form twice.
        """
        form = symplectic_form(self.degrees, x)
        return self.jacobian(x, control), form, form

    def kernel_program(self, observables: list[str]) -> KernelProgram:
        """Code of the compiled rollout.

        Args:
            observables: Names among ``observables``.

        Returns:
            The program.
        """
        b = KernelBuilder()
        state, control = b.rows(2 * self.degrees), b.rows(self.control_size)
        observed = b.rows(max(sum(self.observables[name] for name in observables), 1))
        b.section("start")
        b.section("step")
        self._emit(b, state, control)
        b.section("finish")
        b.section("observe")
        first = 0
        if observables and self.system is not None:
            offset = self.system.emit_parameters(b)
            for name in observables:
                rows = observed[first : first + self.observables[name]]
                first += len(rows)
                targets = [f"@{row} = {{}}" for row in rows]
                self.system.emit_observable(b, name, offset, state, targets)
        return KernelProgram(
            b,
            carry_size=len(state),
            state_row=state[0],
            state_size=len(state),
            control_row=control[0] if control else state[0],
            observed_row=observed[0],
            observed_size=first,
            checked=False,
            controlled=bool(control),
        )

    def _emit(self, builder: KernelBuilder, state: list[int], control: list[int]) -> None:
        """Write a step; equal strengths are one number."""
        places: dict[float, int] = {}
        for strength in self.strengths:
            if strength not in places:
                places[strength] = builder.parameter(torch.tensor([strength], dtype=torch.float64))
        names = [builder.number(places[strength]) for strength in self.strengths]
        emit_layers(builder, self.parts, state, names, control=control)

    def extra_repr(self) -> str:
        """Show the step."""
        return f"h={self.h:g}"


def _scales(scale: Scale | Sequence[Scale], layers: int) -> tuple[Scale, ...]:
    own = list(scale) if isinstance(scale, Sequence) else [scale] * layers
    if len(own) != layers:
        raise ValueError(f"scale: expected one number or one per layer, {layers}, got {len(own)}")
    for value in own:
        if value is not None and not math.isfinite(value):
            raise ValueError(f"scale: expected finite numbers or None, got {own}")
    return tuple(None if value is None else float(value) for value in own)
