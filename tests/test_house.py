"""The house: who may import whom. Read from every import of every file, for types too."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import stg_core

ROOT = Path(__file__).resolve().parents[1]
ROOMS = (  # from the top down: each imports from those below it only
    *("cli", "affinity", "export", "engine", "judging", "results"),
    *("grouping", "training", "maps", "tasks", "system"),
)
LIBRARY = sorted((ROOT / "stg_core").rglob("*.py"))
APP = sorted([*(ROOT / "app").rglob("*.py"), *(ROOT / "pages").rglob("*.py")])


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path) for path in (*LIBRARY, *APP)}


def imports_of(path: Path) -> Iterator[str]:
    """Every module of this project that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path} has a relative import"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in MODULES else node.module


def room_of(module: str) -> str:
    return module.split(".")[1]


ROOM_FILES = [path for path in LIBRARY if path.parent != ROOT / "stg_core"]


def test_every_file_of_the_library_is_in_a_room() -> None:
    assert {path.name for path in LIBRARY if path.parent == ROOT / "stg_core"} == {
        "__init__.py",
        "__main__.py",
    }
    assert {room_of(module_of(path)) for path in ROOM_FILES} <= set(ROOMS)


@pytest.mark.parametrize("path", ROOM_FILES, ids=module_of)
def test_imports_go_down_only(path: Path) -> None:
    floor = ROOMS.index(room_of(module_of(path)))
    for module in imports_of(path):
        assert module.split(".")[0] not in ("app", "pages", "streamlit", "tests"), module
        if module.startswith("stg_core."):
            assert ROOMS.index(room_of(module)) >= floor, f"{module_of(path)} imports {module}"
        assert module != "stg_core", f"{module_of(path)} imports the face of the house"


def test_no_files_import_each_other_in_a_circle() -> None:
    arrows = {
        module_of(path): {m for m in imports_of(path) if m in MODULES} for path in (*LIBRARY, *APP)
    }
    done: set[str] = set()

    def visit(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, " → ".join([*way[way.index(module) :], module])
        if module not in done:
            for below in sorted(arrows.get(module, ())):
                visit(below, (*way, module))
            done.add(module)

    for module in arrows:
        visit(module, ())


# Each of these is imported by who trains with that library, and brings it; nobody else may.
LIBRARY_OF = {
    "stg_core.maps.loops.keras": {"keras"},
    "stg_core.maps.loops.lightning": {"lightning", "pytorch_lightning"},
    "stg_core.maps.loops.transformers": {"transformers"},
}
FOREIGN = ("torch", "torchvision", *sorted(set().union(*LIBRARY_OF.values())))
WITHOUT_TORCH = [
    module_of(path)
    for path in ROOM_FILES
    if room_of(module_of(path)) in ("cli", "engine", "judging", "results", "grouping", "maps")
    and module_of(path) not in LIBRARY_OF
]


@pytest.mark.parametrize("path", [*LIBRARY, *APP], ids=module_of)
def test_a_library_that_trains_is_imported_by_its_own_module_only(path: Path) -> None:
    own = LIBRARY_OF.get(module_of(path), set())
    for module in imports_of(path):
        assert module not in LIBRARY_OF, f"{module_of(path)} imports {module}"
        library = module.split(".")[0]
        assert library in own or library not in set().union(*LIBRARY_OF.values()), module


def test_a_module_for_a_library_names_no_other() -> None:
    for module, own in LIBRARY_OF.items():
        path = (ROOT / module.replace(".", "/")).with_suffix(".py")
        foreign = {m.split(".")[0] for m in imports_of(path)} - sys.stdlib_module_names
        assert foreign <= {"stg_core", *own}, path


def test_no_torch_where_none_may_be() -> None:
    """Neither reading results nor the whole app process imports it: a page is there at once."""
    program = "; ".join(
        [
            f"import {', '.join(['sys', 'stg_core', *WITHOUT_TORCH, *app_modules()])}",
            f"print([name for name in {FOREIGN} if name in sys.modules])",
        ]
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert answer.stdout.splitlines()[-1] == "[]"


def app_modules() -> list[str]:
    return [module_of(path) for path in APP if "pages" not in path.parts and path.name != "main.py"]


def test_pages_import_torch_nowhere() -> None:
    for path in APP:
        assert not {"torch", "torchvision"} & {m.split(".")[0] for m in imports_of(path)}, path


def test_what_a_user_imports_is_at_the_door() -> None:
    for name in stg_core.__all__:
        assert getattr(stg_core, name).__name__ == name
    assert set(stg_core.__all__) <= set(dir(stg_core))
