"""What a summand of an activation must supply to have a spectrum.

Letters: `he_k` the orthonormal Hermite polynomials, `he_{k+1} = (x he_k − √k he_{k−1})/√(k+1)`; `μ`
and `σ` the mean and the standard deviation of a pre-activation; `c_k = E[f(μ + σz) he_k(z)]`.
"""

import abc
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def smallest(dtype) -> float:
    """The norm that stands for none: its sixth power is a number (float32: its fourth), for
    coefficients are divided by it.
    """
    return float(jnp.finfo(dtype).tiny) ** (1 / 7 if jnp.dtype(dtype) == jnp.float64 else 1 / 5)


class AbstractPart(abc.ABC):
    """A function whose coefficients come one after another, for many neurons at a time."""

    @abc.abstractmethod
    def start(self, mean: Float[Array, " n"] | None, std: Float[Array, " n"]) -> Any:
        """What is known before the first coefficient: a PyTree of arrays. Means that are `None` are
        exactly zero.
        """

    @abc.abstractmethod
    def step(self, state: Any, k: Int[Array, ""]) -> tuple[Any, Float[Array, " n"]]:
        """The coefficient `c_k`, after those of all lower degrees, and what the next one needs."""

    @abc.abstractmethod
    def rest(self, state: Any, k: Int[Array, ""]) -> Float[Array, " n"]:
        """A bound of `√(Σ_{j ≥ k} c_j²)`, after the coefficients below `k`; infinite for none."""
