"""Forces beside those of a Hamiltonian: inputs, friction, anything that pushes momenta."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sympy

from ._identity import vanishes
from ._parse import Expression, parse
from ._symbolic import TIME


@dataclass(frozen=True)
class Forcing:
    """What is added to ``p' = -dH/dq``, and what a splitting method must know about it.

    Attributes:
        forces: One expression for each momentum.
        free: The forces without friction, where ``exact``.
        rates: Friction coefficients ``c_i`` of ``-c_i p_i``, where ``exact``.
        exact: Whether each force is a function of positions, time and inputs, minus such a function times
            its own momentum, so that a kick has a closed form.
        conservative: Whether the forces, inputs held, have a potential.
        reversible: Whether they stay the same where momenta and time change their sign.
    """

    forces: list[sympy.Expr]
    free: list[sympy.Expr]
    rates: list[sympy.Expr]
    exact: bool
    conservative: bool
    reversible: bool


def parse_forces(
    forces: Mapping[str, Expression] | None, targets: Sequence[sympy.Symbol], kind: str
) -> dict[str, sympy.Expr]:
    """Read generalised forces.

    Args:
        forces: Expressions by the name of what they act on.
        targets: What they can act on.
        kind: What the targets are, in messages.

    Returns:
        The expressions by name.

    Raises:
        ValueError: If one acts on something else.
    """
    names = [s.name for s in targets]
    strangers = sorted(set(forces or {}) - set(names))
    if strangers:
        raise ValueError(
            f"forces: expected the {kind} {', '.join(names)} as keys, got {', '.join(map(str, strangers))}; "
            f'write {{"{names[0]}": expression}} for a force that acts on {names[0]}'
        )
    return {name: parse(e, f"forces[{name!r}]") for name, e in (forces or {}).items()}


def analyse(
    forces: Sequence[sympy.Expr], positions: Sequence[sympy.Symbol], momenta: Sequence[sympy.Symbol]
) -> Forcing:
    """Find out what kind of forces they are.

    Args:
        forces: One for each momentum.
        positions: The positions.
        momenta: The momenta.

    Returns:
        The analysis.
    """
    zero = sympy.Integer(0)
    rest = dict.fromkeys(momenta, zero)
    free = [f.subs(rest) for f in forces]
    rates = [
        f0 - f.subs(rest | {p: sympy.Integer(1)}) for f, f0, p in zip(forces, free, momenta, strict=True)
    ]
    rates = [zero if vanishes(rate) else rate for rate in rates]
    still = all(vanishes(f - f0) for f, f0 in zip(forces, free, strict=True))
    exact = still or all(
        vanishes(f - f0 + c * p) for f, f0, c, p in zip(forces, free, rates, momenta, strict=True)
    )
    curls = [
        sympy.diff(forces[i], positions[j]) - sympy.diff(forces[j], positions[i])
        for i in range(len(forces))
        for j in range(i)
    ]
    flipped = {s: -s for s in (*momenta, TIME)}
    return Forcing(
        forces=list(forces),
        free=free if exact else list(forces),
        rates=rates if exact else [zero for _ in forces],
        exact=exact,
        conservative=still and all(vanishes(e) for e in curls),
        reversible=all(even(f, flipped) for f in forces),
    )


def even(e: sympy.Expr, flipped: Mapping[sympy.Symbol, sympy.Expr]) -> bool:
    """Whether an expression stays the same where symbols change their sign.

    Args:
        e: The expression.
        flipped: The opposite of each symbol.

    Returns:
        Whether it does.
    """
    return vanishes(e - e.xreplace(dict(flipped)))
