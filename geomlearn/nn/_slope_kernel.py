"""Compiled code for the input gradient of a small perceptron and for the transposed derivative of that."""

from __future__ import annotations

from functools import cache
from types import ModuleType

from integrators.kernels import ACTIVATIONS, load_source, module_source

LANES = 32

_CURVATURES = {
    "tanh": "-2.0 * y * (1.0 - y * y)",
    "silu": "g * (1.0 - g) * (2.0 + s * (1.0 - 2.0 * g))",
    "softplus": "g * (1.0 - g)",
    "sin": "-y",
}
"""Second derivative in terms of ``s``, the value ``y`` and ``g = logistic(s)``."""

# Values of L samples at a time are columns of A: rows of the inputs, then for the hidden units the values,
# slopes, cotangents, and curvatures times what came back from the layer above. P holds the matrices of all
# layers, then the biases of the hidden ones. B holds the reverse: cotangents of what came back, then of s.
_SOURCE = """
def add_product(A, row, B, first, count, P, place, stride):
    j = 0
    while j + 4 <= count:
        w0 = P[place + j * stride]
        w1 = P[place + (j + 1) * stride]
        w2 = P[place + (j + 2) * stride]
        w3 = P[place + (j + 3) * stride]
        k = first + j
        for l in range(L):
            A[row, l] += w0 * B[k, l] + w1 * B[k + 1, l] + w2 * B[k + 2, l] + w3 * B[k + 3, l]
        j += 4
    while j < count:
        w = P[place + j * stride]
        for l in range(L):
            A[row, l] += w * B[first + j, l]
        j += 1


def fill(A, row, value):
    for l in range(L):
        A[row, l] = value


def activate(A, row, units):
    for l in range(L):
        s = A[row, l]
        g = {logistic}
        y = {value}
        A[row, l] = y
        A[row + units, l] = {slope}
        A[row + 3 * units, l] = {curvature}


def slope_all(X, P, sizes, K, G):
    depth = sizes.shape[0] - 1
    units = sizes[1:].sum()
    last = (sizes[1:] * sizes[:-1]).sum()
    T = np.empty((1, L))
    for block in range(K.shape[0]):
        A = K[block]
        base = block * L
        live = min(L, X.shape[0] - base)
        for r in range(sizes[0]):
            for l in range(L):
                A[r, l] = X[base + min(l, live - 1), r]
        w = 0
        b = last + sizes[depth]
        below = 0
        row = sizes[0]
        for k in range(depth):
            m = sizes[k]
            n = sizes[k + 1]
            for i in range(n):
                fill(A, row + i, P[b + i])
                add_product(A, row + i, A, below, m, P, w + i * m, 1)
                activate(A, row + i, units)
            w += m * n
            b += n
            below = row
            row += n
        row -= sizes[depth]
        for i in range(sizes[depth]):
            v = P[last + i]
            for l in range(L):
                A[row + 2 * units + i, l] = v * A[row + units + i, l]
                A[row + 3 * units + i, l] *= v
        for k in range(depth - 1, -1, -1):
            m = sizes[k]
            n = sizes[k + 1]
            w -= m * n
            back = row + 2 * units
            row -= m
            for j in range(m):
                fill(T, 0, 0.0)
                add_product(T, 0, A, back, n, P, w + j, m)
                if k > 0:
                    for l in range(L):
                        A[row + 2 * units + j, l] = T[0, l] * A[row + units + j, l]
                        A[row + 3 * units + j, l] *= T[0, l]
                else:
                    for l in range(live):
                        G[base + l, j] = T[0, l]


def slope_back_all(P, sizes, K, G_bar, X_bar, P_bar):
    depth = sizes.shape[0] - 1
    units = sizes[1:].sum()
    inputs = sizes[0]
    last = (sizes[1:] * sizes[:-1]).sum()
    T = np.empty((1, L))
    B = np.empty((inputs + 2 * units, L))
    D = np.zeros((P.shape[0], L))
    for block in range(K.shape[0]):
        A = K[block]
        base = block * L
        live = min(L, G_bar.shape[0] - base)
        for r in range(inputs):
            for l in range(L):
                B[r, l] = G_bar[base + l, r] if l < live else 0.0
        w = 0
        below = 0
        row = inputs
        for k in range(depth):
            m = sizes[k]
            n = sizes[k + 1]
            for i in range(n):
                fill(T, 0, 0.0)
                add_product(T, 0, B, below, m, P, w + i * m, 1)
                for l in range(L):
                    B[row + i, l] = T[0, l] * A[row + units + i, l]
                    B[row + units + i, l] = T[0, l] * A[row + 3 * units + i, l]
            w += m * n
            below = row
            row += n
        row -= sizes[depth]
        for i in range(sizes[depth]):
            for l in range(L):
                D[last + i, l] += B[row + i, l]
        b = P.shape[0]
        for k in range(depth - 1, -1, -1):
            m = sizes[k]
            n = sizes[k + 1]
            w -= m * n
            b -= n
            below = row - m
            for i in range(n):
                back = row + 2 * units + i
                arg = row + units + i
                for j in range(m):
                    for l in range(L):
                        D[w + i * m + j, l] += A[back, l] * B[below + j, l] + B[arg, l] * A[below + j, l]
                for l in range(L):
                    D[b + i, l] += B[row + units + i, l]
            for j in range(m):
                fill(T, 0, 0.0)
                add_product(T, 0, B, row + units, n, P, w + j, m)
                if k > 0:
                    for l in range(L):
                        B[below + units + j, l] += T[0, l] * A[below + units + j, l]
                else:
                    for l in range(live):
                        X_bar[base + l, j] = T[0, l]
            row = below
    for r in range(P.shape[0]):
        total = 0.0
        for l in range(L):
            total += D[r, l]
        P_bar[r] = total
"""


@cache
def slope_module(activation: str) -> ModuleType:
    """The compiled functions of an activation, for any number and width of layers.

    Args:
        activation: Name of the activation between the layers.

    Returns:
        A module with ``slope_all`` and ``slope_back_all``.
    """
    value, slope = ACTIVATIONS[activation]
    curvature = _CURVATURES[activation]
    needs_logistic = activation in ("silu", "softplus")
    source = _SOURCE.format(
        value=value, slope=slope, curvature=curvature, logistic="logistic(s)" if needs_logistic else "0.0"
    )
    return load_source(module_source(source.strip().split("\n\n\n"), LANES, 1))
