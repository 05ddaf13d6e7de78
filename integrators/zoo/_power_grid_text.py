"""The constraints of a power grid as expressions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Matrix = Sequence[Sequence[float]]


def constraint_texts(
    conductance: Matrix, susceptance: Matrix, loads: Mapping[int, Sequence[float]], slack: int
) -> dict[str, str]:
    """Write what loads feed in beyond their power, and the slack bus beyond 1.

    Args:
        conductance: Real part of the admittance matrix.
        susceptance: Its imaginary part.
        loads: Active and reactive power fed in, by the number of the bus from 0.
        slack: Number of the slack bus from 0.

    Returns:
        Expressions of ``x1, x2, ...``, real parts of the voltages before imaginary ones, by name.
    """
    n, texts = len(conductance), {}
    currents = {bus: _current(conductance[bus], susceptance[bus]) for bus in loads}
    for bus, (active, _) in loads.items():
        real, imaginary = currents[bus]
        texts[f"active{bus + 1}"] = f"x{bus + 1}*({real}) + x{bus + 1 + n}*({imaginary}) - ({active!r})"
    for bus, (_, reactive) in loads.items():
        real, imaginary = currents[bus]
        texts[f"reactive{bus + 1}"] = f"x{bus + 1 + n}*({real}) - x{bus + 1}*({imaginary}) - ({reactive!r})"
    return texts | {"slack": f"x{slack + 1} - 1", "slack_angle": f"x{slack + 1 + n}"}


def _current(conductance: Sequence[float], susceptance: Sequence[float]) -> tuple[str, str]:
    """Real and imaginary part of a current, from a row of the admittance matrix."""
    n, real, imaginary = len(conductance), [], []
    for k, (g, b) in enumerate(zip(conductance, susceptance, strict=True)):
        real += [f"({value!r})*x{k + 1 + shift}" for value, shift in ((g, 0), (-b, n)) if value]
        imaginary += [f"({value!r})*x{k + 1 + shift}" for value, shift in ((b, 0), (g, n)) if value]
    return " + ".join(real), " + ".join(imaginary)
