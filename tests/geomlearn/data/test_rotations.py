import math

import numpy as np
import pytest
import torch
from scipy import stats

from geomlearn.data import random_rotations
from lie import SO3


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("largest", [math.pi, 2.0, 0.3, 1e-6])
def test_angles_have_the_distribution_of_haar_measure(largest):
    R = random_rotations(4000, generator(), max_angle=largest)
    SO3.check(R)
    angle = SO3.log(R).norm(dim=-1).numpy()
    assert angle.max() <= largest * (1 + 1e-9)

    def share(a):
        # a - sin a, by its series where it cancels
        return np.where(a < 0.1, a**3 / 6 * (1 - a**2 / 20 * (1 - a**2 / 42)), a - np.sin(a))

    assert stats.kstest(angle, lambda a: share(a) / share(np.asarray(largest))).pvalue > 1e-3


@pytest.mark.parametrize("largest", [math.pi, 0.5])
def test_axes_are_uniform(largest):
    vectors = SO3.log(random_rotations(4000, generator(1), max_angle=largest))
    axis = vectors / vectors.norm(dim=-1, keepdim=True)
    for k in range(3):
        assert stats.kstest(axis[:, k].numpy(), stats.uniform(-1, 2).cdf).pvalue > 1e-3


def test_haar_measure_does_not_prefer_a_direction():
    R = random_rotations(20000, generator(2))
    # Entries of Haar rotations have mean 0 and variance 1/3.
    assert R.mean(0).abs().max() < 5 / math.sqrt(3 * 20000)
    assert (R.square().mean(0) - 1 / 3).abs().max() < 5 * 0.3 / math.sqrt(20000)


def test_angles_are_counted_from_the_centre():
    centre = SO3.exp(torch.tensor([1.0, 2.0, -0.5], dtype=torch.float64))
    R = random_rotations(100, generator(), max_angle=0.2, centre=centre)
    assert SO3.distance(R, centre.expand_as(R)).max() <= 0.2 + 1e-9


def test_the_generator_decides_and_the_global_seed_does_not_matter():
    before = torch.get_rng_state()
    a, b, c = (random_rotations(5, generator(seed)) for seed in (0, 0, 1))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    assert torch.equal(before, torch.get_rng_state())
    assert random_rotations(2, generator(), dtype=torch.float32).dtype == torch.float32


def test_refuses_wrong_arguments():
    with pytest.raises(ValueError, match="count: expected at least 1, got 0"):
        random_rotations(0, generator())
    for largest in (0.0, 4.0, float("nan")):
        with pytest.raises(ValueError, match="max_angle: expected an angle"):
            random_rotations(1, generator(), max_angle=largest)
