"""A gyroceptron of a charged particle changes the magnetic moment by as much as the particle does."""

from __future__ import annotations

import math

import torch

from geomlearn import fit
from geomlearn.data import solved_windows
from geomlearn.losses import relative_increment_error
from geomlearn.nn import Gyroceptron
from integrators import zoo

EPSILON = 0.02


def test_the_moment_of_a_learned_particle_varies_as_the_true_one() -> None:
    """DOP853 has 1.4e-2 and 1.7e-2 over ``40 / epsilon`` on these orbits."""
    h = math.pi * (3 - math.sqrt(5))
    problem = zoo.gyrating_particle(EPSILON)
    low = torch.tensor([-1.4, -1.7, -1.4, -1.3], dtype=torch.float64)
    high = torch.tensor([1.4, 3.3, 1.4, 4.4], dtype=torch.float64)
    source = torch.Generator().manual_seed(0)
    starts = low + (high - low) * torch.rand(300, 4, generator=source, dtype=torch.float64)
    pairs = solved_windows(problem.system, starts, h)
    net = Gyroceptron(4, EPSILON, (1, 0), h, h=h, near_identity_size=30, generator=source)
    history = fit(net, pairs, optimizer="levenberg-marquardt", steps=60, progress=False)
    assert history.losses[-1] < 1e-2 * history.losses[0]
    error = relative_increment_error(net, pairs)
    assert max(float(error[name][0, 1]) for name in ("q", "p")) < 0.2
    orbits = torch.tensor([[1.0, 0.3, 0.0, 0.2], [0.5, 0.8, 0.5, 2.5]], dtype=torch.float64)
    with torch.no_grad():
        path = net.unroll(orbits, steps=round(40 / EPSILON / h))
        moment = net.adiabatic_invariant(path)
    torch.testing.assert_close(moment, problem.moment(path))
    largest = (moment - problem.moment(orbits)).abs().amax(0)
    torch.testing.assert_close(largest, torch.tensor([1.4e-2, 1.7e-2], dtype=torch.float64), rtol=0.2, atol=0)
