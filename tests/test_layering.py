"""The shape of the package: what may import what, and what an import pulls in.

Read from the sources, not from what happens to be loaded; the reader is itself tried on lines that
it must refuse.
"""

import ast
import graphlib
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "jaxcompress"
MODULES = sorted(PACKAGE.rglob("*.py"))
SOURCES = sorted(
    path for name in ("jaxcompress", "tests", "benchmarks") for path in (ROOT / name).rglob("*.py")
)
FOLDERS = sorted(path.parent.name for path in PACKAGE.glob("[a-z]*/__init__.py"))

_NETWORKS = {"_internal", "special", "kernels", "networks"}
_SOLVERS = _NETWORKS | {"risk", "solvers"}
_ALL = _SOLVERS | {"theory", "sectors", "landscape", "infinite_width"}
# Subpackage → the subpackages that it may use. Data flows one way; `theory` knows neither `risk`
# nor `solvers`, or agreement between them would prove nothing; `sectors` has its own solver, of a
# few numbers, `infinite_width` its own flows, of particles, and `narrow` its own methods of
# training; `plotting` solves nothing.
MAY_USE = {
    "_internal": set(),
    "special": {"_internal"},
    "kernels": {"_internal", "special"},
    "networks": {"_internal", "special", "kernels"},
    "risk": _NETWORKS,
    "_compiling": set(),
    "solvers": _NETWORKS | {"risk", "_compiling"},
    "theory": _NETWORKS,
    "sectors": _NETWORKS,
    "infinite_width": _NETWORKS,
    "narrow": _NETWORKS | {"risk"},
    "landscape": _SOLVERS | {"theory", "sectors"},
    "programs": set(),
    "sweep": {*_ALL, "programs"},
    "compression": _ALL,
    "plotting": _NETWORKS,
    "cli_cache": {"programs"},
    "cli_show": {"sweep", "plotting", "cli_cache"},
    "cli_sweep": {"_internal", "sweep", "cli_cache"},
    "cli": {*_ALL, "sweep", "compression", "plotting", "cli_cache", "cli_show", "cli_sweep"},
    "__main__": {"cli"},
    "__init__": set(),
}
TOP_LEVEL = {
    "CHANGELOG.md",
    "CITATION.cff",
    "CONTRIBUTING.md",
    "LICENSE",
    "README.md",
    "benchmarks",
    "docs",
    "jaxcompress",
    "mkdocs.yml",
    "notebooks",
    "pyproject.toml",
    "tests",
}


def folder_of(path):
    """The subpackage that a file of the package belongs to: its folder, or itself at the top."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def listed(path):
    """The literal `__all__` of a file, or `None` where there is no such file."""
    if not path.exists():
        return None
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and any(
            isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets
        ):
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


def not_offered(other, inner, name):
    """What is wrong with an import of `name` from `jaxcompress.other`, followed by `inner`."""
    if inner and inner != ["internal"]:
        return [f"{'.'.join(('jaxcompress', other, *inner))} is neither of the faces of {other}"]
    offered = listed(PACKAGE / other / f"{'internal' if inner else '__init__'}.py")
    if offered is None or name in (None, "internal") or name in offered:
        return []
    return [f"{'.'.join((other, *inner))} does not offer {name}"]


def faults(folder, source):
    """What is wrong with the imports of a source that stands in the subpackage `folder`."""
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
            if folder != "cli":
                found.append("the whole package")
            continue
        if len(parts) == 1:
            parts, name = [*parts, name], None
        other, *inner = parts[1:]
        if other == folder:
            continue
        if other not in MAY_USE[folder]:
            found.append(f"{folder} uses {other}")
        if any(part.startswith("_") for part in (*inner, name or "")):
            found.append(f"{'.'.join((*parts, name or ''))} is private to {other}")
        elif other != "_internal":
            found += not_offered(other, inner, name)
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_what_subpackages_before_it_offer(path):
    assert faults(folder_of(path), path.read_text()) == []


@pytest.mark.parametrize(
    ("folder", "line", "fault"),
    [
        ("special", "from jaxcompress.kernels import gram", "special uses kernels"),
        ("theory", "from jaxcompress.risk import population_risk", "theory uses risk"),
        ("theory", "def f():\n    import jaxcompress.solvers", "theory uses solvers"),
        ("plotting", "from jaxcompress import compression", "plotting uses compression"),
        ("compression", "from jaxcompress.cli import main", "compression uses cli"),
        ("risk", "import jaxcompress as jc", "the whole package"),
        (
            "risk",
            "from jaxcompress.kernels.tables._pairwise import table",
            "jaxcompress.kernels.tables._pairwise.table is private to kernels",
        ),
        (
            "risk",
            "from jaxcompress.kernels import _inputs",
            "jaxcompress.kernels._inputs is private to kernels",
        ),
        (
            "risk",
            "import jaxcompress.kernels.tables._pairwise",
            "jaxcompress.kernels.tables._pairwise. is private to kernels",
        ),
        ("risk", "from jaxcompress.kernels import frames", "kernels does not offer frames"),
        (
            "risk",
            "from jaxcompress.kernels.internal import gram",
            "kernels.internal does not offer gram",
        ),
        (
            "risk",
            "from jaxcompress.kernels.activations import relu",
            "jaxcompress.kernels.activations is neither of the faces of kernels",
        ),
        ("risk", "from jaxcompress.kernels import *", "everything from jaxcompress.kernels"),
        ("risk", "from ..kernels import gram", "relative import of ..kernels"),
    ],
)
def test_an_import_against_the_flow_is_noticed(folder, line, fault):
    assert fault in faults(folder, line)


def test_every_subpackage_has_its_place_in_the_flow():
    assert {folder_of(path) for path in MODULES} <= set(MAY_USE)


def circle(needs):
    """The nodes of a graph, node → nodes that it needs, that go round in a circle; none where it
    has an order.
    """
    try:
        list(graphlib.TopologicalSorter(needs).static_order())
    except graphlib.CycleError as error:
        return error.args[1]
    return []


def test_the_flow_has_no_loops():
    assert circle(MAY_USE) == []


def dotted(path):
    """The name under which a file is imported."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def needs_of(source, known):
    """The files, among those `known` by their names, that a source imports."""
    for module, name in imports(source):
        yield from {f"{module}.{name}", module} & known


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_files_of_a_subpackage_import_each_other_in_a_circle(folder):
    files = {dotted(path): path for path in MODULES if folder_of(path) == folder}
    known = set(files) - {f"jaxcompress.{folder}"}  # the face imports all of them
    assert (
        circle({name: set(needs_of(files[name].read_text(), known)) - {name} for name in known})
        == []
    )


def test_a_circle_of_files_is_noticed():
    sources = {
        "p.a": "from p.b import x",
        "p.b": "def f():\n    from p import c",
        "p.c": "import p.a",
    }
    assert set(
        circle({name: set(needs_of(source, set(sources))) for name, source in sources.items()})
    ) == set(sources)


def reaches_into_jax(source):
    """Whether a source imports or names the private half of JAX."""
    private = "_src"
    named = any(
        isinstance(node, ast.Attribute) and node.attr == private
        for node in ast.walk(ast.parse(source))
    )
    return named or any(private in [*module.split("."), name] for module, name in imports(source))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_source_reaches_into_the_private_half_of_jax(path):
    assert not reaches_into_jax(path.read_text())


@pytest.mark.parametrize(
    "line",
    [
        "import jax._src.core",
        "from jax._src import core",
        "from jax import _src",
        "import jax\njax._src.core",
    ],
)
def test_a_reach_into_the_private_half_of_jax_is_noticed(line):
    assert reaches_into_jax(line)


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_subpackage_opens_with_what_enters_and_what_leaves(folder):
    prose = ast.get_docstring(ast.parse((PACKAGE / folder / "__init__.py").read_text())) or ""
    opening = " ".join(prose.split())
    assert "enters" in opening
    assert "leaves" in opening


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_module_opens_with_a_sentence(path):
    first, *_ = (ast.get_docstring(ast.parse(path.read_text())) or "").split("\n\n")
    assert first.rstrip().endswith((".", ":"))


def test_the_top_of_the_repository_holds_what_it_should_and_nothing_else():
    done = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip("not a checkout")
    entries = {line.split("/")[0] for line in done.stdout.splitlines()}
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
    assert {name.split(".")[1] for name in loaded if name.startswith("jaxcompress.")} == {
        "_internal",
        "kernels",
        "special",
    }


def test_names_of_daily_use_come_without_what_only_some_calls_need():
    """`solve_many` and `compress` took 1.5 processor seconds to name with diffrax, `landscape` 2.2
    with SciPy; without them it is 1.1 and 1.0, of which 0.75 are JAX and Equinox."""
    names = (
        "jc.solve_many, jc.compress, jc.population_risk, jc.landscape, jc.sweep, jc.theory, "
        "jc.sectors"
    )
    loaded = fresh(
        f"import sys, jaxcompress as jc; {names}; print(*sys.modules, sep='\\n')"
    ).splitlines()
    assert "jaxcompress.solvers" in loaded
    heavy = {
        "diffrax",
        "optimistix",
        "lineax",
        "scipy",
        "sklearn",
        "matplotlib",
        "xarray",
        "zarr",
        "rich",
    }
    assert not heavy & set(loaded)


def test_the_command_line_helps_without_jax():
    code = (
        "import sys; from jaxcompress import cli; cli.main([]); print(*sys.modules, sep='\\n', "
        "file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "jaxcompress compress" in done.stdout
    assert not {"jax", "numpy", "rich"} & set(done.stderr.splitlines())


def test_the_package_itself_loads_no_subpackage_until_a_name_is_asked_for():
    loaded = fresh("import sys, jaxcompress; print(*sys.modules, sep='\\n')").splitlines()
    assert [name for name in loaded if name.startswith("jaxcompress.")] == []
    assert "jax" not in loaded


def test_every_public_name_can_be_imported_and_is_listed():
    import jaxcompress as jc

    for name in jc.__all__:
        assert getattr(jc, name) is not None
    assert dir(jc) == sorted(jc.__all__)
    with pytest.raises(AttributeError, match="attribute copress"):
        jc.copress  # noqa: B018


def test_the_kernels_that_users_meet_are_few_and_each_is_described():
    names = {}
    exec("from jaxcompress.kernels import *", names)
    offered = {name: entry for name, entry in names.items() if not name.startswith("__")}
    assert 0 < len(offered) <= 20
    assert all(entry.__doc__ for entry in offered.values())


def test_the_files_whose_shapes_are_checked_exist():
    from tests.conftest import SHAPES_CHECKED

    paths = [PACKAGE / name.replace(".", "/") for name in SHAPES_CHECKED]
    assert all(path.is_dir() or path.with_suffix(".py").exists() for path in paths)
