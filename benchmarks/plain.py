"""The population risk as anybody would write it in an afternoon: closed forms in plain jnp,
derivatives by autodiff.

The rivals are given this risk, and it judges every end point, ours included. It shares no code with
the package. Letters: student weights `W (n, d)`, readout `a (n,)`; target weights `V (k, d)`,
readout `b (k,)`; flat vectors hold `W` by rows and then, if it is free, `a`.
"""

from collections.abc import Callable
from typing import NamedTuple

import common  # noqa: F401 (threads and float64, before JAX)
import jax
import jax.numpy as jnp
import numpy as np


def erf_table(W, V):
    """`E[erf(w·x/√2) erf(v·x/√2)]` (Saad & Solla 1995)."""
    s, t = 1 + jnp.sum(W * W, -1), 1 + jnp.sum(V * V, -1)
    return 2 / jnp.pi * jnp.arcsin(W @ V.T / jnp.sqrt(s[:, None] * t[None, :]))


def relu_table(W, V):
    """`E[relu(w·x) relu(v·x)]` (Cho & Saul 2009)."""
    s, t = jnp.sqrt(jnp.sum(W * W, -1)), jnp.sqrt(jnp.sum(V * V, -1))
    sizes = s[:, None] * t[None, :]
    return sizes * _arc(W @ V.T / sizes)


def _clipped(cosine):
    # 1e-14 from the ends: the second derivative 1/sin is finite there, and what it multiplies
    # vanishes
    return jnp.clip(cosine, -1 + 1e-14, 1 - 1e-14)


@jax.custom_jvp
def _arc(cosine):
    """`(sin θ + (π − θ) cos θ)/2π`; its slope `(π − θ)/2π` is stated, for autodiff's is NaN where
    neurons meet.
    """
    cosine = _clipped(cosine)
    return (jnp.sqrt(1 - cosine**2) + (jnp.pi - jnp.arccos(cosine)) * cosine) / (2 * jnp.pi)


@_arc.defjvp
def _arc_jvp(primals, tangents):
    return _arc(*primals), _arc_slope(*primals) * tangents[0]


@jax.custom_jvp
def _arc_slope(cosine):
    return (jnp.pi - jnp.arccos(_clipped(cosine))) / (2 * jnp.pi)


@_arc_slope.defjvp
def _arc_slope_jvp(primals, tangents):
    return _arc_slope(*primals), tangents[0] / (
        2 * jnp.pi * jnp.sqrt(1 - _clipped(primals[0]) ** 2)
    )


TABLES = {"erf": erf_table, "relu": relu_table}


class Plain(NamedTuple):
    """Risk, gradient and Hessian as functions of the flat vector, not jitted."""

    risk: Callable
    gradient: Callable
    hessian: Callable


def plain_risk(
    activation: str, target_weights, target_readout, n: int, readout_free: bool
) -> Plain:
    """The risk of students with `n` neurons; a readout that is not free is 1."""
    table = TABLES[activation]
    V, b = jnp.asarray(target_weights), jnp.asarray(target_readout)
    d = V.shape[1]
    constant = np.asarray(b @ table(V, V) @ b)

    def risk(y):
        W = y[: n * d].reshape(n, d)
        a = y[n * d :] if readout_free else jnp.ones(n, y.dtype)
        return a @ table(W, W) @ a - 2 * a @ table(W, V) @ b + constant

    return Plain(risk, jax.grad(risk), jax.hessian(risk))
