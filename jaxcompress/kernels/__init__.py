"""Expectations of products of activations over Gaussian inputs, exact with all their derivatives.

What enters: activations, weights, biases and an input distribution, or the five numbers of a
Gaussian pair. What leaves: a number, or the table of numbers for two families of neurons, which may
be used inside anybody's JAX function:

>>> import jax, jax.numpy as jnp
>>> from jaxcompress.kernels import activations, gram
>>> W = jax.random.normal(jax.random.key(0), (3, 5))
>>> table = jax.jit(lambda W: gram(activations.relu, W, activations.erf, W))(W)    # (3, 3)
>>> gradient = jax.grad(lambda W: gram(activations.relu, W, activations.relu, W).sum())(W)

Five subfolders: `activations` says what a function is; `moments` knows one pair; `spectra` one
neuron, by its Hermite coefficients; `tables` many pairs; `zero_mean` the short forms for pairs
without means. To add an activation with closed forms,
write it as a sum of terms in `activations/_named.py`; nothing else changes: whether it is odd,
homogeneous, kinked or a polynomial is read from its terms, in `activations/_traits.py` alone.

Which formula serves which pair, when, and why:

================================  ====================  ============================================
pair                              file                  why this one
================================  ====================  ============================================
two kinks (step, ReLU, abs, erf,  `moments/_kinks`      one formula for all of them, by Φ₂ and its
GELU, …), any means                                     recurrences; finite where neurons coincide
ReLU with ReLU, any means         `moments/_relu`       the same in a third of the operations
something smooth (powers,         `moments/             tilting removes exponentials, Stein's lemma
exponentials) with anything       _exponentials`        powers; one kink of one variable is left
sine, cosine with each other      `moments/             exponentials of complex rates would cancel
                                  _trigonometric`
tanh, sigmoid, softplus, SiLU     `moments/             a logistic function is a mixture of smoothed
                                  _scale_mixtures`      kinks over their width: a sum of the above
a user's function                 `moments/_quadrature` a rule in the plane; exact in one of the two
                                                        variables if the partner has a closed form
gated neurons (SwiGLU, GeGLU,     `tables/              Stein's lemma: tables of derivatives of the
ReGLU), any means                 _gated_tables`        above; two sharp kinks in `_gated_kinks`
large tables of ReLU, erf,        `tables/_products`    matrix products instead of a plane for every
affine, no means                                        pair: hundreds of times faster
tables of tanh, sigmoid,          `tables/_series`,     a multiply-add a degree and pair over the
softplus, SiLU; large ones of     `spectra`             matrix of cosines; its bound says how many,
ReLU, erf, GELU with biases                             and where the exact formulas are needed
the solver's inner loop: ReLU or  `zero_mean/_forms`    three numbers a pair; absolute accuracy is
erf with itself, no means                               all that a flow feels
thousands of almost orthogonal    `zero_mean/           relative accuracy of what remains beyond
neurons, no means (sectors)       _hermite_remainder`   Hermite orders 0 and 1, where these cancel
================================  ====================  ============================================

Two more forms of ReLU with ReLU stand outside on purpose: `theory` has its own, or agreement with
the risk would prove nothing, and `infinite_width` has those of angles on a sphere, with their
spectrum.
"""

from typing import TYPE_CHECKING

from jaxcompress._internal.deprecation import renamed
from jaxcompress.kernels import activations, internal
from jaxcompress.kernels._inputs import AbstractInputs, Gaussian, StandardNormal
from jaxcompress.kernels.activations._activation import AbstractActivation
from jaxcompress.kernels.activations._derivative import derivative_of
from jaxcompress.kernels.moments._pair import GaussianPair, expectation
from jaxcompress.kernels.tables._dual import dual_activation, hermite_coefficients, nngp, ntk
from jaxcompress.kernels.tables._gated import gated_gram
from jaxcompress.kernels.tables._gram import gram
from jaxcompress.kernels.tables._gram_error import gram_error

__all__ = [
    "AbstractActivation",
    "AbstractInputs",
    "Gaussian",
    "GaussianPair",
    "StandardNormal",
    "activations",
    "derivative_of",
    "dual_activation",
    "expectation",
    "gated_gram",
    "gram",
    "gram_error",
    "hermite_coefficients",
    "nngp",
    "ntk",
]

if not TYPE_CHECKING:  # so that type checkers still report what does not exist
    # what was public before other subpackages had a face of their own
    _INTERNAL = "jaxcompress.kernels.internal:"
    __getattr__ = renamed(
        __name__,
        {
            **{name: _INTERNAL + name for name in internal.__all__},
            "AbstractRests": _INTERNAL + "AbstractHermiteRemainder",
            "BEND": _INTERNAL + "SECOND_DERIVATIVE",
            "CROSS": _INTERNAL + "MIXED_DERIVATIVE",
            "rests": _INTERNAL + "hermite_remainder",
            "slope": "derivative_of",
        },
    )
