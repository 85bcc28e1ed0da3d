"""The activations that users name: `jaxcompress.activations.relu` and its siblings.

Each is an instance (or, where it has parameters, a function that returns one) of an
`AbstractActivation`. They can be added, subtracted and scaled:

>>> from jaxcompress import activations
>>> f = activations.hermite(1) + 0.5 * activations.erf
>>> float(f(0.0))
0.0

Large tables of `relu`, `erf`, `identity` and affine functions without means are made of matrix
products, hundreds of times faster than those of the others; tanh and its kin cost 324 closed forms
a pair.

Kernels of sine and cosine with a kinked function lose digits as the standard deviation `σ` of the
pre-activation grows: with `rectified_power(2)` 3e-14 of `√(E f² E g²)` at `σ = 10`, 2e-12 at 30,
all of them at 1e6. Those of exponentials saturate at `e^283` (float32: `e^35`), so that products
with powers stay finite. Sums of terms that cancel keep the absolute error of their terms;
`kernels.gram_error` bounds it.
"""

from jaxcompress.kernels.activations._elementwise import elementwise
from jaxcompress.kernels.activations._named import (
    abs,
    bump,
    cos,
    erf,
    exp,
    gelu,
    hermite,
    identity,
    leaky_relu,
    monomial,
    normal_cdf,
    rectified_power,
    relu,
    sigmoid,
    sign,
    silu,
    sin,
    softplus,
    step,
    tanh,
)

__all__ = [
    "abs",
    "bump",
    "cos",
    "elementwise",
    "erf",
    "exp",
    "gelu",
    "hermite",
    "identity",
    "leaky_relu",
    "monomial",
    "normal_cdf",
    "rectified_power",
    "relu",
    "sigmoid",
    "sign",
    "silu",
    "sin",
    "softplus",
    "step",
    "tanh",
]
