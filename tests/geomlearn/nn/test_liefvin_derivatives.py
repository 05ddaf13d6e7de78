"""Derivatives, transforms and precision of LieFVIN."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from geomlearn.losses import VelocityPositionLoss
from geomlearn.nn import LieFVIN, LogCholeskyInertia, NeuralDamping, NeuralGain, NeuralPotential
from lie import SE3, SO3, LieGroup

from ._models import generator, quiet, randn, shaken, states


def small(group: LieGroup, features: str) -> LieFVIN:
    model = quiet(
        group,
        0.05,
        inertia=LogCholeskyInertia(trace=3.0),
        potential=NeuralPotential(group, (3,), features, generator=generator()),
        input_gain=NeuralGain(group, 1, (2,), generator=generator()),
        dissipation=NeuralDamping(group, (2,), generator=generator()),
    )
    return shaken(model, scale=0.2)


@pytest.mark.parametrize("features", ["matrix", "quaternion"])
@pytest.mark.parametrize("group", [SO3, SE3], ids=["SO3", "SE3"])
def test_gradient_of_the_loss_in_all_parameters(group: LieGroup, features: str) -> None:
    model = small(group, features)
    windows = torch.stack([states(model, 2, seed=k) for k in range(4)], dim=1)
    controls = randn(2, 3, 1)
    names, values = zip(*[(n, p) for n, p in model.named_parameters() if p.requires_grad])
    holder = Loss(model)

    def loss(*weights: Tensor) -> Tensor:
        parameters = {f"model.{name}": value for name, value in zip(names, weights)}
        return torch.func.functional_call(holder, parameters, (windows, controls))

    leaves = [v.detach().clone().requires_grad_() for v in values]
    assert torch.autograd.gradcheck(loss, leaves, rtol=1e-5, atol=1e-7, fast_mode=True)
    # The loss does not see the constant of the energy, the last bias of the potential.
    gradients = torch.autograd.grad(loss(*leaves), leaves, allow_unused=True)
    unseen = [name for name, g in zip(names, gradients) if g is None or not bool(g.any())]
    assert unseen == ["potential.net.layers.1.bias"]


class Loss(torch.nn.Module):
    """The training loss as a module, for functional_call."""

    def __init__(self, model: LieFVIN) -> None:
        super().__init__()
        self.model, self.loss = model, VelocityPositionLoss()

    def forward(self, windows: Tensor, controls: Tensor) -> Tensor:
        return self.loss(self.model, windows, controls)


def test_ensemble_of_parameters_under_vmap_equals_the_models_one_by_one() -> None:
    models = [small(SE3, "quaternion") for _ in range(3)]
    for k, model in enumerate(models):
        shaken(model, scale=0.1, seed=k)
    parameters, buffers = torch.func.stack_module_state(models)
    x, u = states(models[0], 4), randn(4, 1)

    def step(p: dict[str, Tensor], b: dict[str, Tensor]) -> Tensor:
        return torch.func.functional_call(models[0], (p, b), (x, u))

    found = torch.func.vmap(step)(parameters, buffers)
    expected = torch.stack([model(x, u) for model in models])
    assert torch.allclose(found, expected, rtol=1e-13, atol=1e-14)


def test_jacobian_of_the_step_in_the_state_agrees_in_both_modes() -> None:
    model = small(SE3, "matrix")
    x, u = states(model), randn(1)
    forward = torch.func.jacfwd(lambda y: model(y, u))(x)
    assert torch.allclose(forward, torch.func.jacrev(lambda y: model(y, u))(x), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("group", [SO3, SE3], ids=["SO3", "SE3"])
def test_float32_follows_float64(group: LieGroup) -> None:
    model = small(group, "quaternion")
    x, u = states(model, 3), randn(10, 3, 1)
    with torch.no_grad():
        exact = model.unroll(x, u)
        rounded = model.float().unroll(x.float(), u.float())
    assert rounded.dtype == torch.float32
    assert torch.allclose(rounded.double(), exact, rtol=0, atol=1e-4)
    with pytest.raises(TypeError, match=r"x: expected the dtype of the map, torch\.float32"):
        model(x, u[0])
