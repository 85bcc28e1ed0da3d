"""Descent of the projected risk over hidden parameters: L-BFGS, a batch of starts in one compiled loop."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from jaxcompress.compress._readout import best_readout, projected_risk
from jaxcompress.networks import TwoLayer
from jaxcompress.risk import RiskProblem

_MEMORY = 20
_LINE_SEARCH_STEPS = 20


@eqx.filter_jit
def descend(
    problem: RiskProblem, starts: TwoLayer, iterations: int | Array, tolerance: float | Array
) -> tuple[TwoLayer, Float[Array, " runs"]]:
    """Lower the projected relative risk of each start by at most `iterations` of L-BFGS, one start after another.

    A start is done earlier when the largest gradient entry of its relative risk is within `tolerance`. Both numbers
    are traced. Returns the students, readouts included, and their risks; a start that breaks down (a step to
    infinity) keeps the last finite point.
    """
    one = functools.partial(_descend_one, problem, iterations=iterations, tolerance=tolerance)
    return jax.lax.map(one, starts)


def _descend_one(problem: RiskProblem, start: TwoLayer, iterations, tolerance) -> tuple[TwoLayer, Array]:
    where = lambda s: (s.weights, s.bias)  # noqa: E731
    hidden = where(start)

    def objective(hidden) -> Array:
        student = eqx.tree_at(where, start, hidden, is_leaf=lambda leaf: leaf is None)
        return projected_risk(problem, student)[0] / problem.energy

    method = optax.lbfgs(
        memory_size=_MEMORY, linesearch=optax.scale_by_zoom_linesearch(max_linesearch_steps=_LINE_SEARCH_STEPS)
    )
    value_and_grad = optax.value_and_grad_from_state(objective)

    def step(carry):
        hidden, state, count, _, _ = carry
        value, gradient = value_and_grad(hidden, state=state)
        updates, state = method.update(gradient, state, hidden, value=value, grad=gradient, value_fn=objective)
        moved = optax.apply_updates(hidden, updates)
        fine = jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(moved)]))
        still = optax.tree_utils.tree_norm(updates) == 0
        hidden = jax.tree.map(lambda new, old: jnp.where(fine, new, old), moved, hidden)
        largest = optax.tree_utils.tree_max(jax.tree.map(jnp.abs, gradient))
        return hidden, state, count + 1, largest, fine & ~still

    def going(carry):
        _, _, count, largest, fine = carry
        return (count < iterations) & (largest > tolerance) & fine

    infinity = jnp.asarray(jnp.inf, start.weights.dtype)
    first = (hidden, method.init(hidden), jnp.asarray(0), infinity, jnp.asarray(True))
    end = jax.lax.while_loop(going, step, first)
    student = eqx.tree_at(where, start, end[0], is_leaf=lambda leaf: leaf is None)
    best = best_readout(problem, student)
    return best, problem.risk(best)
