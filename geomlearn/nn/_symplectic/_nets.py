"""Symplectic networks: HénonNet, SympNet and ridge modules."""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor

from integrators.systems import System

from ..._registry import register
from ._extended_linear import ExtendedLinear
from ._flow import SymplecticFlow
from ._henon import HenonLayer
from ._layer import SymplecticLayer, count, half_dimension
from ._ridge import RidgeLayer
from ._shear import DEVIATION
from ._shears import ActivationShear, GradientShear
from ._time_shear import TimeShear


class _SavedNet(SymplecticFlow):
    """A network that is built again from the arguments in its ``config``."""

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Build the model that ``config`` described, with fresh weights.

        Args:
            config: What ``config()`` returned.

        Returns:
            The model.
        """
        return cls(**{key: value for key, value in config.items() if key != "type"})


@register("HenonNet")
class HenonNet(_SavedNet):
    """A network of Hénon layers, each with its own potential and shift.

    Every symplectic map is on bounded sets a limit of such networks. With ``epsilon`` the potentials carry
    the factor ``epsilon h``, and the map is near the identity: but then its first-order generator is of the
    narrow form ``f(p) + f(-q)``, and ridge modules are the better choice.

    Source: Burby, Tang, Maulik, 2020, arXiv:2007.04496; Duruisseaux, Burby, Tang, 2023, arXiv:2210.05087.

    Example:
        >>> net = HenonNet(dim=4, layers=10, units=8, generator=torch.Generator().manual_seed(0))
        >>> sum(p.numel() for p in net.parameters())
        340
    """

    def __init__(
        self,
        dim: int,
        layers: int = 10,
        units: int = 8,
        h: float = 1.0,
        epsilon: float | None = None,
        activation: str = "tanh",
        gain: float = 1.0,
        dtype: torch.dtype = torch.float64,
        generator: torch.Generator | None = None,
        system: System | None = None,
    ) -> None:
        """Draw the weights from Glorot's normal distribution.

        Args:
            dim: Dimension ``2 d`` of the phase space.
            layers: Number of Hénon layers, of four maps each.
            units: Hidden units of each potential.
            h: Time that the map takes.
            epsilon: Factor on the potentials beside ``h``; ``None`` for neither.
            activation: ``"tanh"``, ``"sigmoid"`` or ``"sin"``.
            gain: Factor on all first weights; about 0.3 starts near the identity.
            dtype: Floating-point type.
            generator: Source of the random numbers.
            system: A system whose energy and invariants are followed.
        """
        d = half_dimension(dim)
        parts = [
            HenonLayer(d, units, activation, gain, dtype, generator) for _ in range(count("layers", layers))
        ]
        super().__init__(parts, h, epsilon, system)
        self.units, self.activation, self.epsilon = units, activation, epsilon

    def normalise(self, states: Tensor) -> None:
        """Let the potentials see what they are given in units of the largest sample.

        The four maps of a layer show its potential the momenta and the positions of either sign, so the
        largest of both counts, for each degree of freedom. Only what a potential sees is scaled, and its
        gradient is still taken with respect to the state, so the map stays symplectic.

        Args:
            states: Samples ``(..., 2 d)``.
        """
        largest = states.reshape(-1, 2, self.degrees).abs().amax((0, 1))
        self._scale_inputs(largest)

    def _scale_inputs(self, diameter: Tensor) -> None:
        for layer in self.parts:
            if isinstance(layer, HenonLayer):
                layer.normalise(torch.zeros_like(diameter), diameter)

    @property
    def normalised(self) -> bool:
        """Whether the potentials see scaled states."""
        return all(
            layer.potential.diameter is not None for layer in self.parts if isinstance(layer, HenonLayer)
        )

    def config(self) -> dict[str, Any]:
        """Plain description; the numbers are weights."""
        return {
            "type": "HenonNet",
            "dim": 2 * self.degrees,
            "layers": len(self.layers),
            "units": self.units,
            "h": self.h,
            "epsilon": self.epsilon,
            "activation": self.activation,
            "normalised": self.normalised,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Build the model that ``config`` described, with fresh weights.

        Args:
            config: What ``config()`` returned.

        Returns:
            The model.
        """
        net = super().from_config({key: value for key, value in config.items() if key != "normalised"})
        if config.get("normalised", False):
            net._scale_inputs(torch.ones(net.degrees, dtype=net.dtype))
        return net


@register("SympNet")
class SympNet(_SavedNet):
    """A network of shears, exactly the identity at step zero.

    ``kind="LA"``: linear modules of several shears and a shift alternate with activation shears, and a linear
    module is last. ``kind="G"``: gradient shears, which change p, q, p, and so on.

    Source: Jin, Zhang, Zhu, Tang, Karniadakis, SympNets, Neural Networks 132, 2020, arXiv:2001.03750.

    Example:
        >>> net = SympNet(dim=2, kind="LA", layers=3, shears=2)
        >>> sum(p.numel() for p in net.parameters())
        14
    """

    def __init__(
        self,
        dim: int,
        kind: str = "G",
        layers: int = 8,
        units: int = 30,
        shears: int = 4,
        h: float = 1.0,
        scale: float | None = 1.0,
        activation: str = "sigmoid",
        parameters: int = 0,
        deviation: float = DEVIATION,
        dtype: torch.dtype = torch.float64,
        generator: torch.Generator | None = None,
        system: System | None = None,
    ) -> None:
        """Draw the weights from a narrow normal distribution.

        Args:
            dim: Dimension ``2 d`` of the phase space.
            kind: ``"LA"``, ``"G"`` or ``"T"``.
            layers: Number of gradient or time shears, or of linear modules.
            units: Hidden units of each gradient or time shear.
            shears: Linear shears of each linear module.
            h: Time that the map takes.
            scale: Factor on all updates beside ``h``; ``None`` for neither.
            activation: ``"tanh"``, ``"sigmoid"`` or ``"sin"``.
            parameters: Number of parameters on which the map depends, given as ``control``.
            deviation: Standard deviation of the first weights.
            dtype: Floating-point type.
            generator: Source of the random numbers.
            system: A system whose energy and invariants are followed.

        Raises:
            ValueError: If the kind is not known or takes no parameters.
        """
        d, n = half_dimension(dim), count("layers", layers)
        if kind == "T" and parameters:
            raise ValueError(
                f"parameters: expected 0 for kind 'T', got {parameters}; kinds 'LA' and 'G' take some"
            )
        halves = ["pq"[k % 2] for k in range(n)]
        parts: list[SymplecticLayer] = []
        if kind == "G":
            parts += [
                GradientShear(d, units, half, activation, parameters, deviation, dtype, generator)
                for half in halves
            ]
        elif kind == "T":
            parts += [TimeShear(d, units, half, activation, deviation, dtype, generator) for half in halves]
        elif kind == "LA":
            for half in halves[:-1]:
                parts.append(ExtendedLinear(d, shears, parameters, deviation, dtype, generator))
                parts.append(ActivationShear(d, half, activation, deviation, dtype, generator))
            parts.append(ExtendedLinear(d, shears, parameters, deviation, dtype, generator))
        else:
            raise ValueError(f"kind: expected 'LA', 'G' or 'T', got {kind!r}")
        super().__init__(parts, h, scale, system)
        self._options = {
            "dim": dim,
            "kind": kind,
            "layers": layers,
            "units": units,
            "shears": shears,
            "scale": scale,
            "activation": activation,
            "parameters": parameters,
        }

    def config(self) -> dict[str, Any]:
        """Plain description; the numbers are weights."""
        return {"type": "SympNet", **self._options, "h": self.h}


@register("RidgeSymplectic")
class RidgeSymplectic(_SavedNet):
    """A network of ridge modules ``z -> z + scale h phi'(w . z) Omega w``.

    It is exactly the identity at step zero, and near it any first-order generator can be approached. It was
    more accurate by orders of magnitude than Hénon layers of as many weights on two coupled oscillators.

    Source: Tapley, Symplectic neural networks based on dynamical systems, 2024, arXiv:2408.09821.

    Example:
        >>> net = RidgeSymplectic(dim=4, modules=91)
        >>> sum(p.numel() for p in net.parameters())
        546
    """

    def __init__(
        self,
        dim: int,
        modules: int = 32,
        profile: str | int = "tanh",
        units: int = 1,
        h: float = 1.0,
        scale: float | None = 1.0,
        deviation: float = 0.1,
        dtype: torch.dtype = torch.float64,
        generator: torch.Generator | None = None,
        system: System | None = None,
    ) -> None:
        """Draw the weights.

        Args:
            dim: Dimension ``2 d`` of the phase space.
            modules: Number of modules.
            profile: ``"tanh"``, ``"sigmoid"`` or ``"sin"``, or the degree of a polynomial.
            units: Hidden units of each profile that is no polynomial.
            h: Time that the map takes.
            scale: Factor on all modules beside ``h``, such as a small parameter; ``None`` for neither.
            deviation: Standard deviation of the first amplitudes.
            dtype: Floating-point type.
            generator: Source of the random numbers.
            system: A system whose energy and invariants are followed.
        """
        layer = RidgeLayer(half_dimension(dim), modules, profile, units, deviation, dtype, generator)
        super().__init__([layer], h, scale, system)
        self._options = {
            "dim": dim,
            "modules": modules,
            "profile": profile,
            "units": units,
            "scale": scale,
        }

    def config(self) -> dict[str, Any]:
        """Plain description; the numbers are weights."""
        return {"type": "RidgeSymplectic", **self._options, "h": self.h}
