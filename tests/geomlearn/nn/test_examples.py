"""The examples in the docstrings run as they are printed."""

from __future__ import annotations

import doctest
import sys

import pytest

from geomlearn.nn import LieFVIN, NeuralPotential


@pytest.mark.parametrize("cls", [LieFVIN, NeuralPotential])
def test_example_of_the_docstring(cls: type) -> None:
    names = dict(vars(sys.modules[cls.__module__]))
    (test,) = doctest.DocTestFinder(recurse=False).find(cls, cls.__name__, globs=names)
    assert test.examples
    assert doctest.DocTestRunner().run(test).failed == 0
