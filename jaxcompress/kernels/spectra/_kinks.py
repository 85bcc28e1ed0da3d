"""Spectra of kinks and their powers, sharp or smoothed by Gaussians.

A kink smoothed by a Gaussian of width `ν` has the spectrum of the sharp one at the standard
deviation `τ = √(σ² + ν²)`, times `x^k` with `x = σ/τ`; and `y·g_ν(y) = (y g)_ν − ν² (g′)_ν` takes
powers under the smoothing. So everything is made of one sequence,

`e_j = he_j(−μ/τ) φ(μ/τ)`:

- a rectified power, degree `k > p`: `x^k τ^p p! √((k−p−1)!/k!) e_{k−p−1}`; up to `p` a moment of a
  cut Gaussian;
- a derivative of the step of order `s ≥ 1`: `x^k √((k+1)⋯(k+s−1)) e_{k+s−1}/τ^s`.

The rest of a sharp kink is `E f² − Σ c_j²` (Parseval). That of a smoothed one falls as `x^k` and is
bounded by Cramér's inequality `|he_j(u)| e^{−u²/4} ≤ 1.0865`, which needs no difference of large
numbers.
References: Cho & Saul 2009; Abramowitz & Stegun 1964, 22.14.17 (Cramér's inequality).
"""

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxcompress.kernels.activations._terms import (
    SHARP,
    Kink,
    Term,
    derivative,
    simplified,
)
from jaxcompress.kernels.spectra._part import AbstractPart
from jaxcompress.special import normal_cdf, normal_pdf, sign_mean
from jaxcompress.special.internal import divide, precision

_CRAMER = 1.0865
# What rounding leaves of `E f² − Σ c_j²`, in units of the roundoff.
_ROUNDING = 8.0
_MOST_DEGREES = 4096


@functools.cache
def _central() -> np.ndarray:
    """`he_j(0)`, more of them than any series has degrees."""
    rows = [1.0, 0.0]
    for j in range(1, _MOST_DEGREES):
        rows.append(-math.sqrt(j / (j + 1)) * rows[j - 1])
    return np.array(rows)


class _Piece(NamedTuple):
    """A sharp kink under the smoothing: `power` of the rectified power, or `order ≥ 1` of the
    step's derivative, with a coefficient for every width.
    """

    kink: Kink
    power: int
    order: int
    coefficients: tuple[float, ...]


class _State(NamedTuple):
    """`e_j` around the degree that is next, latest first, `None` without means, where they are
    numbers; `x^k`; the lowest coefficients; what is left of `E f²`; `τ`, `x`, `e_0` and `μ/τ`.
    """

    window: Float[Array, "j widths n"] | None
    decay: Float[Array, "widths n"]
    lowest: Float[Array, "p n"]
    left: Float[Array, " n"]
    tau: Float[Array, "widths n"]
    ratio: Float[Array, "widths n"]
    density: Float[Array, "widths n"]
    height: Float[Array, "widths n"] | None


class Kinks(AbstractPart):
    """Terms that the same Gaussians smooth, as one sequence."""

    def __init__(self, terms: Sequence[Term]):
        self.terms, self.mixture = tuple(terms), terms[0].mixture
        self.pieces = _pieces(self.terms)
        self.ahead = max(0, *(piece.order for piece in self.pieces))
        self.behind = max(0, *(piece.power for piece in self.pieces if not piece.order), 0)

    def start(self, mean, std):
        far, central = precision(std.dtype).far, mean is None
        mean, std = (jnp.zeros_like(std) if central else mean)[None], std[None]
        widths = jnp.asarray(self.mixture.widths, std.dtype)[:, None]
        tau = jnp.sqrt(std * std + widths * widths)
        # without norm and mean a sharp kink is nowhere positive
        alive = (tau > 0) | (mean != 0)
        if central:
            height, one = None, jnp.where(alive, 1, 0).astype(tau.dtype)
            density, sign = one / math.sqrt(2 * math.pi), 0 * one
            levels = {Kink.STEP: 0.5 * one, Kink.SIGN: sign}
        else:
            height = jnp.where(tau > 0, divide(mean, tau), jnp.sign(mean) * far)
            height = jnp.clip(height, -far, far)
            density = jnp.where(alive, normal_pdf(height), 0)
            step = jnp.where(alive, normal_cdf(height), 0)
            levels = {Kink.STEP: step, Kink.SIGN: sign_mean(height)}
        left = jnp.zeros_like(std[0])
        if self.mixture.sharp:
            left = self._square(mean, tau, density, levels)[0]
        return _State(
            window=None if height is None else self._window(height, density),
            decay=jnp.ones_like(tau),
            lowest=self._lowest(mean, tau, divide(std, tau), density, levels),
            left=left,
            tau=tau,
            ratio=divide(std, tau),
            density=density,
            height=height,
        )

    def _window(self, height: Array, density: Array) -> Float[Array, "j widths n"]:
        """`e_{S−1}, …, e_0` for the highest order `S`, and zeros for those of negative degree."""
        before, now = jnp.zeros_like(density), density
        known = [density] * bool(self.ahead)
        for j in range(1, self.ahead):
            before, now = now, (-height * now - math.sqrt(j - 1) * before) / math.sqrt(j)
            known.insert(0, now)
        zeros = [jnp.zeros_like(density)] * max(2, self.behind + 1 + bool(self.ahead))
        return jnp.stack(known + zeros)

    def step(self, state, k):
        c = jnp.sum(state.decay * self._sequence(state, k), 0)
        c += jnp.take(state.lowest, k, axis=0, mode="fill", fill_value=0)
        later = state._replace(decay=state.decay * state.ratio, left=state.left - c * c)
        if state.window is None:
            return later, c
        j = (k + self.ahead).astype(state.tau.dtype)  # the degree of the next e
        e = -state.height * state.window[0] - jnp.sqrt(jnp.maximum(j - 1, 0)) * state.window[1]
        e = e / jnp.sqrt(jnp.maximum(j, 1))
        e = e if self.ahead else jnp.where(k == 0, state.density, e)
        return later._replace(window=jnp.concatenate([e[None], state.window[:-1]])), c

    def rest(self, state, k):
        if self.mixture.sharp:
            return jnp.sqrt(jnp.maximum(state.left, 0))
        dtype = state.tau.dtype
        widths = jnp.asarray(self.mixture.widths, dtype)[:, None]
        size = state.decay * (_CRAMER / math.sqrt(2 * math.pi))
        if state.height is not None:
            size *= jnp.exp(-0.25 * state.height**2)
        out = jnp.zeros_like(state.left)
        for piece in self.pieces:
            shares = jnp.abs(self._coefficients(piece, dtype)) * piece.kink.value
            out += jnp.sum(shares * size * _decline(piece, state.tau, widths, k.astype(dtype)), 0)
        return out

    def _sequence(self, at: _State, degree: Array) -> Array:
        """The coefficients of one degree at every width, without those that `lowest` has."""
        out, k = jnp.zeros_like(at.tau), degree.astype(at.tau.dtype)
        for piece in self.pieces:
            factor = self._coefficients(piece, at.tau.dtype) * piece.kink.value
            p, s = piece.power, piece.order
            if s:
                root = math.prod([k + i for i in range(1, s)], start=jnp.ones_like(k))
                entry = self._entry(at, degree, s - 1)
                out += factor * jnp.sqrt(root) * divide(entry, at.tau**s)
            else:
                below = math.prod([k - i for i in range(p + 1)], start=jnp.ones_like(k))
                root = jnp.where(k > p, math.factorial(p) / jnp.sqrt(jnp.maximum(below, 1)), 0)
                out += factor * (root * self._entry(at, degree, -p - 1)) * at.tau**p
        return out

    def _entry(self, at: _State, degree: Array, beyond: int) -> Array:
        """`e_j` for the degree `j = k + beyond`."""
        if at.window is not None:
            return at.window[self.ahead - 1 - beyond]
        j = degree + beyond
        number = jnp.take(jnp.asarray(_central(), at.tau.dtype), jnp.maximum(j, 0))
        return jnp.where(j < 0, 0, number) * at.density

    def _coefficients(self, piece: _Piece, dtype) -> Array:
        return jnp.asarray(piece.coefficients, dtype)[:, None]

    def _lowest(self, mean, tau, x, density, levels) -> Float[Array, "p n"]:
        """The coefficients up to degree `p` of rectified powers: `x^k τ^k p!/(p−k)! E[y^{p−k}
        K]/√k!`.
        """
        rows = []
        for k in range(self.behind + 1):
            row = jnp.zeros_like(tau)
            for piece in self.pieces:
                if piece.order or piece.power < k:
                    continue
                size = math.perm(piece.power, k) / math.sqrt(math.factorial(k))
                moment = _cut_moment(piece.kink, mean, piece.power - k, tau, density, levels)
                row += self._coefficients(piece, tau.dtype) * size * (x * tau) ** k * moment
            rows.append(jnp.sum(row, 0))
        return jnp.stack(rows)

    def _square(self, mean, tau, density, levels) -> Float[Array, "1 n"]:
        """`E f²` of sharp kinks, with what rounding may have taken of it."""
        out = jnp.zeros_like(tau)
        floor = _ROUNDING * jnp.finfo(tau.dtype).eps
        for p in self.terms:
            for q in self.terms:
                coefficient = complex(p.coefficient).real * complex(q.coefficient).real
                power, step = p.power + q.power, not (p.kink is q.kink is Kink.SIGN)
                level = levels[Kink.STEP] if step else jnp.ones_like(tau)
                known = power, tau, density * step, {Kink.STEP: level}
                out += coefficient * _cut_moment(Kink.STEP, mean, *known)
                out += abs(coefficient) * floor * _cut_moment(Kink.STEP, jnp.abs(mean), *known)
        return out


def _cut_moment(kink, mean, power, tau, density, levels) -> Array:
    """`E[Y^q K(Y)]` by `E Y^q K = μ E Y^{q−1} K + (q−1) τ² E Y^{q−2} K`, with an edge for `q =
    1`."""
    before, now = jnp.zeros_like(tau), levels[kink]
    for q in range(1, power + 1):
        edge = kink.value * tau * density if q == 1 else (q - 1) * tau * tau * before
        before, now = now, mean * now + edge
    return now


def _decline(piece: _Piece, tau: Array, widths: Array, k: Array) -> Array:
    """`√(Σ_{j ≥ k} x^{2j} w_j²)/x^k` for the weights of a piece beside its `e_j`."""
    tail = tau / widths  # 1/√(1 − x²)
    p, s = piece.power, piece.order
    if not s:
        below = math.prod([k - i for i in range(p + 1)], start=jnp.ones_like(k))
        fine = jnp.where(k > p, jnp.sqrt(jnp.maximum(below, 1)) / math.factorial(p), 0)
        return jnp.where(fine > 0, tau**p * tail / jnp.where(fine > 0, fine, 1), jnp.inf)
    if s == 1:
        return tail / tau
    grown = k + (s - 1)
    ratio = (1 - (widths / tau) ** 2) * (1 + 1 / grown) ** (s - 1)
    sums = jnp.where(ratio < 1, 1 / (1 - jnp.minimum(ratio, 0.999999)), jnp.inf)
    return jnp.sqrt(grown ** (s - 1) * sums) / tau**s


def _pieces(terms: Sequence[Term]) -> tuple[_Piece, ...]:
    """Terms as smoothed sharp kinks: `x g_ν = (y g)_ν − ν² (g′)_ν`, once for every power."""
    sums: dict[tuple[Kink, int, int], np.ndarray] = {}
    sizes: dict[tuple[Kink, int, int], np.ndarray] = {}
    for term in terms:
        shares, widths = (np.asarray(part) for part in term.mixture)
        for sharp, squares in _under_smoothing(term):
            assert sharp.kink is not None  # the terms are kinks
            shape = (sharp.kink, sharp.power, sharp.order)
            row = complex(sharp.coefficient).real * shares * widths ** (2 * squares)
            sums[shape] = sums.get(shape, 0.0) + row
            sizes[shape] = sizes.get(shape, 0.0) + np.abs(row)
    # what cancels but for rounding, as in softplus, is nothing
    return tuple(
        _Piece(*shape, coefficients=tuple(row.tolist()))
        for shape, row in sums.items()
        if np.any(np.abs(row) > 1e-14 * sizes[shape])
    )


def _under_smoothing(term: Term) -> list[tuple[Term, int]]:
    """A term's sharp kinks, each with the power of `ν²` that goes with it."""
    parts = [(term._replace(power=0, mixture=SHARP), 0)]
    for _ in range(term.power):
        raised: list[tuple[Term, int]] = []
        for part, squares in parts:
            raised += [(t, squares) for t in simplified([part._replace(power=part.power + 1)])]
            slopes = derivative((part._replace(coefficient=-part.coefficient),))
            raised += [(t, squares + 1) for t in slopes]
        parts = raised
    return parts
