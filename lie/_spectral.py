"""Functions of symmetric matrices through their eigenvalues, differentiated without the eigenvectors.

The derivative of eigenvectors has a pole where eigenvalues meet, the derivative of f(X) has none. In the
basis V of eigenvectors, with eigenvalues d (Daleckii and Krein 1965; Bhatia, Matrix Analysis, theorem V.3.3;
Higham, Functions of Matrices, theorem 3.11)

    (D f(X)[H])_ij      = f[d_i, d_j] H_ij
    (D^2 f(X)[G, H])_ij = sum over k of f[d_i, d_k, d_j] (G_ik H_kj + H_ik G_kj)

with divided differences of f, which are smooth. All of them are self-adjoint up to transposes, so that one
``autograd.Function`` is its own derivative up to the second order. Functions with a forward mode cannot be
traced by ``torch.compile``: there the Taylor polynomial of second order about X, an ordinary program, stands
in. It costs n^3 numbers of memory, where the function needs n^2.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ._divided_differences import LOG, Scalar
from ._linalg import product

_BLOCK = 2**18  # entries of the table of second differences made at once


def symmetrised(X: Tensor) -> Tensor:
    """Compute (X + X^T) / 2.

    Args:
        X: Shape (..., n, n).

    Returns:
        The symmetric part, shape (..., n, n).
    """
    return 0.5 * (X + X.mT)


def decompose(X: Tensor) -> tuple[Tensor, Tensor]:
    """Compute eigenvalues and eigenvectors of a symmetric matrix, not differentiable.

    Args:
        X: Symmetric, shape (..., n, n).

    Returns:
        Eigenvalues d, shape (..., n), ascending, NaN where X is not finite, and eigenvectors in the columns
        of V, shape (..., n, n).
    """
    X = X.detach()
    finite = torch.isfinite(X).all(-1, keepdim=True).all(-2, keepdim=True)
    d, V = torch.linalg.eigh(torch.where(finite, X, 0))
    return torch.where(finite.squeeze(-1), d, torch.nan), V


def decompose_near_identity(X: Tensor, excess: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Compute eigenvalues and their logarithms, which keep relative accuracy for X near the identity.

    Args:
        X: Symmetric, shape (..., n, n).
        excess: X - I, where it is known to more digits than the subtraction gives.

    Returns:
        Eigenvalues d and eigenvectors V as from ``decompose``, and log d, shape (..., n).
    """
    X = X.detach()
    excess = X - torch.eye(X.shape[-1], dtype=X.dtype, device=X.device) if excess is None else excess.detach()
    near = excess.abs().sum(-1, keepdim=True).amax(-2, keepdim=True) < 0.5
    e, V = decompose(torch.where(near, excess, X))
    near = near.squeeze(-1)
    return torch.where(near, 1 + e, e), V, torch.where(near, e, 0).log1p() + torch.where(near, 1, e).log()


def spectral(function: Scalar, X: Tensor) -> Tensor:
    """Compute f(X) = V f(d) V^T, right with its first and second derivatives.

    Args:
        function: The function f.
        X: Symmetric, shape (..., n, n). The gradient is symmetric too.

    Returns:
        The matrix function, shape (..., n, n).
    """
    X = symmetrised(X)
    d, V = decompose(X)
    return assemble(function, X, d, V, function.value(d))


def spectral_value(function: Scalar, X: Tensor) -> Tensor:
    """Compute f(X) without derivatives.

    Args:
        function: The function f.
        X: Symmetric, shape (..., n, n).

    Returns:
        The matrix function, shape (..., n, n).
    """
    d, V = decompose(X)
    return product(V * function.value(d).unsqueeze(-2), V.mT)


def logarithm(X: Tensor, excess: Tensor | None = None) -> Tensor:
    """Compute log X with relative accuracy near the identity.

    Args:
        X: Positive definite, shape (..., n, n).
        excess: X - I, where it is known to more digits than the subtraction gives.

    Returns:
        The logarithm, shape (..., n, n).
    """
    X = symmetrised(X)
    return assemble(LOG, X, *decompose_near_identity(X, excess))


def assemble(function: Scalar, X: Tensor, d: Tensor, V: Tensor, values: Tensor) -> Tensor:
    """Compute V f(d) V^T with the derivatives of f(X).

    Args:
        function: The function f.
        X: Symmetric, shape (..., n, n).
        d: Eigenvalues of X, shape (..., n), not differentiable.
        V: Eigenvectors of X, shape (..., n, n), not differentiable.
        values: f(d), shape (..., n).

    Returns:
        The matrix function, shape (..., n, n).
    """
    if torch.compiler.is_compiling():
        return _taylor(function, X, d, V, values)
    result: Tensor = _Derivative.apply(function, X, d, V, values)
    return result


def _table(function: Scalar, d: Tensor) -> Tensor:
    return function.first(d.unsqueeze(-1), d.unsqueeze(-2))


def _second(function: Scalar, d: Tensor, g: Tensor, h: Tensor) -> Tensor:
    """Sum f[d_i, d_k, d_j] (g_ik h_kj + h_ik g_kj) over k, in blocks of k."""
    n = d.shape[-1]
    total = torch.zeros_like(g)
    size = max(1, _BLOCK // max(1, n * d.numel()))
    for start in range(0, n, size):
        part = slice(start, start + size)
        table = function.second(d[..., :, None, None], d[..., None, part, None], d[..., None, None, :])
        left, right = table * g[..., :, part, None], table * h[..., :, part, None]
        total = total + (left * h[..., None, part, :] + right * g[..., None, part, :]).sum(-2)
    return total


def _taylor(function: Scalar, X: Tensor, d: Tensor, V: Tensor, values: Tensor) -> Tensor:
    change = product(product(V.mT, X), V)
    change = change - change.detach()  # zero, with the derivative of X
    second = function.second(d[..., :, None, None], d[..., None, :, None], d[..., None, None, :])
    quadratic = (second * change.unsqueeze(-1) * change.unsqueeze(-3)).sum(-2)
    unknown = change.pow(2.5)  # two derivatives are zero, the third is infinite: better than wrong
    inner = torch.diag_embed(values) + _table(function, d) * change + quadratic + unknown
    return product(product(V, inner), V.mT)


class _Derivative(torch.autograd.Function):
    """D^k f(X)[H_1, ..., H_k] for k = 0, 1, 2, given X, its eigenvalues d, eigenvectors V and f(d)."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        function: Scalar, X: Tensor, d: Tensor, V: Tensor, values: Tensor, *directions: Tensor
    ) -> Tensor:
        if not directions:
            return product(V * values.unsqueeze(-2), V.mT)
        inner = [product(product(V.mT, H), V) for H in directions]
        if len(inner) == 1:
            middle = _table(function, d) * inner[0]
        elif len(inner) == 2:
            middle = _second(function, d, *inner)
        else:
            raise NotImplementedError(
                "Functions of symmetric matrices have first and second derivatives; a third was asked for. "
                "For exp, torch.linalg.matrix_exp has derivatives of any order."
            )
        return product(product(V, middle), V.mT)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.function = inputs[0]
        ctx.save_for_backward(*inputs[1:])
        ctx.save_for_forward(*inputs[1:])
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor | None) -> tuple[Tensor | None, ...]:
        X, d, V, values, *directions = ctx.saved_tensors
        count = len(directions)
        if cotangent is None:
            return (None,) * (5 + count)
        wanted = ctx.needs_input_grad

        def adjoint(*others: Tensor) -> Tensor:
            turned = (H.mT for H in others)
            result: Tensor = _Derivative.apply(ctx.function, X, d, V, values, cotangent, *turned)
            return result

        slopes = [
            adjoint(*directions[:k], *directions[k + 1 :]) if wanted[5 + k] else None for k in range(count)
        ]
        return (None, adjoint(*directions) if wanted[1] else None, None, None, None, *slopes)

    @staticmethod
    def jvp(
        ctx: Any, _f: None, tangent: Tensor | None, _d: None, _v: None, _a: None, *tangents: Tensor | None
    ) -> Tensor | None:
        X, d, V, values, *directions = ctx.saved_tensors

        def along(*directions: Tensor) -> Tensor:
            result: Tensor = _Derivative.apply(ctx.function, X, d, V, values, *directions)
            return result

        terms = [] if tangent is None else [along(*directions, tangent)]
        for k, moved in enumerate(tangents):
            if moved is not None:
                terms.append(along(*directions[:k], moved, *directions[k + 1 :]))
        return sum(terms[1:], terms[0]) if terms else None
