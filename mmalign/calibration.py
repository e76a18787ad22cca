"""Temperature scaling: what scores are divided by before a softmax makes them probabilities."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp, softmax

from mmalign.arrays import Floats, Indices

MOST = 2**23  # scores that a fit looks at: 64 MiB of float64
RANGE = 12.0  # how far, in logarithms, the temperature is sought around the scores' own spread


def fit_temperature(scores: Floats, labels: Indices, search: Indices) -> float:
    """The temperature that makes the true classes likeliest (Guo et al. 2017, section 4.2).

    ``scores`` are (rows, search), of rows that were not trained on; ``labels`` is (rows,).
    It minimises the mean of ``-log softmax(scores / T)`` at the true class, which is convex in
    ``1 / T``. Rows of classes that are not searched do not count; of very many rows, evenly
    spaced ones do. It is 1 where nothing can be learnt: no row, one class, or equal scores.
    """
    order = np.argsort(search)
    place = order[np.minimum(np.searchsorted(search[order], labels), len(search) - 1)]
    rows = np.flatnonzero(search[place] == labels)
    rows = rows[:: max(1, -(-len(rows) * len(search) // MOST))]
    taken = scores[rows].astype(np.float64)
    if not taken.size or (spread := float(taken.std(axis=1).mean())) == 0:
        return 1.0
    true = taken[np.arange(len(rows)), place[rows]].mean()

    def loss(log_inverse: float) -> float:
        inverse = float(np.exp(log_inverse))
        return float(logsumexp(inverse * taken, axis=1).mean() - inverse * true)

    centre = -float(np.log(spread))
    bounds = (centre - RANGE, centre + RANGE)
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    return float(np.exp(-found.x))


def probabilities(scores: Floats, temperature: float) -> Floats:
    """``softmax(scores / temperature)``, (rows, classes), each row of which sums to 1."""
    found: Floats = softmax(scores.astype(np.float64) / temperature, axis=1).astype(np.float32)
    return found
