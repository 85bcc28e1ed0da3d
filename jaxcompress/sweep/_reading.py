"""Stores as xarray's datasets: for tables here, and for whoever never saw this package, through the same door."""

import os
import warnings
from typing import Any

from jaxcompress.sweep._blocks import block_with
from jaxcompress.sweep._store import open_store
from jaxcompress.sweep._variables import result_codes, variables_of


def xarray_of() -> Any:
    """The package xarray. Raises `ValueError` when it is not installed."""
    try:
        import xarray
    except ImportError:
        raise ValueError("sweep: reading needs xarray; install it with pip install 'jaxcompress[sweep]'") from None
    return xarray


def dataset(directory: str | os.PathLike, group: str | None) -> Any:
    """The dataset of a store or of one of its groups."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Object at", module="zarr")  # the folder `sweep` is no part of the array
        return xarray_of().open_zarr(directory, group=group, chunks=None)


def stored_run(directory: str | os.PathLike, run: int) -> dict[str, Any] | None:
    """What a store holds of one run, by the names of its columns, `result` in words; `None` while it has not been done.

    Raises `ValueError` when there is no such run or no such sweep.
    """
    plan = open_store(directory).plan
    cell = block_with(plan, run).cell
    there = dataset(directory, None).isel(cell=cell.number, seed=run - cell.number * plan.runs)
    out = {variable.name: there[variable.name].item() for variable in variables_of(plan)}
    names = {code: name for name, code in result_codes().items()}
    return {**out, "result": names[out["result"]]} if out["result"] in names else None
