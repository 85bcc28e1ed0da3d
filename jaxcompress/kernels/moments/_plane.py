"""The plane that two neurons span: all that a kernel needs to know of a pair.

Letters: pre-activations `X = μ_x + σ_x z₁` and `Y = μ_y + σ_y (cos z₁ + sin z₂)` with `z` a
standard normal of the plane. `z₁` runs along the first neuron, `z₂` across it, towards the second.
In the frame of the second neuron `Y = μ_y + σ_y y₁`, and `y₂` runs across it towards the first: `z₁
= cos y₁ + sin y₂`, `z₂ = sin y₁ − cos y₂`. A neuron of norm zero has no direction; it is given one
at a right angle (`cos = 0`), which is right for whatever is smooth there.
"""

import math
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcompress.special import normal_pdf, normal_tail, sign_mean
from jaxcompress.special.internal import (
    Sides,
    divide,
    from_tail,
    precision,
    sine_minus_arc_cosine,
    wedge_between,
)

# Heights over a vanishing sine are cut here: the normal density is zero and products stay finite.
_FARTHEST = 1e4


class Line(NamedTuple):
    """One kinked neuron by itself: its standardised mean `h`, `φ(h)`, `Φ(h)` (both zero for a dead
    one), `Φ(−|h|)`.
    """

    height: Float[Array, "..."]
    density: Float[Array, "..."]
    positive: Float[Array, "..."]
    tail: Float[Array, "..."]


class Wedge(NamedTuple):
    """The quadrant `X > 0, Y > 0` in units where both standard deviations are one.

    - `alpha`, `beta`: the heights of `special._normal`;
    - `both = P(X>0, Y>0)`; `signs = E[sign X sign Y]`; `step_sign = E[1(X>0) sign Y]`, `sign_step`
      likewise;
    - on the line `X = 0`: `above_x = Φ(β)`, `peak_x = φ(β)`, `tilt_x = E sign(β + Z)`;
    - `edge_x = φ(h)Φ(β)`: the density of `X = 0` with `Y > 0`, `edge_y` likewise;
    - `corner = φ(h)φ(β)`; `ramp = sin·corner + cos·both`.
    """

    alpha: Float[Array, "..."]
    beta: Float[Array, "..."]
    both: Float[Array, "..."]
    signs: Float[Array, "..."]
    step_sign: Float[Array, "..."]
    sign_step: Float[Array, "..."]
    above_x: Float[Array, "..."]
    above_y: Float[Array, "..."]
    tilt_x: Float[Array, "..."]
    tilt_y: Float[Array, "..."]
    peak_x: Float[Array, "..."]
    peak_y: Float[Array, "..."]
    edge_x: Float[Array, "..."]
    edge_y: Float[Array, "..."]
    corner: Float[Array, "..."]
    ramp: Float[Array, "..."]

    @property
    def swapped(self) -> "Wedge":
        """The same wedge with `X` and `Y` exchanged."""
        return self._replace(
            alpha=self.beta,
            beta=self.alpha,
            step_sign=self.sign_step,
            sign_step=self.step_sign,
            above_x=self.above_y,
            above_y=self.above_x,
            tilt_x=self.tilt_y,
            tilt_y=self.tilt_x,
            peak_x=self.peak_y,
            peak_y=self.peak_x,
            edge_x=self.edge_y,
            edge_y=self.edge_x,
        )


class Plane(NamedTuple):
    """Means (`None`: exactly zero), standard deviations, the angle in four numbers, and the atoms
    made of them.

    `cos`, `sin`, `angle` and `supplement = π − angle` are redundant, and each keeps full relative
    precision where another loses it. `x`, `y` and `wedge` are what kinked functions need; formulas
    that do not use them leave them to be eliminated by the compiler. All arrays broadcast against
    each other.
    """

    mean_x: Float[Array, "..."] | None
    mean_y: Float[Array, "..."] | None
    std_x: Float[Array, "..."]
    std_y: Float[Array, "..."]
    cos: Float[Array, "..."]
    sin: Float[Array, "..."]
    angle: Float[Array, "..."]
    supplement: Float[Array, "..."]
    x: Line
    y: Line
    wedge: Wedge

    @property
    def swapped(self) -> "Plane":
        """The same pair with `X` and `Y` exchanged."""
        return self._replace(
            mean_x=self.mean_y,
            mean_y=self.mean_x,
            std_x=self.std_y,
            std_y=self.std_x,
            x=self.y,
            y=self.x,
            wedge=self.wedge.swapped,
        )

    @property
    def known_mean_x(self) -> Float[Array, "..."]:
        """The mean of `X`, a number also where it is `None`."""
        return jnp.zeros((), self.std_x.dtype) if self.mean_x is None else self.mean_x

    @property
    def known_mean_y(self) -> Float[Array, "..."]:
        """The mean of `Y`, a number also where it is `None`."""
        return self.swapped.known_mean_x

    @property
    def rest_y(self) -> Float[Array, "..."]:
        """The mean of `Y` on the line `X = 0`: `μ_y − σ_y h cos`."""
        if self.mean_x is None and self.mean_y is None:
            return jnp.zeros((), self.std_y.dtype)
        return self.known_mean_y - self.std_y * self.cos * self.x.height


class Angle(NamedTuple):
    """An angle between 0 and π by its cosine, sine, itself and its supplement."""

    cos: Float[Array, "..."]
    sin: Float[Array, "..."]
    angle: Float[Array, "..."]
    supplement: Float[Array, "..."]


def plane(
    mean_x: Array | None, mean_y: Array | None, std_x: Array, std_y: Array, angle: Angle
) -> Plane:
    """Compute the atoms of a pair and put everything together."""
    central = mean_x is None and mean_y is None
    if not central:
        mean_x = jnp.zeros_like(std_x) if mean_x is None else mean_x
        mean_y = jnp.zeros_like(std_y) if mean_y is None else mean_y
    x, y = _lines(mean_x, std_x, mean_y, std_y)
    atoms = _central_wedge(x, y, angle) if central else _wedge(x, y, angle)
    return Plane(mean_x, mean_y, std_x, std_y, *angle, x, y, atoms)


def _lines(
    mean_x: Array | None, std_x: Array, mean_y: Array | None, std_y: Array
) -> tuple[Line, Line]:
    """Both neurons; with means in one row, for densities and distribution functions are long
    programs.
    """
    if mean_x is None or mean_y is None:
        return _central_line(std_x), _central_line(std_y)
    mean = jnp.concatenate([mean_x.reshape(-1), mean_y.reshape(-1)])
    std = jnp.concatenate([std_x.reshape(-1), std_y.reshape(-1)])
    both, cut = line(mean, std), std_x.size
    x = Line(*(part[:cut].reshape(std_x.shape) for part in both))
    return x, Line(*(part[cut:].reshape(std_y.shape) for part in both))


def _central_line(std: Array) -> Line:
    """Without a mean. A neuron without norm is dead: it is nowhere positive."""
    alive = jnp.where(std > 0, 1, 0).astype(std.dtype)
    return Line(jnp.zeros_like(std), alive / math.sqrt(2 * math.pi), 0.5 * alive, 0.5 * alive)


def line(mean: Array, std: Array) -> Line:
    """The atoms of one neuron. Without norm it sees its mean alone; with neither it is nowhere
    positive.
    """
    far = precision(std.dtype).far
    still = jnp.where(mean > 0, far, -far)
    height = jnp.where(std > 0, jnp.clip(divide(mean, std), -far, far), still).astype(std.dtype)
    tail = normal_tail(height)
    return Line(height, normal_pdf(height), from_tail(height, tail), tail)


def _wedge(x: Line, y: Line, angle: Angle) -> Wedge:
    height = _both(x.height, y.height, angle.cos)
    edge = _heights_on_lines(height, angle)
    sides = Sides(height, edge, _both(x.tail, y.tail, angle.cos), normal_tail(edge))
    both, signs, step_sign, sign_step = wedge_between(sides, angle.cos, angle.sin, angle.angle)
    above = from_tail(edge, sides.edge_tail)
    tilt, peak = sign_mean(edge), normal_pdf(edge)
    corner = x.density * peak[0]
    return Wedge(
        alpha=edge[1],
        beta=edge[0],
        both=both,
        signs=signs,
        step_sign=step_sign,
        sign_step=sign_step,
        above_x=above[0],
        above_y=above[1],
        tilt_x=tilt[0],
        tilt_y=tilt[1],
        peak_x=peak[0],
        peak_y=peak[1],
        edge_x=x.density * above[0],
        edge_y=y.density * above[1],
        corner=corner,
        ramp=angle.sin * corner + angle.cos * both,
    )


def _both(x: Array, y: Array, like: Array) -> Float[Array, "2 ..."]:
    """What belongs to the lines `X = 0` and `Y = 0`, on a leading axis: chosen, for joined arrays
    split loops.
    """
    first = jnp.asarray([True, False]).reshape(2, *[1] * like.ndim)
    return jnp.where(first, x[None], y[None])


def _heights_on_lines(height: Float[Array, "2 ..."], angle: Angle) -> Float[Array, "2 ..."]:
    """`(k − h cos)/sin` and `(h − k cos)/sin`, from `h ∓ k` and `1 ∓ cos` so that equal neurons
    give zero.

    Next to a right angle `h ∓ k` would only lose digits.
    """
    cos, sin = angle.cos[None], angle.sin[None]
    upright, sign = jnp.abs(cos) < 0.5, jnp.sign(cos)
    versine = sin * sin / (1 + jnp.abs(cos))
    gap = height[::-1] - jnp.where(upright, 0, sign) * height
    gap += jnp.where(upright, -cos, sign * versine) * height
    edge = jnp.where(sin > 0, divide(gap, sin), jnp.sign(gap) * _FARTHEST)
    return jnp.clip(edge, -_FARTHEST, _FARTHEST)


def _central_wedge(x: Line, y: Line, angle: Angle) -> Wedge:
    """Both means zero: the wedge's corner is the centre, and everything is an angle."""
    alive = 4 * x.positive * y.positive
    zero = jnp.zeros_like(alive)
    circle = 2 * math.pi
    obtuse = sine_minus_arc_cosine(angle.supplement)
    acute = angle.sin + angle.supplement * angle.cos
    return Wedge(
        alpha=zero,
        beta=zero,
        both=alive * angle.supplement / circle,
        signs=alive * jnp.arctan2(angle.cos, angle.sin) * (2 / math.pi),
        step_sign=alive * jnp.arctan2(angle.cos, angle.sin) / math.pi,
        sign_step=alive * jnp.arctan2(angle.cos, angle.sin) / math.pi,
        above_x=y.positive,
        above_y=x.positive,
        tilt_x=zero,
        tilt_y=zero,
        peak_x=y.density,
        peak_y=x.density,
        edge_x=alive * (0.5 / math.sqrt(circle)),
        edge_y=alive * (0.5 / math.sqrt(circle)),
        corner=alive / circle,
        ramp=alive * jnp.where(angle.cos < 0, obtuse, acute) / circle,
    )
