"""Tables of gated neurons where both activations have sharp kinks: moments in the pairs' planes.

The table is `M_00(U, V)` with `M_ij(L, L′, …) = E[φ⁽ⁱ⁾(G) ψ⁽ʲ⁾(H) L L′ ⋯]` for linear forms `L =
l·z + mean`. A change `dG = dg·z + dμ` of a gate is such a form too, so derivatives are `M_10(U, V,
dG)`, `M_01(U, V, dH)`, `M_00(dU, V)` and `M_00(U, dV)`, and the second ones the same again: with
two derivatives of the kinks and four forms in all they stay finite where gates coincide, as every
gate does with itself; the tables of derivatives, of which two kinks have infinite ones there, are
not needed.

A form has two coordinates in the plane of its pair (`_frames`) and a part at a right angle to it.
Given the plane, the parts of two forms are worth their inner product (Isserlis), and what is left
are polynomials in `z₁`, `z₂` against the two kinks.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Float

from jaxcompress.kernels.moments._closed import ClosedMoments
from jaxcompress.kernels.moments._frames import frames
from jaxcompress.kernels.moments._moments import Part
from jaxcompress.kernels.tables._correlations import product
from jaxcompress.kernels.tables._neurons import Neurons

# By the powers of `z₁` and `z₂`.
Polynomial = dict[tuple[int, int], Array]


class Form(NamedTuple):
    """A linear form for every neuron of the first family, or of the second."""

    weights: Float[Array, "m d"]
    mean: Float[Array, " m"] | None
    second: bool


class Slot(NamedTuple):
    """`M_ij` of these forms and one more, which is left open."""

    orders: tuple[int, int]
    forms: tuple[Form, ...]


class Opened(NamedTuple):
    """What the open form is multiplied by: its weights, and its mean."""

    vector: Float[Array, "n k d"]
    mean: Float[Array, "n k"]


class _Seen(NamedTuple):
    """A form in the plane of every pair."""

    form: Form
    along: Float[Array, "..."]
    across: Float[Array, "n k"]

    @property
    def linear(self) -> Polynomial:
        """Its coordinates and its mean."""
        out = {(1, 0): self.along, (0, 1): self.across}
        if self.form.mean is not None:
            out[0, 0] = _spread(self.form.mean, self.form.second)
        return out


class _Pairs:
    """All pairs of gates, measured once."""

    def __init__(self, f, g, x: Neurons, y: Neurons):
        self.at = frames(x.gates, x.gate_mean, y.gates, y.gate_mean)
        self.moments = ClosedMoments(f.terms, g.terms)
        self.shape = x.gates.shape[0], y.gates.shape[0]

    def value(self, slot: Slot) -> Float[Array, "n k"]:
        """`M_ij` of the forms, and of none that is open."""
        polynomial = self._product([self._see(form) for form in slot.forms])
        return self._expected(slot.orders, [polynomial])[0]

    def opened(self, slot: Slot) -> Opened:
        """`E[q z]` and `E[q]` for the product `q` of what a slot has."""
        seen = [self._see(form) for form in slot.forms]
        whole = self._product(seen)
        others = [self._product(seen[:i] + seen[i + 1 :]) for i in range(len(seen))]
        wanted = [whole, _shifted(whole, 1, 0), _shifted(whole, 0, 1), *others]
        mean, along, across, *each = self._expected(slot.orders, wanted)
        vector = jnp.zeros((*self.shape, self.at.along_x.shape[-1]), mean.dtype)
        for one, factor in zip(seen, each, strict=True):
            vector += factor[..., None] * _spread(one.form.weights, one.form.second)
            along -= factor * one.along
            across -= factor * one.across
        vector += along[..., None] * self.at.along_x + across[..., None] * self.at.across_x
        return Opened(vector, mean)

    def _see(self, form: Form) -> _Seen:
        rows = form.weights
        on_x, names = self.at.along_x[:, 0], "jd,ijd->ij" if form.second else "id,ijd->ij"
        along = product(on_x, rows.T) if form.second else jnp.sum(on_x * rows, 1)[:, None]
        return _Seen(form, along, jnp.einsum(names, rows, self.at.across_x))

    def _product(self, seen: Sequence[_Seen]) -> Polynomial:
        """The product of forms, given the plane."""
        if not seen:
            return {(0, 0): jnp.ones((1, 1), self.at.plane.cos.dtype)}
        first, *rest = seen
        out: Polynomial = {}
        for shift, factor in first.linear.items():
            _add(out, _shifted(self._product(rest), *shift), factor)
        for i, other in enumerate(rest):
            beside = _inner(first.form, other.form)
            beside = beside - first.along * other.along - first.across * other.across
            _add(out, self._product(rest[:i] + rest[i + 1 :]), beside)
        return out

    def _expected(self, orders, polynomials: Sequence[Polynomial]) -> list[Array]:
        """Polynomials against the derivatives of both activations."""
        powers = tuple(dict.fromkeys(power for each in polynomials for power in each))
        (moments,) = self.moments.expect(self.at.plane, (Part(orders, powers),))
        known = dict(zip(powers, moments, strict=True))
        zero = jnp.zeros(self.shape, self.at.plane.cos.dtype)
        return [
            sum((factor * known[power] for power, factor in each.items()), zero)
            for each in polynomials
        ]


def _add(out: Polynomial, more: Polynomial, factor: Array) -> None:
    for power, coefficient in more.items():
        part = factor * coefficient
        out[power] = out[power] + part if power in out else part


def _shifted(polynomial: Polynomial, a: int, b: int) -> Polynomial:
    return {(p + a, q + b): factor for (p, q), factor in polynomial.items()}


def _spread(rows: Array, second: bool) -> Array:
    """Numbers of one family over the table."""
    return rows[None] if second else rows[:, None]


def _inner(one: Form, other: Form) -> Float[Array, "..."]:
    """The inner products of their weights."""
    if one.second == other.second:
        return _spread(jnp.sum(one.weights * other.weights, 1), one.second)
    x, y = (other, one) if one.second else (one, other)
    return product(x.weights, y.weights.T)


def _factors(x: Neurons, y: Neurons) -> tuple[Form, ...]:
    """The factors beside both activations."""
    both = (x, False), (y, True)
    return tuple(Form(z.weights, z.mean, side) for z, side in both if z.weights is not None)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def table_of_kinks(f, g, x: Neurons, y: Neurons) -> Float[Array, "n k"]:
    """`E[φ(G_i) U_i ψ(H_j) V_j]`, differentiable twice."""
    return _Pairs(f, g, x, y).value(Slot((0, 0), _factors(x, y)))


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _with_gradient(f, g, x: Neurons, y: Neurons) -> tuple[Array, tuple[Opened, ...]]:
    """The table, and its derivatives by both gates and all factors."""
    pairs = _Pairs(f, g, x, y)
    value = pairs.value(Slot((0, 0), _factors(x, y)))
    return value, tuple(pairs.opened(slot) for slot in _slots(x, y))


def _slots(x: Neurons, y: Neurons) -> list[Slot]:
    """The derivatives by both gates and by each factor."""
    forms = _factors(x, y)
    by_factors = [Slot((0, 0), forms[:i] + forms[i + 1 :]) for i in range(len(forms))]
    return [Slot((1, 0), forms), Slot((0, 1), forms), *by_factors]


def _changes(x: Neurons, y: Neurons, dx: Neurons, dy: Neurons) -> list[Form | None]:
    """The tangents of what `_slots` differentiates by; `None` is zero."""
    gates = [
        _form(dx.gates, dx.gate_mean, x.gates, False),
        _form(dy.gates, dy.gate_mean, y.gates, True),
    ]
    both = (x, dx, False), (y, dy, True)
    return gates + [
        _form(dz.weights, dz.mean, z.weights, side) for z, dz, side in both if z.weights is not None
    ]


def _form(weights, mean, like: Array, second: bool) -> Form | None:
    weights, mean = (None if _is_zero(each) else each for each in (weights, mean))
    if weights is None and mean is None:
        return None
    return Form(jnp.zeros_like(like) if weights is None else weights, mean, second)


def _is_zero(tangent) -> bool:
    return tangent is None or isinstance(tangent, SymbolicZero)


def _along(opened: Sequence[Opened], changes: Sequence[Form | None], like: Array) -> Array:
    """The directional derivative of every entry."""
    out = jnp.zeros_like(like)
    for slot, change in zip(opened, changes, strict=True):
        if change is None:
            continue
        names = "ijd,jd->ij" if change.second else "ijd,id->ij"
        out += jnp.einsum(names, slot.vector, change.weights)
        if change.mean is not None:
            out += slot.mean * _spread(change.mean, change.second)
    return out


def _table_jvp(f, g, primals, tangents):
    value, gradient = _with_gradient(f, g, *primals)
    return value, _along(gradient, _changes(*primals, *tangents), value)


def _moved(slot: Slot, changes: Sequence[Form | None]) -> list[Slot]:
    """The derivative of a slot: by the gates it has a form more, by the factors other forms."""
    (i, j), (by_x, by_y, *by_forms) = slot.orders, changes
    out = []
    if by_x is not None:
        out.append(Slot((i + 1, j), (*slot.forms, by_x)))
    if by_y is not None:
        out.append(Slot((i, j + 1), (*slot.forms, by_y)))
    for form in by_forms:
        if form is None:
            continue
        at = [s for s, other in enumerate(slot.forms) if other.second == form.second]
        out += [Slot((i, j), (*slot.forms[:s], form, *slot.forms[s + 1 :])) for s in at]
    return out


def _gradient_jvp(f, g, primals, tangents):
    value, gradient = _with_gradient(f, g, *primals)
    changes = _changes(*primals, *tangents)
    pairs = _Pairs(f, g, *primals)
    moved = []
    for slot, known in zip(_slots(*primals), gradient, strict=True):
        each = [pairs.opened(one) for one in _moved(slot, changes)]
        zeros = jax.tree.map(jnp.zeros_like, known)
        moved.append(functools.reduce(lambda p, q: jax.tree.map(jnp.add, p, q), each, zeros))
    return (value, gradient), (_along(gradient, changes, value), tuple(moved))


table_of_kinks.defjvp(_table_jvp, symbolic_zeros=True)
_with_gradient.defjvp(_gradient_jvp, symbolic_zeros=True)
