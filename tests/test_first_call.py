"""What a first call compiles, counted: lines of StableHLO, evaluations of `erfc`, programs.

`benchmarks/first_call.py` measures what they cost in seconds, and keeps the record.
"""

import contextlib

import jax
import jax.numpy as jnp
import pytest

import jaxcompress as jc

N, K, D, RUNS = 3, 6, 7, 16
ERF, RELU = jc.activations.erf, jc.activations.relu


def problem(activation, biased, seed=0, runs=RUNS, readout=1.0):
    """Glorot starts and an orthonormal target, with hidden and output biases or without."""
    target = jc.targets.orthonormal(K, D, activation=activation, readout=readout)
    starts = jc.initialize.glorot_normal(
        jax.random.key(seed), N, D, activation=activation, runs=runs
    )
    if biased:
        bias, none = jnp.full(K, 0.1), jnp.zeros(())
        target = jc.TwoLayer(target.weights, target.readout, bias, none, activation=activation)
        bias, none = jnp.zeros((runs, N)), jnp.zeros(runs)
        starts = jc.TwoLayer(starts.weights, starts.readout, bias, none, activation=activation)
    return starts, target


def lowered(activation, biased):
    """The StableHLO of `solve_many`, as a list of lines."""
    starts, target = problem(activation, biased)
    solve = jax.jit(lambda starts: jc.solve_many(starts, target))
    return solve.lower(starts).as_text().splitlines()


# With copies of the risk wherever one was needed they were 11 893, 16 643, 88 726 and 45 261 lines.
@pytest.mark.parametrize(
    ("activation", "biased", "most"),
    [(ERF, False, 6000), (RELU, False, 6000), (ERF, True, 12_000), (RELU, True, 12_000)],
    ids=["erf", "relu", "erf with biases", "relu with biases"],
)
def test_the_solver_is_a_small_program(activation, biased, most):
    lines = lowered(activation, biased)
    count = len(lines)
    assert count <= most
    # 670 with biases once, 18 for one value with its gradient and 6 for one Hessian
    assert sum("erfc" in line for line in lines) <= (60 if biased else 0)


@contextlib.contextmanager
def compiled():
    """Collects the name of every program that is compiled or fetched, but for single operations."""
    found = []

    def listen(event, seconds, fun_name="", **_):
        name = fun_name.removeprefix("jit(").removesuffix(")")
        single = hasattr(jax.lax, name) or hasattr(jnp, name)
        if event == "/jax/core/compile/backend_compile_duration" and not single:
            found.append(name)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield found
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def test_a_call_is_one_program_for_17_40_and_64_runs_and_for_other_tolerances_seeds_and_targets():
    drawn = ((0, 40, 1.0), (1, 17, 2.0), (2, 64, 1.5))
    calls = [problem(ERF, False, seed, runs, readout) for seed, runs, readout in drawn]
    tight = {"gradient_tolerance": 1e-9, "flow_tolerance": 1e-7}
    options = [{}, tight, {"rtol": 1e-4, "atol": 1e-5, "max_steps": 1000}]
    with compiled() as found:
        first = jc.solve_many(*calls[0])
    assert len(found) == 1, found
    with compiled() as found:
        others = [jc.solve_many(*call, **option) for call in calls[1:] for option in options]
    assert found == []
    for sols, runs in zip((first, *others), (40, *[17] * 3, *[64] * 3), strict=True):
        assert sols.risk.shape == (runs,)
        assert bool(jnp.all(sols.converged))
