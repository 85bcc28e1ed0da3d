"""What people use today for the same runs: SciPy with exact Hessians, diffrax under vmap, optax,
gradient descent.

All are given the plain closed forms of `plain.py` in float64 and stop at the first accepted step
(or iteration) at which the gradient is within the work's tolerance. A rival takes a work and start
vectors `(runs, P)` and returns its timing, its end vectors and what else it counted. SciPy does one
run after another; the others run a batch in lockstep.
"""

import statistics
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import common
import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import optax
import optimistix
import scipy.integrate
from problems import Work

from jaxcompress.risk import RiskProblem


class Rival(NamedTuple):
    """How it is called in tables, what runs it, and its settings, which are recorded with every
    row.
    """

    title: str
    play: Callable
    settings: dict[str, Any]
    platforms: tuple[str, ...] = ("cpu", "gpu", "tpu")


def _our_hessian(work: Work) -> Callable:
    """The package's Hessian, assembled in weight space, in the flat order of `plain`."""
    problem = RiskProblem.of(work.target)
    return lambda y: problem.hessian(
        jax.tree.map(lambda leaf: leaf[0], work.network(y[None])), work.freeze
    )


def scipy_flow(
    work: Work, starts, repeats: int, *, method: str, hessian_by: str, rtol: float, atol: float
):
    """One of SciPy's implicit integrators, stepped until the gradient is within the tolerance."""
    gradient = jax.jit(work.plain.gradient)
    second = jax.jit(work.plain.hessian if hessian_by == "autodiff" else _our_hessian(work))
    begin = time.perf_counter()
    jax.block_until_ready((gradient(starts[0]), second(starts[0])))
    compile_seconds = time.perf_counter() - begin
    integrator = getattr(scipy.integrate, method)
    tolerance, size = work.tolerance, _size_of(work)

    def follow(start):
        flow = integrator(
            lambda t, y: -np.asarray(gradient(y)),
            0.0,
            start,
            1e12,
            rtol=rtol,
            atol=atol,
            jac=lambda t, y: -np.asarray(second(y)),
        )
        steps = 0
        while steps < 20_000:
            flow.step()
            steps += 1
            if flow.status != "running" or size(np.asarray(gradient(flow.y))) <= tolerance:
                break
        return flow.y, steps, flow.nfev, flow.njev

    taken = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a run that breaks down is counted by its end gradient
        for _ in range(repeats):
            begin = time.perf_counter()
            ends = [follow(start) for start in starts]
            taken.append(time.perf_counter() - begin)
    vectors, steps, gradients, hessians = (np.array(part) for part in zip(*ends, strict=True))
    counts = {"steps": steps.mean(), "gradients": gradients.mean(), "hessians": hessians.mean()}
    return {"compile_seconds": compile_seconds, "seconds": taken}, vectors, counts


def _size_of(work: Work) -> Callable[[np.ndarray], float]:
    """The work's norm of one gradient, in NumPy."""
    return (lambda g: np.abs(g).max()) if work.norm == "max" else np.linalg.norm


def _batched(one: Callable, starts, repeats: int):
    """Compile, then time, a vmapped solver that returns an end vector and a dictionary of
    counts.
    """
    run, batch = jax.jit(jax.vmap(one)), jnp.asarray(starts)
    timing, (vectors, counts) = common.repeated(lambda: run(batch), repeats)
    means = {name: float(np.mean(np.asarray(count, float))) for name, count in counts.items()}
    return timing, np.asarray(vectors), means


def diffrax_flow(
    work: Work, starts, repeats: int, *, method: str, rtol: float, atol: float, max_steps: int
):
    """A stock diffrax solver with its proportional-integral controller and an event on the
    gradient.
    """
    solver = getattr(diffrax, method)
    if issubclass(solver, diffrax.AbstractImplicitSolver):
        # a full Newton iteration a stage: the default chord iteration rejects half of the steps on
        # these flows
        solver = partial(
            solver, root_finder=diffrax.with_stepsize_controller_tols(optimistix.Newton)()
        )

    def arrived(t, y, args, **kwargs):
        return work.size(work.plain.gradient(y)) <= work.tolerance

    def one(start):
        out = diffrax.diffeqsolve(
            diffrax.ODETerm(lambda t, y, args: -work.plain.gradient(y)),
            solver(),
            t0=0.0,
            t1=jnp.inf,
            dt0=None,
            y0=start,
            saveat=diffrax.SaveAt(t1=True),
            stepsize_controller=diffrax.PIDController(rtol=rtol, atol=atol),
            event=diffrax.Event(arrived),
            max_steps=max_steps,
            throw=False,
        )
        return out.ys[0], {"steps": out.stats["num_steps"]}

    return _batched(one, starts, repeats)


def _iterate(work: Work, step: Callable, start, state, max_steps: int):
    """Repeat `(y, state, gradient) → (y, state)` until the gradient is within the tolerance or the
    budget is spent.
    """

    def unfinished(carry):
        _, _, gradient, count = carry
        return (work.size(gradient) > work.tolerance) & (count < max_steps)

    def body(carry):
        y, state, gradient, count = carry
        y, state = step(y, state, gradient)
        return y, state, work.plain.gradient(y), count + 1

    y, _, _, count = jax.lax.while_loop(
        unfinished, body, (start, state, work.plain.gradient(start), 0)
    )
    return y, {"steps": count}


def adam(work: Work, starts, repeats: int, *, learning_rate: float, max_steps: int):
    """optax.adam with a constant rate. It does not follow the flow: its end may lie in another
    basin.
    """
    optimizer = optax.adam(learning_rate)

    def step(y, state, gradient):
        update, state = optimizer.update(gradient, state)
        return y + update, state

    return _batched(
        lambda y: _iterate(work, step, y, optimizer.init(y), max_steps), starts, repeats
    )


def lbfgs(work: Work, starts, repeats: int, *, memory_size: int, max_steps: int):
    """optax.lbfgs with its zoom line search. It does not follow the flow: its end may lie in
    another basin.
    """
    optimizer = optax.lbfgs(memory_size=memory_size)

    def step(y, state, gradient):
        update, state = optimizer.update(
            gradient, state, y, value=work.plain.risk(y), grad=gradient, value_fn=work.plain.risk
        )
        return y + update, state

    return _batched(
        lambda y: _iterate(work, step, y, optimizer.init(y), max_steps), starts, repeats
    )


def gradient_descent(work: Work, starts, repeats: int, *, step_times_k: float, max_steps: int):
    """Plain descent with step `step_times_k/k` on half of the risk (Safran & Shamir 2018), one run
    after another.
    """

    def step(y, state, gradient):
        return y - step_times_k / work.k * gradient / 2, state

    run = jax.jit(lambda y: _iterate(work, step, y, None, max_steps))

    def all_runs():
        return [run(start) for start in jnp.asarray(starts)]

    timing, ends = common.repeated(all_runs, repeats)
    vectors = np.stack([np.asarray(vector) for vector, _ in ends])
    return timing, vectors, {"steps": float(np.mean([int(count["steps"]) for _, count in ends]))}


def _scipy(title: str, method: str, hessian_by: str, rtol: float, atol: float) -> Rival:
    settings = {"method": method, "hessian_by": hessian_by, "rtol": rtol, "atol": atol}
    return Rival(title, scipy_flow, settings, ("cpu",))


def _diffrax(method: str, rtol: float, atol: float, max_steps: int) -> Rival:
    settings = {"method": method, "rtol": rtol, "atol": atol, "max_steps": max_steps}
    return Rival(f"diffrax {method}, vmap", diffrax_flow, settings)


# The tolerances of `lsoda` are those with which the literature's runs are made; at `lsoda-loose`,
# half of the time, work B arrives, but it has one basin only. At rtol 1e-2 SciPy's BDF breaks down
# on work B. Tsit5 damps nothing: with atol 1e-9 its error keeps the gradient at 1.5e-7 for good,
# with 1e-11 it arrives. Kvaerno5 at rtol 1e-3 takes 0.65 of its time at 1e-4 on work B. Adam with a
# constant rate does not arrive: on work B the gradient is up to 5e-2 after 20 000 steps of 1e-2,
# and 2e-3 after 100 000 of 1e-3.
RIVALS = {
    "lsoda": _scipy("SciPy LSODA, autodiff Hessian", "LSODA", "autodiff", 1e-6, 1e-9),
    "lsoda-ours": _scipy("SciPy LSODA, our Hessian", "LSODA", "package", 1e-6, 1e-9),
    "lsoda-loose": _scipy(
        "SciPy LSODA at rtol 1e-3, autodiff Hessian", "LSODA", "autodiff", 1e-3, 1e-6
    ),
    "lsoda-loose-ours": _scipy(
        "SciPy LSODA at rtol 1e-3, our Hessian", "LSODA", "package", 1e-3, 1e-6
    ),
    "bdf": _scipy("SciPy BDF, autodiff Hessian", "BDF", "autodiff", 1e-6, 1e-9),
    "tsit5": _diffrax("Tsit5", 1e-6, 1e-11, 200_000),
    "kvaerno3": _diffrax("Kvaerno3", 1e-4, 1e-7, 100_000),
    "kvaerno5": _diffrax("Kvaerno5", 1e-4, 1e-7, 100_000),
    "adam": Rival("optax Adam, vmap", adam, {"learning_rate": 1e-2, "max_steps": 100_000}),
    "lbfgs": Rival("optax L-BFGS, vmap", lbfgs, {"memory_size": 10, "max_steps": 5_000}),
    "gd": Rival(
        "gradient descent, step 5/k",
        gradient_descent,
        {"step_times_k": 5.0, "max_steps": 1_000_000},
    ),
}


def play(
    work: Work, name: str, starts: np.ndarray, repeats: int, **changes
) -> tuple[dict, np.ndarray]:
    """One row of results, without comparison, and the end vectors from `(runs, P)`. `changes`
    replace settings.
    """
    rival = RIVALS[name]
    settings = rival.settings | changes
    timing, vectors, counts = rival.play(work, starts, repeats, **settings)
    return row_of(work, name, rival.title, settings, timing, vectors, counts), vectors


def row_of(
    work: Work,
    name: str,
    title: str,
    settings: dict,
    timing: dict,
    vectors: np.ndarray,
    counts: dict,
) -> dict:
    """What is kept of one solver on one work: the times of a run, and its end vectors as `plain.py`
    judges them.
    """
    runs = len(vectors)
    risks, gradients = work.judge(vectors)
    each = [taken / runs for taken in timing["seconds"]]
    return {
        "work": work.name,
        "solver": name,
        "title": title,
        "settings": settings,
        "runs": runs,
        "compile_seconds": timing["compile_seconds"],
        "seconds_per_run": each,
        "median_seconds_per_run": statistics.median(each),
        "converged": int(np.sum(gradients <= work.tolerance)),
        "largest_gradient": float(np.max(gradients)),
        "median_gradient": float(np.median(gradients)),
        "counts": counts,
        "risks": risks,
    }
