"""Exact flows of linear systems by matrix exponentials."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from .._flow import FlowMap
from .._state import StateSpace
from ..kernels import KernelBuilder, KernelProgram
from ..systems import HamiltonianSystem

_TOLERANCE = 1e-12
_UNROLLED = 8


class LinearFlow(FlowMap):
    """The exact flow of ``x' = A x + b``: ``x -> exp(h A) x + integral of exp(s A) b``.

    It is symplectic where ``A = J S`` with a symmetric ``S``, for states of positions before momenta. With a
    rotation for ``exp(h A)`` it is the linear part of impulse methods for fast oscillations, whose step the
    frequencies then do not limit.

    Source: Hairer, Lubich, Wanner, Geometric Numerical Integration, 2nd ed. 2006, section XIII.1.

    Example:
        >>> import torch
        >>> from integrators import StateSpace, vector
        >>> turn = LinearFlow(
        ...     StateSpace(vector("q", 1), vector("p", 1)), [[0.0, 1.0], [-1.0, 0.0]], h=torch.pi
        ... )
        >>> turn(torch.tensor([1.0, 0.0], dtype=torch.float64)).round(decimals=12)
        tensor([-1., -0.], dtype=torch.float64)
        >>> turn.symplectic
        True
    """

    symmetric = True
    exact = True
    evaluations = 0
    offset: Tensor | None

    def __init__(
        self,
        space: StateSpace,
        matrix: Tensor | list[list[float]],
        h: float,
        offset: Tensor | list[float] | None = None,
    ) -> None:
        """Bind.

        Args:
            space: Layout of the states.
            matrix: ``A`` ``(n, n)``; an ``nn.Parameter`` is trained.
            h: Step; negative steps go back in time.
            offset: ``b`` ``(n,)``, zero by default.

        Raises:
            ValueError: If a shape does not fit the states, or the step is zero or not finite.
        """
        super().__init__()
        if not 0 < abs(h) < math.inf:
            raise ValueError(f"h: expected a finite step that is not zero, got {h}")
        self.space, self.h = space, float(h)
        n = space.size
        self._hold("matrix", _as_tensor(matrix, (n, n), "matrix", space))
        self._hold("offset", None if offset is None else _as_tensor(offset, (n,), "offset", space))
        self.symplectic = _is_hamiltonian(self.matrix.detach())

    matrix: Tensor

    @classmethod
    def of(cls, system: HamiltonianSystem, h: float) -> LinearFlow:
        """The exact flow of a quadratic Hamiltonian.

        Args:
            system: A Hamiltonian of degree two in positions and momenta, without time.
            h: Step; negative steps go back in time.

        Returns:
            The flow; it holds the matrix as it is now.

        Raises:
            ValueError: If the Hamiltonian is not quadratic, or depends on time.
        """
        n, d = system.space.size, system.degrees
        dtype = next((t.dtype for t in (*system.parameters(), *system.buffers())), torch.float64)
        origin = torch.zeros(n, dtype=dtype)
        if system.timed:
            raise ValueError(f"system: expected a Hamiltonian that does not depend on time, got {system!r}")
        with torch.no_grad():
            offset = system.field(origin)
            matrix = torch.stack([system.field(e) - offset for e in torch.eye(n, dtype=dtype)], -1)
            probe = torch.linspace(-1.3, 0.9, n, dtype=dtype) ** 3 + 0.1
            error = system.field(probe) - (matrix @ probe + offset)
        scale = float(matrix.abs().max()) + float(offset.abs().max())
        if not float(error.abs().max()) <= 100 * torch.finfo(dtype).eps * scale:
            raise ValueError(
                f"system: expected a Hamiltonian of degree two in its {2 * d} variables, got {system!r}; "
                "split it into a quadratic part and a rest that KickFlow takes"
            )
        return cls(system.space, matrix, h, offset if bool(offset.any()) else None)

    def _hold(self, name: str, value: Tensor | None) -> None:
        if isinstance(value, torch.nn.Parameter):
            self.register_parameter(name, value)
        else:
            self.register_buffer(name, value)

    def constants(self) -> tuple[Tensor, Tensor | None]:
        """``exp(h A)`` transposed, and what ``b`` adds in a step."""
        if self.offset is None:
            return torch.linalg.matrix_exp(self.h * self.matrix).mT, None
        n = self.space.size
        joined = torch.cat((self.matrix, self.offset[:, None]), -1)
        whole = torch.linalg.matrix_exp(self.h * torch.nn.functional.pad(joined, (0, 0, 0, 1)))
        return whole[:n, :n].mT, whole[:n, n]

    def advance(
        self, carry: Tensor, control: Tensor | None, constants: tuple[Tensor, Tensor | None]
    ) -> Tensor:
        """Multiply."""
        y = carry @ constants[0]
        return y if constants[1] is None else y + constants[1]

    def inverse(self, y: Tensor, control: Tensor | None = None) -> Tensor:
        """Undo one step: the flow backwards."""
        before: Tensor = self.with_step(-self.h)(y)
        return before

    def kernel_program(self, observables: list[str]) -> KernelProgram:
        """Code of the compiled rollout.

        Args:
            observables: None are known.

        Returns:
            The program.
        """
        b, n = KernelBuilder(), self.space.size
        state, new = b.rows(n), b.rows(n)
        turned, shift = self.constants()
        b.section("step")
        place = b.parameter(turned.mT)
        added = b.parameter(torch.zeros_like(turned[0]) if shift is None else shift)
        if n <= _UNROLLED:
            entries = [[b.number(place + i * n + j) for j in range(n)] for i in range(n)]
            b.lanes(
                *[f"x{j} = @{row}" for j, row in enumerate(state)],
                *[
                    f"@{row} = {b.number(added + i)} + "
                    + " + ".join(f"{entries[i][j]} * x{j}" for j in range(n))
                    for i, row in enumerate(state)
                ],
            )
        else:
            with b.loop(f"for i in range({n}):"):
                b.line(f"number = P[{added} + i]")
                b.lanes(f"A[({new[0]} + i) * L + l] = number")
                with b.loop(f"for j in range({n}):"):
                    b.line(f"number = P[{place} + {n} * i + j]")
                    b.lanes(f"A[({new[0]} + i) * L + l] += number * A[({state[0]} + j) * L + l]")
            with b.loop(f"for k in range({n} * L):"):
                b.line(f"A[{state[0]} * L + k] = A[{new[0]} * L + k]")
        return KernelProgram(
            b,
            carry_size=n,
            state_row=state[0],
            state_size=n,
            control_row=state[0],
            observed_row=state[0],
            observed_size=0,
            checked=False,
            controlled=False,
        )

    @property
    def phase_derivative(self) -> Callable[..., tuple[Tensor, Tensor, Tensor]]:
        """Derivative of a step and the symplectic form before and after it, where the flow keeps one."""
        form = self.symplectic_form()
        if form is None:
            raise AttributeError("phase_derivative: the flow keeps no symplectic form")

        def derivative(x: Tensor, control: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
            turned = self.constants()[0].mT.to(x)
            held = form.to(x)
            return turned.expand(*x.shape[:-1], *turned.shape), held, held

        return derivative

    def symplectic_form(self) -> Tensor | None:
        """The form ``(n, n)`` that the flow keeps, ``None`` where it is not known to keep one."""
        if not self.symplectic:
            return None
        half = self.space.size // 2
        zero, eye = self.matrix.new_zeros(half, half), torch.eye(half).to(self.matrix)
        return torch.cat((torch.cat((zero, eye), -1), torch.cat((-eye, zero), -1)))

    def flip_velocities(self, x: Tensor) -> Tensor:
        """Change the sign of the second half of the state."""
        half = self.space.size // 2
        return torch.cat((x[..., :half], -x[..., half:]), -1)

    @property
    def reversible(self) -> bool:  # type: ignore[override]
        """Whether flipping the second half of the state turns the map into its inverse."""
        n, a = self.space.size, self.matrix.detach()
        sign = torch.ones(n, dtype=a.dtype, device=a.device)
        sign[n // 2 :] = -1
        flipped = sign[:, None] * a * sign
        odd_offset = self.offset is None or bool((sign * self.offset.detach() == -self.offset.detach()).all())
        return n % 2 == 0 and odd_offset and bool((flipped + a).abs().max() <= _TOLERANCE * a.abs().max())


def _as_tensor(
    value: Tensor | list[list[float]] | list[float], shape: tuple[int, ...], name: str, space: StateSpace
) -> Tensor:
    tensor = value if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.float64)
    if tuple(tensor.shape) != shape or not bool(torch.isfinite(tensor.detach()).all()):
        raise ValueError(f"{name}: expected finite numbers {shape} for {space}, got {tuple(tensor.shape)}")
    return tensor


def _is_hamiltonian(matrix: Tensor) -> bool:
    """Whether ``A = J S`` with a symmetric ``S``."""
    n = matrix.shape[0]
    if n % 2:
        return False
    half = n // 2
    s = torch.cat((-matrix[half:], matrix[:half]))
    return bool((s - s.mT).abs().max() <= _TOLERANCE * s.abs().max())
