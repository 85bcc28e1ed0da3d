"""The neuron that helps a network most, and the network with it.

Letters: `f` the network, `f*` the target, `(w, β, a)` the new neuron.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcompress.kernels import AbstractInputs, StandardNormal
from jaxcompress.landscape.symmetry._checks import check_one
from jaxcompress.landscape.width_steps._step import AbstractStep
from jaxcompress.networks import Starts, TwoLayer, initialize
from jaxcompress.risk import RiskProblem
from jaxcompress.risk.internal import check_compatible
from jaxcompress.solvers import Solution, solve, solve_many


class Grown(AbstractStep):
    """A network with one more neuron.

    - `risk_before`: that of the network given;
    - `neurons`: what was found from all initial points (a leading axis), with the risks of the
      network that has them;
    - `start`: the network with the best of them as its last neuron, where the others have not
      moved;
    - `solution`: where `solve` went from there.

    Example: that of `grow`.
    """

    risk_before: Float[Array, ""]
    neurons: Solution
    start: TwoLayer
    solution: Solution


def grow(
    network: TwoLayer,
    target: TwoLayer,
    *,
    key: Array,
    num_starts: int = 64,
    inputs: AbstractInputs | None = None,
    gradient_tolerance: float | None = None,
    max_steps: int = 4096,
) -> Grown:
    """Add the neuron that lowers the risk most while the others stay, then let all of them find
    their new places.

    With the others held fixed the risk is `E‖a φ(w·x + β) − (f* − f)‖²`: one neuron against the
    residual, which is itself a network, of `k + n` neurons with readouts `(b, −a)`. That is solved
    from `num_starts` initial points by Glorot, number `i` from `fold_in(key, i)`, and the lowest
    end is added; `solve` refits all.

    Arguments:

    - `network`: one network, weights `(n, d)`;
    - `target`: a network of the same activation, weights `(k, d)`;
    - `key`: of the initial points;
    - `num_starts`: how many initial points (static);
    - `inputs`: their distribution, `StandardNormal()` when left out;
    - `gradient_tolerance`, `max_steps`: as for `solve`, for both solves. Where they do not
      converge, nothing is raised: `result` says so.

    Returns a `Grown`.
    Raises `ValueError` for activations that differ, since no one network is the residual then, and
    for input that does not fit together.
    Reference: Fahlman & Lebiere 1990 (the constructive step), Bach 2017 (as Frank–Wolfe over
    neurons). From the erf copy–average minimum (1, 3) of four targets, of risk 0.0406, the new
    neuron leaves 0.0383, and the refit ends at the minimum (1, 1, 2) of 0.0232.
    Where it fails: the refit may end in another basin than the lowest of `n + 1` neurons, or in a
    saddle that shares the symmetry of its initial point: look at `solution.index`.

    >>> import jax, jaxcompress as jc
    >>> target = jc.targets.orthonormal(4, 5, activation=jc.activations.erf)
    >>> network = jc.theory.copy_average(target, (1, 3))
    >>> found = jc.landscape.grow(network, target, key=jax.random.key(0), num_starts=16)
    >>> found.network.width, bool(found.risk < found.risk_before)
    (3, True)
    """
    check_one("grow", "network", network)
    inputs = StandardNormal() if inputs is None else inputs
    check_compatible("grow", network, target, inputs)
    if not isinstance(target, TwoLayer) or network.activation != target.activation:
        given = repr(target.activation) if isinstance(target, TwoLayer) else type(target).__name__
        raise ValueError(
            f"grow: given a network of {network.activation!r} and a target of {given}; expected a "
            "target network of the same activation; solve_many from wider starts serves other "
            "targets"
        )
    starts = Starts(
        key,
        num_starts,
        initialize.glorot_normal,
        width=1,
        dim=network.dim,
        activation=network.activation,
        outputs=network.outputs,
        bias=network.bias is not None,
        dtype=network.weights.dtype,
    )
    tolerance, against = gradient_tolerance, residual(network, target)
    found = solve_many(
        starts, against, inputs=inputs, gradient_tolerance=tolerance, max_steps=max_steps
    )
    start = extended(network, found.best.network)
    solution = solve(
        start, target, inputs=inputs, gradient_tolerance=tolerance, max_steps=max_steps, throw=False
    )
    before = _risk(network, target, inputs)
    return Grown(risk_before=before, neurons=found, start=start, solution=solution)


@eqx.filter_jit
def _risk(network: TwoLayer, target: TwoLayer, inputs: AbstractInputs) -> Array:
    return RiskProblem.of(target, inputs).risk(network)


def residual(network: TwoLayer, target: TwoLayer) -> TwoLayer:
    """The network that is `f* − f`."""

    def both(x: Array, y: Array) -> Array:
        return jnp.concatenate([x, y])

    bias = None
    if network.bias is not None or target.bias is not None:
        one, other = (
            jnp.zeros_like(net.weights[:, 0]) if net.bias is None else net.bias
            for net in (target, network)
        )
        bias = both(one, other)
    offset = target.output_bias
    if network.output_bias is not None:
        offset = -network.output_bias if offset is None else offset - network.output_bias
    weights, readout = both(target.weights, network.weights), both(target.readout, -network.readout)
    return TwoLayer(weights, readout, bias, offset, network.activation)


def extended(network: TwoLayer, neuron: TwoLayer) -> TwoLayer:
    """The network with one more neuron at its end."""
    alone = TwoLayer(neuron.weights, neuron.readout, neuron.bias, None, network.activation)
    rest = TwoLayer(network.weights, network.readout, network.bias, None, network.activation)
    both = jax.tree.map(lambda x, y: jnp.concatenate([x, y]), rest, alone)
    return TwoLayer(both.weights, both.readout, both.bias, network.output_bias, network.activation)
