"""What all benchmarks share: one thread, float64, timing that waits for every array, and a record
of the machine.

Import this before JAX: the number of threads is read when the libraries load. Settings that are
already in the environment are kept.
"""

import argparse
import json
import math
import os
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
ONE_THREAD = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
for _name, _value in THREADS.items():
    os.environ.setdefault(_name, _value)
os.environ.setdefault("XLA_FLAGS", ONE_THREAD)

import jax  # noqa: E402
import numpy as np  # noqa: E402

jax.config.update("jax_enable_x64", True)

RESULTS = Path(__file__).resolve().parent / "results"
PACKAGES = (
    "jax",
    "jaxlib",
    "numpy",
    "scipy",
    "equinox",
    "diffrax",
    "optimistix",
    "optax",
    "jaxcompress",
)


def parser(doc: str | None, out: str) -> argparse.ArgumentParser:
    """A command line with the options that every benchmark has."""
    made = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--core", type=int, default=None, help="pin this process to one core")
    made.add_argument("--out", type=Path, default=RESULTS / out, help="where the JSON goes")
    return made


def pin(core: int | None) -> None:
    """Bind this process to one core. Call it before the first array: XLA's threads inherit the
    binding.
    """
    if core is not None:
        os.sched_setaffinity(0, {core})


def environment() -> dict:
    """What the numbers were measured with; nothing that names a machine or a user."""
    device = jax.devices()[0]
    one_thread = "intra_op_parallelism_threads=1" in os.environ.get("XLA_FLAGS", "")
    return {
        "device": device.device_kind,
        "platform": device.platform,
        "devices": jax.device_count(),
        "processor": _processor(),
        "cores_usable": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "threads": {"xla": 1 if one_thread else "all", "blas": os.environ["OPENBLAS_NUM_THREADS"]},
        "python": platform.python_version(),
        "precision": "float64",
        **{name: version(name) for name in PACKAGES},
    }


def _processor() -> str:
    """The model name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def seconds(call: Callable[[], Any]) -> tuple[float, Any]:
    """Wall clock of a call until every array that it returns is there, and what it returns."""
    begin = time.perf_counter()
    out = jax.block_until_ready(call())
    return time.perf_counter() - begin, out


def repeated(call: Callable[[], Any], repeats: int) -> tuple[dict, Any]:
    """A first call that compiles, then `repeats` that do not.

    Returns `{"compile_seconds", "seconds"}`, the first being what the first call took beyond the
    median of the others, and the last result.
    """
    first, out = seconds(call)
    taken = []
    for _ in range(repeats):
        once, out = seconds(call)
        taken.append(once)
    return {"compile_seconds": max(0.0, first - statistics.median(taken)), "seconds": taken}, out


def per_call(call: Callable[[], Any], at_least: float = 0.2, repeats: int = 5) -> dict:
    """Seconds of one short call: the median of `repeats` loops of at least `at_least` seconds each.

    `median_cpu_seconds` is what the process itself computed (all its threads): on a core that
    others use too, ratios of it are the ones to trust.
    """
    compile_seconds, _ = seconds(call)
    once, _ = seconds(call)
    count = max(1, math.ceil(at_least / max(once, 1e-7)))
    taken, computed = [], []
    for _ in range(repeats):
        begin, cpu_begin = time.perf_counter(), time.process_time()
        for _ in range(count):
            out = call()
        jax.block_until_ready(out)
        taken.append((time.perf_counter() - begin) / count)
        computed.append((time.process_time() - cpu_begin) / count)
    return {
        "compile_seconds": compile_seconds - once,
        "seconds": taken,
        "median_seconds": statistics.median(taken),
        "median_cpu_seconds": statistics.median(computed),
    }


def write(path: Path, record: dict) -> None:
    """Store a record with its environment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps({"environment": environment(), **record}, indent=1, default=_plain) + "\n"
    )


def _plain(value: Any) -> Any:
    """NumPy and JAX numbers and arrays as Python's."""
    return np.asarray(value).tolist()
