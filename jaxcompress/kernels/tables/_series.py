"""Tables as Hermite series: `Σ_k c_ik d_jk ρ_ij^k`, and the same for derivatives.

Letters: `c_k`, `d_k` the coefficients of two neurons (`spectra`), `σ` their norms, `ρ_ij` the
cosine of two weight vectors. By Stein's lemma `E[f⁽ᵃ⁾(X) g⁽ᵇ⁾(Y)]` has the same form with the
coefficients `√((k+1)⋯(k+a)) c_{k+a}/σᵃ`, so value, gradient and Hessian are sums over the same
numbers, multiply-adds over the matrix `ρ` and nothing else.

The series ends where its bound says so: what is left of a pair beyond degree `K` is at most `max_{k
≥ K} (k+a)^{a/2} (k+b)^{b/2} |ρ|^k · √(T_i T_j)`, with the rests `T = Σ_{k ≥ K} c_k²` (Cauchy &
Schwarz). How many terms there are is a matter of the data; pairs that are not done when it would be
cheaper to treat them alone are handed back as such. References: Mehler 1866; Daniely, Frostig &
Singer 2016, section 2."""

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxcompress.kernels.activations._activation import AbstractActivation
from jaxcompress.kernels.spectra._part import smallest
from jaxcompress.kernels.spectra._spectrum import Spectrum, spectrum_of
from jaxcompress.kernels.tables._correlations import product
from jaxcompress.special.internal import polar

Orders = Sequence[tuple[int, int]]

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
    mean: Float[Array, " n"] | None


class Limits(NamedTuple):
    """When a series ends: what may be left relative to `√(E f² E g²)`; the most degrees; what a
    pair costs by the exact formulas, in chunks of one pair, and how many of them are treated at
    once."""

    tolerance: float
    degrees: int
    cost: float
    at_once: int = 1


class Series(NamedTuple):
    """`E[f⁽ᵃ⁾ g⁽ᵇ⁾]` for the orders asked for; which pairs are not done; a bound of `σᵃ σᵇ` times
    the error; `√(E f² E g²)`, from below; and how many degrees there are."""

    tables: Float[Array, "orders n m"]
    open: Bool[Array, "n m"]
    bound: Float[Array, "n m"]
    scale: Float[Array, "n m"]
    degrees: Int[Array, ""]


class _Sum(NamedTuple):
    """A sum on its way: the degree that comes next; the states of both spectra; coefficients that
    were run ahead; `Σ c_k²`; `ρ^k`; the sums; the logarithm of their bound, and by how much the
    last chunk lowered it."""

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
    std, along = polar(weights)
    return Family(along, std, mean)


class _Side(NamedTuple):
    """One activation on one or two families."""

    spectrum: Spectrum
    mean: Float[Array, " n"] | None
    std: Float[Array, " n"]

    def begin(self, count: int) -> tuple[Any, Float[Array, "count n"]]:
        """The lowest coefficients, and what the next ones need."""
        state = self.spectrum.start(self.mean, jnp.maximum(self.std, smallest(self.std.dtype)))
        return self.spectrum.run(state, jnp.zeros((), jnp.int32), count)


class _Job:
    """What does not change while a table is summed."""

    def __init__(self, f, g, x: Family, y: Family, orders: Orders, limits: Limits, itself: bool):
        n = x.std.shape[0]
        self.x, self.y, self.orders, self.limits = x, y, orders, limits
        self.rho = jnp.clip(product(x.along, y.along.T), -1, 1)
        self.logarithm = jnp.log(jnp.abs(self.rho))
        self.ahead = max(max(pair) for pair in orders)
        self.steep = max(a + b for a, b in orders) / 2
        if itself or f == g:
            mean, std = y.mean, y.std
            if not itself:
                mean, std = _joined(x, y), jnp.concatenate([x.std, y.std])
            self.sides: tuple[_Side, ...] = (_Side(spectrum_of(f), mean, std),)
            self.cuts = slice(0, n), slice(None) if itself else slice(n, None)
        else:
            self.sides = _Side(spectrum_of(f), x.mean, x.std), _Side(spectrum_of(g), y.mean, y.std)
            self.cuts = slice(None), slice(None)

    def split(self, parts: Sequence[Array]) -> tuple[Array, Array]:
        """What belongs to `x` and to `y`, from what the sides have."""
        return parts[0][..., self.cuts[0]], parts[-1][..., self.cuts[1]]

    def start(self) -> _Sum:
        states, windows = zip(*(side.begin(self.ahead) for side in self.sides), strict=True)
        one = jnp.ones_like(self.rho)
        return _Sum(
            k=jnp.zeros((), jnp.int32),
            states=tuple(states),
            windows=tuple(windows),
            squares=tuple(jnp.zeros_like(side.std) for side in self.sides),
            power=one,
            tables=jnp.zeros((len(self.orders), *one.shape), one.dtype),
            bound=jnp.inf * one,
            fall=one,
        )

    def step(self, at: _Sum, known: Bool[Array, "n m"] | None) -> _Sum:
        """A chunk more."""
        new = [
            side.spectrum.run(state, at.k + self.ahead, _CHUNK)
            for side, state in zip(self.sides, at.states, strict=True)
        ]
        rows = [
            jnp.concatenate([window, some])
            for window, (_, some) in zip(at.windows, new, strict=True)
        ]
        states, k = tuple(state for state, _ in new), at.k + _CHUNK
        windows = tuple(row[_CHUNK:] for row in rows)
        rests = []
        for side, state, window in zip(self.sides, states, windows, strict=True):
            # what was run ahead has not been summed in every table
            later = side.spectrum.rest(state, k + self.ahead) ** 2
            rests.append(0.5 * jnp.log(later + jnp.sum(window * window, 0)))
        bound = self._largest_weight(k) + _sums(*self.split(rests))
        bound = bound if known is None else jnp.where(known, -jnp.inf, bound)
        squares = [jnp.sum(row[:_CHUNK] ** 2, 0) for row in rows]
        return _Sum(
            k=k,
            states=states,
            windows=windows,
            squares=tuple(map(jnp.add, at.squares, squares)),
            power=at.power * self.rho**_CHUNK,
            tables=at.tables + at.power[None] * self._chunk(at.k, rows),
            bound=bound,
            fall=at.bound - bound,
        )

    def _chunk(self, k: Array, rows: Sequence[Array]) -> Float[Array, "orders n m"]:
        """The terms of a chunk over `ρ^k`, by Horner's scheme."""
        left, right = self.split(rows)
        ks = (k + jnp.arange(_CHUNK)).astype(self.rho.dtype)
        p = jnp.stack([_raised(left, a, ks) for a, _ in self.orders])
        q = jnp.stack([_raised(right, b, ks) for _, b in self.orders])
        out = p[:, -1, :, None] * q[:, -1, None, :]
        for i in reversed(range(_CHUNK - 1)):
            out = out * self.rho[None] + p[:, i, :, None] * q[:, i, None, :]
        return out

    def _largest_weight(self, degree: Array) -> Array:
        """The logarithm of `max_{j ≥ k} (j + ahead)^steep |ρ|^j`."""
        k = degree.astype(self.rho.dtype)
        if not self.steep:
            return k * self.logarithm
        # beyond its maximum the function is taken at `k`, before it at the maximum
        top = -self.steep / jnp.minimum(self.logarithm, -_FLATTEST) - self.ahead
        j = jnp.maximum(k, top)
        return self.steep * jnp.log(j + self.ahead) + j * self.logarithm

    def excess(self, at: _Sum) -> Float[Array, "n m"]:
        """The logarithm of what is left over what may be left; zero where it is no more."""
        sizes = [0.5 * jnp.log(square) for square in at.squares]
        enough = math.log(self.limits.tolerance) + _sums(*self.split(sizes))
        return jnp.where(at.bound <= enough, 0, at.bound - enough)

    def going(self, at: _Sum) -> Bool[Array, ""]:
        """Whether so many chunks more would finish pairs that cost more than these."""
        limits, over = self.limits, self.excess(at)
        if math.isinf(limits.cost):
            return (at.k < limits.degrees) & ((at.k == 0) | jnp.any(over != 0))
        chunks = jnp.where(over == 0, jnp.inf, over / at.fall)
        worth = []
        for more in _MORE:
            turns = -(-jnp.sum((chunks >= 0) & (chunks <= more)) // limits.at_once)
            worth.append(turns * limits.at_once * limits.cost > more * chunks.size)
        worthwhile = functools.reduce(jnp.logical_or, worth)
        return (at.k < limits.degrees) & ((at.k == 0) | worthwhile)


def series(
    f: AbstractActivation,
    g: AbstractActivation,
    x: Family,
    y: Family,
    orders: Orders,
    limits: Limits,
    itself: bool = False,
    known: Bool[Array, "n m"] | None = None,
) -> Series:
    """The tables of two families.

    `itself` where `x` is what `y` begins with, of one activation. Nobody waits for pairs that are
    `known`.
    """
    job = _Job(f, g, x, y, orders, limits, itself)
    end = jax.lax.while_loop(job.going, lambda at: job.step(at, known), job.start())
    small = smallest(job.rho.dtype)
    inverse_x, inverse_y = 1 / jnp.maximum(x.std, small), 1 / jnp.maximum(y.std, small)
    most = float(jnp.finfo(job.rho.dtype).max)  # nothing over no norm is nothing
    factors = [jnp.minimum(_outer(inverse_x**a, inverse_y**b), most) for a, b in orders]
    # a bound that is no number, of what overflows, is none
    bound = jnp.where(jnp.isnan(end.bound), jnp.inf, jnp.exp(end.bound))
    scale = jnp.sqrt(_outer(*job.split(end.squares)))
    return Series(end.tables * jnp.stack(factors), job.excess(end) != 0, bound, scale, end.k)


def _joined(x: Family, y: Family) -> Array | None:
    """The means of two families; `None` for none at all."""
    if x.mean is None and y.mean is None:
        return None
    given = (jnp.zeros_like(some.std) if some.mean is None else some.mean for some in (x, y))
    return jnp.concatenate(list(given))


def _outer(x: Float[Array, " n"], y: Float[Array, " m"]) -> Float[Array, "n m"]:
    return x[:, None] * y[None]


def _sums(x: Float[Array, " n"], y: Float[Array, " m"]) -> Float[Array, "n m"]:
    return x[:, None] + y[None]


def _raised(rows: Float[Array, "j n"], order: int, ks: Float[Array, " k"]) -> Float[Array, "k n"]:
    """`√((k+1)⋯(k+a)) c_{k+a}` for the degrees of a chunk."""
    some = rows[order : order + _CHUNK]
    for i in range(1, order + 1):
        some = some * jnp.sqrt(ks + i)[:, None]
    return some
