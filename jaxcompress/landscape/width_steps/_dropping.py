"""The neuron that a network can best do without, and the network without it.

Letters: `G a = r` are the normal equations of the readout `a`, an output bias among it where there
is one.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxcompress.kernels import AbstractInputs, StandardNormal
from jaxcompress.landscape.symmetry._checks import check_one
from jaxcompress.landscape.width_steps._step import AbstractStep
from jaxcompress.networks import TargetMoments, TwoLayer
from jaxcompress.networks.internal import offset_of
from jaxcompress.risk import RiskProblem, normal_equations
from jaxcompress.risk.internal import check_compatible, check_measured
from jaxcompress.solvers import Solution, certify, solve

# Eigenvalues of `G` with a unit diagonal below this many `n ε` are neurons that say the same.
_SINGULAR = 100


class Dropped(AbstractStep):
    """A network without the neuron that it can best do without.

    - `neuron`: its number;
    - `risk_before`: that of the network given;
    - `candidates (n,)`: the risks without each neuron, the readout of the others refitted;
    - `start`: the network without `neuron`, with the readout refitted;
    - `solution`: where `solve` went from there, or `start` itself, measured, with `refit=False`.

    Example: that of `drop`.
    """

    neuron: Int[Array, ""]
    risk_before: Float[Array, ""]
    candidates: Float[Array, " n"]
    start: TwoLayer
    solution: Solution


def drop(
    network: TwoLayer,
    target: TwoLayer | TargetMoments,
    *,
    inputs: AbstractInputs | None = None,
    refit: bool = True,
    gradient_tolerance: float | None = None,
    max_steps: int = 4096,
) -> Dropped:
    """Remove the neuron without which the others can do best, and let all of them find their new
    places.

    For every neuron the readout of the others (and the output bias, if there is one) is refitted: a
    linear least-squares problem, solved exactly from the Gram matrix, of least norm where neurons
    coincide. The neuron whose removal leaves the least risk goes; one of zero readout goes before
    all others, for it costs nothing as it stands. The hidden weights stay where they are in this
    comparison: what each candidate would cost after a refit of everything is `n` solves. Then
    `solve` refits all (`refit`).

    Arguments:

    - `network`: one network of two neurons or more, weights `(n, d)`;
    - `target`: a network of weights `(k, d)`, or its moments;
    - `inputs`: their distribution, `StandardNormal()` when left out;
    - `refit`: whether `solve` refits all neurons in the end;
    - `gradient_tolerance`, `max_steps`: as for `solve`. Where the refit does not converge, nothing
      is raised: `solution.result` says so.

    Returns a `Dropped`.
    Raises `ValueError` for one neuron alone, and for input that does not fit together. From the erf
    copy–average minimum (1, 1, 2) of four targets a copy goes, not the average of higher readout,
    and the refit ends at the minimum (1, 3), 5e-14 away.
    Reference: Hassibi & Stork 1993 (removal with the others refitted; theirs by a quadratic model,
    here exactly).
    Where it fails: a flow keeps the symmetry of its start. Four copies of four erf targets, one of
    them dropped, end in the symmetric saddle of risk 0.0247 and index 2, not in the minimum of
    0.0232: look at `solution.index`.

    >>> import jaxcompress as jc
    >>> target = jc.targets.orthonormal(4, 5, activation=jc.activations.erf)
    >>> network = jc.theory.copy_average(target, (1, 1, 2))
    >>> found = jc.landscape.drop(network, target, refit=False)
    >>> found.network.width, int(found.neuron) < 2  # a copy goes, not the average
    (2, True)
    """
    check_one("drop", "network", network)
    inputs = StandardNormal() if inputs is None else inputs
    known = check_compatible("drop", network, target, inputs)
    if network.width == 1:
        raise ValueError(
            "drop: given a network of one neuron; expected two or more; a network keeps at least "
            "one"
        )
    problem = known.problem(inputs)
    check_measured("drop", problem, RiskProblem)
    assert isinstance(problem, RiskProblem)  # as was checked
    neuron, before, risks, start = _cheapest(problem, network)
    if refit:
        solution = solve(
            start,
            target,
            inputs=inputs,
            gradient_tolerance=gradient_tolerance,
            max_steps=max_steps,
            throw=False,
        )
    else:
        solution = certify(problem, start, polish=False, gradient_tolerance=gradient_tolerance)
    return Dropped(
        neuron=neuron, risk_before=before, candidates=risks, start=start, solution=solution
    )


@eqx.filter_jit
def _cheapest(problem: RiskProblem, network: TwoLayer) -> tuple[Array, Array, Array, TwoLayer]:
    """Which neuron, the risk with it, the risks without each, and the network without it."""
    n = network.width
    matrix, right = normal_equations(problem, network)
    before = problem.risk(network)
    readouts = jax.vmap(lambda i: _without(matrix, right, i))(jnp.arange(n))
    now = _stacked_readout(network)

    def change(a: Array) -> Array:
        """`aᵀGa − 2aᵀr` against that of the network."""
        return jnp.sum((a - now) * (matrix @ (a + now) - 2 * right))

    risks = jnp.maximum(before + jax.vmap(change)(readouts), 0)
    idle = ~jnp.any(network.readout_matrix != 0, axis=1)
    neuron = jnp.argmin(jnp.where(idle, -jnp.inf, risks))
    keep = jnp.where(jnp.arange(n - 1) < neuron, jnp.arange(n - 1), jnp.arange(1, n))
    best = readouts[neuron]
    readout = best[keep].reshape(n - 1, *network.readout.shape[1:])
    bias = None if network.bias is None else network.bias[keep]
    offset = None if network.output_bias is None else best[n].reshape(network.output_bias.shape)
    return (
        neuron,
        before,
        risks,
        TwoLayer(network.weights[keep], readout, bias, offset, network.activation),
    )


def _stacked_readout(network: TwoLayer) -> Float[Array, "m o"]:
    """The readout, with the output bias last where there is one."""
    readout, offset = network.readout_matrix, offset_of(network)
    return readout if offset is None else jnp.concatenate([readout, offset[None]])


def _without(
    matrix: Float[Array, "m m"], right: Float[Array, "m o"], i: Array
) -> Float[Array, "m o"]:
    """The best readout that leaves neuron `i` out."""
    size = jnp.sqrt(jnp.diagonal(matrix))
    there = (jnp.arange(matrix.shape[0]) != i) & (size > 0)
    scale = jnp.where(there, 1 / jnp.where(size > 0, size, 1), 0)
    values, basis = jnp.linalg.eigh(scale[:, None] * matrix * scale[None, :])
    regular = values > _SINGULAR * matrix.shape[0] * jnp.finfo(matrix.dtype).eps
    inverse = jnp.where(regular, 1 / jnp.where(regular, values, 1), 0)
    return scale[:, None] * (basis @ (inverse[:, None] * (basis.T @ (scale[:, None] * right))))
