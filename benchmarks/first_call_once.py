"""What one fresh process measures for `first_call.py`: the price of a first call, by its parts.

Nothing heavy is imported before the clock is read. Seconds are of the processor, of all threads of
the process. JAX tells its listeners when a trace, a lowering or a compilation begins and ends;
these lie inside each other, so each is given the seconds that none inside it has.
"""

import json
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

N, K, D, RUNS, WIDTH = 3, 6, 7, 16, 16
PARTS = {
    "/jax/core/compile/jaxpr_trace_duration": "trace_seconds",
    "/jax/core/compile/jaxpr_to_mlir_module_duration": "lower_seconds",
    "/jax/core/compile/backend_compile_duration": "compile_seconds",
}


class Clock:
    """Processor seconds of the parts of a call, and the names of the programs that it needed."""

    def __init__(self):
        self.seconds = dict.fromkeys(PARTS.values(), 0.0)
        self.names: list[str] = []
        self.fetched = 0
        self._open: list[list] = []  # event, when it began, seconds of the parts inside it

    def begin(self, event: str, value: float, **_: Any) -> None:
        if event in PARTS:
            self._open.append([event, time.process_time(), 0.0])

    def end(self, event: str, seconds: float, fun_name: str = "", **_: Any) -> None:
        if event not in PARTS:
            return
        begun, inside = 0.0, 0.0
        while self._open and (last := self._open.pop()):
            begun, inside = last[1], last[2]
            if last[0] == event:
                break
        took = time.process_time() - begun
        self.seconds[PARTS[event]] += took - inside
        if self._open:
            self._open[-1][2] += took
        if PARTS[event] == "compile_seconds":
            self.names.append(fun_name.removeprefix("jit(").removesuffix(")"))

    def hear(self, event: str, **_: Any) -> None:
        self.fetched += event == "/jax/compilation_cache/cache_hits"


@contextmanager
def clock() -> Iterator[Clock]:
    """A clock that listens inside the context."""
    import jax

    made = Clock()
    jax.monitoring.register_scalar_listener(made.begin)
    jax.monitoring.register_event_duration_secs_listener(made.end)
    jax.monitoring.register_event_listener(made.hear)
    try:
        yield made
    finally:
        jax.monitoring.unregister_scalar_listener(made.begin)
        jax.monitoring.unregister_event_duration_listener(made.end)
        jax.monitoring.unregister_event_listener(made.hear)


def timed(call: Callable[[], Any]) -> dict:
    """Processor seconds of a call and of its parts, and how many programs it compiled or fetched.

    `programs` leaves out single operations on arrays, which take 10 to 30 ms each: those are
    `operations`.
    """
    import jax
    import jax.numpy as jnp

    begin = time.process_time()
    with clock() as heard:
        jax.block_until_ready(call())
    taken = time.process_time() - begin
    whole = [name for name in heard.names if not (hasattr(jax.lax, name) or hasattr(jnp, name))]
    return {
        "seconds": taken,
        **heard.seconds,
        "run_seconds": taken - sum(heard.seconds.values()),
        "programs": len(whole),
        "operations": len(heard.names) - len(whole),
        "fetched": heard.fetched,
    }


def activation_of(name: str) -> Any:
    """An activation of the library from its name: `relu`, `leaky_relu(0.1)`,
    `elementwise(tanh)`.
    """
    import jax.numpy as jnp

    import jaxcompress as jc

    word, _, inside = name.partition("(")
    made = getattr(jc.activations, word)
    if not inside:
        return made
    inside = inside.removesuffix(")")
    if word == "elementwise":
        return made(getattr(jnp, inside))
    return made(float(inside) if "." in inside else int(inside))


def problem(name: str, biased: bool) -> tuple[Any, Any]:
    """Glorot starts and an orthonormal target, with hidden and output biases or without."""
    import jax
    import jax.numpy as jnp

    import jaxcompress as jc

    f = activation_of(name)
    target = jc.targets.orthonormal(K, D, activation=f)
    starts = jc.initialize.glorot_normal(jax.random.key(0), N, D, activation=f, runs=RUNS)
    if biased:
        biases = jnp.full(K, 0.1), jnp.zeros(())
        target = jc.TwoLayer(target.weights, target.readout, *biases, activation=f)
        biases = jnp.zeros((RUNS, N)), jnp.zeros(RUNS)
        starts = jc.TwoLayer(starts.weights, starts.readout, *biases, activation=f)
    return starts, target


def counted(name: str, biased: bool) -> dict:
    """Lines of the solver's StableHLO, with the evaluations of `erfc` and `exp` in it."""
    import jax

    import jaxcompress as jc

    starts, target = problem(name, biased)
    begin = time.process_time()
    text = jax.jit(lambda starts: jc.solve_many(starts, target)).lower(starts).as_text()
    return {
        "lines": text.count("\n"),
        "erfc": text.count("chlo.erfc "),
        "exp": text.count("stablehlo.exponential "),
        "seconds": time.process_time() - begin,
    }


def reference(name: str, biased: bool) -> dict:
    """Processor seconds to compile one value with its gradient, and one Hessian, of the same
    problem.
    """
    import jax

    import jaxcompress as jc

    starts, target = problem(name, biased)
    student = jax.tree.map(lambda leaf: leaf[0], starts)
    out = {}
    value_and_gradient = jax.value_and_grad(jc.population_risk)
    for what, function in {"gradient": value_and_gradient, "hessian": jc.risk_hessian}.items():
        begin = time.process_time()
        jax.jit(function).lower(student, target).compile()
        out[f"{what}_seconds"] = time.process_time() - begin
    return out


def peak() -> int:
    """Bytes that this process held at its largest."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def solver(name: str, biased: bool, warm: bool) -> dict:
    """A first and a second `solve_many`, and what one value, gradient and Hessian cost to compile.

    These come after the call, which finds nothing prepared, while they may find parts traced: the
    ratio is no better than it should be. With a warm cache lines are counted in their place.
    """
    import jaxcompress as jc

    _ = jc.solve_many
    imported = time.process_time()
    starts, target = problem(name, biased)
    first = timed(lambda: jc.solve_many(starts, target))
    held = peak()
    again = timed(lambda: jc.solve_many(starts, target))
    row = {"import_seconds": imported, "first": first, "again": again, "peak_bytes": held}
    if warm:
        return {**row, "counted": counted(name, biased)}
    compiled = reference(name, biased)
    return {**row, "reference": compiled, "ratio": first["seconds"] / sum(compiled.values())}


def digits(folder: Path) -> dict:
    """A first `compress` of the layer trained on digits, and a second with another key."""
    import jax

    import jaxcompress as jc

    _ = jc.compress
    imported = time.process_time()
    with jax.numpy.load(folder / "inputs.npz") as arrays:
        law = jc.Gaussian(
            jax.numpy.asarray(arrays["mean"]), jax.numpy.asarray(arrays["covariance"])
        )
    target = jc.load(folder / "target.npz")
    keys, found = jax.random.split(jax.random.key(0)), {}

    def call(seed: int) -> Any:
        small = jc.compress(target, WIDTH, key=keys[seed], inputs=law)
        found[f"relative_risk_{seed}"] = float(small.relative_risk)
        return small.network

    row = {"import_seconds": imported, "first": timed(lambda: call(0)), "peak_bytes": peak()}
    return {**row, "again": timed(lambda: call(1)), **found}


def main() -> None:
    import jax

    jax.config.update("jax_enable_x64", True)
    asked = json.loads(sys.argv[1])
    if asked.get("cache"):
        import jaxcompress as jc

        jc.keep_programs(asked["cache"])
    if "digits" in asked:
        row = digits(Path(asked["digits"]))
    elif asked["what"] == "count":
        row = counted(asked["name"], asked["biased"])
    else:
        row = solver(asked["name"], asked["biased"], asked["what"] == "warm")
    print(json.dumps(row))


if __name__ == "__main__":
    main()
