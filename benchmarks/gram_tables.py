"""Work A: a table of 1000 × 1000 neurons in 100 dimensions, its value and the gradient of its sum, against plain jnp.

neural-tangents, which held the record, does not import on current JAX; the closed forms of `plain.py` stand in for it.
"""

import common
import jax
import jax.numpy as jnp
import numpy as np
from plain import TABLES

import jaxcompress as jc

NEURONS, DIM = 1000, 100


def weights() -> tuple[jax.Array, jax.Array]:
    """Two families of neurons with norms about one."""
    rng = np.random.default_rng(0)
    return tuple(jnp.asarray(rng.normal(size=(NEURONS, DIM)) / DIM**0.5) for _ in range(2))


def functions(activation: str) -> dict:
    """The table of the package and the plain one."""
    f = getattr(jc.activations, activation)
    return {"ours": lambda W, V: jc.kernels.gram(f, W, f, V), "plain jnp": TABLES[activation]}


def rows(repeats: int) -> list[dict]:
    """One row an activation, a solver and a quantity; the errors are against the other's answer."""
    W, V = weights()
    out = []
    for activation in ("erf", "relu"):
        answers = {}
        for solver, table in functions(activation).items():
            both = jax.value_and_grad(lambda W, V, table=table: jnp.sum(table(W, V)), argnums=(0, 1))
            for quantity, function in (("value", table), ("value and gradient", both)):
                compiled = jax.jit(function)
                timing = common.per_call(lambda compiled=compiled: compiled(W, V), repeats=repeats)
                answers[solver, quantity] = jax.tree.leaves(compiled(W, V))
                out.append({"work": "A", "activation": activation, "solver": solver, "quantity": quantity, **timing})
        for row in out[-4:]:
            pair = answers["ours", row["quantity"]], answers["plain jnp", row["quantity"]]
            row["largest_difference"] = max(float(jnp.max(jnp.abs(x - y))) for x, y in zip(*pair, strict=True))
            ours = next(r for r in out[-4:] if r["solver"] == "ours" and r["quantity"] == row["quantity"])
            row["ratio_to_ours"] = row["median_seconds"] / ours["median_seconds"]
    return out
