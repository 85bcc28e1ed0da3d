"""What the flow needs to know of a target `f*`: its pull on every neuron, and its energy."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxcompress._internal.checks import as_array, check_finite, check_floating, is_concrete
from jaxcompress.infinite_width._laws import check_law, coloured, times_covariance, whitened
from jaxcompress.infinite_width._pairs import network_pull
from jaxcompress.kernels import AbstractInputs, Gaussian, StandardNormal, activations
from jaxcompress.kernels.internal import Relu, table_in_blocks
from jaxcompress.networks import TwoLayer
from jaxcompress.networks.internal import as_layer, form


class AbstractTarget(eqx.Module):
    """A target `f*` under an input law, known by the moments that the flow needs.

    It reads the first `dim` coordinates of inputs that may have more (`inputs` permitting).
    Subclass it for any `f*` whose two moments can be computed.
    """

    inputs: eqx.AbstractVar[AbstractInputs]

    @property
    @abc.abstractmethod
    def dim(self) -> int:
        """How many coordinates the target reads (`d_H`)."""

    @property
    @abc.abstractmethod
    def energy(self) -> Float[Array, ""]:
        """`E f*(x)²`."""

    @abc.abstractmethod
    def pull(self, weights: Float[Array, "m d"]) -> Float[Array, "m d"]:
        """`E[f*(x) 1(b·x > 0) x]` for every row `b`; `E[f*(x) relu(b·x)]` is its product with
        `b`.
        """


def padded(weights: Float[Array, "m h"], dim: int) -> Float[Array, "m d"]:
    """Rows with zeros for the coordinates that they do not read."""
    return jnp.pad(weights, ((0, 0), (0, dim - weights.shape[1])))


def check_room(where: str, target: AbstractTarget, dim: int) -> None:
    """Raise `ValueError` where a target reads more coordinates than there are."""
    if target.dim > dim:
        raise ValueError(
            f"{where}: given a target of d_H = {target.dim} coordinates in d = {dim} dimensions; "
            "expected d_H ≤ d; raise d, or pass a target that reads less"
        )
    check_law(where, target.inputs, dim)


class NetworkTarget(AbstractTarget):
    """Another two-layer network as the target.

    Arguments: a `TwoLayer` of one output without output bias, of any activation; `inputs`, a
    centred law.
    Raises `ValueError` for several outputs, an output bias, leading axes or a law with a mean.
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
        check_law(
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


class OddTarget(AbstractTarget):
    """Any odd target, `f*(−x) = −f*(x)`: it pulls on every neuron alike, by `½ E[f*(x) x]`.

    Arguments: `moment (d,)`, `E[f*(x) x]`; `second`, `E f*(x)²`; `inputs`, a centred law.
    `linear_target` and `odd_polynomial` make them.
    Raises `ValueError` for shapes or a law that do not fit, or a `second` below that of the best
    linear predictor, or a `moment` that the law cannot have (concrete ones).
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
        check_law(
            "OddTarget", self.inputs, None if self.inputs.dim is None else self.moment.shape[0]
        )
        check_floating("OddTarget", moment=self.moment)
        check_finite("OddTarget", moment=self.moment, second=self.second)
        law = (
            self.inputs.covariance
            if isinstance(self.inputs, Gaussian)
            else np.eye(self.moment.shape[0])
        )
        if all(is_concrete(each) for each in (self.moment, self.second, law)):
            self._check_least(np.asarray(law, np.float64))

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
                "pass moments of one f* under this law"
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
    """`f*(x) = w*·x`. Arguments: `vector (d,)`, the `w*`; `inputs` as for `OddTarget`."""
    vector = as_array("linear_target", "vector", vector)
    law = StandardNormal() if inputs is None else inputs
    check_law("linear_target", law, None if law.dim is None else vector.shape[0])
    moment = times_covariance(law, vector)
    return OddTarget(moment, jnp.dot(vector, moment, precision="highest"), law)


def odd_polynomial(
    terms: list[tuple[float, tuple[int, ...]]],
    dim: int,
    inputs: AbstractInputs | None = None,
    *,
    dtype=None,
) -> OddTarget:
    """`f*(x) = Σ c Π_k x_{i_k}` from `terms` `(c, (i_1, …, i_p))`, every `p` odd; moments by Wick's
    theorem.

    Example: `x_0 + ½ x_0 x_1²` is `[(1.0, (0,)), (0.5, (0, 1, 1))]`. Static: everything.
    Raises `ValueError` for a term of even degree or an index that is no coordinate.
    Cost: `(2p − 1)!!` pairings a pair of terms.
    """
    law = StandardNormal() if inputs is None else inputs
    check_law("odd_polynomial", law, None if law.dim is None else dim)
    for factor, indices in terms:
        if len(indices) % 2 == 0 or not all(0 <= i < dim for i in indices):
            raise ValueError(
                f"odd_polynomial: given the term ({factor}, {indices}) in {dim} coordinates; "
                f"expected an odd number of indices from 0 to {dim - 1}; a target with even terms "
                "is not odd: use hermite_target"
            )
    covariance = np.eye(dim) if law.dim is None else np.asarray(law.covariance, np.float64)  # type: ignore[attr-defined]
    moment = [sum(c * _wick((i, *indices), covariance) for c, indices in terms) for i in range(dim)]
    second = sum(
        c * e * _wick((*one, *other), covariance) for c, one in terms for e, other in terms
    )
    dtype = dtype or jnp.result_type(float)
    return OddTarget(jnp.asarray(moment, dtype), second, law)


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
