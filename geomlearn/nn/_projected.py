"""Projected neural ODEs with a perceptron of their own, which save and load."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sympy
import torch
from torch import Tensor, nn

import integrators
from integrators.systems import System

from .._registry import register
from ._mlp import MLP

_OPTIONS = ("metric", "mode", "gamma", "level", "mass", "rates", "rank_deficient")


@register("ProjectedField")
class ProjectedField(integrators.ProjectedField):
    """``integrators.ProjectedField`` whose base may be given as the widths of a perceptron.

    One made so is written to files with its constraints, and built again from them.

    Examples:
        >>> import torch
        >>> from geomlearn.nn import ProjectedField
        >>> field = ProjectedField((16, 16), ["q1**2 + q2**2 - 1"], size=4, accelerations=True, level="zero")
        >>> field.metric
        'gauss'
    """

    def __init__(
        self,
        base: System | Callable[..., Tensor] | Sequence[int],
        constraints: Any,
        *,
        size: int | None = None,
        accelerations: bool = False,
        activation: str = "tanh",
        parameters: Mapping[str, float | Tensor] | None = None,
        dtype: torch.dtype = torch.float64,
        generator: torch.Generator | None = None,
        **options: Any,
    ) -> None:
        """Draw the weights, where widths are given, and bind the constraints.

        Args:
            base: Widths of the hidden layers; or a system or a network, as in ``integrators``.
            constraints: Expressions by name or in a list, or a function in torch.
            size: Number ``n`` of entries of the state, for widths and networks.
            accelerations: Whether widths are those of a network of accelerations, ``n / 2`` outputs, for
                states of positions and velocities.
            activation: Activation of a perceptron.
            parameters: Values of other symbols in the expressions; an ``nn.Parameter`` is trained.
            dtype: Floating-point type of the weights of a perceptron.
            generator: Source of its random weights.
            **options: ``metric``, ``mode``, ``gamma``, ``level``, ``mass``, ``rates`` and
                ``rank_deficient`` of ``integrators.ProjectedField``.

        Raises:
            TypeError: If an option is unknown.
            ValueError: If parts do not fit each other.
        """
        unknown = sorted(set(options) - set(_OPTIONS))
        if unknown:
            raise TypeError(f"options: expected some of {', '.join(_OPTIONS)}, got {', '.join(unknown)}")
        own: dict[str, Any] | None = None
        if isinstance(base, Sequence) and not isinstance(base, str):
            if size is None or size < 1 or (accelerations and size % 2):
                raise ValueError(
                    "size: expected the number of entries of the state, an even one with accelerations, "
                    f"got {size}"
                )
            outputs = size // 2 if accelerations else size
            own = {"base": list(base), "size": size, "accelerations": accelerations, "activation": activation}
            base = MLP([size, *base, outputs], activation, dtype=dtype, generator=generator)
        elif accelerations:
            raise ValueError("accelerations: networks of one's own are told by their outputs; leave it out")
        super().__init__(base, constraints, parameters=parameters, size=size, **options)
        self._described = None if own is None else self._describe(own, constraints, parameters, options)

    def _describe(
        self, own: dict[str, Any], constraints: Any, parameters: Any, options: dict[str, Any]
    ) -> dict[str, Any] | None:
        """Plain description; None where something in it is code."""
        given = dict(parameters or {})
        mass = options.get("mass", 1.0)
        if callable(constraints) or isinstance(mass, nn.Module | nn.Parameter):
            return None
        if isinstance(constraints, str | sympy.Expr):
            constraints = [constraints]
        named = isinstance(constraints, Mapping)
        text: Any = {n: str(e) for n, e in constraints.items()} if named else [str(e) for e in constraints]
        plain = {k: v for k, v in options.items() if k != "mass"} | {"mass": torch.as_tensor(mass).tolist()}
        return {
            "type": "ProjectedField",
            **own,
            "constraints": text,
            "parameters": {name: float(torch.as_tensor(value).detach()) for name, value in given.items()},
            "trained": [name for name, value in given.items() if isinstance(value, nn.Parameter)],
            "options": plain,
        }

    def config(self) -> dict[str, Any]:
        """Plain description; the numbers are weights.

        Returns:
            JSON values.

        Raises:
            TypeError: If the field has a network, function or module of one's own.
        """
        if self._described is None:
            raise TypeError(
                "config: a network, constraint function or mass module of one's own is code, which files do "
                "not hold; give widths, expressions and numbers, or save state_dict()"
            )
        return self._described

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> ProjectedField:
        """Build the field that ``config`` described, with fresh weights.

        Args:
            config: What ``config()`` returned.

        Returns:
            The field.
        """
        values: dict[str, float | Tensor] = dict(config["parameters"])
        for name in config["trained"]:
            values[name] = nn.Parameter(torch.tensor(values[name], dtype=torch.float64))
        keys = ("base", "constraints", "size", "accelerations", "activation")
        return cls(**{key: config[key] for key in keys}, parameters=values, **config["options"])
