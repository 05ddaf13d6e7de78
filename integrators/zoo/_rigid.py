"""Rigid bodies: free, heavy, and with four rotors."""

from __future__ import annotations

import math
from collections.abc import Sequence

import scipy
import torch
from torch import Tensor

from lie import SE3, SO3

from ..lie_group import SymbolicGroupField
from ..systems import PoissonSystem
from ..variational import LinearPotential, RigidBodyIntegrator
from ._problem import Problem, positive, state

_MOMENTUM_UNIT = "kg m^2/s"
_CRAZYFLIE = (2.3951e-5, 2.3951e-5, 3.2347e-5)


def free_rigid_body(
    moments: Sequence[float] = (2.0, 1.0, 2 / 3), angle: float = 1.1, momentum: float = 1.0
) -> Problem[PoissonSystem]:
    """Euler's equations of a free body, ``Pi' = Pi x I^-1 Pi``, for its momentum in the body frame.

    The momentum starts in the plane of the largest and the smallest moment. ``H = sum Pi_i^2 / (2 I_i)`` and
    the Casimir ``|Pi|^2`` are kept. The attitude follows by ``RigidBodySplitting`` or ``heavy_top`` without
    weight.

    Args:
        moments: Principal moments, from the largest to the smallest, all different.
        angle: Angle of the momentum at the start from the axis of the largest moment, in radians.
        momentum: Its length.

    Returns:
        The problem, with its closed form in Jacobi's elliptic functions.

    Raises:
        ValueError: If the moments are not positive and in descending order.
    """
    i1, i2, i3 = (float(m) for m in moments)
    positive(momentum=momentum, **{"moments[2]": i3})
    if not i1 > i2 > i3:
        raise ValueError(f"moments: expected three in descending order, all different, got {list(moments)}")
    a, c = momentum * math.cos(angle), momentum * math.sin(angle)
    first, second, third = 1 / i3 - 1 / i2, 1 / i3 - 1 / i1, 1 / i2 - 1 / i1
    around_last = third * a * a <= first * c * c
    if around_last:
        b, rate = -a * math.sqrt(second / first), c * math.sqrt(first * second)
    else:
        b, rate = -c * math.sqrt(second / third), a * math.sqrt(second * third)
    ratio = (third * a * a, first * c * c)
    modulus = min(ratio) / max(ratio)

    def solution(t: float) -> Tensor:
        sn, cn, dn, _ = (float(value) for value in scipy.special.ellipj(rate * t, modulus))
        return state(a * cn, b * sn, c * dn) if around_last else state(a * dn, b * sn, c * cn)

    return Problem(
        "free rigid body",
        PoissonSystem(
            "Pi1**2/(2*I1) + Pi2**2/(2*I2) + Pi3**2/(2*I3)",
            {(0, 1): "-Pi3", (0, 2): "Pi2", (1, 2): "-Pi1"},
            {"I1": i1, "I2": i2, "I3": i3},
            variables="Pi1 Pi2 Pi3",
            casimirs={"squared_momentum": "Pi1**2 + Pi2**2 + Pi3**2"},
            units=_MOMENTUM_UNIT,
        ),
        state(a, 0.0, c),
        duration=100.0,
        units={"time": "s", "Pi": _MOMENTUM_UNIT, "energy": "J"},
        source="Landau, Lifshitz, Mechanics, 3rd ed. 1976, section 37",
        parameters={"I1": i1, "I2": i2, "I3": i3},
        period=4 * float(scipy.special.ellipk(modulus)) / abs(rate) if 0 < modulus < 1 else None,
        solution=solution,
    )


def heavy_top(
    moments: Sequence[float] = (1.0, 1.0, 0.5),
    center_of_mass: Sequence[float] = (0.0, 0.0, 0.5),
    mass: float = 1.0,
    gravity: float = 9.81,
    tilt: float = 0.4,
    omega: Sequence[float] = (0.0, 0.0, 15.0),
) -> Problem[SymbolicGroupField]:
    """A body that turns about a fixed point under its weight.

    The state has the attitude ``R``, body to world, and the momentum ``Pi`` in the body frame: ``R' = R
    hat(I^-1 Pi)``, ``Pi' = Pi x I^-1 Pi + R^T e3 x (-m g r)``. The energy and the vertical momentum are kept;
    where two moments are equal and the center of mass is on the third axis, ``Pi3`` is too (Lagrange's top).
    ``LinearPotential.gravity(mass, center_of_mass, (0, 0, -gravity))`` is its potential for
    ``RigidBodySplitting`` and ``RigidBodyIntegrator``, whose states have ``omega = I^-1 Pi``.

    Args:
        moments: Principal moments about the fixed point, in kg m^2.
        center_of_mass: From the fixed point, in the body frame, in m.
        mass: In kg.
        gravity: Acceleration in m/s^2; zero for a free body.
        tilt: Angle of the third axis from the vertical at the start, in radians.
        omega: Angular velocity at the start, in the body frame, in rad/s.

    Returns:
        The problem.

    Raises:
        ValueError: If a moment or the mass is not positive.
    """
    i = [float(m) for m in moments]
    r = [float(value) for value in center_of_mass]
    positive(mass=mass, **{f"moments[{k}]": value for k, value in enumerate(i)})
    down = [f"-m*g*R3{k}" for k in (1, 2, 3)]
    weight = [f"({_cross(down, ['r1', 'r2', 'r3'], k)})" for k in range(3)]
    turning = [f"Pi{j}*Pi{k}*(1/I{k} - 1/I{j})" for j, k in ((2, 3), (3, 1), (1, 2))]
    values = {f"I{k + 1}": value for k, value in enumerate(i)} | {"m": mass, "g": gravity}
    values |= {f"r{k + 1}": value for k, value in enumerate(r)}
    invariants = {"vertical_momentum": "R31*Pi1 + R32*Pi2 + R33*Pi3"}
    if i[0] == i[1] and r[0] == r[1] == 0:
        invariants["spin"] = "Pi3"
    system = SymbolicGroupField(
        SO3,
        ["Pi1/I1", "Pi2/I2", "Pi3/I3"],
        {"Pi": [f"{free} - {load}" for free, load in zip(turning, weight, strict=True)]},
        values,
        energy="Pi1**2/(2*I1) + Pi2**2/(2*I2) + Pi3**2/(2*I3) + m*g*(R31*r1 + R32*r2 + R33*r3)",
        invariants=invariants,
        units={"Pi": _MOMENTUM_UNIT},
    )
    rotation = SO3.exp(state(tilt, 0.0, 0.0)).flatten()
    return Problem(
        "heavy top",
        system,
        torch.cat((rotation, state(*(a * b for a, b in zip(i, omega, strict=True))))),
        duration=5.0,
        units={"time": "s", "R": "1", "Pi": _MOMENTUM_UNIT, "energy": "J"},
        source="Marsden, Ratiu, Introduction to Mechanics and Symmetry, 2nd ed. 1999, section 15.10",
        parameters=values,
        accuracy=1e-10,
    )


def quadrotor(
    mass: float = 0.027, moments: Sequence[float] = _CRAZYFLIE, gravity: float = 9.81
) -> Problem[SymbolicGroupField]:
    """A body with four rotors: thrust along its third axis and three torques as inputs, on SE(3).

    The state has the pose ``g``, body to world, the velocity ``v`` in the world frame and the angular
    velocity ``omega`` in the body frame; the inputs are the thrust in N and the torques in N m, in the body
    frame. Without inputs the energy and the momentum in the world frame except for the fall are kept.

    Args:
        mass: In kg.
        moments: Principal moments in kg m^2.
        gravity: Acceleration in m/s^2.

    Returns:
        The problem; its reference is that without inputs, a tumbling fall.

    Raises:
        ValueError: If a parameter is not positive.
    """
    i = [float(m) for m in moments]
    positive(mass=mass, gravity=gravity, **{f"moments[{k}]": value for k, value in enumerate(i)})
    values = {"m": mass, "g": gravity} | {f"I{k + 1}": value for k, value in enumerate(i)}
    velocity = [f"R1{k}*v1 + R2{k}*v2 + R3{k}*v3" for k in (1, 2, 3)]
    lift = [f"R{k}3*thrust/m" for k in (1, 2, 3)]
    turning = [
        f"((I{j} - I{k})*omega{j}*omega{k} + torque{n})/I{n}" for n, j, k in ((1, 2, 3), (2, 3, 1), (3, 1, 2))
    ]
    spatial = [f"R{n}1*I1*omega1 + R{n}2*I2*omega2 + R{n}3*I3*omega3" for n in (1, 2, 3)]
    system = SymbolicGroupField(
        SE3,
        [*velocity, "omega1", "omega2", "omega3"],
        {"v": [lift[0], lift[1], f"{lift[2]} - g"], "omega": turning},
        values,
        inputs="thrust torque1 torque2 torque3",
        energy="m*(v1**2 + v2**2 + v3**2)/2 + (I1*omega1**2 + I2*omega2**2 + I3*omega3**2)/2 + m*g*x3",
        invariants={"angular_momentum": spatial},
        units={"v": "m/s", "omega": "rad/s"},
    )
    pose = torch.eye(4, dtype=torch.float64).flatten()
    return Problem(
        "quadrotor",
        system,
        torch.cat((pose, state(0.2, 0.1, -0.1, 0.3, -0.2, 0.5))),
        duration=2.0,
        units={"time": "s", "g": "m", "v": "m/s", "omega": "rad/s", "energy": "J"},
        source="J. Förster, System identification of the Crazyflie 2.0, ETH Zürich 2015",
        parameters=values,
    )


def quadrotor_integrator(
    h: float, mass: float = 0.027, moments: Sequence[float] = _CRAZYFLIE, gravity: float = 9.81
) -> RigidBodyIntegrator:
    """The quadrotor as a forced variational integrator, with states ``(x, R, v, omega)``.

    Args:
        h: Step in seconds.
        mass: In kg.
        moments: Principal moments in kg m^2.
        gravity: Acceleration in m/s^2.

    Returns:
        The flow map; its inputs are those of ``quadrotor``.
    """
    gain = torch.zeros(6, 4, dtype=torch.float64)
    gain[2, 0] = gain[3, 1] = gain[4, 2] = gain[5, 3] = 1.0
    weight = LinearPotential.gravity(mass, (0.0, 0.0, 0.0), (0.0, 0.0, -gravity))
    return RigidBodyIntegrator(SE3, h, torch.diag(state(*moments)), weight, gain, mass=mass)


def _cross(a: Sequence[str], b: Sequence[str], i: int) -> str:
    """Component ``i`` of a cross product of expressions."""
    j, k = (i + 1) % 3, (i + 2) % 3
    return f"({a[j]})*{b[k]} - ({a[k]})*{b[j]}"
