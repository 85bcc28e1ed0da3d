"""Second-order polish: from the end of a flow to the rounding floor of the critical point beside
it.

Letters: `g` gradient, `H = Q diag(λ) Qᵀ` Hessian, `Δ` radius. A step is `−Q (g_Q / (|λ| + μ))` on
curved modes, with the smallest `μ ≥ 0` that keeps it within `Δ`. Modes with `|λ|` below a stated
share of the largest are the symmetries of the risk (or indistinguishable from them): the gradient
has no part along them but rounding, and dividing it by their eigenvalue is what breaks plain
Newton. Accepted is what lowers the risk, or `|g|` where the risk is so near its rounding floor that
it can no longer tell.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxcompress.solvers._objective import AbstractObjective
from jaxcompress.solvers._phase import KEPT, TRIAL, AbstractPhase, Found, blank_work, kept_where
from jaxcompress.solvers._spectrum import eigenvalues
from jaxcompress.solvers._state import Slot
from jaxcompress.solvers._vectors import length
from jaxcompress.special.internal import precision

# A flow's end needs 2 to 10 steps; the end of an L-BFGS descent with a thousand unknowns up to 60.
MAX_STEPS = 80
# Near the floor |g| wanders by rounding: this many trials in a row without real progress are the
# end.
_PATIENCE = 6


class Spectrum(AbstractPhase):
    """For slots that are at their floor already: the eigenvalues alone."""

    table = np.zeros((KEPT + 1, KEPT + 1))

    def prepare(self, matrices, slot, own):
        return blank_work(slot)._replace(values=eigenvalues(matrices.hessian).T)

    def finish(self, work, stages, slot, own):
        return slot._replace(
            polish=slot.polish._replace(eigenvalues=work.values, steps=slot.polish.steps + 1)
        )

    def ended(self, slot):
        return slot.polish.steps > 0


class Polish(AbstractPhase):
    """Steps within a radius, each one eigendecomposition, accepted or not; what is not finite is
    rejected.
    """

    table = TRIAL

    def __init__(self, objective: AbstractObjective, tolerance: Array):
        super().__init__(objective)
        self.tolerance = tolerance

    def prepare(self, matrices, slot, own):
        gradient = slot.point.gradient
        values, basis, curved = modes(matrices.hessian)
        sizes = jnp.where(curved, jnp.abs(values), 1)
        slope = jnp.where(curved, jnp.einsum("bij,ib->jb", basis, gradient), 0)
        step = slope / (sizes + damping(slope, sizes, slot.polish.radius)[None])
        return blank_work(slot)._replace(
            first=-jnp.einsum("bij,jb->ib", basis, step), values=values
        )

    def finish(self, work, stages, slot, own):
        point, found, polish = slot.point, stages.found, slot.polish
        old, new = length(point.gradient), length(found.gradient)
        lower = found.risk < point.risk - 4 * found.floor  # comparisons are false for NaN
        better = lower | ((found.risk <= point.risk + 4 * found.floor) & (new < old))
        progress = better & (lower | (new < 0.5 * old))
        size = length(work.first)
        grown = jnp.maximum(polish.radius, 2 * size)
        radius = jnp.where(better, grown, 0.25 * jnp.minimum(size, polish.radius))
        return after_trial(slot, found, work.values, better, radius, progress)

    def ended(self, slot):
        return can_do_no_better(self.objective, slot, self.tolerance, _PATIENCE, MAX_STEPS)


def modes(
    hessian: Float[Array, "slots P P"],
) -> tuple[Float[Array, "P slots"], Float[Array, "slots P P"], Bool[Array, "P slots"]]:
    """Eigenvalues, eigenvectors, and which modes are curved: the others are flat, or look it."""
    values, basis = jnp.linalg.eigh(hessian, symmetrize_input=False)
    values = values.T
    sizes = jnp.abs(values)
    return values, basis, sizes > precision(values.dtype).flat * jnp.max(sizes, axis=0)[None]


def after_trial(
    slot: Slot, found: Found, values: Array, better: Array, radius: Array, progress: Array
) -> Slot:
    """Every slot after a trial: at the point found where that is better, with the spectrum of the
    point before."""
    return slot._replace(
        point=kept_where(better, found, slot.point),
        polish=slot.polish._replace(
            eigenvalues=values,
            radius=radius,
            stalls=jnp.where(progress, 0, slot.polish.stalls + 1),
            steps=slot.polish.steps + 1,
        ),
    )


def can_do_no_better(
    objective: AbstractObjective,
    slot: Slot,
    tolerance: Array,
    patience: int,
    max_steps: Array | int,
) -> Bool[Array, " slots"]:
    """Which slots are at their end: one fruitless trial within the tolerance, several outside it,
    or the budget. The spectrum is then that of the point, or of the one before its last step, which
    was one of rounding."""
    within = objective.largest(slot.point.gradient) <= tolerance
    fruitless = slot.polish.stalls >= jnp.where(within, 1, patience)
    still = jnp.all(slot.point.gradient == 0, axis=0)
    return (slot.polish.steps > 0) & (fruitless | still | (slot.polish.steps >= max_steps))


def damping(slope: Array, sizes: Array, radius: Array) -> Array:
    """The `μ ≥ 0` with `|slope/(sizes + μ)| = radius`, zero where the full step is within: Hebden's
    iteration, which converges from below."""

    def refine(_, mu):
        step = slope / (sizes + mu[None])
        size = length(step)
        bend = jnp.sum(step * step / (sizes + mu[None]), axis=0)
        better = mu + (size / radius - 1) * size * size / jnp.where(bend > 0, bend, 1)
        return jnp.where((size > radius) & jnp.isfinite(better), better, mu)

    return jax.lax.fori_loop(0, 12, refine, jnp.zeros_like(radius))
