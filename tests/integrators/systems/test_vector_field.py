"""Vector fields from expressions: values against numbers by hand, kernels against torch, refusals."""

from __future__ import annotations

import math

import pytest
import sympy
import torch

from integrators import VectorField

from ._kernels import evaluate


def points(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def driven(**options) -> VectorField:
    return VectorField(
        ["x2", "-a*sin(x1) + u2*cos(t) - u1*x2"], parameters={"a": 2.0}, inputs="u1 u2",
        energy="x2**2/2 - a*cos(x1)", invariants={"both": ["x1*a", "x2 + t"]}, **options,
    )  # fmt: skip


def test_field_energy_and_invariants_are_the_expressions() -> None:
    system = driven(units={"x1": "rad", "x2": "rad/s"})
    assert (system.timed, system.control_size) == (True, 2)
    assert system.space.labels() == ["x1", "x2", "t[0]"]
    assert [part.unit for part in system.space.parts] == ["rad", "rad/s", "1"]
    x = torch.tensor([0.3, -0.5, 1.1], dtype=torch.float64)
    u = torch.tensor([0.2, 0.7], dtype=torch.float64)
    slope = [-0.5, -2 * math.sin(0.3) + 0.7 * math.cos(1.1) + 0.2 * 0.5, 1.0]
    assert system.field(x, u).tolist() == pytest.approx(slope, rel=1e-15)
    assert system.field(x).tolist() == pytest.approx([-0.5, -2 * math.sin(0.3), 1.0], rel=1e-15)
    assert float(system.energy(x)) == pytest.approx(0.125 - 2 * math.cos(0.3), rel=1e-15)
    assert system.invariant("both", x).tolist() == pytest.approx([0.6, 0.6], rel=1e-15)
    assert system.observables == {"energy": 1, "both": 2}


def test_batches_controls_and_transforms() -> None:
    system = driven()
    x, u = points(4, 1, 3), points(5, 2)
    assert system.field(x, u).shape == (4, 5, 3)
    assert system.field(x[:0], u).shape == (0, 5, 3)
    torch.testing.assert_close(torch.vmap(system.field)(x[:, 0], u[:4]), system.field(x[:, 0], u[:4]))
    jacobian = torch.func.jacrev(system.field)(x[0, 0], u[0])
    assert jacobian.shape == (3, 3)
    assert float(jacobian[1, 1]) == pytest.approx(-float(u[0, 0]), rel=1e-15)
    assert system.to(torch.float32).field(x.float()).dtype == torch.float32


def test_kernel_equals_torch() -> None:
    system = driven()
    x, u = points(8, 3), points(8, 2)
    torch.testing.assert_close(
        evaluate(system, system.emit_field, 3, x, u), system.field(x, u), rtol=0, atol=1e-14
    )


def test_names_and_order_of_variables() -> None:
    assert VectorField({"prey": "prey*(1 - fox)", "fox": "fox*(prey - 1)"}).space.labels() == ["prey", "fox"]
    assert VectorField({"a": "b", "b": "-a"}, variables="b a").space.labels() == ["b", "a"]
    assert VectorField(["-x"]).space.labels() == ["x"]
    assert VectorField(["x2", "x3", "1"]).space.labels() == ["x[0]", "x[1]", "x[2]"]
    y = sympy.Symbol("y")
    symbolic = VectorField([sympy.sin(y)], variables=[y])
    assert symbolic.field(torch.ones(1, dtype=torch.float64)).item() == pytest.approx(math.sin(1))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: VectorField(["-k*x"]), r"expressions\['x'\]: unknown symbol k; .*parameters="),
        (lambda: VectorField(["-x1", "u"], variables="x1 x2"), r"unknown symbol u; .*inputs="),
        (lambda: VectorField(["x2", "x1"], variables="x1 x2 x3"), "expected 2 names, one for each slope"),
        (lambda: VectorField({"x": "y", "y": "x"}, variables="x z"), "names of the slopes, x, y, got x, z"),
        (lambda: VectorField("-x"), "one slope for each variable"),
        (lambda: VectorField({}), "one slope for each variable.*got {}"),
        (lambda: VectorField(["-x"], inputs="u"), "inputs: u acts nowhere"),
        (lambda: VectorField(["u - x"], inputs="u", parameters={"u": 1.0}), "parameters: u is already among"),
        (lambda: VectorField({"t": "1"}), "t is time"),
        (lambda: VectorField(["-x"], energy="x**2 + v"), "energy: unknown symbol v"),
        (lambda: VectorField(["-x"], units={"y": "m"}), "units: expected names among x, got y"),
        (lambda: VectorField(["-k*x"], parameters={"k": math.inf}), "one finite number"),
    ],
)
def test_bad_input_is_refused(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_wrong_number_of_controls_is_refused() -> None:
    with pytest.raises(ValueError, match=r"control: expected shape \(\.\.\., 2\), got \(3,\)"):
        driven().field(points(3), points(3))
