"""The feasible set: weights in a ball about the start, readouts of given signs, away from zero,
close in their pairs.

`‖W − W0‖_F ≤ ε`; with signs `s (h,)` or `(h, o)`, `a = s·v_j`, `b = −s·v_{j+h}`: `a, b ≥ κ` and `|a
− b| ≤ ζ`. The set is a product of the ball and of one polygon a pair, so every block is projected
by itself.
"""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxcompress._internal.checks import check_finite, is_concrete
from jaxcompress.networks import TwoLayer


class FeasibleSet(eqx.Module):
    """A closed convex set of networks. Build with `FeasibleSet.of(start, radius, floor, gap)`.

    `center` is `W0`; `signs` are those of the upper half of the readout, `None` where they are
    free; `radius` is `ε`, `floor` is `κ`, `gap` is `ζ`, all traced. With a leading axis on the
    start every array has it: map over it.
    """

    center: Float[Array, "*runs m d"]
    signs: Float[Array, "*runs h"] | Float[Array, "*runs h o"] | None
    radius: Float[Array, "*runs"]
    floor: Float[Array, "*runs"]
    gap: Float[Array, "*runs"]

    @classmethod
    def of(
        cls,
        start: TwoLayer,
        radius: float | Array = jnp.inf,
        floor: float | Array = 0.0,
        gap: float | Array = jnp.inf,
        *,
        free_signs: bool = False,
    ) -> "FeasibleSet":
        """The set about a start, with the signs of its readout's upper half.

        Arguments: `start`, of even width and without biases; `radius > 0`, `floor ≥ 0` and `gap ≥
        0`; `free_signs` (static) lets readouts change sign, which needs `floor` 0. The defaults
        with free signs constrain nothing.
        Raises `ValueError` for anything else, for NaN, and for a radius that the dtype cannot tell
        from zero beside `‖W0‖` (below `64 ε ‖W0‖`). A start outside is not refused: `project` takes
        it in.
        """
        m, axis = start.width, start.weights.ndim - 2
        if m % 2:
            raise ValueError(
                f"FeasibleSet: given {m} neurons; expected an even number, in mirrored pairs; add "
                "one"
            )
        if start.bias is not None or start.output_bias is not None:
            raise ValueError(
                "FeasibleSet: given a start with biases; expected none; append a constant input "
                "instead"
            )
        check_finite("FeasibleSet", **start.parameters())
        _check_numbers(radius, floor, gap, free_signs)
        _check_resolved(start.weights, radius)
        runs, dtype = start.weights.shape[:axis], start.weights.dtype
        numbers = [
            jnp.broadcast_to(jnp.asarray(number, dtype), runs) for number in (radius, floor, gap)
        ]
        upper = jnp.take(start.readout, jnp.arange(m // 2), axis=axis)
        signs = None if free_signs else jnp.where(upper < 0, -1, 1).astype(dtype)
        return cls(start.weights, signs, *numbers)

    def pairs(self, readout: Array) -> tuple[Array, Array]:
        """`a` and `b` of every pair."""
        h = readout.shape[0] // 2
        signs = 1 if self.signs is None else self.signs
        return signs * readout[:h], -signs * readout[h:]

    def least(self) -> Array:
        """`κ`, or minus infinity where signs are free."""
        return jnp.full_like(self.floor, -jnp.inf) if self.signs is None else self.floor

    def project(self, network: TwoLayer) -> TwoLayer:
        """The nearest network of the set, in the Euclidean norm of the parameters.

        What is inside to rounding, `4ε (radius + ‖W0‖)`, is returned as it is, bit by bit. For one
        network: use `jax.vmap` for leading axes.
        Raises `ValueError` when the shapes are not those of the start, and for NaN.
        """
        self.check(network)
        weights = self._into_ball(network.weights, self.radius)
        readout = self._into_pairs(network.readout, self.least(), self.gap)
        return TwoLayer(weights, readout, activation=network.activation)

    def _into_ball(self, weights: Array, radius: Array) -> Array:
        out = weights - self.center
        size = length(out)
        # what rounding may have left outside when W0 and a step were added is inside: a projected
        # point stays as it is
        slack = 4 * jnp.finfo(size.dtype).eps * (radius + length(self.center))
        inside = size <= radius + slack
        shrink = jnp.where(inside, 1, radius) / jnp.where(inside, 1, size)
        return jnp.where(inside, weights, self.center + shrink * out)

    def _into_pairs(self, readout: Array, least: Array, gap: Array) -> Array:
        a, b = self.pairs(readout)
        a1, b1 = jnp.maximum(a, least), jnp.maximum(b, least)
        near = jnp.abs(a1 - b1) <= gap + 4 * jnp.finfo(a.dtype).eps * jnp.maximum(
            jnp.abs(a1), jnp.abs(b1)
        )
        width = jnp.where(jnp.isfinite(gap), gap, 0)  # an infinite gap is never exceeded
        # (a + b)/2 or κ + ζ/2 in the middle; the lower end is κ exactly where it is κ
        low = jnp.maximum((a / 2 + b / 2) - width / 2, least)
        high = low + width
        a2, b2 = (
            jnp.where(near, a1, jnp.where(a >= b, high, low)),
            jnp.where(near, b1, jnp.where(a >= b, low, high)),
        )
        signs = 1 if self.signs is None else self.signs
        return jnp.concatenate([signs * a2, -signs * b2])

    def scaled(
        self, network: TwoLayer, by_weights: Array, by_readout: Array
    ) -> tuple[Array, Array]:
        """What is left of `θ − P(θ − ∇)` by block in the variables `(W − W0)/ε`, `εv`."""
        r = self.radius
        weights = network.weights - self._into_ball(network.weights - r * r * by_weights, r)
        readout = network.readout - self._into_pairs(
            network.readout - by_readout / (r * r), self.least(), self.gap
        )
        return weights / r, readout * r

    def violation(self, network: TwoLayer) -> Float[Array, ""]:
        """By how much the worst constraint is exceeded, zero inside: each as the length that its
        own variables lack.
        """
        self.check(network)
        a, b = self.pairs(network.readout)
        least, out = self.least(), network.weights - self.center
        parts = [
            length(out) - self.radius,
            jnp.max(least - jnp.minimum(a, b)),
            jnp.max(jnp.abs(a - b)) - self.gap,
        ]
        return jnp.maximum(jnp.max(jnp.stack(parts)), 0)

    def contains(
        self, network: TwoLayer, tolerance: float | Array | None = None
    ) -> Bool[Array, ""]:
        """Whether the violation is at most `tolerance`; left out, their rounding, 16 `ε` of their
        norm.
        """
        if tolerance is None:
            sizes = [jnp.max(jnp.abs(leaf)) for leaf in (network.weights, network.readout)]
            size = jnp.sqrt(1.0 * network.weights.size) * jnp.maximum(*sizes)
            tolerance = 16 * jnp.finfo(size.dtype).eps * size
        return self.violation(network) <= tolerance

    def check(self, network: TwoLayer) -> None:
        """Raise `ValueError` unless a network has the shapes of the start, and finite numbers."""
        h = network.width // 2
        signs = (
            network.readout.shape
            if self.signs is None
            else (2 * self.signs.shape[0], *self.signs.shape[1:])
        )
        if network.weights.shape != self.center.shape or network.readout.shape != signs or h == 0:
            raise ValueError(
                f"FeasibleSet: given weights {network.weights.shape} and readout "
                f"{network.readout.shape}; expected {self.center.shape} and {signs}, those of the "
                "start; use jax.vmap for leading axes"
            )
        if network.bias is not None or network.output_bias is not None:
            raise ValueError(
                "FeasibleSet: given a network with biases; expected none; append a constant input "
                "instead"
            )
        check_finite("FeasibleSet: network", **network.parameters())


def length(x: Array) -> Float[Array, ""]:
    """The Euclidean norm, of numbers whose squares would overflow too."""
    largest = jnp.max(jnp.abs(x))
    unit = jnp.where(largest > 0, largest, 1)
    return unit * jnp.sqrt(jnp.sum((x / unit) ** 2))


def _check_numbers(radius, floor, gap, free_signs: bool) -> None:
    # what is under a trace is taken at its word
    radii, floors, gaps = (
        np.asarray(x if is_concrete(x) else 1.0, float) for x in (radius, floor, gap)
    )
    # false for NaN
    fits = np.all(radii > 0) and np.all((floors >= 0) & np.isfinite(floors)) and np.all(gaps >= 0)
    if not fits or (free_signs and is_concrete(floor) and np.any(floors != 0)):
        radius, floor, gap = (
            np.asarray(x).tolist() if is_concrete(x) else "traced" for x in (radius, floor, gap)
        )
        raise ValueError(
            f"FeasibleSet: given radius={radius}, floor={floor}, gap={gap}, "
            f"free_signs={free_signs}; expected radius > 0, finite floor ≥ 0, gap ≥ 0, and floor 0 "
            "where signs are free; infinity turns radius and gap off"
        )


def _check_resolved(center: Array, radius) -> None:
    if not is_concrete(center) or not is_concrete(radius):
        return
    sizes = np.sqrt(np.sum(np.asarray(center, float) ** 2, axis=(-2, -1)))
    # the slack of `project` is then a sixteenth of the radius
    least = 64 * float(jnp.finfo(center.dtype).eps) * sizes
    if np.any(np.asarray(radius, float) < least):
        raise ValueError(
            f"FeasibleSet: given radius={np.asarray(radius).tolist()} about {center.dtype} weights "
            f"of norm up to {sizes.max():.3g}; expected at least {least.max():.1g}, for rounding "
            "moves them by as much; use float64"
        )
