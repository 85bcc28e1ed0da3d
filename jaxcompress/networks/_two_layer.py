"""The one model of the package."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcompress._internal.checks import as_array, check_floating, check_run
from jaxcompress.kernels import AbstractActivation, activations


def output_axis(array: Any, outputs: int | None) -> Any:
    """An array of JAX or NumPy, one entry an output: `(..., o)`, also where one output has no axis
    (`outputs` is `None`).
    """
    return array[..., None] if outputs is None else array


class TwoLayer(eqx.Module):
    """A network of one hidden layer: `f(x) = Σ_i a_i φ(w_i·x + bias_i) + output_bias`.

    Arguments, all arrays of one floating dtype:

    - `weights (n, d)`, one row a neuron;
    - `readout (n,)` for one output, or `(n, o)` for several;
    - `bias (n,)`, or `None`;
    - `output_bias ()` or `(o,)`, or `None`;
    - `activation`, one of `jaxcompress.activations` (static).

    Many networks at once are a batch: all arrays have the same leading axes, `weights (runs, n, d)`
    and so on, and `networks[i]` is one of them. Leaves flatten in the order weights, readout, bias,
    output_bias.
    Raises `ValueError` when shapes or dtypes do not fit together.

    >>> import jax.numpy as jnp
    >>> from jaxcompress.networks import TwoLayer
    >>> float(TwoLayer(jnp.eye(2), jnp.ones(2))(jnp.asarray([3.0, -1.0])))
    3.0
    """

    weights: Float[Array, "*runs n d"]
    readout: Float[Array, "*runs n"] | Float[Array, "*runs n o"]
    bias: Float[Array, "*runs n"] | None
    output_bias: Float[Array, "*runs"] | Float[Array, "*runs o"] | None
    activation: AbstractActivation = eqx.field(static=True)

    def __init__(
        self,
        weights: Float[Array, "*runs n d"],
        readout: Float[Array, "*runs n"] | Float[Array, "*runs n o"],
        bias: Float[Array, "*runs n"] | None = None,
        output_bias: Float[Array, "*runs"] | Float[Array, "*runs o"] | None = None,
        activation: AbstractActivation = activations.relu,
    ):
        self.weights = as_array("TwoLayer", "weights", weights)
        self.readout = as_array("TwoLayer", "readout", readout)
        self.bias = None if bias is None else as_array("TwoLayer", "bias", bias)
        self.output_bias = (
            None if output_bias is None else as_array("TwoLayer", "output_bias", output_bias)
        )
        self.activation = activation
        self._check()

    def _check(self) -> None:
        check_floating("TwoLayer", **self.parameters())
        if not isinstance(self.activation, AbstractActivation):
            raise ValueError(
                f"TwoLayer: given activation {self.activation!r}; expected one of "
                "jaxcompress.activations, for example jaxcompress.activations.relu"
            )
        shapes = {name: array.shape for name, array in self.parameters().items()}
        one = shapes["weights"][:-1]
        runs, several = one[:-1], self.readout.ndim == len(one) + 1
        fits = (
            self.weights.ndim >= 2
            and one[-1] > 0
            and shapes["readout"][: len(one)] == one
            and (self.readout.ndim == len(one) or (several and self.readout.shape[-1] > 0))
            and shapes.get("bias", one) == one
            and shapes.get("output_bias", out := runs + shapes["readout"][len(one) :]) == out
        )
        if not fits:
            raise ValueError(
                "TwoLayer: given "
                f"{', '.join(f'{name} {shape}' for name, shape in shapes.items())}; expected "
                "weights (n, d) with n ≥ 1, readout (n,) or (n, o) with o ≥ 1, bias (n,), "
                "output_bias () or (o,), with the same leading axes on all; transpose or reshape "
                "what differs"
            )

    def parameters(self) -> dict[str, Array]:
        """The arrays that are there, by name, in the order in which they flatten."""
        named = {
            name: getattr(self, name) for name in ("weights", "readout", "bias", "output_bias")
        }
        return {name: array for name, array in named.items() if array is not None}

    @property
    def width(self) -> int:
        """Number of hidden neurons `n`."""
        return self.weights.shape[-2]

    @property
    def dim(self) -> int:
        """Input dimension `d`."""
        return self.weights.shape[-1]

    @property
    def outputs(self) -> int | None:
        """Number of outputs `o`, or `None` for a scalar output."""
        return None if self.readout.ndim == self.weights.ndim - 1 else self.readout.shape[-1]

    @property
    def readout_matrix(self) -> Float[Array, "*runs n o"]:
        """The readout with an axis of outputs, also where the output is a scalar (`o = 1`)."""
        return output_axis(self.readout, self.outputs)

    @property
    def runs(self) -> tuple[int, ...]:
        """The leading axes of a batch, `()` for one network."""
        return self.weights.shape[:-2]

    def __getitem__(self, run: Any) -> "TwoLayer":
        """One network of a batch, or some: `networks[3]`, `networks[:10]`, `networks[best]`.

        Arguments: `run`, what indexes the leading axes of an array: a number, a slice, an array of
        numbers or of booleans, or a tuple of these.
        Returns a `TwoLayer`, a batch again where `run` leaves or makes leading axes. Only leading
        axes are indexed: neurons are rows of the arrays.
        Raises `ValueError` for one network, `IndexError` for a number outside of the batch.

        >>> import jax
        >>> from jaxcompress import activations, initialize
        >>> key = jax.random.key(0)
        >>> starts = initialize.glorot_normal(key, 3, 7, activation=activations.erf, runs=100)
        >>> starts[0].weights.shape, starts[:10].weights.shape
        ((3, 7), (10, 3, 7))
        """
        check_run("TwoLayer", run, self.runs)
        return jax.tree.map(lambda leaf: leaf[run], self)

    def __call__(
        self, x: Float[Array, "*batch d"]
    ) -> Float[Array, "*batch"] | Float[Array, "*batch o"]:
        """Evaluate the network: `x (..., d)` to `(...,)`, or `(..., o)` for several outputs."""
        x = as_array("TwoLayer", "x", x)
        if self.weights.ndim != 2 or x.shape[-1:] != (self.dim,):
            raise ValueError(
                f"TwoLayer: given x of shape {x.shape} for weights of shape {self.weights.shape}; "
                "expected x (..., d) for weights (n, d); transpose x, or use jax.vmap for many "
                "networks"
            )
        hidden = x @ self.weights.T
        if self.bias is not None:
            hidden = hidden + jnp.broadcast_to(self.bias, hidden.shape)
        out = self.activation(hidden) @ self.readout
        return (
            out if self.output_bias is None else out + jnp.broadcast_to(self.output_bias, out.shape)
        )
