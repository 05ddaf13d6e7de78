"""Refusals that name the argument, and precision that outer settings do not take away."""

from __future__ import annotations

import copy
import subprocess
import sys

import pytest
import torch

from lie import SE3, SO3, Euclidean, MatrixLieGroup, quaternion

from .shipped import GROUPS


def test_shapes_are_refused_by_name():
    eye, four = torch.eye(3), torch.zeros(4)
    for call, message in (
        (lambda: SO3.exp(four), r"xi must have shape \(\.\.\., 3\).*got \(4,\)"),
        (lambda: SO3.exp(torch.tensor(1.0)), r"xi must have shape"),
        (lambda: SE3.exp(torch.zeros(2, 3)), r"xi must have shape \(\.\.\., 6\).*got \(2, 3\)"),
        (lambda: SE3.log(eye), r"g must be SE3 matrices of shape \(\.\.\., 4, 4\)"),
        (lambda: SO3.act(eye, four), r"points must have shape \(\.\.\., 3\)"),
        (lambda: SE3.act(torch.eye(4), four), r"points must have shape \(\.\.\., 3\)"),
        (lambda: SO3.from_quaternion(torch.zeros(3)), r"q_xyzw must have shape \(\.\.\., 4\)"),
        (lambda: SE3.from_parts(torch.eye(4), torch.zeros(3)), r"R must be SO3"),
        (lambda: SE3.from_parts(eye, four), r"t must have shape"),
        (lambda: SE3.coadjoint(torch.eye(4), torch.zeros(3)), r"mu must have shape \(\.\.\., 6\)"),
        (lambda: quaternion.multiply(four, torch.zeros(3)), r"b must have shape \(\.\.\., 4\)"),
        (lambda: quaternion.exp(four), r"phi must have shape \(\.\.\., 3\)"),
        (lambda: quaternion.distance(eye, four), r"a must have shape \(\.\.\., 4\)"),
        (lambda: quaternion.multiply(four, four.to("meta")), r"a is on cpu and b on meta"),
        (lambda: quaternion.rotate(four, eye[0].to("meta")), r"q is on cpu and points on meta"),
        (lambda: SE3.from_parts(eye, eye[0].to("meta")), r"R is on cpu and t on meta"),
        (lambda: SO3.vee(torch.zeros(3, 2)), r"X must be SO3"),
        (lambda: SO3.squared_distance(eye, torch.eye(4)), r"y must be SO3"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.parametrize("dtype", [torch.int64, torch.float16, torch.bfloat16, torch.complex128])
def test_other_dtypes_are_refused(dtype):
    for call in (lambda: SO3.exp(torch.zeros(3, dtype=dtype)), lambda: SE3.hat(torch.zeros(6, dtype=dtype))):
        with pytest.raises(TypeError, match="float32 or float64"):
            call()


def test_a_basis_of_the_wrong_shape_is_refused():
    class Broken(MatrixLieGroup):
        name, dim, matrix_dim = "Broken", 2, 3

        def basis(self, dtype, device=None):
            return torch.zeros(3, 3, 3, dtype=dtype, device=device)

    with pytest.raises(ValueError, match=r"basis of Broken must have shape \(2, 3, 3\)"):
        Broken()


def test_check_refuses_what_is_not_a_motion():
    g = SE3.random(4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    SE3.check(g)
    SE3.check(g + 1e-6, tol=1e-4)
    for entry, value, message in (((2, 3, 0), 0.1, "defect"), ((2, 0, 3), torch.inf, "finite")):
        bad = g.clone()
        bad[entry] = value
        with pytest.raises(ValueError, match=rf"pose\[2\].*{message}"):
            SE3.check(bad, "pose")
    SE3.check(g[:0])
    with pytest.raises(ValueError, match="R is not in SO3"):
        SO3.check(torch.full((3, 3), 0.5), "R")


def test_autocast_and_reduced_matrix_products_do_not_touch_group_operations():
    xi = torch.randn(8, 6, generator=torch.Generator().manual_seed(0))

    def run():
        g = SE3.exp(xi)
        return g, SE3.compose(g, SE3.inverse(g)), SE3.log(g), SE3.Ad(g)

    plain = run()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = run()
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        reduced = run()
    finally:
        torch.set_float32_matmul_precision(before)
    for a, b, c in zip(plain, cast, reduced):
        assert b.dtype == torch.float32
        assert torch.equal(a, b)
        torch.testing.assert_close(a, c, rtol=0, atol=4e-6)


def test_nothing_made_inside_a_transform_or_inference_outlives_it():
    xi = torch.ones(3, dtype=torch.float64)
    with torch.inference_mode():
        SO3.exp(xi)
    torch.func.grad(lambda x: SO3.exp(x).sum())(xi)
    leaf = xi.clone().requires_grad_()
    SO3.log(SO3.exp(leaf)).sum().backward()
    assert leaf.grad is not None
    assert not SO3.exp(xi).requires_grad


def test_values_that_are_not_numbers_show():
    nan = torch.full((3,), torch.nan)
    assert bool(SO3.exp(nan).isnan().any())
    matrix = torch.full((3, 3), torch.nan)
    assert bool(SO3.log(matrix, check=False).isnan().any())
    assert bool(SO3.squared_distance(torch.eye(3), matrix, check=False).isnan())


def test_groups_are_named_and_can_be_copied():
    assert repr(SO3) == "lie.SO3"
    assert type(copy.deepcopy(SE3)) is type(SE3)


def test_lie_needs_torch_alone():
    code = (
        "import sys, lie; "
        "foreign = {'numba', 'sympy.core', 'scipy', 'pytest', 'geomlearn', 'integrators', 'h5py'}; "
        "bad = foreign & set(sys.modules); "
        "sys.exit(str(bad) if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


groups = pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)


def operations(group):
    """Every operation of a group with sound arguments, by the names in the signature."""
    g, xi = group.identity(2, dtype=torch.float64), torch.zeros(2, group.dim, dtype=torch.float64)
    points = torch.zeros(2, *group.point_shape, dtype=torch.float64)
    weights = torch.ones(2, dtype=torch.float64)
    cayley = (
        (group.cayley, {"u": xi}),
        (group.cayley_inverse, {"g": g}),
        (group.cayley_jacobian, {"u": xi}),
        (group.cayley_jacobian_inverse, {"u": xi}),
    )
    return (
        (group.hat, {"xi": xi}),
        (group.vee, {"X": g}),
        (group.ad, {"xi": xi}),
        (group.coadjoint_algebra, {"xi": xi, "mu": xi}),
        (group.compose, {"a": g, "b": g}),
        (group.inverse, {"g": g}),
        (group.act, {"g": g, "points": points}),
        (group.exp, {"xi": xi}),
        (group.log, {"g": g}),
        (group.Ad, {"g": g}),
        (group.coadjoint, {"g": g, "mu": xi}),
        (group.plus, {"g": g, "xi": xi}),
        (group.minus, {"h": g, "g": g}),
        (group.left_jacobian, {"xi": xi}),
        (group.left_jacobian_inverse, {"xi": xi}),
        (group.right_jacobian, {"xi": xi}),
        (group.right_jacobian_inverse, {"xi": xi}),
        (group.distance, {"x": g, "y": g}),
        (group.squared_distance, {"x": g, "y": g}),
        (lambda x, y: group.interpolate(x, y, 0.5), {"x": g, "y": g}),
        (group.mean, {"points": g, "weights": weights}),
        (group.project, {"x": g}),
        (group.residual, {"x": g}),
        (group.check, {"x": g}),
        *(cayley if group.cayley_closed else ()),
    )


def refused(call, arguments, kind, message):
    """Whether a call is refused with this error."""
    with pytest.raises(kind, match=message):
        call(**arguments)


@groups
def test_every_argument_of_the_wrong_shape_is_named(group):
    for call, arguments in operations(group):
        call(**arguments)
        for name, value in arguments.items():
            for wrong in (value[..., :-1], torch.cat((value, value[..., :1]), -1), value.sum()):
                message = rf"{name} must (be|have) .*got .*\({', '.join(map(str, wrong.shape))}"
                refused(call, {**arguments, name: wrong}, ValueError, message)


@groups
@pytest.mark.parametrize("dtype", [torch.int64, torch.float16, torch.complex128])
def test_every_argument_of_another_dtype_is_named(group, dtype):
    for call, arguments in operations(group):
        for name, value in arguments.items():
            wrong = {**arguments, name: value.to(dtype)}
            refused(call, wrong, TypeError, rf"{name} must be float32 or float64, got {dtype}")


@groups
def test_arguments_on_two_devices_are_both_named(group):
    for call, arguments in operations(group):
        if len(arguments) == 1:
            continue
        first, second = arguments
        wrong = {**arguments, second: arguments[second].to("meta")}
        refused(
            call,
            wrong,
            ValueError,
            rf"{first} is on cpu and {second} on meta.*{second}\.to\({first}\.device\)",
        )
        wrong = {**arguments, first: arguments[first].to("meta")}
        refused(call, wrong, ValueError, rf"{first} is on meta and {second} on cpu")


@groups
def test_what_is_no_element_is_refused_where_values_are_read(group):
    g = group.identity(2, 3, dtype=torch.float64)
    readers = [
        (group.log, ("g",)),
        (group.minus, ("h", "g")),
        (group.distance, ("x", "y")),
        (group.squared_distance, ("x", "y")),
        (lambda x, y, **more: group.interpolate(x, y, 0.5, **more), ("x", "y")),
        (group.mean, ("points",)),
        *([(group.cayley_inverse, ("g",))] if group.cayley_closed else []),
    ]
    first = (1, 2, *(0 for _ in group.element_shape))
    for factor, message in (
        (2.0, "defect is.*project"),
        (torch.nan, "not finite"),
        (torch.inf, "not finite"),
    ):
        if isinstance(group, Euclidean) and factor == 2:
            continue
        bad = g.clone()
        bad[1, 2] = factor * torch.where(bad[1, 2] == 0, 0.1, bad[1, 2])
        for call, names in readers:
            for name in names:
                arguments = {other: bad if other == name else g for other in names}
                refused(call, arguments, ValueError, rf"(^|factor \d of ){name}\[1, 2[],].*{message}")
                call(**arguments, check=False)
    assert g[first].isfinite()
