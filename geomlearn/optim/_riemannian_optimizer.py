"""What the Riemannian counterparts of torch's optimizers have in common."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from ._checks import refuse_infinite, refuse_sparse
from ._motion import Motion
from ._tangent_optimizer import Moved, TangentOptimizer


def in_tensors(group: dict[str, Any]) -> bool:
    """Whether the scalars of a step are tensors, so that it waits for no device and cuts no graph."""
    return bool(group["capturable"] or torch.compiler.is_compiling())


def rate(group: dict[str, Any]) -> float | Tensor:
    """The learning rate as a step on a manifold takes it."""
    lr: float | Tensor = group["lr"]
    if isinstance(lr, Tensor):
        return lr.reshape(()) if in_tensors(group) else float(lr)
    return lr


class RiemannianOptimizer(TangentOptimizer):
    """Base: parameters on manifolds are moved one by one, the others by torch's own function of lists."""

    def __init__(self, params: ParamsT, defaults: dict[str, Any]) -> None:
        self._check(defaults)
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters, with options of its own or else those of the constructor.

        Args:
            param_group: ``{"params": ..., option: value, ...}``.

        Raises:
            ValueError: If an option is out of range or a parameter is in another group already.
        """
        self._check({**self.defaults, **param_group})
        super().add_param_group(param_group)

    def _move_parameters(self, loss: float | Tensor | None) -> None:
        self._accelerator_graph_capture_health_check()
        with torch.set_grad_enabled(self.defaults["differentiable"]):
            groups = [(group, *self._split(group, moved)) for group, moved in self._moved()]
            for group, flat, curved in groups:
                if flat:
                    self._step_flat(group, flat)
                for p, motion, g in curved:
                    self._step_curved(group, p, motion, g)

    def _split(
        self, group: dict[str, Any], moved: Moved
    ) -> tuple[list[Tensor], list[tuple[Tensor, Motion, Tensor]]]:
        """Separate parameters of vector spaces from those on manifolds, with the gradients of these."""
        flat: list[Tensor] = []
        curved: list[tuple[Tensor, Motion, Tensor]] = []
        for p, g, motion in moved:
            refuse_sparse(self, g)
            if motion is None:
                flat.append(p)
                continue
            if not in_tensors(group):
                refuse_infinite(self, g)
            g = -g if group["maximize"] else g
            if group["weight_decay"]:
                g = g.add(p, alpha=group["weight_decay"])
            curved.append((p, motion, motion.gradient(p, g)))
        return flat, curved

    @abstractmethod
    def _check(self, options: dict[str, Any]) -> None:
        """Refuse options out of range."""

    @abstractmethod
    def _step_flat(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        """Step parameters of vector spaces."""

    @abstractmethod
    def _step_curved(self, group: dict[str, Any], p: Tensor, motion: Motion, g: Tensor) -> None:
        """Step a parameter on a manifold along its Riemannian gradient."""
