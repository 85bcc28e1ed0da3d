"""Which formulas serve which pair of activations."""

import functools

from jaxcompress.kernels._activation import AbstractActivation, Affine, Erf, Relu
from jaxcompress.kernels._affine import AbstractLine, AffineAny, AffineLine, AnyAffine, ReluLine, SignLine
from jaxcompress.kernels._moments import AbstractMoments
from jaxcompress.kernels._relu import ReluRelu
from jaxcompress.kernels._sign import ReluSign, SignRelu, SignSign


def _unknown(activation: object) -> ValueError:
    return ValueError(
        f"kernels: given the activation {activation!r}; expected one whose kernel is known; "
        "use identity, relu or erf of jaxcompress.activations"
    )


def _line_of(activation: AbstractActivation) -> AbstractLine:
    match activation:
        case Affine():
            return AffineLine(activation)
        case Relu():
            return ReluLine()
        case Erf():
            return SignLine()
        case _:
            raise _unknown(activation)


@functools.cache
def formulas(f: AbstractActivation, g: AbstractActivation) -> AbstractMoments:
    """The moments of the ordered pair `(f, g)`; `ValueError` when one of them has no kernel."""
    match f, g:
        case Affine(), _:
            return AffineAny(f, _line_of(g))
        case _, Affine():
            return AnyAffine(_line_of(f), g)
        case Relu(), Relu():
            return ReluRelu()
        case Relu(), Erf():
            return ReluSign()
        case Erf(), Relu():
            return SignRelu()
        case Erf(), Erf():
            return SignSign()
        case _:
            raise _unknown(g if isinstance(f, Relu | Erf) else f)
