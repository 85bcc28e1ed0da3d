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
from jaxcompress.kernels._activation import AbstractActivation, Affine, Erf, Relu
from jaxcompress.kernels._blocks import summed_blocks
from jaxcompress.kernels._centred import AbstractCentred, CentredSecond, centred, centred_means
from jaxcompress.kernels._checks import as_array, as_integer, check_concrete, check_finite, check_floating, is_concrete
from jaxcompress.kernels._error import gram_error
from jaxcompress.kernels._formulas import formulas
from jaxcompress.kernels._frames import Frames, frames, frames_within
from jaxcompress.kernels._gram import gram, in_one_piece, table_in_blocks, table_times
from jaxcompress.kernels._inputs import AbstractInputs, Gaussian, StandardNormal
from jaxcompress.kernels._moments import BEND, CROSS, GRADIENT, VALUE, AbstractMoments, First, Part, Second
from jaxcompress.kernels._neural import dual_activation, hermite_coefficients, nngp, ntk, slope
from jaxcompress.kernels._pair import GaussianPair, expectation
from jaxcompress.kernels._plane import Plane
from jaxcompress.kernels._rests import AbstractRests, rests
from jaxcompress.kernels._table import table_gradient

__all__ = [
    "BEND",
    "CROSS",
    "GRADIENT",
    "VALUE",
    "AbstractActivation",
    "AbstractCentred",
    "AbstractInputs",
    "AbstractMoments",
    "AbstractRests",
    "Affine",
    "CentredSecond",
    "Erf",
    "First",
    "Frames",
    "Gaussian",
    "GaussianPair",
    "Part",
    "Plane",
    "Relu",
    "Second",
    "StandardNormal",
    "activations",
    "as_array",
    "as_integer",
    "centred",
    "centred_means",
    "check_concrete",
    "check_finite",
    "check_floating",
    "dual_activation",
    "expectation",
    "formulas",
    "frames",
    "frames_within",
    "gram",
    "gram_error",
    "hermite_coefficients",
    "in_one_piece",
    "is_concrete",
    "nngp",
    "ntk",
    "rests",
    "slope",
    "summed_blocks",
    "table_gradient",
    "table_in_blocks",
    "table_times",
]
