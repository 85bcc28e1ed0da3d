"""The gradient of the risk by the student's weights, against a target of a million neurons: time
and peak memory.

    python benchmarks/million.py --core 0  # float64 and float32, a fresh process each
    python benchmarks/million.py --neurons 100000 --core 0  # a tenth of it

The yardstick is three bare products of matrices, played on the same arrays in the same process: the
correlations `W Vᵀ`, and the two that a reverse pass over them makes, `C V` and `Cᵀ W`. Only the
first two are needed for a gradient in `W`; the third is what a gradient in both would need. As
whole arrays these products mostly wait for memory (their results take 0.5, 0 and 2 GB), so a second
yardstick is stricter: the same three on a block of 4000 neurons that stays in the cache, times the
number of blocks. Ratios are of processor time. Memory is what the process ever held, less what it
held before the target was made, in units of the target's own weights.
"""

import json
import resource
import subprocess
import sys

import common
import jax
import jax.numpy as jnp

import jaxcompress as jc

DIM, STUDENTS, BLOCK = 256, 64, 4000


def peak() -> int:
    """Bytes that this process held at its largest."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )


def weights(seed: int, neurons: int, dtype) -> jax.Array:
    """Normal weights of norm about one, drawn in blocks: making them must not be the peak."""
    blocks = next(count for count in range(max(1, neurons // 2000), 0, -1) if neurons % count == 0)
    shape, size = (neurons // blocks, DIM), 1 / DIM**0.5
    keys = jax.random.split(jax.random.key(seed), blocks)
    draw = jax.jit(
        lambda keys: jax.lax.map(lambda key: size * jax.random.normal(key, shape, dtype), keys)
    )
    return jax.block_until_ready(jax.jit(lambda keys: draw(keys).reshape(neurons, DIM))(keys))


def products(W, V, C) -> list:
    """The three bare products; their results are of the size of `C`, of `W` and of `V`."""
    high = jax.lax.Precision.HIGHEST
    calls = [
        lambda W, V: jnp.matmul(W, V.T, precision=high),
        lambda C, V: jnp.matmul(C, V, precision=high),
    ]
    calls.append(lambda C, W: jnp.matmul(C.T, W, precision=high))
    return [
        (jax.jit(call), arguments)
        for call, arguments in zip(calls, ((W, V), (C, V), (C, W)), strict=True)
    ]


def measure(dtype: str, activation: str, neurons: int, repeats: int) -> dict:
    """One row, in this process."""
    start = peak()
    f = getattr(jc.activations, activation)
    V, W = weights(0, neurons, dtype), weights(1, STUDENTS, dtype)
    target = jc.TwoLayer(V, jnp.full(neurons, 1 / neurons, dtype), activation=f)
    student = jc.TwoLayer(W, jnp.full(STUDENTS, 1 / STUDENTS, dtype), activation=f)
    made = peak()
    gradient = jax.jit(
        lambda student, target: jax.grad(jc.population_risk)(student, target).weights
    )
    taken = common.per_call(lambda: gradient(student, target), repeats=repeats)
    held, out = peak(), gradient(student, target)
    C = jax.block_until_ready(jax.jit(lambda: jnp.ones((STUDENTS, neurons), dtype))())
    small = jnp.array(V[:BLOCK]), jnp.array(C[:, :BLOCK])
    bare, cached = (
        [
            common.per_call(lambda call=call, given=given: call(*given), repeats=repeats)[
                "median_cpu_seconds"
            ]
            for call, given in products(W, *arrays)
        ]
        for arrays in ((V, C), small)
    )
    seconds, whole, strict = taken["median_cpu_seconds"], sum(bare), sum(cached) * neurons / BLOCK
    return {
        "dtype": dtype,
        "activation": activation,
        "neurons": neurons,
        "students": STUDENTS,
        "dim": DIM,
        **taken,
        "products_cpu_seconds": bare,
        "ratio_to_products": seconds / whole,
        "products_in_cache_cpu_seconds": strict,
        "ratio_to_products_in_cache": seconds / strict,
        "target_bytes": V.nbytes,
        "peak_bytes_before": start,
        "peak_bytes_with_target": made,
        "peak_bytes": held,
        "peak_over_target": (held - start) / V.nbytes,
        "largest_gradient": float(jnp.max(jnp.abs(out))),
    }


def arguments():
    made = common.parser(__doc__, "million.json")
    made.add_argument("--neurons", type=int, default=1_000_000)
    made.add_argument("--repeats", type=int, default=3)
    made.add_argument(
        "--one", nargs=2, metavar=("DTYPE", "ACTIVATION"), help="measure this row here and print it"
    )
    return made.parse_args()


def main() -> None:
    options = arguments()
    common.pin(options.core)
    if options.one:
        print(json.dumps(measure(*options.one, options.neurons, options.repeats)))
        return
    rows = []
    for dtype in ("float64", "float32"):
        for activation in ("relu", "erf"):
            command = [
                sys.executable,
                __file__,
                "--one",
                dtype,
                activation,
                "--neurons",
                str(options.neurons),
            ]
            command += ["--repeats", str(options.repeats)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            row = json.loads(done.stdout.splitlines()[-1])
            rows.append(row)
            times = (
                f"{row['median_cpu_seconds']:.2f} s, {row['ratio_to_products']:.2f} of three "
                "products, "
            )
            times += f"{row['ratio_to_products_in_cache']:.2f} of them in the cache"
            print(
                f"{dtype} {activation}: {times}; peak {row['peak_over_target']:.2f} of the target",
                flush=True,
            )
    common.write(options.out, {"rows": rows})


if __name__ == "__main__":
    main()
