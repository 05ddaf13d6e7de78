"""Functions of SPD matrices with known minima."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from ._arguments import spd_matrices


class SPDProblem(ABC):
    """A function of SPD matrices tau (..., n, n) with its gradient.

    Attributes:
        n: Number of rows.
    """

    n: int

    @property
    @abstractmethod
    def minimiser(self) -> Tensor:
        """Where the function is least among all SPD matrices, shape (n, n)."""

    @property
    @abstractmethod
    def minimum(self) -> float:
        """Value of the function at the minimiser."""

    @abstractmethod
    def value(self, tau: Tensor) -> Tensor:
        """Compute the function, (..., n, n) to (...)."""

    @abstractmethod
    def gradient(self, tau: Tensor) -> Tensor:
        """Compute the Euclidean gradient g by tau, symmetric, (..., n, n)."""

    def frame_gradient(self, A: Tensor) -> Tensor:
        """Compute A^T g A at tau = A A^T, (..., n, n)."""
        return A.mT @ self.gradient(A @ A.mT) @ A


class LogDeterminant(SPDProblem):
    r"""The function tr(tau Q) - log det tau, with its minimum n + log det Q at tau = Q^-1.

    With the second moments Q of samples it is, up to constants, twice the negative log-likelihood of a
    Gaussian by its precision tau. The gradient A^T Q A - I in the frame of a factor needs no inverse, and a
    step of rate 1 is Newton's.

    Args:
        Q: Positive semidefinite matrix, shape (n, n). If it is singular there is no minimum among all SPD
            matrices, though perhaps in a structure.

    Raises:
        ValueError: If Q is not symmetric and positive semidefinite.

    Example:
        >>> import torch
        >>> problem = LogDeterminant(torch.tensor([[2.0, 1.0], [1.0, 2.0]]))
        >>> problem.gradient(problem.minimiser).abs().max() < 1e-6
        tensor(True)
    """

    def __init__(self, Q: Tensor) -> None:
        self.Q = spd_matrices(Q, Q.shape[-1], "Q", semidefinite=True)
        self.n = Q.shape[-1]

    @property
    def minimiser(self) -> Tensor:
        """Q^-1."""
        return torch.linalg.inv(self.Q)

    @property
    def minimum(self) -> float:
        """The least value, n + log det Q."""
        return float(self.n + torch.linalg.slogdet(self.Q)[1])

    @classmethod
    def random(cls, n: int, condition: float, generator: torch.Generator | None = None) -> LogDeterminant:
        """Draw a problem with the eigenvalues of Q log-spaced in [condition^-1/2, condition^1/2], float64."""
        return cls(log_spaced(n, condition, generator))

    def value(self, tau: Tensor) -> Tensor:
        """Compute the function, (..., n, n) to (...); infinite where tau is singular."""
        return (tau * self.Q).sum((-2, -1)) - torch.linalg.slogdet(tau)[1]

    def gradient(self, tau: Tensor) -> Tensor:
        """Compute Q - tau^-1, (..., n, n)."""
        return self.Q - torch.linalg.inv_ex(tau)[0]

    def frame_gradient(self, A: Tensor) -> Tensor:
        """Compute A^T Q A - I, (..., n, n)."""
        return A.mT @ self.Q @ A - torch.eye(self.n, dtype=A.dtype, device=A.device)


class MetricNearness(SPDProblem):
    r"""The function (1/2N) sum_i |tau Q x_i - x_i|^2 of samples x_i, with its minimum 0 at tau = Q^-1.

    It asks for the matrix that undoes Q on the samples, in the least-squares sense. It is ill-conditioned in
    the affine-invariant metric: its second derivative grows with the square of Q.

    Args:
        Q: SPD matrix, shape (n, n).
        samples: Samples, shape (N, n), N >= n for a unique minimum.

    Raises:
        ValueError: If Q is not SPD or the samples have another number of columns.

    Example:
        >>> import torch
        >>> problem = MetricNearness(2 * torch.eye(2), torch.randn(10, 2))
        >>> problem.value(torch.eye(2) / 2)
        tensor(0.)
    """

    def __init__(self, Q: Tensor, samples: Tensor) -> None:
        self.Q = spd_matrices(Q, Q.shape[-1], "Q")
        self.n = Q.shape[-1]
        if samples.ndim != 2 or samples.shape[1] != self.n:
            raise ValueError(f"samples: expected shape (N, {self.n}), got {tuple(samples.shape)}")
        self.second_moment = samples.mT @ samples / len(samples)

    @property
    def minimiser(self) -> Tensor:
        """Q^-1."""
        return torch.linalg.inv(self.Q)

    @property
    def minimum(self) -> float:
        """The least value, 0."""
        return 0.0

    @classmethod
    def random(cls, n: int, condition: float, generator: torch.Generator | None = None) -> MetricNearness:
        """Draw Q as ``LogDeterminant.random`` does, then 10 n standard normal samples, float64."""
        Q = log_spaced(n, condition, generator)
        return cls(Q, torch.randn(n, 10 * n, generator=generator, dtype=torch.float64).mT)

    def value(self, tau: Tensor) -> Tensor:
        """Compute the function, (..., n, n) to (...)."""
        return 0.5 * (self._residual(tau) @ self.second_moment * self._residual(tau)).sum((-2, -1))

    def gradient(self, tau: Tensor) -> Tensor:
        """Compute the symmetric part of (tau Q - I) S Q, S the second moment of the samples, (..., n, n)."""
        g = self._residual(tau) @ self.second_moment @ self.Q
        return 0.5 * (g + g.mT)

    def _residual(self, tau: Tensor) -> Tensor:
        return tau @ self.Q - torch.eye(self.n, dtype=tau.dtype, device=tau.device)


def log_spaced(n: int, condition: float, generator: torch.Generator | None = None) -> Tensor:
    """Draw an SPD matrix with eigenvalues log-spaced in [condition^-1/2, condition^1/2].

    Args:
        n: Number of rows.
        condition: Condition number.
        generator: Source of randomness.

    Returns:
        The matrix, float64, shape (n, n).

    Raises:
        ValueError: If n or the condition is out of range.
    """
    if n < 1:
        raise ValueError(f"n: expected a number of rows >= 1, got {n!r}")
    if not condition >= 1:
        raise ValueError(f"condition: expected a number >= 1, got {condition!r}")
    U = torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64))[0]
    half = 0.5 * math.log(condition)
    Q = U * torch.linspace(-half, half, n, dtype=torch.float64).exp() @ U.mT
    return 0.5 * (Q + Q.mT)
