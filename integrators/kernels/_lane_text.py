"""Text of the functions between the work array of one block of trajectories and the arrays of the batch.

They know nothing of the loop over steps, so that every target has the same ones; ``L = 1`` is one trajectory.
"""

from __future__ import annotations

ROWS_TEXT = """
def read_rows(A, first, size, X, base, live):
    for l in range(L):
        for r in range(size):
            A[(first + r) * L + l] = X[base + min(l, live - 1), r]


def write_rows(A, first, size, X, base, live):
    for l in range(live):
        for r in range(size):
            X[base + l, r] = A[(first + r) * L + l]


def load_controls(A, U, k, base, live):
    if U.shape[0] > 1 or (k == 0 and U.shape[0] == 1):
        for l in range(L):
            lane = min(base + min(l, live - 1), U.shape[1] - 1)
            for r in range(U.shape[2]):
                A[(CONTROL + r) * L + l] = U[k, lane, r]


def record(A, P, done, n, stride, X, observe_stride, O, base, live):
    if stride > 0 and n % stride == 0:
        finish(A, P)
        row = n // stride - done // stride - 1
        write_rows(A, STATE, STATE_SIZE, X[row], base, live)
    if observe_stride > 0 and n % observe_stride == 0:
        observe(A, P)
        row = n // observe_stride - done // observe_stride - 1
        write_rows(A, OBSERVED, OBSERVED_SIZE, O[row], base, live)
"""
"""Copies between the rows of a block and arrays: ``X`` of states, ``O`` of observations, ``U`` of controls.

``base`` is the first trajectory of the block, ``live`` the number of its lanes that are no padding.
"""

NO_VERDICT_TEXT = """
def clear_verdict(A):
    pass


def read_verdict(A, l):
    return 0


def worst_verdict(A):
    return 0
"""
"""For steps that cannot fail."""

VERDICT_TEXT = """
def clear_verdict(A):
    for l in range(L):
        A[VERDICT * L + l] = 0.0


def read_verdict(A, l):
    return int(A[VERDICT * L + l])


def worst_verdict(A):
    worst = 0.0
    for l in range(L):
        worst = max(worst, A[VERDICT * L + l])
    return worst
"""
"""For steps that leave a ``Status`` in a row."""


def split(text: str) -> list[str]:
    """Take a text of several functions apart.

    Args:
        text: Functions with two empty lines between them.

    Returns:
        The text of each.
    """
    return text.strip().split("\n\n\n")
