"""Small flow maps of the rollout and certificate tests."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from integrators import FlowMap, LinearPotential, Part, RigidBodyIntegrator, StateSpace, vector
from integrators._certificate._tangent import tangent_map
from lie import SE3, SO3

DOUBLE = torch.float64
NAMES = ["energy", "momentum"]


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def top_potential() -> LinearPotential:
    slope = torch.zeros(3, 3, dtype=DOUBLE)
    slope[2] = torch.tensor([0.6, 0.4, 2.0])
    return LinearPotential(slope, [0.1, 0.2, 3.0])


def body(group=SO3, kinetic: str = "trace", damped: bool = False, h: float = 0.05) -> RigidBodyIntegrator:
    """A heavy body with inputs."""
    inertia = torch.tensor([[1.0, 0.1, -0.05], [0.1, 2.0, 0.2], [-0.05, 0.2, 2.8]], dtype=DOUBLE)
    rows = 6 if group is SE3 else 3
    gain = torch.randn(rows, 3, dtype=DOUBLE, generator=generator(5))
    return RigidBodyIntegrator(
        group,
        h,
        inertia,
        top_potential(),
        input_gain=gain,
        dissipation=0.3 * torch.eye(rows, dtype=DOUBLE) if damped else None,
        mass=1.3 if group is SE3 else None,
        kinetic=kinetic,
    )


def body_states(flow: RigidBodyIntegrator, *batch: int, seed: int = 0) -> Tensor:
    rotation = SO3.random(*batch, generator=generator(seed), dtype=DOUBLE)
    values = torch.randn(*batch, 9, generator=generator(seed + 1), dtype=DOUBLE)
    if "x" in flow.space.names:
        return flow.space.pack(x=values[..., :3], R=rotation, v=values[..., 3:6], omega=values[..., 6:])
    return flow.space.pack(R=rotation, omega=values[..., 6:])


def controls(*shape: int, seed: int = 9) -> Tensor:
    return 0.3 * torch.randn(*shape, 3, dtype=DOUBLE, generator=generator(seed))


class Pendulum(FlowMap):
    """A pendulum with an input, ``q'' = u - sin q``; Verlet's method unless another step is given."""

    space = StateSpace(vector("q", 1, "rad"), vector("p", 1))
    control_size = 1
    order = 2

    def __init__(self, h: float = 0.1) -> None:
        super().__init__()
        self.h = h

    def advance(self, carry: Tensor, control: Tensor | None, constants: None) -> Tensor:
        q, p = carry.split(1, -1)
        u = 0.0 if control is None else control
        p = p + 0.5 * self.h * (u - torch.sin(q))
        q = q + self.h * p
        return torch.cat((q, p + 0.5 * self.h * (u - torch.sin(q))), -1)

    def energy(self, x: Tensor) -> Tensor:
        return 0.5 * x[..., 1] ** 2 - torch.cos(x[..., 0])

    def flip_velocities(self, x: Tensor) -> Tensor:
        return x * torch.tensor([1.0, -1.0], dtype=x.dtype)

    def phase_derivative(self, x: Tensor, control: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        form = torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=x.dtype).expand(len(x), 2, 2)
        return tangent_map(self, x, control), form, form


def runge_kutta(rate: Callable[[Tensor], Tensor], x: Tensor, h: float) -> Tensor:
    k1 = rate(x)
    k2 = rate(x + 0.5 * h * k1)
    k3 = rate(x + 0.5 * h * k2)
    k4 = rate(x + h * k3)
    return x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


class RungeKuttaPendulum(Pendulum):
    """The same by the classical Runge-Kutta method, which is not symplectic."""

    order = 4

    def advance(self, carry: Tensor, control: Tensor | None, constants: None) -> Tensor:
        return runge_kutta(lambda x: torch.stack((x[..., 1], -torch.sin(x[..., 0])), -1), carry, self.h)


class RungeKuttaTop(FlowMap):
    """The heavy top with ``J = diag(1, 2, 2.8)`` by Runge-Kutta on the entries of ``R``."""

    space = StateSpace(Part("R", SO3), vector("omega", 3))
    order = 4

    def __init__(self, h: float) -> None:
        super().__init__()
        self.h = h

    def rate(self, x: Tensor) -> Tensor:
        part, moments = self.space.view(x), torch.tensor([1.0, 2.0, 2.8], dtype=x.dtype)
        omega = part["omega"]
        turning = part["R"] @ SO3.hat(omega)
        arm = torch.tensor([0.6, 0.4, 2.0], dtype=x.dtype)
        torque = torch.linalg.cross(part["R"][..., 2, :], arm.expand_as(omega))
        acceleration = (torch.linalg.cross(moments * omega, omega) + torque) / moments
        return torch.cat((turning.flatten(-2), acceleration), -1)

    def advance(self, carry: Tensor, control: Tensor | None, constants: None) -> Tensor:
        return runge_kutta(self.rate, carry, self.h)

    def energy(self, x: Tensor) -> Tensor:
        part, moments = self.space.view(x), torch.tensor([1.0, 2.0, 2.8], dtype=x.dtype)
        arm = torch.tensor([0.6, 0.4, 2.0], dtype=x.dtype)
        return 0.5 * (moments * part["omega"] ** 2).sum(-1) + part["R"][..., 2, :] @ arm
