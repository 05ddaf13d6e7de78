"""What fills the slots of a variational integrator: constants, functions or modules."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..kernels import KernelBuilder, Rows

Configuration = tuple[Tensor, ...]
ArrayLike = Tensor | np.ndarray | Sequence[Any] | float


def as_constant(
    value: ArrayLike, name: str, shape: tuple[int, ...], dtype: torch.dtype = torch.float64
) -> Tensor:
    """Turn numbers given by the user into a finite float tensor of a known shape.

    Args:
        value: Tensor, array, nested sequence or number.
        name: Name of the argument, for the message.
        shape: Expected shape; -1 stands for any length.
        dtype: Dtype of the result where the value is no float tensor.

    Returns:
        The tensor, detached and copied.

    Raises:
        ValueError: If the shape is wrong or an entry is not finite.
    """
    if isinstance(value, Tensor):
        tensor = value.detach().clone()
    else:
        tensor = torch.as_tensor(value, dtype=dtype).clone()
    if not tensor.is_floating_point():
        tensor = tensor.to(dtype)
    lengths = tuple(tensor.shape)
    if len(lengths) != len(shape) or any(s not in (-1, t) for s, t in zip(shape, lengths, strict=True)):
        wanted = tuple("any" if s == -1 else s for s in shape)
        raise ValueError(f"{name}: expected shape {wanted}, got {lengths}")
    if not torch.isfinite(tensor).all():
        raise ValueError(f"{name}: expected finite numbers, got {tensor.tolist()}")
    return tensor


class Inertia(nn.Module, ABC):
    """A constant inertia in the body frame; call it without arguments for ``J``, ``(3, 3)`` for a rigid body.

    Attributes:
        isotropic: Whether ``J`` is always a multiple of the identity, which has a closed-form step.
    """

    isotropic: bool = False

    @abstractmethod
    def forward(self) -> Tensor:
        """The matrix ``J``, symmetric positive definite ``(n, n)``."""


class ConstantInertia(Inertia):
    """A known inertia."""

    matrix: Tensor

    def __init__(self, matrix: ArrayLike, size: int = 3) -> None:
        """Check and store the matrix.

        Args:
            matrix: ``J`` ``(size, size)``, symmetric positive definite; for a rigid body in kg m^2.
            size: Number of velocity components on which it acts.

        Raises:
            ValueError: If it is not symmetric positive definite.
        """
        super().__init__()
        tensor = as_constant(matrix, "inertia", (size, size))
        if not torch.allclose(tensor, tensor.mT, rtol=1e-6, atol=0.0):
            raise ValueError(
                f"inertia: expected a symmetric matrix, got {tensor.tolist()}; use (J + J.T) / 2"
            )
        moments = torch.linalg.eigvalsh(tensor)
        if moments[0] <= 0:
            raise ValueError(f"inertia: expected positive principal moments, got {moments.tolist()}")
        self.register_buffer("matrix", 0.5 * (tensor + tensor.mT))
        self._note_isotropy()
        self.register_load_state_dict_post_hook(ConstantInertia._note_isotropy)

    def _note_isotropy(self, *_: object) -> None:
        identity = torch.eye(len(self.matrix)).to(self.matrix)
        self.isotropic = torch.equal(self.matrix, self.matrix[0, 0] * identity)

    def forward(self) -> Tensor:
        """The matrix ``J`` ``(size, size)``."""
        return self.matrix


class Potential(nn.Module, ABC):
    """A potential energy of the configuration: ``U(R)`` on SO(3), ``U(x, R)`` on SE(3).

    The entries of ``R`` are treated as nine independent variables in the gradient.
    """

    @abstractmethod
    def forward(self, *q: Tensor) -> Tensor:
        """Energy ``(...)`` of configurations.

        Args:
            *q: ``R`` ``(..., 3, 3)``, or ``x`` ``(..., 3)`` and ``R``.
        """

    def gradient(self, *q: Tensor) -> Configuration:
        """Derivatives of the energy with respect to each argument, in the same shapes.

        Args:
            *q: As for ``forward``.

        Returns:
            ``(dU/dR,)``, or ``(dU/dx, dU/dR)``.
        """
        return torch.func.grad(lambda *p: self(*p).sum(), argnums=tuple(range(len(q))))(*q)


class FunctionPotential(Potential):
    """A potential from any callable of the configuration, differentiated by torch."""

    def __init__(self, function: Callable[..., Tensor], depth: int = 2) -> None:
        """Keep the callable; a module's parameters are registered.

        Args:
            function: Maps ``R`` (or ``x, R``) to energies ``(...)``, each batch element on its own.
            depth: Number of dimensions of the last argument without a batch: 2 for ``R``, 0 for a plane
                angle.
        """
        super().__init__()
        self.function, self.depth = function, depth

    def forward(self, *q: Tensor) -> Tensor:
        """Energy ``(...)``."""
        energy = self.function(*q)
        batch = q[-1].shape[: q[-1].ndim - self.depth]
        if energy.shape != batch:
            raise ValueError(
                f"potential: expected energies of shape {tuple(batch)} for configurations of that batch"
                f" shape, got {tuple(energy.shape)}; a trailing dimension of 1 must be squeezed"
            )
        return energy


class LinearPotential(Potential):
    """``U = <B, R> + c . x``: gravity on an extended body, or any uniform field.

    Attributes:
        orientation: ``B`` ``(3, 3)``, the gradient with respect to ``R``; ``(n, n)`` on another matrix group.
        position: ``c`` ``(3,)``, the gradient with respect to ``x``; not used on SO(3).
    """

    orientation: Tensor
    position: Tensor

    def __init__(
        self,
        orientation: ArrayLike,
        position: ArrayLike | None = None,
        learnable: bool = False,
        size: int = 3,
    ) -> None:
        """Store the coefficients.

        Args:
            orientation: ``B`` ``(size, size)``.
            position: ``c`` ``(3,)``; zero by default.
            learnable: Whether the coefficients are parameters.
            size: Number of rows of the group's matrices.
        """
        super().__init__()
        matrix = as_constant(orientation, "orientation", (size, size))
        vector = as_constant([0.0] * 3 if position is None else position, "position", (3,)).to(matrix.dtype)
        if learnable:
            self.orientation, self.position = nn.Parameter(matrix), nn.Parameter(vector)
        else:
            self.register_buffer("orientation", matrix)
            self.register_buffer("position", vector)

    @classmethod
    def gravity(
        cls, mass: float, center_of_mass: ArrayLike, gravity: ArrayLike = (0.0, 0.0, -9.81)
    ) -> LinearPotential:
        """Weight of a body: ``U = -m g . (x + R r)``.

        Args:
            mass: Mass in kg.
            center_of_mass: ``r`` ``(3,)``, from the body's origin or pivot, in the body frame, m.
            gravity: ``g`` ``(3,)`` in the world frame, m/s^2.

        Returns:
            The potential, in J.
        """
        r, g = as_constant(center_of_mass, "center_of_mass", (3,)), as_constant(gravity, "gravity", (3,))
        return cls(-mass * torch.outer(g, r), -mass * g)

    def forward(self, *q: Tensor) -> Tensor:
        """Energy ``(...)``."""
        energy = (self.orientation * q[-1]).sum((-2, -1))
        return energy if len(q) == 1 else energy + (self.position * q[0]).sum(-1)

    def gradient(self, *q: Tensor) -> Configuration:
        """Constant derivatives, expanded to the batch."""
        orientation = self.orientation.expand(q[-1].shape)
        return (orientation,) if len(q) == 1 else (self.position.expand(q[0].shape), orientation)

    def emit_value(self, builder: KernelBuilder, position: Rows, rotation: Rows) -> int:
        """Add kernel code for the energy.

        Args:
            builder: The kernel under construction.
            position: Rows of ``x``, none on SO(3).
            rotation: Rows of ``R``.

        Returns:
            Row of the energy.
        """
        target = builder.rows(1)[0]
        b, c = self._reserve(builder)
        terms = [f"P[{b + i}] * @{row}" for i, row in enumerate(rotation)]
        terms += [f"P[{c + i}] * @{row}" for i, row in enumerate(position)]
        builder.lanes(f"@{target} = {' + '.join(terms)}")
        return target

    def emit_gradient(self, builder: KernelBuilder, position: Rows, rotation: Rows) -> tuple[Rows, Rows]:
        """Add kernel code for the gradient.

        Args:
            builder: The kernel under construction.
            position: Rows of ``x``, none on SO(3).
            rotation: Rows of ``R``.

        Returns:
            Rows of ``dU/dx`` and ``dU/dR``.
        """
        slope_x, slope_r = builder.rows(len(position)), builder.rows(9)
        b, c = self._reserve(builder)
        lines = [f"@{row} = P[{b + i}]" for i, row in enumerate(slope_r)]
        builder.lanes(*lines, *[f"@{row} = P[{c + i}]" for i, row in enumerate(slope_x)])
        return slope_x, slope_r

    def _reserve(self, builder: KernelBuilder) -> tuple[int, int]:
        return builder.parameter(self.orientation), builder.parameter(self.position)


class ConstantMatrix(nn.Module):
    """A matrix that does not depend on the configuration: an input gain or a damping matrix."""

    matrix: Tensor

    def __init__(self, matrix: Tensor) -> None:
        """Store the matrix.

        Args:
            matrix: ``(rows, columns)``.
        """
        super().__init__()
        self.register_buffer("matrix", matrix)

    def forward(self) -> Tensor:
        """The matrix ``(rows, columns)``."""
        return self.matrix


class ConstantScalar(nn.Module):
    """A constant number, such as a known mass."""

    value: Tensor

    def __init__(self, value: Tensor) -> None:
        """Store the number.

        Args:
            value: ``()``.
        """
        super().__init__()
        self.register_buffer("value", value)

    def forward(self) -> Tensor:
        """The number ``()``."""
        return self.value


def takes_configuration(module: Callable[..., Any]) -> bool:
    """Whether a slot has to be called with the configuration, judged from its signature.

    Args:
        module: A callable.

    Returns:
        True if it has a required or a starred positional parameter.
    """
    function = module.forward if isinstance(module, nn.Module) else module
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            return True
        positional = parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
        if positional and parameter.default is parameter.empty:
            return True
    return False


def as_inertia(value: ArrayLike | nn.Module, size: int = 3) -> nn.Module:
    """Fill the inertia slot.

    Args:
        value: A matrix ``(size, size)``, or a module that returns one when called without arguments.
        size: Number of velocity components on which it acts.

    Returns:
        The module.

    Raises:
        ValueError: If a matrix is not an inertia, or a module depends on the configuration.
    """
    if not isinstance(value, nn.Module):
        return ConstantInertia(value, size)
    if takes_configuration(value):
        raise ValueError(
            f"inertia: expected a module called without arguments, got {type(value).__name__}, which takes"
            " the configuration. A configuration-dependent inertia J(q) adds the term d(w.J(q)w/2)/dq to the"
            " equations; this integrator does not have it, so its map would be neither symplectic nor the"
            " motion of that body. Use a constant inertia."
        )
    return value


def as_moment(value: ArrayLike | nn.Module) -> nn.Module:
    """Fill the inertia slot of a body that turns about one axis.

    Args:
        value: A number, a matrix ``(1, 1)``, or a module that returns a matrix ``(1, 1)`` when called without
            arguments.

    Returns:
        The module.
    """
    if isinstance(value, nn.Module):
        return as_inertia(value, 1)
    number = as_constant(value, "inertia", () if torch.as_tensor(value).ndim == 0 else (1, 1))
    return ConstantInertia(number.reshape(1, 1), 1)


def as_mass(value: ArrayLike | nn.Module, dtype: torch.dtype = torch.float64) -> nn.Module:
    """Fill the mass slot.

    Args:
        value: A positive number in kg, or a module that returns one when called without arguments.
        dtype: Dtype of the number where the value is no float tensor.

    Returns:
        The module.

    Raises:
        ValueError: If a number is not positive.
    """
    if isinstance(value, nn.Module):
        return value
    number = as_constant(value, "mass", (), dtype)
    if number <= 0:
        raise ValueError(f"mass: expected a positive mass in kg, got {float(number)}")
    return ConstantScalar(number)


def as_potential(value: Callable[..., Tensor], depth: int = 2) -> Potential:
    """Fill the potential slot.

    Args:
        value: A ``Potential``, or any callable of the configuration.
        depth: Number of dimensions of the last argument without a batch.

    Returns:
        The potential.

    Raises:
        TypeError: If the value cannot be called.
    """
    if isinstance(value, Potential):
        return value
    if not callable(value):
        raise TypeError(
            f"potential: expected a Potential or a callable of the configuration, got {type(value).__name__}"
        )
    return FunctionPotential(value, depth)


def as_matrix(
    value: ArrayLike | nn.Module | None,
    name: str,
    rows: int,
    columns: int,
    dtype: torch.dtype = torch.float64,
) -> nn.Module | None:
    """Fill the slot of an input gain or a damping matrix.

    Args:
        value: A matrix ``(rows, columns)``, a module called with the configuration or without arguments, or
            ``None``.
        name: Name of the argument, for the message.
        rows: Expected number of rows.
        columns: Expected number of columns, -1 for any.
        dtype: Dtype of the matrix where the value is no float tensor.

    Returns:
        The module, or ``None``.
    """
    if value is None or isinstance(value, nn.Module):
        return value
    return ConstantMatrix(as_constant(value, name, (rows, columns), dtype))
