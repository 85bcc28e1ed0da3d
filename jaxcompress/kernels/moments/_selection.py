"""Which formulas serve which pair of activations."""

import functools

from jaxcompress.kernels.activations._activation import (
    AbstractActivation,
    Relu,
    Sum,
    check_activation,
    summands_of,
)
from jaxcompress.kernels.moments._closed import ClosedMoments
from jaxcompress.kernels.moments._moments import AbstractMoments, WeightedMoments
from jaxcompress.kernels.moments._quadrature import QuadratureMoments, ReflectedMoments, nodes_of
from jaxcompress.kernels.moments._relu import ReluRelu


@functools.lru_cache(maxsize=1024)
def formulas(f: AbstractActivation, g: AbstractActivation) -> AbstractMoments:
    """The moments of the ordered pair `(f, g)`; `ValueError` for what is no activation."""
    for activation in (f, g):
        check_activation("kernels", activation)
    if isinstance(f, Relu) and isinstance(g, Relu):
        return ReluRelu()
    if f.terms is not None and g.terms is not None:
        return ClosedMoments(f.terms, g.terms)
    if isinstance(f, Sum) or isinstance(g, Sum):
        return WeightedMoments(
            tuple((p * q, formulas(x, y)) for p, x in summands_of(f) for q, y in summands_of(g))
        )
    nodes = max(nodes_of(f), nodes_of(g))
    return (
        QuadratureMoments(f, g, nodes)
        if f.terms is None
        else ReflectedMoments(QuadratureMoments(g, f, nodes))
    )
