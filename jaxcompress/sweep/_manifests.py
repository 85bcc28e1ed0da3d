"""The header of a store, which says whose it is, and the manifests of the blocks that are done;
both can be told from damage.

A manifest is a function of the plan, the block and the bytes of its chunks: it is valid if it is
the one that the chunks on the disk give. The header of a store has a checksum of itself.
"""

import json
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxcompress.sweep import _disk
from jaxcompress.sweep._blocks import Block
from jaxcompress.sweep._layout import PLAN, paths_of
from jaxcompress.sweep._plan import Plan

# 2: a manifest names its plan, the header has a checksum, and `converged` is written just before
# `result`.
FORMAT = 2
_REDO = "put the original file back, or sweep the plan into another folder"


def manifest_of(plan: Plan, block: Block, digests: dict[str, str], converged: int) -> bytes:
    """The manifest of a block whose chunks have these checksums (path → checksum, in the order of
    the layout).
    """
    return as_json(
        {
            "plan": plan.fingerprint,
            "block": block.number,
            "first_run": block.first,
            "runs": block.count,
            "converged": converged,
            "files": digests,
        }
    )


def converged_in(block: Block, chunk: bytes) -> int:
    """How many runs of a block have converged, by its chunk of the column `converged`."""
    return int(np.count_nonzero(np.frombuffer(chunk, np.uint8)[: block.count]))


def checked(
    plan: Plan, block: Block, read: Callable[[str], bytes | None], manifest: bytes | None
) -> int | None:
    """How many runs of a block have converged; `None` unless the manifest is that of the chunks
    that `read` finds.
    """
    if manifest is None:
        return None
    digests, converged = {}, 0
    for name, path in paths_of(plan, block).items():
        data = read(path)
        if data is None:
            return None
        digests[path] = _disk.digest(data)
        if name == "converged":
            converged = converged_in(block, data)
    return converged if manifest == manifest_of(plan, block, digests, converged) else None


def header_of(plan: Plan, made_with: dict[str, str]) -> bytes:
    """The file that makes a folder the store of a plan."""
    header = {
        "format": FORMAT,
        "made_with": made_with,
        "fingerprint": plan.fingerprint,
        "plan": plan.to_dict(),
    }
    return as_json({**header, "checksum": _checksum(header)})


def read_header(place: object, data: bytes) -> tuple[Plan, dict[str, str]]:
    """Plan and versions of such a file.
    Raises `ValueError`, which begins with `place`, for anything else.
    """
    try:
        header = dict(json.loads(data))
        found, checksum = header["format"], header.pop("checksum", None)
    except (ValueError, KeyError, TypeError):
        raise ValueError(
            f"{place}: given a damaged {PLAN}; expected JSON with a plan; {_REDO}"
        ) from None
    if found != FORMAT:
        raise ValueError(
            f"{place}: given a store of format {found!r}; expected format {FORMAT}; read it with "
            "xarray.open_zarr, or work on it with the version of jaxcompress that made it"
        )
    changed = ValueError(
        f"{place}: given a {PLAN} that was changed after the store was made; {_REDO}"
    )
    if checksum != _checksum(header):
        raise changed
    try:
        plan, made_with = Plan.from_dict(header["plan"]), dict(header["made_with"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{place}: given a {PLAN} that is no plan ({error}); {_REDO}") from None
    if plan.fingerprint != header.get("fingerprint"):
        raise changed
    return plan, made_with


def fingerprint_in(data: bytes | None) -> str | None:
    """The fingerprint of the plan in such a file; `None` where it has none."""
    try:
        return json.loads(data or b"")["fingerprint"]
    except (ValueError, KeyError, TypeError):
        return None


def as_json(table: dict[str, Any]) -> bytes:
    """A table as the text of a file."""
    return (json.dumps(table, indent=1) + "\n").encode()


def _checksum(header: dict[str, Any]) -> str:
    return _disk.digest(json.dumps(header, sort_keys=True).encode())
