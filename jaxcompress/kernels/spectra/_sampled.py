"""Spectra of functions that are known by their values alone: sums over the nodes of a rule.

The rule is that of the tables by quadrature (`moments/_quadrature`) at four times the nodes, for
the polynomials that it is multiplied by oscillate. It resolves what does not change within its
steps: `missed` compares it with the same rule at half of the nodes."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcompress.kernels.activations._activation import AbstractActivation
from jaxcompress.kernels.moments._quadrature import nodes_of, rule
from jaxcompress.kernels.spectra._part import AbstractPart

# What summing over the nodes leaves of `E f² − Σ c_j²`, in units of the roundoff.
_ROUNDING = 8.0


class _State(NamedTuple):
    """Values at the nodes times their weights; `he_k` and `he_{k−1}` there; what is left of `E f²`,
    and what the rule misses.
    """

    values: Float[Array, "n nodes"]
    now: Float[Array, " nodes"]
    before: Float[Array, " nodes"]
    left: Float[Array, " n"]
    missed: Float[Array, " n"]


class Sampled(AbstractPart):
    """`factor · f` for any function `f`."""

    def __init__(self, factor: float, f: AbstractActivation):
        self.factor, self.f = factor, f
        self.nodes, self.weights = rule(4 * nodes_of(f) - 3)

    def start(self, mean, std):
        mean = jnp.zeros_like(std) if mean is None else mean
        z, weights = (jnp.asarray(part, std.dtype) for part in (self.nodes, self.weights))
        plain = self.factor * self.f(mean[:, None] + std[:, None] * z[None])
        square = jnp.sum(plain * plain * weights[None], 1)
        half = jnp.sum(plain[:, ::2] ** 2 * weights[None, ::2], 1) / jnp.sum(weights[::2])
        left = square * (1 + _ROUNDING * jnp.finfo(std.dtype).eps)
        one = jnp.ones_like(z)
        # the error of a rule that resolves a function is about the square of that of half of it
        share = jnp.abs(square - half) / jnp.where(square > 0, square, 1)
        missed = square * jnp.minimum(share, 100 * share * share)
        return _State(plain * weights[None], one, 0 * one, left, missed)

    def step(self, state, k):
        z = jnp.asarray(self.nodes, state.values.dtype)
        number = k.astype(state.values.dtype)
        c = state.values @ state.now
        later = (z * state.now - jnp.sqrt(number) * state.before) / jnp.sqrt(number + 1)
        return state._replace(now=later, before=state.now, left=state.left - c * c), c

    def rest(self, state, k):
        del k
        return jnp.sqrt(jnp.maximum(state.left, 0) + state.missed)
