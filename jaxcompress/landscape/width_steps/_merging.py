"""Two neurons made one: exactly where a symmetry of the activation makes them equal, and as well as
one can elsewhere.

Letters: neurons `(w, β, a)`, `u = (w, β)`, `φ` the activation, of degree `p` where it is
homogeneous.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxcompress._internal.checks import check_finite
from jaxcompress.kernels import AbstractInputs, StandardNormal
from jaxcompress.kernels.internal import traits
from jaxcompress.landscape.symmetry._neurons import rows_of, student_parity
from jaxcompress.landscape.width_steps._splitting import check_neuron
from jaxcompress.networks import TwoLayer
from jaxcompress.solvers import solve_many

# Neurons whose inner weights differ by this many ulp of their size are equal.
_ROUNDING = 64


def merge(
    network: TwoLayer, first: int, second: int, *, inputs: AbstractInputs | None = None
) -> TwoLayer:
    """The network with two of its neurons made one, in the place of the first.

    Where they are equal up to a symmetry of `φ`, `u₂ = λ u₁` (`λ = 1`; `λ > 0` of homogeneous
    activations; `λ < 0` of odd and even ones as well), the function stays the same to rounding: `a
    = a₁ ± |λ|^p a₂`. So it does where one of them adds nothing: no readout, or no weights of a
    homogeneous activation. Elsewhere the one neuron that is nearest to the pair takes its place,
    `min E‖a φ(u·x̄) − a₁ φ(u₁·x̄) − a₂ φ(u₂·x̄)‖²`, with a change of the output bias where there is
    one: the lowest end of `solve` from either neuron, their mean and their difference. Neither the
    other neurons nor a target play a part; run `solve` on the result for that.

    Arguments:

    - `network`: one concrete network of two neurons or more, weights `(n, d)`;
    - `first`, `second`: two different neurons, from 0 to `n − 1`;
    - `inputs`: their distribution, `StandardNormal()` when left out; it matters only for neurons
      that are not equal.

    Returns a network of `n − 1` neurons.
    Raises `ValueError` for neurons that are not there, or the same one twice.
    Where it fails: opposite neurons whose readouts nearly cancel are a derivative, best met at
    infinite readout; what is returned then is where the search ended.

    >>> import jaxcompress as jc
    >>> target = jc.targets.orthonormal(3, 3, activation=jc.activations.erf)
    >>> jc.landscape.merge(jc.landscape.split(target, 0), 0, 3).width
    3
    """
    i, j = check_neuron("merge", network, first), check_neuron("merge", network, second)
    if i == j:
        raise ValueError(
            f"merge: given neuron {first!r} twice; expected two neurons; name another one"
        )
    check_finite("merge: network", **network.parameters())
    one = _equal(network, i, j)
    one = (
        _nearest(network, i, j, StandardNormal() if inputs is None else inputs)
        if one is None
        else one
    )
    keep = np.array([place for place in range(network.width) if place != j])

    def joined(array: Array, row: Array) -> Array:
        return array.at[i].set(row[0])[keep]

    offset = (
        None
        if network.output_bias is None or one.output_bias is None
        else network.output_bias + one.output_bias
    )
    bias = None if network.bias is None or one.bias is None else joined(network.bias, one.bias)
    weights, readout = joined(network.weights, one.weights), joined(network.readout, one.readout)
    return TwoLayer(weights, readout, bias, offset, network.activation)


def _pair(network: TwoLayer, places: list[int]) -> TwoLayer:
    """These neurons alone, with an output bias of zero where there is one."""
    rows = np.array(places)
    return TwoLayer(
        network.weights[rows],
        network.readout[rows],
        None if network.bias is None else network.bias[rows],
        None if network.output_bias is None else jnp.zeros_like(network.output_bias),
        network.activation,
    )


def _equal(network: TwoLayer, i: int, j: int) -> TwoLayer | None:
    """The one neuron that is the same function as two, with the output bias that goes with it, if
    there is one.
    """
    pair = _pair(network, [i, j])
    symmetry = traits(network.activation)
    inner, readouts = rows_of(pair)
    sizes = np.linalg.norm(inner, axis=1)
    idle = ~readouts.any(1) | ((sizes == 0) & bool(symmetry.degree))
    if idle.any():
        return _pair(network, [(i, j)[int(idle[0])]])
    homogeneous = symmetry.degree is not None and (sizes > 0).all()
    ratio = sizes[1] / sizes[0] if homogeneous else 1.0
    slack = _ROUNDING * float(jnp.finfo(pair.weights.dtype).eps) * sizes[1]
    for turn, sign in ((1, 1), (-1, student_parity(network))):
        if sign == 0 or np.linalg.norm(inner[1] - turn * ratio * inner[0]) > slack:
            continue
        one = _pair(network, [i])
        factor = jnp.asarray(sign * ratio ** (symmetry.degree or 0), pair.readout.dtype)
        one = eqx.tree_at(
            lambda net: net.readout, one, pair.readout[:1] + factor * pair.readout[1:]
        )
        if sign == 1 or one.output_bias is None:
            return one
        # φ = c + odd: φ(−z) = 2c − φ(z)
        shift = (2 * symmetry.constant * pair.readout[1]).astype(pair.readout.dtype)
        return eqx.tree_at(lambda net: net.output_bias, one, shift)
    return None


def _nearest(network: TwoLayer, i: int, j: int, inputs: AbstractInputs) -> TwoLayer:
    """The one neuron nearest to the pair."""
    pair = _pair(network, [i, j])
    starts = [_pair(network, [i]), _pair(network, [j])]
    for sign in (1, -1):
        weights, readout = (
            (leaf[:1] + sign * leaf[1:]) / 2 for leaf in (pair.weights, pair.readout)
        )
        bias = None if pair.bias is None else (pair.bias[:1] + sign * pair.bias[1:]) / 2
        starts.append(
            TwoLayer(weights, (1.5 + sign / 2) * readout, bias, pair.output_bias, pair.activation)
        )
    target = TwoLayer(pair.weights, pair.readout, pair.bias, None, pair.activation)
    students = jax.tree.map(lambda *leaves: jnp.stack(leaves), *starts)
    return solve_many(students, target, inputs=inputs).best.network
