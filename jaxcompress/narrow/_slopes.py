"""The bounds of an activation's derivatives, as the theory of narrow networks asks for them."""

from jaxcompress.kernels import AbstractActivation
from jaxcompress.kernels.internal import derivative_bounds


def slope_bounds(activation: AbstractActivation) -> tuple[float, float]:
    """`sup|σ′|` and `sup|σ″|`, infinite where they have none: ReLU and its kin, powers,
    exponentials.

    Found by search to 1e-9 of their size: tanh 1 and 0.7698, softplus 1 and 0.25, sigmoid 0.25 and
    0.09623, GELU 1.1290 and 0.79788.
    Where it fails: functions of the user's own that grow, or turn, only beyond |z| = 30 or within
    1e-2, or whose derivative jumps by less than a thousandth of its largest value.

    >>> from jaxcompress import activations, narrow
    >>> first, second = narrow.slope_bounds(activations.tanh)
    >>> round(first, 4), round(second, 4)
    (1.0, 0.7698)
    """
    return derivative_bounds(activation)
