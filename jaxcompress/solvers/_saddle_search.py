"""Any critical point, saddles included: Levenberg–Marquardt on `½|g|²`, which falls towards every
kind of them alike.

Letters as in `_polish`: `g` gradient, `H = Q diag(λ) Qᵀ` Hessian, `Δ` radius. With residual `g` and
Jacobian `H` a step is `−Q (λ g_Q / (λ² + μ))`, with the smallest `μ ≥ 0` that keeps it within `Δ`:
far out it descends on `|g|²`, near the end `μ` is zero and it is Newton's method, which stops at
the rounding floor of the gradient. Modes with `|λ|` below a stated share of the largest are those
of the symmetries, and get no step. Accepted is what lowers `|g|`. Where `g` lies in the kernel of
`H`, `½|g|²` is stationary without a critical point, and the search cannot go on. References:
Levenberg 1944, Marquardt 1963; Moré 1978 (the radius); Frye et al. 2021, *Critical Point-Finding
Methods Reveal Gradient-Flat Regions of Deep Network Losses* (where it gets stuck).
"""

import jax.numpy as jnp
from jaxtyping import Array

from jaxcompress.solvers._objective import AbstractObjective
from jaxcompress.solvers._phase import TRIAL, AbstractPhase, blank_work
from jaxcompress.solvers._polish import after_trial, can_do_no_better, damping, modes
from jaxcompress.solvers._vectors import length

# The first radius, as a share of the size of the start.
_FIRST = 0.1
# Trials in a row that lower |g| by less than a thousandth before a search outside the tolerance is
# given up: a radius shrinks in them by 4^12.
_PATIENCE, _LITTLE = 12, 1e-3


def first_radius(y: Array) -> Array:
    """The radius of runs `(runs, P)` that begin: a share of their size."""
    return _FIRST * jnp.maximum(length(y, 1), 1)


class Search(AbstractPhase):
    """Steps within a radius, each one eigendecomposition, accepted or not; what is not finite is
    rejected.
    """

    table = TRIAL

    def __init__(self, objective: AbstractObjective, tolerance: Array, max_steps: Array):
        super().__init__(objective)
        self.tolerance, self.max_steps = tolerance, max_steps

    def prepare(self, matrices, slot, own):
        values, basis, curved = modes(matrices.hessian)
        largest = jnp.max(jnp.abs(values), axis=0)[None]
        # in units of the largest: squares of float32 do not underflow
        unit = jnp.where(largest > 0, largest, 1)
        shares = jnp.where(curved, values / unit, 0)
        slope = jnp.einsum("bij,ib->jb", basis, slot.point.gradient)
        scaled = shares * slope / unit
        squares = jnp.where(curved, shares**2, 1)
        step = scaled / (squares + damping(scaled, squares, slot.polish.radius)[None])
        first = -jnp.einsum("bij,jb->ib", basis, step)
        return blank_work(slot)._replace(
            first=first, values=values, foreseen=length(slope - values * step)
        )

    def finish(self, work, stages, slot, own):
        found, polish = stages.found, slot.polish
        old, new, foreseen = length(slot.point.gradient), length(found.gradient), work.foreseen
        better = new < old  # false for NaN
        gain = (
            (old - new)
            * (old + new)
            / jnp.maximum((old - foreseen) * (old + foreseen), jnp.finfo(old.dtype).tiny)
        )
        size = length(work.first)
        small, grown = 0.25 * jnp.minimum(size, polish.radius), jnp.maximum(polish.radius, 2 * size)
        radius = jnp.where(gain > 0.75, grown, jnp.where(gain > 0.25, polish.radius, small))
        within = self.objective.largest(slot.point.gradient) <= self.tolerance
        progress = better & (new < jnp.where(within, 0.5, 1 - _LITTLE) * old)
        return after_trial(slot, found, work.values, better, radius, progress)

    def ended(self, slot):
        return can_do_no_better(self.objective, slot, self.tolerance, _PATIENCE, self.max_steps)
