"""torch's refusal of an operation → a diagnostic: both sizes, what would be right, and the shapes
on the way. Nothing here runs unless something is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath

from torch import nn

from netspec.errors import Help, Span
from netspec.ir.expr import Const, Item, ListOf, Tuple
from netspec.ir.graph import Place
from netspec.ir.lower.bind import Bound
from netspec.ir.lower.history import Step, history_of, named
from netspec.ir.lower.scope import Scope
from netspec.ir.lower.session import Operand, Refused, refuse, sizes_text
from netspec.language.schema import expand_short
from netspec.ops import catalog
from netspec.ops.arguments import Signature
from netspec.ops.facts import Fact, OperatorRejects, TensorType
from netspec.ops.refusals.attempt import Attempt, Explanation, Given, count
from netspec.ops.refusals.blame import blamed, in_order, told_of_value
from netspec.ops.refusals.construction import explain_construction
from netspec.ops.refusals.explain import explain, torch_words
from netspec.ops.refusals.images import batch_help, batched, channels_last_help
from netspec.ops.shapes import dimensions_text, shape_text

_MOST_CHAINS = 4
_SIZE_TYPE = re.compile(r"\btorch\.Size\b")
_SIDES = re.compile(r"^(?:Conv|ConvTranspose|BatchNorm|InstanceNorm)(\d)d$")

# A parameter of the operation, and what it was given.
Arguments = Sequence[tuple[str, Operand]]


@dataclass(frozen=True, slots=True)
class Called:
    """A registered module that is called: its name, itself on `meta`, and where it is declared."""

    name: str
    module: nn.Module
    place: Place
    given: Mapping[str, Fact] = field(default_factory=dict)  # the arguments of its class


def passed(bound: Bound, signature: Signature) -> Arguments:
    """The operands of a call with the parameters that take them."""
    positional = [p.name for p in signature.parameters if not p.keyword_only]
    names = [*(bound.names or positional), *("" for _ in bound.args)]
    return [*zip(names, bound.args, strict=False), *bound.kwargs]


def rejection(
    scope: Scope,
    place: Place,
    operator: str,
    arguments: Arguments,
    index: int,
    error: OperatorRejects,
    module: Called | None = None,
    accepts_without: Callable[[str], bool] | None = None,
) -> Refused:
    """torch's refusal, at one probe, of an operation that stands at `place`.

    `accepts_without` asks torch again, without one of the arguments.
    """
    look = _Look(scope, index, error.partly)
    tensors: list[tuple[Given, list[Step]]] = []
    plain: dict[str, Fact] = {}
    told: dict[str, str] = {}
    tried = scope.context.tried
    for number, (parameter, passed_) in enumerate(arguments):
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
    if found.quoted and accepts_without is not None:
        where, values = (place, plain) if module is None else (module.place, module.given)
        refused = _refused_argument(
            "NS301", where, what, operator, values, error, accepts_without, notes
        )
        if refused is not None:
            return refused
    help = found.help or _batch(found, given)
    text = next((value for value in plain.values() if isinstance(value, str)), None)
    about = text if found.quoted else None
    return refuse("NS301", found.fact, _span(place, found.about), help, notes, about)


def wrong_size(
    scope: Scope,
    place: Place,
    name: str,
    operator: str,
    parameter: str,
    wanted: int,
    operand: Operand,
    dimension: int,
) -> Refused:
    """An input-side size that the spec gives, and that the input does not have."""
    given, steps = (look := _Look(scope, 0, partly=False)).given(parameter, operand)
    noun = "input features" if dimension == -1 else "input channels"
    noun = noun if wanted != 1 else noun.removesuffix("s")
    what = told_as(name, place, operator)
    fact = f"{what} expects {wanted} {noun}, and {given.gives(given.size(dimension))}"
    sides = _sides_of(operator, given)
    help = None
    if sides is not None:
        help = channels_last_help(given, wanted, sides) or batch_help(given, sides + 2)
    right = given.size(dimension)
    if help is None and right.isdigit():
        help = _flattened(given, wanted) if operator == "Linear" else None
        either = f"leave `{parameter}` out, or set it to {right}"
        is_copy = str(place.path[-1]) != name  # whose text is that of the others too
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


def lacks_batch(
    scope: Scope, place: Place, name: str, operator: str, parameter: str, operand: Operand
) -> Refused | None:
    """An input of the model that has no batch dimension; None for any other value."""
    given, steps = (look := _Look(scope, 0, partly=False)).given(parameter, operand)
    rank = len(given.shape)
    help = batch_help(given, rank + 1)
    if help is None:
        return None
    fact = (
        f"{told_as(name, place, operator)} takes {batched(rank - 1)}, and "
        f"{given.gives(count(rank, 'dimension'))}: {given.text}"
    )
    return refuse("NS301", fact, place.key_span(), help, look.notes([(given, steps)]))


def free_size(
    scope: Scope | None, place: Place, name: str, parameter: str, operand: Operand, dimension: int
) -> Refused:
    """An input-side size that is left out, and that is no fixed one."""
    fact = f"`{parameter}` of `{name}` depends on a free size of the input"
    help = "declare that size of the input as a number"
    if scope is None:
        return refuse("NS302", fact, place.key_span(), help)
    given, steps = (look := _Look(scope, 0, partly=False)).given(parameter, operand)
    size = given.size(dimension)
    if size.isidentifier():
        fact = f"`{parameter}` of `{name}` would be `{size}`, which is a free size"
        help = f"declare `{size}` as a number"
    elif not size.isdigit():
        fact = f"`{parameter}` of `{name}` would be `{size}`, which depends on a free size"
    return refuse("NS302", fact, place.key_span(), help, look.notes([(given, steps)]))


def rank_of_one(
    scope: Scope,
    place: Place,
    operator: str,
    operand: Operand,
    pair: tuple[int, int],
    takes_dim: bool,
) -> Refused:
    """A result that has fewer dimensions, or more, where a free size is 1."""
    given, steps = (look := _Look(scope, 0, partly=False)).given("input", operand)
    twin = operand.facts[look.twin]
    assert isinstance(twin, TensorType), "it has a free size"
    sizes = list(zip(given.shape, twin.shape, strict=True))
    what, letter = _what(place, operator), given.size(sizes.index(pair))
    fact = f"{what} gives another number of dimensions where {letter} is 1"
    ones = [dimension for dimension, size in enumerate(sizes) if size == (1, 1)]
    help = "name the dimensions that it is to change"
    if ones and takes_dim:
        dims = ", ".join(map(str, ones))
        if len(ones) > 1:
            dims = f"({dims})" if place.node is not None else f"[{dims}]"
        call = f"{operator}({dims})" if place.node is not None else f"dim: {dims}"
        help = f"name what it takes away: `{call}`"
    return refuse("NS303", fact, _span(place, None), help, look.notes([(given, steps)]))


def wrong_input(
    scope: Scope, place: Place, name: str, declared: Sequence[int | str], operand: Operand
) -> Refused:
    """A part that is given an input of another shape than it declares."""
    given, steps = (look := _Look(scope, 0, partly=False)).given(name, operand)
    sizes = ", ".join(map(str, declared))
    layer = told_as(str(place.path[-1]), place, "spec")
    fact = f"{layer} takes [{sizes}] for its input `{name}`, and {given.is_shaped}"
    return refuse("NS301", fact, place.key_span(), None, look.notes([(given, steps)]))


def collection_text(scope: Scope, operand: Operand) -> tuple[str, str]:
    """The name of a tuple or a dict, and the shapes in it: `rnn`, `([N, T, 7], [1, N, 7])`."""
    steps, look = history_of(operand, scope), _Look(scope, 0, partly=False)
    name = steps[-1].name if steps else "it"
    return name, look.text(operand.facts[0], operand.facts[look.twin])


def refused_init(place: Place, name: str, operator: str, fact: Fact, error: str) -> Refused:
    """A function of torch.nn.init that does not take a parameter of this shape."""
    shape = shape_text(fact, fact, {}, {})
    told = f"`{operator}` is not for `{name}`, which is {shape}: {torch_words(error)}"
    help = None
    if isinstance(fact, TensorType) and len(fact.shape) < 2 and "fewer than 2" in error:
        told = f"`{operator}` is for weights of two and more dimensions, and `{name}` is {shape}"
        help = "`zeros_`, `ones_`, `normal_` and `uniform_` take any shape"
    return refuse("NS301", told, place.span(), help)


def refused_construction(
    place: Place,
    name: str,
    operator: str,
    arguments: dict[str, Fact],
    error: OperatorRejects,
    accepts_without: Callable[[str], bool],
) -> Refused:
    """A class of torch.nn that does not take its arguments."""
    what = told_as(name, place, operator)
    found = explain_construction(what, arguments)
    if found is None:
        refused = _refused_argument(
            "NS205", place, what, operator, arguments, error, accepts_without
        )
        if refused is not None:
            return refused
        fact = f"`{operator}` refuses its arguments: {torch_words(str(error))}"
        return refuse("NS205", fact, place.key_span())
    return refuse("NS205", found.fact, _span(place, found.about), found.help)


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


class _Look:
    """How the sizes of one refusal are told: free ones by letter, or as numbers where only some
    sizes fail.
    """

    def __init__(self, scope: Scope, index: int, partly: bool) -> None:
        probes = scope.context.probes
        self.scope, self.index, self.partly = scope, index, partly
        others = [
            i for i, probe in enumerate(probes)
            if probe.training == probes[index].training and probe.index != probes[index].index
        ]  # fmt: skip
        self.twin = others[0] if others and not partly else index
        self.probe = probes[index]
        self.sizes, self.others = dict(self.probe.sizes), dict(probes[self.twin].sizes)

    def text(self, fact: Fact, other: Fact, unclear: str = "?") -> str:
        return shape_text(fact, other, self.sizes, self.others, unclear)

    def text_of(self, operand: Operand) -> str:
        """A plain value, with its sizes by letter."""
        fact = operand.facts[self.index]
        return self.text(fact, operand.facts[self.twin], str(fact))

    def given(self, parameter: str, operand: Operand) -> tuple[Given, list[Step]]:
        """A tensor with its name, and the steps that led to it."""
        steps = history_of(operand, self.scope)
        fact = operand.facts[self.index]
        assert isinstance(fact, TensorType), "only tensors are told of"
        last = steps[-1] if steps else Step("it", operand.facts, "expression", None)
        first = steps[0] if steps else last
        declared = self._sizes(first.facts) if first.role == "input" else ()
        sizes = self._sizes(operand.facts)
        made_by = _made_by(last.place) if last.role == "layer" else ""
        return Given(parameter, last.name, fact, sizes, last.role, declared, made_by), steps

    def _sizes(self, facts: tuple[Fact, ...]) -> tuple[str, ...]:
        fact, other = facts[self.index], facts[self.twin]
        if not isinstance(fact, TensorType):
            return ()
        if not isinstance(other, TensorType) or len(other.shape) != len(fact.shape):
            other = fact
        return tuple(dimensions_text(fact.shape, other.shape, self.sizes, self.others))

    def notes(
        self, shown: Iterable[tuple[Given, list[Step]]], quoted: bool = False
    ) -> tuple[str, ...]:
        """A chain of shapes for each tensor, and the sizes tried where the fact has them."""
        chains = list(dict.fromkeys(tuple(steps) for _, steps in shown if steps))
        long = 4 if len(chains) == 1 else 3
        notes = [self._chain(chain, long) for chain in chains[:_MOST_CHAINS]]
        if len(chains) > _MOST_CHAINS:
            notes.append(f"and {len(chains) - _MOST_CHAINS} more")
        if (self.partly or quoted) and self.sizes:
            notes.append(f"tried at {sizes_text(self.probe)}")
        return tuple(notes)

    def _chain(self, steps: Sequence[Step], long: int) -> str:
        """`x` [N, 1, 28, 28] → … → `flat` [N, 256]   (lenet.yaml:12)."""
        told = [step for step in steps if step.facts]
        if len(told) > long:
            tail = told[-2:] if long > 3 else told[-1:]
            texts = [self._step(told[0]), "…", *map(self._step, tail)]
        else:
            texts = [self._step(step) for step in told]
        return " → ".join(texts) + _line_of(steps)

    def _step(self, step: Step) -> str:
        return f"`{step.name}` {self.text(step.facts[self.index], step.facts[self.twin])}"


def _made_by(place: Place | None) -> str:
    """The class or function of the layer that stands at a place; of other layers nothing."""
    if place is None or place.node is not None or not place.exists:
        return ""
    layer: object = place.source.value
    for key in place.path:
        layer = layer[key]  # type: ignore[index]
    found = expand_short(layer)
    if not isinstance(found, dict):
        return ""
    return str(found.get("module", found.get("call", "")))


def _line_of(steps: Sequence[Step]) -> str:
    """The line of the last step that has one, as `   (lenet.yaml:12)`."""
    place = next((step.place for step in reversed(steps) if step.place is not None), None)
    line = place.line if place is not None else 0
    if place is None or not line:
        return ""
    file = place.source.file
    return f"   (line {line})" if file.startswith("<") else f"   ({PurePath(file).name}:{line})"


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
