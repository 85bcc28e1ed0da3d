"""How many zero modes the continuous symmetries of the risk give to the Hessian of a network."""

import numpy as np

from jaxcompress.kernels.internal import traits
from jaxcompress.landscape.symmetry._neurons import rows_of
from jaxcompress.landscape.symmetry._target_symmetries import TargetSymmetries
from jaxcompress.networks import TwoLayer


def symmetry_modes(
    network: TwoLayer, symmetries: TargetSymmetries | None, freeze: tuple[str, ...]
) -> int:
    """Scalings of homogeneous neurons, one each, and rotations outside the target's span (`None`:
    there are none).

    Of a part outside of rank `r` in `c` dimensions the rotations have an orbit of `r(2c − r − 1)/2`
    dimensions.
    Where it fails: continuous symmetries that `distance` does not know (biases of exp, polynomials
    of degree 2).
    """
    first, readout = rows_of(network)
    degree = traits(network.activation).degree
    held = {"weights", "bias"} if degree == 0 else {"weights", "bias", "readout"}
    alive = np.any(first != 0, axis=1) | np.any(readout != 0, axis=1)
    modes = int(np.sum(alive)) if degree is not None and not held & set(freeze) else 0
    if "weights" in freeze or symmetries is None or not symmetries.complement:
        return modes
    weights, frame = np.asarray(network.weights, float), symmetries.frame
    # a part outside that decays leaves 1e-9 and no rotation
    rank = np.linalg.matrix_rank(
        weights - weights @ frame.T @ frame, tol=1e-6 * max(float(np.linalg.norm(weights)), 1e-300)
    )
    return modes + int(rank) * (2 * symmetries.complement - int(rank) - 1) // 2
