"""`netspec.register`: a class or a function of one's own becomes a layer like torch's own."""

from __future__ import annotations

import ast
import inspect
import keyword
import re
import sys
import types
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast, overload

from torch import nn

from netspec.ir.lower.expressions.numbers import BUILTINS
from netspec.language.expressions import NotAnExpression, names_in, parse_expression
from netspec.ops import catalog, registry
from netspec.ops.arguments import Either, Kind, Parameter
from netspec.ops.overwriting import INPLACE
from netspec.ops.registry import Registered, RegisteredKind
from netspec.ops.signatures import forward_signature_of, signatures_of, type_of_default

Target = TypeVar("Target", bound=Callable[..., Any])

_NAME = re.compile(r"(?:[A-Za-z]\w*/)?[A-Za-z]\w*")
_MAX_NAME = 100
# Names that expressions, and the code that is made of specs, use already.
_TAKEN = frozenset(
    ("torch", "nn", "F", "math", "OrderedDict", "build_model", "training", "inf", "pi", "i")
)


@overload
def register(
    target: Target,
    name: str | None = None,
    *,
    infer: Mapping[str, str] | None = None,
    fake: Callable[..., Any] | None = None,
    inplace: Callable[..., Any] | None = None,
    function: Callable[..., Any] | None = None,
) -> Target: ...


@overload
def register(
    target: str | None = None,
    name: None = None,
    *,
    infer: Mapping[str, str] | None = None,
    fake: Callable[..., Any] | None = None,
    inplace: Callable[..., Any] | None = None,
    function: Callable[..., Any] | None = None,
) -> Callable[[Target], Target]: ...


def register(
    target: Any = None,
    name: str | None = None,
    *,
    infer: Mapping[str, str] | None = None,
    fake: Callable[..., Any] | None = None,
    inplace: Callable[..., Any] | None = None,
    function: Callable[..., Any] | None = None,
) -> Any:
    """Register a class or a function for specs, under its own name or `name`; gives it back.

    As a decorator, `@register` or `@register("mylib/Swish")`, or as a call,
    `register(Swish, "mylib/Swish")`. A name may have a namespace before a slash. In specs,
    `module: mylib/Swish` and `call: mylib/swish` name it, and in expressions `mylib.swish(x)`.

    Arguments are checked by the annotations of `__init__`, of `forward`, of the function.

    - `infer`: constructor arguments that may be left out, as expressions of what `forward` takes:
      `{"channels": "x.shape[1]"}`.
    - `fake`: gives what the target gives, on `meta` tensors, with the same memory shared or not;
      it takes the same arguments, of a class after the module itself. Without it the target is run
      on `meta`, and where it can't be, on small tensors of the CPU.
    - `inplace`: of a function, its twin that overwrites the first input and gives it back. It is
      registered as well, under the name with an underscore behind it.
    - `function`: of an activation's class, the function that computes the same; it is registered
      already, and takes the class's arguments. Then `act:` has both forms by the function's name.

    Raises TypeError for what cannot be a layer, or lacks what netspec has to know, and ValueError
    for a name that is no name or is taken. The same code may be registered again.
    """
    if target is None or isinstance(target, str):
        wanted = target

        def decorate(found: Target) -> Target:
            _register(found, wanted, infer, fake, inplace, function)
            return found

        return decorate
    _register(target, name, infer, fake, inplace, function)
    return target


def _register(
    target: Any,
    name: str | None,
    infer: Mapping[str, str] | None,
    fake: Callable[..., Any] | None,
    inplace: Callable[..., Any] | None,
    function: Callable[..., Any] | None,
) -> None:
    kind = _kind_of(target)
    name = target.__name__ if name is None else name
    plugin = registry.loading()
    module = _caller()
    home = plugin or module
    paired = None if function is None else _paired(target, kind, function)
    registered = Registered(
        name, kind, target, home, plugin, module, dict(infer or {}), fake, paired
    )
    _check_name(registered)
    _check_signature(registered)
    _check_infer(registered)
    if fake is not None and not callable(fake):
        raise TypeError(f"`fake` of `{name}` is no function")
    twin = None
    if inplace is not None:
        twin = _twin(registered, inplace)
        _check_name(twin)
    elif kind == "function" and name.endswith("_"):
        raise ValueError(
            f"`{name}` ends in an underscore, as what overwrites its input does: "
            f"give it as `inplace=` of the function that computes the same in new memory"
        )
    if paired is not None:
        _check_pair(registered)
    registry.add(registered)
    if twin is not None:
        registry.add(twin)


def _kind_of(target: Any) -> RegisteredKind:
    if isinstance(target, type):
        if not issubclass(target, nn.Module):
            raise TypeError(f"`{target.__name__}` is no nn.Module: a layer is one, or a function")
        if target.forward is nn.Module.forward:
            raise TypeError(f"`{target.__name__}` has no `forward`")
        return "module"
    if not isinstance(target, types.FunctionType):
        raise TypeError(
            f"{target!r} is neither a class of nn.Module nor a function: write a function around it"
        )
    if target.__name__ == "<lambda>":
        raise TypeError("a lambda has no name: write a function")
    return "function"


def _caller() -> str:
    """The Python module that called `register`."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__") == __name__:
        frame = frame.f_back
    return str(frame.f_globals.get("__name__", "__main__"))


# Names


def _check_name(registered: Registered) -> None:
    """Raises ValueError."""
    name, bare = registered.name, registered.bare
    if not _NAME.fullmatch(name) or len(name) > _MAX_NAME:
        raise ValueError(f"`{name}` is no name for a layer: write `Name`, or `library/Name`")
    for part in name.split("/"):
        if keyword.iskeyword(part) or part in _TAKEN:
            raise ValueError(f"`{name}` cannot be a layer's name: `{part}` means something else")
    if not registered.namespace:
        taken = _torch_has(bare)
        if taken is not None:
            help = f"give it a namespace, like `mylib/{name}`"
            raise ValueError(f"`{name}` is {taken} already: {help}")
    for other in _beside(registered):
        same_code = other.path == registered.path and other.kind == registered.kind
        if other.name == name and not same_code:
            raise ValueError(f"`{name}` is registered already, by `{other.home}`: {other.path}")


def _torch_has(name: str) -> str | None:
    if name in vars(nn) and isinstance(vars(nn)[name], type):
        return f"`torch.nn.{name}`"
    operator = catalog.find_function(name)
    if operator is not None and operator.registered is None:
        home = {"F": "torch.nn.functional", "torch": "torch"}.get(operator.home, "torch.Tensor")
        return f"`{home}.{name}`"
    if name in BUILTINS or catalog.find_dtype(name) is not None:
        return "a name of expressions"
    return None


def _beside(registered: Registered) -> list[Registered]:
    """What is there where it is being registered: the plugin's, and this process's own."""
    return registry.owned_by(None) + (
        registry.owned_by(registered.plugin) if registered.plugin else []
    )


# Signatures


def _check_signature(registered: Registered) -> None:
    """Raises TypeError with every parameter whose type is not told."""
    target: Any = registered.target
    written = target.__init__ if registered.kind == "module" else target
    what = f"{target.__qualname__}.__init__" if registered.kind == "module" else target.__qualname__
    if registered.kind == "module" and written is nn.Module.__init__:
        return
    known = {p.name: p for p in signatures_of(catalog.operator_of(registered))[0].parameters}
    parameters = list(inspect.signature(written).parameters.values())
    if not parameters and registered.kind == "function":
        raise TypeError(f"`{what}` takes nothing: a layer takes at least one tensor")
    untold, ungiven = [], []
    for parameter in parameters[1:]:  # `self`, or the tensor that the layer is called with
        own = known.get(parameter.name)
        if own is None:
            continue
        hinted = parameter.annotation is not parameter.empty and own.accepts is not Kind.ANYTHING
        if not hinted and not _is_any(parameter) and type_of_default(parameter) is None:
            if parameter.default is not None:
                untold.append(parameter.name)
        elif own.required and _is_opaque(own):
            ungiven.append(parameter.name)
    if untold:
        shown = ", ".join(f"`{name}`" for name in untold)
        raise TypeError(
            f"`{what}` does not tell the type of {shown}: annotate it, like `{untold[0]}: int`"
        )
    if ungiven:
        shown = ", ".join(f"`{name}`" for name in ungiven)
        raise TypeError(
            f"`{what}` wants {shown} of a type that no spec can write: give it a default"
        )


def _is_any(parameter: inspect.Parameter) -> bool:
    """Whether anything is what was meant."""
    return parameter.annotation in (Any, object, "Any", "object", "typing.Any")


def _is_opaque(parameter: Parameter) -> bool:
    accepts = parameter.accepts
    options = accepts.options if isinstance(accepts, Either) else (accepts,)
    return all(option in (Kind.OPAQUE, Kind.MODULE) for option in options)


def _check_infer(registered: Registered) -> None:
    """Raises TypeError, ValueError."""
    if not registered.infer:
        return
    if registered.kind != "module":
        raise TypeError(
            f"`infer` is for constructor arguments, and `{registered.name}` is a function"
        )
    cls = cast("type[nn.Module]", registered.target)
    own = {p.name for p in signatures_of(catalog.operator_of(registered))[0].parameters}
    inputs = [p.name for p in forward_signature_of(cls).parameters]
    for name, text in registered.infer.items():
        if name not in own:
            raise ValueError(f"`infer` has `{name}`, which `{cls.__qualname__}` does not take")
        try:
            tree = parse_expression(f"={text}").tree
        except NotAnExpression as error:
            raise ValueError(f"`infer` of `{name}`: {error.fact}") from None
        unknown = sorted(names_in(f"={text}") - set(inputs))
        if unknown:
            told = ", ".join(f"`{item}`" for item in inputs)
            raise ValueError(
                f"`infer` of `{name}` names `{unknown[0]}`, and `forward` takes {told}"
            )
        if any(isinstance(node, ast.Call) for node in ast.walk(tree)):
            raise ValueError(f"`infer` of `{name}` calls something: it may only look at shapes")


# Twins


def _twin(registered: Registered, inplace: Callable[..., Any]) -> Registered:
    """The twin in place of a registered function. Raises TypeError."""
    if registered.kind != "function":
        raise TypeError(
            "`inplace` is for functions; of a class, let `__init__` take `inplace: bool = False`"
        )
    if not isinstance(inplace, types.FunctionType):
        raise TypeError(f"`inplace` of `{registered.name}` is no function")
    ours = _names(registered.target)
    theirs = _names(inplace)
    if ours != theirs:
        raise TypeError(
            f"`{inplace.__name__}` takes {theirs}, and `{registered.name}`, "
            f"in whose place it is, {ours}"
        )
    return Registered(
        f"{registered.name}_",
        "function",
        inplace,
        registered.home,
        registered.plugin,
        registered.module,
    )


def _names(function: Callable[..., Any]) -> list[str]:
    return list(inspect.signature(function).parameters)


def _paired(target: Any, kind: RegisteredKind, function: Callable[..., Any]) -> str:
    """The name under which an activation's function is registered. Raises TypeError, ValueError."""
    if kind != "module":
        raise TypeError("`function` is for the class of an activation; register the class with it")
    found = registry.of_target(function)
    if found is None or found.kind != "function":
        shown = getattr(function, "__name__", repr(function))
        raise ValueError(f"register `{shown}` first, then `{target.__name__}` with it")
    return found.name


def _check_pair(registered: Registered) -> None:
    """Raises TypeError where the two forms take other arguments."""
    function = next(one for one in _beside(registered) if one.name == registered.function)
    known = {p.name for p in signatures_of(catalog.operator_of(function))[0].parameters}
    for parameter in signatures_of(catalog.operator_of(registered))[0].parameters:
        if parameter.name not in known and parameter.name != INPLACE:
            raise TypeError(
                f"`{registered.name}` takes `{parameter.name}`, and its function "
                f"`{function.name}` does not"
            )
