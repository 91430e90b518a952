"""Importing the originals' packages, some of which need help on a CPU build of torch."""

from __future__ import annotations

import inspect
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import torch

LIBRARY_SUFFIX = ".pyd" if os.name == "nt" else ".so"
SOUND_FILES = ("librosa", "resampy", "torchaudio", "scipy", "tqdm")  # what torchcrepe reads with


def is_there(package: str) -> bool:
    """Whether the package is installed, found without importing it."""
    return find_spec(package) is not None


@cache
def library(name: str) -> ModuleType:
    """The module of this dotted name, imported so that it works beside a CPU build of torch.

    Raises ModuleNotFoundError where its package is not installed.
    """
    package = name.partition(".")[0]
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    if is_there("torchvision"):  # timm and transformers import it
        missing_operators()
    stubs = SOUND_FILES if package == "torchcrepe" else ()
    with stand_ins(stubs), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return import_module(name)


def source_text(name: str) -> str:
    """The source of a class or function by its dotted name, like "torchvision.models.vgg.VGG"."""
    module, _, attribute = name.rpartition(".")
    return inspect.getsource(getattr(library(module), attribute))


@cache
def missing_operators() -> torch.library.Library | None:
    """Declare the operators without which torchvision's CUDA build fails at import.

    None where its own library can be loaded, which has them. They last as long as the value does.
    """
    spec = find_spec("torchvision")
    assert spec is not None and spec.submodule_search_locations, "torchvision is a package"
    library_file = Path(spec.submodule_search_locations[0]) / f"_C{LIBRARY_SUFFIX}"
    with suppress(OSError):
        torch.ops.load_library(library_file)
        return None
    declared = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        declared.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return declared


@contextmanager
def stand_ins(names: tuple[str, ...]) -> Iterator[None]:
    """Empty modules for those of these that are not installed, while a package is imported."""
    missing = [name for name in names if not is_there(name)]
    sys.modules.update({name: ModuleType(name) for name in missing})
    try:
        yield
    finally:
        for name in missing:
            del sys.modules[name]
