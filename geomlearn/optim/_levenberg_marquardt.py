"""Levenberg and Marquardt's method as an optimizer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, fields
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ._levenberg_marquardt_core import Iteration, Options, Progress, iterate
from ._levenberg_marquardt_problem import FunctionProblem, GraphProblem, flatten, of_module, write
from ._manifold_parameter import ManifoldParameter

_OPTIONS = tuple(option.name for option in fields(Options))
_STATUSES = ("", "gradient", "step", "cost", "damping")


class LevenbergMarquardt(Optimizer):
    r"""Minimizes :math:`\tfrac12 |r(\theta)|^2` by Levenberg and Marquardt's method.

    A step solves :math:`(J^T J + \lambda I)\,\delta = -J^T r` with the Jacobian J of the residuals. It is
    accepted when the cost falls by at least 1e-4 of what the linear model promised; else lambda grows and
    another is tried. So the cost never rises. Lambda follows the ratio :math:`\rho` of the two decreases, as
    Nielsen proposed: times :math:`\max(1/3, 1 - (2\rho - 1)^3)` after a step, times 2, 4, 8, ... after
    rejections in a row (Madsen, Nielsen, Tingleff, Methods for Non-Linear Least Squares Problems, 2004,
    algorithm 3.16). The damping is not scaled by the diagonal of :math:`J^T J`: parameters that the residuals
    hardly see would move without bound.

    It is the method for up to a few thousand parameters in float64, with enough data for each: a solve costs
    a third of p^3 operations and p^2 numbers of memory. The Jacobian is taken in blocks of rows
    that fit into ``memory``. float32 works; residuals and Jacobian are then rounded to float32 (the solve is
    still done in float64), and the cost stops falling at about 1e-14 of the squares of the largest terms that
    are subtracted in the residuals, where float64 reaches 1e-30.

    Given a module, closures are functions of samples, and the Jacobian of each sample is taken by itself: as
    many backward passes as a sample has residuals. Given loose parameters, closures take nothing, and the
    Jacobian costs as many passes as there are residuals, or parameters where those are fewer.

    Example:
        >>> import torch
        >>> from geomlearn.optim import LevenbergMarquardt
        >>> t = torch.linspace(0, 1, 20, dtype=torch.float64)
        >>> y = 3 * torch.exp(-2 * t)
        >>> theta = torch.tensor([1.0, 1.0], dtype=torch.float64, requires_grad=True)
        >>> optimizer = LevenbergMarquardt([theta])
        >>> while not optimizer.status:
        ...     cost = optimizer.step(lambda: theta[0] * torch.exp(-theta[1] * t) - y)
        >>> torch.allclose(theta, torch.tensor([3.0, 2.0], dtype=torch.float64), rtol=1e-12)
        True
    """

    def __init__(
        self,
        params: nn.Module | Iterable[Any],
        *,
        lr: float = 1.0,
        damping: float | None = None,
        relative_damping: float = 1e-3,
        decrease: float = 1 / 3,
        increase: float = 2.0,
        solver: str = "cholesky",
        jacobian: str = "auto",
        memory: int = 2**28,
        gradient_tolerance: float = 1e-12,
        step_tolerance: float = 1e-12,
        cost_tolerance: float = 1e-12,
        max_tries: int = 30,
    ) -> None:
        """Choose the parameters and the settings.

        Args:
            params: A module, whose parameters with ``requires_grad`` are fitted, or parameters. All are
                float64, or all float32.
            lr: Share of each step that is taken, for schedulers; 1 is the method itself.
            damping: First lambda; by default ``relative_damping`` times the largest diagonal entry of
                :math:`J^T J` at the first step.
            relative_damping: That share: 1e-6 near a solution, up to 1 far away.
            decrease: Smallest factor of lambda after a step.
            increase: First factor of lambda after a rejection, and of that factor after each further one.
            solver: ``"cholesky"`` of :math:`J^T J`, the fastest, or ``"qr"`` of J, a few times slower, for
                Jacobians whose small singular values (below 1e-8 of the largest) matter.
            jacobian: ``"reverse"`` or ``"forward"`` differentiation, or ``"auto"``, the one with fewer
                passes.
            memory: Bytes that a block of the Jacobian may take; what lies between the layers comes on top.
            gradient_tolerance: Status ``"gradient"`` where no column of J has a cosine with r above it.
            step_tolerance: Status ``"step"`` where a step is shorter than this share of the parameters, and
                not for its damping alone.
            cost_tolerance: Status ``"cost"`` where the cost falls by no more than this share, and would in
                the linear model without damping too. Parameters are then right to about the square root of
                it, in units of their standard deviation; 0 goes on to rounding.
            max_tries: Largest number of lambdas that a step tries; then the status is ``"damping"``.

        Raises:
            TypeError: If parameters are not float32 or float64, not alike, or on a manifold.
            ValueError: If a setting is out of its range, there is nothing to fit, a parameter is given twice,
                or groups have settings of their own.
        """
        if not 0 < lr <= 1:
            raise ValueError(f"lr: expected a number above 0 and up to 1, got {lr}")
        options = Options(
            damping,
            relative_damping,
            decrease,
            increase,
            solver,
            jacobian,
            memory,
            gradient_tolerance,
            step_tolerance,
            cost_tolerance,
            max_tries,
        )
        self._last: Iteration | None = None
        self._module = params if isinstance(params, nn.Module) else None
        if isinstance(params, nn.Module):
            params = [p for p in params.parameters() if p.requires_grad]
            if not params:
                raise ValueError("params: the module has no parameter with requires_grad to fit")
        super().__init__(params, {"lr": lr, **asdict(options)})
        if len({id(p) for p in self._parameters}) != len(self._parameters):
            raise ValueError("params: expected each parameter once, got one of them twice")
        for p in self._parameters:
            if isinstance(p, ManifoldParameter):
                raise TypeError(
                    f"params: this method would move a ManifoldParameter off {p.manifold!r}; make it a torch"
                    " parametrization (torch.nn.utils.parametrize), or use BregmanSLC or RiemannianAdam"
                )
        flatten(self._parameters)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Take the one group of parameters that there can be.

        Args:
            param_group: Parameters under ``"params"``.

        Raises:
            ValueError: If there is a group already.
        """
        if self.param_groups:
            raise ValueError("params: expected one group of parameters, got a second; lambda is one for all")
        super().add_param_group(param_group)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue where ``state_dict`` was taken, with its settings.

        Args:
            state_dict: What ``state_dict()`` returned.

        Raises:
            ValueError: If it is of another optimizer or number of parameters; nothing has changed then.
        """
        groups = state_dict.get("param_groups", [])
        if len(groups) != 1 or not {"lr", *_OPTIONS} <= set(groups[0]):
            raise ValueError("state_dict: expected that of a LevenbergMarquardt, got one of other settings")
        super().load_state_dict(state_dict)

    def __getstate__(self) -> dict[str, Any]:
        """Keep the module in copies."""
        return {**super().__getstate__(), "_module": self._module, "_last": None}

    @property
    def _parameters(self) -> list[Tensor]:
        parameters: list[Tensor] = self.param_groups[0]["params"]
        return parameters

    @property
    def _progress(self) -> Progress:
        state = self.state.get(self._parameters[0], {})
        return Progress(**{**state, "status": _STATUSES[state["status"]]} if state else {})

    @property
    def module(self) -> nn.Module | None:
        """The module whose parameters are fitted, if it was given."""
        return self._module

    @property
    def status(self) -> str:
        """Why the last step found nothing left to do: ``"gradient"``, ``"step"``, ``"cost"``, ``"damping"``.

        Empty where it did not. A further step may be taken all the same, with other samples for instance.
        """
        return self._progress.status

    @property
    def damping(self) -> float:
        """Lambda of the next step, 0 before the first."""
        return self._progress.damping

    @property
    def evaluations(self) -> int:
        """Number of evaluations of the residuals so far; Jacobians are counted in ``jacobians``."""
        return self._progress.evaluations

    @property
    def jacobians(self) -> int:
        """Number of Jacobians so far."""
        return self._progress.jacobians

    @property
    def last(self) -> Iteration | None:
        """What the last step did: costs before and after, norm of the gradient, residuals."""
        return self._last

    @torch.no_grad()
    def step(  # type: ignore[override]
        self, closure: Callable[..., Tensor], samples: Sequence[Tensor] = ()
    ) -> float:
        """Take one step that lowers the cost, if there is one.

        Args:
            closure: Function that computes the residuals from the parameters, and does not call
                ``backward``. With samples it is called with all of them, ``closure(*samples)``, and
                returns (n, ...), the residuals of each; these depend on that sample alone.
            samples: Tensors with one entry for each sample in their first dimension; for an optimizer of a
                module.

        Returns:
            The cost, half the sum of squares, before the step.

        Raises:
            NonFiniteResidualError: If residuals or Jacobian are not finite at the present parameters. After
                any error parameters and state are those before the step.
            TypeError: If there is no closure.
            ValueError: If the residuals do not have the form described.
        """
        if not callable(closure):
            raise TypeError("closure: expected a function that returns the residuals, got none")
        group, parameters = self.param_groups[0], self._parameters
        options = Options(**{name: group[name] for name in _OPTIONS})
        theta = flatten(parameters)
        problem = self._problem(closure, tuple(samples), options)
        progress = self._progress
        end = theta
        try:
            with torch.enable_grad():
                outcome = iterate(problem, theta, progress, options, rate=float(group["lr"]))
            end = outcome.theta
        finally:
            write(parameters, end)
        # A number for the status: torch takes texts in a state it loads for sequences.
        self.state[parameters[0]] = {**asdict(progress), "status": _STATUSES.index(progress.status)}
        self._last = outcome
        return outcome.cost

    def _problem(
        self, closure: Callable[..., Tensor], samples: tuple[Tensor, ...], options: Options
    ) -> FunctionProblem | GraphProblem:
        if self._module is None:
            if samples:
                raise ValueError(
                    "samples: need an optimizer of a module, LevenbergMarquardt(model); for loose parameters"
                    " let the closure use the samples"
                )
            return GraphProblem(closure, self._parameters, options.jacobian, options.memory)
        residual = of_module(self._module, self._parameters, closure)
        return FunctionProblem(residual, samples, options.jacobian, options.memory)
