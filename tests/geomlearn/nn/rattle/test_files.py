"""Networks on constraints written to files and built again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sympy
import torch
from torch import Tensor, nn

from geomlearn.nn import LearnedMass, RattleNet
from geomlearn.training import load, register, save

from ._nets import H, generator, net, starts


@register("test.Weight")
class Weight(nn.Module):
    """A uniform field with a learned strength."""

    def __init__(self, strength: float = 1.0) -> None:
        super().__init__()
        self.strength = nn.Parameter(torch.tensor(strength, dtype=torch.float64))

    def forward(self, q: Tensor) -> Tensor:
        return self.strength * q[..., 1::2].sum(-1)

    def config(self) -> dict[str, Any]:
        return {"type": "test.Weight"}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Weight:
        return cls()


def sympy_rods() -> dict[str, sympy.Expr]:
    q1, q2, q3, q4 = sympy.symbols("q1:5", real=True)
    tenth = sympy.Float(0.1) * 3
    return {"upper": q1**2 + q2**2 - 1, "lower": tenth * ((q3 - q1) ** 2 + (q4 - q2) ** 2 - 1)}


CASES: dict[str, Any] = {
    "learned masses": lambda: net(mass=LearnedMass((1.0, 1.7), coordinates=2)),
    "mass matrix": lambda: net(mass=torch.eye(4, dtype=torch.float64) + 0.1, shared=True),
    "mass parameter": lambda: net(mass=nn.Parameter(torch.tensor([1.0, 2.0, 3.0, 4.0]).double())),
    "fixed steps, friction": lambda: net(learn_steps=False, friction=0.3, mass=2.0),
    "learned friction": lambda: net(friction=nn.Parameter(torch.tensor(0.2).double())),
    "own potential": lambda: net(potentials=Weight(9.0)),
    "own potentials": lambda: net(potentials=[Weight(s) for s in (9.0, 8.0, 7.0)]),
    "sympy": lambda: RattleNet(8, sympy_rods(), H, 2, (3,), generator=generator()),
    "single precision": lambda: net(dtype=torch.float32),
}


@pytest.mark.parametrize("name", CASES)
def test_a_file_gives_the_same_map(name: str, tmp_path: Path) -> None:
    model = CASES[name]()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.01)
    x = model.project(starts(2).to(model.dtype)).detach()
    save(model, tmp_path / "net.safetensors")
    again = load(tmp_path / "net.safetensors")
    assert isinstance(again, RattleNet)
    assert torch.equal(again(x), model(x))
    assert torch.equal(again.energy(x), model.energy(x))
    assert [p.shape for p in again.parameters()] == [p.shape for p in model.parameters()]
    other = model.with_step(0.5 * H)
    assert RattleNet.from_config(other.config()).h == 0.5 * H


def test_what_cannot_be_described() -> None:
    with pytest.raises(TypeError, match="constraints: a function in torch cannot be written"):
        RattleNet(4, lambda q: (q * q).sum(-1, keepdim=True) - 1, 0.1).config()
    with pytest.raises(TypeError, match="potentials: expected a module of a registered class"):
        net(potentials=nn.Sequential(nn.Linear(4, 1).double())).config()


def test_masses_of_several_particles() -> None:
    mass = LearnedMass((1.0, 2.0), coordinates=2)
    torch.testing.assert_close(mass(), torch.tensor([1.0, 1.0, 2.0, 2.0]).double())
    assert LearnedMass.from_config(mass.config())().shape == (4,)
    assert LearnedMass.from_config({"type": "LearnedMass"})().shape == ()
    for wrong in ((1.0, -1.0), (), ((1.0,),)):
        with pytest.raises(ValueError, match="initial: expected a positive mass"):
            LearnedMass(wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="coordinates: expected 1"):
        LearnedMass(1.0, coordinates=2)
