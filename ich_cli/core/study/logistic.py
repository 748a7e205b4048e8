"""Sigmoid and logit with NumPy alone.

Predicting needs nothing else of SciPy, and importing ``scipy.special`` would delay each start of
``ich predict``; code that does not predict uses SciPy's ``expit`` and ``logit``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 1 / (1 + exp(-x)) element by element, without overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * x)))


def logit(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return log(p / (1 - p)) of probabilities in (0, 1), element by element."""
    return np.asarray(np.log(p / (1 - p)))
