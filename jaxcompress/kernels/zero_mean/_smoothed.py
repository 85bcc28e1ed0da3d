"""Short formulas of pairs without means whose kinks are smoothed: tanh, sigmoid, softplus, SiLU,
GELU.

Letters as in `_forms`. Such a function is `c₀ + c₁x + Σ_ν (α σ_ν + β A_ν + γ A″_ν)` with `A_ν(x) =
E|x + νZ|` and `σ_ν = A′_ν`, for `x σ_ν(x) = A_ν − ν² A″_ν`. So every expectation is a sum over
pairs of widths of

`J_mn = E[A⁽ᵐ⁾(X) A⁽ⁿ⁾(Y)]`, `J_00 = (2/π)(r + qφ)`, `r = √Δ`, `φ = arctan(q/r)`,

whose derivatives by `s`, `t` and `q` are `½J_{m+2,n}`, `½J_{m,n+2}` and `J_{m+1,n+1}` (Price). All
are products of `q`, `r` and the inverses of `s̃` and `t̃`; nothing is singular, for `Δ ≥ ν²κ²`.

The logistic family has 18 widths, 324 pairs of them. While a flow is on its way five are enough
(`exact` false): they leave 1.5e-6.
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxcompress.kernels.activations._activation import AbstractActivation
from jaxcompress.kernels.activations._terms import Kink, Term, Terms
from jaxcompress.kernels.zero_mean._forms import AbstractCentred, CentredFirst, CentredSecond
from jaxcompress.special import arctangent

_TWO_OVER_PI = 2 / math.pi
_FIRST, _SECOND = ((0, 0), (2, 0), (1, 1)), ((4, 0), (3, 1), (2, 2), (1, 3))
# Pairs of widths a turn of the loop: with two it takes a fifth less time than with one.
_ROWS_A_TURN = 2
# What cancels but for rounding, as in softplus, is nothing.
_NOTHING = 1e-14


class Smoothed(NamedTuple):
    """`c₀`, `c₁`, and for every width `ν²` and the coefficients `α`, `β`, `γ` by the derivative of
    `A` that they stand before.
    """

    constant: float
    slope: float
    squares: np.ndarray
    shares: dict[int, np.ndarray]


def smoothed_kinks(terms: Terms) -> Smoothed | None:
    """A function in this form; `None` for one that has none, or whose odd and even parts mix with
    `c₀` and `c₁`."""
    constant = slope = 0.0
    widths = np.array(sorted({width for term in terms for width in _widths(term)}))
    if not len(widths) or widths[0] == 0:
        return None
    shares = {m: np.zeros(len(widths)) for m in range(3)}
    sizes = {m: np.zeros(len(widths)) for m in range(3)}

    def put(m: int, at: np.ndarray, row: np.ndarray) -> None:
        np.add.at(shares[m], at, row)
        np.add.at(sizes[m], at, np.abs(row))

    for term in terms:
        coefficient = complex(term.coefficient).real
        if term.rate or coefficient != term.coefficient:
            return None
        if term.kink is None:
            if term.power > 1:
                return None
            constant += coefficient * (term.power == 0)
            slope += coefficient * (term.power == 1)
            continue
        # a step is half of one and of a sign
        half = 0.5 * term.kink.value
        row = half * coefficient * np.array(term.mixture.shares)
        at = np.searchsorted(widths, term.mixture.widths)
        level = row.sum() * (term.kink is Kink.STEP)
        match term.power, term.order:
            case 0, 0:
                constant += level
                put(1, at, row)
            case 1, 0:
                slope += level
                put(0, at, row)
                put(2, at, -row * widths[at] ** 2)
            case 0, 1:
                put(2, at, row)
            case _:
                return None
    kept = {m: row for m, row in shares.items() if np.any(abs(row) > _NOTHING * sizes[m])}
    if (slope and 1 in kept) or (constant and not kept.keys().isdisjoint((0, 2))):
        return None
    return Smoothed(float(constant), float(slope), widths**2, kept)


def _widths(term: Term) -> tuple[float, ...]:
    return () if term.kink is None else term.mixture.widths


@functools.cache
def smoothed_parts(f: AbstractActivation) -> tuple[Smoothed, Smoothed | None] | None:
    """An activation in this form, and with fewer widths where it states some; `None` for others."""
    exact = None if f.terms is None else smoothed_kinks(f.terms)
    if exact is None:
        return None
    return exact, None if f.rough_terms is None else smoothed_kinks(f.rough_terms)


class CentredSmoothed(AbstractCentred):
    """A function with itself."""

    def __init__(self, exact: Smoothed, rough: Smoothed | None):
        self.parts = exact
        self.smoothing = float(np.mean(exact.squares))
        # pairs of derivatives of `A`
        self.kinds = [(m, n) for m in exact.shares for n in exact.shares if (m - n) % 2 == 0]
        forms = [exact] if rough is None else [rough, exact]
        self.squares = np.concatenate([form.squares for form in forms])
        tables, before = [], 0
        for form in forms:
            tables.append(_rows(form, self.kinds, before))
            before += len(form.squares)
        places, products = zip(*tables, strict=True)
        self.places, self.coefficients = np.concatenate(places), np.concatenate(products)
        self.first_exact = len(self.places) - len(tables[-1][0])

    def first(self, s, t, q, exact=None):
        return self._as_first(q, *self._sums(s, t, q, _FIRST, exact))

    def both(self, s, t, q, rest, exact=None):
        value, j20, j11, j40, j31, j22, j13 = self._sums(s, t, q, _FIRST + _SECOND, exact)
        rho, slope = q / (s + self.smoothing), self.parts.slope**2  # u = p + ρw
        bend = CentredSecond(j20, j22, j31 + rho * j22, j40 + rho * (2 * j31 + rho * j22))
        mixed = j22 + rho * j13, j31 + rho * (2 * j22 + rho * j13)
        return self._as_first(q, value, j20, j11), bend, CentredSecond(j11 + slope, j13, *mixed)

    def _as_first(self, q: Array, value: Array, own: Array, other: Array) -> CentredFirst:
        constant, slope = self.parts.constant**2, self.parts.slope**2
        return CentredFirst(value + (constant + slope * q), own, other + slope)

    def _sums(self, s, t, q, orders, exact: Bool[Array, ""] | None) -> list[Array]:
        """`E[f⁽ⁱ⁾ f⁽ʲ⁾]` of the kinks."""
        gap = jnp.maximum(s * t - q * q, 0)
        x, y = _Side.of(s, self.squares), _Side.of(t, self.squares)
        places, coefficients = (
            jnp.asarray(self.places, jnp.int32),
            jnp.asarray(self.coefficients, q.dtype),
        )

        def add(row: Array | int, sums: list[Array]) -> list[Array]:
            (i, j), shares = places[row], coefficients[row]
            nu, kappa = x.squares[i], y.squares[j]
            pair = _Pair(x.at(i), y.at(j), q, gap + (s * kappa + t * nu + nu * kappa))

            def total(i: int, j: int) -> Array:
                known = zip(shares, self.kinds, strict=True)
                each = [c * pair.moment(m + i, n + j) for c, (m, n) in known]
                return functools.reduce(jnp.add, each)

            return [old + total(*pair) for old, pair in zip(sums, orders, strict=True)]

        zero = jnp.zeros(jnp.broadcast_shapes(s.shape, t.shape, q.shape), q.dtype)
        if len(self.places) == 1:
            return add(0, [zero] * len(orders))
        begin: Array | int = self.first_exact
        end: Array | int = len(self.places)
        sums = [zero] * len(orders)
        if exact is not None and self.first_exact:
            begin, end = jnp.where(exact, begin, 0), jnp.where(exact, end, begin)

        def turn(i: Array, sums: list[Array]) -> list[Array]:
            for j in range(_ROWS_A_TURN):
                sums = add(_ROWS_A_TURN * i + j, sums)
            return sums

        return jax.lax.fori_loop(begin // _ROWS_A_TURN, end // _ROWS_A_TURN, turn, sums)


def _rows(
    parts: Smoothed, kinds: list[tuple[int, int]], before: int
) -> tuple[np.ndarray, np.ndarray]:
    """The places of two widths, after so many others, and the products of their coefficients: a row
    for each pair, and rows of nothing up to a whole number of turns where there is a loop."""
    count = len(parts.squares)
    places = before + np.indices((count, count)).reshape(2, -1).T
    products = [np.outer(parts.shares[m], parts.shares[n]).ravel() for m, n in kinds]
    missing = (0, -len(places) % _ROWS_A_TURN if count > 1 else 0), (0, 0)
    return np.pad(places, missing, mode="edge"), np.pad(np.stack(products, 1), missing)


class _Side(NamedTuple):
    """`ν²`, `s̃` and `1/s̃` for every width."""

    squares: Array
    wide: Array
    inverse: Array

    @classmethod
    def of(cls, s: Array, squares: np.ndarray) -> "_Side":
        known = jnp.asarray(squares, s.dtype)
        wide = s[None] + known.reshape(-1, *([1] * s.ndim))
        return cls(known, wide, 1 / wide)

    def at(self, i: Array) -> tuple[Array, Array]:
        """`s̃` and `1/s̃` of one width."""
        return self.wide[i], self.inverse[i]


class _Pair:
    """`J_mn` of one pair of widths, each computed once, from `s̃`, `t̃` with their inverses, `q`
    and `Δ`. Divisions are what costs: there is one."""

    def __init__(self, x: tuple[Array, Array], y: tuple[Array, Array], q: Array, delta: Array):
        self.x, self.y, self.q, self.delta = x, y, q, delta
        self.root = jnp.sqrt(delta)
        self.over = 1 / self.root
        self._known: dict[tuple[int, int], Array] = {}

    def moment(self, m: int, n: int) -> Array:
        """`J_mn`."""
        if (m, n) not in self._known:
            ordered = m >= n
            x, y = (self.x, self.y) if ordered else (self.y, self.x)
            self._known[m, n] = self._formula((m, n) if ordered else (n, m), *x, y[0])
        return self._known[m, n]

    def _formula(self, orders: tuple[int, int], s: Array, by_s: Array, t: Array) -> Array:
        q, d, root, over = self.q, self.delta, self.root, self.over
        inverse, by_d = _TWO_OVER_PI * over, over * over
        match orders:
            case 1, 1:
                return _TWO_OVER_PI * arctangent(q, root)
            case 0, 0:
                return _TWO_OVER_PI * root + q * self.moment(1, 1)
            case 2, 0:
                return _TWO_OVER_PI * root * by_s
            case 2, 2:
                return inverse
            case 3, 1:
                return -q * inverse * by_s
            case 4, 0:
                return inverse * (q * q - d) * by_s**2
            case 3, 3:
                return q * inverse * by_d
            case 4, 2:
                return -t * inverse * by_d
            case 5, 1:
                return q * inverse * (3 + q * q * by_d) * by_s**2
            case 6, 0:
                return inverse * (3 * d - q * q * (6 + q * q * by_d)) * by_s**3
            case 4, 4:
                return inverse * (s * t + 2 * q * q) * by_d**2
            case 5, 3:
                return -3 * t * q * inverse * by_d**2
            case 6, 2:
                return 3 * t * t * inverse * by_d**2
            case _:
                raise AssertionError(f"no formula is asked for orders {orders}")


def smoothed_means(parts: Smoothed, s: Float[Array, "..."]) -> tuple[Array, ...]:
    """`E f⁽ᵖ⁾(w·x)`, `p = 0 … 6`, from `s = |w|²`."""
    wide = s[..., None] + jnp.asarray(parts.squares, s.dtype)
    out = []
    for p in range(7):
        total = jnp.full_like(s, {0: parts.constant, 1: parts.slope}.get(p, 0.0))
        for m, row in parts.shares.items():
            if (m + p) % 2 == 0:
                total += jnp.sum(jnp.asarray(row, s.dtype) * _line(wide, (m + p) // 2), -1)
        out.append(total)
    return tuple(out)


def _line(wide: Array, half: int) -> Array:
    """`E A⁽²ʰ⁾(X)` at the variance `s̃`: twice the derivative by it, `h` times."""
    size = math.sqrt(2 / math.pi) * math.prod(1 - 2 * i for i in range(half))
    return size * wide ** (0.5 - half)
