"""What `init` says, against the modules that there are: of layers, by class, by path."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import replace

from torch import nn

from netspec.errors import did_you_mean
from netspec.ir.expr import Const
from netspec.ir.graph import (
    Child,
    Init,
    InitRule,
    New,
    NewDict,
    NewGraph,
    NewList,
    NewModule,
)
from netspec.ir.lower.layers.init import check_init
from netspec.ir.lower.refusal import Refused, refuse
from netspec.ir.lower.rejections import RejectedInit, rejected
from netspec.ir.made import meta_modules_of, parameters_of
from netspec.ir.traversal import children_of
from netspec.ops import meta_eval
from netspec.ops.types import Fact, OperatorRejects, type_of


def check_inits(children: tuple[Child, ...]) -> None:
    for child in children:
        if isinstance(child.new, (NewList, NewDict)):
            check_inits(child.new.children)
        steps = [step for step in child.after if isinstance(step, Init)]
        if steps and child.place is not None:
            known = parameters_of(child.new)
            for step in steps:
                check_init(step, known, child.name, child.place)


def may_be_none(
    rules: tuple[InitRule, ...], by_path: tuple[Init, ...], children: tuple[Child, ...]
) -> tuple[InitRule, ...]:
    """The rules, each with what it passes over, and whether some module has None where it looks.

    A rule passes over a parameter that has an `init` nearer to it: of a layer, of a container or a
    block around it, or by path. Raises Refused where it would write over rows that have one.
    """
    if not rules:
        return ()
    modules = dict.fromkeys(_distinct_modules(children, set()))
    steps, inner = list(_inits_below(children, "")), list(_rules_below(children, ""))
    below: dict[str, type[nn.Module]] = {}
    for child in children if by_path or steps or inner else ():
        below.update(_modules_below(child.new, child.name))
    named = [(step, "") for step in by_path]
    whole = {_at(step, where): None for step, where in [*named, *steps] if step.rows is None}
    for rule, where in inner:
        inside = [p for p in below if p == where or p.startswith(f"{where}.")]
        whole |= {(p, rule.parameter): None for p in inside if _means(rule, below[p])}
    found = []
    for rule in rules:
        met = [m for m in modules if _means(rule, type(m))]
        missing = next((m for m in met if not _has_tensor(m, rule.parameter)), None)
        if missing is not None and rule.place is not None:
            names = [name for name, _ in missing.named_parameters(recurse=False)]
            fact = f"`{rule.module.name}` has no parameter `{rule.parameter}`"
            help = did_you_mean(rule.parameter, names) or f"it has {', '.join(names) or 'none'}"
            raise refuse("NS206", fact, rule.place.key_span(), help)
        covered = {(p, rule.parameter): None for p, cls in below.items() if _means(rule, cls)}
        for step, where in steps:
            at = _at(step, where)
            if step.rows is not None and at in covered and at not in whole:
                raise _overwritten(rule, step, ".".join(at))
        may_be_none = any(getattr(m, rule.parameter) is None for m in met)
        but = tuple(path for path, name in whole if (path, name) in covered)
        if but:
            known = {k: f for c in children for k, f in parameters_of(c.new, f"{c.name}.").items()}
            paths = (path for path, _ in covered if path not in but)
            _check_rule(rule, {known.get(f"{path}.{rule.parameter}") for path in paths})
        else:
            tensors = (getattr(module, rule.parameter) for module in met)
            _check_rule(rule, {type_of(t) for t in tensors if t is not None})
        found.append(replace(rule, may_be_none=may_be_none, but=but))
    return tuple(found)


def _check_rule(rule: InitRule, types: Set[Fact]) -> None:
    """The function takes each kind of parameter that it is called with. Raises Refused."""
    kwargs = tuple((key, v.value) for key, v in rule.kwargs if isinstance(v, Const))
    for fact in sorted(types - {None}, key=repr):
        try:
            meta_eval.run_function(rule.operator, (fact,), kwargs)
        except OperatorRejects as error:
            assert rule.place is not None, "a rule is written somewhere"
            name = f"{rule.module.name}.{rule.parameter}"
            called = rule.operator.name
            raise rejected(RejectedInit(rule.place, name, called, fact, error)) from None


def _distinct_modules(children: Sequence[Child], seen: set[int]) -> Iterator[nn.Module]:
    """The modules of torch below, on `meta`; those of copies of a block once."""
    for child in children:
        if isinstance(child.new, NewModule):
            yield from meta_modules_of(child.new)
        elif not isinstance(child.new, NewGraph):
            yield from _distinct_modules(children_of(child.new), seen)
        elif id(child.new.graph) not in seen:
            seen.add(id(child.new.graph))
            yield from _distinct_modules(children_of(child.new), seen)


def _at(step: Init, where: str) -> tuple[str, str]:
    """The path of the module, and the name of its parameter, that an `init` at `where` means."""
    path = ".".join((where, *step.target)).strip(".")
    owner, _, name = path.rpartition(".")
    return owner, name


def _means(rule: InitRule, cls: type[nn.Module]) -> bool:
    return issubclass(cls, rule.module.target)  # type: ignore[arg-type]


def _overwritten(rule: InitRule, step: Init, parameter: str) -> Refused:
    fact = f"the rule `{rule.module.name}.{rule.parameter}` runs later, and overwrites it"
    help = f"write it beside that rule, as `{parameter}[…]`: paths run last"
    place = step.place or rule.place
    assert place is not None, "what a text says has a place"
    return refuse("NS218", fact, place.key_span(), help)


def _inits_below(children: Sequence[Child], prefix: str) -> Iterator[tuple[Init, str]]:
    """Each `init` of a layer, container or block below, and the path of what it stands on."""
    for child in children:
        path = f"{prefix}{child.name}"
        yield from ((step, path) for step in child.after if isinstance(step, Init))
        if isinstance(child.new, NewGraph):
            yield from ((step, path) for step in child.new.graph.inits)
        yield from _inits_below(children_of(child.new), f"{path}.")


def _rules_below(children: Sequence[Child], prefix: str) -> Iterator[tuple[InitRule, str]]:
    """Each rule of a block below, and the path of the block."""
    for child in children:
        path = f"{prefix}{child.name}"
        if isinstance(child.new, NewGraph):
            yield from ((rule, path) for rule in child.new.graph.rules)
        yield from _rules_below(children_of(child.new), f"{path}.")


def _modules_below(new: New, path: str) -> Iterator[tuple[str, type[nn.Module]]]:
    """The modules that are not ours below something that is made, by their paths."""
    if isinstance(new, NewModule):
        module = next(iter(meta_modules_of(new)))
        for name, inner in module.named_modules():
            yield f"{path}.{name}" if name else path, type(inner)
    for child in children_of(new):
        yield from _modules_below(child.new, f"{path}.{child.name}")


def _has_tensor(module: nn.Module, name: str) -> bool:
    """Whether this is one of its own parameters or buffers, which may be None."""
    return name in module._parameters or name in module._buffers
