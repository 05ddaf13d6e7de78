"""What optimizers that keep a tangent vector for each parameter have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, overload

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.optimizer import StateDict

from ._checks import refuse_changed_shapes, refuse_differentiable
from ._motion import Motion
from ._motion_choice import motion_of

Moved = list[tuple[Tensor, Tensor, Motion | None]]
"""Parameters that have a gradient, with it, and with their motions if they are on manifolds."""


class TangentOptimizer(Optimizer):
    """Base: the closure of a step, and states that fit the parameters.

    Attributes:
        moment: Key of the state that is the tangent vector.
    """

    moment: str
    # Found outside of compiled graphs, which do not see what class a parameter is of.
    _motions: list[list[Motion | None]]
    _found: list[tuple[Any, ...]]

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters, with options of its own or else those of the constructor.

        Args:
            param_group: ``{"params": ..., option: value, ...}``.

        Raises:
            ValueError: If an option is out of range, or a parameter is in another group already or on a
                manifold that this optimizer does not know.
        """
        super().add_param_group(param_group)
        try:
            refuse_differentiable(self.param_groups[-1])
            self._find_motions()
        except ValueError:
            del self.param_groups[-1]
            raise

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take a state, also one that was saved before an option was added."""
        super().__setstate__(state)
        for group in self.param_groups:
            for key, value in self.defaults.items():
                group.setdefault(key, value)
        self._find_motions()

    def _find_motions(self) -> None:
        """Find how each parameter is moved, anew where groups have been given other parameters."""
        now = [(group.get("quick"), *map(id, group["params"])) for group in self.param_groups]
        if now != self.__dict__.get("_found"):
            self._motions = [
                [motion_of(p, quick=group.get("quick", True)) for p in group["params"]]
                for group in self.param_groups
            ]
            self._found = now

    def _moved(self) -> list[tuple[dict[str, Any], Moved]]:
        """The groups, and which of their parameters are to be moved and how."""
        return [
            (
                group,
                [
                    (p, p.grad, motion)
                    for p, motion in zip(group["params"], motions, strict=True)
                    if p.grad is not None
                ],
            )
            for group, motions in zip(self.param_groups, self._motions, strict=True)
        ]

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
            RuntimeError: If a gradient is sparse, or infinite or NaN. The Bregman optimizers look at all
                gradients where that does not wait for a device (not with capturable, differentiable or
                compiled), the others at those of parameters on manifolds. Nothing has then been changed.
            ValueError: If the function restart has no closure.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        if not torch.compiler.is_compiling():
            self._find_motions()
        self._move_parameters(loss)
        return loss

    @abstractmethod
    def _move_parameters(self, loss: float | Tensor | None) -> None:
        """Make the step."""
