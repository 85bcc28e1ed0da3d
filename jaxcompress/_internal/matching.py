"""The cheapest perfect matching of two lists, for whoever compares networks neuron by neuron."""

import numpy as np


def cheapest_matching(costs: np.ndarray) -> np.ndarray:
    """The column that each row gets in the cheapest perfect matching of a table `(n, n)` of costs.

    Cost: `O(n³)` at worst.
    """
    # SciPy's optimisers take 0.3 s to load: whoever only names a function that matches does not
    # wait
    from scipy.optimize import linear_sum_assignment

    return linear_sum_assignment(costs)[1]
