"""The risk along straight lines between networks."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcompress._internal.checks import as_array, check_finite
from jaxcompress.kernels import AbstractInputs, StandardNormal
from jaxcompress.networks import TargetMoments, TwoLayer
from jaxcompress.risk import AbstractTarget
from jaxcompress.risk.internal import check_compatible

# Networks whose risks are taken side by side.
_BLOCK = 256


def risk_along(
    networks: TwoLayer | Sequence[TwoLayer],
    target: TwoLayer | TargetMoments,
    points: Float[Array, " points"],
    *,
    inputs: AbstractInputs | None = None,
) -> Float[Array, " points"]:
    """The risk along the straight lines from each network to the next.

    At a point `t` between `i` and `i + 1` it is that of `(i + 1 − t) θ_i + (t − i) θ_{i+1}`, all
    parameters interpolated; the first and the last line go on before 0 and beyond `m − 1`. `align`
    the networks first: a straight line between images of one network may pass over a hill. Two
    shares of a `split` span its line, where the risk is constant: a way past the hill is a line to
    the split of one network, along it, and back.

    Arguments:

    - `networks`: `m ≥ 2` networks of equal shapes and activation, in a sequence or along a leading
      axis;
    - `target`: a network of weights `(k, d)`, or its moments;
    - `points (points,)`, traced;
    - `inputs`: their distribution, `StandardNormal()` when left out.

    Returns `(points,)`. Raises `ValueError` for fewer networks, other shapes, or input that does
    not fit together.

    >>> import jax.numpy as jnp, jaxcompress as jc
    >>> target = jc.targets.orthonormal(3, 3, activation=jc.activations.erf)
    >>> halves = jc.landscape.split(target, 0, jnp.array([0.0, 1.0]))
    >>> bool(jnp.all(jc.landscape.risk_along(halves, target, jnp.array([0.3, 0.7])) < 1e-6))
    True
    """
    inputs = StandardNormal() if inputs is None else inputs
    line = _stacked(networks)
    first = jax.tree.map(lambda leaf: leaf[0], line)
    known = check_compatible("risk_along", first, target, inputs)
    check_finite("risk_along: networks", **line.parameters())
    t = as_array("risk_along", "points", points).astype(line.weights.dtype)
    check_finite("risk_along", points=t)
    if t.ndim != 1:
        raise ValueError(
            f"risk_along: given points of shape {t.shape}; expected (points,); flatten them"
        )
    return _risks(line, known, inputs, t)


@eqx.filter_jit
def _risks(line: TwoLayer, target: AbstractTarget, inputs: AbstractInputs, points: Array) -> Array:
    problem, last = target.problem(inputs), line.weights.shape[0] - 2

    def one(t: Array) -> Array:
        i = jnp.clip(jnp.floor(t).astype(jnp.int32), 0, last)
        return problem.risk(
            jax.tree.map(lambda leaf: leaf[i] + (t - i) * (leaf[i + 1] - leaf[i]), line)
        )

    return jax.lax.map(one, points, batch_size=_BLOCK)


def _stacked(networks: TwoLayer | Sequence[TwoLayer]) -> TwoLayer:
    """The networks along a leading axis. Raises `ValueError` unless there are two, and alike."""
    if isinstance(networks, TwoLayer):
        if networks.weights.ndim == 3 and networks.weights.shape[0] > 1:
            return networks
        raise ValueError(
            f"risk_along: given networks with weights {networks.weights.shape}; expected (m, n, d) "
            "with m ≥ 2, or a sequence of networks; pass a pair (a, b)"
        )
    networks = tuple(networks)
    kinds = [
        (each.activation, {name: (x.shape, x.dtype.name) for name, x in each.parameters().items()})
        if isinstance(each, TwoLayer) and each.weights.ndim == 2
        else None
        for each in networks
    ]
    if len(networks) < 2 or None in kinds or any(kind != kinds[0] for kind in kinds):
        raise ValueError(
            f"risk_along: given {kinds}; expected two or more networks of the same shapes, "
            "activation and dtype; split a neuron of the narrower, or add neurons of zero readout"
        )
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *networks)
