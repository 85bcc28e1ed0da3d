"""The public table of kernels: checks, the distribution of the inputs, and blocks of rows where
the table is large.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcompress._internal.checks import (
    as_array,
    check_finite,
    check_floating,
    check_integer,
    check_layer,
)
from jaxcompress.kernels._inputs import AbstractInputs, StandardNormal
from jaxcompress.kernels.activations._activation import AbstractActivation, check_activation
from jaxcompress.kernels.tables._blocks import in_blocks
from jaxcompress.kernels.tables._completed import DEGREES, serves
from jaxcompress.kernels.tables._correlations import product
from jaxcompress.kernels.tables._pairwise import table
from jaxcompress.kernels.tables._products import (
    AbstractProfile,
    profile,
    table_by_products,
    times_by_products,
)
from jaxcompress.kernels.tables._spectral import table_by_series, truncated_table

# Numbers in one block of pairwise difference vectors: 128 MiB in float64. Larger tables go row by
# row in blocks.
_BLOCK = 2**24
# Pairs in one block of a table by series, which holds a few numbers for each of them.
_PAIRS = 2**18
# Numbers in the pairwise difference vectors (`n·k·d`) from which on tables without means are made
# of matrix products. Here those vectors take 0.7 ms (one core, float64: 64 × 64 neurons, d = 64),
# the products 0.03 ms; what is smaller keeps its last digits.
_LARGE = 2**18


def gram(
    f: AbstractActivation,
    W: Float[Array, "n d"],
    g: AbstractActivation,
    V: Float[Array, "k d"],
    *,
    bias_f: Float[Array, " n"] | None = None,
    bias_g: Float[Array, " k"] | None = None,
    inputs: AbstractInputs | None = None,
    method: str = "auto",
    order: int | None = None,
) -> Float[Array, "n k"]:
    """The expectations `E[f(w_i·x + bias_f_i) g(v_j·x + bias_g_j)]` over Gaussian inputs.

    Arguments, all arrays of one floating dtype:

    - `W (n, d)`, `V (k, d)`: the weights of both families;
    - `f`, `g`: their activations (static);
    - `bias_f (n,)`, `bias_g (k,)`: their hidden biases, or `None`;
    - `inputs`: their distribution, `StandardNormal()` when left out;
    - `method`: `"auto"` makes large tables of matrix products and of Hermite series, with the exact
      formulas for pairs whose series is too long; `"exact"` has these for all pairs; `"spectral"`
      the series alone, which `gram_error` bounds;
    - `order`: for `"spectral"`, how many degrees are summed at most, in chunks of 16; 512 when left
      out. It ends earlier where all pairs are done.

    Returns the table `(n, k)` in that dtype. Differentiable twice, forward and reverse, in every
    array; a homogeneous neuron of zero norm has derivative zero. Accuracy: exact to the last digits
    at every corner for tables that are small or have means, but for what `activations` says of
    sine, cosine and high degrees. From `n·k·d = 2^18` on, tables without means are made of matrix
    products, twenty times faster and more. Their values are within 4e-15 of `√(E f² E g²)`
    (float32: 1e-6), and what changes of the weights by a share of their norms do to them within
    1e-13 (1e-5), also where neurons coincide, oppose or almost do, and at norms 1e-8 and 1e8;
    second derivatives within 1e-11. Not so for erf with erf where both neurons are long and almost
    coincide or oppose: the derivative is good to `1e-23 |w|²` (float32: `1e-10 |w|²`). Norms must
    lie between 1e-150 and 1e150 (float32: 1e-18 and 1e18).
    Memory: a table is made in blocks, computed again in reverse mode; beyond it and the weights a
    few blocks are held. Raises `ValueError` when shapes or dtypes do not fit or `f` or `g` is no
    activation.
    References: Cho & Saul 2009 (ReLU), Saad & Solla 1995 (erf), Price 1958 (derivatives).

    >>> import jax.numpy as jnp
    >>> from jaxcompress.kernels import activations, gram
    >>> table = gram(activations.relu, jnp.eye(2), activations.relu, jnp.eye(2))
    >>> bool(jnp.allclose(table, jnp.array([[1 / 2, 1 / (2 * jnp.pi)], [1 / (2 * jnp.pi), 1 / 2]])))
    True
    """
    check_activation("gram", f)
    check_activation("gram", g)
    degrees = checked_method("gram", method, order)
    layers = checked_layers("gram", W, bias_f, V, bias_g, inputs)
    if method == "spectral":
        return table_of_series(f, g, degrees, *layers)
    return table_in_blocks(f, g, *layers, exact=method == "exact")


def checked_method(where: str, method: str, order: int | None) -> int:
    """The most degrees of a series. Raises `ValueError` for unknown methods, and for an order where
    there is no series to have one.
    """
    if method not in ("auto", "exact", "spectral"):
        raise ValueError(
            f'{where}: given method={method!r}; expected "auto", "exact" or "spectral"; leave it '
            "out for the accuracy of the dtype"
        )
    if order is None:
        return DEGREES
    if method != "spectral":
        raise ValueError(
            f'{where}: given order={order!r} with method={method!r}; expected it with "spectral" '
            'alone; pass method="spectral", or leave it out'
        )
    return check_integer(where, "order", order, 1, remedy="leave it out for 512")


def checked_layers(
    where: str, W, bias_f, V, bias_g, inputs: AbstractInputs | None
) -> tuple[Array, Array | None, Array, Array | None]:
    """Weights and means of both families on standard normal inputs. Raises `ValueError` as
    `gram`.
    """
    inputs = StandardNormal() if inputs is None else inputs
    W, V = as_array(where, "W", W), as_array(where, "V", V)
    bias_f = None if bias_f is None else as_array(where, "bias_f", bias_f)
    bias_g = None if bias_g is None else as_array(where, "bias_g", bias_g)
    check_layer(where, "W", W, bias_f)
    check_layer(where, "V", V, bias_g)
    check_floating(
        where, W=W, V=V, bias_f=bias_f, bias_g=bias_g, mean=getattr(inputs, "mean", None)
    )
    check_finite(where, W=W, V=V, bias_f=bias_f, bias_g=bias_g)
    if W.shape[1] != V.shape[1] or inputs.dim not in (None, W.shape[1]):
        law = "" if inputs.dim is None else f" and inputs of dimension {inputs.dim}"
        raise ValueError(
            f"{where}: given W of shape {W.shape}, V of shape {V.shape}{law}; expected one input "
            "dimension for all; pass weights as (neurons, input dimension), transposed if need be"
        )
    return (*inputs.standardize(W, bias_f), *inputs.standardize(V, bias_g))


def _by_products(f, g, weights_x, mean_x, weights_y, mean_y) -> AbstractProfile | None:
    """How a table is a matter of matrix products, or `None` where it is not, or is small."""
    (n, d), k = weights_x.shape, weights_y.shape[0]
    return profile(f, g) if mean_x is None and mean_y is None and n * k * d >= _LARGE else None


def in_one_piece(f, g, weights_x, mean_x, weights_y, mean_y) -> bool:
    """Whether a table is neither made of matrix products nor in blocks of rows."""
    (n, d), k = weights_x.shape, weights_y.shape[0]
    return n * k * d <= _BLOCK and _by_products(f, g, weights_x, mean_x, weights_y, mean_y) is None


@eqx.filter_jit
def table_in_blocks(
    f, g, weights_x, mean_x, weights_y, mean_y, exact: bool = False
) -> Float[Array, "n k"]:
    """`table`, in blocks of rows whose memory is given back before the next, also in reverse
    mode.
    """
    shape = None if exact else _by_products(f, g, weights_x, mean_x, weights_y, mean_y)
    if shape is not None:
        return table_by_products(shape, weights_x, weights_y)
    k, d = weights_y.shape
    by_series = not exact and serves(f, g, weights_x.shape[0], k, d)
    entries = table_by_series if by_series else table
    rows = _PAIRS // max(1, k) if by_series else _BLOCK // max(1, k * d)
    return in_blocks(
        lambda some: entries(f, g, *some, weights_y, mean_y), (weights_x, mean_x), max(1, rows)
    )


@eqx.filter_jit
def table_of_series(f, g, degrees: int, weights_x, mean_x, weights_y, mean_y):
    """The table by series of at most so many degrees, in blocks of rows."""
    rows = max(1, _PAIRS // max(1, weights_y.shape[0]))
    return in_blocks(
        lambda some: truncated_table(f, g, degrees, (0, 0), *some, weights_y, mean_y),
        (weights_x, mean_x),
        rows,
    )


@eqx.filter_jit
def table_times(
    f, g, weights_x, mean_x, weights_y, mean_y, right: Float[Array, "k m"]
) -> tuple[Float[Array, "n m"], Float[Array, "n m"]]:
    """`table @ right`, and `|table| @ |right|` without derivatives; a large table is never there as
    a whole.
    """
    shape = _by_products(f, g, weights_x, mean_x, weights_y, mean_y)
    if shape is not None:
        return times_by_products(shape, weights_x, weights_y, right)
    entries = table_in_blocks(f, g, weights_x, mean_x, weights_y, mean_y)
    sizes = jax.lax.stop_gradient((jnp.abs(entries), jnp.abs(right)))
    return product(entries, right), product(*sizes)
