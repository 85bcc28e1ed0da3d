"""What the flow needs to know of a target `f*`: its pull on every neuron, and its second moment."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxcompress._internal.checks import as_array, check_finite, check_floating, is_concrete
from jaxcompress.infinite_width._inputs import check_inputs, coloured, times_covariance, whitened
from jaxcompress.infinite_width._pairs import network_pull
from jaxcompress.kernels import AbstractInputs, Gaussian, StandardNormal, activations
from jaxcompress.kernels.internal import Relu, table_in_blocks
from jaxcompress.networks import TwoLayer
from jaxcompress.networks.internal import as_layer, form


class AbstractFlowTarget(eqx.Module):
    """A target `f*` under an input distribution, known by the moments that the flow needs.

    It reads the first `dim` coordinates; the inputs may have more of them, unless their covariance
    is given. Subclass it for any `f*` whose two moments, `energy` and `pull`, can be computed.

    Example: `NormTarget` and `HermiteTarget` are subclasses of a few lines each.
    """

    inputs: eqx.AbstractVar[AbstractInputs]

    @property
    @abc.abstractmethod
    def dim(self) -> int:
        """The number of coordinates that the target reads, `d_H`."""

    @property
    @abc.abstractmethod
    def energy(self) -> Float[Array, ""]:
        """The second moment of the target, `E f*(x)²`."""

    @abc.abstractmethod
    def pull(self, weights: Float[Array, "m d"]) -> Float[Array, "m d"]:
        """`E[f*(x) 1(b·x > 0) x]` for every row `b`: the force with which the target moves the
        neuron.

        Its product with `b` is `E[f*(x) relu(b·x)]`.
        """


def padded(weights: Float[Array, "m h"], dim: int) -> Float[Array, "m d"]:
    """Rows with zeros for the coordinates that the target does not read."""
    return jnp.pad(weights, ((0, 0), (0, dim - weights.shape[1])))


def check_fits(where: str, target: AbstractFlowTarget, dim: int) -> None:
    """Raise `ValueError` if a target reads more coordinates than the inputs have."""
    if target.dim > dim:
        raise ValueError(
            f"{where}: given a target of d_H = {target.dim} coordinates in d = {dim} dimensions; "
            "expected d_H ≤ d; raise d, or pass a target that reads fewer"
        )
    check_inputs(where, target.inputs, dim)


class NetworkTarget(AbstractFlowTarget):
    """Another two-layer network as the target.

    Arguments: `network`, a `TwoLayer` of one output without output bias, of any activation;
    `inputs`, a centred distribution, `StandardNormal()` when left out.
    Raises `ValueError` for several outputs, an output bias, leading axes, or inputs with a mean.

    Example: `NetworkTarget(TwoLayer(weights, readout))`.
    """

    network: TwoLayer
    inputs: AbstractInputs

    def __init__(self, network: TwoLayer, inputs: AbstractInputs | None = None):
        self.network, self.inputs = network, StandardNormal() if inputs is None else inputs
        if (
            network.weights.ndim != 2
            or network.outputs is not None
            or network.output_bias is not None
        ):
            raise ValueError(
                f"NetworkTarget: given weights {network.weights.shape}, readout "
                f"{network.readout.shape} and {'an' if network.output_bias is not None else 'no'} "
                "output bias; expected one network of one output without output bias; take one "
                "output, and subtract its bias from the target"
            )
        check_inputs(
            "NetworkTarget", self.inputs, network.dim if self.inputs.dim is not None else None
        )

    @property
    def dim(self) -> int:
        return self.network.dim

    @property
    def energy(self) -> Float[Array, ""]:
        layer = as_layer(self.network, self.inputs)
        return form(layer, layer).value

    def pull(self, weights):
        layer = as_layer(self.network, self.inputs)
        at = whitened(self.inputs, weights)
        known, readout = padded(layer.weights, at.shape[1]), layer.readout[:, 0]
        if isinstance(layer.activation, Relu) and layer.mean is None:
            return coloured(self.inputs, network_pull(at, known, readout))

        def total(at: Array) -> Array:
            table = table_in_blocks(activations.relu, layer.activation, at, None, known, layer.mean)
            return jnp.sum(jnp.matmul(table, readout, precision="highest"))

        return coloured(self.inputs, jax.grad(total)(at))


class OddTarget(AbstractFlowTarget):
    """Any odd target, `f*(−x) = −f*(x)`: its pull is the same for every neuron, `½ E[f*(x) x]`.

    Arguments: `moment (d,)`, `E[f*(x) x]`; `second`, `E f*(x)²`; `inputs`, a centred distribution,
    `StandardNormal()` when left out. `linear_target` and `odd_polynomial` build such targets.
    Raises `ValueError` for shapes or inputs that do not fit, and, for concrete arrays, for a
    `second` below that of the best linear predictor or a `moment` outside the range of `Σ`.

    Example: `OddTarget(moment=[1.0, 0.5], second=2.0)`.
    """

    moment: Float[Array, " d"]
    second: Float[Array, ""]
    inputs: AbstractInputs

    def __init__(self, moment, second, inputs: AbstractInputs | None = None):
        self.moment = as_array("OddTarget", "moment", moment)
        self.second = jnp.asarray(second, self.moment.dtype)
        self.inputs = StandardNormal() if inputs is None else inputs
        if self.moment.ndim != 1 or self.second.shape != ():
            raise ValueError(
                f"OddTarget: given moment {self.moment.shape} and second {self.second.shape}; "
                "expected (d,) and (); pass E[f*(x) x] and E f*(x)²"
            )
        check_inputs(
            "OddTarget", self.inputs, None if self.inputs.dim is None else self.moment.shape[0]
        )
        check_floating("OddTarget", moment=self.moment)
        check_finite("OddTarget", moment=self.moment, second=self.second)
        covariance = (
            self.inputs.covariance
            if isinstance(self.inputs, Gaussian)
            else np.eye(self.moment.shape[0])
        )
        if all(is_concrete(each) for each in (self.moment, self.second, covariance)):
            self._check_least(np.asarray(covariance, np.float64))

    def _check_least(self, covariance: np.ndarray) -> None:
        moment, eps = np.asarray(self.moment, np.float64), float(jnp.finfo(self.moment.dtype).eps)
        linear = np.linalg.pinv(covariance, rcond=10 * len(moment) * eps, hermitian=True) @ moment
        least, off = linear @ moment, np.abs(covariance @ linear - moment).max(initial=0)
        if float(self.second) < (1 - 1e3 * eps) * least or off > 1e6 * eps * np.abs(moment).max(
            initial=0
        ):
            raise ValueError(
                f"OddTarget: given second {float(self.second):.6g}, moment off the range of Σ by "
                f"{off:.1e}; expected E f*² ≥ mᵀΣ⁺m = {least:.6g} and a moment in the range of Σ; "
                "pass moments of one f* under this distribution"
            )

    @property
    def dim(self) -> int:
        return self.moment.shape[0]

    @property
    def energy(self) -> Float[Array, ""]:
        return self.second

    def pull(self, weights):
        row = padded(0.5 * self.moment[None], weights.shape[1])
        return jnp.broadcast_to(row, weights.shape)


def linear_target(vector, inputs: AbstractInputs | None = None) -> OddTarget:
    """`f*(x) = w*·x`.

    Arguments: `vector (d,)`, the `w*`; `inputs` as for `OddTarget`.
    Raises `ValueError` for another shape, and for inputs that do not fit.

    Example: `linear_target([1.0, -0.5, 0.25])`.
    """
    vector = as_array("linear_target", "vector", vector)
    if vector.ndim != 1:
        raise ValueError(
            f"linear_target: given vector {vector.shape}; expected (d,); use jax.vmap for several"
        )
    inputs = StandardNormal() if inputs is None else inputs
    check_inputs("linear_target", inputs, None if inputs.dim is None else vector.shape[0])
    moment = times_covariance(inputs, vector)
    return OddTarget(moment, jnp.dot(vector, moment, precision="highest"), inputs)


def odd_polynomial(
    terms: list[tuple[float, tuple[int, ...]]],
    dim: int,
    inputs: AbstractInputs | None = None,
    *,
    dtype=None,
) -> OddTarget:
    """`f*(x) = Σ c Π_k x_{i_k}`, a polynomial of odd terms; its moments by Wick's theorem.

    Arguments (all static):

    - `terms`: pairs `(c, (i_1, …, i_p))` of a coefficient and coordinates, every `p` odd
    - `dim`: the number of coordinates
    - `inputs`: a centred distribution, `StandardNormal()` when left out
    - `dtype`: the default float type when left out

    Returns an `OddTarget`.
    Raises `ValueError` for a term of even degree or an index that is no coordinate.
    Cost: `(2p − 1)!!` pairings for each pair of terms.

    Example: `x_0 + ½ x_0 x_1²` is `odd_polynomial([(1.0, (0,)), (0.5, (0, 1, 1))], 2)`.
    """
    inputs = StandardNormal() if inputs is None else inputs
    check_inputs("odd_polynomial", inputs, None if inputs.dim is None else dim)
    for factor, indices in terms:
        if len(indices) % 2 == 0 or not all(0 <= i < dim for i in indices):
            raise ValueError(
                f"odd_polynomial: given the term ({factor}, {indices}) in {dim} coordinates; "
                f"expected an odd number of indices from 0 to {dim - 1}; a target with even terms "
                "is not odd: use hermite_target"
            )
    covariance = (
        np.asarray(inputs.covariance, np.float64) if isinstance(inputs, Gaussian) else np.eye(dim)
    )
    moment = [sum(c * _wick((i, *indices), covariance) for c, indices in terms) for i in range(dim)]
    second = sum(
        c * e * _wick((*one, *other), covariance) for c, one in terms for e, other in terms
    )
    dtype = dtype or jnp.result_type(float)
    return OddTarget(jnp.asarray(moment, dtype), second, inputs)


def _wick(indices: tuple[int, ...], covariance: np.ndarray) -> float:
    """`E Π x_i`: the sum over all pairings."""
    if not indices:
        return 1.0
    first, *rest = indices
    return sum(
        covariance[first, other] * _wick((*rest[:k], *rest[k + 1 :]), covariance)
        for k, other in enumerate(rest)
        if covariance[first, other] != 0
    )
