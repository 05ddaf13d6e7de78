"""Networks as modules: batches, transformations, files, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from geomlearn.nn import (
    ActivationShear,
    ExtendedLinear,
    GradientShear,
    HenonMap,
    HenonNet,
    LinearShear,
    RidgeLayer,
    RidgeSymplectic,
    SymplecticFlow,
    SympNet,
)
from geomlearn.training import load, save
from integrators import Hamiltonian

from .._models import generator, shaken
from ._layers import KINDS, box, every_layer, parameters_for

NETS: dict[str, Any] = {
    "Hénon": lambda: HenonNet(4, 2, 3, h=0.1, activation="sigmoid", generator=generator()),
    "Hénon near the identity": lambda: HenonNet(4, 2, 3, h=0.1, epsilon=0.2, generator=generator()),
    "G": lambda: SympNet(4, "G", 3, 4, h=0.1, activation="tanh", parameters=2, generator=generator()),
    "LA": lambda: SympNet(4, "LA", 3, shears=3, h=0.1, scale=None, generator=generator()),
    "T": lambda: SympNet(4, "T", 3, 4, h=0.1, generator=generator()),
    "ridge": lambda: RidgeSymplectic(4, 5, h=0.1, scale=0.5, generator=generator()),
    "ridge hidden": lambda: RidgeSymplectic(4, 3, "sin", 3, h=0.1, generator=generator()),
    "ridge polynomial": lambda: RidgeSymplectic(4, 5, 4, h=0.01, generator=generator()),
}


@pytest.mark.parametrize("kind", KINDS)
def test_batches(kind: str) -> None:
    layer = every_layer(2)[kind]
    z = box(2, 3, 4)
    control = parameters_for(layer, 3, 4)
    strength = torch.rand(3, 4, generator=generator(), dtype=torch.float64)
    for method in (layer.forward, layer.inverse, layer.jacobian):
        whole = method(z, strength, control)
        own = None if control is None else control[1, 2]
        one = method(z[1, 2], float(strength[1, 2]), own)
        assert whole.shape == (3, 4, *one.shape)
        assert torch.allclose(whole[1, 2], one, rtol=0, atol=1e-14)
        none = method(z[:0], 1.0, None if control is None else control[:0])
        assert none.shape == (0, 4, *one.shape)
        spread = method(z[0, 0], strength, own)
        assert torch.allclose(spread[1, 2], method(z[0, 0], strength[1, 2], own), rtol=0, atol=1e-14)


@pytest.mark.parametrize("name", list(NETS))
def test_transformations(name: str) -> None:
    net = shaken(NETS[name]())
    z, c = box(2, 4), parameters_for(net, 4)
    if c is None:
        assert torch.allclose(torch.func.vmap(net)(z), net(z), rtol=0, atol=1e-15)
    expected = torch.func.vmap(torch.func.jacrev(net))(z, *(() if c is None else (c,)))
    assert torch.allclose(net.jacobian(z, c), expected, rtol=0, atol=1e-13)
    names = [key for key, _ in net.named_parameters()]
    values = tuple(value.detach().clone().requires_grad_() for value in net.parameters())

    def moved(*weights: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = torch.func.functional_call(
            net, dict(zip(names, weights)), (z[:2], c if c is None else c[:2])
        )
        return out

    assert torch.autograd.gradcheck(moved, values)


@pytest.mark.parametrize("name", list(NETS))
def test_files(name: str, tmp_path: Path) -> None:
    net = shaken(NETS[name]())
    save(net, tmp_path / "net.safetensors")
    again: Any = load(tmp_path / "net.safetensors")
    assert type(again) is type(net)
    z, c = box(2, 5), parameters_for(net, 5)
    assert torch.equal(again(z, c), net(z, c))
    assert again.config() == net.config()


def test_scaled_inputs(tmp_path: Path) -> None:
    net, z = HenonNet(4, 2, 3, generator=generator()), 30 * box(2, 50)
    plain = net(z)
    net.normalise(z)
    assert net.normalised
    layer = net.parts[0]
    assert isinstance(layer, HenonMap)
    unit = layer.potential
    size, y = unit.diameter, z[:, 2:]
    assert size is not None
    assert torch.allclose(size, z.reshape(-1, 2).abs().amax(0))

    def potential(y: torch.Tensor) -> torch.Tensor:
        return (unit.a * torch.tanh((y / size) @ unit.w + unit.b)).sum()

    assert torch.allclose(unit.gradient(y), torch.func.grad(potential)(y), rtol=0, atol=1e-14)
    assert (net(z) - plain).abs().max() > 1e-3
    save(net, tmp_path / "net.safetensors")
    assert torch.equal(load(tmp_path / "net.safetensors")(z), net(z))


def test_the_numbers_of_weights() -> None:
    sizes = {
        HenonNet(4, 10, 8): 340,
        HenonNet(4, 8, 6): 208,
        SympNet(2, "LA", 3, shears=2): 14,
        SympNet(2, "G", 5, 30): 450,
        RidgeSymplectic(4, 91): 546,
    }
    for net, size in sizes.items():
        assert sum(p.numel() for p in net.parameters()) == size


def test_a_generator_makes_weights_repeat() -> None:
    for make in (
        lambda g: HenonNet(4, 2, 3, generator=g),
        lambda g: SympNet(4, "LA", 2, parameters=1, generator=g),
        lambda g: SympNet(4, "G", 2, 3, generator=g),
        lambda g: RidgeSymplectic(4, 3, generator=g),
    ):
        first, again, other = (make(generator(k)).state_dict() for k in (0, 0, 1))
        assert all(torch.equal(first[name], again[name]) for name in first)
        assert not all(torch.equal(first[name], other[name]) for name in first)


def test_first_weights() -> None:
    net = HenonNet(4, 200, 8, generator=generator())
    drawn = {
        name: torch.cat([getattr(layer.potential, name).flatten() for layer in net.parts]).detach()
        for name in "wab"
    }
    for name, fans in (("w", 10), ("a", 9), ("b", 9)):
        deviation = (2 / fans) ** 0.5
        assert drawn[name].std().item() == pytest.approx(deviation, rel=0.05)
        assert drawn[name].abs().max() < 2 * deviation / 0.879
    full, small = (HenonNet(4, 2, 8, gain=gain, generator=generator()) for gain in (1.0, 0.3))
    assert all(torch.equal(b, 0.3 * a) for a, b in zip(full.parameters(), small.parameters()))
    shears = SympNet(4, "G", 10, 50, generator=generator())
    weights = [value.flatten() for name, value in shears.named_parameters() if name.endswith("w")]
    assert torch.cat(weights).std().item() == pytest.approx(0.01, rel=0.1)


def test_a_system_is_followed() -> None:
    system = Hamiltonian("p1**2/2 + q1**2/2")
    net = shaken(SympNet(2, "G", 2, 4, h=0.1, system=system))
    z = box(1, 3)
    assert torch.allclose(net.energy(z), (z**2).sum(-1) / 2)
    assert net.observables == {"energy": 1}
    assert net.config() == SympNet(2, "G", 2, 4, h=0.1).config()
    net.follow(None)
    assert net.observables == {}


WRONG: dict[str, tuple[Any, str]] = {
    "odd": (lambda: HenonNet(3), "dim: expected a positive even number"),
    "zero": (lambda: RidgeSymplectic(0), "dim: expected a positive even number"),
    "float": (lambda: SympNet(2.0), "dim: expected a positive even number"),  # type: ignore[arg-type]
    "kind": (lambda: SympNet(2, "H"), "kind: expected 'LA', 'G' or 'T', got 'H'"),
    "timed parameters": (lambda: SympNet(2, "T", parameters=1), "parameters: expected 0 for kind 'T'"),
    "half": (lambda: LinearShear(2, "x"), "updates: expected 'p' or 'q'"),
    "activation": (lambda: ActivationShear(2, "p", "relu"), "activation: expected one of"),
    "profile": (lambda: RidgeLayer(2, 3, "relu"), "profile: expected one of"),
    "hidden polynomial": (lambda: RidgeLayer(2, 3, 2, units=2), "units: expected 1 for a polynomial"),
    "degree": (lambda: RidgeLayer(2, 3, 0), "profile: expected a whole number of at least 1"),
    "units": (lambda: GradientShear(2, 0), "units: expected a whole number of at least 1"),
    "degrees": (lambda: HenonMap(0), "degrees: expected a whole number of at least 1"),
    "layers": (lambda: HenonNet(4, 0), "layers: expected a whole number of at least 1"),
    "none": (lambda: SymplecticFlow([]), "layers: expected at least one"),
    "degrees of freedom": (
        lambda: SymplecticFlow([LinearShear(1), LinearShear(2)]),
        "expected one number of degrees of freedom",
    ),
    "parameters": (
        lambda: SymplecticFlow([GradientShear(1, 2, parameters=k) for k in (1, 2)]),
        "expected one number of degrees of freedom and of parameters",
    ),
    "scales": (lambda: SymplecticFlow([LinearShear(1)], scale=[1.0, 2.0]), "scale: expected one number or"),
    "scale": (lambda: SymplecticFlow([LinearShear(1)], scale=float("nan")), "scale: expected finite numbers"),
    "step": (lambda: SympNet(2, h=0.0), "h: expected a finite step"),
    "system": (
        lambda: SympNet(4, system=Hamiltonian("p1**2 + q1**2")),
        "system: expected states of size 4",
    ),
    "state": (lambda: LinearShear(2)(torch.zeros(3)), r"z: expected shape \(..., 4\)"),
    "control": (
        lambda: GradientShear(1, 2, parameters=2)(torch.zeros(2), 1.0, torch.zeros(3)),
        r"control: expected parameters \(..., 2\), got \(3,\)",
    ),
    "no control": (
        lambda: ExtendedLinear(1, 2, parameters=2)(box(1)),
        r"control: expected parameters \(..., 2\), got None",
    ),
    "centre": (
        lambda: HenonMap(2).normalise(torch.zeros(3), torch.ones(2)),
        r"centre: expected shape \(2,\)",
    ),
    "diameter": (
        lambda: HenonMap(2).normalise(torch.zeros(2), torch.zeros(2)),
        "diameter: expected positive numbers",
    ),
}


@pytest.mark.parametrize("case", list(WRONG))
def test_refusals(case: str) -> None:
    make, message = WRONG[case]
    with pytest.raises(ValueError, match=message):
        make()


def test_things_that_are_no_layers_are_refused() -> None:
    with pytest.raises(TypeError, match=r"layers\[1\]: expected a SymplecticLayer, got Linear"):
        SymplecticFlow([LinearShear(1), torch.nn.Linear(2, 2)])  # type: ignore[list-item]
