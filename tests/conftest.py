"""Every test runs in float64, on several fake CPU devices, with shapes checked and implicit rank
promotion an error.
"""

import gc
import os
import pathlib
import resource

# Compilation is most of the suite's time. LLVM's level zero and XLA's older emitters take a third
# of the processor time (seconds for value and gradient of a kernel 1.2 instead of 3.5, for a
# batched solver 6.7 instead of 17.8; 30 ms for one operation instead of 60), and what they make
# runs half as fast; modules that are not split among threads save another quarter. Notebooks
# inherit this; tests of the last digits (`tests.compiling.usual_jit`) compile as users do.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_force_host_platform_device_count=2 --xla_backend_optimization_level=0 "
    "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1",
)
# One thread of BLAS in every worker: two that spin for two cores took the oracles in SciPy ten
# times as long.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Workers share what they compile, and so do the next run in this checkout, the kernels of notebooks
# and every command that a test starts.
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(pathlib.Path(__file__).parent.parent / ".pytest_cache" / "jax")
)
# The shortest ones too: most programs are one operation, 30 ms to compile and 15 to fetch.
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")

import jax
import jaxtyping
import pytest

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")

# Shapes are checked by beartype where arrays have passed the border; at the border, bad ones must
# get a ValueError.
SHAPES_CHECKED = (
    "special",
    "kernels.moments._frames",
    "kernels.moments._moments",
    "kernels.moments._plane",
    "kernels.moments._relu",
    "kernels.tables._correlations",
    "kernels.tables._pairwise",
    "kernels.tables._products",
    "infinite_width._angle_kernels",
    "infinite_width._pairs",
    "solvers._polish",
    "theory._frames",
    "theory._phases",
    "theory._split",
    "compression._measured",
    "compression._model",
    "compression._starts",
    "compression._walk",
)
jaxtyping.install_import_hook(
    [f"jaxcompress.{name}" for name in SHAPES_CHECKED], "beartype.beartype"
)


# A worker takes a file at a time (`--dist loadfile`), so that it traces and sets up once; the
# longest first, or one of them would keep one worker busy when the others have nothing left. Marks
# of groups, which could split and join files, do nothing with pytest 9.2 (pytest-xdist issue 1386).
LONGEST = (
    "test_simplified",
    "test_sweep_faults",
    "test_notebooks",
    "test_docs",
    "test_activations",
    "test_products",
    "test_targets",
    "test_solve",
    "test_kernels",
    "test_risk",
    "test_engine",
    "test_census",
    "test_splitting",
    "test_theory",
    "test_sectors",
    "test_bad_input",
)


def pytest_collection_modifyitems(items):
    """The files of a whole run from the longest to the shortest."""
    place = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))


# Every compiled function keeps some ten memory maps, of which Linux grants 65530 a process; beyond,
# LLVM aborts it. It keeps memory too: what a file compiled is of no use to the next one.
_MANY_PROGRAMS = 2_000


class _Compiled:
    """How many programs were compiled, or fetched from the cache, and how long that took."""

    def __init__(self):
        self.in_test, self.held, self.seconds = 0, 0, 0.0

    def hear(self, event, seconds, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            self.in_test += 1
            self.held += 1
            self.seconds += seconds


_compiled = _Compiled()
jax.monitoring.register_event_duration_secs_listener(_compiled.hear)


@pytest.fixture(autouse=True)
def _count_compilations(request):
    """What a test compiled, with the fixtures that were set up for it, goes into its report."""
    yield
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    found = _compiled.seconds, _compiled.in_test, peak
    request.node.user_properties.append(("compiled", found))
    _compiled.in_test, _compiled.seconds = 0, 0.0


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item, nextitem):
    """Forget what was compiled where a file ends, or earlier if it is very much."""
    ends = nextitem is None or nextitem.path != item.path
    if ends or _compiled.held > _MANY_PROGRAMS:
        jax.clear_caches()
        gc.collect()
        _compiled.held = 0


def pytest_addoption(parser):
    parser.addoption(
        "--compilations", type=int, default=0, help="list so many tests that compiled for longest"
    )


def pytest_terminal_summary(terminalreporter, config):
    """The tests that compiled for longest, and the largest worker."""
    if not config.option.compilations:
        return
    rows = [
        (*found, report.nodeid)
        for report in terminalreporter.getreports("")
        for name, found in report.user_properties
        if name == "compiled" and report.when == "teardown"
    ]
    total, programs = sum(row[0] for row in rows), sum(row[1] for row in rows)
    largest = max((row[2] for row in rows), default=0)
    terminalreporter.section("compilations")
    terminalreporter.write_line(
        f"{programs} programs in {total:.0f} s; largest worker {largest:.2f} GB"
    )
    for seconds, count, _, name in sorted(rows, reverse=True)[: config.option.compilations]:
        terminalreporter.write_line(f"{seconds:7.2f} s {count:5d} {name}")
