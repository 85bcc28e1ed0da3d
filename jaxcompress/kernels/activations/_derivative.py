"""The derivative of an activation, as an activation."""

from jaxtyping import Array, Float

from jaxcompress.kernels.activations._activation import (
    AbstractActivation,
    Closed,
    Sum,
    check_activation,
    total,
)
from jaxcompress.kernels.activations._terms import derivative


class Derivative(AbstractActivation):
    """The derivative of an activation without closed forms."""

    of: AbstractActivation

    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        return self.of.derivative(x)


def derivative_of(f: AbstractActivation) -> AbstractActivation:
    """The derivative of an activation, an activation itself.

    Raises `ValueError` where it is no function, as for `step` and `sign`.

    >>> from jaxcompress.kernels import activations, derivative_of
    >>> round(float(derivative_of(activations.erf)(0.0)), 6)  # √(2/π)
    0.797885
    """
    check_activation("derivative_of", f)
    if isinstance(f, Sum):
        return total([(factor, derivative_of(part)) for factor, part in f.parts])
    if f.terms is None:
        return Derivative(f)
    terms = derivative(f.terms)
    if any(term.order and term.mixture.sharp for term in terms):
        raise ValueError(
            f"derivative_of: given {f!r}, which jumps; expected an activation whose derivative is "
            "a function; smooth it first, for example normal_cdf for step or erf for sign"
        )
    return Closed(f"derivative_of({f!r})", terms)
