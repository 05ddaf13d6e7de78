"""Adam on manifolds."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.optimizer import ParamsT

from ._checks import require, require_one_number
from ._motion import Motion
from ._riemannian_optimizer import RiemannianOptimizer, in_tensors, rate


class RiemannianAdam(RiemannianOptimizer):
    """Adam for parameters on manifolds and others together.

    On a manifold coordinates mean nothing, so that each element of a ``ManifoldParameter`` has one second
    moment, the running mean of ‖g‖² in the metric; the first moment is a tangent vector, carried along. Other
    parameters are stepped by ``torch.optim.Adam`` itself.

    Args:
        params: Parameters, named parameters or groups of them.
        lr: Learning rate; about the length of a step on a manifold.
        betas: β₁ and β₂ of the running means.
        eps: Number added to the root of the second moment.
        weight_decay: λ of λ/2 ‖x‖², ‖x‖ in the space around the manifold, added to the function.
        amsgrad: Whether to divide by the greatest second moment so far, from which convergence follows.
        maximize: Whether to maximize.
        foreach: As of ``torch.optim.Adam``, for parameters that are on no manifold.
        capturable: Whether everything stays on the device, as CUDA graphs need; gradients are then not
            checked for infinities.
        differentiable: Whether the step is recorded by autograd, for parameters that are on no manifold.

    Raises:
        ValueError: If an option is out of range, or differentiable is set for a ``ManifoldParameter``.

    References:
        G. Bécigneul, O.-E. Ganea: Riemannian adaptive optimization methods, ICLR 2019.
    """

    moment = "exp_avg"

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
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
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "amsgrad": amsgrad,
                "maximize": maximize,
                "foreach": foreach,
                "capturable": capturable,
                "differentiable": differentiable,
            },
        )

    def _check(self, options: dict[str, Any]) -> None:
        require_one_number(options, "lr")
        for name in ("lr", "eps", "weight_decay"):
            require(options, name, bool(options[name] >= 0), "a number >= 0")
        require(options, "betas", all(0 <= b < 1 for b in options["betas"]), "two numbers in [0, 1)")

    def _step_flat(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        for p in parameters:
            if not self.state[p]:
                self.state[p].update(self._begin(group, p, torch.zeros_like(p), torch.zeros_like(p)))
        states = [self.state[p] for p in parameters]
        adam(
            parameters,
            [p.grad for p in parameters if p.grad is not None],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [state["max_exp_avg_sq"] for state in states] if group["amsgrad"] else [],
            [state["step"] for state in states],
            foreach=group["foreach"],
            capturable=group["capturable"] and all(p.device.type != "cpu" for p in parameters),
            differentiable=group["differentiable"],
            has_complex=any(p.is_complex() for p in parameters),
            amsgrad=group["amsgrad"],
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=group["maximize"],
        )

    def _step_curved(self, group: dict[str, Any], p: Tensor, motion: Motion, g: Tensor) -> None:
        state = self.state[p]
        squared = motion.inner(p, g, g)
        if not state:
            state.update(self._begin(group, p, torch.zeros_like(g), torch.zeros_like(squared)))
        state["step"] += 1
        k: Any = state["step"] if in_tensors(group) else float(state["step"])
        beta1, beta2 = group["betas"]
        mean = state["exp_avg"].lerp_(g, 1 - beta1)
        square = state["exp_avg_sq"].lerp_(squared, 1 - beta2)
        if group["amsgrad"]:
            square = torch.maximum(state["max_exp_avg_sq"], square, out=state["max_exp_avg_sq"])
        root = (1 - beta2**k) ** 0.5
        size = square.sqrt().add_(group["eps"] * root)
        motion.go(p, -rate(group) * root / (1 - beta1**k), mean, mean, size)

    def _begin(self, group: dict[str, Any], p: Tensor, mean: Tensor, square: Tensor) -> dict[str, Tensor]:
        """State of a parameter that has not been stepped."""
        state = {
            "step": torch.zeros((), dtype=torch.float32, device=p.device if group["capturable"] else None)
        }
        state |= {"exp_avg": mean, "exp_avg_sq": square}
        return state | ({"max_exp_avg_sq": square.clone()} if group["amsgrad"] else {})
