"""The laws of a Lie group, whatever its elements are made of."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from .._group import LieGroup
from ._shared import Comparison, apply, dtypes, jvp, places, shapes

TANGENT_OPERATIONS = ("hat", "exp", "ad", "left_jacobian", "left_jacobian_inverse", "right_jacobian")
ELEMENT_OPERATIONS = ("log", "inverse", "Ad")
CAYLEY_TANGENT = ("cayley", "cayley_jacobian", "cayley_jacobian_inverse")


class LieGroupSuite(Comparison):
    """The laws that a group must satisfy.

    Attributes:
        group: The group.
        radius: Largest length of tangents drawn; exp must be one-to-one on the ball of twice this radius.
        stranger: Number that, as the first entry of the identity, makes it leave the group; None where there
            is none.
        slack: Error accepted, in epsilons of the dtype times the size of the result.
        compiled: Operations checked under ``torch.compile(fullgraph=True)``.
    """

    group: LieGroup
    radius: float = 1.2
    stranger: float | None = 1.5
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
        share = torch.rand(*shape, 1, generator=generator, dtype=torch.float64)
        scale = {"identity": 0.0, "tiny": 1e-7, "ordinary": self.radius}[place]
        return (scale * share * xi / xi.norm(dim=-1, keepdim=True)).to(dtype)

    def element(
        self, *shape: int, place: str = "ordinary", dtype: torch.dtype = torch.float64, seed: int = 0
    ) -> Tensor:
        """Draw elements as exponentials of tangents."""
        return self.group.exp(self.tangent(*shape, place=place, seed=seed)).to(dtype)

    def points(self, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
        """Draw points that the group moves."""
        full = (*shape, *self.group.point_shape)
        return torch.randn(full, generator=torch.Generator().manual_seed(5), dtype=dtype)

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

    def _turned(self, g: Tensor, v: Tensor) -> Tensor:
        """The velocity of exp(s v) g at s = 0."""
        return jvp(lambda e: self.group.compose(self.group.exp(e), g), torch.zeros_like(v), v)[1]

    # Algebra

    @dtypes
    @shapes
    def test_hat_and_vee_are_inverse(self, shape: tuple[int, ...], dtype: torch.dtype) -> None:
        """Vee reads back the coordinates, and hat is the velocity of exp(s xi) at s = 0."""
        xi = self.tangent(*shape, dtype=dtype)
        velocity = self.group.hat(xi)
        assert velocity.shape == (*shape, *self.group.element_shape)
        self.assert_close(self.group.vee(velocity), xi)
        self.assert_close(velocity, jvp(self.group.exp, torch.zeros_like(xi), xi)[1])

    def test_ad_is_the_bracket(self) -> None:
        """It is the velocity of Ad(exp(s xi)), antisymmetric, and satisfies Jacobi's identity."""
        xi, eta, zeta = (self.tangent(4, seed=k) for k in range(3))
        ad = self.group.ad
        adjoint = jvp(lambda e: self.group.Ad(self.group.exp(e)), torch.zeros_like(xi), xi)[1]
        self.assert_close(ad(xi), adjoint)
        self.assert_close(apply(ad(xi), eta), -apply(ad(eta), xi))
        nested = [
            apply(ad(a), apply(ad(b), c)) for a, b, c in ((xi, eta, zeta), (eta, zeta, xi), (zeta, xi, eta))
        ]
        self.assert_close(sum(nested, torch.zeros_like(xi)), torch.zeros_like(xi))

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
        points = self.points(4)
        self.assert_close(act(compose(a, b), points), act(a, act(b, points)))
        self.assert_close(act(a[:, None], points), torch.stack([act(g, points) for g in a]))

    @dtypes
    @places
    def test_exp_is_a_one_parameter_subgroup_and_log_its_inverse(
        self, place: str, dtype: torch.dtype
    ) -> None:
        """Exp(xi) exp(xi / 2) = exp(3 xi / 2), exp stays in the group, and log undoes it."""
        xi = self.tangent(20, place=place, dtype=dtype)
        g = self.group.exp(xi)
        self.assert_close(self.group.compose(g, self.group.exp(0.5 * xi)), self.group.exp(1.5 * xi))
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
        """Exp(Ad(g) xi) = g exp(xi) g^-1, Ad is a homomorphism, and coadjoint its transpose."""
        g, h = self.element(4), self.element(4, seed=1)
        xi, mu = 0.1 * self.tangent(4, seed=2), self.tangent(4, seed=3)
        group = self.group
        adjoint = group.Ad(g)
        conjugate = group.compose(group.compose(g, group.exp(xi)), group.inverse(g))
        self.assert_close(group.exp(apply(adjoint, xi)), conjugate)
        self.assert_close(group.Ad(group.compose(g, h)), adjoint @ group.Ad(h))
        self.assert_close(group.coadjoint(g, mu), apply(adjoint.mT, mu))
        self.assert_close(group.coadjoint_algebra(xi, mu), apply(group.ad(xi).mT, mu))

    def test_adjoint_of_exp_is_exp_of_ad(self) -> None:
        """Ad(exp(xi)) = exp(ad(xi))."""
        xi = self.tangent(4)
        self.assert_close(self.group.Ad(self.group.exp(xi)), torch.linalg.matrix_exp(self.group.ad(xi)))

    # Jacobians

    @places
    def test_jacobians_are_the_derivatives_of_exp(self, place: str) -> None:
        """D exp(xi)[v] moves exp(xi) by J_l v on the left, J_r v on the right; the inverses invert."""
        xi, v = self.tangent(4, place=place), self.tangent(4, seed=1)
        group = self.group
        g, dg = jvp(group.exp, xi, v)
        left, right = group.left_jacobian(xi), group.right_jacobian(xi)
        self.assert_close(self._turned(g, apply(left, v)), dg)
        body = apply(right, v)
        self.assert_close(jvp(lambda e: group.compose(g, group.exp(e)), torch.zeros_like(v), body)[1], dg)
        self.assert_close(group.Ad(g) @ right, left)
        eye = torch.eye(group.dim, dtype=torch.float64).expand(4, -1, -1)
        self.assert_close(left @ group.left_jacobian_inverse(xi), eye)
        self.assert_close(right @ group.right_jacobian_inverse(xi), eye)

    @places
    def test_derivative_of_log_is_the_inverse_jacobian(self, place: str) -> None:
        """D log(g) along the velocity of exp(s v) g is J_l(log g)^-1 v."""
        g, v = self.element(4, place=place), self.tangent(4, seed=1)
        xi, dxi = jvp(self.group.log, g, self._turned(g, v))
        self.assert_close(dxi, apply(self.group.left_jacobian_inverse(xi), v))

    # Cayley transform

    def test_cayley_transform_or_its_refusal(self) -> None:
        """Cayley stays in the group, its inverse undoes it, dcay its derivative; or all are refused."""
        group, u, v = self.group, self.tangent(4), self.tangent(4, seed=1)
        if not group.cayley_closed:
            for operation in (*CAYLEY_TANGENT, "cayley_inverse"):
                with pytest.raises(ValueError, match="Cayley"):
                    self._call(operation)(self._input(operation, 2))
            return
        g, dg = jvp(group.cayley, u, v)
        group.check(g)
        self.assert_close(group.cayley_inverse(g), u)
        jacobian = group.cayley_jacobian(u)
        self.assert_close(self._turned(g, apply(jacobian, v)), dg)
        eye = torch.eye(group.dim, dtype=torch.float64).expand(4, -1, -1)
        self.assert_close(jacobian @ group.cayley_jacobian_inverse(u), eye)
        small = 1e-3 * u
        gap = (group.cayley(small) - group.exp(small)).abs().max()
        assert float(gap) < 1e-8, "the Cayley transform is exp up to the third order"

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
    def test_mean_balances_the_logarithms(self, dtype: torch.dtype) -> None:
        """The weighted logarithms at the mean cancel, the mean of two is halfway, and it moves with them."""
        group = self.group
        points = group.plus(self.element(2, 1, dtype=dtype), 0.4 * self.tangent(2, 5, seed=1, dtype=dtype))
        weights = torch.linspace(1, 2, 5, dtype=dtype)
        mean = group.mean(points, weights)
        pull = (weights[:, None] * group.minus(points, mean.unsqueeze(1))).sum(1)
        self.assert_close(pull, torch.zeros_like(pull))
        self.assert_close(group.mean(points[:, :2]), group.interpolate(points[:, 0], points[:, 1], 0.5))
        k = self.element(2, seed=3, dtype=dtype)
        moved = group.compose(k.unsqueeze(1), points)
        self.assert_close(group.mean(moved, weights), group.compose(k, mean))

    def test_mean_differentiates_twice(self) -> None:
        """Gradients through the points and weights agree with finite differences."""
        base = self.element(3)

        def mean(xi: Tensor, weights: Tensor) -> Tensor:
            points = self.group.plus(base, xi)
            return self.group.minus(self.group.mean(points, weights), base[0])

        inputs = (
            (0.2 * self.tangent(3, seed=1)).requires_grad_(),
            torch.linspace(1, 2, 3, dtype=torch.float64).requires_grad_(),
        )
        assert torch.autograd.gradcheck(mean, inputs)
        assert torch.autograd.gradgradcheck(mean, inputs, fast_mode=True)

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
        """Check accepts elements, and names argument, place and mend for what is none; log checks too."""
        good = self.group.identity(2, 3, dtype=torch.float64)
        self.group.check(good)
        first = (1, 2, *(0 for _ in self.group.element_shape))
        g = good.clone()
        g[first] = torch.nan
        with pytest.raises(ValueError, match=r"pose\[1, 2[],].*finite"):
            self.group.check(g, "pose")
        with pytest.raises(ValueError, match=r"g\[1, 2[],].*finite"):
            self.group.log(g)
        self.group.log(g, check=False)
        if self.stranger is None:
            return
        g[first] = self.stranger
        with pytest.raises(ValueError, match=r"pose\[1, 2[],].*defect.*project"):
            self.group.check(g, "pose")
        for call in (
            self.group.log,
            lambda g: self.group.distance(good, g),
            lambda g: self.group.minus(g, good),
        ):
            with pytest.raises(ValueError, match=r"[ghy]\[1, 2[],].*defect.*project"):
                call(g)
        self.group.log(g, check=False)

    @dtypes
    def test_random_elements_are_in_the_group_and_reproducible(self, dtype: torch.dtype) -> None:
        """Same generator state, same elements; shape, dtype and membership hold."""
        first = self.group.random(2, 3, generator=torch.Generator().manual_seed(1), dtype=dtype)
        again = self.group.random(2, 3, generator=torch.Generator().manual_seed(1), dtype=dtype)
        assert first.shape == (2, 3, *self.group.element_shape)
        assert first.dtype == dtype
        assert torch.equal(first, again)
        self.group.check(first)

    # Shapes and dtypes

    @shapes
    def test_batches_are_elementwise(self, shape: tuple[int, ...]) -> None:
        """A batch of any shape gives what its elements give one by one, the empty batch included."""
        cayley = self._cayley(*CAYLEY_TANGENT, "cayley_inverse")
        for operation in (*TANGENT_OPERATIONS, *ELEMENT_OPERATIONS, *cayley):
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
        assert group.act(g, self.points(3)).shape[:2] == (2, 3)
        assert group.distance(g, h).shape == (2, 3)
        assert group.squared_distance(g, h).shape == (2, 3)
        assert group.interpolate(g, h, 0.5).shape[:2] == (2, 3)
        for mixed in (
            group.compose(g, h.float()),
            group.plus(g.float(), xi),
            group.coadjoint(g, xi.float()),
            group.act(g.float(), self.points(3)),
        ):
            assert mixed.dtype == torch.float64
        assert group.interpolate(g.float(), h.float(), 0.5).dtype == torch.float32

    def test_wrong_arguments_are_refused_by_name(self) -> None:
        """Wrong sizes raise ValueError, integers TypeError, two devices ValueError."""
        group = self.group
        wrong = torch.zeros(*group.element_shape[:-1], group.element_shape[-1] + 1)
        with pytest.raises(ValueError, match=r"xi must have shape"):
            group.exp(torch.zeros(group.dim + 1))
        with pytest.raises(ValueError, match=r"g must be|g must have"):
            group.log(wrong)
        with pytest.raises(ValueError, match=r"b must be|b must have"):
            group.compose(group.identity(), wrong)
        with pytest.raises(TypeError, match="float64"):
            group.exp(torch.zeros(group.dim, dtype=torch.int64))
        one = group.identity(dtype=torch.float64)
        for call, names in (
            (lambda: group.compose(one, one.to("meta")), "a is on cpu and b on meta"),
            (lambda: group.act(one, self.points().to("meta")), "g is on cpu and points on meta"),
            (lambda: group.minus(one, one.to("meta")), "h is on cpu and g on meta"),
            (lambda: group.coadjoint(one, self.tangent().to("meta")), "g is on cpu and mu on meta"),
        ):
            with pytest.raises(ValueError, match=names):
                call()

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
            self.assert_compiles(self._call(operation), self._input(operation, 3))
