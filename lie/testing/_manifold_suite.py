"""The laws of a Riemannian manifold."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor

from .._riemannian import RiemannianManifold
from ._shared import Comparison, dtypes, jvp, shapes


class RiemannianManifoldSuite(Comparison):
    """The laws that a Riemannian manifold must satisfy.

    Attributes:
        manifold: The manifold.
        reach: Length of the tangent vectors drawn; log must undo exp up to it.
        stranger: Number that, as the first entry of a point, makes it leave the manifold.
        has_log: Whether the manifold has ``log``, and with it distance, interpolation and mean.
        transport_keeps_lengths: Whether ``transport`` is an isometry.
        retraction_order: Order to which ``retract`` follows the geodesic: 1 or 2.
        slack: Error accepted, in epsilons of the dtype times the size of the result.
        compiled: Operations of (x, v) checked under ``torch.compile(fullgraph=True)``.
    """

    manifold: RiemannianManifold
    reach: float = 0.7
    stranger: float = 1e3
    has_log: bool = True
    transport_keeps_lengths: bool = True
    retraction_order: int = 2
    slack: float = 2000.0
    compiled: tuple[str, ...] = ("project_tangent", "exp", "retract", "gradient")

    def point(self, *shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
        """Draw points."""
        return self.manifold.random(
            *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
        ).to(dtype)

    def ambient(self, *shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
        """Draw tensors of the shape of points."""
        generator = torch.Generator().manual_seed(seed + 100)
        full = (*shape, *self.manifold.element_shape)
        return torch.randn(full, generator=generator, dtype=torch.float64).to(dtype)

    def tangent(self, x: Tensor, seed: int = 0, reach: float | None = None) -> Tensor:
        """Draw tangent vectors of length ``reach``."""
        batch = x.shape[: x.ndim - len(self.manifold.element_shape)]
        v = self.manifold.project_tangent(x, self.ambient(*batch, dtype=x.dtype, seed=seed))
        return (self.reach if reach is None else reach) * v / self._wide(self.manifold.norm(x, v))

    def _wide(self, scalar: Tensor) -> Tensor:
        return scalar.reshape(*scalar.shape, *(1 for _ in self.manifold.element_shape))

    # Tangent space

    @dtypes
    def test_random_points_are_on_the_manifold_and_reproducible(self, dtype: torch.dtype) -> None:
        """Same generator state, same points; shape, dtype and membership hold."""
        draws = [
            self.manifold.random(2, 3, generator=torch.Generator().manual_seed(1), dtype=dtype)
            for _ in range(2)
        ]
        assert draws[0].shape == (2, 3, *self.manifold.element_shape)
        assert draws[0].dtype == dtype
        assert torch.equal(*draws)
        self.manifold.check(draws[0])

    def test_projection_mends_neighbours(self) -> None:
        """Project keeps points and brings a neighbour back; it differentiates."""
        x = self.point(3)
        self.assert_close(self.manifold.project(x), x)
        mended = self.manifold.project(x + 1e-4 * self.ambient(3))
        self.manifold.check(mended)
        assert float((mended - x).abs().max()) < 0.1
        assert torch.autograd.gradcheck(
            self.manifold.project, ((x + 1e-2 * self.ambient(3)).requires_grad_(),)
        )

    def test_tangent_projection(self) -> None:
        """It is linear and idempotent, and its results pass as tangent."""
        x, u, v = self.point(3), self.ambient(3), self.ambient(3, seed=1)
        onto = self.manifold.project_tangent
        self.assert_close(onto(x, u + 2 * v), onto(x, u) + 2 * onto(x, v))
        self.assert_close(onto(x, onto(x, u)), onto(x, u))
        self.manifold.check_tangent(x, onto(x, u))
        self.manifold.check_tangent(x, self.manifold.random_tangent(x))

    def test_gradient_represents_the_derivative(self) -> None:
        """<gradient, v> at x = derivative along v, in the manifold's inner product."""
        x, slope = self.point(3), self.ambient(3, seed=2)
        v = self.tangent(x)
        axes = tuple(range(-len(self.manifold.element_shape), 0))
        gradient = self.manifold.gradient(x, slope)
        self.manifold.check_tangent(x, gradient, "gradient")
        self.assert_close(self.manifold.inner(x, gradient, v), (slope * v).sum(axes))

    def test_inner_product(self) -> None:
        """Symmetric, bilinear, positive; norm is its root."""
        x = self.point(3)
        u, v, w = (self.tangent(x, seed=k) for k in range(3))
        inner = self.manifold.inner
        self.assert_close(inner(x, u, v), inner(x, v, u))
        self.assert_close(inner(x, u + 2 * w, v), inner(x, u, v) + 2 * inner(x, w, v))
        self.assert_close(self.manifold.norm(x, u), torch.full((3,), self.reach, dtype=torch.float64))

    # Geodesics

    @dtypes
    def test_exp_leaves_with_the_velocity_at_constant_speed(self, dtype: torch.dtype) -> None:
        """Exp(x, 0) = x with derivative v; it stays on the manifold; speed is constant along it."""
        x = self.point(4, dtype=dtype)
        v = self.tangent(x)
        self.assert_close(self.manifold.exp(x, torch.zeros_like(v)), x)
        for s in (0.0, 0.5, 1.0):
            time = torch.full((4,), s, dtype=dtype)
            here, velocity = jvp(
                lambda t: self.manifold.exp(x, self._wide(t) * v), time, torch.ones_like(time)
            )
            self.manifold.check(here)
            self.assert_close(self.manifold.norm(here, velocity), self.manifold.norm(x, v))
            if s == 0:
                self.assert_close(velocity, v)

    def test_retraction(self) -> None:
        """It stays on the manifold and follows the geodesic to its order."""
        x = self.point(4)
        v = self.tangent(x)
        self.manifold.check(self.manifold.retract(x, v))
        gaps = [
            float((self.manifold.retract(x, s * v) - self.manifold.exp(x, s * v)).abs().max())
            for s in (1e-2, 5e-3)
        ]
        order = self.retraction_order + 1
        assert gaps[1] <= max(gaps[0] * 0.5**order * 1.3, 1e-13), gaps

    def test_transport_lands_in_the_tangent_space(self) -> None:
        """It is linear, and an isometry where claimed."""
        x = self.point(4)
        y = self.manifold.exp(x, self.tangent(x))
        u, v = self.tangent(x, seed=1), self.tangent(x, seed=2)
        moved = [self.manifold.transport(x, y, w) for w in (u, v, u + 2 * v)]
        self.manifold.check_tangent(y, moved[0])
        self.assert_close(moved[2], moved[0] + 2 * moved[1])
        self.assert_close(self.manifold.transport(x, x, u), u)
        if self.transport_keeps_lengths:
            self.assert_close(self.manifold.inner(y, moved[0], moved[1]), self.manifold.inner(x, u, v))

    @dtypes
    def test_log_undoes_exp(self, dtype: torch.dtype) -> None:
        """Log(x, exp(x, v)) = v; distance is the length; interpolation runs along the geodesic."""
        if not self.has_log:
            return
        x = self.point(4, dtype=dtype)
        v = self.tangent(x)
        y = self.manifold.exp(x, v)
        self.assert_close(self.manifold.log(x, y), v)
        length = self.manifold.norm(x, v)
        self.assert_close(self.manifold.distance(x, y), length)
        self.assert_close(self.manifold.distance(y, x), length)
        self.assert_close(self.manifold.squared_distance(x, y), length.square())
        assert float(self.manifold.distance(x, x).max()) < 30 * torch.finfo(dtype).eps ** 0.5
        s = torch.linspace(0, 1, 4, dtype=dtype)
        part = self.manifold.interpolate(x, y, s)
        self.assert_close(self.manifold.log(x, part), self._wide(s) * v)

    def test_mean_balances_the_logarithms(self) -> None:
        """The weighted logarithms at the mean cancel, the mean of two is halfway, and it differentiates."""
        if not self.has_log:
            return
        manifold = self.manifold
        x = self.point()
        points = torch.stack([manifold.exp(x, self.tangent(x, seed=k, reach=0.5)) for k in range(4)])
        weights = torch.linspace(1, 2, 4, dtype=torch.float64)
        mean = manifold.mean(points, weights)
        pull = (self._wide(weights) * manifold.log(mean, points)).sum(0)
        self.assert_close(pull, torch.zeros_like(pull))
        self.assert_close(manifold.mean(points[:2]), manifold.interpolate(points[0], points[1], 0.5))

        def moved(shifts: Tensor, weights: Tensor) -> Tensor:
            here = manifold.exp(points[:3], manifold.project_tangent(points[:3], shifts))
            return manifold.mean(here, weights)

        shifts = torch.zeros_like(points[:3]).requires_grad_()
        inputs = shifts, weights[:3].clone().requires_grad_()
        assert torch.autograd.gradcheck(moved, inputs, atol=1e-6, check_forward_ad=True)

    # Derivatives, transforms, shapes, refusals

    def test_first_and_second_derivatives(self) -> None:
        """Exp, retraction and squared distance, at a distance and in place, in both modes, twice."""
        manifold, x = self.manifold, self.point(2)
        for reach in (0.0, self.reach):
            v = self.tangent(x, reach=reach).detach().requires_grad_()
            for move in (manifold.exp, manifold.retract):
                function = lambda v, move=move: move(x, manifold.project_tangent(x, v))  # noqa: E731
                assert torch.autograd.gradcheck(
                    function, (v,), check_forward_ad=True, check_batched_grad=True
                )
                assert torch.autograd.gradgradcheck(function, (v,))
            if self.has_log:

                def squared(v: Tensor) -> Tensor:
                    y = manifold.exp(x, manifold.project_tangent(x, v))
                    return manifold.squared_distance(x, y, check=False)

                assert torch.autograd.gradcheck(squared, (v,), check_forward_ad=True)
                assert torch.autograd.gradgradcheck(squared, (v,))

    @shapes
    def test_batches_are_elementwise(self, shape: tuple[int, ...]) -> None:
        """A batch of any shape, and vmap, give what the elements give one by one."""
        x = self.point(*shape)
        v = self.tangent(x) if x.numel() else torch.zeros_like(x)
        operations = [
            self.manifold.project_tangent,
            self.manifold.exp,
            self.manifold.retract,
            self.manifold.gradient,
        ]
        if self.has_log:
            y = self.manifold.exp(x, v)
            operations.append(lambda x, v: self.manifold.transport(x, self.manifold.exp(x, v), v))
            assert self.manifold.log(x, y).shape == x.shape
            assert self.manifold.distance(x, y).shape == shape
        core = self.manifold.element_shape
        for operation in operations:
            whole = operation(x, v)
            assert whole.shape == x.shape
            if x.numel():
                flat = x.reshape(-1, *core), v.reshape(-1, *core)
                single = torch.stack([operation(a, b) for a, b in zip(*flat, strict=True)])
                self.assert_close(whole.reshape(single.shape), single)
                self.assert_close(torch.vmap(operation)(*flat), single)

    def test_compile_without_graph_breaks(self) -> None:
        """The compiled operation, with its gradient, equals the eager one."""
        x = self.point(3)
        v = self.tangent(x)
        for operation in self.compiled:
            self.assert_compiles(partial(getattr(self.manifold, operation), x), v)
        if self.has_log:
            y = self.manifold.exp(x, v)
            self.assert_compiles(partial(self.manifold.log, x), y)

    def test_wrong_arguments_are_refused_by_name(self) -> None:
        """Wrong shapes, dtypes, devices, strangers and vectors that are not tangent."""
        manifold = self.manifold
        x = self.point(2, 3)
        with pytest.raises(ValueError, match=r"x must (be|have)"):
            manifold.exp(x[..., :-1], x)
        with pytest.raises(ValueError, match=r"v must (be|have)"):
            manifold.exp(x, x[..., :-1])
        with pytest.raises(TypeError, match=r"x must be float32 or float64"):
            manifold.exp(x.long(), x)
        with pytest.raises(ValueError, match=r"x is on cpu and v on meta"):
            manifold.exp(x, x.to("meta"))
        bad = x.clone()
        first = (1, 2, *(0 for _ in manifold.element_shape))
        bad[first] = self.stranger
        with pytest.raises(ValueError, match=r"point\[1, 2\].*defect.*project"):
            manifold.check(bad, "point")
        bad[first] = torch.nan
        with pytest.raises(ValueError, match=r"point\[1, 2\].*finite"):
            manifold.check(bad, "point")
        if self.has_log:
            with pytest.raises(ValueError, match=r"y\[1, 2\]"):
                manifold.log(x, bad)
