"""Which parameters of a model are layers, with which structures, and which are not."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lie
from geomlearn.optim import ManifoldParameter
from geomlearn.optim._natural_gradient._layers import Layer, find_layers
from geomlearn.optim._natural_gradient._structures import make_structure


def named(model: nn.Module, **options: Any) -> dict[str, Layer]:
    return {layer.name: layer for layer in find_layers(model, **options).layers}


def reasons(model: nn.Module) -> dict[str, str]:
    return {other.name: other.reason for other in find_layers(model).others}


def sizes(layer: Layer) -> tuple[int | None, int]:
    return None if layer.inputs is None else layer.inputs.n, layer.outputs.n


def everything() -> nn.Sequential:
    model = nn.Sequential(
        nn.TransformerEncoderLayer(8, 2, 16),
        nn.Conv2d(4, 6, 3, groups=2),
        nn.BatchNorm2d(6),
        nn.Embedding(20, 8),
        nn.Linear(8, 20),
        nn.GRU(3, 3),
        nn.MultiheadAttention(8, 2, kdim=5, vdim=3, add_bias_kv=True),
        nn.utils.parametrizations.weight_norm(nn.Linear(3, 3)),
        nn.ConvTranspose1d(2, 2, 3),
    )
    model[4].weight = model[3].weight
    model[1].bias.requires_grad_(False)
    return model


def test_every_trained_entry_is_in_one_place() -> None:
    model = everything()
    layout = find_layers(model)
    counts = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    for layer in layout.layers:
        for part in (layer.weight, layer.bias):
            if part is not None:
                part.of(counts[part.name]).add_(1)
    for other in layout.others:
        counts[other.name].add_(1)
    expected = {name: torch.full_like(p, float(p.requires_grad)) for name, p in model.named_parameters()}
    assert all(torch.equal(counts[name], expected[name]) for name in expected)


def test_layers_and_their_sizes() -> None:
    found = {name: (layer.kind, *sizes(layer)) for name, layer in named(everything()).items()}
    assert found == {
        "0.self_attn.q": ("linear", 9, 8),
        "0.self_attn.k": ("linear", 9, 8),
        "0.self_attn.v": ("linear", 9, 8),
        "0.self_attn.out_proj": ("linear", 9, 8),
        "0.linear1": ("linear", 9, 16),
        "0.linear2": ("linear", 17, 8),
        "0.norm1": ("norm", None, 16),
        "0.norm2": ("norm", None, 16),
        "1": ("conv", 18, 6),
        "2": ("norm", None, 12),
        "3": ("embedding", 20, 8),
        "6.q": ("linear", 9, 8),
        "6.k": ("linear", 6, 8),
        "6.v": ("linear", 4, 8),
        "6.out_proj": ("linear", 9, 8),
    }


def test_reasons_for_the_others() -> None:
    found = reasons(everything())
    assert found["4.bias"] == "its weight belongs to '3'"
    assert found["6.bias_k"] == "no curvature for this parameter of MultiheadAttention"
    assert found["5.weight_hh_l0"] == "no curvature for this parameter of GRU"
    assert found["8.weight"] == "no curvature for this parameter of ConvTranspose1d"
    assert "7.bias" in found
    linear = nn.Linear(3, 3)
    linear.weight.requires_grad_(False)
    assert reasons(linear) == {"bias": "its weight is frozen"}
    linear = nn.Linear(3, 3, bias=False)
    linear.weight = ManifoldParameter(lie.SPD(3), torch.eye(3))
    assert reasons(linear) == {"weight": "it lies on a manifold"}
    assert reasons(nn.Linear(2, 2, dtype=torch.complex64))["weight"] == "its dtype is torch.complex64"
    assert reasons(nn.Linear(3, 3).requires_grad_(False)) == {}


def test_an_embedding_has_the_weight_that_it_shares_in_any_order() -> None:
    model = nn.ModuleDict({"head": nn.Linear(4, 9, bias=False), "table": nn.Embedding(9, 4)})
    model["head"].weight = model["table"].weight
    (layer,) = find_layers(model).layers
    assert (layer.name, layer.kind, layer.weight.name) == ("table", "embedding", "table.weight")
    twice = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])
    twice[1].weight = twice[0].weight
    layout = find_layers(twice)
    assert [layer.name for layer in layout.layers] == ["0"]
    assert [(other.name, other.reason) for other in layout.others] == [
        ("1.bias", "its weight belongs to '0'")
    ]


def test_matrices_of_layers_and_back() -> None:
    for name, layer in named(everything()).items():
        weight = torch.randn_like(layer.weight.of(layer.weight.parameter))
        bias = None if layer.bias is None else torch.randn_like(layer.bias.of(layer.bias.parameter))
        matrix = layer.matrix(weight, bias)
        d_i, d_o = sizes(layer)
        assert matrix.shape == (d_o, 1 if d_i is None else d_i), name
        found = layer.parts(matrix)
        assert torch.equal(found[0], weight)
        assert (found[1] is None) if bias is None else torch.equal(_tensor(found[1]), bias)


def _tensor(x: Tensor | None) -> Tensor:
    assert x is not None
    return x


def test_parts_of_packed_projections_are_views() -> None:
    attention = nn.MultiheadAttention(4, 2)
    layers = named(attention)
    assert [layers[name].weight.rows for name in "qkv"] == [(0, 4), (4, 8), (8, 12)]
    part = layers["k"].weight.of(layers["k"].weight.parameter)
    assert part.data_ptr() == attention.in_proj_weight[4:].data_ptr()


STRUCTURES = {
    "dense": ("full", {}),
    "diagonal": ("diagonal", {}),
    "block": ("block_diagonal", {"block": 30}),
    "block-7": ("block_diagonal", {"block": 7}),
    "triangular": ("lower", {}),
    "hierarchical": ("hierarchical", {"k1": 15, "k2": 15}),
    "hierarchical-4-5": ("hierarchical", {"k1": 4, "k2": 5}),
    "toeplitz": ("lower_toeplitz", {}),
    "rank-k": ("block_upper", {"rank": 10}),
    "rank": ("block_upper", {"rank": 10}),
    "rank-3": ("block_upper", {"rank": 3}),
}


@pytest.mark.parametrize("name", STRUCTURES)
def test_structures_by_name(name: str) -> None:
    kind, options = STRUCTURES[name]
    assert make_structure(name, 40) == lie.structured_factor(kind, 40, **options)


@pytest.mark.parametrize("name", ["full", "block-0", "block-a", "rank-1-2", "dense-3", "", "block-", None, 3])
def test_other_names_are_refused(name: Any) -> None:
    with pytest.raises(ValueError, match=r'structure must be "dense", "diagonal", .* got'):
        make_structure(name, 4)


def test_structures_by_factor_and_by_layer() -> None:
    model = nn.Sequential(nn.Linear(40, 20), nn.LayerNorm(20), nn.Embedding(9, 20), nn.Linear(20, 20))
    layers = named(model, structure=("block-5", "toeplitz"))
    assert layers["0"].inputs == make_structure("block-5", 41)
    assert layers["0"].outputs == make_structure("toeplitz", 20)
    assert layers["1"].outputs == make_structure("diagonal", 40)
    assert layers["2"].inputs == make_structure("diagonal", 9)
    layers = named(model, structure={"[01]": "rank-2", "3": ("diagonal", "dense"), "*": "block-6"})
    assert layers["0"].inputs == make_structure("rank-2", 41)
    assert layers["1"].outputs == make_structure("rank-2", 40)
    assert layers["2"].outputs == make_structure("block-6", 20)
    assert layers["3"].inputs == make_structure("diagonal", 21)
    assert layers["3"].outputs == make_structure("dense", 20)
    layers = named(model, structure={"3": "toeplitz"})
    assert layers["0"].inputs == make_structure("dense", 41)


def test_outputs_of_groups_share_no_block() -> None:
    conv = nn.Conv2d(8, 16, 3, groups=4)
    expected = {"dense": 4, "triangular": 4, "block": 4, "block-3": 3}
    for name, block in expected.items():
        assert named(conv, structure=name)[""].outputs == make_structure(f"block-{block}", 16)
    assert named(conv, structure="rank-2")[""].outputs == make_structure("rank-2", 16)
    depthwise = named(nn.Conv2d(8, 8, 3, groups=8))[""]
    assert (depthwise.outputs.memory, sizes(depthwise)) == (8, (10, 8))


def test_a_factor_with_too_many_rows_is_diagonal() -> None:
    head = nn.Linear(3, 20_000, device="meta")
    for name in ("dense", "triangular"):
        layer = named(head, structure=name)[""]
        assert layer.outputs == make_structure("diagonal", 20_000)
        assert layer.inputs == make_structure(name, 4)
    layout = find_layers(nn.Linear(3, 20), largest=10)
    assert layout.layers[0].outputs.kind == "diagonal"


def test_wrong_choices_are_named() -> None:
    model = nn.Sequential(nn.Linear(3, 3))
    with pytest.raises(ValueError, match=r"structure must be .* got 'densee'"):
        find_layers(model, {"0": ("dense", "densee")})
    with pytest.raises(
        ValueError, match=r"no layer with curvature has a name like '1'; the layers are '0'\."
    ):
        find_layers(model, {"1": "dense"})
    with pytest.raises(
        TypeError, match=r"structure must be a name, a pair of names .* got \('a', 'b', 'c'\)"
    ):
        find_layers(model, ("a", "b", "c"))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="0 has a weight without a shape; run the model once"):
        find_layers(nn.Sequential(nn.LazyLinear(3)))
