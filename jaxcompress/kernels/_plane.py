"""The plane that two neurons span: all that a kernel needs to know of a pair.

Letters: pre-activations `X = μ_x + σ_x z₁` and `Y = μ_y + σ_y (cos z₁ + sin z₂)` with `z` a standard normal
of the plane. `z₁` runs along the first neuron, `z₂` across it, towards the second. In the frame of the second
neuron `Y = μ_y + σ_y y₁`, and `y₂` runs across it towards the first: `z₁ = cos y₁ + sin y₂`,
`z₂ = sin y₁ − cos y₂`. A neuron of norm zero has no direction; it is given one at a right angle
(`cos = 0`), which is right for whatever is smooth there.
"""

import math
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcompress import special

# Heights over a vanishing sine are cut here: the normal density is zero and products stay finite.
_FARTHEST = 1e4


class Line(NamedTuple):
    """One kinked neuron by itself: its standardised mean `h`, `φ(h)` and `Φ(h)`, both zero for a dead one."""

    height: Float[Array, "..."]
    density: Float[Array, "..."]
    positive: Float[Array, "..."]


class Wedge(NamedTuple):
    """The quadrant `X > 0, Y > 0` in units where both standard deviations are one.

    `h`, `k`, `alpha`, `beta` are the heights of `special._normal`; `both = P(X>0, Y>0)`;
    `signs = E[sign X sign Y]`; `lean_x = E[1(X>0) sign Y]`, `lean_y` likewise; `edge_x = φ(h)Φ(β)` is the density of
    `X = 0` with `Y > 0`, `edge_y` likewise; `corner = φ(h)φ(β)`; `ramp = sin·corner + cos·both`.
    """

    h: Float[Array, "..."]
    k: Float[Array, "..."]
    alpha: Float[Array, "..."]
    beta: Float[Array, "..."]
    both: Float[Array, "..."]
    signs: Float[Array, "..."]
    lean_x: Float[Array, "..."]
    lean_y: Float[Array, "..."]
    edge_x: Float[Array, "..."]
    edge_y: Float[Array, "..."]
    corner: Float[Array, "..."]
    ramp: Float[Array, "..."]

    @property
    def swapped(self) -> "Wedge":
        """The same wedge with `X` and `Y` exchanged."""
        return Wedge(
            self.k,
            self.h,
            self.beta,
            self.alpha,
            self.both,
            self.signs,
            self.lean_y,
            self.lean_x,
            self.edge_y,
            self.edge_x,
            self.corner,
            self.ramp,
        )


class Plane(NamedTuple):
    """Means (`None`: exactly zero), standard deviations, the angle in four numbers, and the atoms made of them.

    `cos`, `sin`, `angle` and `supplement = π − angle` are redundant, and each keeps full relative precision
    where another loses it. `x`, `y` and `wedge` are what kinked functions need; formulas that do not use
    them leave them to be eliminated by the compiler. All arrays broadcast against each other.
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
    def level_x(self) -> Float[Array, "..."]:
        """The mean of `X`, a number also where it is `None`."""
        return jnp.zeros((), self.std_x.dtype) if self.mean_x is None else self.mean_x

    @property
    def level_y(self) -> Float[Array, "..."]:
        """The mean of `Y`, a number also where it is `None`."""
        return self.swapped.level_x

    @property
    def rest_y(self) -> Float[Array, "..."]:
        """The mean of `Y` on the line `X = 0`: `μ_y − σ_y h cos`."""
        if self.mean_x is None and self.mean_y is None:
            return jnp.zeros((), self.std_y.dtype)
        return self.level_y - self.std_y * self.cos * self.x.height


class Angle(NamedTuple):
    """An angle between 0 and π by its cosine, sine, itself and its supplement."""

    cos: Float[Array, "..."]
    sin: Float[Array, "..."]
    angle: Float[Array, "..."]
    supplement: Float[Array, "..."]


def plane(mean_x: Array | None, mean_y: Array | None, std_x: Array, std_y: Array, angle: Angle) -> Plane:
    """Compute the atoms of a pair and put everything together."""
    central = mean_x is None and mean_y is None
    if not central:
        mean_x = jnp.zeros_like(std_x) if mean_x is None else mean_x
        mean_y = jnp.zeros_like(std_y) if mean_y is None else mean_y
    x, y = line(mean_x, std_x), line(mean_y, std_y)
    atoms = _central_wedge(x, y, angle) if central else _wedge(x, y, angle)
    return Plane(mean_x, mean_y, std_x, std_y, *angle, x, y, atoms)


def line(mean: Array | None, std: Array) -> Line:
    """The atoms of one neuron. A neuron with neither norm nor mean is dead: it is nowhere positive."""
    if mean is None:
        alive = jnp.where(std > 0, 1, 0).astype(std.dtype)
        return Line(jnp.zeros_like(std), alive / math.sqrt(2 * math.pi), 0.5 * alive)
    far = special.precision(std.dtype).far
    still = jnp.where(mean > 0, far, -far)
    height = jnp.where(std > 0, jnp.clip(special.divide(mean, std), -far, far), still).astype(std.dtype)
    return Line(height, special.normal_pdf(height), special.normal_cdf(height))


def _wedge(x: Line, y: Line, angle: Angle) -> Wedge:
    alpha = _height_on_line(x.height, y.height, angle)
    beta = _height_on_line(y.height, x.height, angle)
    both, signs, lean_x, lean_y = special.wedge_probabilities(
        x.height, y.height, angle.cos, angle.sin, angle.angle, alpha, beta
    )
    corner = x.density * special.normal_pdf(beta)
    return Wedge(
        h=x.height,
        k=y.height,
        alpha=alpha,
        beta=beta,
        both=both,
        signs=signs,
        lean_x=lean_x,
        lean_y=lean_y,
        edge_x=x.density * special.normal_cdf(beta),
        edge_y=y.density * special.normal_cdf(alpha),
        corner=corner,
        ramp=angle.sin * corner + angle.cos * both,
    )


def _height_on_line(h: Array, k: Array, angle: Angle) -> Array:
    """`(h − k cos)/sin`, from `h ∓ k` and `1 ∓ cos = sin·tan(angle/2)` so that equal neurons give zero."""
    acute = angle.cos >= 0
    gap = jnp.where(acute, h - k, h + k)
    half = jnp.tan(0.5 * jnp.where(acute, angle.angle, -angle.supplement))
    slope = jnp.where(angle.sin > 0, special.divide(gap, angle.sin), jnp.sign(gap) * _FARTHEST)
    upright = jnp.abs(angle.cos) < 0.5
    plain = special.divide(h - k * angle.cos, angle.sin)
    return jnp.clip(jnp.where(upright, plain, slope + k * half), -_FARTHEST, _FARTHEST)


def _central_wedge(x: Line, y: Line, angle: Angle) -> Wedge:
    """Both means zero: the wedge's corner is the centre, and everything is an angle."""
    alive = 4 * x.positive * y.positive
    zero = jnp.zeros_like(alive)
    circle = 2 * math.pi
    obtuse = special.sine_minus_arc_cosine(angle.supplement)
    acute = angle.sin + angle.supplement * angle.cos
    return Wedge(
        h=zero,
        k=zero,
        alpha=zero,
        beta=zero,
        both=alive * angle.supplement / circle,
        signs=alive * jnp.arctan2(angle.cos, angle.sin) * (2 / math.pi),
        lean_x=alive * jnp.arctan2(angle.cos, angle.sin) / math.pi,
        lean_y=alive * jnp.arctan2(angle.cos, angle.sin) / math.pi,
        edge_x=alive * (0.5 / math.sqrt(circle)),
        edge_y=alive * (0.5 / math.sqrt(circle)),
        corner=alive / circle,
        ramp=alive * jnp.where(angle.cos < 0, obtuse, acute) / circle,
    )
