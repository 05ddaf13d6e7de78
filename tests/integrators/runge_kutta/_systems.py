"""Systems that the tests of Runge-Kutta methods share."""

from __future__ import annotations

import torch

from integrators import Hamiltonian, VectorField

KEPLER = Hamiltonian(
    "(p1**2 + p2**2)/2 - 1/sqrt(q1**2 + q2**2)", invariants={"angular_momentum": "q1*p2 - q2*p1"}
)
KEPLER_START = torch.tensor([0.4, 0.0, 0.0, 2.0], dtype=torch.float64)
HENON = Hamiltonian("(p1**2 + p2**2)/2 + (q1**2 + q2**2)/2 + q1**2*q2 - q2**3/3")
HENON_START = torch.tensor([0.0, 0.1, 0.39, 0.05], dtype=torch.float64)
DOUBLE_PENDULUM = Hamiltonian(
    "(p1**2 - 2*cos(q1 - q2)*p1*p2 + 2*p2**2)/(2*(2 - cos(q1 - q2)**2)) - 2*cos(q1) - cos(q2)"
)
PENDULUM_START = torch.tensor([1.0, 0.5, 0.0, 0.0], dtype=torch.float64)
MIXED = Hamiltonian("p**2*(1 + q**2)/2 + q**2/2")
MIXED_START = torch.tensor([[0.5, 0.3], [1.0, 0.0]], dtype=torch.float64)
DRIVEN = Hamiltonian("p**2*(1 + sin(q)**2)/2 - a*cos(q - t)", parameters={"a": 0.7})
DRIVEN_START = torch.tensor([[0.5, 0.3, 0.0], [-0.4, 0.1, 1.0]], dtype=torch.float64)
STEERED = VectorField({"x": "-y + u", "y": "x - x**3*b"}, parameters={"b": 0.3}, inputs=("u",))
STEERED_START = torch.tensor([[0.2, 0.5], [1.0, -0.3]], dtype=torch.float64)
