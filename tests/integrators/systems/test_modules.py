"""Systems of modules: slopes, masses, trajectories and kernels against autograd and DOP853.

Generated code is executed by Python itself, except in one test.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor, nn

from geomlearn.nn import MLP, LearnedMass, LogCholeskyInertia
from integrators import (
    BlanesMoanS6,
    BlanesMoanS10,
    GaussLegendre,
    HamiltonianSystem,
    MechanicalSystem,
    ModuleField,
    ModuleHamiltonian,
    RungeKutta4,
    SeparableModules,
    Verlet,
    rollout,
)
from integrators.kernels import KernelBuilder, Rows, load_kernel

from ..kernels._interpreted import run_program

DOUBLE = torch.float64
SPD = torch.tensor([[2.0, 0.3], [0.3, 1.0]], dtype=DOUBLE)


def drawn(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def points(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=drawn(seed), dtype=DOUBLE)


def stack(*sizes: int, activation: type[nn.Module] = nn.Tanh, seed: int = 1) -> nn.Sequential:
    """Torch's own layers."""
    layers: list[nn.Module] = []
    for a, b in pairwise(sizes):
        layers += [nn.Linear(a, b, dtype=DOUBLE), activation()]
    net = nn.Sequential(*layers[:-1])
    with torch.no_grad():
        for k, parameter in enumerate(net.parameters()):
            parameter.copy_(0.7 * points(*parameter.shape, seed=seed + k))
    return net


class Quartic(nn.Module):
    """``V = k sum q^4 / 4`` with kernel code of its own."""

    def __init__(self, k: float) -> None:
        super().__init__()
        self.k = nn.Parameter(torch.tensor(k, dtype=DOUBLE))

    def forward(self, q: Tensor) -> Tensor:
        return self.k * (q**4).sum(-1) / 4

    def emit_value(self, builder: KernelBuilder, position: Rows, rotation: Rows) -> int:
        (value,) = builder.rows(1)
        k = builder.number(builder.parameter(self.k))
        powers = " + ".join(f"@{row} ** 4" for row in position)
        builder.lanes(f"@{value} = {k} * ({powers}) / 4.0")
        return value

    def emit_gradient(self, builder: KernelBuilder, position: Rows, rotation: Rows) -> tuple[Rows, Rows]:
        slope = builder.rows(len(position))
        k = builder.number(builder.parameter(self.k))
        builder.lanes(*[f"@{s} = {k} * @{row} ** 3" for s, row in zip(slope, position, strict=True)])
        return slope, []


def test_slopes_are_those_of_autograd_in_every_batch_shape() -> None:
    net, kinetic = stack(2, 9, 7, 1), stack(2, 6, 1, seed=5)
    systems: list[HamiltonianSystem] = [
        MechanicalSystem(2, potential=net, mass=SPD),
        MechanicalSystem(2, potential=MLP((2, 9, 7, 1), generator=drawn(2)), mass=[1.0, 2.0]),
        SeparableModules(kinetic, net, 2),
        ModuleHamiltonian(stack(4, 8, 1, activation=nn.SiLU), 2),
        ModuleHamiltonian(lambda x: (x**2).sum(-1) * x[..., 0].cos(), 2),
    ]
    for system in systems:
        for batch in ((), (0,), (3,), (2, 3)):
            x = points(*batch, 4).requires_grad_()
            (slope,) = torch.autograd.grad(system.energy(x).sum(), x)
            q, p = system.gradient(x)
            torch.testing.assert_close(torch.cat((q, p), -1), slope, rtol=1e-13, atol=1e-14)
            expected = torch.cat((slope[..., 2:], -slope[..., :2]), -1)
            torch.testing.assert_close(system.field(x), expected, rtol=1e-13, atol=1e-14)
            if system.separable:
                torch.testing.assert_close(system.force(x[..., :2]), -q, rtol=0, atol=0)
                torch.testing.assert_close(system.velocity(x[..., 2:]), p, rtol=0, atol=0)
        x = points(3, 4)
        torch.testing.assert_close(torch.vmap(system.field)(x), system.field(x), rtol=1e-13, atol=1e-14)
        hessian = torch.func.vmap(torch.func.hessian(system.energy))(x)
        slopes = torch.func.vmap(torch.func.jacrev(system.field))(x)
        form = torch.zeros(4, 4, dtype=DOUBLE)
        form[:2, 2:], form[2:, :2] = torch.eye(2), -torch.eye(2)
        torch.testing.assert_close(slopes, form @ hessian, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    ("mass", "matrix"),
    [
        (2.5, 2.5 * torch.eye(2)),
        ([1.0, 4.0], torch.diag(torch.tensor([1.0, 4.0]))),
        (SPD.tolist(), SPD),
        (nn.Parameter(SPD.clone()), SPD),
        (LearnedMass(1.5), 1.5 * torch.eye(2)),
    ],
)
def test_masses_of_every_kind_give_the_velocity(mass, matrix) -> None:
    system = MechanicalSystem(2, potential=lambda q: q.cos().sum(-1), mass=mass)
    matrix, x = matrix.to(DOUBLE), points(5, 4)
    velocity = torch.linalg.solve(matrix, x[:, 2:].T).T
    torch.testing.assert_close(system.velocity(x[:, 2:]), velocity, rtol=1e-13, atol=1e-14)
    energy = 0.5 * (x[:, 2:] * velocity).sum(-1) + x[:, :2].cos().sum(-1)
    torch.testing.assert_close(system.energy(x), energy, rtol=1e-13, atol=1e-14)
    learned = isinstance(mass, nn.Module | nn.Parameter)
    assert bool(list(system.parameters())) == learned
    if learned:
        (slope,) = torch.autograd.grad(Verlet(system, 0.1)(x).square().sum(), list(system.parameters()))
        assert bool((slope != 0).any())


def test_a_step_is_differentiable_in_the_weights() -> None:
    flow = Verlet(MechanicalSystem(1, potential=stack(1, 3, 1), mass=LearnedMass(1.5)), 0.1)
    names = [name for name, _ in flow.named_parameters()]
    x = points(2, 2)

    def end(*weights: Tensor) -> Tensor:
        named = dict(zip(names, weights, strict=True))
        return torch.func.functional_call(flow, named, (torch.func.functional_call(flow, named, (x,)),))

    assert torch.autograd.gradcheck(end, tuple(p.detach().requires_grad_() for p in flow.parameters()))


def test_learned_trajectories_follow_dop853() -> None:
    net, field = stack(2, 6, 1), stack(3, 7, 2, seed=9)
    x = points(4, seed=3)
    mechanical = MechanicalSystem(2, potential=net, mass=SPD)
    driven, u = ModuleField(field, size=2, control_size=1), torch.tensor([0.4], dtype=DOUBLE)
    cases = (
        (BlanesMoanS10(mechanical, 0.05), mechanical.field, x, None),
        (BlanesMoanS10(SeparableModules(stack(2, 5, 1, seed=20), net, 2), 0.05), None, x, None),
        (GaussLegendre(ModuleHamiltonian(stack(4, 6, 1), 2), 0.05, stages=3), None, x, None),
        (RungeKutta4(driven, 0.005), None, x[:2], u),
    )
    for flow, _, start, control in cases:
        steps = round(2 / flow.h)

        def slope(_: float, z: np.ndarray, flow=flow, control=control) -> np.ndarray:
            with torch.no_grad():
                return flow.system.field(torch.from_numpy(z), control).numpy()

        exact = solve_ivp(slope, (0, 2), start.numpy(), method="DOP853", rtol=1e-13, atol=1e-13).y[:, -1]
        run = rollout(flow, start, steps, controls=control, backend="torch")
        torch.testing.assert_close(run.final, torch.from_numpy(exact), rtol=0, atol=1e-9)


def kernel_cases():
    net = stack(2, 6, 5, 1)
    big = points(10, 10, seed=4)
    yield "stack", Verlet(MechanicalSystem(2, potential=net, mass=SPD), 0.05), 4
    yield (
        "mlp",
        Verlet(MechanicalSystem(2, potential=MLP((2, 5, 1), "softplus"), mass=LearnedMass(2.0)), 0.05),
        4,
    )
    yield "inertia", Verlet(MechanicalSystem(3, potential=stack(3, 4, 1), mass=LogCholeskyInertia()), 0.05), 6
    yield "own code", BlanesMoanS6(MechanicalSystem(3, potential=Quartic(1.3), mass=[1.0, 2.0, 3.0]), 0.05), 6
    dense = MechanicalSystem(10, potential=stack(10, 3, 1, seed=30), mass=big @ big.T + torch.eye(10))
    yield "dense", Verlet(dense, 0.02, compensated=True), 20
    one = stack(2, 5, 1, activation=nn.Sigmoid)
    yield "separable", Verlet(SeparableModules(one, one, 2), 0.05), 4
    yield "stages", GaussLegendre(MechanicalSystem(2, potential=stack(2, 3, 1), mass=SPD), 0.05), 4
    yield "whole", GaussLegendre(ModuleHamiltonian(stack(4, 5, 1), 2), 0.05), 4


@pytest.mark.parametrize(
    ("flow", "size"), [case[1:] for case in kernel_cases()], ids=[c[0] for c in kernel_cases()]
)
@pytest.mark.parametrize("lanes", [1, 3])
def test_generated_code_follows_torch(flow, size: int, lanes: int) -> None:
    x = 0.5 * points(lanes, size, seed=11)
    states, observed, codes = run_program(flow.kernel_program(["energy"]), x, 100, torch.zeros(0, 1, 0))
    expected = rollout(flow, x, 100, observe="energy", backend="torch")
    assert codes.tolist() == [0] * lanes
    torch.testing.assert_close(states, expected.states[1:], rtol=0, atol=1e-12)
    torch.testing.assert_close(observed[..., 0], expected.observations["energy"][1:], rtol=0, atol=1e-12)


def test_generated_code_of_a_driven_field_follows_torch() -> None:
    flow = RungeKutta4(
        ModuleField(stack(4, 5, 3, activation=nn.ReLU), size=3, control_size=1, energy=Quartic(1.0)), 0.05
    )
    x, u = points(3, 3), points(100, 3, 1, seed=8)
    states, observed, _ = run_program(flow.kernel_program(["energy"]), x, 100, u)
    expected = rollout(flow, x, 100, controls=u, observe="energy", backend="torch")
    torch.testing.assert_close(states, expected.states[1:], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(observed[..., 0], expected.observations["energy"][1:], rtol=1e-12, atol=1e-12)


@pytest.mark.slow
def test_compiled_rollouts_take_new_weights_and_masses_without_compiling_again() -> None:
    net, mass = MLP((2, 16, 16, 1), generator=drawn(0)), LearnedMass(2.0)
    flow = Verlet(MechanicalSystem(2, potential=net, mass=mass), 0.05)
    x = points(5, 4)
    ends = []
    for _ in range(2):
        runs = [rollout(flow, x, 100, observe="energy", backend=backend) for backend in ("numba", "torch")]
        torch.testing.assert_close(runs[0].final, runs[1].final, rtol=0, atol=1e-12)
        energies = [run.observations["energy"] for run in runs]
        torch.testing.assert_close(energies[0], energies[1], rtol=0, atol=1e-12)
        ends.append((runs[0].final, load_kernel(flow.kernel_program(["energy"]), 32)))
        with torch.no_grad():
            for parameter in flow.parameters():
                parameter.add_(0.05 * points(*parameter.shape, seed=7))
    assert ends[0][1] is ends[1][1]
    assert float((ends[0][0] - ends[1][0]).abs().max()) > 1e-3


def test_what_kernels_do_not_know_runs_in_torch_and_says_why() -> None:
    x = points(2, 4)
    function = MechanicalSystem(2, potential=lambda q: q.cos().sum(-1))
    with pytest.warns(UserWarning, match="potential: .*lambda.* has no kernel code; kernels take nn.Linear"):
        rollout(Verlet(function, 0.1), x, 500)
    mixed = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 1)).to(DOUBLE)
    for module, message in (
        (mixed, "activations tanh, relu has no kernel code"),
        (nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3), nn.Linear(3, 1)).to(DOUBLE), "LayerNorm"),
        (nn.Sequential(nn.Linear(4, 1), nn.Tanh()).to(DOUBLE), "does not end in nn.Linear"),
        (stack(4, 3, 1, activation=lambda: nn.Softplus(beta=2.0)), "beta=2"),  # type: ignore[arg-type]
    ):
        flow = GaussLegendre(ModuleHamiltonian(module, 2), 0.1)
        with pytest.raises(TypeError, match=message):
            rollout(flow, x, 1, backend="numba")
    apart = ModuleField(lambda x, u: -x + u, size=2, control_size=2)
    with pytest.raises(TypeError, match="apart has no kernel code"):
        rollout(RungeKutta4(apart, 0.1), x[:, :2], 1, backend="numba")
    observed = MechanicalSystem(2, potential=Quartic(1.0), invariants={"first": lambda z: z[..., 0]})
    with pytest.raises(TypeError, match=r"invariants\['first'\] is a torch function.*numba.njit"):
        rollout(Verlet(observed, 0.1), x, 1, observe="first", backend="numba")
    assert rollout(Verlet(observed, 0.1), x, 1, observe="first", backend="torch").observations[
        "first"
    ].shape == (2, 2)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: MechanicalSystem(2, potential=lambda q: q), ValueError, r"expected values of shape \(2,\)"),
        (lambda: MechanicalSystem(2, potential=lambda q: q.sum()), ValueError, "last dimension alone"),
        (lambda: MechanicalSystem(2, potential=lambda q: 1.0), TypeError, "expected a tensor, got float"),
        (lambda: MechanicalSystem(2, potential="q"), TypeError, "potential: expected a module or"),  # type: ignore[arg-type]
        (lambda: MechanicalSystem(2), ValueError, "a potential or a force"),
        (lambda: MechanicalSystem(0, potential=Quartic(1.0)), ValueError, "degrees: expected an integer"),
        (lambda: MechanicalSystem(2, potential=Quartic(1.0), mass=-1.0), ValueError, "positive masses"),
        (lambda: MechanicalSystem(2, Quartic(1.0), mass=[1.0] * 3), ValueError, "mass: expected one of"),
        (
            lambda: MechanicalSystem(2, potential=Quartic(1.0), mass=[[1.0, 2.0], [2.0, 1.0]]),
            ValueError,
            "positive definite matrix, got the eigenvalue -1",
        ),
        (
            lambda: MechanicalSystem(2, potential=Quartic(1.0), mass=[[1.0, 2.0], [0.0, 1.0]]),
            ValueError,
            "symmetric",
        ),
        (lambda: MechanicalSystem(2, Quartic(1.0), mass=stack(2, 1)), ValueError, "ModuleHamiltonian"),
        (
            lambda: MechanicalSystem(2, potential=Quartic(1.0), parameters={"k": 1.0}),
            ValueError,
            "k is an argument of none",
        ),
        (
            lambda: MechanicalSystem(2, potential=Quartic(1.0), invariants={"L": lambda x: x.sum()}),
            ValueError,
            r"invariants\['L'\]: expected shape \(2,\)",
        ),
        (lambda: ModuleHamiltonian(stack(4, 3, 2), 2), ValueError, "module: expected values of shape"),
        (lambda: SeparableModules(Quartic(1.0), "q", 2), TypeError, "potential: expected"),  # type: ignore[arg-type]
        (lambda: ModuleField(stack(3, 4), size=3), ValueError, "slopes of shape"),
        (lambda: ModuleField("x", size=3), TypeError, "module: expected a module"),  # type: ignore[arg-type]
        (
            lambda: Verlet(ModuleHamiltonian(stack(4, 3, 1), 2), 0.1),
            ValueError,
            r"needs H = T\(p\) \+ V\(q\).*GaussLegendre",
        ),
    ],
)  # fmt: skip
def test_bad_parts_are_refused(make, error, message) -> None:
    with pytest.raises(error, match=message):
        make()


def test_a_system_without_an_energy_says_so() -> None:
    field = ModuleField(stack(2, 3, 2), size=2)
    assert "energy" not in field.observables
    with pytest.raises(NotImplementedError, match="no energy"):
        field.energy(points(2))
    with pytest.raises(ValueError, match="control: expected shape"):
        ModuleField(stack(3, 2), 2, control_size=1).field(points(2), points(2))


def test_numbers_that_are_not_finite_stop_their_trajectory_and_name_it() -> None:
    flow = Verlet(MechanicalSystem(1, potential=lambda q: q[..., 0].sqrt()), 0.1)
    run = rollout(flow, torch.tensor([[1.0, 0.5], [0.25, -1.0]], dtype=DOUBLE), 10, backend="torch")
    assert run.failed_at.tolist()[0] == -1
    step = run.failed_at.tolist()[1]
    assert step > 0
    with pytest.raises(ArithmeticError, match=rf"1 of 2 .* batch index \(1,\).*NaN.*step {step}\)"):
        run.raise_for_status()
