"""Expectations of products of activations over Gaussian inputs, exact with all their derivatives.

What enters: activations, weights, biases and an input law, or the five numbers of a Gaussian pair. What leaves: a
number, or the table of numbers for two families of neurons, that may be used inside anybody's JAX function:

>>> import jax, jax.numpy as jnp
>>> from jaxcompress.kernels import activations, gram
>>> W = jax.random.normal(jax.random.key(0), (3, 5))
>>> table = jax.jit(lambda W: gram(activations.relu, W, activations.erf, W))(W)    # (3, 3)
>>> gradient = jax.grad(lambda W: gram(activations.relu, W, activations.relu, W).sum())(W)

Activations with closed forms are finite sums of terms (`_terms`), powers and exponentials times smoothed kinks. Every
pair of terms has one of three formulas: `_orthant` for two kinks, `_tilted` where at least one function is smooth,
`_waves` for sines and cosines. Any other function goes through `_quadrature`. All of them supply in-plane moments
(`_moments.AbstractMoments`); `_frames` measures the pairs, `_table` states the derivative rule once, `_formulas` says
who serves whom. To add an activation with closed forms, write its terms in `activations`; nothing else changes.
"""

from jaxcompress.kernels import activations
from jaxcompress.kernels._activation import AbstractActivation
from jaxcompress.kernels._error import gram_error
from jaxcompress.kernels._gram import gram
from jaxcompress.kernels._inputs import AbstractInputs, Gaussian, StandardNormal
from jaxcompress.kernels._neural import dual_activation, hermite_coefficients, nngp, ntk
from jaxcompress.kernels._pair import GaussianPair, expectation

__all__ = [
    "AbstractActivation",
    "AbstractInputs",
    "Gaussian",
    "GaussianPair",
    "StandardNormal",
    "activations",
    "dual_activation",
    "expectation",
    "gram",
    "gram_error",
    "hermite_coefficients",
    "nngp",
    "ntk",
]
