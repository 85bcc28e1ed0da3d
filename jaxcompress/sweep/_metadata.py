"""The metadata of a store, which its plan alone decides: shapes, labels, and words that tell a
stranger what all this is.
"""

import json
import warnings
from typing import Any

import numpy as np

from jaxcompress.sweep._blocks import block_size
from jaxcompress.sweep._layout import networks_of
from jaxcompress.sweep._plan import Plan
from jaxcompress.sweep._variables import variables_of

_ABOUT = (
    "End points of gradient flows on the population risk of two-layer networks, one run an entry. "
    "cell: a combination of activation, target and sizes (see the coordinates along cell); seed: "
    "the runs of a cell. Run number first_run + seed drew its start from fold_in(key, number). "
    "Groups networks/ hold the end points themselves. Only entries whose result is 0 or more "
    "count: the others have not been done, or were cut short."
)
_LABELS: dict[str, tuple[str, str]] = {
    "activation": ("string", "activation of the student"),
    "target": ("string", "distribution of the target"),
    "target_activation": ("string", "activation of the target"),
    "n": ("int64", "neurons of the student"),
    "k": ("int64", "neurons of the target"),
    "d": ("int64", "input dimension"),
    "first_run": ("int64", "number of the cell's first run"),
}


def metadata_of(plan: Plan, versions: dict[str, str]) -> dict[str, bytes]:
    """Path → content of every file that is there before any run.
    Raises `ValueError` when zarr is not installed.
    """
    try:
        import zarr
    except ImportError:
        raise ValueError(
            "sweep: a store needs zarr; install it with pip install 'jaxcompress[sweep]'"
        ) from None
    files: dict[str, Any] = {}
    store = zarr.storage.MemoryStore(files)
    about = {
        "title": "jaxcompress sweep",
        "summary": _ABOUT,
        "plan": json.dumps(plan.to_dict()),
        **versions,
    }
    with warnings.catch_warnings():
        # Metadata in one place is no part of the format yet; readers that do not know it read the
        # rest.
        warnings.filterwarnings("ignore", "Consolidated metadata", module="zarr")
        root = zarr.create_group(
            store, zarr_format=3, attributes={**about, "coordinates": " ".join(_LABELS)}
        )
        _add_labels(root, plan)
        for variable in variables_of(plan):
            size = (len(plan.cells), plan.runs), (1, block_size(plan)), ("cell", "seed")
            _add(root, variable.name, variable.dtype, variable.fill, *size, variable.attributes)
        for group in networks_of(plan):
            _add_networks(root, plan, group)
        zarr.consolidate_metadata(store)
    return {path: buffer.to_bytes() for path, buffer in sorted(files.items())}


def _add(group: Any, name: str, dtype: str, fill: Any, shape, chunks, axes, attributes) -> Any:
    return group.create_array(
        name,
        shape=shape,
        chunks=chunks,
        dtype=dtype,
        fill_value=fill,
        dimension_names=axes,
        attributes=attributes,
        compressors=None,
        filters=None,
    )


def _add_vector(group: Any, name: str, values: Any, dtype: str, axis: str, long_name: str) -> None:
    empty = "" if dtype == "string" else -1
    said = {"long_name": long_name, **({} if dtype == "string" else {"units": "1"})}
    array = _add(group, name, dtype, empty, (len(values),), (len(values),), (axis,), said)
    array[:] = np.array(values, dtype=object if dtype == "string" else dtype)


def _add_labels(root: Any, plan: Plan) -> None:
    _add_vector(root, "cell", range(len(plan.cells)), "int64", "cell", "number of the cell")
    _add_vector(root, "seed", range(plan.runs), "int64", "seed", "number of the run in its cell")
    columns: dict[str, list] = {name: [] for name in _LABELS}
    for cell in plan.cells:
        for name in _LABELS:
            given = cell.number * plan.runs if name == "first_run" else getattr(cell, name)
            columns[name].append(cell.target.label if name == "target" else given)
    for name, (dtype, long_name) in _LABELS.items():
        _add_vector(root, name, columns[name], dtype, "cell", long_name)


def _add_networks(root: Any, plan: Plan, networks: Any) -> None:
    group = root.create_group(
        networks.path, attributes={"summary": "end points; network_cell numbers their cells"}
    )
    _add_vector(
        group, "network_cell", networks.cells, "int64", "network_cell", "number of the cell"
    )
    for name, (shape, axes) in networks.arrays.items():
        sizes = (len(networks.cells), plan.runs, *shape), (1, block_size(plan), *shape)
        said = {"long_name": f"{name} of the end points", "units": "1"}
        _add(
            group, name, plan.precision, float("nan"), *sizes, ("network_cell", "seed", *axes), said
        )
