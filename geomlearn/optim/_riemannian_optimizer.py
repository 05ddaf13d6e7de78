"""What the Riemannian counterparts of torch's optimizers have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, overload

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.optimizer import ParamsT, StateDict

from ._checks import refuse_changed_shapes, refuse_infinite, refuse_sparse
from ._motion import Motion, motion_of


class RiemannianOptimizer(Optimizer):
    """Base: parameters on manifolds are moved one by one, the others by torch's own function of lists."""

    moment: str  # key of the state that is a tangent vector

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

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take a state, also one that was saved before an option was added."""
        super().__setstate__(state)
        for group in self.param_groups:
            for key, value in self.defaults.items():
                if key != "differentiable":  # torch puts that one into defaults, and it is no option here
                    group.setdefault(key, value)

    def load_state_dict(self, state_dict: StateDict) -> None:
        """Take the state of another optimizer of this kind, to go on bit for bit.

        Args:
            state_dict: What ``state_dict`` returned.

        Raises:
            ValueError: If the groups differ in number or size, or a parameter has changed its shape; nothing
                has then been loaded.
        """
        refuse_changed_shapes(self, state_dict, self.moment)
        super().load_state_dict(state_dict)

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Make one step with the gradients that the parameters hold.

        Args:
            closure: Function that computes the gradients anew and returns the loss.

        Returns:
            The loss of the closure, if there is one.

        Raises:
            RuntimeError: If a gradient is sparse, or that of a parameter on a manifold infinite or NaN.
                Nothing has then been changed.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with torch.no_grad():
            groups = [(group, *self._split(group)) for group in self.param_groups]
            for group, flat, curved in groups:
                if flat:
                    self._step_flat(group, flat)
                for p, motion, g in curved:
                    self._step_curved(group, p, motion, g)
        return loss

    def _split(self, group: dict[str, Any]) -> tuple[list[Tensor], list[tuple[Tensor, Motion, Tensor]]]:
        """Separate parameters of vector spaces from those on manifolds, with the gradients of these."""
        flat: list[Tensor] = []
        curved: list[tuple[Tensor, Motion, Tensor]] = []
        for p in group["params"]:
            if p.grad is None:
                continue
            refuse_sparse(self, p.grad)
            motion = motion_of(p, quick=True)
            if motion is None:
                flat.append(p)
                continue
            refuse_infinite(self, p.grad)
            g = -p.grad if group["maximize"] else p.grad
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
