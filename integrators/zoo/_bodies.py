"""Point masses that attract each other."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..systems import Hamiltonian
from ._problem import Problem, positive


def n_body(
    masses: Sequence[float],
    positions: Sequence[Sequence[float]] | Tensor | None = None,
    velocities: Sequence[Sequence[float]] | Tensor | None = None,
    gravity: float = 1.0,
    duration: float = 10.0,
    units: tuple[str, str, str] = ("1", "1", "1"),
) -> Problem[Hamiltonian]:
    """Bodies under Newton's gravity, ``H = sum |p_j|^2 / (2 m_j) - sum G m_i m_j / |q_i - q_j|``.

    Positions and velocities are taken relative to the centre of mass, which therefore rests at the origin:
    ``centre_of_mass`` is an invariant beside ``momentum`` and ``angular_momentum``.

    Args:
        masses: Masses of the ``k`` bodies.
        positions: Rows of ``d = 2`` or 3 coordinates ``(k, d)``; None puts the bodies on the corners of a
            regular polygon of radius 1.
        velocities: Rows ``(k, d)``; needed with ``positions``. None makes the polygon turn as a whole if the
            masses are equal.
        gravity: Constant of gravity ``G`` in the units of the numbers.
        duration: Time span.
        units: Units of mass, length and time.

    Returns:
        The problem. The state has positions ``q1, q2, (q3)`` of the first body, then the next.

    Raises:
        ValueError: If the shapes do not agree or there are fewer than two bodies.
    """
    k = len(masses)
    if k < 2:
        raise ValueError(f"masses: expected at least 2, got {k}")
    positive(gravity=gravity, duration=duration, **{f"masses[{j}]": float(m) for j, m in enumerate(masses)})
    weights = torch.tensor([float(m) for m in masses], dtype=torch.float64)
    if (positions is None) != (velocities is None):
        raise ValueError("velocities: expected with positions, or neither")
    if positions is None or velocities is None:
        places, speeds = _polygon(weights, gravity)
    else:
        places, speeds = (torch.as_tensor(v, dtype=torch.float64) for v in (positions, velocities))
    d = places.shape[-1]
    if places.shape != (k, d) or speeds.shape != (k, d) or d not in (2, 3):
        raise ValueError(
            f"positions: expected {k} rows of 2 or 3 numbers, as for velocities, got {tuple(places.shape)} "
            f"and {tuple(speeds.shape)}"
        )
    places, speeds = (v - weights @ v / weights.sum() for v in (places, speeds))
    values = {"G": gravity} | {f"m{j}": float(m) for j, m in enumerate(masses, 1)}
    mass, length, time = units
    return Problem(
        f"{k} bodies",
        Hamiltonian(
            _energy(k, d),
            values,
            positions=[f"q{j}" for j in range(1, k * d + 1)],
            momenta=[f"p{j}" for j in range(1, k * d + 1)],
            invariants=_invariants(k, d),
            units=(length, f"{mass} {length}/{time}"),
        ),
        torch.cat((places.flatten(), (weights[:, None] * speeds).flatten())),
        duration=duration,
        units={
            "time": time,
            "q": length,
            "p": f"{mass} {length}/{time}",
            "energy": f"{mass} {length}^2/{time}^2",
        },
        source="Hairer, Lubich, Wanner, Geometric Numerical Integration, 2nd ed. 2006, section I.2.3",
        parameters=values,
        accuracy=1e-9,
    )


def _polygon(weights: Tensor, gravity: float) -> tuple[Tensor, Tensor]:
    """Corners of a regular polygon of radius 1, and velocities with which equal masses turn as a whole."""
    k = len(weights)
    angle = 2 * torch.pi * torch.arange(k, dtype=torch.float64) / k
    pull = gravity * weights.mean() / 4 * (1 / torch.sin(angle[1:] / 2)).sum()
    places = torch.stack((angle.cos(), angle.sin()), -1)
    return places, pull.sqrt() * torch.stack((-angle.sin(), angle.cos()), -1)


def _energy(k: int, d: int) -> str:
    def square(j: int) -> str:
        return " + ".join(f"{p}**2" for p in _row("p", j, d))

    def distance(i: int, j: int) -> str:
        both = zip(_row("q", i, d), _row("q", j, d), strict=True)
        return "sqrt(" + " + ".join(f"({a} - {b})**2" for a, b in both) + ")"

    kinetic = [f"({square(j)})/(2*m{j + 1})" for j in range(k)]
    pairs = [(i, j) for i in range(k) for j in range(i + 1, k)]
    potential = [f"G*m{i + 1}*m{j + 1}/{distance(i, j)}" for i, j in pairs]
    return " - ".join([" + ".join(kinetic), *potential])


def _row(letter: str, body: int, d: int) -> list[str]:
    """Names of the coordinates of one body."""
    return [f"{letter}{body * d + axis + 1}" for axis in range(d)]


def _invariants(k: int, d: int) -> dict[str, list[str]]:
    q, p = ([_row(letter, j, d) for j in range(k)] for letter in "qp")
    total = " + ".join(f"m{j + 1}" for j in range(k))
    weighted = [" + ".join(f"m{j + 1}*{q[j][a]}" for j in range(k)) for a in range(d)]
    planes = [(0, 1)] if d == 2 else [(1, 2), (2, 0), (0, 1)]
    return {
        "momentum": [" + ".join(p[j][a] for j in range(k)) for a in range(d)],
        "centre_of_mass": [f"({sum_})/({total})" for sum_ in weighted],
        "angular_momentum": [
            " + ".join(f"{q[j][a]}*{p[j][b]} - {q[j][b]}*{p[j][a]}" for j in range(k)) for a, b in planes
        ],
    }
