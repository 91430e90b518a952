"""What can be written at the cursor: keys, names of torch and of the spec, in expressions too."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lsprotocol.types import (
    CompletionItem,
    CompletionItemKind,
    CompletionList,
    MarkupContent,
    MarkupKind,
    Range,
    TextEdit,
)
from pydantic import BaseModel

from netspec import find
from netspec.analysis.analyse import Analysis
from netspec.ir.lower.layers.modifiers import MODIFIERS
from netspec.language.schema import (
    KIND_NAMES,
    KINDS,
    Block,
    Document,
    Input,
    LayerBase,
    Repeat,
    words_of,
)
from netspec.lsp.cursor import Cursor
from netspec.lsp.markdown import operator_words
from netspec.lsp.scope import (
    Visible,
    kind_of,
    operator_of,
    parameters_of,
    role_of,
    visible_at,
)
from netspec.ops import catalog
from netspec.ops.arguments import Choices, Either, Kind, Parameter, describe
from netspec.ops.catalog import Operator
from netspec.ops.signatures import forward_signature_of
from netspec.view.operator_words import parameter_text

_MOST = 200  # items of one answer
_WORD = re.compile(r"[\w/-]*$")
_ATTRIBUTE = re.compile(r"([A-Za-z_]\w*)(?:\[[^\]]*\])*\.\w*$")
_OF_VALUES = ("shape", "ndim", "dtype", "device")
_OF_NUMBERS = ("min", "max", "len", "round", "int", "float", "abs", "range", "sum", "sqrt")
_WORDS = ("_", "training", "inf", "pi", "True", "False", "None", "if", "else", "not", "and", "or")
_AS = ("sequential", "list", "dict", "graph", "inline")


@dataclass(frozen=True, slots=True)
class Item:
    """One that can be written; with `operator`, what torch says of it is looked up on request."""

    label: str
    kind: CompletionItemKind
    detail: str = ""
    insert: str | None = None
    order: int = 0
    home: str = ""  # with the label, what names the operator


def complete(cursor: Cursor, analysis: Analysis | None, at: Range, is_key: bool) -> CompletionList:
    """What fits at the cursor; `at` is the word under it, `is_key` whether a colon follows that."""
    typed = _WORD.search(cursor.text)
    prefix = typed[0].lower() if typed else ""
    found: dict[str, Item] = {}
    for item in _items(cursor, analysis):
        if prefix in item.label.lower():
            found.setdefault(item.label, item)
    ranked = sorted(found.values(), key=lambda i: (not i.label.lower().startswith(prefix), i.order))
    items = [_as_lsp(n, item, at, is_key) for n, item in enumerate(ranked[:_MOST])]
    return CompletionList(is_incomplete=bool(prefix) or len(ranked) > _MOST, items=items)


def word_around(text: str, index: int) -> tuple[int, int, bool]:
    """Where the word at an index begins and ends, and whether a colon makes it a key."""
    typed = _WORD.search(text[:index].rpartition("\n")[2])
    start = index - len(typed[0]) if typed else index
    rest = re.compile(r"[\w-]*").match(text, index)
    end = rest.end() if rest else index
    return start, end, re.compile(r"[ ]*:(?=\s|$)").match(text, end) is not None


def _as_lsp(number: int, item: Item, at: Range, is_key: bool) -> CompletionItem:
    insert = item.insert if item.insert is not None and not is_key else item.label
    return CompletionItem(
        label=item.label, kind=item.kind, detail=item.detail or None, sort_text=f"{number:04}",
        filter_text=item.label, text_edit=TextEdit(at, insert),
        data={"home": item.home, "name": item.label} if item.home else None,
    )  # fmt: skip


def resolve(item: CompletionItem) -> CompletionItem:
    """The item with what torch says of what it names."""
    data: Any = item.data
    operator = _FINDERS[data["home"]](data["name"]) if isinstance(data, dict) else None
    if operator is not None:
        item.documentation = MarkupContent(MarkupKind.Markdown, operator_words(operator))
    return item


_FINDERS = {
    "module": catalog.find_module,
    "call": catalog.find_function,
    "act": catalog.module_of_activation,
    "method": catalog.find_method,
    "init": catalog.find_init,
}


def _items(cursor: Cursor, analysis: Analysis | None) -> Iterator[Item]:
    text = cursor.text.lstrip("\"'")
    own = cursor.path if cursor.key is None else (*cursor.path, cursor.key)
    visible = visible_at(own, cursor.entries)
    if text.startswith("=") and not text.startswith("=="):
        yield from _in_expression(text, visible, analysis)
        return
    role = role_of(cursor.path)
    match role:
        case "document" | "block":
            model: type[BaseModel] = Document if role == "document" else Block
            yield from _top(cursor, model, visible)
        case "input":
            if cursor.key is None:
                yield from _keys(words_of(Input), cursor)
            elif cursor.key == "dtype":
                yield from _plain(catalog.dtype_names(), CompletionItemKind.EnumMember)
        case "layers":
            if cursor.key is not None or cursor.in_list:
                yield from _short_forms()
        case "layer":
            if cursor.key is None:
                yield from _keys_of_layer(cursor, analysis)
            else:
                yield from _values_of_layer(cursor, cursor.key, visible, analysis)
        case "repeat":
            if cursor.key is None:
                yield from _keys(words_of(Repeat), cursor)
        case "arguments" | "with":
            yield from _arguments(cursor, role)
        case "init" | "rules":
            yield from _inits(cursor)
        case "init call":
            if cursor.key is None:
                yield from _names(catalog.init_names(), "init", CompletionItemKind.Function, ": ")
        case "references" | "tie":
            if cursor.key is not None or cursor.in_list:
                yield from _references(visible)


def _top(cursor: Cursor, model: type[BaseModel], visible: Visible) -> Iterator[Item]:
    match cursor.key:
        case None:
            yield from _keys(words_of(model), cursor)
        case "outputs":
            yield from _references(visible)
        case "spec":
            yield from _plain(find.spec_names(), CompletionItemKind.File)


def _keys(words: Mapping[str, str], cursor: Cursor, order: int = 0) -> Iterator[Item]:
    for key, detail in words.items():
        if key not in cursor.here:
            yield Item(key, CompletionItemKind.Keyword, detail, f"{key}: ", order)


def _keys_of_layer(cursor: Cursor, analysis: Analysis | None) -> Iterator[Item]:
    found = kind_of(cursor.here)
    if found is None:
        words = {key: text for kind in KINDS for key, text in words_of(kind).items()}
        yield from _keys({kind: words[kind] for kind in KIND_NAMES}, cursor)
        yield from _keys(words_of(LayerBase), cursor, 1)
        return
    kind, name = found
    operator = operator_of(cursor.here)
    if operator is not None:
        for parameter in parameters_of(operator):
            if parameter.name not in cursor.here and parameter.name not in ("input", "inplace"):
                yield _argument(parameter)
    if kind == "block" and analysis is not None:
        for arg, default in analysis.block_args.get(name, {}).items():
            if arg not in cursor.here:
                yield Item(arg, CompletionItemKind.Field, _default(default), f"{arg}: ")
    model = next(one for one in KINDS if one.kind == kind)
    own = {k: t for k, t in words_of(model).items() if kind in MODIFIERS.get(k, (kind,))}
    yield from _keys(own, cursor, 2)


def _argument(parameter: Parameter) -> Item:
    detail = f"{parameter_text(parameter)}: {describe(parameter.accepts)}"
    order = 0 if parameter.required else 1
    kind = CompletionItemKind.Field
    return Item(parameter.name, kind, detail, f"{parameter.name}: ", order)


def _default(value: object) -> str:
    return "it has to be given" if value is None else f"default: {value}"


def _values_of_layer(
    cursor: Cursor, key: str, visible: Visible, analysis: Analysis | None
) -> Iterator[Item]:
    match key:
        case "module":
            yield from _names(catalog.module_names(), "module", CompletionItemKind.Class)
        case "call":
            yield from _names(catalog.function_names(), "call", CompletionItemKind.Function)
        case "act":
            yield from _names(catalog.activation_names(), "act", CompletionItemKind.Function)
        case "block":
            known = analysis.block_args if analysis is not None else {}
            yield from _plain(dict.fromkeys((*visible.blocks, *known)), CompletionItemKind.Struct)
        case "spec":
            yield from _plain(find.spec_names(), CompletionItemKind.File)
        case "use":
            yield from _plain(visible.layers, CompletionItemKind.Variable)
        case "from":
            yield from _references(visible)
        case "as":
            yield from _plain(_AS, CompletionItemKind.EnumMember)
        case "declare" | "keep" | "pin" | "persistent" | "freeze":
            yield from _plain(("true", "false"), CompletionItemKind.Constant)
        case "init":
            yield from _names(catalog.init_names(), "init", CompletionItemKind.Function)
        case _:
            yield from _values(operator_of(cursor.here), key)


def _values(operator: Operator | None, argument: str) -> Iterator[Item]:
    """What an argument may be, where the words for it are few."""
    for parameter in parameters_of(operator) if operator is not None else ():
        if parameter.name == argument:
            accepts = parameter.accepts
            options = accepts.options if isinstance(accepts, Either) else (accepts,)
            for option in options:
                if isinstance(option, Choices):
                    yield from _plain(option.options, CompletionItemKind.EnumMember)
                elif option is Kind.BOOL:
                    yield from _plain(("true", "false"), CompletionItemKind.Constant)
                elif option is Kind.DTYPE:
                    yield from _plain(catalog.dtype_names(), CompletionItemKind.EnumMember)


def _arguments(cursor: Cursor, role: str) -> Iterator[Item]:
    """Those of `args:`, and those of the call, of `with:`."""
    layer = cursor.entries.get(cursor.path[:-1], {})
    operator = operator_of(layer)
    if operator is None or cursor.key is not None:
        yield from _values(operator, cursor.key or "")
        return
    target: Any = operator.target
    named = parameters_of(operator)
    if role == "with":
        named = iter(forward_signature_of(target).parameters if operator.is_module else ())
    for parameter in named:
        if parameter.name not in cursor.here:
            yield _argument(parameter)


def _inits(cursor: Cursor) -> Iterator[Item]:
    if cursor.key is not None:
        yield from _names(catalog.init_names(), "init", CompletionItemKind.Function)
    elif role_of(cursor.path) == "init":
        yield from _keys({"weight": "its weight", "bias": "its bias"}, cursor)
    else:
        for name in catalog.module_names():
            yield Item(name, CompletionItemKind.Class, "", f"{name}.weight: ", home="module")


def _short_forms() -> Iterator[Item]:
    yield from _names(catalog.module_names(), "module", CompletionItemKind.Class)
    yield from _names(catalog.function_names(), "call", CompletionItemKind.Function)


def _references(visible: Visible) -> Iterator[Item]:
    yield from _plain(reversed(visible.layers), CompletionItemKind.Variable)
    yield from _plain(visible.inputs, CompletionItemKind.Variable)


def _plain(names: Iterable[str], kind: CompletionItemKind, order: int = 0) -> Iterator[Item]:
    for name in names:
        yield Item(name, kind, order=order)


def _names(
    names: Iterable[str], home: str, kind: CompletionItemKind, after: str = ""
) -> Iterator[Item]:
    for name in names:
        yield Item(name, kind, insert=f"{name}{after}" if after else None, order=3, home=home)


def _in_expression(text: str, visible: Visible, analysis: Analysis | None) -> Iterator[Item]:
    member = _ATTRIBUTE.search(text)
    if member is not None:
        yield from _members(member[1], analysis)
        return
    yield from _references(visible)
    yield from _plain(visible.args, CompletionItemKind.Constant, 1)
    yield from _plain(("i", *_WORDS), CompletionItemKind.Keyword, 2)
    yield from _plain(_OF_NUMBERS, CompletionItemKind.Function, 2)
    yield from _names(catalog.function_names(), "call", CompletionItemKind.Function)
    yield from _plain(catalog.dtype_names(), CompletionItemKind.EnumMember, 4)


def _members(name: str, analysis: Analysis | None) -> Iterator[Item]:
    """What a value has: the parameters of its module, its sizes, the methods of tensors."""
    for node in analysis.nodes if analysis is not None else ():
        if node.path.rpartition(".")[2] == name and node.parameters:
            for parameter in node.parameters:
                if "." not in parameter.name:
                    yield Item(parameter.name, CompletionItemKind.Field, str(list(parameter.shape)))
            break
    yield from _plain(_OF_VALUES, CompletionItemKind.Property, 1)
    yield from _names(catalog.method_names(), "method", CompletionItemKind.Method)
