"""A census on disk: one `.npz` of plain arrays, which `load_census` reads back and NumPy alone can
look at.
"""

import json
import os
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxcompress.landscape.censuses._census import Census, stacked
from jaxcompress.landscape.censuses._census_rows import CensusRow
from jaxcompress.landscape.symmetry._classification import Classification
from jaxcompress.networks import TwoLayer
from jaxcompress.networks.internal import (
    activation_name,
    activation_named,
    read_arrays,
    write_arrays,
)

_FORMAT = 1
_PARAMETERS = ("weights", "readout", "bias", "output_bias")
_NUMBERS = ("risk", "risk_floor", "gradient_norm", "index", "zero_modes", "symmetry_modes", "count")
_REQUIRED = ("about", "activation", "eigenvalues", *_NUMBERS)
_NETWORKS = tuple(f"{kind}_{name}" for kind in ("target", "row") for name in _PARAMETERS)
_PLAIN = ("runs", "unconverged", "shapes", "freeze", "inputs", "tolerance")
_WORDS = tuple(name for name in Classification._fields if name not in ("point", "core"))


def save_census(path: str | os.PathLike, census: Census) -> None:
    """Write a census, whole or not at all.

    The file holds an array a column (`risk`, `count`, …), `eigenvalues (rows, P)`, `row_weights
    (rows, n, d)` and the other parameters of the representatives, `target_weights` and so on, and
    `about`, JSON with all that is no number.
    Raises `ValueError` when the path cannot be written or an activation has no name.

    >>> import jaxcompress as jc
    >>> jc.landscape.save_census("found.npz", found)  # doctest: +SKIP
    >>> jc.landscape.load_census("found.npz")[0].risk  # doctest: +SKIP
    """
    rows = census.rows
    arrays = {
        f"target_{name}": np.asarray(array) for name, array in census.target.parameters().items()
    }
    arrays |= {
        f"row_{name}": np.asarray(array)
        for name, array in (stacked(rows).parameters() if rows else {}).items()
    }
    arrays |= {name: np.array([getattr(row, name) for row in rows]) for name in _NUMBERS}
    arrays["eigenvalues"] = (
        np.stack([row.eigenvalues for row in rows]) if rows else np.zeros((0, 0))
    )
    arrays["activation"] = np.array(
        [activation_name(f) for f in (census.target.activation, census.activation)]
    )
    about = {
        "format": _FORMAT,
        **{name: getattr(census, name) for name in _PLAIN},
        "names": [row.names for row in rows],
        "indices": [row.indices for row in rows],
        "classifications": [
            {name: getattr(row.classification, name) for name in _WORDS} for row in rows
        ],
    }
    write_arrays(path, arrays | {"about": np.array(json.dumps(about))})


def load_census(path: str | os.PathLike) -> Census:
    """Read a census that `save_census` wrote; the points that its names stand for are not kept.

    Example: that of `save_census`.

    Raises `ValueError` when the file is missing, damaged, foreign, or of another format.
    """
    arrays = read_arrays(path, _REQUIRED, _NETWORKS)
    try:
        about = json.loads(str(arrays["about"]))
    except ValueError:
        about = {}
    if not isinstance(about, dict) or about.get("format") != _FORMAT:
        raise ValueError(
            f"{path}: given a file of format "
            f"{about.get('format') if isinstance(about, dict) else None}; expected a census of "
            f"format {_FORMAT}; make it again with this version, or read its arrays with numpy.load"
        )
    activations = [activation_named(path, name) for name in np.atleast_1d(arrays["activation"])]
    target = _network(arrays, "target", activations[0])
    rows = []
    for i, words in enumerate(about["classifications"]):
        words["partition"] = None if words["partition"] is None else tuple(words["partition"])
        numbers: dict[str, Any] = {name: arrays[name][i].item() for name in _NUMBERS}
        lists: dict[str, Any] = {name: tuple(about[name][i]) for name in ("names", "indices")}
        found = Classification(**words, point=None, core=None)
        network = _network(arrays, "row", activations[1], i)
        rows.append(
            CensusRow(
                network,
                eigenvalues=arrays["eigenvalues"][i],
                classification=found,
                **lists,
                **numbers,
            )
        )
    return Census(
        rows=tuple(rows),
        target=target,
        activation=activations[1],
        shapes=tuple((name, tuple(shape)) for name, shape in about["shapes"]),
        freeze=tuple(about["freeze"]),
        **{name: about[name] for name in ("runs", "unconverged", "inputs", "tolerance")},
    )


def _network(
    arrays: dict[str, np.ndarray], kind: str, activation, row: int | tuple = ()
) -> TwoLayer:
    """The target, or the representative of a row."""
    found = {name: arrays.get(f"{kind}_{name}") for name in _PARAMETERS}
    given = {name: jnp.asarray(array[row]) for name, array in found.items() if array is not None}
    return TwoLayer(**given, activation=activation)
