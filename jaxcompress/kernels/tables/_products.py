"""Tables of pairs without means as products of matrices: what large tables are made of.

Letters as in `_correlations`. Without means every table here is `scale_i · scale_j · φ(ρ_ij)`: a
product of matrices, one loop over its entries, and for derivatives two more products,

`∂/∂x_i Σ_ij C_ij φ(ρ_ij) = Σ_j C_ij φ′(ρ_ij) y_j`,

while the derivatives of `scale` and of `x_i` by `w_i` are those of a normalisation. No vector per
pair is formed.

Where pairs almost coincide `φ′` loses digits as the angle does. First derivatives of ReLU do not
feel it: `φ′` is off by `ε/θ` along a vector of length `θ`. Second derivatives do, and so does erf
for weights so long that its noise is small; both take the precise correlations.
"""

import abc
import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Bool, Float

from jaxcompress.kernels.activations._activation import AbstractActivation, Affine, Erf, Relu
from jaxcompress.kernels.tables._blocks import block_size, in_blocks, summed_blocks
from jaxcompress.kernels.tables._correlations import (
    Correlation,
    fast,
    moved,
    normalised,
    precise,
    product,
)
from jaxcompress.special import arcsine
from jaxcompress.special.internal import divide

_TWO_OVER_PI = 2 / math.pi
_CIRCLE = 2 * math.pi
# `φ′` of erf is off by `ε/(1 − ρ²)`, and `1 − ρ² ≥ 1/(1 + |w|²)`: where the shorter family has
# longer weights than this, the precise correlations are taken. It leaves value and gradient 7e-15
# and 2e-13 (float32: 8e-7 and 6e-6).
_LONGEST = {jnp.dtype("float64"): 32.0, jnp.dtype("float32"): 7.0}
# Pairs in a block. On a CPU 1 MiB, which stays in its cache (2^16 to 2^19 are equal within 10 %).
# What lives for one call only should stay below some 20 MB: larger pieces are mapped again each
# time, and 6500 page faults cost as much as a whole gradient of 1000 × 1000 neurons. Accelerators
# want long loops.
_PAIRS = {"cpu": 2**17}
_PAIRS_ELSEWHERE = 2**24
# Fewer rows than this read the other family too often: 32 at a time cost a table of 4096 × 4096 in
# 512 dimensions 15 %.
_FEWEST_ROWS = 128
# Rows in a block of sums over columns: enough for the products to run at full speed.
_ROWS = 256


def _width(f: AbstractActivation) -> float:
    """`ν`: that of the Gaussian which smooths the sign function into erf."""
    return 1.0 if isinstance(f, Erf) else 0.0


class AbstractProfile(abc.ABC):
    """`φ` and its derivatives by `ρ` for one ordered pair of activations."""

    def __init__(self, left: AbstractActivation, right: AbstractActivation):
        self.left, self.right = left, right

    @property
    def noise(self) -> tuple[float, float]:
        """`ν` of both activations."""
        return _width(self.left), _width(self.right)

    @abc.abstractmethod
    def derivative(self, order: int, at: Correlation) -> Float[Array, "n k"]:
        """`φ`, `φ′` or `φ″`."""


class Arcsine(AbstractProfile):
    """erf with erf (Saad & Solla 1995)."""

    def derivative(self, order, at):
        match order:
            case 0:
                return _TWO_OVER_PI * arcsine(at.rho, at.rest)
            case 1:
                return divide(jnp.full_like(at.rho, _TWO_OVER_PI), at.sine)
            case _:
                return _TWO_OVER_PI * divide(at.rho, at.sine**3)


class Arc(AbstractProfile):
    """ReLU with ReLU (Cho & Saul 2009)."""

    def derivative(self, order, at):
        match order:
            case 0:
                return (at.sine + (math.pi / 2 + arcsine(at.rho, at.rest)) * at.rho) / _CIRCLE
            case 1:
                return 0.25 + arcsine(at.rho, at.rest) / _CIRCLE
            case _:
                return divide(jnp.full_like(at.rho, 1 / _CIRCLE), at.sine)


class Line(AbstractProfile):
    """`constant + slope·ρ`: an affine activation with any, and ReLU, whose odd part is linear, with
    erf, which is odd.

    An affine activation is not normalised: its `x` is `w`.
    """

    def __init__(
        self, left: AbstractActivation, right: AbstractActivation, constant: float, slope: float
    ):
        super().__init__(left, right)
        self.constant, self.slope = constant, slope

    def derivative(self, order, at):
        match order:
            case 0:
                return self.constant + self.slope * at.rho
            case 1:
                return jnp.full_like(at.rho, self.slope)
            case _:
                return jnp.zeros_like(at.rho)


@functools.cache
def profile(f: AbstractActivation, g: AbstractActivation) -> AbstractProfile | None:
    """The function of the correlation that a pair of activations is, or `None` for a pair that is
    none here.
    """
    match f, g:
        case Erf(), Erf():
            return Arcsine(f, g)
        case Relu(), Relu():
            return Arc(f, g)
        case ((Affine() | Relu() | Erf()), (Affine() | Relu() | Erf())):
            (mean_f, slope_f), (mean_g, slope_g) = _line(f), _line(g)
            return Line(f, g, mean_f * mean_g, slope_f * slope_g)
        case _:
            return None


def _line(f: AbstractActivation) -> tuple[float, float]:
    """`E f(X)` and `E f(X) X` over what `scale` and `x` take out of them."""
    match f:
        case Affine():
            return f.constant, f.slope
        case Relu():
            return 1 / math.sqrt(_CIRCLE), 0.5
        case _:
            return 0.0, math.sqrt(_TWO_OVER_PI)


class Side(NamedTuple):
    """A family of neurons as its tables see it: `x`, `√(|w|² + ν²)`, and the weights, without
    derivatives.
    """

    along: Float[Array, "n d"]
    size: Float[Array, " n"]
    weights: Float[Array, "n d"]


def side(f: AbstractActivation, weights: Float[Array, "n d"]) -> Side:
    """Normalise a family."""
    along, size = normalised(weights, _width(f))
    return Side(weights if isinstance(f, Affine) else along, size, jax.lax.stop_gradient(weights))


def pairs(shape: AbstractProfile, x: Side, y: Side) -> Float[Array, "n k"]:
    """The table of two families."""
    # laid out for the products; its derivative is, too: see `moved`
    right = jax.lax.optimization_barrier(y.along.T)
    if isinstance(shape, Arcsine):
        longest = jnp.minimum(
            *(jnp.max(jax.lax.stop_gradient(family.size), initial=0) for family in (x, y))
        )
        out = _entries(
            shape, 0, longest > _LONGEST[longest.dtype], x.along, right, x.weights, y.weights
        )
    elif isinstance(shape, Arc):
        out = _entries(shape, 0, None, x.along, right, x.weights, y.weights)
    else:
        out = shape.derivative(0, fast(x.along, right))
    out = out * x.size[:, None] if isinstance(shape.left, Relu) else out
    return out * y.size[None] if isinstance(shape.right, Relu) else out


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _entries(shape: AbstractProfile, order: int, doubtful: Bool[Array, ""] | None, x, right, W, V):
    """The derivative of this order of `φ`, at every pair; precise where that is asked for."""
    if order > 1:
        return shape.derivative(order, precise(shape.noise, x, right, W, V))
    out = shape.derivative(order, fast(x, right))
    if doubtful is None:
        return out

    def some(rows):
        return shape.derivative(order, precise(shape.noise, rows[0], right, rows[1], V))

    def better(carry):
        del carry  # in pieces, for the memory of a turn is set aside also where nobody needs it
        return jnp.zeros_like(doubtful), in_blocks(
            some, (x, W), _pairs_in_block() // (8 * max(1, V.shape[0]))
        )

    # A loop of at most one turn: unlike `cond` it stays one under `vmap`, as long as nobody needs
    # the turn.
    return jax.lax.while_loop(lambda carry: carry[0], better, (doubtful, out))[1]


def _entries_jvp(shape, order, primals, tangents):
    doubtful, x, right, W, V = primals
    dx, d_right = (
        None if isinstance(tangent, SymbolicZero) else tangent for tangent in tangents[1:3]
    )
    # Differentiating the gradient gives second derivatives, and those feel the angle where pairs
    # almost coincide.
    value = (
        _entries(shape, 0, *primals)
        if order == 0
        else shape.derivative(order, precise(shape.noise, *primals[1:]))
    )
    return value, _entries(shape, order + 1, doubtful, x, right, W, V) * moved(
        x, right, dx, d_right
    )


_entries.defjvp(_entries_jvp, symbolic_zeros=True)


def table_by_products(
    shape: AbstractProfile, W: Float[Array, "n d"], V: Float[Array, "k d"]
) -> Float[Array, "n k"]:
    """`E[f(w_i·z) g(v_j·z)]` for standard normal `z`, in blocks of rows that are computed again in
    reverse mode.
    """
    x, y = side(shape.left, W), side(shape.right, V)
    width = max(1, V.shape[0])
    rows = max(_pairs_in_block() // width, min(_FEWEST_ROWS, 2**22 // width))
    return in_blocks(lambda block: pairs(shape, block, y), x, rows)


def times_by_products(
    shape: AbstractProfile,
    W: Float[Array, "n d"],
    V: Float[Array, "k d"],
    right: Float[Array, "k m"],
) -> tuple[Float[Array, "n m"], Float[Array, "n m"]]:
    """`table @ right` and `|table| @ |right|` (without derivatives); the table is never there as a
    whole.

    Memory beyond the arguments: two blocks. One copy of `V` more where no number near the best
    block divides `k`.
    """
    rows = block_size(W.shape[0], _ROWS)
    columns = max(1, _pairs_in_block() // max(1, rows))

    def of_rows(x: Side):
        def of_columns(block):
            weights, some = block
            entries = pairs(shape, x, side(shape.right, weights))
            sizes = jnp.abs(jax.lax.stop_gradient(entries))
            return product(entries, some), product(sizes, jnp.abs(jax.lax.stop_gradient(some)))

        return summed_blocks(of_columns, (V, right), columns)

    return in_blocks(of_rows, side(shape.left, W), rows)


def _pairs_in_block() -> int:
    return _PAIRS.get(jax.default_backend(), _PAIRS_ELSEWHERE)
