"""What every comparison of networks asks of each."""

from jaxcompress._internal.checks import check_finite
from jaxcompress.networks import TwoLayer


def check_one(where: str, name: str, network: TwoLayer) -> None:
    """Raise `ValueError` unless this is one network of finite numbers."""
    if not isinstance(network, TwoLayer) or network.weights.ndim != 2:
        given = network.weights.shape if isinstance(network, TwoLayer) else type(network).__name__
        raise ValueError(
            f"{where}: given {name}, {given}; expected one TwoLayer with weights (neurons, d); "
            "take one out of the batch"
        )
    check_finite(f"{where}: {name}", **network.parameters())
