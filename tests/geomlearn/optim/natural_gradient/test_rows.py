"""Rows of layers beside per-sample gradients by torch.func, and beside formulas of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.overrides import TorchFunctionMode

from geomlearn.optim._natural_gradient._layers import Layer, find_layers
from geomlearn.optim._natural_gradient._rows import CALLS, LayerCall, LayerRows, transposed

N = 3


class Seen(TorchFunctionMode):
    """Keeps the last call of a layer and its output."""

    call: LayerCall
    output: Tensor

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        if func in CALLS:
            self.call, self.output = CALLS[func](*args, **(kwargs or {})), output
        return output


class Case(NamedTuple):
    name: str
    module: Callable[[], nn.Module]
    shape: tuple[int, ...]
    """Of one sample; of an embedding, of its whole numbers."""


LINEAR = [
    Case("linear", lambda: nn.Linear(4, 3), (4,)),
    Case("linear-no-bias", lambda: nn.Linear(4, 3, bias=False), (4,)),
    Case("linear-sequence", lambda: nn.Linear(4, 3), (5, 4)),
    Case("linear-grid", lambda: nn.Linear(4, 3), (2, 5, 4)),
]
CONVOLUTIONS = [
    Case("conv1d", lambda: nn.Conv1d(2, 3, 3, stride=2, padding=1, dilation=2), (2, 9)),
    Case("conv1d-same", lambda: nn.Conv1d(2, 3, 4, padding="same", dilation=3, bias=False), (2, 9)),
    Case("conv1d-groups", lambda: nn.Conv1d(4, 6, 3, groups=2), (4, 7)),
    Case("conv1d-circular", lambda: nn.Conv1d(2, 3, 3, padding=2, padding_mode="circular"), (2, 5)),
    Case("conv2d", lambda: nn.Conv2d(2, 3, (2, 3), stride=(1, 2), padding=(2, 1)), (2, 5, 6)),
    Case("conv2d-dilation", lambda: nn.Conv2d(2, 3, 3, dilation=(2, 1), bias=False), (2, 6, 5)),
    Case("conv2d-same", lambda: nn.Conv2d(2, 3, (2, 4), padding="same"), (2, 4, 5)),
    Case("conv2d-valid", lambda: nn.Conv2d(2, 3, 2, padding="valid"), (2, 4, 3)),
    Case("conv2d-reflect", lambda: nn.Conv2d(2, 3, 3, padding=1, padding_mode="reflect"), (2, 4, 4)),
    Case("conv2d-replicate", lambda: nn.Conv2d(2, 3, 3, padding=1, padding_mode="replicate"), (2, 4, 4)),
    Case("conv2d-groups", lambda: nn.Conv2d(4, 6, 3, groups=2, padding=1), (4, 4, 3)),
    Case("conv2d-depthwise", lambda: nn.Conv2d(4, 8, 3, groups=4, padding=1), (4, 4, 3)),
    Case("conv3d", lambda: nn.Conv3d(2, 3, (1, 2, 3), stride=(1, 2, 1), padding=(0, 1, 1)), (2, 2, 4, 3)),
    Case("conv3d-groups", lambda: nn.Conv3d(4, 4, 2, groups=2, bias=False), (4, 3, 3, 2)),
]
EMBEDDINGS = [
    Case("embedding", lambda: nn.Embedding(7, 3), ()),
    Case("embedding-sequence", lambda: nn.Embedding(7, 3), (5,)),
    Case("embedding-padding", lambda: nn.Embedding(7, 3, padding_idx=2), (5,)),
    Case("embedding-last-padding", lambda: nn.Embedding(7, 3, padding_idx=-1), (2, 5)),
]
NORMS = [
    Case("layer-norm", lambda: nn.LayerNorm(4), (4,)),
    Case("layer-norm-sequence", lambda: nn.LayerNorm(4), (5, 4)),
    Case("layer-norm-plane", lambda: nn.LayerNorm((3, 4)), (5, 3, 4)),
    Case("layer-norm-no-bias", lambda: nn.LayerNorm(4, bias=False, eps=0.1), (5, 4)),
    Case("rms-norm", lambda: nn.RMSNorm(4), (5, 4)),
    Case("rms-norm-eps", lambda: nn.RMSNorm(4, eps=0.1), (4,)),
    Case("group-norm", lambda: nn.GroupNorm(2, 4, eps=0.1), (4, 5)),
    Case("batch-norm1d", lambda: nn.BatchNorm1d(4), (4,)),
    Case("batch-norm1d-sequence", lambda: nn.BatchNorm1d(4), (4, 5)),
    Case("batch-norm2d", lambda: nn.BatchNorm2d(4, eps=0.1), (4, 3, 2)),
    Case("batch-norm3d", lambda: nn.BatchNorm3d(2), (2, 3, 2, 2)),
    Case("instance-norm1d", lambda: nn.InstanceNorm1d(4, affine=True, eps=0.1), (4, 5)),
    Case(
        "instance-norm2d-running",
        lambda: nn.InstanceNorm2d(2, affine=True, track_running_stats=True),
        (2, 3, 2),
    ),
]


def cases(which: list[Case]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", which, ids=[case.name for case in which])


def prepared(case: Case, dtype: torch.dtype = torch.float64) -> tuple[nn.Module, Tensor]:
    """A module in its mode of evaluation with drawn parameters and statistics, and inputs."""
    generator = torch.Generator().manual_seed(1)
    module = case.module().to(dtype).eval()
    with torch.no_grad():
        for tensor in [*module.parameters(), *module.buffers()]:
            if tensor.is_floating_point():
                tensor.copy_(torch.rand(tensor.shape, generator=generator, dtype=torch.float64) + 0.5)
    if isinstance(module, nn.Embedding):
        return module, torch.randint(0, 7, (N, *case.shape), generator=generator)
    return module, torch.randn(N, *case.shape, generator=generator, dtype=torch.float64).to(dtype)


def losses(output: Tensor) -> Tensor:
    """A loss of each sample, that curves and knows positions from each other."""
    flat = output.flatten(1)
    return (flat * torch.linspace(0.5, 2, flat.shape[1], dtype=flat.dtype)).sin().sum(1)


def seen(module: nn.Module, x: Tensor, **options: Any) -> tuple[Layer, LayerRows]:
    """The layer of a module, and the rows of a call in a loss that is a mean."""
    (layer,) = find_layers(module).layers
    with Seen() as mode:
        output = module(x)
    assert mode.call.kind == layer.kind
    assert mode.call.weight is layer.weight.parameter
    (gradient,) = torch.autograd.grad(losses(output).mean(), mode.output)
    return layer, mode.call.rows(gradient, bias=layer.bias is not None, **options)


def per_sample(module: nn.Module, layer: Layer, x: Tensor) -> Tensor:
    """The gradient of each sample's part of the loss, as the matrices of the layer, from torch.func."""
    parameters = {name: p.detach() for name, p in module.named_parameters()}

    def loss(parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        return losses(functional_call(module, parameters, (x.unsqueeze(0),))).sum() / N

    found: dict[str, Tensor] = vmap(grad(loss), in_dims=(None, 0))(parameters, x)
    bias = None if layer.bias is None else found[layer.bias.name]
    weights = found[layer.weight.name]
    return torch.stack([layer.matrix(weights[i], None if bias is None else bias[i]) for i in range(N)])


def close(got: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-14 * max(float(expected.abs().max()), 1))


uneven = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")


@uneven
@cases(LINEAR + CONVOLUTIONS)
def test_rows_make_up_the_gradient_of_each_sample(case: Case) -> None:
    module, x = prepared(case)
    layer, rows = seen(module, x)
    groups = getattr(module, "groups", 1)
    inputs = rows.inputs.unflatten(0, (N, -1, groups))
    outputs = rows.outputs.unflatten(0, (N, -1)).unflatten(-1, (groups, -1))
    got = torch.einsum("npgo,npgi->ngoi", outputs, inputs).flatten(1, 2)
    close(got, per_sample(module, layer, x))
    assert rows.samples == N
    assert rows.rows == len(rows.inputs)


@cases(NORMS)
def test_rows_of_norms_are_the_gradients_of_each_sample(case: Case) -> None:
    module, x = prepared(case)
    layer, rows = seen(module, x)
    close(rows.outputs, per_sample(module, layer, x).squeeze(-1))
    assert (rows.rows, rows.samples, rows.inputs.shape) == (N, N, (0,))


@cases(NORMS)
def test_rows_of_norms_in_training_make_up_the_gradient(case: Case) -> None:
    module, x = prepared(case)
    module.train()
    layer, rows = seen(module, x)
    losses(module(x)).mean().backward()
    weight = layer.weight.parameter.grad
    assert weight is not None
    bias = None if layer.bias is None else layer.bias.parameter.grad
    close(rows.outputs.sum(0), layer.matrix(weight, bias).squeeze(-1))


@cases(EMBEDDINGS)
def test_rows_of_an_embedding_make_up_the_gradient_of_each_sample(case: Case) -> None:
    module, x = prepared(case)
    assert isinstance(module, nn.Embedding)
    layer, rows = seen(module, x)
    vectors = F.one_hot(x.reshape(N, -1), 7).double()
    if module.padding_idx is not None:
        assert bool((x == module.padding_idx).any())
        vectors[..., module.padding_idx] = 0
    outputs = rows.outputs.unflatten(0, (N, -1))
    close(torch.einsum("npo,npi->noi", outputs, vectors), per_sample(module, layer, x))
    close(rows.inputs, vectors.sum((0, 1)))
    assert rows.rows == int(vectors.sum())
    assert rows.samples == N


@cases(EMBEDDINGS)
def test_reduced_rows_of_an_embedding(case: Case) -> None:
    module, x = prepared(case)
    assert isinstance(module, nn.Embedding)
    _, rows = seen(module, x, approximation="reduce")
    _, expanded = seen(module, x)
    vectors = F.one_hot(x.reshape(N, -1), 7).double()
    if module.padding_idx is not None:
        vectors[..., module.padding_idx] = 0
    close(rows.inputs, vectors.mean(1).square().sum(0))
    close(rows.outputs, expanded.outputs.unflatten(0, (N, -1)).sum(1))
    assert (rows.rows, rows.samples) == (N, N)


def test_statistics_of_a_sequence_by_their_formulas() -> None:
    module, x = prepared(LINEAR[2])
    a = torch.cat((x, torch.ones(N, 5, 1)), -1)
    output = module(x)
    (g,) = torch.autograd.grad(losses(output).mean(), output)
    _, rows = seen(module, x)
    close(rows.inputs.mT @ rows.inputs / rows.rows, torch.einsum("nri,nrj->ij", a, a) / (5 * N))
    close(rows.outputs.mT @ rows.outputs * rows.samples, N * torch.einsum("nri,nrj->ij", g, g))
    _, rows = seen(module, x, approximation="reduce")
    mean, total = a.mean(1), g.sum(1)
    close(rows.inputs.mT @ rows.inputs / rows.rows, mean.mT @ mean / N)
    close(rows.outputs.mT @ rows.outputs * rows.samples, N * total.mT @ total)


UNFOLDED: list[dict[str, Any]] = [
    {"kernel_size": (2, 3), "stride": (1, 2), "padding": (2, 1)},
    {"kernel_size": (3, 2), "dilation": (2, 1)},
    {"kernel_size": (3, 3), "padding": 1, "groups": 2},
    {"kernel_size": (3, 3), "padding": 1, "groups": 4},
]


@pytest.mark.parametrize("approximation", ["expand", "reduce"])
@pytest.mark.parametrize("options", UNFOLDED, ids=["stride", "dilation", "groups", "depthwise"])
def test_patches_are_those_of_unfold(options: dict[str, Any], approximation: str) -> None:
    case = Case("", lambda: nn.Conv2d(4, 8, **options), (4, 6, 5))
    module, x = prepared(case)
    groups = options.get("groups", 1)
    unfolding = {key: value for key, value in options.items() if key != "groups"}
    patches = F.unfold(x, **unfolding).unflatten(1, (groups, -1)).permute(0, 3, 1, 2)
    output = module(x)
    (g,) = torch.autograd.grad(losses(output).mean(), output)
    g = g.flatten(2).mT
    if approximation == "reduce":
        patches, g = patches.mean(1, keepdim=True), g.sum(1, keepdim=True)
    _, rows = seen(module, x, approximation=approximation)
    close(rows.inputs, F.pad(patches.flatten(0, 2), (0, 1), value=1.0))
    close(rows.outputs, g.flatten(0, 1))
    assert (rows.rows, rows.samples) == (len(rows.inputs), N)


@uneven
@cases([*LINEAR[2:], *CONVOLUTIONS])
def test_reduced_rows_are_means_and_sums_of_the_expanded(case: Case) -> None:
    module, x = prepared(case)
    groups = getattr(module, "groups", 1)
    _, rows = seen(module, x, approximation="reduce")
    _, expanded = seen(module, x)
    inputs = expanded.inputs.unflatten(0, (N, -1, groups))
    close(rows.inputs, inputs.mean(1).flatten(0, 1))
    close(rows.outputs, expanded.outputs.unflatten(0, (N, -1)).sum(1))
    assert (rows.rows, rows.samples) == (N * groups, N)


@pytest.mark.parametrize("approximation", ["expand", "reduce"])
@cases([LINEAR[2], EMBEDDINGS[1], NORMS[1]])
def test_samples_may_be_in_the_second_dimension(case: Case, approximation: str) -> None:
    module, x = prepared(case)
    _, first = seen(module, x, approximation=approximation)
    (layer,) = find_layers(module).layers
    with Seen() as mode:
        output = module(x.transpose(0, 1).contiguous()).transpose(0, 1)
    (gradient,) = torch.autograd.grad(losses(output).mean(), mode.output)
    rows = mode.call.rows(gradient, bias=layer.bias is not None, approximation=approximation, batch_dim=1)
    for got, expected in zip(rows, first):
        torch.testing.assert_close(got, expected, rtol=1e-14, atol=1e-15)


@cases([LINEAR[0], CONVOLUTIONS[4], EMBEDDINGS[0], NORMS[0]])
def test_a_sample_alone_is_one_sample(case: Case) -> None:
    module, x = prepared(case)
    (layer,) = find_layers(module).layers
    found = []
    for inputs in (x[0], x[:1]):
        with Seen() as mode:
            output = module(inputs)
        (gradient,) = torch.autograd.grad(losses(output.reshape(1, -1)).mean(), mode.output)
        found.append(mode.call.rows(gradient, bias=layer.bias is not None))
    for got, expected in zip(*found):
        torch.testing.assert_close(got, expected, rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@cases([LINEAR[2], CONVOLUTIONS[4], EMBEDDINGS[2], NORMS[1]])
def test_sums_of_half_precision_are_made_in_float32(case: Case, dtype: torch.dtype) -> None:
    module, x = prepared(case, dtype)
    for approximation in ("expand", "reduce"):
        layer, rows = seen(module, x, approximation=approximation)
        if approximation == "reduce" or layer.kind in ("norm", "embedding"):
            assert rows.outputs.dtype == torch.float32
    call = CALLS[F.linear](torch.ones(1, 300, 1, dtype=dtype), torch.ones(1, 1, dtype=dtype))
    gradient = torch.full((1, 300, 1), 1.0, dtype=dtype)
    assert float(call.rows(gradient, bias=False, approximation="reduce").outputs) == 300
    # bfloat16 does not have 257.
    call = CALLS[F.embedding](torch.zeros(1, 257, dtype=torch.long), torch.ones(2, 1, dtype=dtype))
    assert call.rows(torch.ones(1, 257, 1, dtype=dtype)).inputs.tolist() == [257, 0]


def test_a_call_without_the_bias_of_its_layer_has_zeros_for_it() -> None:
    x, weight = torch.ones(2, 3), torch.ones(4, 3)
    rows = CALLS[F.linear](x, weight).rows(torch.ones(2, 4), bias=True)
    assert rows.inputs[:, -1].tolist() == [0, 0]
    norm = CALLS[F.layer_norm](torch.randn(2, 3), [3], torch.ones(3)).rows(torch.ones(2, 3), bias=True)
    assert norm.outputs[:, 3:].tolist() == [[0] * 3] * 2


def test_rows_of_the_transpose_keep_the_product_of_the_moments() -> None:
    module, x = prepared(EMBEDDINGS[1])
    _, rows = seen(module, x)
    turned = transposed(rows)
    U, G = rows.inputs / rows.rows, rows.samples * rows.outputs.mT @ rows.outputs
    U_t = turned.inputs.mT @ turned.inputs / turned.rows
    G_t = turned.samples * turned.outputs
    torch.testing.assert_close(torch.outer(G_t, U_t.flatten()), torch.outer(U, G.flatten()))
    assert float(U_t.trace()) == pytest.approx(3)
    back = transposed(turned)
    torch.testing.assert_close(back.inputs / back.inputs.sum(), rows.inputs / rows.inputs.sum())
    nothing = transposed(rows._replace(outputs=torch.zeros_like(rows.outputs)))
    assert bool(nothing.inputs.eq(0).all())
    assert bool(nothing.outputs.isfinite().all())


def test_a_wrong_approximation_is_named() -> None:
    call = CALLS[F.linear](torch.ones(2, 3), torch.ones(4, 3))
    with pytest.raises(ValueError, match='approximation must be "expand" or "reduce", got \'mean\''):
        call.rows(torch.ones(2, 4), approximation="mean")
