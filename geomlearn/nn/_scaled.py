"""Canonical coordinates in other units: normalisation that keeps symplectic maps symplectic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self, cast

import torch
from torch import Tensor

from integrators import FlowMap
from integrators.kernels import KernelProgram, rescale_program

from .._registry import build, config_of, register
from ..data import Windows

_TOLERANCE = 1e-12


class SymplecticScaling:
    """Units for ``(q, p)`` in which a symplectic map stays one: ``z = scale * w``.

    The product of the units of ``q_i`` and ``p_i`` is the same for every pair, the unit of action. Other
    factors, such as the standard deviation of each column, would turn a symplectic map into one that is not.
    Energies, and adiabatic invariants, of normalised coordinates are those of the physical ones divided by
    that unit.

    Attributes:
        scale: Units ``(2 d,)``, positions before momenta.
        action: The product of the units of any pair.

    Example:
        >>> scaling = SymplecticScaling([10.0, 2.0, 0.2, 1.0])
        >>> scaling.action
        2.0
        >>> scaling.normalise(torch.tensor([5.0, 1.0, 0.1, 1.0], dtype=torch.float64))
        tensor([0.5000, 0.5000, 0.5000, 1.0000], dtype=torch.float64)
    """

    def __init__(self, scale: Sequence[float] | Tensor) -> None:
        """Check the units.

        Args:
            scale: Units ``(2 d,)``, positive.

        Raises:
            ValueError: If their number is odd, one is not positive, or pairs differ in their products.
        """
        units = torch.as_tensor(scale, dtype=torch.float64).detach().clone()
        if units.ndim != 1 or len(units) < 2 or len(units) % 2:
            raise ValueError(f"scale: expected an even number of units, got shape {tuple(units.shape)}")
        if not bool((torch.isfinite(units) & (units > 0)).all()):
            raise ValueError(f"scale: expected positive finite units, got {units.tolist()}")
        q, p = units.chunk(2)
        products = q * p
        if float(products.max() - products.min()) > _TOLERANCE * float(products.max()):
            raise ValueError(
                "scale: expected the same product for every pair (q_i, p_i), got"
                f" {products.tolist()}; SymplecticScaling.of(states) finds units that have it"
            )
        self.scale, self.action = units, float(products[0])

    @classmethod
    def of(cls, states: Tensor | Windows) -> SymplecticScaling:
        """Choose units in which positions and momenta of each pair spread alike, as far as they can.

        Each pair has the ratio of its standard deviations; the unit of action is the geometric mean over the
        pairs.

        Args:
            states: Samples ``(..., 2 d)``, or windows of them.

        Returns:
            The units.

        Raises:
            ValueError: If a column is constant, or their number is odd.
        """
        samples = states.states if isinstance(states, Windows) else states
        deviation = samples.detach().double().reshape(-1, samples.shape[-1]).std(0)
        if len(deviation) % 2 or not bool((deviation > 0).all()):
            raise ValueError(
                "states: expected an even number of columns none of which is constant, got standard"
                f" deviations {deviation.tolist()}"
            )
        q, p = deviation.chunk(2)
        unit = torch.exp(0.5 * torch.log(q * p).mean())
        ratio = (q / p).sqrt()
        return cls(torch.cat((unit * ratio, unit / ratio)))

    def normalise(self, z: Tensor) -> Tensor:
        """Turn physical states ``(..., 2 d)`` into normalised ones."""
        return z / self.scale.to(z)

    def restore(self, w: Tensor) -> Tensor:
        """Turn normalised states ``(..., 2 d)`` into physical ones."""
        return w * self.scale.to(w)

    def normalise_windows(self, windows: Windows) -> Windows:
        """Turn windows of physical states into windows of normalised ones.

        Args:
            windows: Windows of states ``(q, p)``.

        Returns:
            The same windows in the new units; step, inputs and recordings are kept.

        Raises:
            ValueError: If the states have another size.
        """
        if windows.space.size != len(self.scale):
            raise ValueError(f"windows: expected states of size {len(self.scale)}, got {windows.space}")
        return windows.filled(self.normalise(windows.states), windows.controls, windows.recording)

    def physical(self, flow: FlowMap) -> ScaledFlow:
        """Take a map of normalised states as one of physical states.

        Args:
            flow: The map.

        Returns:
            The same map in physical coordinates; it shares the weights.
        """
        return ScaledFlow(flow, self.scale)

    def __repr__(self) -> str:
        """Show the units."""
        return f"SymplecticScaling({self.scale.tolist()})"


@register("ScaledFlow")
class ScaledFlow(FlowMap):
    """A map of normalised coordinates in physical ones: ``x -> scale * flow(x / scale)``.

    It is symplectic where the map is. The compiled rollout stays in normalised coordinates and rescales what
    it records. Observables are those of the map, of normalised states.

    Attributes:
        flow: The map of normalised states.
        scale: Units ``(2 d,)``.
    """

    flow: Any
    scale: Tensor

    def __init__(self, flow: FlowMap, scale: Sequence[float] | Tensor) -> None:
        """Wrap a map.

        Args:
            flow: A map of states ``(q, p)``.
            scale: Units ``(2 d,)``, as ``SymplecticScaling`` takes them.

        Raises:
            ValueError: If their number does not fit the states, or they are not symplectic.
        """
        super().__init__()
        units = SymplecticScaling(scale).scale
        if len(units) != flow.space.size:
            raise ValueError(f"scale: expected {flow.space.size} units for {flow.space}, got {len(units)}")
        self.flow = flow
        self.register_buffer("scale", units if flow.dtype is None else units.to(flow.dtype))
        self.space, self.h, self.control_size = flow.space, flow.h, flow.control_size
        for name in (
            "order",
            "symplectic",
            "reversible",
            "symmetric",
            "energy_preserving",
            "differentiable",
            "evaluations",
            "exact",
            "step_in_carry",
        ):
            setattr(self, name, getattr(flow, name))

    @property
    def observables(self) -> dict[str, int]:
        """Names of what can be followed in the compiled loop, with their number of components."""
        return dict(getattr(self.flow, "observables", {}))

    def __getattr__(self, name: str) -> Any:
        """Give the observables of the map."""
        flow = self.__dict__.get("_modules", {}).get("flow")
        if flow is not None and name in getattr(flow, "observables", {}):
            own: Callable[[Tensor], Tensor] = getattr(flow, name)
            return lambda x: own(x / self.scale)
        return super().__getattr__(name)

    def constants(self) -> Any:
        """Compute what stays the same along a trajectory."""
        return self.flow.constants()

    def prepare(self, controls: Tensor | None, constants: Any) -> Tensor | None:
        """Turn controls into the form that ``advance`` takes."""
        return self.flow.prepare(controls, constants)

    def start(self, x: Tensor, constants: Any) -> Any:
        """Turn physical states into the carry of the map."""
        return self.flow.start(x / self.scale, constants)

    def advance(self, carry: Any, control: Tensor | None, constants: Any) -> Any:
        """Move the carry by one step."""
        return self.flow.advance(carry, control, constants)

    def try_advance(self, carry: Any, control: Tensor | None, constants: Any) -> tuple[Any, Tensor]:
        """Like ``advance``, with a status per trajectory in place of an error."""
        return self.flow.try_advance(carry, control, constants)

    def finish(self, carry: Any, constants: Any) -> Tensor:
        """Read the physical states out of a carry."""
        return self.flow.finish(carry, constants) * self.scale

    def inverse(self, y: Tensor, control: Tensor | None = None) -> Tensor:
        """Undo one step."""
        return self.flow.inverse(y / self.scale, control) * self.scale

    def adjoint(self) -> FlowMap:
        """Give the adjoint map."""
        return self if self.symmetric else ScaledFlow(self.flow.adjoint(), self.scale)

    def with_step(self, h: float) -> Self:
        """The same map at another step.

        Args:
            h: Step length.

        Returns:
            A shallow copy, which shares the weights.
        """
        other = super().with_step(h)
        other.flow = self.flow.with_step(h)
        return other

    @property
    def phase_derivative(self) -> Callable[..., tuple[Tensor, Tensor, Tensor]]:
        """Derivative of a step and the symplectic form before and after it, where the map gives its own."""
        own = self.flow.phase_derivative

        def derivative(x: Tensor, control: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
            slope, before, after = own(x / self.scale, control)
            up, down = self.scale.unsqueeze(-1), self.scale.unsqueeze(-2)
            return slope * up / down, before / (up * down), after / (up * down)

        return derivative

    def kernel_program(self, observables: list[str]) -> KernelProgram:
        """Code of the compiled rollout.

        Args:
            observables: Names among ``observables``.

        Returns:
            The program.

        Raises:
            TypeError: If the map has no compiled kernel.
        """
        make = getattr(self.flow, "kernel_program", None)
        if make is None:
            raise TypeError(f"{type(self.flow).__name__} has no compiled kernel")
        return rescale_program(make(observables), self.scale)

    def config(self) -> dict[str, Any]:
        """Plain description; the numbers are weights.

        Returns:
            The description.

        Raises:
            TypeError: If the map has none.
        """
        inner = config_of(self.flow)
        if inner is None:
            raise TypeError(f"flow: {type(self.flow).__name__} has no config(), so a file cannot hold it")
        return {"type": "ScaledFlow", "flow": inner, "scale": self.scale.tolist()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> ScaledFlow:
        """Build the map that ``config`` described, with fresh weights.

        Args:
            config: What ``config()`` returned.

        Returns:
            The map.
        """
        return cls(cast(FlowMap, build(config["flow"])), config["scale"])
