"""What a student meets: other neurons, or a polynomial. All arrays may carry one trailing axis of
runs.

Letters: student weights `w`, readout `a`; of a polynomial the constant `C`, the linear part `T`,
the quadratic `Q`, and `M_p = E f⁽ᵖ⁾(w·x)`, with `∂M_p/∂w = M_{p+2} w` (Price).
"""

import abc
import math
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxcompress.kernels import AbstractActivation
from jaxcompress.kernels.internal import centred, centred_means
from jaxcompress.networks import TwoLayer
from jaxcompress.risk._centred_pairs import across, apply, formulas, mixed, pairs, summed, table


class Cross(NamedTuple):
    """`E f_j y` for each output `y` of the target; the gradient of `Σ_jo a_jo E f_j y_o` by the
    weights; the sum of the sizes of its terms."""

    wanted: Float[Array, "n o *runs"]
    by_weights: Float[Array, "n d *runs"]
    size: Float[Array, "*runs"]


class CrossSecond(NamedTuple):
    """`Σ_o a_jo E[f″ y_o xxᵀ]` and `E[f′ y_o x]` for every neuron."""

    bend: Float[Array, "n d d *runs"]
    residual: Float[Array, "n d o *runs"]


class AbstractCentredTarget(eqx.Module):
    """A target in the form of the short formulas, its second moment and its magnitude `(*runs)`."""

    second_moment: eqx.AbstractVar[Float[Array, "*runs"]]
    magnitude: eqx.AbstractVar[Float[Array, "*runs"]]

    def short_form(self) -> "AbstractCentredTarget":
        """Itself: it has that form already."""
        return self

    @abc.abstractmethod
    def serves(self, f: AbstractActivation) -> bool:
        """Whether students of this activation have short formulas against it."""

    @abc.abstractmethod
    def cross(
        self,
        f: AbstractActivation,
        weights: Float[Array, "n d *runs"],
        readout: Float[Array, "n o *runs"],
        exact: Bool[Array, ""] | None = None,
    ) -> Cross:
        """The product with a student, and its gradient; `exact` as in `kernels.zero_mean`."""

    @abc.abstractmethod
    def cross_second(
        self,
        f: AbstractActivation,
        weights: Float[Array, "n d *runs"],
        readout: Float[Array, "n o *runs"],
        exact: Bool[Array, ""] | None = None,
    ) -> CrossSecond:
        """What the Hessian of the product is made of."""

    @abc.abstractmethod
    def directions(self) -> Float[Array, "m d *runs"]:
        """Directions in which a neuron may gain."""

    @abc.abstractmethod
    def pull(self) -> Float[Array, " o *runs"]:
        """For ReLU: a bound of the curvature, by a direction, of its product with each output, and
        of its slope.
        """


class CentredTarget(AbstractCentredTarget):
    """Neurons: weights `(k, d, *runs)`, readout `(k, o, *runs)`."""

    weights: Float[Array, "k d *runs"]
    readout: Float[Array, "k o *runs"]
    second_moment: Float[Array, "*runs"]
    magnitude: Float[Array, "*runs"]
    activation: AbstractActivation = eqx.field(static=True)

    @classmethod
    def of(cls, target: TwoLayer) -> "CentredTarget":
        """A network without biases, measured by the short formulas that its students are measured
        by.
        """
        readout = target.readout_matrix
        pair = pairs(target.weights, None)
        value = formulas(target.activation, target.activation).first(pair.s, pair.t, pair.q).value
        size = jnp.abs(readout)
        return cls(
            weights=target.weights,
            readout=readout,
            second_moment=jnp.sum(readout * apply(value, readout)),
            magnitude=jnp.sum(size * apply(jnp.abs(value), size)),
            activation=target.activation,
        )

    def serves(self, f):
        return centred(f, self.activation) is not None  # which is `f`, or there is none

    def cross(self, f, weights, readout, exact=None):
        pair = pairs(weights, self.weights)
        first = formulas(f, self.activation).first(pair.s, pair.t, pair.q, exact)
        b = table(readout, self.readout)
        by_weights = jnp.sum(b * first.own, 1)[:, None] * weights + apply(
            b * first.other, self.weights
        )
        size = jnp.sum(
            table(jnp.abs(readout), jnp.abs(self.readout)) * jnp.abs(first.value), (0, 1)
        )
        return Cross(apply(first.value, self.readout), by_weights, size)

    def cross_second(self, f, weights, readout, exact=None):
        pair, b = pairs(weights, self.weights), table(readout, self.readout)
        p = across(pair, weights, self.weights, f)
        known = formulas(f, self.activation).both
        first, bend, _ = known(pair.s, pair.t, pair.q, jnp.sum(p * p, 2), exact)
        residual = apply(first.own, self.readout)[:, None] * weights[:, :, None]
        residual += mixed(first.other, self.readout, self.weights)
        return CrossSecond(summed(bend, b, p, weights), residual)

    def directions(self):
        return self.weights

    def pull(self):
        lengths = jnp.sqrt(jnp.sum(self.weights * self.weights, 1))
        return jnp.sum(jnp.abs(self.readout) * lengths[:, None], 0) / math.pi


class CentredPolynomial(AbstractCentredTarget):
    """Hermite orders: `constant (o, *runs)`, `linear (o, d, *runs)`, `quadratic (o, d, d, *runs)`
    or `None`.
    """

    constant: Float[Array, " o *runs"]
    linear: Float[Array, "o d *runs"]
    quadratic: Float[Array, "o d d *runs"] | None
    second_moment: Float[Array, "*runs"]
    magnitude: Float[Array, "*runs"]

    def serves(self, f):
        return centred(f, f) is not None and centred_means(f) is not None

    def _means(self, f: AbstractActivation, weights: Array) -> tuple[Array, ...]:
        """`M_p`, one a neuron, with an axis for the outputs."""
        known = centred_means(f)
        assert known is not None  # callers have asked `serves` before
        return known(jnp.sum(weights * weights, 1)[:, None])

    def _along(self, weights: Array) -> tuple[Array, Array, Array]:
        """`w·T`, `Q w` and `w·Q w` for every neuron and output."""
        tilt = table(weights, self.linear)
        if self.quadratic is None:
            return tilt, jnp.zeros_like(tilt[:, :, None]), jnp.zeros_like(tilt)
        turned = jnp.sum(self.quadratic[None] * weights[:, None, None], 3)
        return tilt, turned, jnp.sum(turned * weights[:, None], 2)

    def cross(self, f, weights, readout, exact=None):
        m0, m1, m2, m3, m4, *_ = self._means(f, weights)
        tilt, turned, form = self._along(weights)
        parts = m0 * self.constant[None], m1 * tilt, 0.5 * m2 * form
        size = jnp.sum(
            jnp.abs(readout) * (jnp.abs(parts[0]) + jnp.abs(parts[1]) + jnp.abs(parts[2])), (0, 1)
        )
        by_weights = jnp.sum(
            readout[:, :, None] * self._slopes(m1, m2, m3, m4, tilt, turned, form, weights), 1
        )
        return Cross(parts[0] + parts[1] + parts[2], by_weights, size)

    def _slopes(self, m1, m2, m3, m4, tilt, turned, form, weights) -> Float[Array, "n o d *runs"]:
        """`E[f′ y_o x]`."""
        along = m2 * self.constant[None] + m3 * tilt + 0.5 * m4 * form
        return (
            along[:, :, None] * weights[:, None]
            + m1[:, :, None] * self.linear[None]
            + m2[:, :, None] * turned
        )

    def cross_second(self, f, weights, readout, exact=None):
        _, m1, m2, m3, m4, m5, m6 = self._means(f, weights)
        tilt, turned, form = self._along(weights)
        residual = jnp.swapaxes(self._slopes(m1, m2, m3, m4, tilt, turned, form, weights), 1, 2)
        identity = jnp.sum(readout * (m2 * self.constant[None] + m3 * tilt + 0.5 * m4 * form), 1)
        square = jnp.sum(readout * (m4 * self.constant[None] + m5 * tilt + 0.5 * m6 * form), 1)
        mixed_sum = jnp.sum(
            readout[:, :, None] * (m3[:, :, None] * self.linear[None] + m4[:, :, None] * turned), 1
        )
        d = weights.shape[1]
        eye = jnp.eye(d, dtype=weights.dtype).reshape(1, d, d, *([1] * (weights.ndim - 2)))
        bend = (
            identity[:, None, None] * eye
            + square[:, None, None] * weights[:, :, None] * weights[:, None]
        )
        bend += mixed_sum[:, :, None] * weights[:, None] + weights[:, :, None] * mixed_sum[:, None]
        if self.quadratic is not None:
            bend += jnp.sum((readout * m2)[:, :, None, None] * self.quadratic[None], 1)
        return CrossSecond(bend, residual)

    def directions(self):
        if self.quadratic is None:
            return self.linear
        return jnp.concatenate([self.linear, self.quadratic.reshape(-1, *self.linear.shape[1:])])

    def pull(self):
        density = 1 / math.sqrt(2 * math.pi)
        out = density * jnp.abs(self.constant) + 0.5 * jnp.sqrt(
            jnp.sum(self.linear * self.linear, 1)
        )
        if self.quadratic is not None:
            out += 2 * density * jnp.sqrt(jnp.sum(self.quadratic * self.quadratic, (1, 2)))
        return out
