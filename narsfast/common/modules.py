"""Python files of the user as modules: imported once, with their siblings, and found again by pickle.

A file ``/home/me/nets.py`` is the module ``narsfast.common.modules.<folder in hexadecimal>.nets``. The name says where
the file is, so that any process can import it, and no other module has it. In these modules, ``import layers`` finds
``layers.py`` of the same folder first, as in a script, and likewise under a name of its own.
"""

from __future__ import annotations

import ast
import builtins
import importlib.util
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

__path__: list[str] = []  # a package, so that Python looks for the modules of the user in it


def run_file(file: Path) -> ModuleType:
    """Import a Python file; it is run again only if it, or a sibling that it imported, has changed.

    Args:
        file: Its name ends in ``.py``.

    Raises:
        Exception: Whatever the file raises, or FileNotFoundError where there is none.
    """
    file = Path(os.path.abspath(file))
    if not file.is_file():
        raise FileNotFoundError(file)
    folder = f"{__name__}.{os.fsencode(file.parent).hex()}"
    loaded = {name: module for name, module in sys.modules.items() if name.startswith(f"{folder}.")}
    if any(_has_changed(module) for module in loaded.values()):
        for name in loaded:
            del sys.modules[name]
    importlib.invalidate_caches()
    return importlib.import_module(f"{folder}.{_escaped(file.stem)}")


def siblings(file: Path) -> tuple[Path, ...]:
    """Return the files of the same folder, or below it, that a Python file imports, also by others; sorted.

    Imports that are written down are found, those of computed names are not.
    """
    folder, found, left = file.parent, set[Path](), [file]
    while left:
        for imported in _imports(left.pop(), folder):
            if imported not in found and imported != file:
                found.add(imported)
                left.append(imported)
    return tuple(sorted(found))


def _imports(file: Path, folder: Path) -> Iterator[Path]:
    package = file.parent.relative_to(folder).parts
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            names = [tuple(alias.name.split(".")) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else ()
            start = (*above, *(node.module.split(".") if node.module else ()))
            names = [start, *((*start, alias.name) for alias in node.names)]
        else:
            continue
        for name in names:
            for length in range(1, len(name) + 1):
                part = folder.joinpath(*name[:length])
                yield from (
                    path for path in (part.with_suffix(".py"), part / "__init__.py") if path.is_file()
                )


def _escaped(stem: str) -> str:
    """Return a stem as the last part of a module's name, in which a dot would mean a package."""
    return f"{stem.encode().hex()}{_ESCAPED}" if "." in stem else stem


_ESCAPED = " in hexadecimal"


class _Loader(SourceFileLoader):
    """Loads a module of the user, without a cache of compiled code, which knows changes by whole seconds only."""

    source = b""

    def get_code(self, fullname: str) -> CodeType:
        self.source = self.get_data(self.path)
        code: CodeType = self.source_to_code(self.source, self.path)
        return code

    def exec_module(self, module: ModuleType) -> None:
        package = ".".join(module.__name__.split(".")[: len(__name__.split(".")) + 1])
        module.__dict__["__builtins__"] = {**vars(builtins), "__import__": _Import(package)}
        super().exec_module(module)


def _has_changed(module: ModuleType) -> bool:
    loader = getattr(module.__spec__, "loader", None)
    if not isinstance(loader, _Loader):
        return False
    try:
        return Path(loader.path).read_bytes() != loader.source
    except OSError:
        return True


class _Import:
    """The import statement in modules of the user: siblings come first."""

    def __init__(self, package: str) -> None:
        self._package = package

    def __call__(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        first = name.partition(".")[0]
        folder = Path(os.fsdecode(bytes.fromhex(self._package.rpartition(".")[2])))
        if level or not ((folder / f"{first}.py").is_file() or (folder / first / "__init__.py").is_file()):
            return __import__(name, globals, locals, fromlist or (), level)
        module = importlib.import_module(f"{self._package}.{name}")
        if not fromlist:
            return sys.modules[f"{self._package}.{first}"]
        return __import__(module.__name__, globals, locals, fromlist, 0)


class _Finder:
    """Finds the folders of the user below this module, and the modules in them."""

    @staticmethod
    def find_spec(
        fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where a module is, or None if it is not the user's."""
        if not fullname.startswith(f"{__name__}."):
            return None
        folder, *inside = fullname[len(__name__) + 1 :].split(".")
        if not inside:
            spec = ModuleSpec(fullname, None, is_package=True)
            spec.submodule_search_locations = [os.fsdecode(bytes.fromhex(folder))]
            return spec
        if inside[-1].endswith(_ESCAPED):
            stem = bytes.fromhex(inside[-1].removesuffix(_ESCAPED)).decode()
            file = os.path.join(os.fsdecode(bytes.fromhex(folder)), f"{stem}.py")
            return importlib.util.spec_from_file_location(fullname, file, loader=_Loader(fullname, file))
        found = PathFinder.find_spec(fullname, path, target)
        if found is not None and isinstance(found.loader, SourceFileLoader):
            found.loader = _Loader(fullname, found.loader.path)
        return found


sys.meta_path.insert(0, _Finder)
