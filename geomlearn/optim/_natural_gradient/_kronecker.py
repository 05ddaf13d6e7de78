"""The inverse-free update of two Kronecker factors of a preconditioner, on compact storage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from lie import StructuredFactor

VARIANTS = ("ikfac", "ingd")
STARTS = ("scaled", "identity")
TRUNCATIONS = ("h1", "h2")


@dataclass(frozen=True)
class KroneckerRule:
    """How the factors K of the inputs and C of the output gradients move.

    With m the momentum, N = -rate m, shortened until its 2-norm is at most ``step_bound``, and K <- K h(N).

    Attributes:
        variant: "ikfac", where (K K^T)^-1 follows the running average of the second moment U of the inputs,
            plus damping, to first order in the rate; or "ingd", where K K^T (x) C C^T descends the
            Kullback-Leibler divergence to the inverse of U (x) G + damping, the two factors sharing scales.
        rate: Step size beta_1 of the factors, above 0 and at most 1.
        momentum: alpha_1 in [0, 1), for "ingd" only; None means 0.5 there.
        damping: lambda, at least 0.
        h: Approximation of the exponential: "h1", I + N, or "h2", I + N + N^2/2, with which a factor stays
            invertible whatever the step.
        step_bound: Largest 2-norm of N, by an upper estimate; None for no bound. Above 2, directions that
            should shrink grow, and with "h1" it must be below 1 or K may become singular.
        start: "scaled", where the first curvature that is seen says which multiples of the identity the
            factors start from; or "identity".

    Raises:
        ValueError: If a value is out of range.

    Examples:
        >>> KroneckerRule("ingd", rate=0.1).alpha
        0.5
    """

    variant: str = "ikfac"
    rate: float = 0.05
    momentum: float | None = None
    damping: float = 1e-2
    h: str = "h2"
    step_bound: float | None = 0.5
    start: str = "scaled"

    def __post_init__(self) -> None:
        if self.variant not in VARIANTS:
            raise ValueError(
                f"variant must be one of {', '.join(map(repr, VARIANTS))}, got {self.variant!r}."
            )
        if self.h not in TRUNCATIONS:
            raise ValueError(f"h must be one of {', '.join(map(repr, TRUNCATIONS))}, got {self.h!r}.")
        if self.start not in STARTS:
            raise ValueError(f"start must be one of {', '.join(map(repr, STARTS))}, got {self.start!r}.")
        if not 0 < self.rate <= 1:
            raise ValueError(f"rate must be above 0 and at most 1, got {self.rate!r}.")
        if not self.damping >= 0:
            raise ValueError(f"damping must be 0 or more, got {self.damping!r}.")
        self._check_momentum()
        self._check_bound()

    def _check_momentum(self) -> None:
        if self.momentum is None:
            return
        if self.variant == "ikfac" and self.momentum != 0:
            raise ValueError(
                f'momentum of the factors belongs to variant="ingd", got {self.momentum!r} with "ikfac", '
                "whose running average needs none: leave it out."
            )
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum must be at least 0 and below 1, got {self.momentum!r}.")

    def _check_bound(self) -> None:
        bound = self.step_bound
        if bound is None:
            if self.h == "h1":
                raise ValueError(
                    'h="h1" without a step_bound lets a factor become singular: set a step_bound below 1, '
                    'or h="h2".'
                )
            return
        top = 1.0 if self.h == "h1" else 2.0
        if not 0 < bound < top:
            raise ValueError(
                f"step_bound must be above 0 and below {top:g} with h={self.h!r}, got {bound!r}."
            )

    @property
    def alpha(self) -> float:
        """The momentum in use."""
        if self.variant == "ikfac":
            return 0.0
        return 0.5 if self.momentum is None else self.momentum


class KroneckerFactors(NamedTuple):
    """The factors of the preconditioner (K K^T) (x) (C C^T) of one layer, as stored numbers.

    Attributes:
        K: Factor of the inputs, shape (memory,); empty where the layer has the other factor alone.
        C: Factor of the output gradients, shape (memory,).
        m_K: Momentum of K, like K, or None without momentum.
        m_C: Momentum of C, like C, or None without momentum.
    """

    K: Tensor
    C: Tensor
    m_K: Tensor | None
    m_C: Tensor | None


def kronecker_start(
    inputs: StructuredFactor | None,
    outputs: StructuredFactor,
    rule: KroneckerRule,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str | None = None,
) -> KroneckerFactors:
    """Make the factors that a layer starts with: identities.

    Args:
        inputs: Structure of K; None for a layer with one factor.
        outputs: Structure of C.
        rule: How they will move, which says whether there is momentum.
        dtype: Their dtype, torch.float32 or torch.float64.
        device: Their device.

    Returns:
        The factors.

    Raises:
        TypeError: If the dtype is neither float32 nor float64.
    """
    if dtype not in (torch.float32, torch.float64):
        raise TypeError(
            f"dtype of factors must be torch.float32 or torch.float64, got {dtype}: in half precision the "
            "steps of a factor are lost in rounding. Rows and gradients may be in any precision."
        )
    if inputs is None:
        K = torch.empty(0, dtype=dtype, device=device)
    else:
        K = inputs.packed.identity(dtype=dtype, device=device)
    C = outputs.packed.identity(dtype=dtype, device=device)
    if rule.alpha == 0:
        return KroneckerFactors(K, C, None, None)
    return KroneckerFactors(K, C, torch.zeros_like(K), torch.zeros_like(C))


def kronecker_scaled(
    inputs: StructuredFactor | None,
    outputs: StructuredFactor,
    factors: KroneckerFactors,
    H_K: Tensor,
    H_C: Tensor,
    rule: KroneckerRule,
) -> tuple[KroneckerFactors, Tensor, Tensor]:
    """Scale factors that are identities so that the update by the curvature that they see has no trace.

    With t the average of a trace over the rows, u = t(U), g = t(G): K K^T = I / (u + damping) and
    C C^T = I / (g + damping) for "ikfac", I / u and I / (g + damping / u) for "ingd", the same as for "ikfac"
    where there is one factor.

    Args:
        inputs: Structure of K; None for a layer with one factor.
        outputs: Structure of C.
        factors: Identities.
        H_K: Pi(U), stored numbers (memory,).
        H_C: Pi(G), stored numbers (memory,).
        rule: How factors move.

    Returns:
        The factors, and H_K and H_C seen through them.
    """
    g = _mean_trace(outputs, H_C)
    if inputs is None:
        scale = _inverse_root(g + rule.damping)
        return factors._replace(C=scale * factors.C), H_K, scale.square() * H_C
    u = _mean_trace(inputs, H_K)
    if rule.variant == "ikfac":
        k, c = _inverse_root(u + rule.damping), _inverse_root(g + rule.damping)
    else:
        k = _inverse_root(u)
        c = _inverse_root(g + rule.damping * k.square())
    return factors._replace(K=k * factors.K, C=c * factors.C), k.square() * H_K, c.square() * H_C


def _inverse_root(x: Tensor) -> Tensor:
    """x^(-1/2), and 1 for 0."""
    return torch.where(x > 0, x, torch.ones_like(x)).rsqrt()


def kronecker_update(
    inputs: StructuredFactor | None,
    outputs: StructuredFactor,
    factors: KroneckerFactors,
    H_K: Tensor,
    H_C: Tensor,
    rule: KroneckerRule,
) -> KroneckerFactors:
    """Move both factors by one step, from curvature seen through them.

    With t the average of a trace over the rows, K2 = Pi(K^T K) and C2 = Pi(C^T C), the gradients are
    (H_K + damping K2 - I) / 2 for "ikfac" and (t(H_C) H_K + damping t(C2) K2 - I) / 2 for "ingd", likewise
    for C; both move from the old pair.

    Args:
        inputs: Structure of K; None for a layer with one factor, of which both variants are then the same.
        outputs: Structure of C.
        factors: The factors.
        H_K: Pi(K^T U K), with U the second moment of the inputs, stored numbers (memory,).
        H_C: Pi(C^T G C), with G that of the gradients of the samples' losses by the outputs.
        rule: How they move.

    Returns:
        The moved factors, new tensors.
    """
    K, C, m_K, m_C = factors
    C2 = outputs.packed.own_gram(C)
    if inputs is None:
        C, m_C = _moved(outputs, C, m_C, H_C + rule.damping * C2, rule)
        return KroneckerFactors(K, C, m_K, m_C)
    K2 = inputs.packed.own_gram(K)
    if rule.variant == "ikfac":
        g_K = H_K + rule.damping * K2
        g_C = H_C + rule.damping * C2
    else:
        g_K = _mean_trace(outputs, H_C) * H_K + rule.damping * _mean_trace(outputs, C2) * K2
        g_C = _mean_trace(inputs, H_K) * H_C + rule.damping * _mean_trace(inputs, K2) * C2
    K, m_K = _moved(inputs, K, m_K, g_K, rule)
    C, m_C = _moved(outputs, C, m_C, g_C, rule)
    return KroneckerFactors(K, C, m_K, m_C)


def kronecker_direction(
    inputs: StructuredFactor | None, outputs: StructuredFactor, factors: KroneckerFactors, gradient: Tensor
) -> Tensor:
    """Compute the preconditioned gradient C C^T grad K K^T.

    Args:
        inputs: Structure of K; None for a layer with one factor.
        outputs: Structure of C.
        factors: The factors.
        gradient: Gradient, shape (d_o, d_i); (d_o, 1) for a layer with one factor.

    Returns:
        The direction, shape (d_o, d_i), in the dtype of the factors.
    """
    direction = _both(outputs, factors.C, gradient.to(factors.C.dtype))
    return direction if inputs is None else _both(inputs, factors.K, direction.mT).mT


def _both(structure: StructuredFactor, stored: Tensor, columns: Tensor) -> Tensor:
    """A A^T X."""
    packed = structure.packed
    return packed.multiply(stored, packed.multiply(stored, columns, transpose=True))


def _mean_trace(structure: StructuredFactor, stored: Tensor) -> Tensor:
    return structure.packed.trace(stored) / structure.n


def _moved(
    structure: StructuredFactor, stored: Tensor, momentum: Tensor | None, seen: Tensor, rule: KroneckerRule
) -> tuple[Tensor, Tensor | None]:
    """Move a factor by the gradient (M - I) / 2, from M."""
    packed = structure.packed
    gradient = packed.shift(seen, -1.0)
    if momentum is not None:
        gradient = momentum = rule.alpha * momentum + 0.5 * gradient
    length = rule.rate if momentum is not None else 0.5 * rule.rate
    step = -length * gradient
    if rule.step_bound is not None:
        step = step * (rule.step_bound / packed.norm_bound(step)).clamp(max=1.0)
    return packed.chart(stored, step, rule.h), momentum
