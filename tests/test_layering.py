"""The shape of the package: what may import what, and what an import pulls in.

Read from the sources, not from what happens to be loaded; the reader is itself tried on lines that it must refuse.
"""

import ast
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "jaxcompress"
MODULES = sorted(PACKAGE.rglob("*.py"))
SOURCES = sorted(path for name in ("jaxcompress", "tests", "benchmarks") for path in (ROOT / name).rglob("*.py"))
ROOMS = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))

_NETWORKS = {"special", "kernels", "networks"}
_SOLVE = _NETWORKS | {"risk", "solve"}
_ALL = _SOLVE | {"theory", "sectors", "landscape", "infinite_width"}
# Room → the rooms that it may use. Data flows one way; `theory` knows neither `risk` nor `solve`, or agreement between
# them would prove nothing; `sectors` has its own solver, of a few numbers, `infinite_width` its own flows, of
# particles, and `narrow` its own methods of training; `plotting` solves nothing.
MAY_USE = {
    "special": set(),
    "kernels": {"special"},
    "networks": {"special", "kernels"},
    "risk": _NETWORKS,
    "_compiling": set(),
    "solve": _NETWORKS | {"risk", "_compiling"},
    "theory": _NETWORKS,
    "sectors": _NETWORKS,
    "infinite_width": _NETWORKS,
    "narrow": _NETWORKS | {"risk"},
    "landscape": _SOLVE | {"theory", "sectors"},
    "programs": set(),
    "sweep": {*_ALL, "programs"},
    "compress": _ALL,
    "plotting": _NETWORKS,
    "cli_cache": {"programs"},
    "cli_sweep": {"sweep", "plotting", "cli_cache"},
    "cli": {*_ALL, "sweep", "compress", "plotting", "cli_cache", "cli_sweep"},
    "__main__": {"cli"},
    "_rooms": set(),
    "__init__": {*_ALL, "narrow", "programs", "sweep", "compress", "plotting"},
}
TOP_LEVEL = {
    "CHANGELOG.md",
    "CITATION.cff",
    "LICENSE",
    "README.md",
    "benchmarks",
    "jaxcompress",
    "notebooks",
    "pyproject.toml",
    "tests",
}


def room_of(path):
    """The room that a file of the package belongs to: its folder, or itself at the top."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def public_names(room):
    """What a room offers: the literal `__all__` of its `__init__`, or `None` for a room that is one file."""
    init = PACKAGE / room / "__init__.py"
    if not init.exists():
        return None
    for node in ast.parse(init.read_text()).body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            return set(ast.literal_eval(node.value))
    return set()


def imports(source):
    """Every `(module, name or None)` that a source imports, at any depth."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from ((module, alias.name) for alias in node.names)


def faults(room, source):
    """What is wrong with the imports of a source that stands in `room`."""
    found = []
    for module, name in imports(source):
        if name == "*":
            found.append(f"everything from {module}")
        if module.startswith("."):
            found.append(f"relative import of {module}")
        parts = module.split(".")
        if parts[0] != "jaxcompress":
            continue
        if len(parts) == 1 and name is None:
            if room != "cli":
                found.append("the whole package")
            continue
        if len(parts) == 1:
            parts, name = [*parts, name], None
        other, *inner = parts[1:]
        if other == room or other == "_rooms":
            continue
        if other not in MAY_USE[room]:
            found.append(f"{room} uses {other}")
        offered = public_names(other)
        if any(part.startswith("_") for part in (*inner, name or "")):
            found.append(f"{'.'.join((*parts, name or ''))} is private to {other}")
        elif offered is not None and name is not None and not inner and name not in offered:
            found.append(f"{other} does not offer {name}")
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_public_names_of_rooms_before_it(path):
    assert faults(room_of(path), path.read_text()) == []


@pytest.mark.parametrize(
    ("room", "line", "fault"),
    [
        ("special", "from jaxcompress.kernels import gram", "special uses kernels"),
        ("theory", "from jaxcompress.risk import population_risk", "theory uses risk"),
        ("theory", "def f():\n    import jaxcompress.solve", "theory uses solve"),
        ("plotting", "from jaxcompress import compress", "plotting uses compress"),
        ("compress", "from jaxcompress.cli import main", "compress uses cli"),
        ("risk", "import jaxcompress as jc", "the whole package"),
        (
            "risk",
            "from jaxcompress.kernels._table import table",
            "jaxcompress.kernels._table.table is private to kernels",
        ),
        ("risk", "from jaxcompress.kernels import _table", "jaxcompress.kernels._table is private to kernels"),
        ("risk", "import jaxcompress.kernels._table", "jaxcompress.kernels._table. is private to kernels"),
        ("risk", "from jaxcompress.kernels import table", "kernels does not offer table"),
        ("risk", "from jaxcompress.kernels import *", "everything from jaxcompress.kernels"),
        ("risk", "from ..kernels import gram", "relative import of ..kernels"),
    ],
)
def test_an_import_against_the_flow_is_noticed(room, line, fault):
    assert fault in faults(room, line)


def test_every_room_has_its_place_in_the_flow():
    assert {room_of(path) for path in MODULES} <= set(MAY_USE)


def test_the_flow_has_no_loops():
    seen = set()
    waiting = dict(MAY_USE)
    while waiting:
        ready = {room for room, needs in waiting.items() if needs <= seen}
        assert ready, f"these rooms wait for each other: {sorted(waiting)}"
        seen |= ready
        waiting = {room: needs for room, needs in waiting.items() if room not in ready}


def reaches_into_jax(source):
    """Whether a source imports or names the private half of JAX."""
    private = "_src"
    named = any(isinstance(node, ast.Attribute) and node.attr == private for node in ast.walk(ast.parse(source)))
    return named or any(private in [*module.split("."), name] for module, name in imports(source))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_source_reaches_into_the_private_half_of_jax(path):
    assert not reaches_into_jax(path.read_text())


@pytest.mark.parametrize(
    "line", ["import jax._src.core", "from jax._src import core", "from jax import _src", "import jax\njax._src.core"]
)
def test_a_reach_into_the_private_half_of_jax_is_noticed(line):
    assert reaches_into_jax(line)


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_opens_with_what_enters_and_what_leaves(room):
    prose = ast.get_docstring(ast.parse((PACKAGE / room / "__init__.py").read_text())) or ""
    opening = " ".join(prose.split())
    assert "enters" in opening
    assert "leaves" in opening


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_module_opens_with_a_sentence(path):
    first, *_ = (ast.get_docstring(ast.parse(path.read_text())) or "").split("\n\n")
    assert first.rstrip().endswith((".", ":"))


def test_the_top_of_the_repository_holds_what_it_should_and_nothing_else():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a checkout")
    entries = {line.split("/")[0] for line in listed.stdout.splitlines()}
    assert {entry for entry in entries if not entry.startswith(".")} <= TOP_LEVEL


def fresh(code):
    """Run code in an interpreter of its own and return what it prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_kernels_come_without_solvers_and_pictures():
    loaded = fresh("import sys, jaxcompress.kernels; print(*sys.modules, sep='\\n')").splitlines()
    assert "jaxcompress.kernels" in loaded
    heavy = {"diffrax", "optax", "lineax", "optimistix", "matplotlib", "rich", "scipy.optimize"}
    assert not heavy & set(loaded)
    assert {name.split(".")[1] for name in loaded if name.startswith("jaxcompress.")} == {"kernels", "special"}


def test_names_of_daily_use_come_without_what_only_some_calls_need():
    """`solve_many` and `compress` took 1.5 processor seconds to name with diffrax, `landscape` 2.2 with
    SciPy; without them it is 1.1 and 1.0, of which 0.75 are JAX and Equinox."""
    names = "jc.solve_many, jc.compress, jc.population_risk, jc.landscape, jc.sweep, jc.theory, jc.sectors"
    loaded = fresh(f"import sys, jaxcompress as jc; {names}; print(*sys.modules, sep='\\n')").splitlines()
    assert "jaxcompress.solve" in loaded
    heavy = {"diffrax", "optimistix", "lineax", "scipy", "sklearn", "matplotlib", "xarray", "zarr", "rich"}
    assert not heavy & set(loaded)


def test_the_command_line_helps_without_jax():
    code = "import sys; from jaxcompress import cli; cli.main([]); print(*sys.modules, sep='\\n', file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "jaxcompress compress" in done.stdout
    assert not {"jax", "numpy", "rich"} & set(done.stderr.splitlines())


def test_the_package_itself_loads_no_room_until_a_name_is_asked_for():
    loaded = fresh("import sys, jaxcompress; print(*sys.modules, sep='\\n')").splitlines()
    assert [name for name in loaded if name.startswith("jaxcompress.")] == []
    assert "jax" not in loaded


IMPORT_ORDERS = """
import jaxcompress as jc
import jaxcompress.compress, jaxcompress.solve; import jaxcompress as jc
import jaxcompress.solve; import jaxcompress.compress; import jaxcompress as jc
from jaxcompress.compress import compress; import jaxcompress as jc
from jaxcompress.solve import solve; import jaxcompress as jc
from jaxcompress import compress, solve; import jaxcompress as jc
from jaxcompress import Compressed, gradient_flow; import jaxcompress as jc
import jaxcompress as jc; jc.compress; import jaxcompress.compress
import jaxcompress as jc; jc.solve_many; import jaxcompress.solve
"""


def test_compress_and_solve_are_functions_and_rooms_in_whatever_order_they_are_imported():
    code = f"""
import importlib, sys
for order in {IMPORT_ORDERS.strip().splitlines()!r}:
    for name in [name for name in sys.modules if name.split(".")[0] == "jaxcompress"]:
        del sys.modules[name]
    names = {{}}
    exec(order, names)
    jc = names["jc"]
    for room, inside in (("compress", "Report"), ("solve", "certify")):
        for entry in {{getattr(jc, room), names.get(room, getattr(jc, room))}}:
            assert callable(entry), (order, room)
            assert hasattr(getattr(jc, room), inside), (order, room)
            try:
                entry()
            except TypeError as error:
                print(str(error).split("(")[0])
            else:
                raise AssertionError((order, room))
"""
    said = fresh(code).split()
    assert set(said) == {"compress", "solve"}
    assert len(said) >= 2 * len(IMPORT_ORDERS.strip().splitlines())


def test_every_public_name_can_be_imported_and_is_listed():
    import jaxcompress as jc

    for name in jc.__all__:
        assert getattr(jc, name) is not None
        assert name in dir(jc)
    with pytest.raises(AttributeError, match="no attribute 'copress'"):
        jc.copress  # noqa: B018
