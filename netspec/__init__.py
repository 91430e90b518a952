"""netspec: PyTorch models from YAML specs, checked completely, compiled to plain modules."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from netspec.version import __version__ as __version__

if TYPE_CHECKING:
    from netspec.analysis.analyse import Analysis, analyse
    from netspec.api import build, check, dynamic_shapes, load, loads, notes, to_python
    from netspec.drawing.notebook import show
    from netspec.errors import Diagnostic, RunError, SpecError
    from netspec.language.dump import dump_spec as dump
    from netspec.language.load import Spec
    from netspec.proof.verify import verify
    from netspec.registration import register
    from netspec.run.api import evaluate, train
    from netspec.run.checkpoint import load_checkpoint
    from netspec.run.data.registered import register_data
    from netspec.run.freezing import freeze
    from netspec.run.weights import load_weights

__all__ = [
    "Analysis", "Diagnostic", "RunError", "Spec", "SpecError", "analyse", "build", "check", "dump",
    "dynamic_shapes", "evaluate", "freeze", "load", "load_checkpoint", "load_weights", "loads",
    "notes", "register", "register_data", "show", "to_python", "train", "verify",
]  # fmt: skip

# Each public name, the module that has it, and its name there: torch is imported when it is needed.
_HOMES = {
    "Analysis": ("netspec.analysis.analyse", "Analysis"),
    "analyse": ("netspec.analysis.analyse", "analyse"),
    "Diagnostic": ("netspec.errors", "Diagnostic"),
    "RunError": ("netspec.errors", "RunError"),
    "SpecError": ("netspec.errors", "SpecError"),
    "Spec": ("netspec.language.load", "Spec"),
    "dump": ("netspec.language.dump", "dump_spec"),
    "dynamic_shapes": ("netspec.api", "dynamic_shapes"),
    "build": ("netspec.api", "build"),
    "evaluate": ("netspec.run.api", "evaluate"),
    "train": ("netspec.run.api", "train"),
    "freeze": ("netspec.run.freezing", "freeze"),
    "load_weights": ("netspec.run.weights", "load_weights"),
    "check": ("netspec.api", "check"),
    "load": ("netspec.api", "load"),
    "load_checkpoint": ("netspec.run.checkpoint", "load_checkpoint"),
    "loads": ("netspec.api", "loads"),
    "notes": ("netspec.api", "notes"),
    "register_data": ("netspec.run.data.registered", "register_data"),
    "register": ("netspec.registration", "register"),
    "show": ("netspec.drawing.notebook", "show"),
    "to_python": ("netspec.api", "to_python"),
    "verify": ("netspec.proof.verify", "verify"),
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'netspec' has no attribute '{name}'")
    module, attribute = _HOMES[name]
    value = getattr(import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
