"""Names that mean nothing where they stand, or give no value, or come later."""

from __future__ import annotations

from collections.abc import Mapping

from netspec.errors import Help, did_you_mean
from netspec.ir.graph import Place
from netspec.ir.lower.refusal import Refused, refuse
from netspec.ir.lower.scope import Scope
from netspec.ir.lower.values import Operand
from netspec.language.expressions import as_expression, could_be_expression
from netspec.ops import catalog


def value_of_name(scope: Scope, name: str, place: Place) -> Operand:
    """The value of a name, or Refused."""
    binding = scope.find(name)
    if binding is None and scope.is_refused(name.partition(".")[0]):
        return scope.context.unknown
    if binding is None:
        raise undefined(scope, name, place)
    if binding.value is None and binding.holds(place):
        raise _too_early(name, binding.place, place)
    if binding.value is None:
        fact = f"`{name}` gives no value"
        raise refuse("NS207", fact, place.span(), "it is registered, and not called here")
    return binding.value


# What Python and YAML write otherwise, and the modules of torch that no name needs here.
_SPELT: Mapping[str, str] = {
    "true": "True", "false": "False", "null": "None", "none": "None", "nan": "float('nan')",
}  # fmt: skip
_NEEDLESS = ("self", "torch", "F", "nn", "np", "math", "functional")


def undefined(scope: Scope, name: str, place: Place) -> Refused:
    """The refusal of a name that nothing here defines."""
    first, dot, _ = name.partition(".")
    around = scope.find(first) if dot else None
    if around is not None and around.instance is not None and around.value is None:
        fact = f"`{name}` gives no value"
        calls = f"what is in `{first}` is registered, and not called here: `use: {name}` calls it"
        return refuse("NS207", fact, place.span(), calls)
    later = scope.later(name)
    if later is not None:
        return _too_early(name, later, place, _inside(scope))
    known = [*scope.visible(), *scope.args]
    help = did_you_mean(name, known)
    if place.node is None and could_be_expression(name, known):
        written = as_expression(name)
        help = Help(f"write `{written}`: an expression begins with `=`", name, written)
    elif name in _SPELT:
        help = Help(f"write `{_SPELT[name]}`", name, _SPELT[name])
    elif name in _NEEDLESS and f"{name}." in place.text:
        help = Help(f"leave `{name}.` out: what a spec can name needs no prefix", f"{name}.", "")
    elif help is None and catalog.find_function(name) is not None and place.node is not None:
        help = f"`{name}` is a function: call it, `{name}(x)`"
    elif help is None:
        help = _known_here(scope)
    return refuse("NS207", f"`{name}` is not defined here", place.span(), help)


def _too_early(name: str, later: Place, place: Place, inside: str = "") -> Refused:
    if place.path[: len(later.path)] == later.path:
        fact = f"`{name}` reads its own value"
        help = f"a layer reads what stands before it; `_` is the value that comes in{inside}"
        return refuse("NS207", fact, place.span(), help)
    where = f"on line {later.line}" if later.line else "after this layer"
    fact = f"`{name}` is read here, and comes later"
    help = f"it stands {where}: a layer reads what stands before it"
    return refuse("NS207", fact, place.span(), help)


def _known_here(scope: Scope) -> str | None:
    names = [*scope.visible()[-8:], *list(scope.args)[-8:]]
    return f"known here: {', '.join(names)}{_inside(scope)}" if names else None


def _inside(scope: Scope) -> str:
    while scope.outer is not None:
        scope = scope.outer
    return f"; `{scope.block}` sees nothing from outside" if scope.block else ""
