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

import abc

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
# The five widths for which that error is least, 1.5e-6 (the derivative to 5e-6): what a search can
# do with while it is on its way.
_ROUGH = (
    (0.03594460129527065, 0.8717237301040595),
    (0.2765124488668059, 1.217318995469222),
    (0.43856338349886037, 1.7024086562108758),
    (0.22293239683362145, 2.3973962979871786),
    (0.026047169505441416, 3.3956985315448023),
)

Rule = tuple[tuple[float, float], ...]


class AbstractLogistic(AbstractActivation):
    """A function whose terms are made of such a mixture."""

    @abc.abstractmethod
    def of_mixture(self, mixture: Rule) -> Terms:
        """The terms for these shares and widths."""

    @property
    def terms(self) -> Terms:
        return self.of_mixture(_MIXTURE)

    @property
    def rough_terms(self) -> Terms:
        return self.of_mixture(_ROUGH)


def _scaled(mixture: Rule, factor: float = 1.0) -> ScaleMixture:
    shares, widths = zip(*mixture, strict=True)
    return ScaleMixture(shares, tuple(factor * width for width in widths))


class Sigmoid(AbstractLogistic):
    """`x ↦ 1/(1 + e^{−x})`."""

    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        return jax.nn.sigmoid(x)

    def __repr__(self) -> str:
        return "sigmoid"

    def of_mixture(self, mixture: Rule) -> Terms:
        return (Term(1.0, kink=Kink.STEP, mixture=_scaled(mixture)),)


class Tanh(AbstractLogistic):
    """The hyperbolic tangent."""

    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        return jnp.tanh(x)

    def __repr__(self) -> str:
        return "tanh"

    def of_mixture(self, mixture: Rule) -> Terms:
        return (Term(1.0, kink=Kink.SIGN, mixture=_scaled(mixture, 0.5)),)


class Silu(AbstractLogistic):
    """`x ↦ x/(1 + e^{−x})`."""

    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        return jax.nn.silu(x)

    def __repr__(self) -> str:
        return "silu"

    def of_mixture(self, mixture: Rule) -> Terms:
        return (Term(1.0, power=1, kink=Kink.STEP, mixture=_scaled(mixture)),)


class Softplus(AbstractLogistic):
    """`x ↦ log(1 + e^x)`."""

    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        return jax.nn.softplus(x)

    def __repr__(self) -> str:
        return "softplus"

    def of_mixture(self, mixture: Rule) -> Terms:
        squares = tuple((share * width * width, width) for share, width in mixture)
        above = Term(1.0, power=1, kink=Kink.STEP, mixture=_scaled(mixture))
        return above, Term(1.0, kink=Kink.STEP, order=1, mixture=_scaled(squares))
