"""
Natural gradient: a perceptron on digits
========================================

A perceptron reads the digits of scikit-learn, 1797 pictures of 8 x 8. Every optimizer has the same number of
trials, at random settings from ranges of the same size, chosen by the training loss at the end, for equal
numbers of steps and again for equal processor times; then the best is run with other seeds. The structure of
the Kronecker factors sets memory and cost: the table gives bytes of state for each byte of parameters.

Run ``python examples/plot_natural_gradient_digits.py --size full``; it writes
``natural_gradient_digits.png``. It needs scikit-learn, ``pip install geomlearn[data]``, and the file
``examples/_comparison.py``.

.. image:: /_static/natural_gradient_digits.png
   :alt: Training losses of a perceptron by steps and by seconds
"""
# sphinx_gallery_thumbnail_path = '_static/natural_gradient_digits.png'

# %%
# The task
# --------
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import matplotlib.pyplot as plt
import torch
from _comparison import Task, adamw, compare, draw, muon, natural, nesterov, options
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

arguments = options("natural_gradient_digits.png")
trials, seeds, steps, every = {"full": (20, 5, 300, 5), "medium": (6, 3, 200, 5), "small": (1, 2, 10, 5)}[
    arguments.size
]
digits = load_digits()
order = torch.randperm(1797, generator=torch.Generator().manual_seed(0))
x, y = torch.as_tensor(digits.data, dtype=torch.float32)[order] / 16, torch.as_tensor(digits.target)[order]
train, test = ((x[part], y[part]) for part in (slice(1300), slice(1300, None)))


def perceptron() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10))


def batches() -> Iterator[Any]:
    while True:
        for batch in torch.randperm(1300).split(100):
            yield train[0][batch], train[1][batch]


def loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    return F.cross_entropy(model(batch[0]), batch[1])


@torch.no_grad()
def judge(model: nn.Module) -> float:
    return float((model(test[0]).argmax(1) != test[1]).float().mean())


task = Task(perceptron, batches, loss, judge, "share of test pictures read wrongly", steps, every)


# %%
# The optimizers
# --------------
# The second number is the weight decay of AdamW and Muon, the momentum of SGD, and the damping of the natural
# gradient. Muon refuses vectors, which AdamW takes at a tenth of the rate.
METHODS = {
    "AdamW": adamw(),
    "SGD, Nesterov": nesterov(),
    "Muon": muon(lambda name: True),
    "IKFAC, dense": natural("dense"),
    "INGD, dense": natural("dense", "ingd"),
    "IKFAC, hierarchical": natural("hierarchical"),
    "IKFAC, block": natural("block"),
    "IKFAC, Toeplitz": natural("toeplitz"),
    "IKFAC, diagonal": natural("diagonal"),
}
compared = compare(task, METHODS, trials, seeds)

# %%
# What came out
# -------------
figure, panels = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
draw(task, compared, panels)
figure.savefig(arguments.figure, dpi=110)
