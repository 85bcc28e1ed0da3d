"""A certificate for a point that came from elsewhere: its risk, its gradient and, after a polish, its spectrum."""

import equinox as eqx
import jax
import jax.numpy as jnp

from jaxcompress.networks import TwoLayer
from jaxcompress.risk import RiskProblem
from jaxcompress.solve._batch import as_solution
from jaxcompress.solve._engine import Batch, polish_runs
from jaxcompress.solve._motion import Motion
from jaxcompress.solve._motions import motions_of
from jaxcompress.solve._solution import RESULTS, Solution, either
from jaxcompress.special import precision


@eqx.filter_jit
def certify(
    problem: RiskProblem, student: TwoLayer, *, polish: bool = True, gradient_tolerance: float | None = None
) -> Solution:
    """Take a student to the critical point beside it and certify that, or just measure it where it stands.

    Arguments: a measured target, one student, whether to polish (static; without it `eigenvalues` and `index` are
    `None`), and the gradient that counts as none, relative to `max(1, E‖f_target‖²)` (1e-10 in float64 and 1e-5 in
    float32 when left out).
    Returns a `Solution` whose `time` is zero, for no flow was run.
    """
    if gradient_tolerance is None:
        gradient_tolerance = precision(problem.energy.dtype).critical
    tolerance = gradient_tolerance * jnp.maximum(problem.energy, 1)
    if polish:
        ones = {name: jnp.ones((), array.dtype) for name, array in student.parameters().items()}
        motions = motions_of(problem, True, student, (), ones)
        vector, own = motions.load(student, None)
        vectors, owns = jax.tree.map(lambda leaf: leaf[None], (vector, own))
        ends = polish_runs(motions, tolerance, Batch(vectors, owns, jnp.ones(1, bool), 1))
        return as_solution(motions, ends, owns, tolerance)[0]
    motion = Motion.of(problem, student, ())
    (risk, floor), gradient = motion.value_and_gradient(motion.vector())
    gradient_norm = jnp.max(jnp.abs(gradient))
    converged = gradient_norm <= tolerance
    return Solution(
        network=student,
        risk=risk,
        risk_floor=floor,
        gradient_norm=gradient_norm,
        converged=converged,
        time=jnp.zeros((), tolerance.dtype),
        result=either(converged, RESULTS.converged, RESULTS.max_steps_reached),
        stats={"polish_steps": jnp.zeros((), jnp.int32), "flat_modes": jnp.asarray(-1)},
    )
