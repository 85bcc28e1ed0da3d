"""How many zero modes the continuous symmetries of the risk give to the Hessian of a network."""

import numpy as np

from jaxcompress.landscape._neurons import activation_symmetry
from jaxcompress.landscape._reduced import rows_of
from jaxcompress.networks import TwoLayer


def symmetry_modes(network: TwoLayer, target: TwoLayer, freeze: tuple[str, ...]) -> int:
    """Scalings of homogeneous neurons, one each, and rotations outside the target's span.

    Of a part outside of rank `r` in `c` dimensions the rotations have an orbit of `r(2c − r − 1)/2` dimensions.
    """
    first, readout = rows_of(network)
    homogeneous = activation_symmetry(network.activation).degree is not None
    free = not {"weights", "readout", "bias"} & set(freeze)
    alive = np.any(first != 0, axis=1) | np.any(readout != 0, axis=1)
    modes = int(np.sum(alive)) if homogeneous and free else 0
    if "weights" in freeze:
        return modes
    sizes, rows = np.linalg.svd(np.asarray(target.weights, float))[1:]
    span = rows[: int(np.sum(sizes > 1e-9 * np.max(sizes, initial=0)))]
    weights = np.asarray(network.weights, float)
    outside = weights - weights @ span.T @ span
    c = network.dim - len(span)
    # a part outside that decays leaves 1e-9 and no rotation
    r = int(np.linalg.matrix_rank(outside, tol=1e-6 * max(float(np.linalg.norm(weights)), 1e-300))) if c else 0
    return modes + r * (2 * c - r - 1) // 2
