"""The public table of kernels: checks, the input law, and blocks of rows where the table is large."""

import equinox as eqx
import jax
from jaxtyping import Array, Float

from jaxcompress.kernels._activation import AbstractActivation
from jaxcompress.kernels._checks import as_array, check_finite, check_floating, check_layer
from jaxcompress.kernels._formulas import formulas
from jaxcompress.kernels._inputs import AbstractInputs, StandardNormal
from jaxcompress.kernels._table import table

# Numbers in one block of pairwise difference vectors: 128 MiB in float64. Larger tables go row by row in blocks.
_BLOCK = 2**24


def gram(
    f: AbstractActivation,
    W: Float[Array, "n d"],
    g: AbstractActivation,
    V: Float[Array, "k d"],
    *,
    bias_f: Float[Array, " n"] | None = None,
    bias_g: Float[Array, " k"] | None = None,
    inputs: AbstractInputs | None = None,
) -> Float[Array, "n k"]:
    """The expectations `E[f(w_i·x + bias_f_i) g(v_j·x + bias_g_j)]` over Gaussian inputs.

    Arguments: activations `f`, `g` (static); weights `W (n, d)` and `V (k, d)`, hidden biases `(n,)` and
    `(k,)` or `None`, all of one floating dtype; `inputs`, a law (`StandardNormal()` when left out).
    Returns the table `(n, k)` in that dtype. Differentiable twice, forward and reverse, in every array;
    a homogeneous neuron of zero norm has derivative zero.
    Raises `ValueError` when shapes or dtypes do not fit or an activation has no kernel.
    References: Cho & Saul 2009 (ReLU), Saad & Solla 1995 (erf), Price 1958 (derivatives).
    """
    formulas(f, g)
    return table_in_blocks(f, g, *checked_layers("gram", W, bias_f, V, bias_g, inputs))


def checked_layers(
    where: str, W, bias_f, V, bias_g, inputs: AbstractInputs | None
) -> tuple[Array, Array | None, Array, Array | None]:
    """Weights and means of both families on standard normal inputs. Raises `ValueError` as `gram`."""
    inputs = StandardNormal() if inputs is None else inputs
    W, V = as_array(where, "W", W), as_array(where, "V", V)
    bias_f = None if bias_f is None else as_array(where, "bias_f", bias_f)
    bias_g = None if bias_g is None else as_array(where, "bias_g", bias_g)
    check_layer(where, "W", W, bias_f)
    check_layer(where, "V", V, bias_g)
    check_floating(where, W=W, V=V, bias_f=bias_f, bias_g=bias_g, mean=getattr(inputs, "mean", None))
    check_finite(where, W=W, V=V, bias_f=bias_f, bias_g=bias_g)
    if W.shape[1] != V.shape[1] or inputs.dim not in (None, W.shape[1]):
        law = "" if inputs.dim is None else f" and inputs of dimension {inputs.dim}"
        raise ValueError(
            f"{where}: given W of shape {W.shape}, V of shape {V.shape}{law}; expected one input dimension for all; "
            "pass weights as (neurons, input dimension), transposed if need be"
        )
    return (*inputs.standardize(W, bias_f), *inputs.standardize(V, bias_g))


@eqx.filter_jit
def table_in_blocks(f, g, weights_x, mean_x, weights_y, mean_y) -> Float[Array, "n k"]:
    """`table`, in blocks of rows whose memory is given back before the next, also in reverse mode."""
    n, k, d = weights_x.shape[0], weights_y.shape[0], weights_x.shape[1]
    rows = max(1, _BLOCK // max(1, k * d))
    if rows >= n:
        return table(f, g, weights_x, mean_x, weights_y, mean_y)

    @jax.checkpoint
    def row(neuron):
        weights, mean = neuron
        return table(f, g, weights[None], None if mean is None else mean[None], weights_y, mean_y)[0]

    return jax.lax.map(row, (weights_x, mean_x), batch_size=rows)
