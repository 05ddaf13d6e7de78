"""Layers and networks are symplectic, invertible and differentiated rightly at weights of the size of one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from geomlearn.nn import GradientShear, HenonNet, RidgeSymplectic, SymplecticFlow, SymplecticLayer, SympNet
from integrators import certify

from .._models import generator, shaken
from ._layers import KINDS, box, every_layer, form, parameters_for

STRENGTH = 0.7
DTYPES = (torch.float64, torch.float32)
NETS = {
    "Hénon": lambda k: HenonNet(4, 10, 8, generator=generator(k)),
    "Hénon near the identity": lambda k: HenonNet(4, 8, 6, epsilon=0.01, generator=generator(k)),
    "G": lambda k: SympNet(6, "G", 8, 10, deviation=0.7, generator=generator(k)),
    "LA": lambda k: SympNet(6, "LA", 6, shears=4, deviation=0.3, generator=generator(k)),
    "T": lambda k: SympNet(6, "T", 6, 10, h=0.5, deviation=0.7, generator=generator(k)),
    "ridge": lambda k: RidgeSymplectic(6, 12, 3, h=0.05, deviation=0.3, generator=generator(k)),
    "ridge tanh": lambda k: RidgeSymplectic(4, 91, h=0.3, deviation=1.0, generator=generator(k)),
}


def defects(derivative: Tensor) -> tuple[float, float, float]:
    """Of the symplectic condition and the volume, and the squared norm by which rounding errors grow."""
    d = derivative.shape[-1] // 2
    omega = form(d).to(derivative)
    symplectic = derivative.mT @ omega @ derivative - omega
    volume = torch.linalg.det(derivative.double()).abs() - 1
    norm = float(torch.linalg.matrix_norm(derivative.double(), 2).max())
    return float(symplectic.abs().max()), float(volume.abs().max()), max(1.0, norm**2)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("d", [1, 2, 3, 7])
def test_layers_are_symplectic_and_invertible(kind: str, d: int, dtype: torch.dtype) -> None:
    layer, z = every_layer(d)[kind].to(dtype), box(d, 100).to(dtype)
    control = parameters_for(layer, 100)
    control = None if control is None else control.to(dtype)
    eps = torch.finfo(dtype).eps
    with torch.no_grad():
        derivative = layer.jacobian(z, STRENGTH, control)
        symplectic, volume, growth = defects(derivative)
        assert symplectic < 100 * eps * growth
        assert volume < 100 * eps * growth
        there, back = layer(z, STRENGTH, control), layer.inverse(z, STRENGTH, control)
        assert (there - z).abs().max() > 0.05
        assert (layer.inverse(there, STRENGTH, control) - z).abs().max() < 100 * eps * growth
        assert (layer(back, STRENGTH, control) - z).abs().max() < 100 * eps * growth


@pytest.mark.parametrize("kind", KINDS)
def test_derivatives_in_closed_form(kind: str) -> None:
    layer, z = every_layer(2)[kind], box(2, 5)
    control, strength = parameters_for(layer, 5), torch.linspace(-0.5, 1.0, 5, dtype=torch.float64)
    if control is None:
        control = torch.zeros(5, 0, dtype=torch.float64)
    expected = torch.func.vmap(torch.func.jacrev(layer))(z, strength, control)
    assert torch.allclose(layer.jacobian(z, strength, control), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", list(NETS))
def test_networks_are_symplectic_and_invertible(name: str, dtype: torch.dtype) -> None:
    eps = torch.finfo(dtype).eps
    for seed in range(5):
        net = NETS[name](seed).to(dtype)
        z = box(net.degrees, 500, seed=seed).to(dtype)
        with torch.no_grad():
            derivative = net.jacobian(z)
            symplectic, volume, growth = defects(derivative)
            assert symplectic < 100 * eps * growth, seed
            assert volume < 100 * eps * growth, seed
            assert (net.inverse(net(z)) - z).abs().max() < 100 * eps * growth, seed
            assert (derivative - torch.eye(2 * net.degrees).to(derivative)).abs().max() > 0.01


@pytest.mark.parametrize("name", ["Hénon near the identity", "G", "LA", "T", "ridge", "ridge tanh"])
def test_distance_from_the_identity_is_of_first_order_in_the_step(name: str) -> None:
    net = NETS[name](0)
    z = box(net.degrees, 100)
    with torch.no_grad():
        sizes = [float((net.with_step(1e-2 * 10**-k)(z) - z).abs().max()) for k in range(3)]
    assert sizes[0] > 1e-6
    assert sizes[0] / sizes[1] == pytest.approx(10, rel=0.15)
    assert sizes[1] / sizes[2] == pytest.approx(10, rel=0.02)


def test_certificate() -> None:
    net = shaken(RidgeSymplectic(4, 5, h=0.2, generator=generator()), 0.2)
    result = certify(net, box(2, 3), steps=50, backend="torch")
    assert result.symplectic_defect is not None
    assert result.symplectic_defect < 1e-14
    assert result.inverse is not None
    assert result.inverse < 1e-14
    assert result.failed == 0
    assert "symplectic" in str(result)


def test_a_gradient_of_both_halves_needs_a_basis_of_a_lagrangian_plane() -> None:
    """``p -= B g(s), q += A g(s), s = A^T p + B^T q`` is symplectic only where ``A^T B`` is symmetric.

    So it is with ``A = I + S2 S3`` and ``B = S1 + S1 S2 S3 + S3``, and not with ``A = I + S1 S2``, whose
    defect small weights hide in the rounding errors.
    """
    z = box(2)
    for size, least, most in ((1e-5, 0.0, 1e-14), (0.5, 1e-2, 1e9)):
        drawn = (size * torch.randn(2, 2, generator=generator(k), dtype=torch.float64) for k in range(4))
        s1, s2, s3, w = (matrix + matrix.mT for matrix in drawn)
        eye = torch.eye(2, dtype=torch.float64)
        b = s1 + s1 @ s2 @ s3 + s3
        for a, wrong in ((eye + s1 @ s2, True), (eye + s2 @ s3, False)):

            def step(z: Tensor, a: Tensor = a, b: Tensor = b, w: Tensor = w) -> Tensor:
                g = torch.sigmoid((z[2:] @ a + z[:2] @ b) @ w) @ w
                return torch.cat((z[:2] + a @ g, z[2:] - b @ g))

            defect = defects(torch.func.jacrev(step)(z))[0]
            assert least <= defect <= most if wrong else defect < 1e-13


def test_adjoint_and_symmetric_composition() -> None:
    layers: list[SymplecticLayer] = list(every_layer(2, size=0.2).values())
    scales = [None if k % 4 == 1 else 0.5 for k in range(len(layers))]
    flow = SymplecticFlow(layers, 0.3, scales)
    z, c = box(2, 7), torch.randn(7, 2, generator=generator(), dtype=torch.float64)
    with torch.no_grad():
        adjoint = flow.adjoint()
        assert torch.allclose(adjoint(flow.with_step(-0.3)(z, c), c), z, rtol=0, atol=1e-13)
        assert (adjoint(z, c) - flow(z, c)).abs().max() > 1e-3
        assert torch.allclose(adjoint.inverse(adjoint(z, c), c), z, rtol=0, atol=1e-13)
        assert torch.allclose(adjoint.adjoint()(z, c), flow(z, c), rtol=0, atol=0)
        expected = torch.func.vmap(torch.func.jacrev(adjoint))(z, c)
        assert torch.allclose(adjoint.jacobian(z, c), expected, rtol=0, atol=1e-12)
    net = SympNet(4, "G", 3, 5, h=0.1, deviation=1.0, generator=generator())
    both = net @ net.adjoint()
    assert both.symmetric
    assert both.symplectic
    with torch.no_grad():
        assert torch.allclose(both.with_step(-0.2)(both(z)), z, rtol=0, atol=1e-14)


def test_parameters_change_the_map_and_absent_ones_are_zero() -> None:
    flow = SymplecticFlow([shaken(GradientShear(2, 5, half, parameters=3)) for half in "pq"], h=0.5)
    z, c = box(2, 4), torch.randn(4, 3, generator=generator(), dtype=torch.float64)
    with torch.no_grad():
        assert torch.equal(flow(z), flow(z, torch.zeros_like(c)))
        assert torch.equal(flow.inverse(z), flow.inverse(z, torch.zeros_like(c)))
        assert torch.equal(flow.jacobian(z), flow.jacobian(z, torch.zeros_like(c)))
        assert (flow(z, c) - flow(z)).abs().max() > 1e-2
        assert defects(flow.jacobian(z, c))[0] < 1e-14
