"""The laws of a Lie group as a pytest suite: subclass it, name the group, and every operation is checked.

    from lie.testing import LieGroupSuite

    class TestMyGroup(LieGroupSuite):
        group = MyGroup()

The laws are the defining equations of ``LieGroup``; closed forms are held equal to the generic ones;
derivatives are checked in reverse and forward mode, twice, at the identity and next to it; so are ``vmap``,
``torch.compile``, broadcasting, dtypes and refusals.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ._group import LieGroup

with (
    warnings.catch_warnings()
):  # torch 2.13 warns about its own torch.jit.script when forward mode is first used
    warnings.simplefilter("ignore", DeprecationWarning)
    importlib.import_module("torch._decomp.decompositions_for_jvp")

DTYPES = (torch.float32, torch.float64)
SHAPES = ((), (0,), (3,), (2, 1, 3))
PLACES = ("identity", "tiny", "ordinary")
TANGENT_OPERATIONS = ("hat", "exp", "ad", "left_jacobian", "left_jacobian_inverse", "right_jacobian")
ELEMENT_OPERATIONS = ("log", "inverse", "Ad")
CAYLEY_TANGENT = ("cayley", "cayley_jacobian", "cayley_jacobian_inverse")

dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=["float32", "float64"])
shapes = pytest.mark.parametrize("shape", SHAPES, ids=str)
places = pytest.mark.parametrize("place", PLACES)


def _jvp(function: Callable[[Tensor], Tensor], x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    value, derivative = torch.func.jvp(function, (x,), (v,))[:2]
    return value, derivative


class LieGroupSuite:
    """The laws that a group must satisfy.

    Attributes:
        group: The group.
        point_dim: Size of the points that ``act`` moves; None means the size of the group's matrices.
        radius: Largest length of tangents drawn; exp must be one-to-one on the ball of twice this radius.
        slack: Error accepted, in epsilons of the dtype times the size of the result.
        compiled: Operations checked under ``torch.compile(fullgraph=True)``.
    """

    group: LieGroup
    point_dim: int | None = None
    radius: float = 1.2
    slack: float = 1000.0
    compiled: tuple[str, ...] = (
        "exp",
        "log",
        "inverse",
        "Ad",
        "ad",
        "left_jacobian",
        "left_jacobian_inverse",
    )

    # Helpers

    def tangent(
        self, *shape: int, place: str = "ordinary", dtype: torch.dtype = torch.float64, seed: int = 0
    ) -> Tensor:
        """Draw tangents in the ball of ``radius``, next to zero, or zero."""
        generator = torch.Generator().manual_seed(seed)
        xi = torch.randn(*shape, self.group.dim, generator=generator, dtype=torch.float64)
        xi = (
            xi
            / xi.norm(dim=-1, keepdim=True)
            * torch.rand(*shape, 1, generator=generator, dtype=torch.float64)
        )
        return (xi * {"identity": 0.0, "tiny": 1e-7, "ordinary": self.radius}[place]).to(dtype)

    def element(
        self, *shape: int, place: str = "ordinary", dtype: torch.dtype = torch.float64, seed: int = 0
    ) -> Tensor:
        """Draw elements as exponentials of tangents."""
        return torch.linalg.matrix_exp(
            self.group.hat(self.tangent(*shape, place=place, seed=seed)),
        ).to(dtype)

    def assert_close(self, got: Tensor, expected: Tensor) -> None:
        """Compare two tensors of equal shape and dtype, relative to their size or to one."""
        assert got.shape == expected.shape, f"shape {tuple(got.shape)}, expected {tuple(expected.shape)}"
        assert got.dtype == expected.dtype, f"dtype {got.dtype}, expected {expected.dtype}"
        if got.numel() == 0:
            return
        size = max(1.0, float(expected.abs().max()))
        error = float((got - expected).abs().max())
        bound = self.slack * torch.finfo(got.dtype).eps * size
        assert error <= bound, f"error {error:.3g}, accepted {bound:.3g}"

    def _call(self, operation: str) -> Callable[[Tensor], Tensor]:
        function: Callable[[Tensor], Tensor] = getattr(self.group, operation)
        return function

    def _input(
        self, operation: str, *shape: int, place: str = "ordinary", dtype: torch.dtype = torch.float64
    ) -> Tensor:
        takes_element = operation in (*ELEMENT_OPERATIONS, "cayley_inverse")
        return (self.element if takes_element else self.tangent)(*shape, place=place, dtype=dtype)

    def _cayley(self, *operations: str) -> tuple[str, ...]:
        return operations if self.group.cayley_closed else ()

    # Algebra

    @dtypes
    @shapes
    def test_hat_and_vee_are_inverse(self, shape: tuple[int, ...], dtype: torch.dtype) -> None:
        """Vee reads back the coordinates, and hat is the sum over the basis."""
        xi = self.tangent(*shape, dtype=dtype)
        matrix = self.group.hat(xi)
        n = self.group.matrix_dim
        self.assert_close(
            matrix, (xi[..., None, None] * self.group.basis(dtype)).sum(-3).reshape(*shape, n, n)
        )
        self.assert_close(self.group.vee(matrix), xi)

    def test_algebra_is_closed_under_the_bracket(self) -> None:
        """Commutators of the basis lie in its span, and ad is the commutator in coordinates."""
        basis = self.group.basis(torch.float64)
        bracket = basis[:, None] @ basis[None] - basis[None] @ basis[:, None]
        coordinates = self.group.vee(bracket)
        self.assert_close(self.group.hat(coordinates), bracket)
        eye = torch.eye(self.group.dim, dtype=torch.float64)
        self.assert_close(self.group.ad(eye).mT, coordinates)

    # Group

    @dtypes
    def test_identity_and_inverse(self, dtype: torch.dtype) -> None:
        """The identity is neutral, and g g^-1 is the identity."""
        g, one = self.element(5, dtype=dtype), self.group.identity(5, dtype=dtype)
        self.assert_close(self.group.compose(g, one), g)
        self.assert_close(self.group.compose(one, g), g)
        self.assert_close(self.group.compose(g, self.group.inverse(g)), one)
        self.assert_close(self.group.compose(self.group.inverse(g), g), one)

    def test_composition_is_associative_and_acts_from_the_left(self) -> None:
        """(a b) c = a (b c), and (a b) p = a (b p)."""
        a, b, c = (self.element(4, seed=k) for k in range(3))
        compose, act = self.group.compose, self.group.act
        self.assert_close(compose(compose(a, b), c), compose(a, compose(b, c)))
        size = self.group.matrix_dim if self.point_dim is None else self.point_dim
        points = torch.linspace(-1, 1, 4 * size, dtype=torch.float64).reshape(4, size)
        self.assert_close(act(compose(a, b), points), act(a, act(b, points)))
        self.assert_close(act(a[:, None], points), torch.stack([act(g, points) for g in a]))

    @dtypes
    @places
    def test_exp_is_the_matrix_exponential_and_log_its_inverse(self, place: str, dtype: torch.dtype) -> None:
        """Exp equals matrix_exp of hat, stays in the group, and log undoes it."""
        xi = self.tangent(20, place=place, dtype=dtype)
        g = self.group.exp(xi)
        self.assert_close(g, torch.linalg.matrix_exp(self.group.hat(xi)))
        self.assert_close(self.group.log(g), xi)
        self.assert_close(self.group.exp(-xi), self.group.inverse(g))
        self.group.check(g)

    def test_small_tangents_come_back_with_relative_accuracy(self) -> None:
        """Log of exp of a tangent of size 1e-7 keeps half of the digits at least."""
        xi = self.tangent(20, place="tiny")
        error = (self.group.log(self.group.exp(xi)) - xi).abs().max() / xi.abs().max()
        assert float(error) < 1e-7

    def test_plus_and_minus_are_inverse(self) -> None:
        """Plus(g, minus(h, g)) = h and minus(plus(g, xi), g) = xi."""
        g, xi = self.element(6), self.tangent(6, seed=1)
        h = self.group.plus(g, xi)
        self.assert_close(self.group.minus(h, g), xi)
        self.assert_close(self.group.plus(g, self.group.minus(h, g)), h)

    # Adjoint

    def test_adjoint_conjugates(self) -> None:
        """Hat(Ad(g) xi) = g hat(xi) g^-1, Ad is a homomorphism, and coadjoint its transpose."""
        g, h, xi, mu = (
            self.element(4),
            self.element(4, seed=1),
            self.tangent(4, seed=2),
            self.tangent(4, seed=3),
        )
        group = self.group
        adjoint = group.Ad(g)
        self.assert_close(
            group.hat((adjoint @ xi[..., None])[..., 0]), g @ group.hat(xi) @ torch.linalg.inv(g)
        )
        self.assert_close(group.Ad(group.compose(g, h)), adjoint @ group.Ad(h))
        self.assert_close(group.coadjoint(g, mu), (adjoint.mT @ mu[..., None])[..., 0])
        self.assert_close(group.coadjoint_algebra(xi, mu), (group.ad(xi).mT @ mu[..., None])[..., 0])

    def test_adjoint_of_exp_is_exp_of_ad(self) -> None:
        """Ad(exp(xi)) = exp(ad(xi))."""
        xi = self.tangent(4)
        self.assert_close(self.group.Ad(self.group.exp(xi)), torch.linalg.matrix_exp(self.group.ad(xi)))

    # Jacobians

    @places
    def test_jacobians_are_the_derivatives_of_exp(self, place: str) -> None:
        """D exp(xi)[v] = hat(J_l v) exp(xi) = exp(xi) hat(J_r v); the inverses invert; J_l = Ad J_r."""
        xi, v = self.tangent(4, place=place), self.tangent(4, seed=1)
        group = self.group
        g, dg = _jvp(group.exp, xi, v)
        left, right = group.left_jacobian(xi), group.right_jacobian(xi)
        self.assert_close(group.hat((left @ v[..., None])[..., 0]) @ g, dg)
        self.assert_close(g @ group.hat((right @ v[..., None])[..., 0]), dg)
        self.assert_close(group.Ad(g) @ right, left)
        eye = torch.eye(group.dim, dtype=torch.float64).expand(4, -1, -1)
        self.assert_close(left @ group.left_jacobian_inverse(xi), eye)
        self.assert_close(right @ group.right_jacobian_inverse(xi), eye)

    @places
    def test_derivative_of_log_is_the_inverse_jacobian(self, place: str) -> None:
        """D log(g)[hat(v) g] = J_l(log g)^-1 v."""
        g, v = self.element(4, place=place), self.tangent(4, seed=1)
        xi, dxi = _jvp(self.group.log, g, self.group.hat(v) @ g)
        self.assert_close(dxi, (self.group.left_jacobian_inverse(xi) @ v[..., None])[..., 0])

    # Cayley transform

    def test_cayley_transform_or_its_refusal(self) -> None:
        """Cayley stays in the group, its inverse undoes it, dcay its derivative; or all are refused."""
        group, u, v = self.group, self.tangent(4), self.tangent(4, seed=1)
        if not group.cayley_closed:
            for operation in (*CAYLEY_TANGENT, "cayley_inverse"):
                with pytest.raises(ValueError, match="Cayley"):
                    self._call(operation)(self._input(operation, 2))
            return
        g, dg = _jvp(group.cayley, u, v)
        group.check(g)
        self.assert_close(group.cayley_inverse(g), u)
        jacobian = group.cayley_jacobian(u)
        self.assert_close(group.hat((jacobian @ v[..., None])[..., 0]) @ g, dg)
        self.assert_close(
            jacobian @ group.cayley_jacobian_inverse(u),
            torch.eye(group.dim, dtype=torch.float64).expand(4, -1, -1),
        )

    # Closed forms against the generic ones

    @dtypes
    def test_closed_forms_equal_the_generic_ones(self, dtype: torch.dtype) -> None:
        """Every override gives what the base class computes from the basis."""
        cayley = self._cayley(*CAYLEY_TANGENT, "cayley_inverse")
        for operation in (*TANGENT_OPERATIONS, "right_jacobian_inverse", *ELEMENT_OPERATIONS, *cayley):
            x = self._input(operation, 2, 3, dtype=dtype)
            self.assert_close(self._call(operation)(x), getattr(LieGroup, operation)(self.group, x))
        g, h, mu = (
            self.element(5, dtype=dtype),
            self.element(5, seed=1, dtype=dtype),
            self.tangent(5, dtype=dtype),
        )
        for operation, a, b in (
            ("coadjoint", g, mu),
            ("coadjoint_algebra", mu, mu.flip(0)),
            ("compose", g, h),
            ("plus", g, mu),
            ("minus", h, g),
            ("distance", g, h),
            ("squared_distance", g, h),
        ):
            self.assert_close(
                getattr(self.group, operation)(a, b), getattr(LieGroup, operation)(self.group, a, b)
            )

    # Geometry, projection, samples

    def test_distance_is_left_invariant(self) -> None:
        """|log(g^-1 h)|, zero at g = h, left-invariant; its square is the squared distance."""
        g, h, k = self.element(4), self.element(4, seed=1), self.element(4, seed=2)
        distance = self.group.distance(g, h)
        self.assert_close(distance, self.group.minus(h, g).norm(dim=-1))
        self.assert_close(self.group.distance(self.group.compose(k, g), self.group.compose(k, h)), distance)
        self.assert_close(self.group.squared_distance(g, h), distance.square())
        assert float(self.group.distance(g, g).max()) < 1e-7

    def test_interpolation_runs_from_g_to_h_at_constant_speed(self) -> None:
        """Ends at s = 0 and 1, and the distance covered is s times the whole, for numbers and tensors s."""
        g, xi = self.element(4), self.tangent(4, seed=1)
        h = self.group.plus(g, xi)
        self.assert_close(self.group.interpolate(g, h, 0.0), g)
        self.assert_close(self.group.interpolate(g, h, 1.0), h)
        s = torch.linspace(0, 1, 4, dtype=torch.float64)
        self.assert_close(self.group.minus(self.group.interpolate(g, h, s), g), s[:, None] * xi)

    @dtypes
    def test_projection_keeps_elements_and_mends_neighbours(self, dtype: torch.dtype) -> None:
        """Project is the identity on the group and brings a perturbed element back."""
        g = self.element(4, dtype=dtype)
        self.assert_close(self.group.project(g), g)
        noise = torch.linspace(-1e-3, 1e-3, g.numel(), dtype=dtype).reshape(g.shape)
        mended = self.group.project(g + noise)
        self.assert_close(self.group.residual(mended), torch.zeros(4, dtype=dtype))
        assert float((mended - g).abs().max()) < 0.02

    def test_check_names_the_bad_element(self) -> None:
        """Check accepts elements, and names argument, place and mend for what is none."""
        g = self.group.identity(2, 3, dtype=torch.float64)
        self.group.check(g)
        g[1, 2, 0, 0] = 1.5
        with pytest.raises(ValueError, match=r"pose\[1, 2\].*defect.*project"):
            self.group.check(g, "pose")
        g[1, 2, 0, 0] = torch.nan
        with pytest.raises(ValueError, match=r"pose\[1, 2\].*finite"):
            self.group.check(g, "pose")

    @dtypes
    def test_random_elements_are_in_the_group_and_reproducible(self, dtype: torch.dtype) -> None:
        """Same generator state, same elements; shape, dtype and membership hold."""
        first = self.group.random(2, 3, generator=torch.Generator().manual_seed(1), dtype=dtype)
        again = self.group.random(2, 3, generator=torch.Generator().manual_seed(1), dtype=dtype)
        n = self.group.matrix_dim
        assert first.shape == (2, 3, n, n)
        assert first.dtype == dtype
        assert torch.equal(first, again)
        self.group.check(first)

    # Shapes and dtypes

    @shapes
    def test_batches_are_elementwise(self, shape: tuple[int, ...]) -> None:
        """A batch of any shape gives what its elements give one by one, the empty batch included."""
        for operation in (
            *TANGENT_OPERATIONS,
            *ELEMENT_OPERATIONS,
            *self._cayley(*CAYLEY_TANGENT, "cayley_inverse"),
        ):
            x = self._input(operation, *shape)
            y = self._call(operation)(x)
            assert y.shape[: len(shape)] == shape, operation
            if x.numel():
                core = x.shape[len(shape) :]
                single = torch.stack([self._call(operation)(part) for part in x.reshape(-1, *core)])
                self.assert_close(y.reshape(single.shape), single)

    def test_leading_dimensions_broadcast_and_dtypes_promote(self) -> None:
        """(2, 1) with (3,) gives (2, 3); float32 with float64 gives float64."""
        g, h, xi = self.element(2, 1), self.element(3, seed=1), self.tangent(3, seed=2)
        group = self.group
        assert group.compose(g, h).shape[:2] == (2, 3)
        assert group.plus(g, xi).shape[:2] == (2, 3)
        assert group.minus(g, h).shape[:2] == (2, 3)
        assert group.coadjoint(g, xi).shape[:2] == (2, 3)
        assert group.coadjoint_algebra(self.tangent(2, 1), xi).shape[:2] == (2, 3)
        assert group.distance(g, h).shape == (2, 3)
        assert group.squared_distance(g, h).shape == (2, 3)
        assert group.interpolate(g, h, 0.5).shape[:2] == (2, 3)
        for mixed in (group.compose(g, h.float()), group.plus(g.float(), xi), group.coadjoint(g, xi.float())):
            assert mixed.dtype == torch.float64
        assert group.interpolate(g.float(), h.float(), 0.5).dtype == torch.float32

    def test_wrong_arguments_are_refused_by_name(self) -> None:
        """Wrong sizes raise ValueError, integers TypeError."""
        d, n = self.group.dim, self.group.matrix_dim
        with pytest.raises(ValueError, match=r"xi must have shape"):
            self.group.exp(torch.zeros(d + 1))
        with pytest.raises(ValueError, match=r"g must be"):
            self.group.log(torch.zeros(n, n + 1))
        with pytest.raises(ValueError, match=r"b must be"):
            self.group.compose(torch.eye(n), torch.eye(n + 1))
        with pytest.raises(TypeError, match="float64"):
            self.group.exp(torch.zeros(d, dtype=torch.int64))

    # Derivatives and transforms

    @places
    def test_first_and_second_derivatives(self, place: str) -> None:
        """Gradients of exp and of log after exp agree with finite differences, in both modes, twice."""
        xi = self.tangent(2, place=place).requires_grad_()
        for function in (self.group.exp, lambda x: self.group.log(self.group.exp(x))):
            assert torch.autograd.gradcheck(function, (xi,), check_forward_ad=True, check_batched_grad=True)
            assert torch.autograd.gradgradcheck(function, (xi,))

    @places
    def test_vmap_equals_the_batch(self, place: str) -> None:
        """Vmap, nested vmap and vmap of a Jacobian give what the batch gives."""
        for operation in (*TANGENT_OPERATIONS, *ELEMENT_OPERATIONS, *self._cayley(*CAYLEY_TANGENT)):
            x = self._input(operation, 2, 3, place=place)
            function = self._call(operation)
            self.assert_close(torch.vmap(torch.vmap(function))(x), function(x))
            per_element = torch.vmap(torch.func.jacrev(function))(x[0])
            assert bool(torch.isfinite(per_element).all())
            self.assert_close(per_element, torch.stack([torch.func.jacfwd(function)(part) for part in x[0]]))

    def test_compile_without_graph_breaks(self) -> None:
        """The compiled operation, with its gradient, equals the eager one."""
        for operation in self.compiled:
            torch._dynamo.reset()
            function = self._call(operation)
            compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
            x = self._input(operation, 3).requires_grad_()
            y = compiled(x)
            self.assert_close(y.detach(), function(x).detach())
            (gradient,) = torch.autograd.grad(y.sin().sum(), x)
            (expected,) = torch.autograd.grad(function(x).sin().sum(), x)
            self.assert_close(gradient, expected)
        torch._dynamo.reset()
