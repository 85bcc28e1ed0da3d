"""One neuron written as two: the lines of networks with the same function, and where on them the
risk can be lowered.

Letters: a neuron `(w, β, a)`, `x̄ = (x, 1)` where it has a bias, `f` the network, `s` the share of
the first half.

On the line `(w, β, s a), (w, β, (1 − s) a)` the function stays the same, so a critical point stays
critical for every `s`. Take the halves apart, by `(1 − s) δ` and `−s δ`: the function does not
change at first order, and at second order it does by `½ s (1 − s) a φ″(w·x + β) (δ·x̄)²`. So the
second derivative of the risk along `δ` is

    s (1 − s) δᵀ B δ,    B = 2 E[⟨f − f*, a⟩ φ″(w·x + β) x̄x̄ᵀ],

and at a critical point of one output nothing of its Hessian is left between `δ` and all other
directions. By the law of inertia the index of the split point is that of the point plus, for `0 < s
< 1`, the number of negative eigenvalues of `B`, and of positive ones for `s` outside: a minimum of
the narrow network is one of the wide network on one side of the line if `B` is definite, and a
saddle on both if `B` has both signs. In copy–average networks of erf a neuron that copies has `B =
0`, and one that averages over `ℓ` has `ℓ − 1` equal negative eigenvalues (−0.26, −0.28, −0.29,
−0.29 for `ℓ` = 2 to 5) and no positive one. With several outputs the halves may also exchange a
readout `ε ⊥ a`, which meets `δ` in `2 E[⟨f − f*, ε⟩ φ′ x̄]`: `B` alone does not give the index
then, `splitting_spectrum` does (two outputs, `B` of signs 2 and 2: index 2 inside and 3 outside).
The same goes for a neuron of zero readout.
Reference: Fukumizu & Amari 2000.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxcompress._internal.checks import as_array, check_finite, check_integer
from jaxcompress.kernels import AbstractInputs, StandardNormal
from jaxcompress.landscape.symmetry._checks import check_one
from jaxcompress.networks import TargetMoments, TwoLayer
from jaxcompress.risk import AbstractTarget
from jaxcompress.risk.internal import check_compatible
from jaxcompress.special.internal import precision


class SplittingSpectrum(eqx.Module):
    """The Hessian of split networks: `eigenvalues (shares, P)`, ascending, and `index (shares,)`,
    the number of them that are negative beyond what is flat; without the leading axis for one
    share.

    Example: `splitting_spectrum(network, target, 0, jnp.linspace(-1, 2, 7)).index`.
    """

    eigenvalues: Float[Array, "*shares P"]
    index: Int[Array, "*shares"]


def split(network: TwoLayer, neuron: int, share: Float[Array, "*shares"] | float = 0.5) -> TwoLayer:
    """The network with one neuron written as two, `(w, β, s a)` in its place and `(w, β, (1 − s)
    a)` at the end.

    Arguments:

    - `network`: one network of `n` neurons, weights `(n, d)`;
    - `neuron`: from 0 to `n − 1` (static);
    - `share`: any real number, also outside of `[0, 1]`, or `(shares,)` of them (traced).

    Returns a network of `n + 1` neurons with the same function, or one for every share along a
    leading axis. For a homogeneous activation a half may be scaled besides, which is no other
    network modulo its symmetries. Raises `ValueError` for a network with leading axes, a neuron
    that is not there, or shares of another shape.
    Reference: Fukumizu & Amari 2000.

    >>> import jaxcompress as jc
    >>> target = jc.targets.orthonormal(3, 3, activation=jc.activations.erf)
    >>> wider = jc.landscape.split(target, 0)
    >>> wider.width, float(jc.population_risk(wider, target)) < 1e-6
    (4, True)
    """
    i = check_neuron("split", network, neuron)
    s = as_array("split", "share", share).astype(network.weights.dtype)
    check_finite("split", share=s)
    if s.ndim > 1:
        raise ValueError(
            f"split: given shares of shape {s.shape}; expected one number or (shares,); flatten "
            "them"
        )
    return jax.vmap(lambda s: _halves(network, i, s))(s) if s.ndim else _halves(network, i, s)


def _halves(network: TwoLayer, i: Array | int, s: Array) -> TwoLayer:
    """Neuron `i` with a share of its readout, and at the end once more with what is left."""

    def longer(array: Array) -> Array:
        return jnp.concatenate([array, array[i][None]])

    readout = longer(network.readout).at[i].multiply(s).at[-1].multiply(1 - s)
    bias = None if network.bias is None else longer(network.bias)
    return TwoLayer(longer(network.weights), readout, bias, network.output_bias, network.activation)


def escape_matrix(
    network: TwoLayer,
    target: TwoLayer | TargetMoments,
    neuron: int,
    *,
    inputs: AbstractInputs | None = None,
) -> Float[Array, "p p"]:
    """`B = 2 E[⟨f − f*, a⟩ φ″(w·x + β) x̄x̄ᵀ]`: along its eigenvectors of negative eigenvalues the
    halves of a neuron part and lower the risk.

    The risk of the network split with share `s`, its halves moved by `(1 − s) δ` and `−s δ`,
    changes by `½ s (1 − s) δᵀ B δ` at second order, at any network; eigenvectors of negative
    eigenvalues lead to lower risk. It is read off the exact Hessian `H` of the network split in
    halves: `B = H₁₁ + H₂₂ − H₁₂ − H₂₁`, where the terms without the residual cancel. At a neuron
    that copies one of orthonormal targets, `B = 0` and `H₁₁` is of order one, and 2e-16 is left.

    Arguments:

    - `network`: one network, weights `(n, d)`;
    - `target`: a network of weights `(k, d)`, or its moments;
    - `neuron`: from 0 to `n − 1`;
    - `inputs`: their distribution, `StandardNormal()` when left out.

    Returns a symmetric `(p, p)`, `p = d`, or `d + 1` with the bias last.
    Raises `ValueError` as `split` does, and for input that does not fit together.
    Reference: Fukumizu & Amari 2000.
    Where it fails: for ReLU `φ″` is a delta, `B` is finite, and the risk has no third derivative
    beside the line, so that what holds at second order holds in a smaller neighbourhood. A ReLU
    without weights has no `B`, as its halves change the risk at first order when they part; zero is
    returned.

    >>> import jax.numpy as jnp, jaxcompress as jc
    >>> target = jc.targets.orthonormal(4, 5, activation=jc.activations.erf)
    >>> network = jc.theory.copy_average(target, (1, 3))  # neuron 0 copies one, neuron 1 averages
    >>> values = jnp.linalg.eigvalsh(jc.landscape.escape_matrix(network, target, 1))
    >>> int(jnp.sum(values < -1e-3))
    2
    """
    i = check_neuron("escape_matrix", network, neuron)
    inputs = StandardNormal() if inputs is None else inputs
    known = check_compatible("escape_matrix", network, target, inputs)
    return _escape(network, known, inputs, jnp.asarray(i))


@eqx.filter_jit
def _escape(network: TwoLayer, target: AbstractTarget, inputs: AbstractInputs, i: Array) -> Array:
    halves = _halves(network, i, jnp.asarray(0.5, network.weights.dtype))
    matrix = target.problem(inputs).hessian(halves)
    first, last = _places(halves, i), _places(halves, network.width)
    rows = matrix[first] - matrix[last]
    return rows[:, first] - rows[:, last]


def splitting_spectrum(
    network: TwoLayer,
    target: TwoLayer | TargetMoments,
    neuron: int,
    share: Float[Array, "*shares"] | float,
    *,
    inputs: AbstractInputs | None = None,
) -> SplittingSpectrum:
    """Spectrum and index of the Hessian along the line of a split: one network `split(network,
    neuron, share)` a share.

    Arguments:

    - `network`: one network, weights `(n, d)`;
    - `target`: a network of weights `(k, d)`, or its moments;
    - `neuron`: from 0 to `n − 1`;
    - `share`: one number or `(shares,)` of them, as for `split`;
    - `inputs`: their distribution, `StandardNormal()` when left out.

    Returns a `SplittingSpectrum`; for one output `escape_matrix`, which has an example, predicts
    its index. At least one mode is flat, along the line; at the ends of the segment, `s = 0` and `s
    = 1`, one half has no readout, and as many more modes are flat as `B` has rows.
    Example: `splitting_spectrum(network, target, 0, jnp.linspace(-1, 2, 7)).index`.
    Raises `ValueError` as `split` does, and for input that does not fit together.
    """
    i = check_neuron("splitting_spectrum", network, neuron)
    inputs = StandardNormal() if inputs is None else inputs
    known = check_compatible("splitting_spectrum", network, target, inputs)
    networks = split(network, i, share)
    if networks.weights.ndim == 2:
        return _spectrum(jax.tree.map(lambda leaf: leaf[None], networks), known, inputs, one=True)
    return _spectrum(networks, known, inputs, one=False)


@eqx.filter_jit
def _spectrum(
    networks: TwoLayer, target: AbstractTarget, inputs: AbstractInputs, one: bool
) -> SplittingSpectrum:
    problem = target.problem(inputs)
    # one after another: the Hessians of many shares at once need not fit in memory
    values = jax.lax.map(lambda each: jnp.linalg.eigvalsh(problem.hessian(each)), networks)
    flat = precision(values.dtype).flat * jnp.max(jnp.abs(values), axis=1, keepdims=True)
    out = SplittingSpectrum(values, jnp.sum(values < -flat, axis=1))
    return jax.tree.map(lambda leaf: leaf[0], out) if one else out


def check_neuron(where: str, network: TwoLayer, neuron: int) -> int:
    """The number of a neuron. Raises `ValueError` unless it is one of this one network's."""
    check_one(where, "network", network)
    last, remedy = network.width - 1, "count the network's neurons from the first"
    return check_integer(where, "neuron", neuron, 0, last, remedy=remedy)


def _places(network: TwoLayer, i: Array | int) -> Int[Array, " p"]:
    """Where weights and bias of neuron `i` are in the flattened network."""
    n, d = network.width, network.dim
    own = i * d + jnp.arange(d)
    return own if network.bias is None else jnp.append(own, n * d + network.readout.size + i)
