"""What the Bregman optimizers of torch have in common."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from ._bregman_core import Clock, Move, advance, start_clock
from ._bregman_options import check_options
from ._bregman_rule import DEFAULTS, BregmanRule, Scheme
from ._checks import infinite, refuse_sparse
from ._motion import Motion
from ._reductions import products
from ._scalars import Scalar
from ._tangent_optimizer import Moved, TangentOptimizer

_CLOCK = Clock._fields


class _Curved(NamedTuple):
    """A parameter on a manifold, with gradient and velocity in its tangent space."""

    owner: Tensor
    motion: Motion
    gradient: Tensor
    velocity: Tensor


class _Work(NamedTuple):
    """What a step has to do in one group: real views of the tensors that have a gradient."""

    group: dict[str, Any]
    parameters: list[Tensor]
    owners: list[Tensor]
    gradients: list[Tensor]
    velocities: list[Tensor]
    curved: list[_Curved]
    products: Tensor | list[float]


class BregmanOptimizer(TangentOptimizer):
    """Base of the Bregman optimizers; ``scheme`` says which of them.

    Each group has one clock, one restart and one set of counters, ``group["time"]``, ``group["steps"]``,
    ``group["restarts"]`` and ``group["loops"]``; they are saved with the group. Each parameter has a velocity
    (last displacement over lr) in its own dtype.
    """

    scheme: Scheme
    moment = "velocity"

    def __init__(self, params: ParamsT, defaults: dict[str, Any]) -> None:
        family = DEFAULTS.get(defaults["family"])
        if family is not None:
            for key, value in (("lr", family.h), ("C", family.C), ("order", family.order)):
                if defaults[key] is None:
                    defaults[key] = value
        check_options(defaults, self.scheme)
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters, with options of its own or else those of the constructor.

        A group of the other family that does not say lr, C or order has the defaults of its family.

        Args:
            param_group: ``{"params": ..., option: value, ...}``.

        Raises:
            ValueError: If an option is out of range or a parameter is in another group already.
        """
        group = dict(param_group)
        family = group.get("family", self.defaults["family"])
        if family != self.defaults["family"] and family in DEFAULTS:
            own = DEFAULTS[family]
            for key, value in (("lr", own.h), ("C", own.C), ("order", own.order)):
                group.setdefault(key, value)
        check_options({**self.defaults, **group}, self.scheme)
        for key, value in start_clock()._asdict().items():
            group.setdefault(key, value)
        super().add_param_group(group)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take a state, also one that was saved before an option was added."""
        super().__setstate__(state)
        for group in self.param_groups:
            for key, value in start_clock()._asdict().items():
                group.setdefault(key, value)

    def _move_parameters(self, loss: float | Tensor | None) -> None:
        self._accelerator_graph_capture_health_check()
        with torch.set_grad_enabled(self.defaults["differentiable"]):
            works = [self._gather(group, moved) for group, moved in self._moved() if moved]
            decided = [(work, *self._decide(work, loss)) for work in works]
            for work, clock, move in decided:
                self._move(work, move)
                self._remember(work, clock)

    def _gather(self, group: dict[str, Any], moved: Moved) -> _Work:
        """Collect what has a gradient, and measure it."""
        owners, gradients, curved = [], [], []
        for p, g, motion in moved:
            refuse_sparse(self, g)
            if group["weight_decay"]:
                g = g.add(p, alpha=group["weight_decay"] * (-1 if group["maximize"] else 1))
            g = -g if group["maximize"] else g
            if motion is not None:
                curved.append(_Curved(p, motion, motion.gradient(p, g), self._velocity(p, motion)))
                continue
            owners.append(p)
            gradients.append(_real(g.resolve_conj()))
        velocities = [_real(self._velocity(p)) for p in owners]
        parameters = [_real(p) for p in owners]
        with torch.no_grad():
            sums = products(gradients, velocities, moved[0][0].device)
            if curved:
                sums = _with_curved(sums, curved)
        measured: Tensor | list[float] = sums
        if not _in_tensors(group):
            measured = sums.tolist()
            if not math.isfinite(measured[1]):
                raise RuntimeError(infinite(self))
        return _Work(group, parameters, owners, gradients, velocities, curved, measured)

    def _velocity(self, parameter: Tensor, motion: Motion | None = None) -> Tensor:
        if parameter in self.state:
            velocity: Tensor = self.state[parameter]["velocity"]
            return velocity
        return torch.zeros_like(parameter) if motion is None else motion.zero(parameter)

    def _decide(self, work: _Work, loss: Any) -> tuple[Clock, Move]:
        """Ask the core what to do."""
        group = work.group
        inner, gradient_norm, velocity_norm = work.products
        clock = Clock(*(group[key] for key in _CLOCK))
        h, C = group["lr"], group["C"]
        value: Scalar | None = None
        if loss is not None and group["restart"] == "function":
            value = loss.detach() if isinstance(loss, Tensor) else loss
            value = -value if group["maximize"] else value
        if _in_tensors(group):
            device = _device(work)
            clock = _as_tensors(clock, device)
            if isinstance(value, Tensor):
                value = value.to(device, torch.float64)
        else:
            clock = _as_numbers(clock)
            h, C = float(h), float(C)
            value = None if value is None else float(value)
        rule = BregmanRule(
            h,
            C,
            group["family"],
            group["order"],
            group["beta"],
            group["restart"],
            group["temporal_looping"],
            self.scheme,
            group.get("adaptive"),
        )
        return advance(rule, clock, inner, gradient_norm, velocity_norm, value)

    def _move(self, work: _Work, move: Move) -> None:
        """Change velocities and parameters."""
        group = work.group
        for owner, motion, g, v in work.curved:
            self.state[owner]["velocity"] = v.mul_(move.momentum).sub_((move.kick * g).to(v.dtype))
            motion.go(owner, move.h, v, v)
        if group["differentiable"]:
            _move_out_of_place(self, work, move)
            return
        for owner in work.owners:
            if owner not in self.state:
                self.state[owner]["velocity"] = torch.zeros_like(owner)
        velocities = [_real(self.state[owner]["velocity"]) for owner in work.owners]
        foreach = group["foreach"]
        if foreach or (foreach is None and _device(work).type != "cpu"):
            for parameters, gradients, speeds in _by_kind(work.parameters, work.gradients, velocities):
                _move_foreach(parameters, gradients, speeds, move)
        else:
            for x, g, v in zip(work.parameters, work.gradients, velocities, strict=True):
                _move_one(x, g, v, move)

    def _remember(self, work: _Work, clock: Clock) -> None:
        """Put the clock into the group, into the same tensors where a graph may have captured them."""
        group = work.group
        for key, new in zip(_CLOCK, clock, strict=True):
            old = group[key]
            if _in_tensors(group) and isinstance(old, Tensor) and not group["differentiable"]:
                old.copy_(torch.as_tensor(new, dtype=old.dtype, device=old.device).reshape(1))
            elif _in_tensors(group):
                dtype = torch.int64 if key in ("steps", "restarts", "loops") else torch.float64
                group[key] = torch.as_tensor(new, dtype=dtype, device=_device(work)).reshape(1)
            else:
                group[key] = new


def _in_tensors(group: dict[str, Any]) -> bool:
    """Whether the scalars of a step are tensors, so that it waits for no device and cuts no graph."""
    return bool(group["capturable"] or group["differentiable"] or torch.compiler.is_compiling())


def _as_numbers(clock: Clock) -> Clock:
    numbers: list[Any] = [entry.item() if isinstance(entry, Tensor) else entry for entry in clock]
    return Clock(*numbers)


def _as_tensors(clock: Clock, device: torch.device) -> Clock:
    """Give the clock as 0-dim tensors, which promote no dtype.

    The group holds them with shape (1,): compiled graphs lose what is written into a 0-dim float64 tensor on
    the CPU.

    Args:
        clock: Numbers or tensors of one element.
        device: Where they are wanted.

    Returns:
        Views of what is a tensor there already.
    """
    starts = start_clock(device)
    return Clock(
        *(
            torch.as_tensor(entry, dtype=start.dtype, device=device).reshape(())
            for entry, start in zip(clock, starts, strict=True)
            if isinstance(start, Tensor)
        )
    )


def _device(work: _Work) -> torch.device:
    return (work.owners[0] if work.owners else work.curved[0].owner).device


def _with_curved(measured: Tensor, curved: list[_Curved]) -> Tensor:
    """Add the inner products of the parameters on manifolds to those of the others."""
    pairs = [
        torch.stack([motion.inner(x, a, b).sum() for a, b in ((g, v), (g, g), (v, v))])
        for x, motion, g, v in curved
    ]
    extra = torch.stack([pair.to(measured.device, torch.float64) for pair in pairs]).sum(0)
    return torch.cat([measured[:1] + extra[:1], (measured[1:].square() + extra[1:]).clamp_min(0).sqrt()])


def _real(x: Tensor) -> Tensor:
    return torch.view_as_real(x) if x.is_complex() else x


def _by_kind(*lists: list[Tensor]) -> Iterable[list[list[Tensor]]]:
    """Split parallel lists by the device and dtype of the tensors of the first."""
    kinds: dict[tuple[torch.device, torch.dtype], list[tuple[Tensor, ...]]] = {}
    for row in zip(*lists, strict=True):
        kinds.setdefault((row[0].device, row[0].dtype), []).append(row)
    return [[list(column) for column in zip(*rows, strict=True)] for rows in kinds.values()]


def _move_foreach(x: list[Tensor], g: list[Tensor], v: list[Tensor], move: Move) -> None:
    torch._foreach_mul_(v, move.momentum)
    if isinstance(move.kick, Tensor):
        torch._foreach_sub_(v, torch._foreach_mul(g, move.kick))
    else:
        torch._foreach_sub_(v, g, alpha=move.kick)
    if isinstance(move.h, Tensor):
        torch._foreach_add_(x, torch._foreach_mul(v, move.h))
    else:
        torch._foreach_add_(x, v, alpha=move.h)


def _move_one(x: Tensor, g: Tensor, v: Tensor, move: Move) -> None:
    v.mul_(move.momentum)
    if isinstance(move.kick, Tensor):
        v.sub_(g * move.kick)
    else:
        v.sub_(g, alpha=move.kick)
    if isinstance(move.h, Tensor):
        x.add_(v * move.h)
    else:
        x.add_(v, alpha=move.h)


def _move_out_of_place(optimizer: BregmanOptimizer, work: _Work, move: Move) -> None:
    """Leave a graph through which the step can be differentiated."""
    rows = zip(work.owners, work.parameters, work.gradients, work.velocities, strict=True)
    for owner, x, g, v in rows:
        velocity = (move.momentum * v - move.kick * g).to(v.dtype)
        stored = torch.view_as_complex(velocity) if owner.is_complex() else velocity
        optimizer.state[owner]["velocity"] = stored
        x.add_((move.h * velocity).to(x.dtype))
