"""Values of layers at weights given by formulas, and maps whose result is known in closed form."""

from __future__ import annotations

import numpy as np
import torch
from scipy.integrate import solve_ivp
from scipy.optimize import least_squares

from geomlearn.nn import (
    ExtendedLinear,
    GradientShear,
    HenonLayer,
    HenonMap,
    RidgeLayer,
    SymplecticFlow,
)

from .._models import generator, randn, shaken
from ._layers import Z, box, form, with_formula


def stack(offset: float) -> SymplecticFlow:
    return SymplecticFlow([with_formula(HenonLayer(2, 3), k, offset) for k in (0, 1)], scale=1.0)


def equal(found: torch.Tensor, *expected: float) -> bool:
    wanted = torch.tensor(expected, dtype=torch.float64)
    return torch.allclose(found.detach(), wanted, rtol=0, atol=2e-15)


def test_one_henon_map() -> None:
    found = with_formula(HenonMap(2, 3))(Z)
    assert equal(found, 0.7, 0.808060461173628, 0.05922952608262, 0.513033326238031)


def test_henon_layer() -> None:
    found = with_formula(HenonLayer(2, 3))(Z)
    assert equal(found, 0.478614042285687, -0.084746332935521, 0.525800365924496, 0.729536359290855)


def test_henon_net_and_its_inverse() -> None:
    psi = stack(0.0)
    assert equal(psi(Z), 0.494646580415439, -0.022608959351768, 0.524828548100652, 0.735102262115123)
    assert equal(psi.inverse(Z), 0.143444237061115, -0.349787423300175, 0.385374867411118, 0.590884682093452)


def test_henon_net_near_the_identity() -> None:
    near = stack(0.5).with_step(0.1)
    assert equal(near(Z), 0.310149217073246, -0.188869473437075, 0.497979378083177, 0.700109628897626)


def test_gradient_shear() -> None:
    found = with_formula(GradientShear(2, 3))(Z, 0.1)
    assert equal(found, 0.3, -0.2, 0.524989030892018, 0.722657037823017)


def test_ridge_module() -> None:
    layer = RidgeLayer(2, 1)
    assert layer.b is not None
    with torch.no_grad():
        layer.w.copy_(torch.tensor([[0.4, -0.3, 0.2, 0.6]], dtype=torch.float64))
        layer.a.fill_(0.9)
        layer.b.fill_(0.1)
    assert equal(layer(Z, 0.1), 0.311952661864821, -0.164142014405536, 0.476094676270357, 0.717928992797232)


def test_a_quadratic_ridge_is_the_matrix_exponential() -> None:
    layer = RidgeLayer(3, 1, 2, generator=generator())
    with torch.no_grad():
        layer.a[0, 0] = 0
    w, strength = layer.w[0].detach(), 0.7
    matrix = torch.matrix_exp(strength * layer.a[0, 1].detach() * torch.outer(form(3) @ w, w))
    z = randn(4, 6)
    assert torch.allclose(layer(z, strength), z @ matrix.mT, rtol=0, atol=1e-14)


def test_a_ridge_module_is_the_flow_of_its_hamiltonian() -> None:
    """``H = a log cosh(w . z + b)``, by an integrator that knows nothing of ridges."""
    layer = shaken(RidgeLayer(2, 1, generator=generator()), 1.0)
    w, a, b = (value.detach().double().numpy() for value in (layer.w[0], layer.a[0], layer.b[0]))
    turned = form(2).numpy() @ w

    def field(_: float, z: np.ndarray) -> np.ndarray:
        slope: np.ndarray = a * np.tanh(w @ z + b) * turned
        return slope

    end = solve_ivp(field, (0, 1.3), Z.numpy(), method="DOP853", rtol=1e-13, atol=1e-13).y[:, -1]
    assert np.abs(layer(Z, 1.3).detach().numpy() - end).max() < 1e-12


def test_generator_of_a_henon_net_near_the_identity() -> None:
    """The rate at strength 0 is the field of ``f(p) + f(-q)``, with ``f = -sum V(u) + V(-u - eta)``."""
    layers = [shaken(HenonLayer(2, 5, generator=generator(k)), 0.5, k) for k in range(3)]

    def net(strength: torch.Tensor) -> torch.Tensor:
        z = Z
        for layer in layers:
            z = layer(z, strength)
        return z

    def hamiltonian(z: torch.Tensor) -> torch.Tensor:
        total = torch.zeros((), dtype=torch.float64)
        for layer in layers:
            unit = layer.potential
            for u in (z[2:], -z[:2]):
                for y in (u, -u - layer.eta):
                    total = total - (unit.a * torch.tanh(y @ unit.w + unit.b)).sum()
        return total

    with torch.no_grad():
        rate = torch.func.jacrev(net)(torch.zeros((), dtype=torch.float64))
        assert torch.allclose(rate, form(2) @ torch.func.grad(hamiltonian)(Z), rtol=0, atol=1e-14)


def test_five_shears_reach_a_linear_symplectic_map() -> None:
    symmetric = randn(4, 4, seed=3)
    target = torch.matrix_exp(0.4 * form(2) @ (symmetric + symmetric.mT)).numpy()
    layer = ExtendedLinear(2, 5)
    weights = [shear.s for shear in layer._shears]

    def residual(flat: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            for weight, value in zip(weights, torch.from_numpy(flat).reshape(5, 2, 2)):
                weight.copy_(value)
            return (layer.jacobian(Z).numpy() - target).ravel()

    start = randn(20, seed=1).numpy() * 0.5
    assert np.abs(least_squares(residual, start, xtol=1e-15, ftol=1e-15, gtol=1e-15).fun).max() < 1e-9


def test_strength_zero_is_the_identity_for_four_maps_of_one_shift_alone() -> None:
    z = box(2, 50)
    layer = HenonLayer(2, 4, generator=generator())
    assert layer.identity_at_zero
    assert torch.allclose(layer(z, 0.0), z, rtol=0, atol=1e-15)
    single = HenonMap(2, 4, generator=generator())
    four = SymplecticFlow([HenonMap(2, 4, generator=generator(k)) for k in range(4)])
    for maps, flow in ((1, SymplecticFlow([single])), (2, SymplecticFlow([single, single])), (4, four)):
        assert not flow.identity_at_zero, maps
        moved = z
        for part in flow.parts:
            moved = part(moved, 0.0)
        assert (moved - z).abs().max() > 0.3, maps
