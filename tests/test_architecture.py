"""The rooms of the house and who may import whom, held against the code."""

from __future__ import annotations

import ast
import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import ssatom

PACKAGE = Path(ssatom.__file__).parent

# Each room with the rooms it may import, lowest first: all of them stand above it in this table.
# The errors, rules of parameters, limits, warnings, progress bars and shared docstrings may be
# imported by all.
MAY_IMPORT = {
    "exceptions": "",
    "validation": "",
    "limits": "",
    "shared_docs": "",
    "warn": "",
    "progress": "",
    "blas": "",
    "dependencies": "",
    "kernels": "",
    "parallel": "",
    "processes": "",
    "repeatable": "kernels processes",
    "files": "",
    "splits": "",
    "recipe": "",
    "devices": "kernels",
    "encoder": "kernels repeatable",
    "plots": "",
    "structures": "",
    "elements": "",
    "training": "processes repeatable",
    "corpora": "files structures",
    "graph": "kernels elements structures",
    "surroundings": "structures elements graph",
    "masking": "elements graph",
    "electrons": "blas structures elements graph",
    "tasks": "repeatable structures elements graph surroundings masking",
    "weights": "files repeatable encoder elements structures graph",
    "embeddings": "kernels parallel devices structures elements graph weights",
    "storage": "files weights embeddings",
    "pretraining": (
        "files processes repeatable devices recipe encoder structures elements training graph "
        "masking tasks weights embeddings"
    ),
    "featurizers": "structures graph electrons weights embeddings",
    "negnn": "repeatable encoder",
    "estimators": (
        "files repeatable splits devices encoder plots structures elements training graph weights "
        "embeddings negnn"
    ),
    "similar": "files structures weights embeddings",
    "evaluation": "files splits plots structures weights embeddings featurizers",
    "cli": "*",
}
ROOMS = list(MAY_IMPORT)
FOR_ALL = {"exceptions", "limits", "shared_docs", "validation", "warn", "progress"}


class Import(NamedTuple):
    """One import statement: the module or name it asks for, and where it stands."""

    name: str
    file: Path
    line: int
    at_load: bool

    def __str__(self) -> str:
        return f"{self.file.relative_to(PACKAGE)}:{self.line} imports {self.name}"


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def runs_later(block: ast.AST) -> bool:
    """Whether a block is a function's, or for type checkers alone."""
    if isinstance(block, ast.If):
        return isinstance(block.test, ast.Name) and block.test.id == "TYPE_CHECKING"
    return isinstance(block, ast.FunctionDef | ast.AsyncFunctionDef)


def imports_in(path: Path) -> Iterator[Import]:
    """Every import of a file, those inside functions included; relative ones spelled out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    later = {id(node) for block in ast.walk(tree) if runs_later(block) for node in ast.walk(block)}
    package = ["ssatom", *path.relative_to(PACKAGE).parent.parts]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            # `from ssatom import graph` names a room, `from ssatom.graph import X` is in one.
            names = [f"{module}.{a.name}" if module == "ssatom" else module for a in node.names]
        else:
            continue
        yield from (Import(name, path, node.lineno, id(node) not in later) for name in names)


FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")
IMPORTS = [found for path in FILES for found in imports_in(path)]


def imported_room(name: str) -> str | None:
    """The room that an import leads to; None for another package or ssatom itself."""
    parts = name.split(".")
    if parts[0] != "ssatom" or len(parts) == 1:
        return None
    if parts[1] in ssatom.__all__:  # a public name leads to its room
        return getattr(ssatom, parts[1]).__module__.split(".")[1]
    return parts[1]


def allowed(room: str) -> set[str]:
    rooms = MAY_IMPORT[room]
    for_all = {"exceptions"} if room in FOR_ALL else FOR_ALL
    return set(ROOMS) if rooms == "*" else {room, *for_all, *rooms.split()}


def reachable(room: str) -> set[str]:
    """All rooms that importing this one may load, by the table."""
    found: set[str] = set()
    waiting = [room]
    while waiting:
        current = waiting.pop()
        if current not in found:
            found.add(current)
            waiting += allowed(current)
    return found


def test_every_room_is_in_the_table() -> None:
    assert {room_of(path) for path in FILES} <= set(ROOMS)
    assert len(FILES) > 30


def test_the_page_for_developers_has_every_room() -> None:
    page = (PACKAGE.parent / "docs" / "developing.rst").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^``(\w+)`` {2,}\S", page, re.MULTILINE)) == sorted(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_table_has_no_arrow_upward_and_so_no_circle(room: str) -> None:
    assert allowed(room) <= {*ROOMS[: ROOMS.index(room) + 1]}


@pytest.mark.parametrize("room", ROOMS)
def test_imports_are_those_of_the_table(room: str) -> None:
    leads = [(found, imported_room(found.name)) for found in IMPORTS if room_of(found.file) == room]
    wrong = [str(found) for found, to in leads if to is not None and to not in allowed(room)]
    assert not wrong


def test_the_package_itself_gives_its_version_alone() -> None:
    """`import ssatom` inside a room must not become a back door to the lazy names."""
    used = {
        node.attr
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "ssatom"
    }
    assert used <= {"__version__", "__file__"}


def top_level(name: str) -> str:
    return name.split(".")[0]


@pytest.mark.parametrize(
    "room", ["kernels", "encoder", "plots", "exceptions", "devices", "training"]
)
def test_rooms_that_know_no_crystals(room: str) -> None:
    """Neither by themselves nor through a room they import."""
    assert reachable(room) <= {room, *FOR_ALL, "kernels", "processes", "repeatable"}
    names = {top_level(found.name) for found in IMPORTS if room_of(found.file) == room}
    assert not names & {"pymatgen", "ase", "matminer"}


def test_encoder_is_torch_alone() -> None:
    names = {top_level(found.name) for found in IMPORTS if room_of(found.file) == "encoder"}
    assert names - set(sys.stdlib_module_names) <= {"torch", "torch_geometric", "ssatom"}


def test_kernels_are_torch_and_numba_alone() -> None:
    names = {top_level(found.name) for found in IMPORTS if room_of(found.file) == "kernels"}
    assert names - set(sys.stdlib_module_names) <= {"torch", "numpy", "numba", "ssatom"}


def test_matplotlib_is_imported_when_it_draws() -> None:
    found = [found for found in IMPORTS if top_level(found.name) == "matplotlib"]
    named = {"plots", "evaluation"}  # the latter for annotations alone
    assert {room_of(one.file) for one in found} <= named
    # The class of the figures is a file of its own, which functions import.
    assert {one.file.name for one in found if one.at_load} == {"_figure.py"}
    importers = [one for one in IMPORTS if one.name == "ssatom.plots._figure"]
    assert importers
    assert not [str(one) for one in importers if one.at_load]


def test_featurizers_need_no_pretraining() -> None:
    needed = reachable("featurizers")
    assert not needed & {"pretraining", "training", "masking", "tasks"}


def test_lightning_stays_where_it_trains() -> None:
    rooms = {room_of(f.file) for f in IMPORTS if top_level(f.name).endswith("lightning")}
    assert rooms <= {"training", "pretraining", "estimators"}


def test_pymatgen_is_imported_from_its_core() -> None:
    names = {found.name for found in IMPORTS if top_level(found.name) == "pymatgen"}
    assert names == {"pymatgen.core", "pymatgen.optimization.neighbors"}


# The studies -----------------------------------------------------------------------------------

EXAMPLES = PACKAGE.parent / "examples"
STUDY_FILES = [
    path for name in ("paper", "benchmarks") for path in sorted((EXAMPLES / name).rglob("*.py"))
]


def test_the_product_knows_nothing_of_the_studies() -> None:
    """No import leads to a module of examples/, and no line names one."""
    modules = {path.stem for path in STUDY_FILES} | {"studies", "examples"}
    wrong = [str(found) for found in IMPORTS if top_level(found.name) in modules]
    assert not wrong
    named = re.compile(r"examples[/.](paper|benchmarks)|reproduce\.py|speed\.py")
    assert not [path for path in FILES if named.search(path.read_text(encoding="utf-8"))]


def names_used(path: Path) -> Iterator[tuple[str, str]]:
    """Modules and names of ssatom that a file imports or reaches through `ssatom.`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "ssatom":
            yield from ((str(node.module), alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((a.name, "") for a in node.names if a.name.startswith("ssatom"))
        elif isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "ssatom":
            yield "ssatom", node.attr


def is_public(module: str, name: str) -> bool:
    """Whether ssatom, or one of its rooms, exports a name."""
    parts = module.split(".")
    if len(parts) > 2 or any(part.startswith("_") for part in parts):
        return False
    if not name or (module, name) == ("ssatom", "__version__"):
        return module == "ssatom"
    found = importlib.import_module(module)
    exported = getattr(found, "__all__", [n for n in vars(found) if not n.startswith("_")])
    return name in exported


@pytest.mark.parametrize("path", STUDY_FILES, ids=lambda path: path.stem)
def test_studies_use_public_names_alone(path: Path) -> None:
    assert not [
        f"{module} {name}" for module, name in names_used(path) if not is_public(module, name)
    ]


def test_studies_are_found() -> None:
    assert len(STUDY_FILES) > 20
    assert not is_public("ssatom.evaluation.results", "resume")
    assert not is_public("ssatom.evaluation", "resume")
    assert not is_public("ssatom.structures._arrays", "StructureArrays")
    assert is_public("ssatom.structures", "StructureArrays")


def test_files_are_short() -> None:
    lengths = {str(path): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert {name: n for name, n in lengths.items() if n > 400} == {}


def test_formulas_come_from_one_place() -> None:
    """Which silences pymatgen's warning about noble gases."""
    found = [
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if ".reduced_formula" in line and ">>>" not in line
    ]
    assert found == ["structures/_arrays.py"]
