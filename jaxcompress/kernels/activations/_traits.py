"""What is known of an activation as a function: homogeneous, odd or even, kinked, polynomial, with
bounded derivatives.

Closed forms answer from their terms: exactly, and without evaluating anything, so that what a
solver asks while it is traced costs nothing. Functions without closed forms are evaluated, once
each, at points that are stated below.
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxcompress.kernels.activations._activation import (
    AbstractActivation,
    second_derivative,
    summands_of,
)
from jaxcompress.kernels.activations._search import jumps, largest
from jaxcompress.kernels.activations._terms import Kink, Term, Terms

# Values, and coefficients of equal terms, that agree to this many ulp of their size are equal.
_ROUNDING = 64


class Traits(NamedTuple):
    """How an activation `φ` answers to a change of scale and of sign.

    `degree`: `φ(λz) = λ^degree φ(z)` for `λ > 0`, `None` for other functions, 0 for the function
    zero. `parity`: −1 for `φ = constant + odd`, 1 for `φ = slope·z + even`, 0 for other functions;
    affine ones count as odd. `vanishes`: whether `φ(0) = 0`, so that a neuron without weights is
    none. `polynomial`: whether it is one by its closed form.
    """

    degree: float | None
    parity: int
    constant: float
    slope: float
    vanishes: bool
    polynomial: bool


@functools.lru_cache(maxsize=256)
def traits(f: AbstractActivation) -> Traits:
    """The traits of an activation, by its terms where it has a closed form, else by its values.

    Values are taken at zero and at 97 points on either side, from 1/8 to 4. A function that breaks
    a symmetry nowhere near these points, or by less than `64 ε` of its values, counts as symmetric.
    """
    return _by_values(f) if f.terms is None else _by_terms(f.terms)


def has_closed_form(f: AbstractActivation) -> bool:
    """Whether the kernels of a function are exact at every norm; by quadrature they are not."""
    return f.terms is not None


@functools.lru_cache(maxsize=256)
def kink_order(f: AbstractActivation) -> int | None:
    """The lowest derivative that jumps, as the closed form says: 0 for step, 1 for ReLU, `None` for
    smooth functions.

    Functions without closed forms are taken for smooth, as `elementwise` asks them to be; `kinked`
    looks for itself. Terms that jump and cancel each other count as well.
    """
    if f.terms is not None:
        parts = [term.power for term in f.terms if term.kink is not None and term.mixture.sharp]
        return min(parts, default=None)
    summands = [part for _, part in summands_of(f) if part.terms is not None]
    return min(
        (order for part in summands if (order := kink_order(part)) is not None), default=None
    )


@functools.lru_cache(maxsize=256)
def kinked(f: AbstractActivation) -> bool:
    """Whether the function or its derivative jumps; without a closed form that is searched for, by
    halving every step of a grid where it changes most.
    """
    stated = kink_order(f)
    if stated is not None and stated <= 1:
        return True
    if has_closed_form(f):
        return False
    with jax.ensure_compile_time_eval():
        return jumps(f) or jumps(f.derivative)


@functools.lru_cache(maxsize=128)
def derivative_bounds(f: AbstractActivation) -> tuple[float, float]:
    """`sup|σ′|` and `sup|σ″|`, infinite where they have none: ReLU and its kin, powers,
    exponentials.

    Found by search on `|z| ≤ 30`, to 1e-9 of their size.
    Where it fails: functions without closed forms that grow, or turn, only beyond |z| = 30 or
    within 1e-2, or whose derivative jumps by less than a thousandth of its largest value.
    """
    with jax.ensure_compile_time_eval():
        broken = kink_order(f) == 0 or (not has_closed_form(f) and jumps(f))
        width = _narrowest(f)
        first = np.inf if broken else largest(f.derivative, width)
        if kinked(f):
            return first, np.inf
        return first, largest(lambda z: second_derivative(f, z), width)


# By terms. Kinks are written by the sign alone, `step = ½ + ½ sign`, and complex rates by the one
# of positive imaginary part, so that equal functions have one form: a table from the shapes of
# terms to their coefficients.

_CONSTANT, _LINEAR = Term(1.0).shape, Term(1.0, power=1).shape


def _by_terms(terms: Terms) -> Traits:
    table, sizes = _written_by_signs(terms)
    turned = {
        shape: value * _turned_sign(Term(1.0, *shape))
        for shape, value in _written_by_signs(_turned_rates(terms))[0].items()
    }
    even, odd = (
        {
            shape: value
            for shape in table | turned
            if abs(value := table.get(shape, 0) + sign * turned.get(shape, 0))
            > _ROUNDING * np.finfo(float).eps * sizes.get(shape, 0)
        }
        for sign in (1, -1)
    )
    constant, slope = even.pop(_CONSTANT, 0.0) / 2, odd.pop(_LINEAR, 0.0) / 2
    shared = Traits(_degree(terms), 0, 0.0, 0.0, _vanishes(terms), _is_polynomial(terms))
    if not even:
        return shared._replace(parity=-1, constant=float(constant.real))
    if not odd:
        return shared._replace(parity=1, slope=float(slope.real))
    return shared


def _written_by_signs(terms: Terms) -> tuple[dict[tuple, complex], dict[tuple, float]]:
    """The table of a function, and the sums of absolute coefficients behind each entry."""
    table: dict[tuple, complex] = {}
    sizes: dict[tuple, float] = {}
    for given in terms:
        for term in _by_sign(_upper(given)):
            table[term.shape] = table.get(term.shape, 0) + term.coefficient
            sizes[term.shape] = sizes.get(term.shape, 0.0) + abs(term.coefficient)
    return table, sizes


def _upper(term: Term) -> Term:
    """The same real part with a rate of positive imaginary part, or a real coefficient."""
    rate, coefficient = complex(term.rate), complex(term.coefficient)
    if rate.imag < 0:
        rate, coefficient = rate.conjugate(), coefficient.conjugate()
    if rate.imag == 0:
        coefficient = complex(coefficient.real)
    if term.kink is None:
        return Term(coefficient, term.power, rate + 0)
    return term._replace(coefficient=coefficient, rate=rate + 0)


def _by_sign(term: Term) -> list[Term]:
    if term.kink is not Kink.STEP:
        return [term]
    half = 0.5 * term.coefficient
    by_sign = term._replace(coefficient=half, kink=Kink.SIGN)
    if term.order:
        return [by_sign]
    mass = math.fsum(term.mixture.shares)
    return [by_sign, Term(half * mass, term.power, term.rate)]


def _turned_rates(terms: Terms) -> Terms:
    return tuple(term._replace(rate=-term.rate) for term in terms)


def _turned_sign(term: Term) -> int:
    """The factor of `x^p K⁽ʲ⁾` under `x ↦ −x`, where `K` is one or the smoothed sign."""
    return (-1) ** (term.power + (term.order + 1 if term.kink is not None else 0))


def _degree(terms: Terms) -> int | None:
    """The power that all terms have, where none has a scale of its own."""
    scaled = any(
        term.rate or (term.kink is not None and (term.order or not term.mixture.sharp))
        for term in terms
    )
    powers = {term.power for term in terms} or {0}
    return None if scaled or len(powers) > 1 else powers.pop()


def _is_polynomial(terms: Terms) -> bool:
    return all(term.smooth and not term.rate for term in terms)


def _vanishes(terms: Terms) -> bool:
    values = [_at_zero(term) for term in terms if term.power == 0]
    rounding = _ROUNDING * np.finfo(float).eps * math.fsum(map(abs, values))
    return bool(abs(math.fsum(values)) <= rounding)


def _at_zero(term: Term) -> float:
    """A term without a power at zero; sharp steps are zero there."""
    coefficient = complex(term.coefficient).real
    if term.kink is None:
        return coefficient
    if term.order == 0:
        smooth = term.kink is Kink.STEP and not term.mixture.sharp
        return 0.5 * coefficient * math.fsum(term.mixture.shares) if smooth else 0.0
    if term.mixture.sharp:
        return math.inf
    before, hermite = 0.0, 1.0  # He_{order − 1}(0)
    for i in range(term.order - 1):
        before, hermite = hermite, -i * before
    density = hermite * term.kink.value / math.sqrt(2 * math.pi)
    parts = zip(term.mixture.shares, term.mixture.widths, strict=True)
    return coefficient * density * math.fsum(share / width**term.order for share, width in parts)


# By values.


def _by_values(f: AbstractActivation) -> Traits:
    with jax.ensure_compile_time_eval():
        # no two of them are commensurable, so that no period hides; the 40th power of 4 is still a
        # float32
        points = jnp.exp2(jnp.linspace(-3.0, 2.0, 97) + 0.01 * jnp.sin(jnp.arange(97.0)))
        above, below = (np.asarray(f(sign * points), float) for sign in (1, -1))
        small = [np.asarray(f(sign * points / 2), float) for sign in (1, -1)]
        z, tolerance = np.asarray(points, float), _ROUNDING * float(jnp.finfo(points.dtype).eps)
        vanishes = float(f(jnp.zeros(()))) == 0
    size = np.abs(above) + np.abs(below)

    def vanish(values: np.ndarray) -> bool:
        return bool(np.all(np.abs(values) <= tolerance * size))

    degree = _degree_of_values(np.concatenate(small), np.concatenate([above, below]), tolerance)
    shared = Traits(degree, 0, 0.0, 0.0, vanishes, False)
    constant, slope = float(above[0] + below[0]) / 2, float((above[-1] - below[-1]) / (2 * z[-1]))
    if vanish(above + below - 2 * constant):
        return shared._replace(parity=-1, constant=0.0 if vanish(above + below) else constant)
    if vanish(above - below - 2 * slope * z):
        return shared._replace(parity=1, slope=0.0 if vanish(above - below) else slope)
    return shared


def _degree_of_values(half: np.ndarray, whole: np.ndarray, tolerance: float) -> float | None:
    """The `p ≥ 0` with `f(z) = 2^p f(z/2)` at all points; whole numbers as such."""
    largest = np.argmax(np.abs(whole))
    if whole[largest] == 0:
        return 0
    if not np.all(np.isfinite(whole)) or half[largest] == 0:
        return None
    p = round(math.log2(abs(whole[largest] / half[largest])), 6)
    same = np.all(np.abs(whole - half * 2.0**p) <= tolerance * np.abs(whole))
    return (int(p) if p == int(p) else p) if same and p >= 0 else None


def _narrowest(f: AbstractActivation) -> float:
    """The least width of what is smoothed, one where nothing is."""
    return min(
        (width for term in f.terms or () if term.kink for width in term.mixture.widths if width),
        default=1.0,
    )
