"""Functions of symmetric matrices against 60-digit arithmetic, at equal eigenvalues and next to them.

Derivatives are compared with difference quotients whose steps of 1e-20 and 1e-14 leave 24 digits.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import mpmath
import pytest
import torch
from torch import Tensor

from lie import symmetric
from lie._divided_differences import EXP, INVERSE_SQRT, LOG, SQRT, Floor, Power
from lie._spectral import spectral

F64 = torch.float64
mp = mpmath.mp.clone()
mp.dps = 60


def of(scalar: Callable[[Any], Any], X: Any) -> Any:
    """The matrix function by eigenvalues, whose values need no care."""
    d, V = mp.eigsy(X)
    return V * mp.diag([scalar(entry) for entry in d]) * V.T


FUNCTIONS: dict[str, tuple[Callable[..., Tensor], Callable[[Any], Any]]] = {
    "exp": (symmetric.exp, mp.exp),
    "log": (symmetric.log, mp.log),
    "sqrt": (symmetric.sqrt, mp.sqrt),
    "inverse_sqrt": (symmetric.inverse_sqrt, lambda x: 1 / mp.sqrt(x)),
    "power": (partial(symmetric.power, p=0.3), lambda x: x ** mp.mpf(0.3)),
}
PLACES = ("identity", "pair", "rounding", "near", "ordinary")
functions = pytest.mark.parametrize("name", FUNCTIONS)
places = pytest.mark.parametrize("place", PLACES)
dtypes = pytest.mark.parametrize("dtype", [torch.float32, F64], ids=("float32", "float64"))


def noise(seed: int, *shape: int) -> Tensor:
    X = torch.randn(*shape, 3, 3, generator=torch.Generator().manual_seed(seed), dtype=F64)
    return X + X.mT


def matrix(place: str, dtype: torch.dtype) -> Tensor:
    """Positive definite matrices whose eigenvalues are equal, almost equal or apart."""
    eye = torch.eye(3, dtype=F64)
    X = {
        "identity": eye,
        "pair": torch.diag(torch.tensor([2.0, 2.0, 5.0], dtype=F64)),
        "rounding": eye + 1e-9 * noise(1),
        "near": eye + 1e-4 * noise(1),
        "ordinary": noise(2) @ noise(2) + 0.5 * eye,
    }[place].to(dtype)
    return 0.5 * (X + X.mT)


def exact(X: Tensor) -> Any:
    return mp.matrix(X.double().tolist())


def close(got: Tensor, truth: Any, bound: float) -> None:
    """Compare with a reference, in epsilons of the dtype relative to the largest entry."""
    truth = mp.matrix(truth)
    size = max(abs(entry) for entry in truth)
    error = max(abs(entry) for entry in exact(got) - truth)
    assert error <= bound * torch.finfo(got.dtype).eps * size, float(error / size)


def slope_of(scalar: Callable[[Any], Any], X: Tensor, H: Tensor) -> Any:
    x, h = exact(X), exact(H) * mp.mpf(10) ** -20
    return (of(scalar, x + h) - of(scalar, x - h)) / (2 * mp.mpf(10) ** -20)


def curvature_of(scalar: Callable[[Any], Any], X: Tensor, G: Tensor, H: Tensor) -> Any:
    step = mp.mpf(10) ** -14
    x, g, h = exact(X), exact(G) * step, exact(H) * step
    corners = of(scalar, x + g + h) + of(scalar, x - g - h) - of(scalar, x + g - h) - of(scalar, x - g + h)
    return corners / (4 * step**2)


@functions
@places
@dtypes
def test_values_and_derivatives_along_a_line(name: str, place: str, dtype: torch.dtype) -> None:
    function, reference = FUNCTIONS[name]
    X, H = matrix(place, dtype), noise(3).to(dtype)
    value, slope = torch.func.jvp(function, (X,), (H,))[:2]
    close(value, of(reference, exact(X)), 32)
    close(slope, slope_of(reference, X, H), 32)


@functions
@places
@dtypes
def test_gradients(name: str, place: str, dtype: torch.dtype) -> None:
    function, reference = FUNCTIONS[name]
    X, W = matrix(place, dtype).requires_grad_(), noise(4).to(dtype)
    (gradient,) = torch.autograd.grad((W * function(X)).sum(), X)
    # the derivative is self-adjoint, so that the gradient is the derivative along the weight
    close(gradient, slope_of(reference, X, W), 32)
    assert torch.equal(gradient, gradient.mT)


@functions
@places
@dtypes
def test_second_derivatives(name: str, place: str, dtype: torch.dtype) -> None:
    function, reference = FUNCTIONS[name]
    X, G, H = matrix(place, dtype), noise(5).to(dtype), noise(6).to(dtype)
    truth = curvature_of(reference, X, G, H)

    def slope(Y: Tensor) -> Tensor:
        return torch.func.jvp(function, (Y,), (G,))[1]

    close(torch.func.jvp(slope, (X,), (H,))[1], truth, 200)
    hessian = torch.func.hessian(lambda Y: (H * function(Y)).sum())(X)
    assert bool(torch.isfinite(hessian).all())
    # <H, D^2 f[G, E]> = <E, D^2 f[G, H]>
    close(torch.einsum("ijkl,kl->ij", hessian, G), truth, 200)


@functions
@pytest.mark.parametrize("place", ["identity", "pair", "ordinary"])
def test_every_mode_agrees(name: str, place: str) -> None:
    function = partial(FUNCTIONS[name][0], check=False)
    X = matrix(place, F64).requires_grad_()
    assert torch.autograd.gradcheck(
        function, X, check_forward_ad=True, check_batched_grad=True, check_batched_forward_grad=True
    )
    assert torch.autograd.gradgradcheck(function, X, check_fwd_over_rev=True, check_batched_grad=True)
    X, W = X.detach(), noise(4)

    def weighted(Y: Tensor) -> Tensor:
        return (W * function(Y)).sum()

    expected = torch.func.hessian(weighted)(X)
    for outer, inner in (("jacrev", "jacrev"), ("jacrev", "jacfwd"), ("jacfwd", "jacfwd")):
        hessian = getattr(torch.func, outer)(getattr(torch.func, inner)(weighted))(X)
        torch.testing.assert_close(hessian, expected, rtol=1e-13, atol=1e-13)
    batch = torch.stack((X, 2 * X))
    torch.testing.assert_close(torch.vmap(function)(batch), function(batch), rtol=1e-14, atol=1e-14)
    torch.testing.assert_close(torch.vmap(torch.func.hessian(weighted))(batch)[0], expected)


def test_dual_numbers_without_functorch() -> None:
    X, H = matrix("pair", F64), noise(3)
    expected = torch.func.jvp(symmetric.log, (X,), (H,))[1]
    with torch.autograd.forward_ad.dual_level():
        dual = symmetric.log(torch.autograd.forward_ad.make_dual(X, H))
        slope = torch.autograd.forward_ad.unpack_dual(dual).tangent
        assert slope is not None
        torch.testing.assert_close(slope, expected)


@pytest.mark.parametrize("name", ["exp", "log", "sqrt"])
def test_compile_without_graph_breaks(name: str) -> None:
    function = FUNCTIONS[name][0]
    X, W = matrix("pair", F64).requires_grad_(), noise(4)
    torch._dynamo.reset()
    value = torch.compile(function, fullgraph=True, backend="aot_eager")(X)
    torch.testing.assert_close(value, function(X), rtol=1e-14, atol=1e-14)
    gradients = [torch.autograd.grad((W * y).sum(), X)[0] for y in (value, function(X))]
    torch.testing.assert_close(*gradients, rtol=1e-14, atol=1e-14)
    torch._dynamo.reset()


def test_transforms_inside_compile() -> None:
    X, W = matrix("pair", F64), noise(4)

    def program(Y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        def weighted(Z: Tensor) -> Tensor:
            return (W * symmetric.sqrt(Z)).sum()

        batch = torch.stack((Y, 2 * Y))
        slope = torch.func.jvp(symmetric.sqrt, (Y,), (W,))[1]
        return slope, torch.func.hessian(weighted)(Y), torch.vmap(torch.func.grad(weighted))(batch)

    torch._dynamo.reset()
    compiled = torch.compile(program, fullgraph=True, backend="aot_eager")(X)
    for got, expected in zip(compiled, program(X), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-13, atol=1e-13)
    torch._dynamo.reset()


def test_third_derivatives_are_refused() -> None:
    X, W = matrix("ordinary", F64), noise(4)

    def weighted(Y: Tensor) -> Tensor:
        return (W * symmetric.sqrt(Y)).sum()

    hessian = torch.func.hessian(weighted)
    with pytest.raises(NotImplementedError, match="third"):
        torch.func.jvp(hessian, (X,), (noise(3),))
    third = torch.compile(
        torch.func.jacrev(torch.func.jacrev(torch.func.grad(weighted))), fullgraph=True, backend="aot_eager"
    )
    assert not bool(torch.isfinite(third(X)).any())
    torch._dynamo.reset()


@dtypes
@pytest.mark.parametrize("shape", [(), (0,), (2, 1)], ids=str)
def test_batches(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    X = matrix("ordinary", dtype).expand(*shape, 3, 3).clone().requires_grad_()
    for function, _ in FUNCTIONS.values():
        value = function(X)
        assert value.shape == X.shape
        assert value.dtype == dtype
        (gradient,) = torch.autograd.grad(value.sum(), X, create_graph=True)
        (again,) = torch.autograd.grad(gradient.sum(), X)
        assert again.shape == X.shape


def test_large_matrices_are_summed_in_blocks() -> None:
    generator = torch.Generator().manual_seed(0)
    X, G, H = (torch.randn(90, 90, generator=generator, dtype=F64) for _ in range(3))
    X = (0.1 * (X + X.mT)).requires_grad_()

    def second(f: Callable[[Tensor], Tensor]) -> Tensor:
        (first,) = torch.autograd.grad((H * f(X)).sum(), X, create_graph=True)
        return torch.autograd.grad((G * first).sum(), X)[0]

    expected = second(lambda Y: torch.linalg.matrix_exp(0.5 * (Y + Y.mT)))
    torch.testing.assert_close(second(symmetric.exp), expected, rtol=1e-10, atol=1e-10)


def test_autocast_keeps_the_precision() -> None:
    X = matrix("ordinary", torch.float32).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = symmetric.log(X)
        (gradient,) = torch.autograd.grad(value.sum(), X)
    assert torch.equal(value, symmetric.log(X))
    assert torch.equal(gradient, torch.autograd.grad(symmetric.log(X).sum(), X)[0])


SCALARS: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "exp": (EXP, mp.exp),
    "log": (LOG, mp.log),
    "sqrt": (SQRT, mp.sqrt),
    "inverse_sqrt": (INVERSE_SQRT, lambda x: 1 / mp.sqrt(x)),
    "power 0.3": (Power(0.3), lambda x: x ** mp.mpf(0.3)),
    "power -1": (Power(-1.0), lambda x: 1 / x),
    "power 3.5": (Power(3.5), lambda x: x ** mp.mpf(3.5)),
    "power 10": (Power(10.0), lambda x: x**10),
}


@dtypes
@pytest.mark.parametrize("name", SCALARS)
def test_divided_differences(name: str, dtype: torch.dtype) -> None:
    scalar, reference = SCALARS[name]
    gaps = (0.0, 1e-12, 1e-9, 1e-7, 1e-5, 1e-3, 0.1, 0.2, 0.24, 0.26, 0.4, 1.0, 3.0, 30.0)
    triples = torch.tensor(
        [
            (place * (1 + gap * share), place * (1 + gap), place)
            for place in (0.03, 1.0, 7.0)
            for gap in gaps
            for share in (0.0, 0.37, 0.5, 1.0)
        ],
        dtype=dtype,
    )
    if name == "exp":
        triples = triples.log()
    first = scalar.first(triples[:, 0], triples[:, 1])
    second = scalar.second(*triples.unbind(-1))
    for k, numbers in enumerate(triples.tolist()):
        with mp.workdps(160):  # apart by 1e-40, which changes nothing in the digits compared
            points = [mp.mpf(x) + j * mp.mpf(10) ** -40 for j, x in enumerate(numbers)]
            table = [reference(x) for x in points]
            one = [(table[j + 1] - table[j]) / (points[j + 1] - points[j]) for j in range(2)]
            two = (one[1] - one[0]) / (points[2] - points[0])
        eps = torch.finfo(dtype).eps
        assert abs(float(first[k]) / one[0] - 1) < 20 * eps, numbers
        assert abs(float(second[k]) / two - 1) < 40 * eps, numbers


def test_floor_raises_the_eigenvalues_below_it() -> None:
    X = noise(7)
    d, V = torch.linalg.eigh(X)
    value = spectral(Floor(0.5), X)
    torch.testing.assert_close(value, (V * d.clamp_min(0.5)) @ V.mT)
    assert torch.autograd.gradcheck(partial(spectral, Floor(0.5)), X.requires_grad_())
    assert torch.autograd.gradgradcheck(partial(spectral, Floor(0.5)), X)


def test_wrong_arguments_are_refused_by_name() -> None:
    X = matrix("ordinary", F64).repeat(2, 1, 1)
    with pytest.raises(ValueError, match=r"X must be symmetric matrices of shape .*got \(2, 3, 2\)"):
        symmetric.exp(X[..., :2])
    with pytest.raises(TypeError, match=r"X must be float32 or float64, got torch\.int64"):
        symmetric.exp(X.long())
    with pytest.raises(TypeError, match=r"p must be a number, got Tensor.*symmetric\.exp"):
        symmetric.power(X, X[0, 0, 0])  # type: ignore[arg-type]
    skew = X.clone()
    skew[1, 0, 2] += 1
    with pytest.raises(ValueError, match=r"X\[1\] is not symmetric.*by 1\. .*symmetric part"):
        symmetric.log(skew)
    for function in (symmetric.log, symmetric.sqrt, symmetric.inverse_sqrt, partial(symmetric.power, p=2.0)):
        with pytest.raises(ValueError, match=r"X\[0\] is not positive definite.*lie\.SPD\(3\)\.project"):
            function(-X)
        singular = X.clone()
        singular[1] = torch.ones(3, 3)
        with pytest.raises(ValueError, match=r"X\[1\] is not positive definite"):
            function(singular)
    with pytest.raises(ValueError, match=r"X\[0\] has entries that are not finite"):
        symmetric.exp(X * torch.nan)
    for function in (symmetric.log, symmetric.sqrt):
        value = function(torch.stack((-X[0], torch.nan * X[0], X[0])), check=False)
        assert torch.equal(value.isnan().all(-1).all(-1), torch.tensor([True, True, False]))
