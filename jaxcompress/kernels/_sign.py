"""The sign function with itself and with ReLU; smoothed by a Gaussian it is erf (see `AbstractActivation.noise`).

Letters as in `_relu`; further `e(β) = erf(β/√2) = E sign(β + z)`. `sign′ = 2δ`: first derivatives live on the line
`X = 0`, of density `φ(h)/σ_x`, where `z₁ = −h` and `Y` has the sign of `β + z₂`. For `sign″ = 2δ′`,
`E[δ′(X) Ψ(z₁, z₂)] = −φ(h)/σ_x² · E[hΨ + ∂₁Ψ]` on that line. Zero means reproduce Saad & Solla 1995.
"""

from jaxtyping import Array, Float

from jaxcompress.kernels._moments import AbstractMoments, First, Second
from jaxcompress.kernels._plane import Plane
from jaxcompress.special import divide, normal_cdf, normal_pdf, sign_mean


def _on_line(h: Array, scale: Array, moments: tuple[Array, Array, Array], slopes: tuple[Array, Array, Array]) -> Second:
    """`scale · E[(hΨ + ∂₁Ψ) z₁^a z₂^b]` at `z₁ = −h` for `Ψ` with `E[Ψ z₂^b] = moments`, `E[∂₁Ψ z₂^b] = slopes`."""
    flat = [scale * (h * m + s) for m, s in zip(moments, slopes, strict=True)]
    return Second(
        mean=flat[0],
        along=-h * flat[0] + scale * moments[0],
        across=flat[1],
        along_along=h * (h * flat[0] - 2 * scale * moments[0]),
        along_across=-h * flat[1] + scale * moments[1],
        across_across=flat[2],
    )


class SignSign(AbstractMoments):
    """`E[sign X sign Y]` and its derivatives; needs `sin > 0`, which any smoothing guarantees."""

    def value(self, plane: Plane) -> Float[Array, "..."]:
        return plane.wedge.signs

    def gradient(self, plane: Plane) -> First:
        w = plane.wedge
        density = divide(2 * plane.x.density, plane.std_x)
        mean = density * sign_mean(w.beta)
        return First(mean, -w.h * mean, 2 * density * normal_pdf(w.beta))

    def bend(self, plane: Plane) -> Second:
        w = plane.wedge
        scale = -divide(2 * plane.x.density, plane.std_x * plane.std_x)
        peak = 2 * normal_pdf(w.beta)
        tilt = divide(plane.cos, plane.sin) * peak
        moments = (sign_mean(w.beta), peak, sign_mean(w.beta) - w.beta * peak)
        return _on_line(w.h, scale, moments, (tilt, -w.beta * tilt, w.beta * w.beta * tilt))

    def cross(self, plane: Plane) -> Second:
        """Both pre-activations are zero at one point of the plane, `z = (−h, −β)`."""
        w = plane.wedge
        mean = divide(4 * w.corner, plane.std_x * plane.std_y * plane.sin)
        return Second(mean, -w.h * mean, -w.beta * mean, w.h * w.h * mean, w.h * w.beta * mean, w.beta * w.beta * mean)


class ReluSign(AbstractMoments):
    """`E[max(X, 0) sign Y]`, relative to its own size also where `sign Y` is smoothed to almost nothing."""

    def value(self, plane: Plane) -> Float[Array, "..."]:
        first = self.gradient(plane)
        return plane.level_x * first.mean + plane.std_x * first.along

    def gradient(self, plane: Plane) -> First:
        w = plane.wedge
        return First(w.lean_x, plane.x.density * sign_mean(w.beta) + 2 * plane.cos * w.edge_y, 2 * plane.sin * w.edge_y)

    def bend(self, plane: Plane) -> Second:
        w = plane.wedge
        density = divide(plane.x.density, plane.std_x)
        mean = density * sign_mean(w.beta)
        across = 2 * density * normal_pdf(w.beta)
        return Second(mean, -w.h * mean, across, w.h * w.h * mean, -w.h * across, mean - w.beta * across)

    def cross(self, plane: Plane) -> Second:
        """On the line `Y = 0`, in the frame of `Y`: the half line `y₂ > −α`."""
        w = plane.wedge
        mean = divide(2 * w.edge_y, plane.std_y)
        across = divide(2 * w.corner, plane.std_y)
        own = Second(mean, -w.k * mean, across, w.k * w.k * mean, -w.k * across, mean - w.alpha * across)
        return own.reflected(plane)


class SignRelu(AbstractMoments):
    """`E[sign X max(Y, 0)]`: what `ReluSign` leaves to be asked of its second activation."""

    def value(self, plane: Plane) -> Float[Array, "..."]:
        return ReluSign().value(plane.swapped)

    def gradient(self, plane: Plane) -> First:
        w = plane.wedge
        ratio = divide(2 * plane.std_y, plane.std_x) * plane.sin
        mean = divide(2 * plane.rest_y, plane.std_x) * w.edge_x + ratio * w.corner
        return First(mean, -w.h * mean, ratio * w.edge_x)

    def bend(self, plane: Plane) -> Second:
        """On the line `X = 0`, `Ψ = Y₊ = σ_y sin (β + z₂)₊` and `∂₁Ψ = σ_y cos 1(Y > 0)`."""
        w = plane.wedge
        scale = -divide(2 * plane.x.density, plane.std_x * plane.std_x)
        above, peak = normal_cdf(w.beta), normal_pdf(w.beta)
        s, c = plane.std_y * plane.sin, plane.std_y * plane.cos
        rise = plane.rest_y * above + s * peak
        return _on_line(
            w.h, scale, (rise, s * above, rise + s * peak), (c * above, c * peak, c * (above - w.beta * peak))
        )

    def cross(self, plane: Plane) -> Second:
        return ReluSign().cross(plane.swapped).reflected(plane)
