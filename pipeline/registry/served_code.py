"""Package the code that serves a registered network: a copy of the required modules of `pipeline`, renamed.

An application that loads the model may have its own module `pipeline`, and may load versions that were registered with
different code. The code of each version is therefore a package whose name contains the digest of the code.
"""

import ast
import hashlib
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PACKAGE = Path(__file__).parents[1]
_SERVING = Path(__file__).with_name("pyfunc_model.py")
_IMPORT = re.compile(rf"^(\s*from ){_PACKAGE.name}(?=[. ])", re.MULTILINE)


@contextmanager
def served_code() -> Iterator[tuple[Path, Path]]:
    """Create the package in a temporary folder. Yields its folder and the serving script; both can be imported.

    Raises:
        ValueError: A module imports `pipeline` in a form that cannot be renamed.
    """
    sources = {path: path.read_bytes() for path in sorted(_needed(_SERVING))}
    digest = hashlib.sha256()
    for path, content in sources.items():
        digest.update(path.relative_to(_PACKAGE).as_posix().encode() + b"\0" + content + b"\0")
    name = f"fovea_{digest.hexdigest()[:12]}"
    with tempfile.TemporaryDirectory() as folder:
        for path, content in sources.items():
            target = Path(folder, name, path.relative_to(_PACKAGE))
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(_renamed(path, content.decode(), name), encoding="utf-8")
        script = Path(folder, "serving.py")
        script.write_text(_renamed(_SERVING, _SERVING.read_text(encoding="utf-8"), name), encoding="utf-8")
        sys.path.insert(0, folder)
        try:
            yield Path(folder, name), script
        finally:
            sys.path.remove(folder)
            for module in [module for module in sys.modules if module.partition(".")[0] == name]:
                del sys.modules[module]


def _needed(script: Path) -> set[Path]:
    """Return the files of `pipeline` that a script imports, directly or indirectly, at import or in functions."""
    found: set[Path] = set()
    waiting = [script]
    while waiting:
        path = waiting.pop()
        imported = {file for module in _imports(path) for file in _files(module)} - found
        found |= imported
        waiting += imported
    return found


def _imports(path: Path) -> Iterator[str]:
    """Yield the modules of `pipeline` that a file imports, and the names imported from them, which may be modules."""
    waiting: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            waiting += ast.iter_child_nodes(node)
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == _PACKAGE.name:
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _files(module: str) -> Iterator[Path]:
    """Yield the file of a module and those of its parent packages; nothing if the name is not a module."""
    place = _PACKAGE.parent.joinpath(*module.split("."))
    file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    if file.exists():
        yield file
        yield from (parent / "__init__.py" for parent in file.parents if _PACKAGE in (parent, *parent.parents))


def _renamed(path: Path, source: str, name: str) -> str:
    """Return a module's source with renamed imports of `pipeline`."""
    imports = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import | ast.ImportFrom))
    for node in imports:
        names = {alias.name.partition(".")[0] for alias in node.names} if isinstance(node, ast.Import) else set()
        if _PACKAGE.name in names or (isinstance(node, ast.ImportFrom) and node.level):
            raise ValueError(f"{path}: line {node.lineno}: must be of the form `from {_PACKAGE.name}… import …`")
    return _IMPORT.sub(rf"\g<1>{name}", source)
