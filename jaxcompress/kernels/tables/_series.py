"""Tables as Hermite series: `Σ_k c_ik d_jk ρ_ij^k`, and the same for derivatives.

Letters: `c_k`, `d_k` the coefficients of two neurons (`spectra`), `σ` their norms, `ρ_ij` the
cosine of two weight vectors. By Stein's lemma `E[f⁽ᵃ⁾(X) g⁽ᵇ⁾(Y)]` has the same form with the
coefficients `√((k+1)⋯(k+a)) c_{k+a}/σᵃ`, so value, gradient and Hessian are sums over the same
numbers, multiply-adds over the matrix `ρ` and nothing else.

The series ends where its bound says so: what is left of a pair beyond degree `K` is at most
`max_{k ≥ K} (k+a)^{a/2} (k+b)^{b/2} |ρ|^k · √(T_i T_j)`, with the rests `T = Σ_{k ≥ K} c_k²`
(Cauchy & Schwarz). How many terms there are is a matter of the data; pairs that are not done when it
would be cheaper to treat them alone are handed back as such.
References: Mehler 1866; Daniely, Frostig & Singer 2016, section 2.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxcompress.kernels.activations._activation import AbstractActivation
from jaxcompress.kernels.spectra._spectrum import Spectrum, spectrum_of
from jaxcompress.kernels.tables._correlations import product

# Degrees at a time.
_CHUNK = 16
# The sum goes on while so many chunks more are worth their while.
_MORE = (1, 4, 16)
# `−log |ρ|` from below: coincident neurons never have a largest term.
_FLATTEST = 1e-15


class Family(NamedTuple):
    """Neurons by their directions, norms and means."""

    along: Float[Array, "n d"]
    std: Float[Array, " n"]
    mean: Float[Array, " n"]


class Limits(NamedTuple):
    """When a series ends: what may be left relative to `√(E f² E g²)`; the most degrees; what a pair
    costs by the exact formulas, in chunks of one pair, and how many of them are treated at once.
    """

    tolerance: float
    degrees: int
    cost: float
    at_once: int = 1


class Series(NamedTuple):
    """`E[f⁽ᵃ⁾ g⁽ᵇ⁾]` for the orders asked for; which pairs are not done; a bound of `σᵃ σᵇ` times the
    error, relative to `√(E f² E g²)`; a lower bound of that; and how many degrees there are.
    """

    tables: Float[Array, "orders n m"]
    open: Bool[Array, "n m"]
    bound: Float[Array, "n m"]
    scale: Float[Array, "n m"]
    degrees: Int[Array, ""]


class _Sum(NamedTuple):
    """A sum on its way: the degree that comes next; the states of both spectra; coefficients that
    were run ahead; `Σ c_k²`; `ρ^k`; the sums; the logarithm of the relative bound, and by how much
    the last chunk lowered it.
    """

    k: Int[Array, ""]
    states: tuple[Any, ...]
    windows: tuple[Array, ...]
    squares: tuple[Array, ...]
    power: Float[Array, "n m"]
    tables: Float[Array, "orders n m"]
    bound: Float[Array, "n m"]
    fall: Float[Array, "n m"]


def family(weights: Float[Array, "n d"], mean: Float[Array, " n"] | None) -> Family:
    """Norms and directions; a neuron without norm has a tiny one and no direction."""
    largest = jnp.max(jnp.abs(weights), axis=1, keepdims=True, initial=0)
    scaled = weights / jnp.where(largest > 0, largest, 1)
    length = jnp.sqrt(jnp.sum(scaled * scaled, 1, keepdims=True))
    along = scaled / jnp.where(length > 0, length, 1)
    std = (largest * length)[:, 0]
    return Family(along, std, jnp.zeros_like(std) if mean is None else mean)


class _Side(NamedTuple):
    """One activation on one or two families, and where in its coefficients these are."""

    spectrum: Spectrum
    mean: Array
    std: Array


def series(
    f: AbstractActivation,
    g: AbstractActivation,
    x: Family,
    y: Family,
    orders: Sequence[tuple[int, int]],
    limits: Limits,
    itself: bool = False,
    known: Bool[Array, "n m"] | None = None,
) -> Series:
    """The tables of two families; `itself` where `x` is what `y` begins with, of one activation.
    Nobody waits for pairs that are `known`.
    """
    n = x.std.shape[0]
    rho = jnp.clip(product(x.along, y.along.T), -1, 1)
    ahead = max(max(pair) for pair in orders)
    if itself or f == g:
        first = () if itself else (x,)
        both = Family(*(jnp.concatenate(part) for part in zip(*first, y, strict=True)))
        sides: tuple[_Side, ...] = (_Side(spectrum_of(f), both.mean, both.std),)
        cuts = slice(0, n), slice(None) if itself else slice(n, None)
    else:
        sides = _Side(spectrum_of(f), x.mean, x.std), _Side(spectrum_of(g), y.mean, y.std)
        cuts = slice(None), slice(None)
    steep = max(a + b for a, b in orders) / 2
    logarithm = jnp.log(jnp.abs(rho))

    def left_right(rows: Sequence[Array]) -> tuple[Array, Array]:
        """What belongs to `x` and to `y`, from what the sides have."""
        return rows[0][..., cuts[0]], rows[-1][..., cuts[1]]

    def begin(side: _Side) -> tuple[Any, Array]:
        state = side.spectrum.start(side.mean, jnp.maximum(side.std, smallest(side.std.dtype)))
        return side.spectrum.run(state, jnp.zeros((), jnp.int32), ahead)

    states, windows = zip(*map(begin, sides), strict=True)

    def body(at: _Sum) -> _Sum:
        new = [
            side.spectrum.run(state, at.k + ahead, _CHUNK)
            for side, state in zip(sides, at.states, strict=True)
        ]
        states = tuple(state for state, _ in new)
        rows = [
            jnp.concatenate([window, some])
            for window, (_, some) in zip(at.windows, new, strict=True)
        ]
        left, right = left_right(rows)
        ks = (at.k + jnp.arange(_CHUNK)).astype(rho.dtype)
        p = jnp.stack([_raised(left, a, ks) for a, _ in orders])
        q = jnp.stack([_raised(right, b, ks) for _, b in orders])
        part = p[:, -1, :, None] * q[:, -1, None, :]
        for i in reversed(range(_CHUNK - 1)):
            part = part * rho[None] + p[:, i, :, None] * q[:, i, None, :]
        tables = at.tables + at.power[None] * part
        k = at.k + _CHUNK
        rests = [
            side.spectrum.rest(state, k + ahead)
            for side, state in zip(sides, states, strict=True)
        ]
        squares = tuple(
            old + jnp.sum(row[:_CHUNK] ** 2, 0)
            for old, row in zip(at.squares, rows, strict=True)
        )
        shares = [
            jnp.log(rest) - 0.5 * jnp.log(square)
            for rest, square in zip(rests, squares, strict=True)
        ]
        bound = _largest_weight(k.astype(rho.dtype), ahead, steep, logarithm)
        bound = bound + _sums(*left_right(shares))
        bound = bound if known is None else jnp.where(known, -jnp.inf, bound)
        return _Sum(
            k=k,
            states=states,
            windows=tuple(row[_CHUNK:] for row in rows),
            squares=squares,
            power=at.power * rho**_CHUNK,
            tables=tables,
            bound=bound,
            fall=at.bound - bound,
        )

    enough = math.log(limits.tolerance)

    def going(at: _Sum) -> Bool[Array, ""]:
        """Whether so many chunks more would finish pairs that cost more than these."""
        if math.isinf(limits.cost):
            return (at.k < limits.degrees) & jnp.any(~(at.bound <= enough))
        chunks = jnp.where(at.bound > enough, (at.bound - enough) / at.fall, jnp.inf)
        worth = []
        for more in _MORE:
            turns = -(-jnp.sum((chunks >= 0) & (chunks <= more)) // limits.at_once)
            worth.append(turns * limits.at_once * limits.cost > more * chunks.size)
        worthwhile = functools.reduce(jnp.logical_or, worth)
        return (at.k < limits.degrees) & ((at.k == 0) | worthwhile)

    start = _Sum(
        k=jnp.zeros((), jnp.int32),
        states=tuple(states),
        windows=tuple(windows),
        squares=tuple(jnp.zeros_like(side.std) for side in sides),
        power=jnp.ones_like(rho),
        tables=jnp.zeros((len(orders), *rho.shape), rho.dtype),
        bound=jnp.full_like(rho, jnp.inf),
        fall=jnp.ones_like(rho),
    )
    end = jax.lax.while_loop(going, body, start)
    small = smallest(rho.dtype)
    inverse_x, inverse_y = 1 / jnp.maximum(x.std, small), 1 / jnp.maximum(y.std, small)
    factors = jnp.stack([_outer(inverse_x**a, inverse_y**b) for a, b in orders])
    scale = jnp.sqrt(_outer(*left_right(end.squares)))
    # where nothing is known, or not a number, the bound is not met
    return Series(
        end.tables * factors, ~(end.bound <= enough), jnp.exp(end.bound), scale, end.k
    )


def _outer(x: Float[Array, " n"], y: Float[Array, " m"]) -> Float[Array, "n m"]:
    return x[:, None] * y[None]


def _sums(x: Float[Array, " n"], y: Float[Array, " m"]) -> Float[Array, "n m"]:
    return x[:, None] + y[None]


def smallest(dtype) -> float:
    """The norm in place of none, whose fourth power is a number."""
    return float(jnp.finfo(dtype).tiny) ** 0.2


def _raised(rows: Float[Array, "j n"], order: int, ks: Float[Array, " k"]) -> Float[Array, "k n"]:
    """`√((k+1)⋯(k+a)) c_{k+a}` for the degrees of a chunk."""
    some = rows[order : order + _CHUNK]
    for i in range(1, order + 1):
        some = some * jnp.sqrt(ks + i)[:, None]
    return some


def _largest_weight(k: Array, ahead: int, steep: float, logarithm: Array) -> Array:
    """The logarithm of `max_{j ≥ k} (j + ahead)^steep |ρ|^j`, that of `|ρ|` given."""
    if not steep:
        return k * logarithm
    # beyond its maximum the function is taken at `k`, before it at the maximum
    top = -steep / jnp.minimum(logarithm, -_FLATTEST) - ahead
    j = jnp.maximum(k, top)
    return steep * jnp.log(j + ahead) + j * logarithm
