"""LieFVIN: the forced variational integrator with learned slots."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from integrators import RigidBodyIntegrator
from lie import SE3, LieGroup

from .._registry import register
from ._groups import GROUPS, force_count, group_name
from ._inertia import LogCholeskyInertia
from ._known import can_rescale, is_known, is_zero, rescale
from ._mass import LearnedMass
from ._matrices import LearnedDamping, LearnedMatrix
from ._potential import NeuralPotential
from ._slot_config import describe_slot, fill_slot

ArrayLike = Tensor | np.ndarray | Sequence[Any]


class GaugeWarning(UserWarning):
    """Inertia, potential and gains are only determined up to a common factor."""


@register("LieFVIN")
class LieFVIN(RigidBodyIntegrator):
    """Lie group forced variational integrator network: a rigid body's step with learned parts.

    It is a ``RigidBodyIntegrator`` whose slots may hold modules with parameters, so that a prediction is one
    step of a variational integrator for every value of the weights, trained or not: symplectic without
    forces, and on the group to rounding. Each slot takes a known value, a module, or nothing for the default
    learned module.

    Motions determine ``(J, m, U, g, D)`` only up to a common factor. Where everything is learned a
    ``GaugeWarning`` says so; give one known value, such as ``LogCholeskyInertia(trace=...)``, or set the
    scale afterwards with ``fix_scale``. The products that data determine are given by ``identified``. On
    SE(3), if neither ``U`` nor an input couples translation and rotation, each of the two has its own factor.

    Source: Duruisseaux, Duong, Leok, Atanasov, L4DC 2023.

    Example:
        >>> from geomlearn import LieFVIN, lie, nn
        >>> model = LieFVIN(lie.SO3, h=0.02, inertia=nn.LogCholeskyInertia(trace=1.0), input_gain=1)
        >>> x = model.space.pack(
        ...     R=lie.SO3.identity(64, dtype=torch.float64), omega=torch.zeros(64, 3, dtype=torch.float64)
        ... )
        >>> u = torch.ones(9, 64, 1, dtype=torch.float64)  # 9 steps, 64 trajectories, 1 input
        >>> model.unroll(x, u).shape
        torch.Size([9, 64, 12])
    """

    def __init__(
        self,
        group: LieGroup,
        h: float,
        inertia: ArrayLike | nn.Module | None = None,
        potential: Callable[..., Tensor] | None = None,
        input_gain: ArrayLike | nn.Module | int | None = None,
        dissipation: ArrayLike | nn.Module | str | None = None,
        mass: float | Tensor | nn.Module | None = None,
        alpha: float = 0.5,
        force_split: float = 0.5,
        kinetic: str = "trace",
        generator: torch.Generator | None = None,
    ) -> None:
        """Fill the slots.

        Args:
            group: ``lie.SO3`` or ``lie.SE3``.
            h: Step in seconds, that of the data.
            inertia: Known ``J`` ``(3, 3)``, a module, or ``None`` for a learned ``LogCholeskyInertia``.
            potential: Known ``U(R)`` or ``U(x, R)``, a module, or ``None`` for a learned ``NeuralPotential``.
            input_gain: Known matrix, a module, the number of inputs for a learned constant matrix, or
                ``None`` for no inputs.
            dissipation: Known matrix, a module, ``"learned"`` for a learned constant one, or ``None`` for
                none.
            mass: On SE(3): known mass, a module, or ``None`` for a learned one.
            alpha: Weight of the potential at the end of the step.
            force_split: Share of the forces that acts at the beginning of the step.
            kinetic: ``"trace"`` or ``"cayley"``.
            generator: Source of the random weights of default modules.

        Raises:
            ValueError: If a slot's value has a wrong shape, is out of range, or the inertia depends on the
                configuration.
            TypeError: If the slots differ in dtype.
        """
        rows = force_count(group)
        if isinstance(input_gain, int):
            if input_gain < 1:
                raise ValueError(
                    f"input_gain: expected one or more inputs, got {input_gain}; None is for none"
                )
            input_gain = LearnedMatrix(torch.eye(rows, input_gain, dtype=torch.float64))
        if isinstance(dissipation, str):
            if dissipation != "learned":
                raise ValueError(
                    f"dissipation: expected a matrix, a module, 'learned' or None, got {dissipation!r}"
                )
            dissipation = LearnedDamping(0.1 * torch.eye(rows, dtype=torch.float64))
        super().__init__(
            group,
            h,
            inertia=LogCholeskyInertia() if inertia is None else inertia,
            potential=NeuralPotential(group, generator=generator) if potential is None else potential,
            input_gain=input_gain,
            dissipation=dissipation,
            mass=LearnedMass() if mass is None and group == SE3 else mass,
            alpha=alpha,
            force_split=force_split,
            kinetic=kinetic,
        )
        if not self.scale_is_known:
            warnings.warn(
                "inertia, potential and gains are all learned: motions determine them only up to a common"
                " factor. Give one known value (for example inertia=LogCholeskyInertia(trace=...)), call"
                " fix_scale(...) after training, or compare only identified()",
                GaugeWarning,
                stacklevel=2,
            )

    @property
    def scale_is_known(self) -> bool:
        """Whether a known, non-zero part settles the common factor of inertia, mass, potential and gains."""
        solid = [part for part in (self.inertia, self.mass) if part is not None]
        return any(is_known(part, may_vanish=False) for part in solid) or any(
            is_known(part, may_vanish=True) for part in self._forces()
        )

    def _forces(self) -> list[nn.Module]:
        parts = (self.potential, self.input_gain, self.dissipation)
        return [part for part in parts if part is not None]

    def fix_scale(
        self, *, inertia_trace: float | None = None, gain: tuple[int, int, float] | None = None
    ) -> float:
        """Multiply inertia, mass, potential, gains and damping by the factor that makes one quantity known.

        The motions that the model predicts do not change.

        Args:
            inertia_trace: Known trace of ``J``, kg m^2.
            gain: Row, column and known value of an entry of the input gain at the identity configuration.

        Returns:
            The factor.

        Raises:
            ValueError: If not exactly one quantity is given, the factor is not positive, or a part is not
                learned.
        """
        if inertia_trace is not None and gain is None:
            with torch.no_grad():
                factor = float(inertia_trace / self.inertia().diagonal().sum())
        elif gain is not None and inertia_trace is None:
            row, column, value = gain
            with torch.no_grad():
                factor = float(value / self.gain_at_identity()[row, column])
        else:
            raise ValueError("fix_scale: expected exactly one of inertia_trace and gain")
        if not 0 < factor < float("inf"):
            raise ValueError(f"fix_scale: expected a quantity of the learned sign, got a factor of {factor}")
        parts = [self.inertia, *([] if self.mass is None else [self.mass])]
        parts += [part for part in self._forces() if not is_zero(part)]
        fixed = [type(part).__name__ for part in parts if not can_rescale(part)]
        if fixed:
            raise ValueError(f"fix_scale: expected learned parts only, but {fixed} cannot be rescaled")
        for part in parts:
            rescale(part, factor)
        return factor

    def gain_at_identity(self) -> Tensor:
        """Input gain at the identity configuration.

        Returns:
            Matrix ``(3 or 6, m)``.

        Raises:
            ValueError: If the model has no inputs.
        """
        if self.input_gain is None:
            raise ValueError("input_gain: expected a model with inputs, but this one has none")
        gain: Tensor = self.input_gain(*(self.identity_configuration() if self.gain_varies else ()))
        return gain

    @torch.no_grad()
    def identified(self) -> dict[str, Tensor]:
        """Combinations that motions determine, whatever the common factor.

        Returns:
            ``"inertia_ratio"``, ``J / tr J``; with inputs ``"inverse_inertia_gain"``, ``J^-1 g`` ``(3, m)``,
            and on SE(3) ``"gain_over_mass"`` ``(3, m)``.
        """
        inertia = self.inertia()
        found = {"inertia_ratio": inertia / inertia.diagonal().sum()}
        if self.input_gain is not None:
            gain = self.gain_at_identity()
            found["inverse_inertia_gain"] = torch.linalg.solve(inertia, gain[-3:])
            if self.mass is not None:
                found["gain_over_mass"] = gain[:3] / self.mass()
        return found

    def config(self) -> dict[str, Any]:
        """Plain description from which the model can be built again; numbers are weights.

        Returns:
            A dictionary of JSON values.

        Raises:
            TypeError: If a slot holds a function or module that has no configuration.
        """
        slots = {"inertia": self.inertia, "potential": self.potential, "input_gain": self.input_gain}
        slots |= {"dissipation": self.dissipation, "mass": self.mass}
        return {
            "type": "LieFVIN",
            "group": group_name(self.group),
            "h": self.h,
            "alpha": self.alpha,
            "force_split": self.force_split,
            "kinetic": self.kinetic.name,
            "slots": {name: describe_slot(name, part) for name, part in slots.items()},
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> LieFVIN:
        """Build the model that ``config`` described; its weights are to be loaded.

        Args:
            config: What ``config()`` returned.

        Returns:
            The model.
        """
        slots = {name: fill_slot(part) for name, part in config["slots"].items()}
        if config["group"] == "SO3":
            slots.pop("mass")
        options = {key: config[key] for key in ("h", "alpha", "force_split", "kinetic")}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", GaugeWarning)
            return cls(GROUPS[config["group"]], **options, **slots)
