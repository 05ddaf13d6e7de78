"""Exported graphs against the models, in torch and in onnxruntime."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from geomlearn import LieFVIN, export, lie
from geomlearn._registry import config_of
from geomlearn.export._elimination import eliminate, inverse_by_cofactors
from geomlearn.nn import MLP, DirectFlow, Gyroceptron, HenonNet, RidgeSymplectic, SympNet
from integrators import (
    FlowMap,
    GaussLegendre,
    Hamiltonian,
    MechanicalSystem,
    ModuleHamiltonian,
    RungeKutta4,
    StateSpace,
    Verlet,
    vector,
)

runtime = pytest.importorskip("onnxruntime", reason="needs the extra onnx")
pytest.importorskip("onnxscript", reason="needs the extra onnx")


def source() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def energy_net(dtype: torch.dtype) -> torch.nn.Module:
    return MLP((4, 6, 1), dtype=dtype, generator=source())


class AutogradEnergy(torch.nn.Module):
    """An energy whose field asks autograd inside the call."""

    def __init__(self) -> None:
        super().__init__()
        self.net = torch.nn.Sequential(torch.nn.Linear(2, 5), torch.nn.SiLU(), torch.nn.Linear(5, 1)).double()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        value: torch.Tensor = self.net(x)
        return value

    def gradient(self, x: torch.Tensor) -> torch.Tensor:
        with torch.enable_grad():
            y = x.detach().requires_grad_()
            return torch.autograd.grad(self.net(y).sum(), y)[0]


def run(path: Path, *arguments: torch.Tensor) -> torch.Tensor:
    """The ONNX file in onnxruntime, as a user loads it."""
    session = runtime.InferenceSession(str(path))
    named = {entry.name: value.numpy() for entry, value in zip(session.get_inputs(), arguments, strict=True)}
    return torch.from_numpy(session.run(None, named)[0])


def states(batch: int, model: FlowMap | MechanicalSystem | ModuleHamiltonian) -> torch.Tensor:
    size = model.space.size
    return torch.randn(batch, size, generator=source(), dtype=torch.float64).to(model_dtype(model))


def model_dtype(model: torch.nn.Module) -> torch.dtype:
    return next((p.dtype for p in model.parameters()), torch.float64)


MAPS = {
    "verlet": lambda dtype: Verlet(
        MechanicalSystem(2, potential=MLP((2, 6, 1), dtype=dtype, generator=source()), dtype=dtype), 0.1
    ),
    "runge-kutta": lambda dtype: RungeKutta4(ModuleHamiltonian(energy_net(dtype), 2), 0.1),
    "henon": lambda dtype: HenonNet(4, 1, 5, h=0.3, epsilon=0.7, dtype=dtype, generator=source()),
    "sympnet": lambda dtype: SympNet(4, kind="G", layers=3, units=5, dtype=dtype, generator=source()),
    "ridge": lambda dtype: RidgeSymplectic(4, 5, h=0.3, dtype=dtype, generator=source()),
    "gyroceptron": lambda dtype: Gyroceptron(
        4, 0.01, (1, 0), angle=2.4, near_identity_size=4, dtype=dtype, generator=source()
    ),
}


@pytest.mark.parametrize(
    ("name", "bits"), [*((name, 64) for name in MAPS), ("verlet", 32), ("sympnet", 32), ("gyroceptron", 32)]
)
def test_a_step_is_the_models_for_any_batch(name: str, bits: int, tmp_path: Path) -> None:
    dtype = torch.float64 if bits == 64 else torch.float32
    flow = MAPS[name](dtype)
    export.to_onnx(flow, tmp_path / "step.onnx")
    tolerance = 1e-12 if dtype is torch.float64 else 2e-6
    for batch in (1, 5):
        x = states(batch, flow)
        found = run(tmp_path / "step.onnx", x)
        assert found.dtype == dtype
        torch.testing.assert_close(found, flow(x).detach(), rtol=tolerance, atol=tolerance)


def test_a_learned_field_and_energy_and_the_steps_of_an_expression(tmp_path: Path) -> None:
    system = ModuleHamiltonian(energy_net(torch.float64), 2)
    x = states(3, system)
    export.to_onnx(system, tmp_path / "field.onnx")
    export.to_onnx(system, tmp_path / "energy.onnx", quantity="energy")
    torch.testing.assert_close(run(tmp_path / "field.onnx", x), system.field(x).detach(), rtol=0, atol=1e-13)
    torch.testing.assert_close(
        run(tmp_path / "energy.onnx", x), system.energy(x).detach(), rtol=0, atol=1e-13
    )
    known = Verlet(Hamiltonian("p**2/2 - w*cos(q)", {"w": 1.1}), 1 / 3)
    export.to_onnx(known, tmp_path / "steps.onnx", steps=4, batch=2)
    x = states(2, known)
    torch.testing.assert_close(run(tmp_path / "steps.onnx", x), known.unroll(x, steps=4), rtol=0, atol=1e-13)


def test_autograd_inside_a_model_is_traced_away() -> None:
    system = ModuleHamiltonian(AutogradEnergy(), 1)
    program = export.to_program(system)
    call: Any = program.module()
    x = states(4, system)
    assert "autograd" not in str(program.graph)
    torch.testing.assert_close(call(x), system.field(x), rtol=0, atol=1e-14)
    assert call(x[:0]).shape == (0, 2)


def test_inputs_and_next_states(tmp_path: Path) -> None:
    flow = DirectFlow(lie.SO3, 0.02, hidden=(6,), controls=2, generator=source())
    export.to_onnx(flow, tmp_path / "steps.onnx", steps=3)
    x, u = states(4, flow), torch.randn(3, 4, 2, generator=source(), dtype=torch.float64)
    torch.testing.assert_close(
        run(tmp_path / "steps.onnx", x, u), flow.unroll(x, u).detach(), rtol=0, atol=1e-12
    )


def test_the_variational_step_of_a_learned_body() -> None:
    """Its equations are solved by a fixed number of Newton steps; what cannot be solved is NaN."""
    inertia = torch.diag(torch.tensor([1.0, 2.0, 2.5], dtype=torch.float64))
    model = LieFVIN(lie.SO3, h=0.02, inertia=inertia, input_gain=1, generator=source())
    module: Any = export.to_program(model).module()
    rotation = lie.SO3.random(5, generator=source(), dtype=torch.float64)
    omega, u = (torch.randn(5, k, generator=source(), dtype=torch.float64) for k in (3, 1))
    x = model.space.pack(R=rotation, omega=omega)
    torch.testing.assert_close(module(x, u), model(x, u), rtol=0, atol=1e-14)
    too_fast = model.space.pack(R=rotation, omega=1e4 * omega)
    assert torch.isnan(module(too_fast, u)).any(-1).all()


@pytest.mark.slow
def test_the_variational_step_in_onnx(tmp_path: Path) -> None:
    inertia = torch.diag(torch.tensor([1.0, 2.0, 2.5], dtype=torch.float64))
    model = LieFVIN(lie.SO3, h=0.02, inertia=inertia, generator=source())
    export.to_onnx(model, tmp_path / "body.onnx")
    rotation = lie.SO3.random(5, generator=source(), dtype=torch.float64)
    x = model.space.pack(R=rotation, omega=torch.ones(5, 3, dtype=torch.float64))
    torch.testing.assert_close(run(tmp_path / "body.onnx", x), model(x).detach(), rtol=0, atol=1e-13)


def test_files_describe_themselves(tmp_path: Path) -> None:
    flow = MAPS["ridge"](torch.float32)
    export.to_onnx(flow, tmp_path / "net.onnx", steps=2)
    export.to_program(flow, tmp_path / "net.pt2", steps=2)
    found = export.describe(tmp_path / "net.onnx")
    assert found == export.describe(tmp_path / "net.pt2")
    assert (found["model"], found["quantity"], found["h"], found["steps"]) == (
        "RidgeSymplectic",
        "step",
        0.3,
        2,
    )
    assert (found["dtype"], found["inputs"], found["output"]) == ("float32", ["state"], "states")
    assert [(part["name"], part["start"], part["shape"]) for part in found["state"]] == [
        ("q", 0, [2]),
        ("p", 2, [2]),
    ]
    assert found["config"] == config_of(flow)
    session = runtime.InferenceSession(str(tmp_path / "net.onnx"))
    assert json.loads(session.get_modelmeta().custom_metadata_map["geomlearn"]) == found
    assert [entry.shape for entry in (*session.get_inputs(), *session.get_outputs())] == [
        ["batch", 4],
        [2, "batch", 4],
    ]
    x = states(3, flow)
    loaded: Any = torch.export.load(tmp_path / "net.pt2").module()
    torch.testing.assert_close(loaded(x), flow.unroll(x, steps=2).detach())


def test_units_and_manifolds_are_described() -> None:
    target = export._target.choose_target(LieFVIN(lie.SO3, h=0.1, inertia=torch.eye(3).tolist()), None, None)
    state = export._description.describe_target(target)["state"]
    assert [(part["name"], part["shape"], part["unit"], part["manifold"]) for part in state] == [
        ("R", [3, 3], "1", str(lie.SO3)),
        ("omega", [3], "rad/s", None),
    ]


def test_a_missing_configuration_is_said_with_class_and_reason(tmp_path: Path) -> None:
    def described(model: torch.nn.Module) -> dict[str, Any]:
        return export._description.describe_target(export._target.choose_target(model, None, None))

    whole = described(MAPS["ridge"](torch.float64))
    assert whole["config"]["type"] == "RidgeSymplectic"
    assert "config_missing" not in whole
    bare = described(Verlet(Hamiltonian("p**2/2 - cos(q)"), 0.1))
    assert (bare["config"], bare["config_missing"]) == (None, "Verlet has no config()")
    functional = LieFVIN(lie.SO3, h=0.1, inertia=torch.eye(3).tolist(), potential=lambda R: R[..., 2, 2])
    found = described(functional)
    assert found["config"] is None
    assert re.match(r"LieFVIN\.config\(\) failed: potential: expected a module", found["config_missing"])

    class Odd(RidgeSymplectic):
        def config(self) -> dict[str, Any]:
            return {**super().config(), "start": torch.zeros(2)}

    export.to_program(Odd(4, modules=2, generator=source()), tmp_path / "odd.pt2")
    found = export.describe(tmp_path / "odd.pt2")
    assert found["config"] is None
    assert "Odd.config(): expected plain JSON values" in found["config_missing"]


def test_an_implicit_step_is_refused_by_name(tmp_path: Path) -> None:
    flow = GaussLegendre(Hamiltonian("p**2/2 - cos(q)"), 0.1)
    with pytest.raises(export.ExportError, match=r"a step of GaussLegendre solves equations .* Verlet"):
        export.to_program(flow)
    with pytest.raises(export.ExportError, match="GaussLegendre"):
        export.to_onnx(flow, tmp_path / "no.onnx")
    assert not list(tmp_path.iterdir())


class Branching(FlowMap):
    """A step that looks at the values of states."""

    def __init__(self, plain: bool) -> None:
        super().__init__()
        self.space, self.h, self.plain = StateSpace(vector("x", 1)), 0.1, plain

    def advance(self, carry, control, constants):
        if self.plain:
            return carry + 1 if bool((carry > 0).all()) else carry - 1
        return carry + (1.0 if torch.compiler.is_compiling() else 2.0)


def test_a_branch_on_values_is_refused() -> None:
    with pytest.raises(
        export.ExportError, match=r"'step' of Branching branches on the values .* torch.where"
    ):
        export.to_program(Branching(plain=True))


def test_other_numbers_than_the_models_are_refused(tmp_path: Path) -> None:
    with pytest.raises(export.ExportError, match=r"the exported program differs from the model by 0\.\d+"):
        export.to_program(Branching(plain=False))
    with pytest.raises(export.ExportError, match=r"the ONNX model in onnxruntime differs .* batch of 1"):
        export.to_onnx(Branching(plain=False), tmp_path / "no.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"quantity": "speed"}, ValueError, r"quantity: expected one of \['step', 'energy'\]"),
        ({"steps": 0}, ValueError, "steps: expected None for one step"),
        ({"quantity": "energy", "steps": 2}, ValueError, "steps: expected None for the quantity 'energy'"),
        ({"batch": 0}, ValueError, "batch: expected 'dynamic' or a number"),
        ({"batch": "any"}, ValueError, "batch: expected 'dynamic' or a number"),
        ({"quantity": "phase_derivative"}, TypeError, "quantity: expected one whose values are tensors"),
    ],
    ids=["quantity", "steps", "steps-of-energy", "batch-zero", "batch-word", "not-a-tensor"],
)
def test_bad_options(options: dict[str, object], error: type[Exception], message: str) -> None:
    flow = Verlet(Hamiltonian("p**2/2 + q**2/2"), 0.1)
    with pytest.raises(error, match=message):
        export.to_program(flow, **options)  # type: ignore[arg-type]


def test_other_modules_and_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"model: expected a flow map or a system, got MLP; .*ModuleField"):
        export.to_program(MLP((2, 3, 1)))
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(ValueError, match=r"path: expected an ONNX or \.pt2 file"):
        export.describe(tmp_path / "text.onnx")


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ImportError, match=r"onnxscript is needed .* pip install 'geomlearn\[onnx\]'"):
        export.to_onnx(Verlet(Hamiltonian("p**2/2"), 0.1), tmp_path / "no.onnx")


def test_small_systems_are_solved_in_plain_operations() -> None:
    matrix = torch.randn(20, 5, 5, generator=source(), dtype=torch.float64)
    right = torch.randn(20, 5, 2, generator=source(), dtype=torch.float64)
    torch.testing.assert_close(
        eliminate(matrix, right), torch.linalg.solve(matrix, right), rtol=1e-9, atol=1e-11
    )
    swap = torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=torch.float64)  # needs the pivot of the other row
    assert torch.equal(eliminate(swap, torch.eye(2, dtype=torch.float64)), swap)
    small = matrix[:, :3, :3]
    torch.testing.assert_close(inverse_by_cofactors(small), torch.linalg.inv(small), rtol=1e-9, atol=1e-11)
