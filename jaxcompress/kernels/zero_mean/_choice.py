"""Which short formulas serve which pair of activations."""

import functools
from collections.abc import Callable

from jaxtyping import Array

from jaxcompress.kernels.activations._activation import AbstractActivation, Erf, Relu
from jaxcompress.kernels.zero_mean._forms import (
    AbstractCentred,
    CentredErf,
    CentredRelu,
    erf_means,
    relu_means,
)
from jaxcompress.kernels.zero_mean._smoothed import CentredSmoothed, smoothed_means, smoothed_parts


@functools.cache
def centred(f: AbstractActivation, g: AbstractActivation) -> AbstractCentred | None:
    """The short formulas of a pair of activations, or `None` for a pair that has none."""
    if f != g:
        return None
    match f:
        case Erf():
            return CentredErf()
        case Relu():
            return CentredRelu()
        case _:
            parts = smoothed_parts(f)
            return None if parts is None else CentredSmoothed(*parts)


@functools.cache
def centred_means(f: AbstractActivation) -> Callable[[Array], tuple[Array, ...]] | None:
    """For activations that have short formulas: from `s = |w|²` to `E f⁽ᵖ⁾(w·x)`, `p = 0 … 6`; of
    ReLU they are zero at `s = 0`, as all its derivatives there."""
    match f:
        case Erf():
            return erf_means
        case Relu():
            return relu_means
        case _:
            parts = smoothed_parts(f)
            return None if parts is None else functools.partial(smoothed_means, parts[0])


def has_rough_form(f: AbstractActivation) -> bool:
    """Whether the short formulas have a rougher form, which costs a twelfth."""
    parts = smoothed_parts(f)
    return parts is not None and parts[1] is not None
