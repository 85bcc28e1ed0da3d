"""The activations by their names."""

import math

import numpy as np

from jaxcompress._internal.checks import check_integer
from jaxcompress.kernels.activations._activation import (
    AbstractActivation,
    Affine,
    Closed,
    Erf,
    Relu,
)
from jaxcompress.kernels.activations._logistic import Sigmoid, Silu, Softplus, Tanh
from jaxcompress.kernels.activations._terms import UNIT, Kink, ScaleMixture, Term

# Orders of powers and Hermite polynomials: no digits would be left beyond.
_HIGHEST = 40

identity: AbstractActivation = Affine()
relu: AbstractActivation = Relu()
erf: AbstractActivation = Erf()
abs: AbstractActivation = Closed("abs", (Term(1.0, power=1, kink=Kink.SIGN),))
step: AbstractActivation = Closed("step", (Term(1.0, kink=Kink.STEP),))
sign: AbstractActivation = Closed("sign", (Term(1.0, kink=Kink.SIGN),))
normal_cdf: AbstractActivation = Closed("normal_cdf", (Term(1.0, kink=Kink.STEP, mixture=UNIT),))
gelu: AbstractActivation = Closed("gelu", (Term(1.0, power=1, kink=Kink.STEP, mixture=UNIT),))
sin: AbstractActivation = Closed("sin", (Term(-1j, rate=1j),))
cos: AbstractActivation = Closed("cos", (Term(1.0, rate=1j),))
exp: AbstractActivation = Closed("exp", (Term(1.0, rate=1.0),))
tanh: AbstractActivation = Tanh()
sigmoid: AbstractActivation = Sigmoid()
softplus: AbstractActivation = Softplus()
silu: AbstractActivation = Silu()


def leaky_relu(slope: float = 0.01) -> AbstractActivation:
    """`x ↦ x` for positive `x`, `slope·x` for negative.

    >>> from jaxcompress import activations
    >>> float(activations.leaky_relu(0.25)(-1.0))
    -0.25
    """
    return Closed(
        f"leaky_relu({float(slope)!r})",
        (float(slope) * identity + (1 - float(slope)) * relu).terms or (),
    )


def rectified_power(p: int) -> AbstractActivation:
    """`x ↦ max(x, 0)^p`: the step for `p = 0`, ReLU for `p = 1`.

    >>> from jaxcompress import activations
    >>> float(activations.rectified_power(2)(3.0))
    9.0
    """
    p = _order("rectified_power", p)
    return {0: step, 1: relu}.get(p) or Closed(
        f"rectified_power({p})", (Term(1.0, power=p, kink=Kink.STEP),)
    )


def bump(width: float = 1.0) -> AbstractActivation:
    """The Gaussian bump `x ↦ exp(−x²/(2 width²))`.

    >>> from jaxcompress import activations
    >>> round(float(activations.bump(2.0)(2.0)), 4)  # exp(−1/2)
    0.6065
    """
    if not (0 < width < math.inf):
        raise ValueError(
            f"bump: given width={width!r}; expected a positive number; its square is the bump's "
            "variance"
        )
    term = Term(
        width * math.sqrt(2 * math.pi),
        kink=Kink.STEP,
        order=1,
        mixture=ScaleMixture(widths=(float(width),)),
    )
    return Closed(f"bump({float(width)!r})", (term,))


def monomial(p: int) -> AbstractActivation:
    """`x ↦ x^p`.

    >>> from jaxcompress import activations
    >>> float(activations.monomial(3)(2.0))
    8.0
    """
    p = _order("monomial", p)
    return Closed(f"monomial({p})", (Term(1.0, power=p),))


def hermite(p: int) -> AbstractActivation:
    """The Hermite polynomial of degree `p`, orthonormal under the standard normal distribution:
    `He_p(x)/√(p!)`.

    Its powers cancel as the degree grows: kernels lose 5e-13 of `√(E f² E g²)` at degree 15 and
    8e-11 at 20.

    >>> from jaxcompress import activations
    >>> round(float(activations.hermite(2)(0.0)), 4)  # −1/√2
    -0.7071
    """
    p = _order("hermite", p)
    powers = np.polynomial.hermite_e.herme2poly([0.0] * p + [1.0]) / math.sqrt(math.factorial(p))
    return Closed(
        f"hermite({p})", tuple(Term(float(c), power=m) for m, c in enumerate(powers) if c)
    )


def _order(name: str, p: int) -> int:
    """An order as an integer. Raises `ValueError` for what is none, or is beyond every use."""
    return check_integer(name, "p", p, 0, _HIGHEST, remedy="other polynomials are sums of these")
