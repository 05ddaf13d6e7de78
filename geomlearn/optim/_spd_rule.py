"""What a momentum method on SPD matrices is made of: the set, the step, and when it forgets."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

from torch import Tensor

from lie import SPDManifold, StructuredFactor, StructuredSPD, structured_factor

from ._scalars import Scalar

SPDRestart: TypeAlias = Literal["gradient", "function"]
Gradient: TypeAlias = Literal["matrix", "inverse", "frame"]

RESTARTS = ("gradient", "function")
GRADIENTS = ("matrix", "inverse", "frame")
APPROXIMATIONS = ("h1", "h2", "exp", "cayley")
LIMITS = {"h1": 1, "cayley": 2}  # h(N) is singular for an eigenvalue of N that is minus this
STEP_BOUND = 0.5


@dataclass(frozen=True)
class SPDRule:
    """Momentum in the normal coordinates of SPD matrices, or of those with a structured factor.

    The factored matrix S = A A^T, which is tau or its inverse, goes

        H = sym(A^T g A),   w = alpha z + beta Pi(H),   A <- A h(-w / 2),   z <- w,

    g the Euclidean gradient by S and Pi the projection on the structure's tangent space. The frame moves with
    A, so that nothing has to be transported: on all SPD matrices and with ``h="exp"`` this is the Riemannian
    heavy ball with exact geodesics and exact parallel transport. ``lr`` and ``momentum`` may be tensors,
    under ``torch.func.vmap`` one for each run of a sweep; nothing here branches on their values.

    Args:
        manifold: ``lie.SPD(n)``, or ``lie.SPD(n, structure=...)``.
        lr: Rate beta. With momentum 0, 1 is Newton's step for tr(Q tau) - log det tau near its minimum.
        momentum: alpha in [0, 1).
        h: ``"h2"`` (I + N + N^2/2), ``"h1"`` (I + N), ``"exp"`` or ``"cayley"``; None is that of the
            manifold, which is ``"h2"`` unless it was given another. For a structure that is no group, None:
            it has a retraction of its own.
        step_bound: Largest Frobenius norm of N = -w/2, for each matrix; longer steps are shortened to it (z
            is not). None sets no bound.
        restart: ``"gradient"`` drops z where the last step went uphill, <Pi(H), z> < 0; ``"function"`` where
            the value has grown; True is ``"gradient"``. For each matrix on its own.
        inverse: Whether A A^T is tau^-1. The set of matrices is the same, A is in the dual structure, and
            with symmetric N and h="exp" so is the run.

    Raises:
        TypeError: If the manifold is none of SPD matrices.
        ValueError: If an option is out of range, or h1 has no step bound below 1 (Cayley's h: below 2),
            without which it could make a singular matrix.

    References:
        W. Lin, V. Duruisseaux, M. Leok, F. Nielsen, M. E. Khan, M. Schmidt: Simplifying momentum-based
        positive-definite submanifold optimization with applications to deep learning, ICML 2023; restarts: B.
        O'Donoghue, E. Candès: Adaptive restart for accelerated gradient schemes, Foundations of Computational
        Mathematics 15, 2015.

    Example:
        >>> import lie
        >>> SPDRule(lie.SPD(4, structure="lower"), lr=0.1).factor
        lie.structured_factor("lower", 4)
    """

    manifold: SPDManifold | StructuredSPD
    lr: Scalar
    momentum: Scalar = 0.9
    h: str | None = None
    step_bound: float | None = STEP_BOUND
    restart: SPDRestart | bool | None = None
    inverse: bool = False

    def __post_init__(self) -> None:
        """Check the options."""
        if not isinstance(self.manifold, SPDManifold | StructuredSPD):
            raise TypeError(
                "manifold: expected lie.SPD(n) or lie.SPD(n, structure=...), got"
                f" {type(self.manifold).__name__}"
            )
        if not isinstance(self.lr, Tensor) and not self.lr >= 0:
            raise ValueError(f"lr: expected a number >= 0, got {self.lr!r}")
        if not isinstance(self.momentum, Tensor) and not 0 <= self.momentum < 1:
            raise ValueError(f"momentum: expected a number in [0, 1), got {self.momentum!r}")
        require_step(self.h, self.step_bound)
        require_restart(self.restart)
        require_safe(self.factor, self.approximation, self.h, self.step_bound)

    @cached_property
    def factor(self) -> StructuredFactor:
        """The structure of A."""
        return frame_of(self.manifold, self.inverse)

    @cached_property
    def approximation(self) -> str | None:
        """The h that a step takes; None for a structure that is no group."""
        return approximation_on(self.manifold, self.h)

    @property
    def restarts_by(self) -> SPDRestart | None:
        """The test of restarts."""
        return restarts_by(self.restart)


def factor_of(manifold: SPDManifold | StructuredSPD) -> StructuredFactor:
    """Give the structure of the factors of a manifold's matrices."""
    if isinstance(manifold, SPDManifold):
        return structured_factor("full", manifold.element_shape[-1])
    return manifold.factor


def frame_of(manifold: SPDManifold | StructuredSPD, inverse: bool) -> StructuredFactor:
    """Give the structure of the factors A, of the matrices or of their inverses.

    Args:
        manifold: The set of the matrices tau.
        inverse: Whether A A^T is tau^-1.

    Returns:
        The structure.

    Raises:
        ValueError: If the factors of the inverses have no structure.
    """
    factor = factor_of(manifold)
    if not inverse:
        return factor
    if not factor.closed:
        raise ValueError(
            f"inverse: expected False, got True: the inverses of matrices of {manifold.name} have factors"
            " without a pattern; take the inverse as the parameter, or a structure that is a group"
        )
    return factor.dual


def approximation_on(manifold: SPDManifold | StructuredSPD, h: str | None) -> str | None:
    """Choose the approximation of the exponential, None where a structure has a retraction of its own."""
    if h is not None:
        return h
    if isinstance(manifold, SPDManifold):
        return "h2"
    return manifold.h or ("h2" if manifold.factor.closed else None)


def restarts_by(restart: SPDRestart | bool | None) -> SPDRestart | None:
    """Name the test of restarts."""
    if isinstance(restart, bool):
        return "gradient" if restart else None
    return restart


def require_step(h: str | None, step_bound: float | None) -> None:
    """Refuse an unknown approximation or a bound that is none.

    Args:
        h: The approximation of the exponential, or None.
        step_bound: The bound, or None.

    Raises:
        ValueError: If one of them is out of range.
    """
    if h is not None and h not in APPROXIMATIONS:
        raise ValueError(f"h: expected one of {', '.join(map(repr, APPROXIMATIONS))} or None, got {h!r}")
    if step_bound is not None and not step_bound > 0:
        raise ValueError(f"step_bound: expected a number > 0, or None, got {step_bound!r}")
    _require_limit(h, step_bound)


def require_restart(restart: object) -> None:
    """Refuse an unknown test of restarts.

    Args:
        restart: The test.

    Raises:
        ValueError: If there is no such test.
    """
    if restart is not None and restart not in (True, False, *RESTARTS):
        raise ValueError(f"restart: expected 'gradient', 'function', True, False or None, got {restart!r}")


def require_safe(factor: StructuredFactor, used: str | None, h: str | None, step_bound: float | None) -> None:
    """Refuse an approximation that a structure does not have, or that may leave the SPD matrices.

    Args:
        factor: The structure.
        used: The approximation that a step takes.
        h: The approximation that was asked for.
        step_bound: The bound of steps.

    Raises:
        ValueError: If the structure is no group and h is given, or h may be singular within the bound.
    """
    if h is not None and not factor.closed:
        raise ValueError(f"h: expected None, got {h!r}: {factor.not_closed}")
    _require_limit(used, step_bound)


def _require_limit(h: str | None, step_bound: float | None) -> None:
    limit = LIMITS.get(h or "")
    if limit is not None and (step_bound is None or not step_bound < limit):
        raise ValueError(
            f"step_bound: expected a number < {limit} with h={h!r}, got {step_bound!r}: h(N) is singular for"
            f" an eigenvalue -{limit} of N; take h='h2', which never is, or a bound"
        )
