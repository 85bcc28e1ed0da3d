"""Networks on disk: one `.npz` with `weights`, `readout`, `[bias]`, `[output_bias]` and the name of the activation."""

import os
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from jaxcompress.kernels import AbstractActivation, activations, check_finite
from jaxcompress.networks._two_layer import TwoLayer

_REQUIRED = ("weights", "readout", "activation")
_OPTIONAL = ("bias", "output_bias")


def read_arrays(path: str | os.PathLike, required: tuple[str, ...], optional: tuple[str, ...] = ()) -> dict:
    """The named arrays of an `.npz`; pickled objects are never unpickled.

    Raises `ValueError` that names the file when it is absent, truncated, no `.npz`, lacks an array or holds an
    object.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file; expected an .npz archive; check the path")
    try:
        with np.load(path, allow_pickle=False) as archive:
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise ValueError("a single array")
            names = set(archive.files)
            missing = [name for name in required if name not in names]
            if missing:
                found = ", ".join(sorted(names)) or "nothing"
                raise KeyError(f"given an archive with {found}; expected {', '.join(required)} (missing: {missing[0]})")
            return {name: archive[name] for name in (*required, *optional) if name in names}
    except KeyError as error:
        raise ValueError(f"{path}: {error.args[0]}; write it with jaxcompress.save or numpy.savez") from None
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        reason = "holds a pickled object, which is never loaded" if "allow_pickle" in str(error) else "cannot be read"
        raise ValueError(
            f"{path}: given a file that {reason} ({type(error).__name__}); expected an intact .npz of plain arrays; "
            "write it with jaxcompress.save or numpy.savez"
        ) from None


def load(path: str | os.PathLike) -> TwoLayer:
    """Read a network from an `.npz` file in the dtype it was stored in.

    The file holds `weights (n, d)`, `readout (n,)` or `(n, o)`, optionally `bias (n,)` and `output_bias`, and
    `activation`, a string that names one of `jaxcompress.activations`. Float64 arrays stay float64 only when
    `jax_enable_x64` is on.
    Raises `ValueError` when the file is missing, truncated, foreign or pickled, when shapes or dtypes do not fit,
    when an array holds NaN, or when the activation is unknown.
    """
    arrays = read_arrays(path, _REQUIRED, _OPTIONAL)
    activation = _activation_named(path, arrays.pop("activation"))
    for name, array in arrays.items():
        if not np.issubdtype(array.dtype, np.floating):
            raise ValueError(
                f"{path}: given {name} of dtype {array.dtype}; expected real floating-point numbers; "
                "store it as float64 or float32"
            )
    try:
        network = TwoLayer(**arrays, activation=activation)
        if network.weights.ndim != 2:
            raise ValueError(f"given weights of shape {network.weights.shape}; expected (n, d)")
        check_finite("network", **network.parameters())
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return network


def _activation_named(path: str | os.PathLike, stored: np.ndarray) -> AbstractActivation:
    name = str(stored) if stored.ndim == 0 and stored.dtype.kind in "US" else repr(stored)
    if stored.dtype.kind == "S":
        name = stored.item().decode(errors="replace") if stored.ndim == 0 else name
    if name not in activations.__all__:
        raise ValueError(
            f"{path}: given activation {name!r}; expected one of {', '.join(activations.__all__)}; "
            "rename it in the file if it is one of these under another name"
        )
    return getattr(activations, name)


def activation_name(activation: AbstractActivation) -> str:
    """The name under which an activation is stored. Raises `ValueError` for one that has no name."""
    for name in activations.__all__:
        if getattr(activations, name) == activation:
            return name
    raise ValueError(f"save: given activation {activation!r}, which has no name; expected one of {activations.__all__}")


def save(path: str | os.PathLike, network: TwoLayer) -> None:
    """Write a network as `.npz`: arrays by name and the activation's name, readable with plain NumPy.

    The file appears whole or not at all. Raises `ValueError` when the path cannot be written or the activation
    has no name.
    """
    arrays = {name: np.asarray(array) for name, array in network.parameters().items()}
    name = activation_name(network.activation)
    path = check_writable(path)
    descriptor, scratch = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".npz")
    try:
        with os.fdopen(descriptor, "wb") as file:
            np.savez(file, activation=np.array(name), **arrays)
        os.chmod(scratch, 0o666 & ~_umask())
        os.replace(scratch, path)
    except BaseException:
        Path(scratch).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def check_writable(path: str | os.PathLike) -> Path:
    """The path, after making sure that a file can be put there. Raises `ValueError`; leaves nothing behind."""
    path = Path(path)
    reason = None
    if path.is_dir():
        reason = "is a folder"
    elif not path.parent.is_dir():
        reason = f"lies in {path.parent}, which is not a folder"
    elif path.exists() and not os.access(path, os.W_OK):
        reason = "exists and is write-protected"
    else:
        try:
            with tempfile.TemporaryFile(dir=path.parent):
                pass
        except OSError as error:
            reason = f"lies in a folder that cannot be written ({error.strerror})"
    if reason:
        raise ValueError(f"{path}: given an output path that {reason}; expected a path for a new file; choose another")
    return path
