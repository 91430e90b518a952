"""What an answer depends on beside texts and options: the programs that found it.

Read off files' names, sizes and times. Nothing here imports torch, nor asks `importlib.metadata`,
which alone takes longer than a remembered answer may.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from netspec import __version__
from netspec.file_trace import digest

_PACKAGE = Path(__file__).resolve().parent.parent
# By the names that they are imported by, and how their folders of metadata begin.
_PACKAGES = {
    "torch": "torch-",
    "numpy": "numpy-",
    "pydantic": "pydantic-",
    "pydantic_core": "pydantic_core-",
    "yaml": "pyyaml-",
}
_VARIABLES = ("ATEN_", "PYTORCH_", "TORCH_")  # what torch reads


def environment(plugins: bool) -> list[object] | None:
    """The versions of all that takes part; None where a package is not found.

    With plugins, also the names of all that can be imported.
    """
    try:
        packages = [list(_version(name, prefix)) for name, prefix in _PACKAGES.items()]
        importable = [[folder, _digest_of_names(folder or ".")] for folder in sys.path if plugins]
        own = digest("\n".join(sorted(_stamps(_PACKAGE))).encode(errors="surrogateescape"))
    except OSError:
        return None
    variables = {k: v for k, v in os.environ.items() if k.startswith(_VARIABLES)}
    machine = [sys.platform, os.uname().machine if sys.platform != "win32" else "", sys.version]
    return [__version__, own, packages, machine, sorted(variables.items()), importable]


def _version(name: str, prefix: str) -> Iterator[str]:
    """Where the package is, and the versions that its folder, its files and its metadata tell.

    Raises OSError where no folder of the path has it.
    """
    for folder in (each or "." for each in sys.path):
        package = os.path.join(folder, name)
        if os.path.isfile(os.path.join(package, "__init__.py")):
            yield package
            yield _stamp(os.path.join(package, "__init__.py"))
            yield from (each for each in sorted(os.listdir(folder)) if _is_of(each, prefix))
            if name == "torch":
                yield Path(package, "version.py").read_text(encoding="utf-8", errors="replace")
            return
    raise FileNotFoundError(name)


def _is_of(name: str, prefix: str) -> bool:
    return name.endswith(("-info", ".egg-link")) and name.lower().startswith(prefix)


def _digest_of_names(folder: str) -> str:
    try:
        return digest(ascii(sorted(os.listdir(folder))).encode())
    except OSError:  # a zip file, or a folder that is not there
        return ""


def _stamps(folder: Path) -> Iterator[str]:
    for place, _, files in os.walk(folder):
        for name in files:
            if name.endswith(".py"):
                path = os.path.join(place, name)
                yield f"{path} {_stamp(path)}"


def _stamp(file: str) -> str:
    status = os.stat(file)
    return f"{status.st_mtime_ns} {status.st_size}"
