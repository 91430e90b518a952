"""A whole file of another tool: what each of its keys is in a spec."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from netspec.errors import Diagnostic
from netspec.ir.foreign.layers import foreign_layer, help_for
from netspec.ir.foreign.translate import is_inputs, text_of, translated
from netspec.ir.foreign.written import Written, read_layer, read_row
from netspec.ir.graph import Place
from netspec.language.dump import flow_text
from netspec.language.overrides import Text
from netspec.language.schema import FOREIGN_KEYS, Document, Variant
from netspec.source import Path, Plain

_MOST = 3  # keys that only add to a configuration, and are told of
_LONGEST = 160  # characters of a model that a help shows whole
_WHOLE = "a spec is `netspec: 1`, `inputs: {x: [N, 3, 32, 32]}` and `layers:`"
_SHAPES = ("batch_shape", "batch_input_shape", "input_shape")  # of Keras, channels last
_FIRST: Mapping[str, str] = {  # an input-side size, and the shape that it is part of
    "in_features": "[N, {}]", "input_size": "[N, T, {}]", "in_channels": "[N, {}, 32, 32]",
}  # fmt: skip
_NUMBERS = "nc", "num_classes"
_ROWS = ("backbone", "head", "neck")
_OF_CODE = ("architectures", "model_type", "architecture", "_class_name")
_OF_RUNS: Mapping[str, str] = {
    "trainer": "how long it is trained is said when it runs: `train.py trainer.max_epochs=3`",
    "data": "what it is trained on is said when it runs: `train.py data=mnist5k`",
    "optimizer": "the optimizer is chosen when it runs: `train.py optimizer=adam`",
    "lr_scheduler": "the schedule is chosen when it runs: `train.py scheduler=cosine`",
    "seed_everything": "the seed is given when it runs: `train.py seed=1`",
}
_MODELS = ("model", "network", "network_def", "net", "backbone")


def foreign_document(source: Text) -> list[Diagnostic]:
    """What is to say of a file that another tool would read; nothing of any other text."""
    value = source.value
    if not isinstance(value, dict) or value.keys() & {"layers", "blocks", "spec"}:
        return []
    for told in (_rows, _one_class, _model_of_code, _configuration):
        found = list(told(value, source))
        if found:
            return found
    return []


def _rows(value: Mapping[str, Plain], source: Text) -> Iterator[Diagnostic]:
    """A model of Ultralytics: lists of rows."""
    lists = [key for key in _ROWS if isinstance(value.get(key), list)]
    if not any(_is_row(row) for key in lists for row in _list(value[key])):
        return
    for key, item in value.items():
        if key in lists:
            for index, row in enumerate(_list(item)):
                yield foreign_layer(row, Place(source, (key, index)))
        elif key in _NUMBERS:
            fact = f"`{key}` is a number of Ultralytics, and a spec has args"
            yield _at(
                source, (key,), fact, f"write `args: {{{key}: {item}}}`, and read it as `={key}`"
            )
        elif key not in Document.model_fields:
            fact = f"a spec has no `{key}`, as Ultralytics has"
            yield _at(source, (key,), fact, "write the numbers themselves, or an arg: `=width * 2`")


def _is_row(value: Plain) -> bool:
    return isinstance(value, list) and read_row(value) is not None


def _list(value: Plain) -> list[Plain]:
    return value if isinstance(value, list) else []


def _one_class(value: Mapping[str, Plain], source: Text) -> Iterator[Diagnostic]:
    """A file that is one class: of Hydra, jsonargparse, Keras."""
    if "netspec" in value and "inputs" in value:
        return
    written = read_layer(dict(value))
    if written is None or written.key is None:
        return
    if written.tool is None and not _is_known(written):
        return
    of = f" of {written.tool}" if written.tool is not None else ""
    fact = f"this is a configuration{of}, with `{written.key}`, and no spec"
    yield _at(source, (written.key,), fact, _model_help(written))
    if written.name in ("Sequential", "Functional", "Model") and _model_text(written) is None:
        yield from _inner(dict(value), source, ())


def _is_known(written: Written) -> bool:
    return bool(translated(written))


def _model_help(written: Written) -> str:
    text = _model_text(written)
    if text is None and written.name in ("Sequential", "Functional", "Model"):
        return f"{_WHOLE}, with its layers in it"
    if text is None:
        return f"{_WHOLE}; {help_for(written)}"
    shape = _shape_of(dict(written.kwargs)) or _first_shape(translated(written) or [])
    return f"a spec is `netspec: 1`, `inputs: {{x: {shape}}}` and `layers: {text}`"


def _shape_of(value: Plain) -> str | None:
    """The shape of the input that Keras says anywhere inside, with the channels first."""
    items = list(value.items()) if isinstance(value, dict) else list(enumerate(_list(value)))
    for key, item in items:
        if key in _SHAPES and isinstance(item, list):
            sides = item[1:] if str(key).startswith("batch") else item
            sides = [sides[-1], *sides[:-1]] if len(sides) > 1 else sides
            texts = [
                str(size) if size is not None else "THWD"[i % 4] for i, size in enumerate(sides)
            ]
            return f"[{', '.join(['N', *texts])}]"
        found = _shape_of(item) if isinstance(item, (dict, list)) else None
        if found is not None:
            return found
    return None


def _first_shape(layers: list[dict[str, Plain]]) -> str:
    """The shape that the first layer takes, by the size that it names."""
    first: Plain = layers[0] if layers else {}
    while isinstance(first, dict) and isinstance(inner := first.get("layers"), list) and inner:
        first = inner[0]
    if isinstance(first, dict):
        for name, shape in _FIRST.items():
            if name in first:
                return shape.format(first[name])
    return "[N, 3, 32, 32]"


def _model_text(written: Written) -> str | None:
    """The layers of a model on one line; None where that is long, or torch lacks a class."""
    layers = translated(written)
    if not layers:
        return None
    inner = layers[0].get("layers")
    items: list[Plain] = inner if isinstance(inner, list) else [*layers]
    text = flow_text(items)
    return text if len(text) <= _LONGEST else None


def _inner(value: Plain, source: Text, path: Path) -> Iterator[Diagnostic]:
    """The layers that stand anywhere inside, each with its line."""
    items = value.items() if isinstance(value, dict) else enumerate(_list(value))
    for key, item in items:
        at = (*path, key)
        one = read_layer(item) if isinstance(item, dict) else None
        if one is None or one.key is None:
            if isinstance(item, (dict, list)):
                yield from _inner(item, source, at)
        elif not is_inputs(one):
            yield foreign_layer(item, Place(source, at))


def _model_of_code(value: Mapping[str, Plain], source: Text) -> Iterator[Diagnostic]:
    """The numbers of a model that code builds, as a Hub has them."""
    key = next((key for key in _OF_CODE if key in value), None)
    if key is None or "inputs" in value:
        return
    fact = f"this is a configuration of a model that code builds, with `{key}`, and no spec"
    help = "a spec says the layers themselves; `netspec list` shows those that there are"
    yield _at(source, (key,), fact, help)


def _configuration(value: Mapping[str, Plain], source: Text) -> Iterator[Diagnostic]:
    """A file that says how a model is made and trained: of LightningCLI, MONAI, mmdetection."""
    if "inputs" in value or not _says_class(value):
        return
    for key, item in value.items():
        written = read_layer(item) if isinstance(item, dict) else None
        if key in _OF_RUNS:
            yield _at(source, (key,), f"`{key}` is no part of a spec", _OF_RUNS[key])
        elif written is not None and written.key is not None and _builds(key, written):
            fact = f"`{key}` is a class, and a spec says its layers"
            yield _at(source, (key,), fact, _model_help(written))
        elif isinstance(item, str) and item[:1] in "$@":
            help = "a spec computes in expressions, over its args and values: `=width * 2`"
            yield _at(source, (key,), f"`{key}` is code, and a spec runs none", help)
        elif key not in Document.model_fields and key not in Variant.model_fields:
            yield _at(source, (key,), f"`{key}` is no part of a spec", _WHOLE)


def _says_class(value: Mapping[str, Plain]) -> bool:
    """Whether one of its keys names a class, or is one that only a trainer has."""
    known = any(key in value for key in ("trainer", "seed_everything"))
    own = Document.model_fields
    inner = [item for key, item in value.items() if isinstance(item, dict) and key not in own]
    return known or any(isinstance(item.get(key), str) for item in inner for key in FOREIGN_KEYS)


def _builds(key: str, written: Written) -> bool:
    return key in _MODELS or text_of(written) is not None


def _at(source: Text, path: Path, fact: str, help: str) -> Diagnostic:
    return Diagnostic("NS201", fact, source.key_span_of(path), help=help)
