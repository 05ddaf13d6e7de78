"""What all symplectic layers have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from integrators import StateSpace, vector
from integrators.kernels import KernelBuilder, Rows

Strength = float | Tensor


class SymplecticLayer(nn.Module, ABC):
    """A symplectic map of ``z = (q, p)`` whose inverse and derivative are written out.

    A map is symplectic when ``D^T Omega D = Omega`` with ``Omega = [[0, I], [-I, 0]]``. Every layer acts with
    a *strength*, a factor on its potential: a time step, a small parameter, or their product. The derivative
    is a closed form, so neither it nor the inverse costs a solve or a pass of automatic differentiation.

    Attributes:
        degrees: Number ``d`` of positions, and of momenta.
        control_size: Number of parameters on which the map depends beside its weights, 0 for none.
        identity_at_zero: Whether strength 0 is the identity.
    """

    identity_at_zero: ClassVar[bool] = True
    degrees: int
    control_size: int = 0

    def __init__(self, degrees: int) -> None:
        """Set the number of degrees of freedom.

        Args:
            degrees: Number ``d`` of positions, and of momenta.

        Raises:
            ValueError: If it is less than one.
        """
        super().__init__()
        self.degrees = count("degrees", degrees)

    @abstractmethod
    def forward(self, z: Tensor, strength: Strength = 1.0, control: Tensor | None = None) -> Tensor:
        """Apply the map.

        Args:
            z: States ``(..., 2 d)``, positions before momenta.
            strength: Factor on the potential: a number, or a tensor that broadcasts to ``(...)``.
            control: Parameters ``(..., control_size)`` where the layer depends on some.

        Returns:
            States ``(..., 2 d)``.
        """

    def inverse(self, z: Tensor, strength: Strength = 1.0, control: Tensor | None = None) -> Tensor:
        """Undo the map, exactly and without a solve; as it stands, by the map of the opposite strength.

        Args:
            z: States ``(..., 2 d)``.
            strength: The strength with which the map was applied.
            control: The parameters with which it was applied.

        Returns:
            The states that the map takes to ``z``.
        """
        return self.forward(z, -strength, control)

    @abstractmethod
    def jacobian(self, z: Tensor, strength: Strength = 1.0, control: Tensor | None = None) -> Tensor:
        """Compute the derivative of the map with respect to the state, in closed form.

        Args:
            z: States ``(..., 2 d)``.
            strength: As in ``forward``.
            control: As in ``forward``.

        Returns:
            Shape ``(..., 2 d, 2 d)``.
        """

    def emit(
        self,
        builder: KernelBuilder,
        z: Rows,
        strength: str,
        inverse: bool = False,
        control: Rows | None = None,
    ) -> None:
        """Write the map into a kernel, in place, in the current section.

        Args:
            builder: The kernel under construction.
            z: Rows of the state, ``2 d`` of them.
            strength: Text of the strength in a statement over lanes: ``builder.number(k)`` or ``"@7"``.
            inverse: Whether to write the inverse.
            control: Rows of the parameters.
        """
        from ._emit import emit_layers

        emit_layers(builder, [self], z, [strength], inverse, control)

    @abstractmethod
    def kernel_key(self) -> tuple[Any, ...]:
        """Give what the text of the kernel depends on: layers of equal keys differ in their numbers alone."""

    @abstractmethod
    def kernel_numbers(self) -> list[Tensor]:
        """Give the numbers that the kernel reads, in the order in which it finds them."""

    @abstractmethod
    def emit_at(
        self, builder: KernelBuilder, z: Rows, place: str, strength: str, inverse: bool, control: Rows
    ) -> None:
        """Write the map with its numbers at a place that can be an expression, such as one of a loop.

        Args:
            builder: The kernel under construction.
            z: Rows of the state.
            place: Where ``kernel_numbers`` begin in ``P``.
            strength: Text of the strength.
            inverse: Whether to write the inverse.
            control: Rows of the parameters, as many as ``control_size``.
        """

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """Give a plain description of the layer, without its numbers."""

    def halves(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Take a state apart.

        Args:
            z: States ``(..., 2 d)``.

        Returns:
            Positions and momenta, each ``(..., d)``.

        Raises:
            ValueError: If the last dimension is another.
        """
        if z.ndim == 0 or z.shape[-1] != 2 * self.degrees:
            raise ValueError(
                f"z: expected shape (..., {2 * self.degrees}), positions before momenta, got {tuple(z.shape)}"
            )
        return z[..., : self.degrees], z[..., self.degrees :]

    def seen(self, control: Tensor | None) -> Tensor | None:
        """Check the parameters on which a layer depends.

        Args:
            control: Parameters ``(..., control_size)``.

        Returns:
            The parameters; ``None`` for a layer that depends on none.

        Raises:
            ValueError: If they are missing or their number is wrong.
        """
        if self.control_size == 0:
            return None
        if control is None or control.ndim == 0 or control.shape[-1] != self.control_size:
            got = None if control is None else tuple(control.shape)
            raise ValueError(f"control: expected parameters (..., {self.control_size}), got {got}")
        return control


def count(name: str, value: int, least: int = 1) -> int:
    """Check a number of things.

    Args:
        name: Name of the argument, for the message.
        value: The number.
        least: The least that is allowed.

    Returns:
        The number.

    Raises:
        ValueError: If it is no whole number or too small.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name}: expected a whole number of at least {least}, got {value!r}")
    return value


def half_dimension(dim: int) -> int:
    """Number of degrees of freedom of a phase space.

    Args:
        dim: Its dimension.

    Returns:
        Half of it.

    Raises:
        ValueError: If it is odd or not positive.
    """
    if isinstance(dim, bool) or not isinstance(dim, int) or dim < 2 or dim % 2:
        raise ValueError(
            f"dim: expected a positive even number, as many momenta as positions, got {dim!r}; a state with"
            " an odd number of entries has no canonical form: leave one out or add its conjugate"
        )
    return dim // 2


def phase_space(degrees: int) -> StateSpace:
    """Layout of canonical states.

    Args:
        degrees: Number of positions.

    Returns:
        Positions ``q``, then momenta ``p``.
    """
    return StateSpace(vector("q", degrees), vector("p", degrees))


def along_last(strength: Strength) -> Strength:
    """Make a strength broadcast against vectors.

    Args:
        strength: A number or a tensor ``(...)``.

    Returns:
        The number, or the tensor ``(..., 1)``.
    """
    return strength.unsqueeze(-1) if isinstance(strength, Tensor) else strength


def block_matrix(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    """Put four blocks together.

    Args:
        a: Upper left block ``(..., d, d)``.
        b: Upper right block.
        c: Lower left block.
        d: Lower right block.

    Returns:
        Shape ``(..., 2 d, 2 d)``.
    """
    a, b, c, d = torch.broadcast_tensors(a, b, c, d)
    return torch.cat((torch.cat((a, b), -1), torch.cat((c, d), -1)), -2)


def symplectic_form(degrees: int, like: Tensor) -> Tensor:
    """The matrix ``[[0, I], [-I, 0]]``.

    Args:
        degrees: Number of positions.
        like: A tensor of the dtype and device wanted.

    Returns:
        Shape ``(2 d, 2 d)``.
    """
    eye = torch.eye(degrees, dtype=like.dtype, device=like.device)
    zero = torch.zeros_like(eye)
    return block_matrix(zero, eye, -eye, zero)
