"""Whether matrices and functions are what a Poisson system needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations

import sympy
import torch
from torch import Tensor

from ._identity import vanishes

_STATES = 32


def require_symmetry(matrix: sympy.Matrix, sign: int, name: str) -> None:
    """Refuse a matrix that is not skew (``sign = -1``) or not symmetric.

    Args:
        matrix: The matrix.
        sign: What transposition multiplies it by.
        name: Name of the argument.

    Raises:
        ValueError: If an entry does not fit.
    """
    kind = "skew" if sign < 0 else "symmetric"
    for i in range(matrix.rows):
        for j in range(i + 1):
            if not vanishes(matrix[i, j] - sign * matrix[j, i]):
                raise ValueError(
                    f"{name}: expected a {kind} matrix, got {matrix[i, j]} at ({i}, {j}) and "
                    f"{matrix[j, i]} at ({j}, {i})"
                )


def require_jacobi(b: sympy.Matrix, variables: Sequence[sympy.Symbol], refuse: bool) -> bool:
    """Check the Jacobi identity of a skew matrix.

    Args:
        b: The matrix.
        variables: The variables.
        refuse: Whether to raise where it fails.

    Returns:
        Whether it holds.

    Raises:
        ValueError: If it fails, with the first triple where it does.
    """
    n = b.rows
    slopes = [sympy.diff(b, s) for s in variables]
    for i, j, k in combinations(range(n), 3):
        cyclic = ((i, j, k), (j, k, i), (k, i, j))
        defect = sum(
            (slopes[m][f, g] * b[m, h] for f, g, h in cyclic for m in range(n)), start=sympy.Integer(0)
        )
        if not vanishes(defect):
            if refuse:
                names = ", ".join(variables[m].name for m in (i, j, k))
                raise ValueError(
                    f"structure: the Jacobi identity fails for ({names}): the cyclic sum is "
                    f"{sympy.simplify(defect)}, not 0; correct the entries, or pass check_jacobi=False for a "
                    "system that only keeps its energy"
                )
            return False
    return True


def require_casimirs(
    b: sympy.Matrix, variables: Sequence[sympy.Symbol], casimirs: Mapping[str, sympy.Expr]
) -> None:
    """Refuse functions ``C`` without ``B grad C = 0``.

    Args:
        b: The structure matrix.
        variables: The variables.
        casimirs: Functions by name.

    Raises:
        ValueError: If one is no Casimir.
    """
    for name, c in casimirs.items():
        slopes = [sympy.diff(c, s) for s in variables]
        for i, s in enumerate(variables):
            rate = sum((b[i, j] * slopes[j] for j in range(b.rows)), start=sympy.Integer(0))
            if not vanishes(rate):
                raise ValueError(
                    f"casimirs[{name!r}]: B grad C must be 0, but its {s.name} entry is "
                    f"{sympy.simplify(rate)}; a quantity kept only by this energy belongs in invariants="
                )


def require_semidefinite(dissipation: Callable[[Tensor], Tensor], n: int, values: Tensor) -> None:
    """Refuse a dissipation that has a negative eigenvalue at one of 32 random states.

    Args:
        dissipation: The matrix as a function of states.
        n: Number of variables.
        values: Values of the parameters, for their dtype and device.

    Raises:
        ValueError: If it has one.
    """
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(_STATES, n, generator=generator, dtype=torch.float64).to(values)
    with torch.no_grad():
        d = dissipation(x)
        usable = torch.isfinite(d).all(-1).all(-1)
        roots = torch.linalg.eigvalsh(d[usable])
        slack = 1e3 * torch.finfo(d.dtype).eps * (1 + d[usable].abs().amax((-2, -1)))
    if bool((roots[:, :1] < -slack[:, None]).any()):
        worst = int(roots[:, 0].argmin())
        raise ValueError(
            f"dissipation: expected a positive semidefinite matrix, got the eigenvalue "
            f"{float(roots[worst, 0]):.3g} at x = {x[usable][worst].tolist()}"
        )
