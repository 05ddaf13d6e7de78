"""Momentum for SPD matrices, full and structured, as an optimizer of torch."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT, StateDict

from ._checks import infinite, refuse_changed_shapes, refuse_sparse, require, require_one_number
from ._flat_sgd import step_flat
from ._riemannian_optimizer import in_tensors, rate
from ._scalars import Flag
from ._spd_core import advance_factor, frame_gradient, matrix_of, shortening, uphill
from ._spd_frames import Frame, factor_and_momentum, frame_for, version
from ._spd_rule import STEP_BOUND, SPDRestart, require_restart, require_step, restarts_by
from ._tangent_optimizer import TangentOptimizer

_COUNTERS: dict[str, float] = {"restarts": 0, "value": math.inf}


class _Step(NamedTuple):
    """What a step does to one parameter."""

    owner: Tensor
    frame: Frame
    A: Tensor
    w: Tensor
    scale: Tensor | float
    drop: Flag | None


class SPDMomentum(TangentOptimizer):
    """Gradient descent with momentum among SPD matrices, in the normal coordinates of a structured factor.

    For a ``ManifoldParameter`` tau on ``lie.SPD(n)`` or ``lie.SPD(n, structure=...)`` a factor A of tau = A
    A^T is kept, and

        H = sym(A^T g A),   w = alpha z + beta Pi(H),   A <- A h(-w / 2),   z <- w,   tau <- A A^T,

    g the gradient that autograd gives, beta = lr, alpha = momentum, Pi the projection on the structure's
    tangent space. No inverse, root or eigenvalue is computed (but with ``h="exp"``), and tau stays SPD. The
    frame moves with A, so z is not transported: on ``lie.SPD(n)`` with ``h="exp"`` and without a bound this
    is the Riemannian heavy ball with exact geodesics and exact parallel transport. Other structures move
    along the flat connection of their group. Batches (..., n, n) are stepped together, each matrix for
    itself.

    Other parameters are stepped by ``torch.optim.SGD`` itself, with the same lr and momentum. There a change
    of lr reaches the velocity at once, here z keeps the rates that it was made with.

    Momentum does not pay on well-conditioned problems: there momentum 0 with a large lr, which is Newton's
    step for some, needs fewer iterations.

    Args:
        params: Parameters, named parameters or groups of them.
        lr: Learning rate beta. Steps with the Fisher metric of a Gaussian have half of it.
        momentum: alpha.
        weight_decay: λ of λ/2 ‖x‖², ‖x‖ the Frobenius norm of tau, added to the function.
        h: h(N) = I + N + N^2/2 (``"h2"``), I + N (``"h1"``), expm(N) (``"exp"``) or Cayley's (``"cayley"``);
            None takes that of the manifold, which is h2 unless it was made with another. Structures that are
            no groups have a retraction of their own instead, and take None only.
        step_bound: Largest Frobenius norm of N = -w/2 of each matrix; longer steps are shortened to it. None
            sets no bound, and lr must then be small: directions with an eigenvalue of N below -2 grow.
        restart: ``"gradient"`` or True: z is dropped where the last step went uphill, <Pi(H), z> < 0;
            ``"function"``: where the loss has grown (needs a closure). The gradient's test is made for each
            matrix, and for each other parameter as a whole. ``group["restarts"]`` counts.
        inverse: Whether the factor is that of tau^-1 = A A^T. The set of matrices is the same, so are exact
            steps; truncated ones are those of the inverse. Takes an inverse in each step.
        maximize: Whether to maximize.
        foreach: As of ``torch.optim.SGD``, for parameters that are on no manifold.
        capturable: Whether everything stays on the device, as CUDA graphs need; gradients are then not
            checked for infinities.
        differentiable: Whether the step is recorded by autograd, for parameters that are on no manifold.

    Raises:
        ValueError: If an option is out of range, h1 has no step bound below 1 (Cayley's h: below 2), a
            parameter is on another manifold, or differentiable is set for a ``ManifoldParameter``.

    References:
        W. Lin, V. Duruisseaux, M. Leok, F. Nielsen, M. E. Khan, M. Schmidt: Simplifying momentum-based
        positive-definite submanifold optimization with applications to deep learning, ICML 2023.

    Example:
        >>> import torch, lie
        >>> from geomlearn.optim import ManifoldParameter
        >>> Q = torch.tensor([[2.0, 1.0], [1.0, 2.0]])
        >>> tau = ManifoldParameter(lie.SPD(2), torch.eye(2))
        >>> optimizer = SPDMomentum([tau], lr=0.5, momentum=0.5)
        >>> for _ in range(60):
        ...     optimizer.zero_grad()
        ...     ((tau * Q).sum() - torch.logdet(tau)).backward()
        ...     optimizer.step()
        >>> torch.allclose(tau, torch.linalg.inv(Q), atol=1e-5)
        True
    """

    moment = "momentum_buffer"
    _frames: list[list[Frame | None]]

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        *,
        h: str | None = None,
        step_bound: float | None = STEP_BOUND,
        restart: SPDRestart | bool | None = None,
        inverse: bool = False,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "h": h,
            "step_bound": step_bound,
            "restart": restart,
            "inverse": inverse,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
        }
        _check_options(defaults)
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters, with options of its own or else those of the constructor.

        Args:
            param_group: ``{"params": ..., option: value, ...}``.

        Raises:
            ValueError: If an option is out of range, or a parameter is in another group already or on a
                manifold that this optimizer does not know.
        """
        _check_options({**self.defaults, **param_group})
        super().add_param_group({**_COUNTERS, **param_group})

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take a state, also one that was saved before an option was added."""
        super().__setstate__(state)
        for group in self.param_groups:
            for key, value in _COUNTERS.items():
                group.setdefault(key, value)

    def _find_motions(self) -> None:
        """Find the frame of each parameter, anew where groups have been given other parameters."""
        now = [
            (group["inverse"], group["h"], group["step_bound"], *map(id, group["params"]))
            for group in self.param_groups
        ]
        if now != self.__dict__.get("_found"):
            self._frames = [[frame_for(p, group) for p in group["params"]] for group in self.param_groups]
            self._found = now
            self._seen: dict[int, tuple[int, int]] = {}

    def _move_parameters(self, loss: float | Tensor | None) -> None:
        self._accelerator_graph_capture_health_check()
        with torch.no_grad():
            plans = [
                (group, *self._plan(group, frames, loss))
                for group, frames in zip(self.param_groups, self._frames, strict=True)
            ]
            for group, flat, steps, value in plans:
                if flat and group["restart"]:
                    self._restart_flat(group, flat, value)
                if flat:
                    with torch.set_grad_enabled(group["differentiable"]):
                        step_flat(self, group, flat, self.moment)
                for step in steps:
                    self._take(group, step)
                if value is not None:
                    _remember(group, "value", value)

    def _value(self, group: dict[str, Any], loss: Any) -> Any:
        """The loss, as a function that falls, where the restart asks for it."""
        if restarts_by(group["restart"]) != "function":
            return None
        if loss is None:
            raise ValueError("restart: 'function' compares losses and needs a closure, step(closure)")
        value = loss.detach() if isinstance(loss, Tensor) else loss
        value = -value if group["maximize"] else value
        return torch.as_tensor(value) if in_tensors(group) else float(value)

    def _plan(
        self, group: dict[str, Any], frames: list[Frame | None], loss: float | Tensor | None
    ) -> tuple[list[Tensor], list[_Step], Any]:
        """Find what is to be done, without doing it."""
        value = self._value(group, loss)
        lr, quick = rate(group), not in_tensors(group)
        flat, steps = [], []
        for p, frame in zip(group["params"], frames, strict=True):
            g = p.grad
            if g is None:
                continue
            refuse_sparse(self, g)
            if frame is None:
                flat.append(p)
                continue
            A, z = factor_and_momentum(frame, p, self.state.get(p), self.moment, known=self._known(p))
            slope = frame_gradient(frame.factor, A, _descended(group, p, g), inverse=frame.inverse)
            drop: Flag | None = None
            if z is not None and group["restart"]:
                drop = uphill(frame.factor, slope, z) if value is None else value > group["value"]
                if quick and z.ndim == 2:
                    z = None if drop else z
                else:
                    z = torch.where(_over_matrices(drop), 0, z)
            w = slope.mul_(lr)
            if z is not None and group["momentum"]:
                w.add_(z, alpha=group["momentum"])
            scale = self._scale(w, g, group["step_bound"]) if quick else shortening(w, group["step_bound"])
            steps.append(_Step(p, frame, A, w, scale, drop))
        return flat, steps, value

    def _scale(self, w: Tensor, g: Tensor, bound: float | None) -> Tensor | float:
        """What a step is multiplied by to obey the bound, after a look at whether it is finite."""
        if w.ndim > 2:
            self._refuse_overflow(w.sum().item(), g)
            return shortening(w, bound)
        norm = torch.linalg.vector_norm(w).item()
        self._refuse_overflow(norm, g)
        return 1.0 if bound is None or norm <= 2 * bound else 2 * bound / norm

    def _known(self, p: Tensor) -> bool:
        """Whether nobody else has written to a parameter since its last step."""
        return torch.compiler.is_compiling() or self._seen.get(id(p)) == version(p)

    def _take(self, group: dict[str, Any], step: _Step) -> None:
        """Move a parameter and remember its factor and momentum."""
        p, frame, A, w, scale, drop = step
        state = self.state[p]
        A, w = advance_factor(frame.factor, A, w, scale, frame.h)
        _store(group, state, "factor", A)
        if group["momentum"]:
            _store(group, state, self.moment, w)
        p.copy_(matrix_of(frame.factor, A, inverse=frame.inverse))
        if not torch.compiler.is_compiling():
            self._seen[id(p)] = version(p)
        if drop is not None:
            self._count(group, drop)

    def _restart_flat(self, group: dict[str, Any], parameters: list[Tensor], value: Any) -> None:
        """Drop the momentum of parameters of vector spaces where it leads uphill."""
        for p in parameters:
            buffer = self.state[p].get(self.moment)
            if buffer is None or p.grad is None:
                continue
            if value is None:
                slope = _descended(group, p, p.grad) * buffer.conj()
                drop = (slope.real if slope.is_complex() else slope).sum() < 0
            else:
                drop = value > group["value"]
            flag = torch.as_tensor(drop, device=p.device)
            if group["differentiable"]:
                with torch.enable_grad():
                    self.state[p][self.moment] = torch.where(flag, 0, buffer)
            else:
                buffer.masked_fill_(flag, 0)
            self._count(group, drop)

    def _count(self, group: dict[str, Any], drop: Flag) -> None:
        """Count restarts."""
        number = drop.sum() if isinstance(drop, Tensor) else int(drop)
        _remember(group, "restarts", group["restarts"] + (number if in_tensors(group) else int(number)))

    def _refuse_overflow(self, size: float, gradient: Tensor) -> None:
        if math.isfinite(size):
            return
        if not bool(gradient.isfinite().all()):
            raise RuntimeError(infinite(self))
        raise RuntimeError(
            f"{type(self).__name__}: the step overflows; parameters and state were left as they are. Take a"
            " smaller lr or scale the loss"
        )

    def load_state_dict(self, state_dict: StateDict) -> None:
        """Take the state of another optimizer of this kind, to go on bit for bit.

        Args:
            state_dict: What ``state_dict`` returned.

        Raises:
            ValueError: If the groups differ in number or size, or a parameter has changed its shape; nothing
                has then been loaded.
        """
        refuse_changed_shapes(self, state_dict, "factor")
        super().load_state_dict(state_dict)
        self._seen = {}


def _check_options(options: dict[str, Any]) -> None:
    """Refuse options out of range."""
    require_one_number(options, "lr")
    for name in ("lr", "weight_decay"):
        require(options, name, bool(options[name] >= 0), "a number >= 0")
    require(options, "momentum", bool(0 <= options["momentum"] < 1), "a number in [0, 1)")
    require_step(options["h"], options["step_bound"])
    require_restart(options["restart"])
    if options["differentiable"] and options["foreach"]:
        raise ValueError("foreach: its steps are made in place, which differentiable=True excludes")


def _descended(group: dict[str, Any], p: Tensor, g: Tensor) -> Tensor:
    """The gradient of the function that falls, weight decay included."""
    g = -g if group["maximize"] else g
    return g.add(p, alpha=group["weight_decay"]) if group["weight_decay"] else g


def _over_matrices(drop: Flag) -> Tensor:
    flags = torch.as_tensor(drop)
    return flags[..., None, None] if flags.ndim else flags


def _store(group: dict[str, Any], state: dict[str, Any], key: str, new: Tensor) -> None:
    """Keep a tensor, in the same memory where a graph may have captured it."""
    if group["capturable"] and key in state:
        state[key].copy_(new)
    else:
        state[key] = new


def _remember(group: dict[str, Any], key: str, new: Any) -> None:
    """Put a number into the group, into the same tensor where a graph may have captured it."""
    old = group[key]
    if not in_tensors(group):
        group[key] = new
    elif isinstance(old, Tensor):
        old.copy_(new)
    else:
        group[key] = torch.as_tensor(new).clone()
