"""Values and derivatives of SO(2), SE(2), SE_2(3) and Sim(3) against 40-digit series, in epsilons."""

from __future__ import annotations

import pytest
import torch

from .acceptance import acceptance

dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
names = pytest.mark.parametrize("name", ["SO2", "SE2", "SE23", "Sim3"])


@dtypes
@names
def test_exp(name: str, dtype: torch.dtype) -> None:
    assert acceptance(name, dtype).exp() <= 4


@dtypes
@names
def test_log(name: str, dtype: torch.dtype) -> None:
    turn, rest = acceptance(name, dtype).log()
    assert turn <= 4
    assert rest <= 8


@dtypes
@names
def test_jacobians(name: str, dtype: torch.dtype) -> None:
    assert acceptance(name, dtype).jacobian() <= 2
    assert acceptance(name, dtype).jacobian_inverse() <= 2


@dtypes
@names
def test_derivatives_of_exp(name: str, dtype: torch.dtype) -> None:
    gradient, hessian = acceptance(name, dtype).derivatives_of_exp()
    assert gradient <= 16
    assert hessian <= 32


@dtypes
@names
def test_derivatives_of_log(name: str, dtype: torch.dtype) -> None:
    gradient, hessian = acceptance(name, dtype).derivatives_of_log()
    assert gradient <= 16
    assert hessian <= 64
