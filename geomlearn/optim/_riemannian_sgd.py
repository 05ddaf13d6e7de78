"""Stochastic gradient descent on manifolds."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from ._checks import require, require_one_number
from ._flat_sgd import step_flat
from ._motion import Motion
from ._riemannian_optimizer import RiemannianOptimizer, rate


class RiemannianSGD(RiemannianOptimizer):
    """Gradient descent with momentum, for parameters on manifolds and others together.

    A ``ManifoldParameter`` x with Riemannian gradient g and momentum buffer b, which is carried from tangent
    space to tangent space, goes

        b ← μ b + (1 − τ) g,    x ← R_x(−lr b)   (along g + μ b with Nesterov's correction),

    R the cheapest retraction: x + v brought back by normalising on spheres, by QR among frames. Other
    parameters are stepped by ``torch.optim.SGD`` itself.

    Args:
        params: Parameters, named parameters or groups of them.
        lr: Learning rate.
        momentum: μ.
        dampening: τ.
        weight_decay: λ of λ/2 ‖x‖², ‖x‖ in the space around the manifold, added to the function.
        nesterov: Whether to use Nesterov's correction; it needs momentum and no dampening.
        maximize: Whether to maximize.
        foreach: As of ``torch.optim.SGD``, for parameters that are on no manifold.
        capturable: Whether everything stays on the device, as CUDA graphs need; gradients are then not
            checked for infinities.
        differentiable: Whether the step is recorded by autograd, for parameters that are on no manifold.

    Raises:
        ValueError: If an option is out of range, or differentiable is set for a ``ManifoldParameter``.

    References:
        S. Bonnabel: Stochastic gradient descent on Riemannian manifolds, IEEE Transactions on Automatic
        Control 58(9), 2013.
    """

    moment = "momentum_buffer"

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
                "maximize": maximize,
                "foreach": foreach,
                "capturable": capturable,
                "differentiable": differentiable,
            },
        )

    def _check(self, options: dict[str, Any]) -> None:
        require_one_number(options, "lr")
        for name in ("lr", "momentum", "weight_decay"):
            require(options, name, bool(options[name] >= 0), "a number >= 0")
        usable = options["momentum"] > 0 and options["dampening"] == 0
        good = usable or not options["nesterov"]
        require(options, "nesterov", good, "False without momentum or with dampening")

    def _step_flat(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        step_flat(self, group, parameters, self.moment)

    def _step_curved(self, group: dict[str, Any], p: Tensor, motion: Motion, g: Tensor) -> None:
        momentum = group["momentum"]
        factor = -rate(group)
        if not momentum:
            motion.go(p, factor, g, None)
            return
        state = self.state[p]
        buffer = state.get(self.moment)
        if buffer is None:
            buffer = state[self.moment] = g.clone()
        else:
            buffer.mul_(momentum).add_(g, alpha=1 - group["dampening"])
        direction = torch.add(g, buffer, alpha=momentum) if group["nesterov"] else buffer
        motion.go(p, factor, direction, buffer)
