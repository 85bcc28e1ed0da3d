"""From a start to a path: adaptive and fixed steps, one run or many.

Static: the method's kind and counts, the number of times. Traced: start, target, times, tolerances.
"""

import abc

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxcompress._internal.checks import as_array, check_finite, is_concrete
from jaxcompress.infinite_width._rules import check_count
from jaxcompress.infinite_width._system import AbstractSystem


class Path(eqx.Module):
    """What a flow leaves, at every time.

    `times (times,)`; `states`, those of the system with a leading axis `times`; `risk`;
    `dissipation`, `−dF/dt`; `dissipated`, its integral from the start, found by the same steps, so
    that `risk + dissipated` is constant; `steps`, how many were tried. Of `flow_many` all but
    `times` have a leading axis `runs`.
    """

    times: Float[Array, " times"]
    states: object
    risk: Float[Array, "*runs times"]
    dissipation: Float[Array, "*runs times"]
    dissipated: Float[Array, "*runs times"]
    steps: Int[Array, "*runs"]

    def at(self, index: int):
        """The state at one of the times (of one run)."""
        return jax.tree.map(lambda leaf: leaf[index], self.states)


class AbstractMethod(eqx.Module):
    """How to step."""

    @abc.abstractmethod
    def integrate(self, field, start, times: Float[Array, " times"]):
        """States at `times` of `y′ = field(y)`, `y(0) = start`, with a leading axis, and the number
        of steps.
        """


class Adaptive(AbstractMethod):
    """An explicit Runge–Kutta method with an error estimate: Dopri8 (Prince & Dormand 1981) by
    diffrax.

    Arguments: `rtol`, `atol`, allowed a step in the maximum norm, so that they do not depend on the
    number of particles (1e-9 and 1e-11; float32: 1e-5 and 1e-6), traced; `max_steps`, static. A
    step ends at every time that is kept.
    Raises `ValueError` for tolerances that are not positive, `RuntimeError` when the steps do not
    suffice.
    """

    rtol: Float[Array, ""] | None
    atol: Float[Array, ""] | None
    max_steps: int = eqx.field(static=True)

    def __init__(self, rtol=None, atol=None, max_steps: int = 100_000):
        check_count("Adaptive", max_steps=max_steps)
        self.rtol, self.atol, self.max_steps = (
            _tolerance("rtol", rtol),
            _tolerance("atol", atol),
            max_steps,
        )

    def integrate(self, field, start, times):
        single = times.dtype == jnp.float32
        rtol = (1e-5 if single else 1e-9) if self.rtol is None else self.rtol.astype(times.dtype)
        atol = (1e-6 if single else 1e-11) if self.atol is None else self.atol.astype(times.dtype)
        control = diffrax.PIDController(rtol=rtol, atol=atol, norm=_largest)
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(lambda t, y, args: field(y)),
            diffrax.Dopri8(),
            t0=jnp.zeros((), times.dtype),
            t1=times[-1],
            dt0=None,
            y0=start,
            saveat=diffrax.SaveAt(ts=times),
            stepsize_controller=diffrax.ClipStepSizeController(control, step_ts=times),
            max_steps=self.max_steps,
        )
        return solution.ys, solution.stats["num_steps"]


def _tolerance(name: str, value) -> Array | None:
    """As an array, for a changed number must not compile again."""
    if value is None:
        return None
    array = as_array("Adaptive", name, value).astype(jnp.result_type(float))
    if array.shape != () or (is_concrete(array) and not 0 < array < jnp.inf):
        raise ValueError(
            f"Adaptive: given {name}={value}; expected one positive number; 1e-9 is a usual one"
        )
    return array


def _largest(tree) -> Array:
    leaves = [jnp.max(jnp.abs(leaf), initial=0) for leaf in jax.tree.leaves(tree)]
    return jnp.max(jnp.stack(leaves))


class FixedSteps(AbstractMethod):
    """The classical Runge–Kutta method of order four, `between` (static) equal steps between
    consecutive times.
    """

    between: int = eqx.field(static=True)

    def __check_init__(self):
        check_count("FixedSteps", between=self.between)

    def integrate(self, field, start, times):
        def shift(y, size, slope):
            return jax.tree.map(lambda u, v: u + size * v, y, slope)

        nothing = jax.tree.map(jnp.zeros_like, start)
        reach = jnp.asarray([0, 0.5, 0.5, 1], times.dtype)
        share = jnp.asarray([1, 2, 2, 1], times.dtype) / 6

        def step(y, size):
            def stage(carry, numbers):
                slope, mean = carry
                slope = field(shift(y, size * numbers[0], slope))
                return (slope, shift(mean, numbers[1], slope)), None

            (_, mean), _ = jax.lax.scan(stage, (nothing, nothing), (reach, share))
            return shift(y, size, mean)

        def interval(y, size):
            y = jax.lax.fori_loop(0, self.between, lambda _, y: step(y, size), y)
            return y, y

        sizes = jnp.diff(times, prepend=jnp.zeros((1,), times.dtype)) / self.between
        _, states = jax.lax.scan(interval, start, sizes)
        return states, jnp.asarray(self.between * len(times))


def flow(system: AbstractSystem, start, times, *, method: AbstractMethod | None = None) -> Path:
    """Follow a flow from a start at time zero.

    Arguments: `system`, one of `ParticleSystem`, `ReducedSystem`, `AngleSystem`, `MomentSystem`;
    `start`, a state of it; `times (times,)`, ascending, the last one positive, at which to keep the
    state; `method`, `Adaptive()` when left out.
    Returns a `Path`.
    Raises `ValueError` for a start or times that do not fit.
    """
    return _run(system, start, times, method, many=False)


def flow_many(
    system: AbstractSystem, starts, times, *, method: AbstractMethod | None = None
) -> Path:
    """`flow` of many starts at once, with a leading axis `runs` on every array of `starts`.

    With `Adaptive` every run has its own steps, and all wait for the slowest.
    """
    return _run(system, starts, times, method, many=True)


def _run(system, start, times, method, *, many: bool) -> Path:
    where = "flow_many" if many else "flow"
    system.check(start)
    leaves = jax.tree.leaves(start)
    dtypes = {
        leaf.dtype for leaf in jax.tree.leaves(eqx.filter((system, start), eqx.is_inexact_array))
    }
    if len(dtypes) > 1:
        raise ValueError(
            f"{where}: given a system and a start of dtypes {', '.join(sorted(map(str, dtypes)))}; "
            "expected one; pass dtype= to the system, its target and the start"
        )
    times = as_array(where, "times", times).astype(leaves[0].dtype)
    check_finite(where, times=times)
    ascending = not is_concrete(times) or (
        np.all(np.diff(times) > 0) and np.all(np.asarray(times[:1]) >= 0)
    )
    if (
        times.ndim != 1
        or times.size == 0
        or not ascending
        or (is_concrete(times) and not times[-1] > 0)
    ):
        raise ValueError(
            f"{where}: given times of shape {times.shape}; expected ascending numbers (times,) "
            "from 0 on, the last one positive; the start is at time 0"
        )
    batch = leaves[-1].ndim - system.rank
    if batch != many:
        raise ValueError(
            f"{where}: given a start with {batch} leading axes; expected {int(many)}; use "
            f"{'flow' if many else 'flow_many'}, or jax.vmap for more axes"
        )
    return (_many if many else _one)(system, start, times, Adaptive() if method is None else method)


@eqx.filter_jit
def _one(system, start, times, method) -> Path:
    zero = jnp.zeros((), times.dtype)
    (states, dissipated), steps = method.integrate(
        lambda y: tuple(system.motion(y[0])), (start, zero), times
    )
    risk, dissipation = jax.lax.map(
        lambda s: (system.risk(s), system.motion(s).dissipation), states
    )
    return Path(times, states, risk, dissipation, dissipated, steps)


@eqx.filter_jit
def _many(system, starts, times, method) -> Path:
    out = jax.vmap(lambda start: _one(system, start, times, method))(starts)
    return eqx.tree_at(lambda path: path.times, out, times)
