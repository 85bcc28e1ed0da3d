"""Whether the bound of a series holds, and how sharp it is: 18 tables of 32 × 32 pairs.

    python benchmarks/series_bounds.py

For every named activation one table of neurons with norms from 1e-3 to 30, means from −5 to 5 and
cosines up to 1 − 1e-9 (every second neuron of the second family is one of the first, moved a
little). The true error of a series of so many degrees is its difference from the exact formulas,
less what these may be off by themselves; beside it stands `gram_error(..., method="spectral")`.
"""

import common
import jax
import jax.numpy as jnp
import numpy as np

import jaxcompress as jc

NAMES = ["relu", "erf", "abs", "normal_cdf", "gelu", "tanh", "sigmoid", "softplus", "silu"]
NAMES += ["identity", "sin", "cos"]
SIDE, DIM, DEGREES = 32, 6, (16, 64, 256)


def named() -> dict:
    """The activations that have series."""
    A = jc.activations
    some = {name: getattr(A, name) for name in NAMES}
    some |= {f"rectified_power({p})": A.rectified_power(p) for p in (2, 3)}
    some |= {"leaky_relu(0.1)": A.leaky_relu(0.1), "bump(1)": A.bump(1.0)}
    return some | {f"{kind}(3)": getattr(A, kind)(3) for kind in ("monomial", "hermite")}


def families(seed: int):
    """Two families with their means."""
    rng = np.random.default_rng(seed)

    def norms():
        return np.exp(rng.uniform(np.log(1e-3), np.log(30), (SIDE, 1)))

    x, y = (rng.normal(size=(SIDE, DIM)) for _ in range(2))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    near = np.exp(rng.uniform(np.log(4e-5), 0, (SIDE, 1)))  # cosines 1 − near²/2
    y = np.where(np.arange(SIDE)[:, None] % 2 == 0, x + near * y / DIM**0.5, y)
    y /= np.linalg.norm(y, axis=1, keepdims=True)
    means = rng.uniform(-5, 5, (2, SIDE))
    return [jnp.asarray(a) for a in (norms() * x, norms() * y, *means)]


def measure(name: str, f, seed: int) -> list[dict]:
    """One table, for every number of degrees."""
    x, y, mean_x, mean_y = families(seed)
    known = {"bias_f": mean_x, "bias_g": mean_y}
    exact = np.asarray(jc.kernels.gram(f, x, f, y, **known, method="exact"))
    own = np.asarray(jc.kernels.gram_error(f, x, f, y, **known, method="exact"))
    rows = []
    for degrees in DEGREES:
        how = {**known, "method": "spectral", "order": degrees}
        series = np.asarray(jc.kernels.gram(f, x, f, y, **how))
        bound = np.asarray(jc.kernels.gram_error(f, x, f, y, **how))
        error = np.abs(series - exact)
        seen = error > 10 * own  # elsewhere the series is as good as the formulas
        ratio = bound[seen] / error[seen]
        rows.append(
            {
                "activation": name,
                "degrees": degrees,
                "pairs": error.size,
                "broken": int(np.sum(error > bound + own)),
                "worst": float(np.max(error / np.maximum(bound + own, np.finfo(float).tiny))),
                "above_rounding": int(np.sum(seen)),
                "median_of_bound_over_error": float(np.median(ratio)) if seen.any() else None,
            }
        )
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    options = common.parser(__doc__, "series_bounds.json").parse_args()
    jax.config.update("jax_enable_x64", True)
    rows = [row for i, (name, f) in enumerate(named().items()) for row in measure(name, f, i)]
    common.write(options.out, {"rows": rows})


if __name__ == "__main__":
    main()
