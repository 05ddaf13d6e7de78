"""Populations that eat each other."""

from __future__ import annotations

from ..systems import PoissonSystem
from ._problem import Problem, positive, state


def lotka_volterra(
    growth: float = 1.0, predation: float = 1.0, death: float = 2.0, gain: float = 1.0
) -> Problem[PoissonSystem]:
    """Prey and predators, ``x' = x (a - b y)``, ``y' = y (d x - c)``, a Poisson system.

    ``H = d x - c log x + b y - a log y`` with ``B = x y [[0, -1], [1, 0]]``; every orbit is closed.

    Args:
        growth: Rate ``a`` of the prey without predators.
        predation: Rate ``b`` at which a predator eats the prey.
        death: Rate ``c`` at which predators die without prey.
        gain: Rate ``d`` at which they grow by the prey.

    Returns:
        The problem; populations in any unit, rates in one over the unit of time.
    """
    positive(growth=growth, predation=predation, death=death, gain=gain)
    values = {"a": growth, "b": predation, "c": death, "d": gain}
    system = PoissonSystem("d*x - c*log(x) + b*y - a*log(y)", {(0, 1): "-x*y"}, values, variables="x y")
    return Problem(
        "Lotka-Volterra",
        system,
        state(2 * death / gain, 0.8 * growth / predation),
        duration=50.0 / (growth * death) ** 0.5,
        units={"time": "1", "energy": "1"} | dict.fromkeys(system.space.names, "1"),
        source="Hairer, Lubich, Wanner, Geometric Numerical Integration, 2nd ed. 2006, section I.1.1",
        parameters=values,
        accuracy=1e-10,
    )
