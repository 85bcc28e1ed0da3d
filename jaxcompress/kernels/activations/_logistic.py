"""The logistic family as scale mixtures of smoothed kinks: sigmoid, tanh, softplus and SiLU
among the closed forms.

The logistic distribution is a Gaussian scale mixture (Andrews & Mallows 1974; Stefanski 1991):
`sigmoid(x) = E Φ(x/τ)`, where `τ/2` has Kolmogorov's law. So `tanh x = 2 sigmoid(2x) − 1` is a
mixture of error functions, `softplus` one of smoothed ReLUs `E(x + τZ)₊ = x Φ(x/τ) + τ φ(x/τ)`, and
`SiLU = x·sigmoid(x)` one of `x Φ(x/τ)`, whatever the norm of the weights. The mixture is replaced
by the one of 18 widths for which the largest relative error of `sigmoid − ½` is least, 6e-16, its
mass and its slope at zero exact: Remez' exchange in 60 digits, from the Gauss rule of the mixing
law in `log τ`. Absolute errors by mpmath: sigmoid 3e-16, its derivatives 2e-15, 2e-14, 2e-13;
softplus 1e-15; SiLU 9e-15.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcompress.kernels.activations._activation import AbstractActivation
from jaxcompress.kernels.activations._terms import Kink, ScaleMixture, Term, Terms

# Shares and widths τ of the sigmoid.
_MIXTURE = (
    (5.843976387316575e-07, 0.5170197082801143),
    (4.732148970106615e-05, 0.6063341775286758),
    (0.0008386098108470407, 0.7008852956894853),
    (0.006153672316155084, 0.806082230242272),
    (0.024685513259929553, 0.925406955239586),
    (0.06350130137883836, 1.0620734678055912),
    (0.11623914863109858, 1.21945193860529),
    (0.16264556382482245, 1.4012341520111073),
    (0.18264794168538678, 1.6114880672833036),
    (0.16946966457006818, 1.854616812389326),
    (0.13096379133122313, 2.135262711773605),
    (0.0828729475880989, 2.458380899223142),
    (0.04108079408521201, 2.829759107938696),
    (0.01484359934887303, 3.2569300652986026),
    (0.003517557911059876, 3.750564138737923),
    (0.00046558667132719705, 4.327505837865577),
    (2.6074106583884125e-05, 5.0194521326716695),
    (3.275931361563592e-07, 5.9085606679231155),
)
_SHARES, _WIDTHS = zip(*_MIXTURE, strict=True)


class Sigmoid(AbstractActivation):
    """`x ↦ 1/(1 + e^{−x})`."""

    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        return jax.nn.sigmoid(x)

    def __repr__(self) -> str:
        return "sigmoid"

    @property
    def terms(self) -> Terms:
        return (Term(1.0, kink=Kink.STEP, mixture=ScaleMixture(_SHARES, _WIDTHS)),)


class Tanh(AbstractActivation):
    """The hyperbolic tangent."""

    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        return jnp.tanh(x)

    def __repr__(self) -> str:
        return "tanh"

    @property
    def terms(self) -> Terms:
        return (
            Term(
                1.0,
                kink=Kink.SIGN,
                mixture=ScaleMixture(_SHARES, tuple(0.5 * width for width in _WIDTHS)),
            ),
        )


class Silu(AbstractActivation):
    """`x ↦ x/(1 + e^{−x})`."""

    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        return jax.nn.silu(x)

    def __repr__(self) -> str:
        return "silu"

    @property
    def terms(self) -> Terms:
        return (Term(1.0, power=1, kink=Kink.STEP, mixture=ScaleMixture(_SHARES, _WIDTHS)),)


class Softplus(AbstractActivation):
    """`x ↦ log(1 + e^x)`."""

    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        return jax.nn.softplus(x)

    def __repr__(self) -> str:
        return "softplus"

    @property
    def terms(self) -> Terms:
        squares = tuple(share * width * width for share, width in _MIXTURE)
        above = Term(1.0, power=1, kink=Kink.STEP, mixture=ScaleMixture(_SHARES, _WIDTHS))
        return above, Term(1.0, kink=Kink.STEP, order=1, mixture=ScaleMixture(squares, _WIDTHS))
