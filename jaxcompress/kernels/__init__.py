"""Expectations of products of activations over Gaussian inputs, exact with all their derivatives.

What enters: activations, weights, biases and an input law, or the five numbers of a Gaussian pair. What leaves: a
number, or the table of numbers for two families of neurons, that may be used inside anybody's JAX function:

>>> import jax, jax.numpy as jnp
>>> from jaxcompress.kernels import activations, gram
>>> W = jax.random.normal(jax.random.key(0), (3, 5))
>>> table = jax.jit(lambda W: gram(activations.relu, W, activations.erf, W))(W)    # (3, 3)
>>> gradient = jax.grad(lambda W: gram(activations.relu, W, activations.relu, W).sum())(W)

Inside: a family of activations supplies in-plane moments (`_moments.AbstractMoments`, one file a family, formulas
only); `_frames` measures the pairs, `_table` states the derivative rule once. To add a family, write its moments
and name it in `_formulas`; nothing else changes.
"""

from jaxcompress.kernels import activations
from jaxcompress.kernels._activation import AbstractActivation, Affine, Erf, Relu
from jaxcompress.kernels._centred import AbstractCentred, CentredSecond, centred
from jaxcompress.kernels._checks import as_array, check_finite, check_floating, is_concrete
from jaxcompress.kernels._formulas import formulas
from jaxcompress.kernels._frames import Frames, frames
from jaxcompress.kernels._gram import gram, table_in_blocks
from jaxcompress.kernels._inputs import AbstractInputs, Gaussian, StandardNormal
from jaxcompress.kernels._moments import AbstractMoments, First, Second
from jaxcompress.kernels._pair import GaussianPair, expectation
from jaxcompress.kernels._plane import Plane
from jaxcompress.kernels._table import table_gradient

__all__ = [
    "AbstractActivation",
    "AbstractCentred",
    "AbstractInputs",
    "AbstractMoments",
    "Affine",
    "CentredSecond",
    "Erf",
    "First",
    "Frames",
    "Gaussian",
    "GaussianPair",
    "Plane",
    "Relu",
    "Second",
    "StandardNormal",
    "activations",
    "as_array",
    "centred",
    "check_finite",
    "check_floating",
    "expectation",
    "formulas",
    "frames",
    "gram",
    "is_concrete",
    "table_gradient",
    "table_in_blocks",
]
