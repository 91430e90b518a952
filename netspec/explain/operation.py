"""What was refused → a diagnostic: both sizes, what would be right, and the shapes on the way.

Nothing here runs unless something is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from typing_extensions import assert_never

from netspec.errors import Help, Span
from netspec.explain.collection import explain_collection
from netspec.explain.look import Look
from netspec.explain.rules.all_rules import explain, torch_words
from netspec.explain.rules.attempt import Attempt, Explanation, Given, count
from netspec.explain.rules.blame import blamed, in_order, told_of_value
from netspec.explain.rules.construction import explain_construction
from netspec.explain.rules.images import batch_help, batched, channels_last_help
from netspec.ir.expr import Const, Item, ListOf, Tuple
from netspec.ir.graph import Place
from netspec.ir.lower.provenance import Step, named
from netspec.ir.lower.refusal import Refused, Rejection, refuse
from netspec.ir.lower.rejections import (
    AnyRejection,
    CollectionGiven,
    FreeInputSize,
    LacksBatch,
    RankDiffersAtOne,
    RejectedCall,
    RejectedConstruction,
    RejectedInit,
    WrongInputSize,
    WrongPartInput,
)
from netspec.ir.lower.values import Operand
from netspec.ops import catalog
from netspec.ops.shapes import shape_text
from netspec.ops.types import Fact, OperatorRejects, TensorType

_SIZE_TYPE = re.compile(r"\btorch\.Size\b")
_SIDES = re.compile(r"^(?:Conv|ConvTranspose|BatchNorm|InstanceNorm)(\d)d$")


def explain_rejection(rejection: Rejection) -> Refused:
    """What is refused, in words and at its place."""
    assert isinstance(rejection, AnyRejection), "the kinds of rejections are a closed set"
    match rejection:
        case RejectedCall():
            return _call(rejection)
        case RejectedConstruction():
            return _construction(rejection)
        case RejectedInit():
            return _init(rejection)
        case WrongInputSize():
            return _wrong_size(rejection)
        case FreeInputSize():
            return _free_size(rejection)
        case LacksBatch():
            return _no_batch(rejection)
        case RankDiffersAtOne():
            return _rank_at_one(rejection)
        case WrongPartInput():
            return _part_input(rejection)
        case CollectionGiven():
            return explain_collection(rejection)
        case _:
            assert_never(rejection)


def _call(refused_: RejectedCall) -> Refused:
    scope, place, operator, index = (
        refused_.scope, refused_.place, refused_.operator, refused_.index
    )  # fmt: skip
    error, module = refused_.error, refused_.module
    look = Look(scope, index, error.partly)
    tensors: list[tuple[Given, list[Step]]] = []
    plain: dict[str, Fact] = {}
    told: dict[str, str] = {}
    tried = scope.context.probes.tried
    for number, (parameter, passed_) in enumerate(refused_.arguments):
        operand = replace(passed_, facts=passed_.facts[:tried])
        parts = [part for part in _parts(operand) if isinstance(part.facts[index], TensorType)]
        tensors += [look.given(parameter, part) for part in parts]
        if not _holds_tensor(operand.facts[index]):
            name = parameter or f"*{number}"
            plain[name], told[name] = operand.facts[index], look.text_of(operand)
    what = _what(place, operator) if module is None else told_as(module.name, place, operator)
    inside = module.module if module is not None else None
    given = tuple(given for given, _ in tensors)
    attempt = Attempt(what, operator, given, plain, str(error), inside, told, error.partly)
    found = explain(attempt)
    shown = [(g, steps) for g, steps in tensors if g in found.chains or not found.chains]
    notes = look.notes(shown, quoted=found.quoted)
    if module is not None and module.place.line != place.line and module.place.line:
        notes += (f"{what} is made on line {module.place.line}, for its first call",)
    if found.quoted and refused_.accepts_without is not None:
        where, values = (place, plain) if module is None else (module.place, module.given)
        refused = _refused_argument(
            "NS301", where, what, operator, values, error, refused_.accepts_without, notes
        )
        if refused is not None:
            return refused
    help = found.help or _batch(found, given)
    text = next((value for value in plain.values() if isinstance(value, str)), None)
    about = text if found.quoted else None
    return refuse("NS301", found.fact, _span(place, found.about), help, notes, about)


def _wrong_size(refused_: WrongInputSize) -> Refused:
    place, operator, parameter = refused_.place, refused_.operator, refused_.parameter
    wanted, dimension = refused_.wanted, refused_.dimension
    look = Look(refused_.scope, 0, partly=False)
    given, steps = look.given(parameter, refused_.operand)
    noun = "input features" if dimension == -1 else "input channels"
    noun = noun if wanted != 1 else noun.removesuffix("s")
    what = told_as(refused_.name, place, operator)
    fact = f"{what} expects {wanted} {noun}, and {given.gives(given.size(dimension))}"
    sides = _sides_of(operator, given)
    help = None
    if sides is not None:
        help = channels_last_help(given, wanted, sides) or batch_help(given, sides + 2)
    right = given.size(dimension)
    if help is None and right.isdigit():
        help = _flattened(given, wanted) if operator == "Linear" else None
        either = f"leave `{parameter}` out, or set it to {right}"
        is_copy = str(place.path[-1]) != refused_.name  # whose text is that of the others too
        help = help or (either if is_copy else Help(either, str(wanted), right))
    elif help is None and right.isidentifier() and given.role == "input":
        help = f"declare `{right}` as {wanted}"
    return refuse("NS301", fact, _span(place, parameter), help, look.notes([(given, steps)]))


def _sides_of(operator: str, given: Given) -> int | None:
    """How many sides an image has for this class, or None for a class that is not for images."""
    if operator == "GroupNorm":
        return len(given.shape) - 2
    found = _SIDES.match(operator)
    return int(found[1]) if found else None


def _no_batch(refused_: LacksBatch) -> Refused:
    look = Look(refused_.scope, 0, partly=False)
    given, steps = look.given(refused_.parameter, refused_.operand)
    rank = len(given.shape)
    fact = (
        f"{told_as(refused_.name, refused_.place, refused_.operator)} takes {batched(rank - 1)}, "
        f"and {given.gives(count(rank, 'dimension'))}: {given.text}"
    )
    help = batch_help(given, rank + 1)
    return refuse("NS301", fact, refused_.place.key_span(), help, look.notes([(given, steps)]))


def _free_size(refused_: FreeInputSize) -> Refused:
    place, name, parameter = refused_.place, refused_.name, refused_.parameter
    fact = f"`{parameter}` of `{name}` depends on a free size of the input"
    help = "declare that size of the input as a number"
    if refused_.scope is None:
        return refuse("NS302", fact, place.key_span(), help)
    look = Look(refused_.scope, 0, partly=False)
    given, steps = look.given(parameter, refused_.operand)
    size = given.size(refused_.dimension)
    if size.isidentifier():
        fact = f"`{parameter}` of `{name}` would be `{size}`, which is a free size"
        help = f"declare `{size}` as a number"
    elif not size.isdigit():
        fact = f"`{parameter}` of `{name}` would be `{size}`, which depends on a free size"
    return refuse("NS302", fact, place.key_span(), help, look.notes([(given, steps)]))


def _rank_at_one(refused_: RankDiffersAtOne) -> Refused:
    place, operator, operand = refused_.place, refused_.operator, refused_.operand
    given, steps = (look := Look(refused_.scope, 0, partly=False)).given("input", operand)
    twin = operand.facts[look.twin]
    assert isinstance(twin, TensorType), "it has a free size"
    sizes = list(zip(given.shape, twin.shape, strict=True))
    what, letter = _what(place, operator), given.size(sizes.index(refused_.sizes))
    fact = f"{what} gives another number of dimensions where {letter} is 1"
    ones = [dimension for dimension, size in enumerate(sizes) if size == (1, 1)]
    help = "name the dimensions that it is to change"
    if ones and refused_.takes_dim:
        dims = ", ".join(map(str, ones))
        if len(ones) > 1:
            dims = f"({dims})" if place.node is not None else f"[{dims}]"
        call = f"{operator}({dims})" if place.node is not None else f"dim: {dims}"
        help = f"name what it takes away: `{call}`"
    return refuse("NS303", fact, _span(place, None), help, look.notes([(given, steps)]))


def _part_input(refused_: WrongPartInput) -> Refused:
    place, name = refused_.place, refused_.name
    given, steps = (look := Look(refused_.scope, 0, partly=False)).given(name, refused_.operand)
    sizes = ", ".join(map(str, refused_.declared))
    layer = told_as(str(place.path[-1]), place, "spec")
    fact = f"{layer} takes [{sizes}] for its input `{name}`, and {given.is_shaped}"
    return refuse("NS301", fact, place.key_span(), None, look.notes([(given, steps)]))


def _init(refused_: RejectedInit) -> Refused:
    fact, operator, error = refused_.type, refused_.operator, str(refused_.error)
    shape = shape_text(fact, fact, {}, {})
    told = f"`{operator}` is not for `{refused_.name}`, which is {shape}: {torch_words(error)}"
    help = None
    if isinstance(fact, TensorType) and len(fact.shape) < 2 and "fewer than 2" in error:
        told = (
            f"`{operator}` is for weights of two and more dimensions, and `{refused_.name}` is "
            f"{shape}"
        )
        help = "`zeros_`, `ones_`, `normal_` and `uniform_` take any shape"
    return refuse("NS301", told, refused_.place.span(), help)


def _construction(refused_: RejectedConstruction) -> Refused:
    place, operator = refused_.place, refused_.operator
    what = told_as(refused_.name, place, operator)
    found = explain_construction(what, dict(refused_.arguments))
    if found is not None:
        return refuse("NS205", found.fact, _span(place, found.about), found.help)
    refused = _refused_argument(
        "NS205", place, what, operator, refused_.arguments, refused_.error,
        refused_.accepts_without,
    )  # fmt: skip
    if refused is not None:
        return refused
    fact = f"`{operator}` refuses its arguments: {torch_words(str(refused_.error))}"
    return refuse("NS205", fact, place.key_span())


def _refused_argument(
    code: str,
    place: Place,
    what: str,
    operator: str,
    arguments: Mapping[str, Fact],
    error: OperatorRejects,
    accepts_without: Callable[[str], bool],
    notes: tuple[str, ...] = (),
) -> Refused | None:
    """torch's refusal of one argument, where it is sure which one that is."""
    words = str(error)
    name = blamed(arguments, words, accepts_without)
    at = place.argument(name) if name is not None else None
    if name is None or at is None:
        return None
    said = in_order(_SIZE_TYPE.sub("", words.strip()).rstrip("."))
    fact = f"{what} refuses `{name}: {arguments[name]}`: {said}"
    found = catalog.find_module(operator) or catalog.find_function(operator)
    help = told_of_value(arguments[name], words, found.target.__doc__ if found else None)
    return refuse(code, fact, at.span(), help, notes, about=arguments[name])


def told_as(name: str, place: Place, operator: str) -> str:
    """What a message calls a registered layer: its name, and its class if it is only a number."""
    return f"`{named(name, place)}` (`{operator}`)" if name.isdigit() else f"`{name}`"


def _what(place: Place, operator: str) -> str:
    """What a message calls a function: itself, and the layer in which it is called."""
    name = _layer_at(place)
    return f"`{operator}`" if name in (None, operator) else f"`{operator}` in `{name}`"


def _layer_at(place: Place) -> str | None:
    """The layer in which a place lies."""
    path = place.path
    found = [i + 1 for i, key in enumerate(path[:-1]) if key == "layers"]
    if not found:
        return str(path[0]) if path else None
    name = str(path[found[-1]])
    return named(name, Place(place.source, path[: found[-1] + 1]))


def _span(place: Place, about: str | None) -> Span:
    """The place of an argument; else of the layer's name, or of the part of an expression."""
    argument = place.argument(about) if about is not None else None
    if argument is not None:
        return argument.span()
    return place.key_span() if place.node is None else place.span()


def _parts(operand: Operand) -> Iterator[Operand]:
    """The operand itself, or the items of a list of tensors."""
    first = operand.facts[0]
    if not isinstance(first, tuple) or not _holds_tensor(first):
        yield operand
        return
    expr = operand.expr
    length = min(len(fact) if isinstance(fact, tuple) else 0 for fact in operand.facts)
    for i in range(length):
        item = expr.items[i] if isinstance(expr, (Tuple, ListOf)) else Item(expr, Const(i))
        facts = tuple(fact[i] for fact in operand.facts if isinstance(fact, tuple))
        yield from _parts(Operand(item, facts))


def _holds_tensor(fact: Fact) -> bool:
    if isinstance(fact, tuple):
        return any(_holds_tensor(item) for item in fact)
    return isinstance(fact, TensorType)


def _batch(found: Explanation, tensors: Sequence[Given]) -> str | None:
    """A help for an image that was declared without a batch dimension."""
    for given in found.chains or tensors:
        if given.declared[:1] in (("1",), ("3",)) and (help := batch_help(given, 4)):
            return help
    return None


def _flattened(given: Given, wanted: int) -> str | None:
    """A help where the input was to be flattened before."""
    product = 1
    for size in given.shape[1:]:
        product *= size
    if len(given.shape) < 3 or product != wanted:
        return None
    return "flatten it first: `flat: {call: flatten, start_dim: 1}`"
