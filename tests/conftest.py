"""Every test runs in float64, on several fake CPU devices, with shapes checked and implicit rank promotion an error."""

import os
import pathlib

os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=2")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jaxtyping
import pytest

jax.config.update("jax_enable_x64", True)
# Compilation is most of the suite's time: workers share what they compile, and so does the next run in this checkout.
jax.config.update("jax_compilation_cache_dir", str(pathlib.Path(__file__).parent.parent / ".pytest_cache" / "jax"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
jax.config.update("jax_numpy_rank_promotion", "raise")

# Shapes are checked by beartype where arrays have passed the border; at the border, bad ones must get a ValueError.
_INNER = (
    "special",
    "kernels._correlations",
    "kernels._frames",
    "kernels._moments",
    "kernels._plane",
    "kernels._products",
    "kernels._relu",
    "kernels._table",
    "infinite_width._angle_kernels",
    "infinite_width._pairs",
    "solve._polish",
    "theory._frames",
    "theory._phases",
    "theory._split",
    "compress._measured",
    "compress._model",
    "compress._readout",
    "compress._starts",
    "compress._walk",
)
jaxtyping.install_import_hook([f"jaxcompress.{name}" for name in _INNER], "beartype.beartype")


def pytest_collection_modifyitems(items):
    """Keep a file's tests in one worker, which then traces and sets up once; marks of their own and notebooks apart."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None and item.path.stem != "test_notebooks":
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


# Every compiled function keeps some ten memory maps, of which Linux grants 65530 a process; beyond, LLVM aborts it.
_MANY_MAPS = 25_000


@pytest.fixture(autouse=True)
def _room_for_compiled_functions():
    """Forget what was compiled before the maps of a worker run out; the next use finds it in the cache on disk."""
    yield
    maps = pathlib.Path("/proc/self/maps")
    if maps.exists() and maps.read_bytes().count(b"\n") > _MANY_MAPS:
        jax.clear_caches()
