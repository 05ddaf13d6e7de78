"""A vector of symbolic expressions as a torch function and as kernel code."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sympy
import torch
from torch import Tensor

from ..kernels import KernelBuilder, on_demand
from ._adjoint import Staged
from ._code import Code, generate


def _tensors(a: Tensor | float, b: Tensor | float) -> tuple[Tensor, Tensor]:
    """Bring a number to the dtype and device of the tensor beside it."""
    like = a if isinstance(a, Tensor) else b
    if not isinstance(like, Tensor):
        like = torch.zeros((), dtype=torch.float64)
    first, second = (torch.as_tensor(v, dtype=like.dtype, device=like.device) for v in (a, b))
    return first, second


TORCH_FUNCTIONS: dict[str, Callable[..., Any]] = {
    name: getattr(torch, name)
    for name in (
        "abs", "acos", "asin", "atan", "atan2", "cos", "cosh", "exp", "log", "sign", "sin", "sinh", "sqrt",
        "tan", "tanh",
    )
} | {
    "maximum": lambda a, b: torch.maximum(*_tensors(a, b)),
    "minimum": lambda a, b: torch.minimum(*_tensors(a, b)),
    "power": torch.pow,
}  # fmt: skip
KERNEL_FUNCTIONS = {
    "abs": "abs", "acos": "math.acos", "asin": "math.asin", "atan": "math.atan", "atan2": "math.atan2",
    "cos": "cosine", "cosh": "math.cosh", "exp": "exponential", "log": "math.log", "maximum": "max",
    "minimum": "min", "power": "math.pow", "sign": "np.sign", "sin": "sine", "sinh": "math.sinh",
    "sqrt": "math.sqrt", "tan": "math.tan", "tanh": "hyperbolic_tangent",
}  # fmt: skip


class SymbolicFunction:
    """Expressions of named variables and parameters.

    Called with tensors it computes them in torch, differentiably; ``emit`` writes them into a kernel.
    """

    def __init__(
        self,
        outputs: Sequence[sympy.Expr] | Staged,
        variables: Sequence[sympy.Symbol],
        parameters: Sequence[sympy.Symbol],
    ) -> None:
        """Generate the code.

        Args:
            outputs: What to compute, expressions or expressions of inner values.
            variables: Symbols whose values change from state to state, in the order of the arguments.
            parameters: Symbols with one value for all states, in order.
        """
        own = {s: sympy.Symbol(f"v_{k}") for k, s in enumerate(variables)}
        own |= {s: sympy.Symbol(f"c_{k}") for k, s in enumerate(parameters)}
        staged = outputs if isinstance(outputs, Staged) else Staged((), tuple(outputs))
        own |= {symbol: sympy.Symbol(symbol.name) for symbol, _ in staged.definitions}
        self.code: Code = generate(
            [sympy.sympify(e).xreplace(own) for e in staged.outputs],
            definitions=[(own[symbol], e.xreplace(own)) for symbol, e in staged.definitions],
        )
        self.staged, self.outputs = staged, staged.outputs
        self.variable_count, self.parameter_count = len(variables), len(parameters)
        text = " ".join([*(line for _, line in self.code.lines), *self.code.results])
        self._used = [k for k in range(self.parameter_count) if _mentions(text, f"c_{k}")]
        self._torch = self._compile()

    def __getstate__(self) -> dict[str, Any]:
        """Leave the generated function out, which cannot be pickled."""
        return {name: value for name, value in self.__dict__.items() if name != "_torch"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Generate the function again."""
        self.__dict__.update(state)
        self._torch = self._compile()

    def _compile(self) -> Callable[..., tuple[Any, ...]]:
        names = [f"v_{k}" for k in range(self.variable_count)] + [
            f"c_{k}" for k in range(self.parameter_count)
        ]
        body = [f"    {name} = {text}" for name, text in self.code.lines]
        body.append(f"    return ({', '.join(self.code.results)}{',' if self.code.results else ''})")
        namespace: dict[str, Any] = dict(TORCH_FUNCTIONS)
        exec("\n".join([f"def function({', '.join(names)}):", *body]), namespace)
        compiled: Callable[..., tuple[Any, ...]] = namespace["function"]
        return compiled

    def __call__(self, variables: Tensor, parameters: Tensor) -> Tensor:
        """Compute the outputs.

        Args:
            variables: Shape ``(..., number of variables)``.
            parameters: Shape ``(number of parameters,)``.

        Returns:
            Shape ``(..., number of outputs)``.

        Raises:
            ValueError: If the number of variables is wrong.
        """
        if variables.ndim == 0 or variables.shape[-1] != self.variable_count:
            raise ValueError(
                f"x: expected shape (..., {self.variable_count}), got {tuple(variables.shape)}; time comes "
                "last where it occurs"
            )
        values = self._torch(*variables.unbind(-1), *parameters.unbind(-1))
        like = variables[..., 0] if self.variable_count else parameters.new_zeros(())
        columns = [v.expand_as(like) if isinstance(v, Tensor) else torch.full_like(like, v) for v in values]
        return torch.stack(columns, -1) if columns else variables[..., :0]

    def emit(
        self, builder: KernelBuilder, variables: Sequence[int | str], offset: int, targets: Sequence[str]
    ) -> None:
        """Write the computation for all lanes into the current section.

        Args:
            builder: The kernel.
            variables: Rows of the variables, or names of values in the current lane.
            offset: Where the parameters start in the kernel's parameters.
            targets: One statement for each output, in which ``{}`` stands for its value, such as
                ``"@7 = {}"``.
        """
        constants = {f"c_{k}": builder.number(offset + k) for k in self._used}
        statements = [
            f"v_{k} = {v}" if isinstance(v, str) else f"v_{k} = @{v}" for k, v in enumerate(variables)
        ]
        statements += [f"{name} = {_named(text, constants)}" for name, text in self.code.lines]
        statements += [f"o_{k} = {_named(text, constants)}" for k, text in enumerate(self.code.results)]
        uses = [target.format(f"o_{k}") for k, target in enumerate(targets)]
        builder.lanes(*on_demand(statements, uses), join=True)


def _mentions(text: str, name: str) -> bool:
    return any(part == name for part in _identifiers(text))


def _identifiers(text: str) -> list[str]:
    return "".join(c if c.isalnum() or c == "_" else " " for c in text).split()


def _named(text: str, constants: Mapping[str, str]) -> str:
    """The expression with the kernel's names of functions and parameters."""
    out, word = [], ""
    for c in text + " ":
        if c.isalnum() or c == "_":
            word += c
            continue
        called = c == "(" and word in KERNEL_FUNCTIONS
        out.append(KERNEL_FUNCTIONS[word] if called else constants.get(word, word))
        out.append(c)
        word = ""
    return "".join(out).rstrip()
