"""Networks on disk: one `.npz` with `weights`, `readout`, `[bias]`, `[output_bias]` and the name of
the activation; gated ones have `gate_weights` and `[gate_bias]` too.
"""

import os
import re
import zipfile
import zlib
from pathlib import Path

import numpy as np

from jaxcompress._internal.checks import check_finite
from jaxcompress._internal.files import check_writable, write_whole
from jaxcompress.kernels import AbstractActivation, activations
from jaxcompress.networks._gated_two_layer import GatedTwoLayer
from jaxcompress.networks._network import AbstractNetwork
from jaxcompress.networks._two_layer import TwoLayer

_REQUIRED = ("weights", "readout", "activation")
_OPTIONAL = ("bias", "output_bias", "gate_weights", "gate_bias")
# Activations that a file may name, and how: `relu`, `hermite(3)`, `0.5*relu`, and sums of these.
_NAMES = tuple(name for name in activations.__all__ if name != "elementwise")
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_PART = re.compile(rf"(?:(?P<factor>{_NUMBER})\*)?(?P<name>[a-z_]+)(?:\((?P<given>{_NUMBER})\))?")


def read_arrays(
    path: str | os.PathLike, required: tuple[str, ...], optional: tuple[str, ...] = ()
) -> dict:
    """The named arrays of an `.npz`; pickled objects are never unpickled.

    Raises `ValueError` that names the file when it is absent, truncated, no `.npz`, lacks an array
    or holds an object.
    """
    path = Path(path)
    remedy = "write it with jaxcompress.save or numpy.savez"
    if not _is_file(path):
        raise ValueError(
            f"{path}: given a path at which there is no file; expected an .npz archive; check the "
            "path"
        )
    try:
        arrays = _unpacked(path, required, optional)
    except KeyError as error:
        raise ValueError(f"{path}: {error.args[0]}; {remedy}") from None
    except (
        ValueError,
        OSError,
        EOFError,
        zipfile.BadZipFile,
        zlib.error,
        NotImplementedError,
        RuntimeError,
    ) as error:
        reason = (
            "holds a pickled object, which is never loaded"
            if "allow_pickle" in str(error)
            else "cannot be read"
        )
        raise ValueError(
            f"{path}: given a file that {reason} ({type(error).__name__}); expected an intact .npz "
            f"of plain arrays; {remedy}"
        ) from None
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise ValueError(
                f"{path}: given {name} that is no array; expected an .npz of plain arrays; {remedy}"
            )
    return arrays


def _unpacked(path: Path, required: tuple[str, ...], optional: tuple[str, ...]) -> dict:
    """The named arrays of an archive. Raises `KeyError`, with a message, when one is missing."""
    # `numpy.load` takes what it does not know for a pickle, or an array
    if not zipfile.is_zipfile(path):
        raise zipfile.BadZipFile
    with np.load(path, allow_pickle=False) as archive:
        names = set(archive.files)
        missing = [name for name in required if name not in names]
        if missing:
            found = ", ".join(sorted(names)) or "nothing"
            raise KeyError(
                f"given an archive with {found}; expected {', '.join(required)} (missing: "
                f"{missing[0]})"
            )
        return {name: archive[name] for name in (*required, *optional) if name in names}


def real_array(path: str | os.PathLike, name: str, array: np.ndarray) -> np.ndarray:
    """The array in this machine's byte order.
    Raises `ValueError` unless it is of a floating dtype that JAX has.
    """
    if array.dtype.kind != "f" or array.dtype.itemsize > 8:
        raise ValueError(
            f"{path}: given {name} of dtype {array.dtype}; expected real floating-point numbers; "
            "store it as float64 or float32"
        )
    return array.astype(array.dtype.newbyteorder("="))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name longer than the file system takes
        return False


def load(path: str | os.PathLike) -> TwoLayer | GatedTwoLayer:
    """Read a network from an `.npz` file in the dtype it was stored in.

    The file holds `weights (n, d)`, `readout (n,)` or `(n, o)`, optionally `bias (n,)` and
    `output_bias`, and `activation`, a string that names one of `jaxcompress.activations`, or a sum
    of them. With `gate_weights (n, d)`, and optionally `gate_bias`, it is a `GatedTwoLayer`.
    Float64 arrays stay float64 only when `jax_enable_x64` is on.
    Raises `ValueError` when the file is missing, truncated, foreign or pickled, when shapes or
    dtypes do not fit, when an array holds NaN, or when the activation is unknown.
    Example: `jc.load("network.npz")`.
    """
    arrays = read_arrays(path, _REQUIRED, _OPTIONAL)
    activation = activation_named(path, arrays.pop("activation"))
    arrays = {name: real_array(path, name, array) for name, array in arrays.items()}
    try:
        kind = GatedTwoLayer if arrays.keys() & {"gate_weights", "gate_bias"} else TwoLayer
        network: TwoLayer | GatedTwoLayer = kind(**arrays, activation=activation)
        _check_one("load", network)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return network


def _check_one(where: str, network: AbstractNetwork) -> None:
    """Raise `ValueError` unless this is one network, with finite parameters."""
    if network.weights.ndim != 2:
        raise ValueError(
            f"{where}: given weights of shape {network.weights.shape}; expected (n, d), one "
            "network a file; pick one with networks[i]"
        )
    check_finite(where, **network.parameters())


def activation_named(path: str | os.PathLike, stored: np.ndarray) -> AbstractActivation:
    """The activation that a file names. Raises `ValueError` for a name that is not known."""
    name = str(stored) if stored.ndim == 0 and stored.dtype.kind in "US" else repr(stored)
    if stored.dtype.kind == "S":
        name = stored.item().decode(errors="replace") if stored.ndim == 0 else name
    activation = _parsed(name)
    if activation is None:
        raise ValueError(
            f"{path}: given activation {name!r}; expected one of {', '.join(_NAMES)}, with its "
            "argument where it has one, as leaky_relu(0.1), or a sum, as 0.5*relu + tanh; rename "
            "it in the file if it is one of these"
        )
    return activation


def _parsed(text: str) -> AbstractActivation | None:
    """The activation of this name, or sum of names; `None` for anything else."""
    parts = [_PART.fullmatch(part) for part in text.split(" + ")]
    total: AbstractActivation | None = None
    for match in parts:
        made = getattr(activations, match["name"]) if match and match["name"] in _NAMES else None
        if match is None or made is None or (match["given"] is None) == _takes_arguments(made):
            return None
        try:
            if match["given"] is not None:
                number = match["given"]
                made = made(int(number) if number.lstrip("-").isdigit() else float(number))
            made = made if match["factor"] is None else float(match["factor"]) * made
        except ValueError:
            return None
        total = made if total is None else total + made
    return total


def _takes_arguments(made: object) -> bool:
    return not isinstance(made, AbstractActivation)


def activation_name(activation: AbstractActivation) -> str:
    """The name under which an activation is stored. Raises `ValueError` for one that has no
    name.
    """
    name = repr(activation)
    if _parsed(name) != activation:
        raise ValueError(
            f"save: given activation {activation!r}, which has no name; expected one of "
            f"{', '.join(_NAMES)}, or a sum of them; store the arrays with numpy.savez and name "
            "the activation when they are read"
        )
    return name


def save(path: str | os.PathLike, network: TwoLayer | GatedTwoLayer) -> None:
    """Write a network as `.npz`: arrays by name and the activation's name, readable with plain
    NumPy.

    The file appears whole or not at all.
    Raises `ValueError` when the path cannot be written, when the activation has no name, and for
    what `load` would refuse: many networks at once, NaN.
    Example: `jc.save("network.npz", network)`.
    """
    _check_one("save", network)
    arrays = {name: np.asarray(array) for name, array in network.parameters().items()}
    name = activation_name(network.activation)
    write_arrays(path, {"activation": np.array(name), **arrays})


def write_arrays(path: str | os.PathLike, arrays: dict[str, np.ndarray]) -> None:
    """Write an `.npz` of plain arrays, whole or not at all.
    Raises `ValueError` when the path cannot be written.
    """
    write_whole(check_writable(path), lambda file: np.savez(file, allow_pickle=False, **arrays))
