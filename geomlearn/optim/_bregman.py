"""Bregman optimizers: symplectic leapfrog, its stochastic order, and Hamiltonian Taylor integrators."""

from __future__ import annotations

from typing import Any, Self

from torch import Tensor
from torch.optim.optimizer import ParamsT

from ._bregman_optimizer import BregmanOptimizer
from ._bregman_rule import BregmanRule, Family, Looping, Restart, Scheme


class BregmanSLC(BregmanOptimizer):
    """Symplectic leapfrog on a Bregman Hamiltonian, with restarting and temporal looping (SLC-RTL).

    A dissipative Hamiltonian flow with rate O(e^{−ηt}) or O(t^{−p}) is stepped by the symmetric composition
    of its clock, kinetic and potential parts. In displacements Δ it is heavy ball with a growing step,

        Δ_k = μ_k Δ_{k−1} − ε_k ∇f(x_k),    x_{k+1} = x_k + Δ_k,

        exponential: μ_k = e^{−η(t_k − t_{k−1})}, ε_k = C η² h² e^{η(t_k − h/2)}
        polynomial:  μ_k = ((t_{k−1} + h/2)/(t_k + h/2))^{p+1}, ε_k = C p² h² t_k^{2p−1} (t_k + h/2)^{−p−1}

    with the clock t_0 = 1, t_k = t_{k−1} + h, and half of ε_0 in the first step. A **restart** drops Δ_{k−1}
    where the last displacement went uphill. **Temporal looping** sets the clock back to max(β t, 10⁻³) where
    the gradient's part of a step is as large as the step: C h² η² e^{η(t−h)} ‖∇f‖ > ‖Δ‖, or for polynomials C
    h² p² (t+h)^{p+1} ‖∇f‖ > t ‖Δ‖. Without looping ε_k grows until the iteration is unstable, in any
    precision.

    Both tests use the gradient that is supplied, at the end of the last displacement: no closure is needed.
    This is the order for full gradients; for minibatches see ``BrAVO``. Norms are taken over the group, which
    has one clock; give tensors groups of their own to restart them one by one. ``group["steps"]``,
    ``["restarts"]``, ``["loops"]`` and ``["time"]`` show how a run goes.

    ``lr`` is the time step: halving it quarters ε and moves μ towards 1. To schedule the step at fixed
    momentum, change ``group["C"]``, to which ε is proportional. Clipped gradients change the looping test,
    which sees the norm after clipping; a gradient scaler unscales before the tests, and a step that it skips
    leaves the clock alone.

    Restarted steps and loops are not symplectic; the map without them is, and of second order. No bound for
    the discrete method with them is known.

    Args:
        params: Parameters, named parameters or groups of them.
        lr: Time step h; 4 for the exponential family, 0.01 for the polynomial one by default.
        C: Constant C of the family; 1 or 0.1 by default. Tune lr and C on logarithmic grids and leave the
            rest; ``from_step_and_momentum`` says both by ε and μ.
        family: ``"exponential"`` or ``"polynomial"``.
        order: η or p; 0.01 or 6 by default.
        beta: β of the looping.
        restart: ``"gradient"`` (⟨∇f(x_k), Δ_{k−1}⟩ > 0, the best of the three), ``"function"`` (the loss has
            grown; needs a closure), ``"speed"`` (‖Δ_{k−1}‖ < ‖Δ_{k−2}‖, in which a restart counts as rest, so
            that two never follow each other) or None.
        temporal_looping: Whether the clock loops. True keeps the momentum, as published, so that the velocity
            jumps; ``"continuous"`` keeps the velocity, which is stable without restarts too.
        weight_decay: λ of λ/2 ‖x‖², which is added to f: to the gradient, and so to the tests.
        quick: Whether parameters on spheres and among frames are moved by the cheapest retraction, x + v
            normalised or made orthonormal by QR, instead of along geodesics and to polar factors.
        maximize: Whether to maximize.
        foreach: Whether to work on lists of tensors at once; None does on devices other than the CPU.
        capturable: Whether everything stays on the device, as CUDA graphs need. Counters are then tensors,
            and gradients are not checked for infinities.
        differentiable: Whether the step is recorded by autograd, for parameters that are on no manifold.

    Raises:
        ValueError: If an option is out of range, or differentiable is set for a ``ManifoldParameter``.

    References:
        V. Duruisseaux, M. Leok: Practical perspectives on symplectic accelerated optimization, Optimization
        Methods and Software 38(6), 2023; M. Betancourt, M. I. Jordan, A. C. Wilson: On symplectic
        optimization, arXiv:1802.03653, 2018.

    Example:
        >>> import torch
        >>> x = torch.tensor([3.0, -2.0], requires_grad=True)
        >>> optimizer = BregmanSLC([x], lr=4.0)
        >>> for _ in range(100):
        ...     optimizer.zero_grad()
        ...     (x[0] ** 2 + 10 * x[1] ** 2).backward()
        ...     optimizer.step()
        >>> bool(x.abs().max() < 1e-3)
        True
    """

    scheme: Scheme = "slc"

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor | None = None,  # h
        C: float | Tensor | None = None,
        *,
        family: Family = "exponential",
        order: float | None = None,  # η or p
        beta: float = 0.8,  # β
        restart: Restart | None = "gradient",
        temporal_looping: Looping = True,
        weight_decay: float = 0.0,
        quick: bool = False,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "C": C,
                "family": family,
                "order": order,
                "beta": beta,
                "restart": restart,
                "temporal_looping": temporal_looping,
                "weight_decay": weight_decay,
                "quick": quick,
                "maximize": maximize,
                "foreach": foreach,
                "capturable": capturable,
                "differentiable": differentiable,
            },
        )

    @classmethod
    def from_step_and_momentum(
        cls,
        params: ParamsT,
        step: float,
        momentum: float,
        *,
        family: Family = "exponential",
        order: float | None = None,
        **options: Any,
    ) -> Self:
        """Make the optimizer from the numbers of heavy ball instead of lr and C.

        Args:
            params: Parameters, named parameters or groups of them.
            step: ε of the first full kick; it grows from there until looping sets it back.
            momentum: μ of the first step, in (0, 1).
            family: ``"exponential"`` or ``"polynomial"``.
            order: η or p; 0.01 or 6 by default.
            **options: Options of the constructor.

        Returns:
            The optimizer.

        Raises:
            ValueError: If step or momentum is out of range.
        """
        rule = BregmanRule.from_step_and_momentum(step, momentum, family=family, order=order)
        return cls(params, lr=rule.h, C=rule.C, family=family, order=rule.order, **options)


class BrAVO(BregmanSLC):
    """The Bregman leapfrog in its stochastic order, for minibatches (eBrAVO and pBrAVO).

    As ``BregmanSLC``, whose options it has, except that the first kick is a full one (which makes the method
    of first order), and that both tests come after the step, with the gradient g_k of the step just made and
    its own displacement Δ_k: a restart for ⟨g_k, Δ_k⟩ > 0, looping for C h² η² e^{η(t+2h)} ‖g_k‖ > ‖Δ_k‖, or
    for polynomials C h² p² (t+2h)^{p+1} ‖g_k‖ > (t+h) ‖Δ_k‖. No test compares gradients of two minibatches.
    The function restart, which must, is tested before the step.

    In minibatch training looping usually fires at most steps and pins the clock near β h/(1 − β); the method
    is then close to heavy ball with restarts. Full gradients are better served by ``BregmanSLC``.

    The clock and the norms are those of the group, where the authors' code has a clock for each parameter and
    sums of norms, so that splitting a tensor changes nothing, nor does a parameter that comes late.

    Args:
        params: Parameters, named parameters or groups of them.
        lr: Time step h; 4 for the exponential family, 0.01 for the polynomial one by default.
        C: Constant C of the family; 1 or 0.1 by default.
        **options: As of ``BregmanSLC``.

    References:
        V. Duruisseaux, M. Leok: Practical perspectives on symplectic accelerated optimization, Optimization
        Methods and Software 38(6), 2023, and its code.
    """

    scheme: Scheme = "bravo"


class BregmanHTVI(BregmanOptimizer):
    """Hamiltonian Taylor variational integrator of a Bregman Hamiltonian, direct or adaptive in time.

    Direct, which is symplectic Euler: r ← r − h b(t) ∇f, x ← x + h a(t) r, t ← t + h. Adaptive from p to p̊,
    through the Poincaré transformation of time t = τ^{p/p̊}:

        r ← r − h C p²/p̊ t^{2p − p̊/p} ∇f,    x ← x + h p²/p̊ t^{−p − p̊/p} r,    t ← t + h p/p̊ t^{1 −
        p̊/p}.

    With restarts the adaptive form needs no fewer iterations than ``BregmanSLC``; it is here to compare with.

    Args:
        params: Parameters, named parameters or groups of them.
        lr: Time step h; 4 for the exponential family, 0.01 for the polynomial one by default.
        C: Constant C of the family; 1 or 0.1 by default.
        family: ``"exponential"`` or ``"polynomial"``.
        order: η or p; 0.01 or 6 by default.
        adaptive: p̊, for the polynomial family; None is the direct form.
        beta: β of the looping.
        restart: As of ``BregmanSLC``.
        temporal_looping: As of ``BregmanSLC``. The adaptive form has no published test; its own compares the
            kick's part of the displacement with the displacement.
        weight_decay: As of ``BregmanSLC``.
        quick: As of ``BregmanSLC``.
        maximize: Whether to maximize.
        foreach: As of ``BregmanSLC``.
        capturable: As of ``BregmanSLC``.
        differentiable: As of ``BregmanSLC``.

    Raises:
        ValueError: If an option is out of range, or adaptive is given for the exponential family.

    References:
        V. Duruisseaux, J. Schmitt, M. Leok: Adaptive Hamiltonian variational integrators and applications to
        symplectic accelerated optimization, SIAM Journal on Scientific Computing 43(4), 2021.
    """

    scheme: Scheme = "htvi"

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor | None = None,  # h
        C: float | Tensor | None = None,
        *,
        family: Family = "polynomial",
        order: float | None = None,  # p or η
        adaptive: float | None = None,  # p̊
        beta: float = 0.8,  # β
        restart: Restart | None = "gradient",
        temporal_looping: Looping = False,
        weight_decay: float = 0.0,
        quick: bool = False,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "C": C,
                "family": family,
                "order": order,
                "adaptive": adaptive,
                "beta": beta,
                "restart": restart,
                "temporal_looping": temporal_looping,
                "weight_decay": weight_decay,
                "quick": quick,
                "maximize": maximize,
                "foreach": foreach,
                "capturable": capturable,
                "differentiable": differentiable,
            },
        )
