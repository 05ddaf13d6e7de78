"""Residuals of a function, of a module, or of loose parameters, as functions of one flat vector."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ._levenberg_marquardt_jacobian import Residual, blocks, check_samples, evaluate


class FunctionProblem:
    """A function of a flat vector of parameters and of samples, differentiated by ``torch.func``."""

    def __init__(self, residual: Residual, samples: Sequence[Tensor], mode: str, memory: int) -> None:
        """Hold the function.

        Args:
            residual: Function ``(theta, *samples) -> residuals``.
            samples: Tensors with one entry per sample in their first dimension.
            mode: How to differentiate.
            memory: Bytes that a block of the Jacobian may take.
        """
        check_samples(samples)
        self._residual, self._samples, self._mode, self._memory = residual, samples, mode, memory

    def residual(self, theta: Tensor) -> Tensor:
        """Compute the residuals (n, k) without a graph."""
        with torch.no_grad():
            return evaluate(self._residual, theta, self._samples)

    def blocks(self, theta: Tensor, shape: torch.Size) -> Iterator[tuple[Tensor, Tensor]]:
        """Compute rows of the Jacobian and their residuals, block by block."""
        return blocks(self._residual, theta, self._samples, shape, self._mode, self._memory)


class GraphProblem:
    """A closure that reads parameters where they are, differentiated through autograd's graph.

    Trial parameters are written into the parameters; the caller puts back what it wants them to be.
    """

    def __init__(
        self, closure: Callable[[], Tensor], parameters: Sequence[Tensor], mode: str, memory: int
    ) -> None:
        """Hold the closure.

        Args:
            closure: Function that returns the residuals.
            parameters: The parameters it reads.
            mode: How to differentiate.
            memory: Bytes that a block of the Jacobian may take.
        """
        self._closure, self._parameters, self._mode, self._memory = closure, parameters, mode, memory

    def residual(self, theta: Tensor) -> Tensor:
        """Compute the residuals (m, 1) without a graph."""
        write(self._parameters, theta)
        with torch.no_grad():
            return evaluate(lambda _: self._closure(), theta, ())

    def blocks(self, theta: Tensor, shape: torch.Size) -> Iterator[tuple[Tensor, Tensor]]:
        """Compute rows of the Jacobian and their residuals, block by block.

        Args:
            theta: Parameters (p,).
            shape: Shape of the residuals.

        Yields:
            Rows (rows, p) of the Jacobian and their residuals (rows,).

        Raises:
            ValueError: If the residuals have no graph.
        """
        write(self._parameters, theta)
        with torch.enable_grad():
            value = self._closure().reshape(-1)
        if not value.requires_grad:
            raise ValueError(
                "closure: its residuals do not depend on the parameters of the optimizer; compute them from"
                " the parameters and do not detach them"
            )
        count, size = value.numel(), theta.numel()
        row = size * theta.element_size()
        if self._mode == "forward" or (self._mode == "auto" and count > size and count * row <= self._memory):
            yield self._forward(value, size), value.detach()
            return
        per = max(1, self._memory // row)
        for start in range(0, count, per):
            number = min(per, count - start)
            directions = value.new_zeros(number, count)
            directions[:, start : start + number].diagonal().fill_(1)
            yield self._pull(value, directions), value.detach()[start : start + number]

    def _pull(self, value: Tensor, directions: Tensor, *, graph: bool = False) -> Tensor:
        slopes = torch.autograd.grad(
            value,
            self._parameters,
            directions,
            is_grads_batched=not graph,
            retain_graph=True,
            create_graph=graph,
            allow_unused=True,
        )
        batch = directions.shape[:-1]
        return torch.cat(
            [
                directions.new_zeros(*batch, p.numel()) if slope is None else slope.reshape(*batch, -1)
                for p, slope in zip(self._parameters, slopes, strict=True)
            ],
            dim=-1,
        )

    def _forward(self, value: Tensor, size: int) -> Tensor:
        """Columns from the derivative of the reverse pass, which is linear in its direction."""
        direction = torch.zeros_like(value, requires_grad=True)
        with torch.enable_grad():
            slope = self._pull(value, direction, graph=True)
        jacobian = value.new_empty(value.numel(), size)
        per = max(1, self._memory // (16 * value.numel() * value.element_size()))
        for start in range(0, size, per):
            number = min(per, size - start)
            tangents = slope.new_zeros(number, size)
            tangents[:, start : start + number].diagonal().fill_(1)
            (columns,) = torch.autograd.grad(
                slope, direction, tangents, is_grads_batched=True, retain_graph=True
            )
            jacobian[:, start : start + number] = columns.T
        return jacobian


class _Reading(nn.Module):
    """Calls a closure that reads a module, for ``functional_call`` to lend the module other parameters."""

    def __init__(self, module: nn.Module, closure: Residual) -> None:
        super().__init__()
        self.module = module
        self.closure = closure

    def forward(self, *samples: Tensor) -> Tensor:
        return self.closure(*samples)


def slots_of(module: nn.Module, parameters: Sequence[Tensor]) -> dict[str, int]:
    """Find where a module holds parameters, each place once although modules or parameters are shared.

    Args:
        module: The module.
        parameters: Some of its parameters.

    Returns:
        Name of each place to the number of the parameter there.

    Raises:
        ValueError: If one is nowhere in the module.
    """
    number = {id(p): k for k, p in enumerate(parameters)}
    slots = {}
    for path, part in module.named_modules():
        for name, parameter in part.named_parameters(recurse=False):
            if id(parameter) in number:
                slots[f"{path}.{name}" if path else name] = number[id(parameter)]
    if len(set(slots.values())) != len(parameters):
        raise ValueError(
            "params: the module no longer holds the parameters of the optimizer; make a new optimizer"
        )
    return slots


def of_module(module: nn.Module, parameters: Sequence[Tensor], closure: Residual) -> Residual:
    """Turn a closure that reads a module into a function of the flat vector of its parameters.

    Args:
        module: The module.
        parameters: Its parameters in the order of the vector.
        closure: Function ``(*samples) -> residuals`` that calls the module.

    Returns:
        Function ``(theta, *samples) -> residuals``.
    """
    reading = _Reading(module, closure)
    slots = slots_of(module, parameters)
    like = {str(k): p for k, p in enumerate(parameters)}

    def residual(theta: Tensor, *samples: Tensor) -> Tensor:
        parts = list(unflatten(theta, like).values())
        lent = {f"module.{name}": parts[k] for name, k in slots.items()}
        # Ties are in the slots. Left to torch, a module under two names would keep what was lent.
        value: Tensor = functional_call(reading, lent, samples, tie_weights=False)
        return value

    return residual


def flatten(parameters: Sequence[Tensor]) -> Tensor:
    """Copy tensors into one vector.

    Args:
        parameters: Tensors of one dtype and device.

    Returns:
        Shape (p,).

    Raises:
        TypeError: If a dtype is not float32 or float64, dtypes or devices differ, or one is sparse.
        ValueError: If there is no entry.
    """
    if any(p.layout is not torch.strided for p in parameters):
        raise TypeError("parameters: expected dense tensors, got a sparse one; use its to_dense()")
    kinds = {(p.dtype, p.device) for p in parameters}
    if len(kinds) > 1 or any(dtype not in (torch.float32, torch.float64) for dtype, _ in kinds):
        raise TypeError(
            "parameters: expected all of them in float64, or all in float32, on one device, got"
            f" {sorted(f'{dtype} on {device}' for dtype, device in kinds)}"
        )
    if sum(p.numel() for p in parameters) == 0:
        raise ValueError("parameters: expected at least one entry to fit, got none")
    return torch.cat([p.detach().reshape(-1) for p in parameters])


def unflatten(theta: Tensor, like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Cut a vector into named tensors.

    Args:
        theta: Vector (p,).
        like: Tensors of the names, order and shapes wanted.

    Returns:
        Views of the vector.
    """
    parts = theta.split([tensor.numel() for tensor in like.values()])
    return {name: part.view(like[name].shape) for name, part in zip(like, parts, strict=True)}


def write(parameters: Sequence[Tensor], theta: Tensor) -> None:
    """Copy a vector into tensors.

    Args:
        parameters: Tensors to overwrite.
        theta: Vector (p,).
    """
    with torch.no_grad():
        for parameter, part in zip(parameters, theta.split([p.numel() for p in parameters]), strict=True):
            parameter.copy_(part.view(parameter.shape))
