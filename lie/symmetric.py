"""Functions of symmetric matrices, right in value and derivatives where eigenvalues are equal.

    >>> import torch
    >>> from lie import symmetric
    >>> X = torch.eye(2, dtype=torch.float64, requires_grad=True)
    >>> symmetric.log(X).sum().backward()
    >>> X.grad
    tensor([[1., 1.],
            [1., 1.]], dtype=torch.float64)

Each takes matrices X (..., n, n), uses their symmetric part and returns V f(d) V^T for eigenvalues d and
eigenvectors V, at the price of one ``torch.linalg.eigh``. The gradient is symmetric. First and second
derivatives hold in reverse and forward mode, under the transforms of ``torch.func`` and ``torch.compile``, at
any eigenvalues (Daleckii and Krein 1965; Higham, Functions of Matrices, section 3.2). A third derivative is
refused with ``NotImplementedError``; under ``torch.compile`` it is not finite. Inside ``torch.compile`` the
second derivative is prepared with every call, which takes n^3 numbers for each matrix.

``check=True`` reads values and refuses matrices that are not symmetric up to a thousandth of their largest
entry, or, for all but ``exp``, not positive definite: the smallest eigenvalue must exceed the rounding error
of the largest. With ``check=False``, and inside transforms, the answer is NaN where there is none.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ._checks import require_shape
from ._constants import is_readable
from ._divided_differences import EXP, INVERSE_SQRT, LOG, SQRT, Power, Scalar
from ._manifold import MEMBER_TOLERANCE, first_bad
from ._spectral import assemble, decompose, decompose_near_identity, spectral, symmetrised

__all__ = ["exp", "inverse_sqrt", "log", "power", "sqrt"]


def exp(X: Tensor, *, check: bool = True) -> Tensor:
    """Compute the exponential of symmetric matrices.

    Args:
        X: Symmetric matrices, shape (..., n, n).
        check: Whether symmetry is checked.

    Returns:
        Positive definite matrices, shape (..., n, n).

    Raises:
        ValueError: If X is not square or, with ``check``, not symmetric or not finite.
        TypeError: If the dtype is neither float32 nor float64.
    """
    _require_square(X)
    if check and is_readable(X):
        _require_symmetric(X, "X")
    return spectral(EXP, X)


def log(X: Tensor, *, check: bool = True) -> Tensor:
    """Compute the logarithm of positive definite matrices.

    Args:
        X: Positive definite matrices, shape (..., n, n).
        check: Whether symmetry and positivity are checked.

    Returns:
        Symmetric matrices, shape (..., n, n).

    Raises:
        ValueError: If X is not square or, with ``check``, not symmetric or not positive definite.
        TypeError: If the dtype is neither float32 nor float64.
    """
    return _of_positive(LOG, X, check)


def sqrt(X: Tensor, *, check: bool = True) -> Tensor:
    """Compute the positive definite square root of positive definite matrices.

    Args:
        X: Positive definite matrices, shape (..., n, n).
        check: Whether symmetry and positivity are checked.

    Returns:
        Positive definite matrices, shape (..., n, n).

    Raises:
        ValueError: If X is not square or, with ``check``, not symmetric or not positive definite.
        TypeError: If the dtype is neither float32 nor float64.
    """
    return _of_positive(SQRT, X, check)


def inverse_sqrt(X: Tensor, *, check: bool = True) -> Tensor:
    """Compute the inverse of the positive definite square root.

    Args:
        X: Positive definite matrices, shape (..., n, n).
        check: Whether symmetry and positivity are checked.

    Returns:
        Positive definite matrices, shape (..., n, n).

    Raises:
        ValueError: If X is not square or, with ``check``, not symmetric or not positive definite.
        TypeError: If the dtype is neither float32 nor float64.
    """
    return _of_positive(INVERSE_SQRT, X, check)


def power(X: Tensor, p: float, *, check: bool = True) -> Tensor:
    """Compute the real power X^p = exp(p log X) of positive definite matrices.

    It does not differentiate with respect to p; ``exp(p * log(X))`` does.

    Args:
        X: Positive definite matrices, shape (..., n, n).
        p: The exponent, a number.
        check: Whether symmetry and positivity are checked.

    Returns:
        Positive definite matrices, shape (..., n, n).

    Raises:
        ValueError: If X is not square or, with ``check``, not symmetric or not positive definite.
        TypeError: If the dtype is neither float32 nor float64, or p is no number.
    """
    if isinstance(p, Tensor) or not isinstance(p, int | float):
        raise TypeError(
            f"p must be a number, got {type(p).__name__}; for an exponent in a tensor use "
            "symmetric.exp(p * symmetric.log(X))."
        )
    return _of_positive(Power(float(p)), X, check)


def _require_symmetric(X: Tensor, name: str, tol: float = MEMBER_TOLERANCE) -> None:
    """Refuse matrices that are not finite or differ from their transposes. It reads values.

    Args:
        X: Matrices, shape (..., n, n).
        name: Name of the argument.
        tol: Largest difference accepted, as a share of the largest entry.

    Raises:
        ValueError: If a matrix is refused.
    """
    X = X.detach()
    finite = torch.isfinite(X).all(-1).all(-1)
    if not bool(finite.all()):
        raise ValueError(f"{first_bad(finite, name)[0]} has entries that are not finite.")
    defect = (X - X.mT).abs().amax((-2, -1))
    good = defect <= tol * X.abs().amax((-2, -1))
    if not bool(good.all()):
        where, index = first_bad(good, name)
        raise ValueError(
            f"{where} is not symmetric: it differs from its transpose by {float(defect[index]):.3g}. "
            f"Pass its symmetric part, 0.5 * ({name} + {name}.mT), if that is what you mean."
        )


def _not_positive(where: str, name: str, n: int, smallest: float, largest: float) -> ValueError:
    """Make the refusal of a matrix that is not positive definite.

    Args:
        where: The matrix, with its place in the batch.
        name: Name of the argument.
        n: Number of rows.
        smallest: Smallest eigenvalue.
        largest: Largest eigenvalue.

    Returns:
        The error to raise.
    """
    return ValueError(
        f"{where} is not positive definite: its eigenvalues run from {smallest:.3g} to {largest:.3g}; the "
        f"smallest must exceed the rounding error of the largest. Bring it back with "
        f"lie.SPD({n}).project, or add a multiple of the identity to {name}."
    )


def _of_positive(function: Scalar, X: Tensor, check: bool) -> Tensor:
    _require_square(X)
    S = symmetrised(X)
    if function is LOG:
        d, V, values = decompose_near_identity(S)
    else:
        d, V = decompose(S)
        values = function.value(d)
    if check and is_readable(X):
        _require_symmetric(X, "X")
        smallest, largest = d[..., 0], d[..., -1]
        good = smallest > torch.finfo(d.dtype).eps * largest.abs()
        if not bool(good.all()):
            where, index = first_bad(good, "X")
            raise _not_positive(where, "X", X.shape[-1], float(smallest[index]), float(largest[index]))
    return assemble(function, S, d, V, values)


def _require_square(X: Tensor) -> None:
    n = X.shape[-1] if X.ndim else 0
    if n == 0:
        raise ValueError(f"X must be symmetric matrices of shape (..., n, n), n > 0, got {tuple(X.shape)}.")
    require_shape(X, (n, n), "X", "symmetric matrices")
