"""LieFVIN: the forced variational integrator with learned slots."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from integrators import ConstantInertia, LinearPotential, RigidBodyIntegrator
from lie import SE3, LieGroup

from .._registry import build, register
from ._inertia import LearnedMass, LogCholeskyInertia
from ._matrix_fields import LearnedDamping, LearnedMatrix, matrix_rows
from ._potential import GROUPS, NeuralPotential, group_name


class GaugeWarning(UserWarning):
    """Inertia, potential and gains are only determined up to a common factor."""


@register("LieFVIN")
class LieFVIN(RigidBodyIntegrator):
    """Lie group forced variational integrator network: a rigid body's discrete flow with learned parts.

    It is a ``RigidBodyIntegrator`` whose slots may hold modules with parameters, so a prediction is one step of a
    symplectic map for every value of the weights, trained or not. Each slot takes a known value, a module, or nothing
    for the default learned module.

    Motions determine ``(J, m, U, g, D)`` only up to a common factor. Where everything is learned a ``GaugeWarning``
    says so; give one known value, such as ``LogCholeskyInertia(trace=...)``, or set the scale afterwards with
    ``fix_scale``. The products that data determine are given by ``identified``.

    Source: Duruisseaux, Duong, Leok, Atanasov, L4DC 2023.
    """

    def __init__(
        self,
        group: LieGroup,
        h: float,
        inertia: Tensor | nn.Module | None = None,
        potential: Callable[..., Tensor] | None = None,
        input_gain: Tensor | nn.Module | int | None = None,
        dissipation: Tensor | nn.Module | str | None = None,
        mass: float | nn.Module | None = None,
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
            input_gain: Known matrix, a module, the number of inputs for a learned constant matrix, or ``None`` for no
                inputs.
            dissipation: Known matrix, a module, ``"learned"`` for a learned constant one, or ``None`` for none.
            mass: On SE(3): known mass, a module, or ``None`` for a learned one.
            alpha: Weight of the potential at the end of the step.
            force_split: Share of the forces that acts at the beginning of the step.
            kinetic: ``"trace"`` or ``"cayley"``.
            generator: Source of the random weights of default modules.

        Raises:
            ValueError: If a slot's value has a wrong shape, is out of range, or the inertia depends on the
                configuration.
        """
        rows = matrix_rows(group)
        if isinstance(input_gain, int):
            input_gain = LearnedMatrix(torch.eye(rows, input_gain, dtype=torch.float64))
        if isinstance(dissipation, str):
            if dissipation != "learned":
                raise ValueError(f"dissipation: expected a matrix, a module, 'learned' or None, got {dissipation!r}")
            dissipation = LearnedDamping(0.1 * torch.eye(rows, dtype=torch.float64))
        super().__init__(
            group,
            h,
            inertia=LogCholeskyInertia() if inertia is None else inertia,
            potential=NeuralPotential(group, generator=generator) if potential is None else potential,
            input_gain=input_gain,
            dissipation=dissipation,
            mass=LearnedMass() if mass is None and group is SE3 else mass,
            alpha=alpha,
            force_split=force_split,
            kinetic=kinetic,
        )
        if not self.scale_is_known:
            warnings.warn(
                "inertia, potential and gains are all learned: motions determine them only up to a common factor."
                " Give one known value (for example inertia=LogCholeskyInertia(trace=...)), call fix_scale(...) after"
                " training, or compare only identified()",
                GaugeWarning,
                stacklevel=2,
            )

    @property
    def scale_is_known(self) -> bool:
        """Whether a known, non-zero part settles the common factor of inertia, mass, potential and gains."""
        parts = [self.inertia, self.mass, self.potential, self.input_gain, self.dissipation]
        return any(part is not None and _is_known(part) for part in parts)

    def fix_scale(self, *, inertia_trace: float | None = None, gain: tuple[int, int, float] | None = None) -> float:
        """Multiply inertia, mass, potential, gains and damping by the factor that makes one quantity known.

        The motions that the model predicts do not change.

        Args:
            inertia_trace: Known trace of ``J``, kg m^2.
            gain: Row, column and known value of an entry of the input gain at the identity configuration.

        Returns:
            The factor.

        Raises:
            ValueError: If not exactly one quantity is given, the factor is not positive, or a part is not learned.
        """
        if (inertia_trace is None) == (gain is None):
            raise ValueError("fix_scale: expected exactly one of inertia_trace and gain")
        with torch.no_grad():
            if inertia_trace is not None:
                factor = float(inertia_trace / self.inertia().diagonal().sum())
            else:
                row, column, value = gain  # type: ignore[misc]
                factor = float(value / self.gain_at_identity()[row, column])
        if not 0 < factor < float("inf"):
            raise ValueError(f"fix_scale: expected a quantity of the learned sign, got a factor of {factor}")
        parts = [self.inertia, self.mass, self.potential, self.input_gain, self.dissipation]
        fixed = [type(part).__name__ for part in parts if part is not None and not hasattr(part, "rescale_")]
        if fixed:
            raise ValueError(f"fix_scale: expected learned parts only, but {fixed} cannot be rescaled")
        for part in parts:
            if part is not None:
                part.rescale_(factor)
        return factor

    def gain_at_identity(self) -> Tensor:
        """Input gain ``(3 or 6, m)`` at the identity configuration.

        Raises:
            ValueError: If the model has no inputs.
        """
        if self.input_gain is None:
            raise ValueError("the model has no input_gain")
        gain: Tensor = self.input_gain(*(self.identity_configuration() if self.gain_varies else ()))
        return gain

    @torch.no_grad()
    def identified(self) -> dict[str, Tensor]:
        """Combinations that motions determine, whatever the common factor.

        Returns:
            ``"inertia_ratio"``: ``J / tr J``; with inputs ``"inverse_inertia_gain"``: ``J^-1 g`` ``(3, m)``; on SE(3)
            ``"gain_over_mass"`` ``(3, m)``.
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
            "slots": {name: _slot_config(name, part) for name, part in slots.items()},
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> LieFVIN:
        """Build the model that ``config`` described; its weights are to be loaded.

        Args:
            config: What ``config()`` returned.

        Returns:
            The model.
        """
        slots = {name: _slot_from_config(part) for name, part in config["slots"].items()}
        if config["group"] == "SO3":
            slots.pop("mass")
        options = {key: config[key] for key in ("h", "alpha", "force_split", "kinetic")}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", GaugeWarning)
            return cls(GROUPS[config["group"]], **options, **slots)


_CONSTANTS: dict[str, Callable[[list[int]], Any]] = {
    "ConstantInertia": lambda shape: torch.eye(3, dtype=torch.float64),
    "ConstantMatrix": lambda shape: torch.zeros(*shape, dtype=torch.float64),
    "ConstantScalar": lambda shape: 1.0,
    "LinearPotential": lambda shape: LinearPotential(torch.zeros(3, 3, dtype=torch.float64)),
}
"""Known values by the name of the module that holds them, with placeholders for the numbers."""


def _is_known(part: nn.Module) -> bool:
    if getattr(part, "scale_is_known", False):
        return True
    if any(parameter.requires_grad for parameter in part.parameters()):
        return False
    return isinstance(part, ConstantInertia) or not all(bool((b == 0).all()) for b in part.buffers())


def _slot_config(name: str, part: nn.Module | None) -> dict[str, Any] | None:
    if part is None:
        return None
    kind = type(part).__name__
    if kind in _CONSTANTS:
        return {"type": kind, "shape": [list(b.shape) for b in part.buffers()][0]}
    if callable(getattr(part, "config", None)):
        config: dict[str, Any] = part.config()
        return config
    raise TypeError(
        f"{name}: expected a module with config() and from_config() so that the model can be written to a file, got"
        f" {kind}; save its state_dict yourself and rebuild the model in code, or register the module's class"
    )


def _slot_from_config(config: dict[str, Any] | None) -> Any:
    if config is None:
        return None
    if config["type"] in _CONSTANTS:
        return _CONSTANTS[config["type"]](config["shape"])
    return build(config)
