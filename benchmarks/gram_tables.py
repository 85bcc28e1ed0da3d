"""Tables of pairs of neurons by themselves: work A, a larger one, and gradients of their sums,
against plain jnp.

python benchmarks/gram_tables.py --core 0      # works.py plays work A too

Work A is 1000 × 1000 neurons in 100 dimensions; the larger table is 4096 × 4096 in 512.
neural-tangents, which held the record, does not import on current JAX: what it says (`arcsin`, and
`arctan2` for the angle, of the normalised product) is written out here, beside the closed forms of
`plain.py`. The bare product of matrices is what no table can be below.
"""

import common
import jax
import jax.numpy as jnp
import numpy as np
from plain import TABLES

import jaxcompress as jc

WORK_A, LARGE = (1000, 100), (4096, 512)


def weights(neurons: int, dim: int) -> tuple[jax.Array, jax.Array]:
    """Two families of neurons with norms about one."""
    rng = np.random.default_rng(0)
    return tuple(jnp.asarray(rng.normal(size=(neurons, dim)) / dim**0.5) for _ in range(2))


def product(W, V):
    """`W Vᵀ` and nothing else."""
    return jnp.matmul(W, V.T, precision=jax.lax.Precision.HIGHEST)


def relu_by_arctan2(W, V):
    """ReLU as neural-tangents has it: the angle is `arctan2` of sine and cosine, whose derivative
    autodiff makes.
    """
    s, t = jnp.sum(W * W, -1)[:, None], jnp.sum(V * V, -1)[None]
    q = W @ V.T
    # the root needs its argument positive for autodiff: families that meet nowhere make it so
    root = jnp.sqrt(s * t - q * q)
    return (root + (jnp.pi - jnp.arctan2(root, q)) * q) / (2 * jnp.pi)


def functions(activation: str) -> dict:
    """The table of the package, the plain ones, and the bare product."""
    f = getattr(jc.activations, activation)
    ours = {"ours": lambda W, V: jc.kernels.gram(f, W, f, V)}
    rivals = {"erf": {}, "relu": {"plain jnp, arctan2": relu_by_arctan2}}[activation]
    return ours | {"plain jnp": TABLES[activation]} | rivals


def quantities(table, size: tuple[int, int]) -> dict:
    """What is asked of a table."""
    if size == LARGE:
        return {"value": table}

    def total(W, V):
        return jnp.sum(table(W, V))

    return {
        "value": table,
        "value and gradient": jax.value_and_grad(total, argnums=(0, 1)),
        "value and gradient by the first": jax.value_and_grad(total),
        "value and gradient with itself": lambda W, V: jax.value_and_grad(lambda W: total(W, W))(W),
    }


def rows(repeats: int, size: tuple[int, int] = WORK_A) -> list[dict]:
    """One row an activation, a solver and a quantity; ratios are of processor time."""
    W, V = weights(*size)
    bare = jax.jit(product)
    bare_seconds = common.per_call(lambda: jax.block_until_ready(bare(W, V)), repeats=repeats)[
        "median_cpu_seconds"
    ]
    out = []
    for activation in ("erf", "relu"):
        ours: dict = {}
        for solver, table in functions(activation).items():
            for quantity, function in quantities(table, size).items():
                if quantity.endswith("itself") and solver == "plain jnp, arctan2":
                    continue  # NaN: every neuron meets itself
                compiled = jax.jit(function)
                # waits after each call: two at once double the memory, and page faults then cost
                # more than the work
                timing = common.per_call(
                    lambda compiled=compiled: jax.block_until_ready(compiled(W, V)), repeats=repeats
                )
                answer = jax.tree.leaves(compiled(W, V))
                if solver == "ours":
                    ours[quantity] = answer, timing["median_cpu_seconds"]
                distance = max(
                    float(jnp.max(jnp.abs(x - y)))
                    for x, y in zip(ours[quantity][0], answer, strict=True)
                )
                row = {
                    "work": "A" if size == WORK_A else "large",
                    "activation": activation,
                    "solver": solver,
                }
                row |= {"quantity": quantity, "neurons": size[0], "dim": size[1], **timing}
                row |= {"largest_difference": distance, "product_cpu_seconds": bare_seconds}
                row["ratio_to_ours"] = timing["median_cpu_seconds"] / ours[quantity][1]
                row["ratio_to_product"] = timing["median_cpu_seconds"] / bare_seconds
                out.append(row)
    return out


def show(row: dict) -> None:
    """One line of progress."""
    title = f"{row['activation']} {row['quantity']}, {row['solver']}"
    ratios = f"{row['ratio_to_ours']:6.2f} of ours {row['ratio_to_product']:6.2f} of the product"
    print(
        f"{row['work']:5s} {title:52s} {1e3 * row['median_cpu_seconds']:10.3f} ms {ratios}",
        flush=True,
    )


def main() -> None:
    made = common.parser(__doc__, "gram_tables.json")
    made.add_argument("--repeats", type=int, default=5)
    options = made.parse_args()
    common.pin(options.core)
    record = []
    for size in (WORK_A, LARGE):
        made_here = rows(options.repeats, size)
        record += made_here
        for row in made_here:
            show(row)
    common.write(options.out, {"rows": record})


if __name__ == "__main__":
    main()
