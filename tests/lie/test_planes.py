"""Long batches, which are worked on in pieces, and the constant maps between rows and planes."""

from __future__ import annotations

import pytest
import torch

from lie import SE3, SE23, SO3, _planes, quaternion
from lie._affine import AffineMap

FUNCTIONS = {
    "SO3.exp": (lambda x: SO3.exp(x[:, :3]), 3),
    "SE3.exp": (SE3.exp, 6),
    "SE23.exp": (SE23.exp, 9),
    "SO3.log": (lambda x: SO3.log(SO3.exp(x)), 3),
    "SE3.log": (lambda x: SE3.log(SE3.exp(x)), 6),
    "SE23.log": (lambda x: SE23.log(SE23.exp(x)), 9),
    "SE3.inverse": (lambda x: SE3.inverse(SE3.exp(x)), 6),
    "SO3.left_jacobian": (SO3.left_jacobian, 3),
    "SE3.left_jacobian": (SE3.left_jacobian, 6),
    "SE23.left_jacobian_inverse": (SE23.left_jacobian_inverse, 9),
    "SE3.residual": (lambda x: SE3.residual(SE3.exp(x)[:, :, [1, 0, 2, 3]]), 6),
    "quaternion.log": (lambda x: quaternion.log(quaternion.exp(x)), 3),
    "quaternion.to_matrix": (quaternion.to_matrix, 4),
}


@pytest.fixture
def short_pieces(monkeypatch):
    monkeypatch.setattr(_planes, "PIECE", 8 * 8)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    return 8


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_long_batch_gives_what_its_elements_give(name, short_pieces):
    function, size = FUNCTIONS[name]
    batch = 5 * short_pieces + 3
    x = torch.randn(batch, size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    direction = torch.randn(batch, size, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    single = torch.cat([function(x[i : i + 1]) for i in range(batch)])
    torch.testing.assert_close(function(x), single, rtol=1e-14, atol=1e-14)

    total = lambda v: function(v).sin().sum()  # noqa: E731
    y, z = x.clone().requires_grad_(), x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(total(y), y)
    (one_by_one,) = torch.autograd.grad([total(z[i : i + 1]) for i in range(batch)], z)
    torch.testing.assert_close(gradient, one_by_one, rtol=1e-13, atol=1e-13)

    slope = torch.func.jvp(total, (x,), (direction,))[1]
    torch.testing.assert_close(slope, (gradient * direction).sum(), rtol=1e-12, atol=1e-12)
    with torch.autograd.forward_ad.dual_level():
        dual = total(torch.autograd.forward_ad.make_dual(x, direction))
        assert float(torch.autograd.forward_ad.unpack_dual(dual).tangent) == pytest.approx(
            float(slope), rel=1e-12
        )

    pairs = torch.stack((x, x.flip(0)))
    torch.testing.assert_close(torch.vmap(function)(pairs)[0], single, rtol=1e-14, atol=1e-14)


def test_a_long_batch_keeps_its_shape_and_dtype(short_pieces):
    x = torch.randn(2, 7, 5, 6, generator=torch.Generator().manual_seed(0))
    g = SE3.exp(x)
    assert g.shape == (2, 7, 5, 4, 4)
    assert g.dtype == SE3.log(g).dtype == torch.float32
    torch.testing.assert_close(g[1, 6, 4], SE3.exp(x[1, 6, 4]), rtol=0, atol=4e-7)


def test_a_constant_map_is_the_same_compiled_and_in_all_layouts():
    table = [[1.0, 0.0, -2.0], [0.0, 0.5, 0.0], [0.0, 0.0, 0.0], [3.0, 1.0, 1.0]]
    offset = [0.0, 1.0, 2.0, -1.0]
    mapping = AffineMap(table, offset)
    x = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = x @ torch.tensor(table, dtype=torch.float64).T + torch.tensor(offset, dtype=torch.float64)
    for function, result in (
        (mapping.on_rows, expected),
        (mapping.to_planes, expected.T),
        (lambda rows: mapping.to_rows(rows.t()), expected),
    ):
        compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(function(x), result, rtol=1e-15, atol=1e-15)
        torch.testing.assert_close(compiled(x), result, rtol=1e-15, atol=1e-15)


@pytest.mark.parametrize("precision", ["highest", "high"])
def test_points_move_alike_one_by_one_and_together(precision, request):
    request.addfinalizer(lambda: torch.set_float32_matmul_precision("highest"))
    torch.set_float32_matmul_precision(precision)
    generator = torch.Generator().manual_seed(0)
    g = SE3.random(4, generator=generator)
    points = torch.randn(4, 3, generator=generator)
    expected = (g[:, :3, :3].double() @ points.double().unsqueeze(-1)).squeeze(-1) + g[:, :3, 3].double()
    for moved in (
        SE3.act(g, points),
        torch.vmap(SE3.act)(g, points),
        torch.stack([SE3.act(a, p) for a, p in zip(g, points, strict=True)]),
        SE3.act(g.unsqueeze(1), points).diagonal(dim1=0, dim2=1).mT,
    ):
        torch.testing.assert_close(moved.double(), expected, rtol=0, atol=1e-6)


def test_the_residual_is_as_large_as_what_is_wrong():
    generator = torch.Generator().manual_seed(0)
    r = SO3.random(20, generator=generator, dtype=torch.float64)
    assert float(SO3.residual(r).max()) < 1e-14
    strain = torch.randn(20, 3, 3, generator=generator, dtype=torch.float64)
    strain = strain + strain.mT
    for size in (1e-9, 1e-5):
        ratio = SO3.residual(r + size * r @ strain) / (size * strain.abs().amax((-2, -1)))
        assert float(ratio.min()) > 0.2
        assert float(ratio.max()) < 6
    flip = torch.diag(torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64))
    for wrong in (flip @ r, r @ flip, 1.5 * r, 0 * r, r[:, [1, 0, 2]]):
        assert float(SO3.residual(wrong).min()) > 0.3
    assert bool(SO3.residual(r.index_fill(-1, torch.tensor(2), torch.nan)).isnan().all())
