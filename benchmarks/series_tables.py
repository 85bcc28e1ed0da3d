"""Tables of neurons with biases by Hermite series, beside the exact formulas of every pair.

    python benchmarks/series_tables.py --core 0

Two sizes: 16 × 128 neurons in 64 dimensions, the tables of a trained layer that is compressed, and
1536 × 768 in 384, those of a layer of a language model. Norms are near one, biases standard normal.
Each row has the processor time of a pair for the value, and for the value and the gradient of a sum
with given weights, what compiling took, and the largest difference from the exact formulas,
relative to the largest entry. For the wide table the exact formulas are left out, and what stands
beside it are three bare products of matrices: `ρ` and its gradient by both families."""

import time

import common
import jax
import jax.numpy as jnp
import numpy as np

import jaxcompress as jc

NAMES = ("relu", "erf", "tanh", "sigmoid", "softplus", "silu", "gelu")
LAYER, WIDE = (16, 128, 64), (1536, 768, 384)


def families(size: tuple[int, int, int]) -> tuple[jax.Array, ...]:
    """Weights and biases of both."""
    n, m, d = size
    rng = np.random.default_rng(0)
    made = []
    for count in (n, m):
        made += [rng.normal(size=(count, d)) / d**0.5, rng.normal(size=count)]
    return tuple(jnp.asarray(part) for part in made)


def quantities(name: str, method: str, size: tuple[int, int, int]) -> dict:
    """The table, and value and gradient of a weighted sum of it."""
    f = getattr(jc.activations, name)
    weights = jnp.asarray(np.random.default_rng(1).normal(size=size[:2]))

    def table(w, b, v, c):
        return jc.kernels.gram(f, w, f, v, bias_f=b, bias_g=c, method=method)

    def total(weights, *arrays):
        return jnp.sum(weights * table(*arrays))

    slope = jax.value_and_grad(total, argnums=(1, 2, 3, 4))
    return {
        "value": table,
        "value and gradient": lambda *arrays: slope(weights, *arrays),
    }


def measure(function, arrays, repeats: int) -> tuple[dict, list[np.ndarray]]:
    """Processor seconds of compiling and of a call, and the answer."""
    lowered = jax.jit(function).lower(*arrays)
    begin = time.process_time()
    compiled = lowered.compile()
    seconds = time.process_time() - begin
    timing = common.per_call(lambda: jax.block_until_ready(compiled(*arrays)), repeats=repeats)
    lines = len(lowered.as_text().splitlines())
    answer = [np.asarray(leaf) for leaf in jax.tree.leaves(compiled(*arrays))]
    return {**timing, "compile_cpu_seconds": seconds, "stablehlo_lines": lines}, answer


def three_products(w, b, v, c):
    """`W Vᵀ`, and the two products that a gradient by both families needs."""
    exact = jax.lax.Precision.HIGHEST
    rho = jnp.matmul(w, v.T, precision=exact)
    return rho, jnp.matmul(rho, v, precision=exact), jnp.matmul(rho.T, w, precision=exact), b, c


def layer_rows(repeats: int) -> list[dict]:
    """The small tables by both methods."""
    rows, arrays = [], families(LAYER)
    for name in NAMES:
        answers: dict = {}
        for method in ("auto", "exact"):
            for quantity, function in quantities(name, method, LAYER).items():
                timing, answer = measure(function, arrays, repeats)
                row = {"table": "layer", "activation": name, "method": method, "quantity": quantity}
                row |= timing
                row["nanoseconds_a_pair"] = 1e9 * timing["median_cpu_seconds"] / LAYER[0] / LAYER[1]
                first = answers.setdefault(quantity, answer)
                row["largest_difference"] = max(
                    float(np.max(np.abs(x - y)) / np.max(np.abs(y)))
                    for x, y in zip(first, answer, strict=True)
                )
                rows.append(row)
                show(row)
    return rows


def wide_rows(repeats: int) -> list[dict]:
    """The wide table beside three bare products."""
    arrays = families(WIDE)
    bare, _ = measure(three_products, arrays, repeats)
    rows = []
    for name in NAMES:
        for quantity, function in quantities(name, "auto", WIDE).items():
            timing, _ = measure(function, arrays, repeats)
            row = {"table": "wide", "activation": name, "method": "auto", "quantity": quantity}
            row |= timing
            row["nanoseconds_a_pair"] = 1e9 * timing["median_cpu_seconds"] / WIDE[0] / WIDE[1]
            row["over_three_products"] = timing["median_cpu_seconds"] / bare["median_cpu_seconds"]
            rows.append(row)
            show(row)
    return rows


def show(row: dict) -> None:
    """One line of progress."""
    title = f"{row['table']} {row['activation']} {row['quantity']}, {row['method']}"
    print(
        f"{title:48s} {row['nanoseconds_a_pair']:10.0f} ns a pair"
        f" compile {row['compile_cpu_seconds']:5.1f} s {row['stablehlo_lines']:6d} lines"
        f" difference {row.get('largest_difference', 0):.1e}"
        f" over products {row.get('over_three_products', 0):.2f}",
        flush=True,
    )


def main() -> None:
    made = common.parser(__doc__, "series_tables.json")
    made.add_argument("--repeats", type=int, default=5)
    options = made.parse_args()
    common.pin(options.core)
    rows = layer_rows(options.repeats)
    rows += wide_rows(options.repeats)
    common.write(options.out, {"rows": rows})


if __name__ == "__main__":
    main()
