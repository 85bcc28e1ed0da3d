"""What a neuron is modulo scaling and sign: the symmetries that an activation gives to every
network.

Letters: neurons `w, β, a` (weights, bias, readout), `φ` the activation, `p` its degree.
"""

from typing import Any, NamedTuple

import numpy as np

from jaxcompress.kernels.internal import traits
from jaxcompress.networks import TwoLayer
from jaxcompress.networks.internal import output_axis


def student_parity(network: TwoLayer) -> int:
    """The sign change of a neuron that leaves every function of this kind in its family: −1 with
    the readout, 1 without it, 0 for none.

    A function that is odd up to a constant needs an output bias to take the constant up.
    """
    symmetry = traits(network.activation)
    if symmetry.parity == -1:
        return -1 if symmetry.constant == 0 or network.output_bias is not None else 0
    return 1 if symmetry.parity == 1 and symmetry.slope == 0 else 0


class Neurons(NamedTuple):
    """A network in coordinates on which its own symmetries are isometries, one row a neuron.

    `weights (n, d)`; `own (n, q)`, what no rotation of the inputs touches: bias (if any), then
    readout; `offset (o,)`, the output bias; `flips (q,)`, the factors of `own` under the change of
    sign (which turns `weights` around), or `None` where there is none.
    """

    weights: Any
    own: Any
    offset: Any
    flips: tuple[float, ...] | None

    @property
    def signs(self) -> tuple[int, ...]:
        """The signs that a neuron may be written with."""
        return (1,) if self.flips is None else (1, -1)

    def own_with(self, sign: int) -> Any:
        """`own` of the neurons with that sign."""
        return self.own if sign == 1 else self.own * np.asarray(self.flips, self.own.dtype)[None]


def neurons(network: TwoLayer, xp: Any = np) -> Neurons:
    """The rows of one network: `(w, β, a)`, balanced where the activation is homogeneous.

    `‖(w, β)‖ = ‖a‖` picks one of the orbit `(λw, λβ, λ^{−p}a)`, both `(‖a‖ ‖(w, β)‖^p)^{1/(p+1)}`;
    a neuron without weights or without readout is a row of zeros, since the scaling moves it there.
    Where `φ = constant + odd` and there is an output bias, the offset is that of the odd part, so
    that a change of sign leaves it alone.
    Arguments: the network; `xp`, NumPy (float64 whatever the network has) or `jax.numpy` (traced,
    its own dtype).
    """
    dtype = float if xp is np else network.weights.dtype
    weights, readout = xp.asarray(network.weights, dtype), xp.asarray(network.readout, dtype)
    readout = output_axis(readout, network.outputs)
    first = (
        weights
        if network.bias is None
        else xp.concatenate([weights, xp.asarray(network.bias, dtype)[:, None]], 1)
    )
    symmetry, parity = traits(network.activation), student_parity(network)
    offset = xp.zeros(readout.shape[1], dtype)
    if network.output_bias is not None:
        offset = xp.atleast_1d(xp.asarray(network.output_bias, dtype)) + symmetry.constant * xp.sum(
            readout, axis=0
        )
    if symmetry.degree is not None:
        first, readout = _balanced(first, readout, symmetry.degree, xp)
    own = xp.concatenate([first[:, weights.shape[1] :], readout], 1)
    biases = first.shape[1] - weights.shape[1]
    flips = (-1.0,) * biases + (float(parity),) * readout.shape[1] if parity else None
    return Neurons(first[:, : weights.shape[1]], own, offset, flips)


def rows_of(network: TwoLayer) -> tuple[np.ndarray, np.ndarray]:
    """`(w, β) (n, p)` and readouts `(n, o)` of a network, in float64 NumPy."""
    weights = np.asarray(network.weights, float)
    bias = [] if network.bias is None else [np.asarray(network.bias, float)[:, None]]
    readout = output_axis(np.asarray(network.readout, float), network.outputs)
    return np.concatenate([weights, *bias], 1), readout


def halves(first: Any, readout: Any, xp: Any = np) -> tuple[Any, Any, Any, Any]:
    """Directions and lengths of what enters a neuron and of what leaves it: `u, ‖(w, β)‖, â, ‖a‖`;
    zeros for zeros.
    """
    out = []
    for half in (first, readout):
        size = xp.sqrt(xp.sum(half**2, axis=1))
        out += [half / xp.where(size > 0, size, 1)[:, None], size]
    return tuple(out)


def _balanced(first: Any, readout: Any, degree: float, xp: Any) -> tuple[Any, Any]:
    u, size, direction, length = halves(first, readout, xp)
    # roots first: norms of 1e±150 have no product of powers
    common = (length ** (1 / (degree + 1)) * size ** (degree / (degree + 1)))[:, None]
    # 0⁰ is a direction for degree zero, and there is none
    common = xp.where((size > 0)[:, None], common, 0)
    return u * common, direction * common
