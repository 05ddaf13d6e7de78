"""Compiled layers against torch, forwards and backwards, one trajectory and blocks of them."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from geomlearn.nn import GradientShear, HenonNet, RidgeSymplectic, SymplecticFlow, SympNet
from geomlearn.nn._symplectic import emit_layers
from geomlearn.nn._symplectic._reversed import ReversedLayer
from integrators import Hamiltonian, rollout
from integrators.kernels import KernelBuilder

from .._models import generator, shaken
from ._layers import KINDS, box, every_layer, parameters_for

STEPS = 6
ELEMENTARY = {
    "hyperbolic_tangent": math.tanh,
    "logistic": lambda s: 1 / (1 + math.exp(-s)),
    "sine": math.sin,
    "cosine": math.cos,
}


def interpreted(flow: SymplecticFlow, z: Tensor, control: Tensor | None) -> Tensor:
    """A step by the text of the kernel, as plain Python, with a lane for each of the states ``(L, n)``."""
    program = flow.kernel_program([])
    names: dict[str, Any] = {"L": len(z), **ELEMENTARY}
    exec(program.builder.function("step", "A, P"), names)
    rows = torch.full((program.builder.row_count, len(z)), math.nan, dtype=torch.float64)
    rows[: z.shape[-1]] = z.mT
    if control is not None:
        rows[program.control_row : program.control_row + control.shape[-1]] = control.mT
    flat = rows.flatten().numpy()
    names["step"](flat, program.builder.flat_parameters())
    return torch.from_numpy(flat).reshape(rows.shape)[: z.shape[-1]].mT


def agree(flow: SymplecticFlow, lanes: int) -> None:
    z = box(flow.degrees, lanes, half=0.7)
    control = parameters_for(flow, lanes)
    with torch.no_grad():
        expected = flow(z, control)
    assert (expected - z).abs().max() > 1e-3
    assert torch.allclose(interpreted(flow, z, control), expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("d", [1, 2, 7])
def test_text_of_every_layer(d: int, kind: str, inverse: bool) -> None:
    """Small matrices are written out, large ones are loops; one trajectory has loops of its own."""
    layer = every_layer(d)[kind]
    flow = SymplecticFlow([ReversedLayer(layer, flipped=False) if inverse else layer], 0.3)
    for lanes in (1, 2):
        agree(flow, lanes)


@pytest.mark.parametrize("inverse", [False, True])
def test_patterns_become_loops(inverse: bool) -> None:
    sets = [every_layer(2, seed, 0.2) for seed in range(5)]
    order = [
        *[(seed, "gradient p") for seed in range(3)],
        *[(seed, kind) for seed in range(4) for kind in ("extended linear", "activation q", "Hénon layer")],
        *[(seed, kind) for seed in range(5) for kind in ("gradient p", "linear q")],
        (4, "gradient p"),
        (0, "ridge tanh"),
    ]
    flow = SymplecticFlow([sets[seed][kind] for seed, kind in order], 0.3)
    assert lines(flow) < 250
    agree(flow.adjoint() if inverse else flow, 2)


def test_scales_of_their_own() -> None:
    layers = [every_layer(2, seed)["gradient p"] for seed in range(4)]
    agree(SymplecticFlow(layers, 0.3, [0.5, None, None, -2.0]), 2)


@pytest.mark.parametrize("batch", [(), (70,)], ids=str)
def test_compiled_steps(batch: tuple[int, ...]) -> None:
    source = generator()
    layers = [*HenonNet(4, 2, 5, generator=source).parts, *RidgeSymplectic(4, 7, generator=source).parts]
    layers.append(shaken(GradientShear(2, 21, "q", parameters=2, generator=source)))
    flow, z = SymplecticFlow(layers, 0.3), box(2, *batch, half=0.5)
    controls = torch.randn(STEPS, *batch, 2, generator=source, dtype=torch.float64)
    run = rollout(flow, z, STEPS, controls=controls, backend="numba")
    with torch.no_grad():
        expected = flow.unroll(z, controls)[-1]
    assert torch.allclose(run.final, expected, rtol=1e-12, atol=1e-12)


def test_single_precision_and_the_energy_of_a_system() -> None:
    system = Hamiltonian("p1**2/2 + q1**2/2")
    net = shaken(RidgeSymplectic(2, 4, h=0.1, system=system, generator=generator()), 0.2)
    z = box(1, 70)
    run = rollout(net, z, 20, observe=["energy"], backend="numba")
    assert torch.allclose(run.observations["energy"], system.energy(run.states), rtol=0, atol=1e-14)
    single = rollout(net.float(), z.float(), 20, backend="numba")
    assert single.final.dtype == torch.float32
    assert (single.final.double() - run.final).abs().max() < 1e-4


def lines(flow: Any) -> int:
    program = flow.kernel_program([])
    return len(program.builder.function("step", "A, P").splitlines())


@pytest.mark.parametrize(
    ("make", "most"),
    [
        (lambda n: HenonNet(4, n, 8), 60),
        (lambda n: SympNet(4, "G", 2 * n, 10), 100),
        (lambda n: SympNet(4, "LA", 2 * n + 1, shears=4), 160),
        (lambda n: RidgeSymplectic(4, n), 70),
    ],
    ids=["henon", "G", "LA", "ridge"],
)
def test_code_does_not_grow_with_the_number_of_layers(make: Any, most: int) -> None:
    assert lines(make(20)) == lines(make(4)) < most


def test_a_layer_alone() -> None:
    layer = every_layer(2)["Hénon layer"]
    texts = []
    for whole in (False, True):
        b = KernelBuilder()
        z = b.rows(4)
        b.section("step")
        if whole:
            emit_layers(b, [layer], z, ["@3"], True)
        else:
            layer.emit(b, z, "@3", inverse=True)
        texts.append(b.function("step", "A, P"))
    assert texts[0] == texts[1]
    assert "A[3 * L + l] * A" in texts[0]
