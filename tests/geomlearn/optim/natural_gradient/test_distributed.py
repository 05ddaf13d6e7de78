"""Two processes that share a batch are one process with all of it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.multiprocessing.spawn import spawn
from torch.nn.parallel import DistributedDataParallel

from ._networks import batch, factors, off, optimizer_of, perceptron, weights

STEPS = 6
WAYS = ("defaults", "wrapped", "wrapped later", "bare", "accumulated", "checked", "scaled")
CASES = [(way, variant) for way in WAYS for variant in ("ikfac", "ingd")]


def train(way: str, variant: str, rank: int, processes: int) -> dict[str, Any]:
    """Train on every ``processes``-th sample from ``rank`` on."""
    model: nn.Module = perceptron()
    given = DistributedDataParallel(model) if way == "wrapped" and processes > 1 else model
    defaults = {"start": "scaled", "trust": 1e-3} if way == "defaults" else {}
    optimizer = optimizer_of(given, variant=variant, interval=2, **defaults)
    if way == "wrapped later" and processes > 1:
        given = DistributedDataParallel(model)
    scaler = GradScaler("cpu", init_scale=2.0**8)
    for number in range(STEPS):
        x, labels = (tensor[rank::processes] for tensor in batch(number))
        if way == "scaled":
            # The loss of one process overflows, in half a batch of its own.
            poison = torch.inf if number == 4 and rank == processes - 1 else 1.0
            scaled_step(model, optimizer, scaler, x, labels, poison)
            continue
        optimizer.zero_grad()
        parts = 2 if way == "accumulated" else 1
        for inputs, some in zip(x.chunk(parts), labels.chunk(parts)):
            with optimizer.curvature():
                (F.cross_entropy(given(inputs), some) / parts).backward()
        if way == "checked" and number == 4 and rank == processes - 1:
            # One process of the group has met an infinity, in a copy of the weights that the others have.
            next(model.parameters()).grad.fill_(torch.inf)  # type: ignore[union-attr]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore" if way == "checked" else "error")
            optimizer.step()
    return {
        "weights": weights(model),
        "factors": factors(optimizer),
        "skipped": torch.tensor(optimizer.skipped),
    }


def scaled_step(
    model: nn.Module, optimizer: Any, scaler: GradScaler, x: Tensor, labels: Tensor, poison: float
) -> None:
    optimizer.zero_grad()
    with optimizer.curvature(scaler):
        scaler.scale(poison * F.cross_entropy(model(x), labels)).backward()
    scaler.step(optimizer)
    scaler.update()


def work(rank: int, processes: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=processes)
    found = {f"{way} {variant}": train(way, variant, rank, processes) for way, variant in CASES}
    torch.save(found, f"{folder}/{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder: Path = tmp_path_factory.mktemp("processes")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[4])  # where the processes find this module
        spawn(work, (2, str(folder)), nprocs=2)
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.mark.parametrize(("way", "variant"), CASES)
def test_two_processes_are_one(way: str, variant: str, both: list[dict[str, Any]]) -> None:
    """Wrapped before or after the optimizer is made, or not at all; with micro-batches; with an infinity."""
    one, other = (found[f"{way} {variant}"] for found in both)
    assert torch.equal(one["weights"], other["weights"])
    assert torch.equal(one["factors"], other["factors"])
    alone = train(way, variant, 0, 1)
    assert off(one["weights"], alone["weights"]) < 1e-12
    assert off(one["factors"], alone["factors"]) < 1e-12
    assert int(one["skipped"]) == int(alone["skipped"]) == (way in ("checked", "scaled"))
