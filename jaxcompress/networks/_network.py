"""What all networks of one hidden layer have in common."""

import abc
from typing import Any, Self

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcompress._internal.checks import as_array, check_floating, check_run
from jaxcompress.kernels import AbstractActivation

# Parameters with a row for every neuron, and with a number for every neuron.
_ROWS, _NUMBERS = ("gate_weights", "weights"), ("gate_bias", "bias")


def output_axis(array: Any, outputs: int | None) -> Any:
    """An array of JAX or NumPy, one entry an output: `(..., o)`, also where one output has no axis
    (`outputs` is `None`).
    """
    return array[..., None] if outputs is None else array


class AbstractNetwork(eqx.Module):
    """A network of one hidden layer: `f(x) = Σ_i a_i h_i(x) + output_bias` with hidden units `h`.

    Many networks at once are a batch: all arrays have the same leading axes, and `networks[i]` is
    one of them.
    """

    weights: eqx.AbstractVar[Float[Array, "*runs n d"]]
    readout: eqx.AbstractVar[Float[Array, "..."]]
    output_bias: eqx.AbstractVar[Float[Array, "..."] | None]
    activation: eqx.AbstractVar[AbstractActivation]

    @abc.abstractmethod
    def parameters(self) -> dict[str, Array]:
        """The arrays that are there, by name, in the order in which they flatten."""

    @abc.abstractmethod
    def hidden(self, x: Float[Array, "*batch d"]) -> Float[Array, "*batch n"]:
        """The hidden units at inputs `x (..., d)`."""

    def input_rows(self) -> Float[Array, "*runs m d"]:
        """All vectors that the inputs are multiplied by: under standard normal inputs everything
        depends on their inner products alone.
        """
        rows = [array for name, array in self.parameters().items() if name in _ROWS]
        return rows[0] if len(rows) == 1 else jnp.concatenate(rows, axis=-2)

    def with_input_rows(self, rows: Float[Array, "*runs m r"]) -> Self:
        """The network with other vectors in their place, of any dimension."""
        names = [name for name in self.parameters() if name in _ROWS]
        split = [rows] if len(names) == 1 else jnp.split(rows, len(names), axis=-2)
        return eqx.tree_at(lambda s: [getattr(s, name) for name in names], self, list(split))

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

    def __getitem__(self, run: Any) -> Self:
        """One network of a batch, or some: `networks[3]`, `networks[:10]`, `networks[best]`.

        Arguments: `run`, what indexes the leading axes of an array: a number, a slice, an array of
        numbers or of booleans, or a tuple of these.
        Returns a network, a batch again where `run` leaves or makes leading axes. Only leading axes
        are indexed: neurons are rows of the arrays.
        Raises `ValueError` for one network, `IndexError` for a number outside of the batch.

        >>> import jax
        >>> from jaxcompress import activations, initialize
        >>> key = jax.random.key(0)
        >>> starts = initialize.glorot_normal(key, 3, 7, activation=activations.erf, runs=100)
        >>> starts[0].weights.shape, starts[:10].weights.shape
        ((3, 7), (10, 3, 7))
        """
        check_run(type(self).__name__, run, self.runs)
        return jax.tree.map(lambda leaf: leaf[run], self)

    def __call__(
        self, x: Float[Array, "*batch d"]
    ) -> Float[Array, "*batch"] | Float[Array, "*batch o"]:
        """Evaluate the network: `x (..., d)` to `(...,)`, or `(..., o)` for several outputs."""
        name = type(self).__name__
        x = as_array(name, "x", x)
        if self.weights.ndim != 2 or x.shape[-1:] != (self.dim,):
            raise ValueError(
                f"{name}: given x of shape {x.shape} for weights of shape {self.weights.shape}; "
                "expected x (..., d) for weights (n, d); transpose x, or use jax.vmap for many "
                "networks"
            )
        out = self.hidden(x) @ self.readout
        return (
            out if self.output_bias is None else out + jnp.broadcast_to(self.output_bias, out.shape)
        )

    def _check(self, rows: str, numbers: str) -> None:
        """Raise `ValueError` unless everything fits together; `rows` and `numbers` say in words
        what shapes neurons have.
        """
        name = type(self).__name__
        check_floating(name, **self.parameters())
        if not isinstance(self.activation, AbstractActivation):
            raise ValueError(
                f"{name}: given activation {self.activation!r}; expected one of "
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
            and all(shapes.get(row, shapes["weights"]) == shapes["weights"] for row in _ROWS)
            and all(shapes.get(number, one) == one for number in _NUMBERS)
            and shapes.get("output_bias", out := runs + shapes["readout"][len(one) :]) == out
        )
        if not fits:
            raise ValueError(
                f"{name}: given "
                f"{', '.join(f'{name} {shape}' for name, shape in shapes.items())}; expected "
                f"{rows} with n ≥ 1, readout (n,) or (n, o) with o ≥ 1, {numbers}, "
                "output_bias () or (o,), with the same leading axes on all; transpose or reshape "
                "what differs"
            )


def preactivations(
    x: Float[Array, "*batch d"], weights: Float[Array, "n d"], bias: Float[Array, " n"] | None
) -> Float[Array, "*batch n"]:
    """`w_i·x + bias_i`."""
    out = x @ weights.T
    return out if bias is None else out + jnp.broadcast_to(bias, out.shape)
