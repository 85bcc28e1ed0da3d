"""Stores as xarray's datasets: for tables here, and for whoever never saw this package, through the
same door.
"""

import os
import warnings
from collections.abc import Iterable
from typing import Any

from jaxcompress.sweep import _disk
from jaxcompress.sweep._blocks import block_of, block_with
from jaxcompress.sweep._layout import sizes_of
from jaxcompress.sweep._store import Store, open_store
from jaxcompress.sweep._variables import result_codes, variables_of


def xarray_of() -> Any:
    """The package xarray. Raises `ValueError` when it is not installed."""
    try:
        import xarray
    except ImportError:
        raise ValueError(
            "sweep: reading needs xarray; install it with pip install 'jaxcompress[sweep]'"
        ) from None
    return xarray


def dataset(directory: str | os.PathLike, group: str | None) -> Any:
    """The dataset of a store or of one of its groups.
    Raises `ValueError` when its metadata are damaged.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "Object at", module="zarr"
        )  # the folder `sweep` is no part of the array
        try:
            return xarray_of().open_zarr(directory, group=group, chunks=None)
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{directory}: given metadata that zarr cannot read "
                f"({' '.join(str(error).split())}); expected those of the plan; put them back "
                f"with: jaxcompress resume {directory}"
            ) from error


def check_readable(store: Store, numbers: Iterable[int]) -> None:
    """Raise `ValueError` that names the first of these blocks of which a chunk is cut or gone;
    cheap, for a look.

    A block whose `result` is there has been written whole. Content is checked by `resume` alone.
    """
    for number in numbers:
        sizes = sizes_of(store.plan, block_of(store.plan, number))
        # before the others: another process may be writing them
        result = _disk.size(store.directory / list(sizes)[-1])
        for path, expected in sizes.items():
            found = _disk.size(store.directory / path)
            if found != expected and (found is not None or result is not None):
                what = "is missing" if found is None else f"has {found} bytes instead of {expected}"
                raise ValueError(
                    f"{store.directory}: given a damaged block {number} ({path} {what}); expected "
                    f"all of it, or none; do it again with: jaxcompress resume {store.directory}"
                )


def stored_run(directory: str | os.PathLike, run: int) -> dict[str, Any] | None:
    """What a store holds of one run, by the names of its columns, `result` in words; `None` while
    it has not been done.

    Raises `ValueError` when there is no such run or no such sweep, or its block is damaged.
    Example: `jc.sweep.stored_run(folder, 3)["risk"]`.
    """
    store = open_store(directory)
    block = block_with(store.plan, run)
    check_readable(store, [block.number])
    there = dataset(directory, None).isel(
        cell=block.cell.number, seed=run - block.cell.number * store.plan.runs
    )
    names = {code: name for name, code in result_codes().items()}
    result = there["result"].item()  # first: where it is known, the rest has been written
    if result not in names:
        return None
    return {variable.name: there[variable.name].item() for variable in variables_of(store.plan)} | {
        "result": names[result]
    }
