"""Random expressions and arguments, of the types that netspec's own signatures say."""

from __future__ import annotations

import random

from netspec.ops import catalog
from netspec.ops.arguments import Choices, Either, Kind, SequenceOf, TupleOf
from netspec.ops.signatures import Signature, signatures_of

SMALL = (0, 1, 1, 2, 2, 3, 4, -1)
EXTREME = (
    -2, 7, 63, 64, 65, 500, 10**6,  # 10**5 copies are allowed, and take 10 s
    10**9, 2**31 - 1, 2**31, -(2**31), 2**32, 2**40, 2**53 + 1,
    2**63 - 1, 2**63, -(2**63), 10**18, 10**18 + 1, 10**40, 0.5, -0.5, 1e-9, 1e-320, 1e308, -0.0,
    float("inf"), float("-inf"), float("nan"), True, False, None,
)  # fmt: skip
NAMES = ("x", "y", "z", "m", "ms", "a", "b", "_", "n", "i", "w", "k", "training", "pi", "inf")
FORMATS = ("", "02d", ".3f", ">9", "x", "9999", "e", "%", ",", "c", "s", "10d")
LITERALS = (
    "'a'",
    "'mean'",
    "''",
    "'%s'",
    "'ij,jk->ik'",
    "True",
    "False",
    "None",
    "...",
    "1j",
    "b'a'",
)
ATTRIBUTES = ("shape", "ndim", "dtype", "device", "T", "mT", "weight", "grad")
BUILTINS = ("min", "max", "len", "round", "int", "float", "abs", "range", "sum", "sqrt")
REFUSED = (
    "lambda: 1", "[i for i in x]", "(a := 1)", "f(*x)", "f(**x)", "{1: 2}", "{1}", "x.__class__",
    "__import__('os')", "x._base", "f'{x!r}'", "f'{x:{n}}'", "await x", "(yield)", "1 << 99",
    "x.data",
    "x.numpy()", "open('a')", "eval('1')", "x.backward()", "x.set_(y)", "x.cuda()", "x; y", "x = 1",
    "not " * 50 + "x", "-" * 60 + "1", "(" * 50 + "x" + ")" * 50, "x" + "[0]" * 60, "x" + ".T" * 60,
    "9" * 400,
    "'" + "a" * 2100 + "'", "+".join("1" * 300), "x if " * 30, "\\", "'\\ud800'", "x\n+1", "\tx",
    "0x", "1_0",
    "10 ** 60 ** 60", "'a' * 10 ** 9", "range(10 ** 12)", "x.shape" + " + x.shape" * 90, "٣", "ªx",
    "x #", "1if x else 2",
)  # fmt: skip


class Code(str):
    """An expression among values: its `repr` is its text, its YAML has a `=` before it."""

    __slots__ = ()
    __repr__ = str.__str__


def expression(rng: random.Random, depth: int = 4) -> Code:
    """A random expression, most often of the grammar."""
    if depth <= 0 or rng.random() < 0.15:
        return _leaf(rng)

    def inner() -> Code:
        return expression(rng, depth - 1 - rng.randrange(2))

    match rng.randrange(17):
        case 0 | 1:
            symbol = rng.choice(("+", "-", "*", "/", "//", "%", "**", "@", "&", "|", "^", "<<"))
            return Code(rng.choice(("{} {} {}", "({} {} {})")).format(inner(), symbol, inner()))
        case 2:
            return Code(rng.choice(("-", "+", "~", "not ")) + f"({inner()})")
        case 3:
            symbols = ("==", "!=", "<", "<=", ">", ">=", "is", "is not", "in", "not in")
            chain = f" {rng.choice(symbols)} {inner()}" if rng.random() < 0.2 else ""
            return Code(f"({inner()} {rng.choice(symbols)} {inner()}{chain})")
        case 4:
            return Code(f"({inner()} {rng.choice(('and', 'or'))} {inner()})")
        case 5:
            return Code(f"({inner()} if {inner()} else {inner()})")
        case 6:
            return Code(f"({inner()}).{rng.choice(ATTRIBUTES)}")
        case 7:
            return Code(f"({inner()})[{_index(rng, inner())}]")
        case 8:
            items = [inner() for _ in range(rng.choice((1, 2, 2, 3)))]
            return Code(repr(items) if rng.random() < 0.5 else f"({', '.join(items)},)")
        case 9:
            return Code(f"f'a{{{inner()}:{rng.choice(FORMATS)}}}'")
        case 10:
            items = [inner() for _ in range(rng.choice((1, 1, 2, 3)))]
            return Code(f"{rng.choice(BUILTINS)}({', '.join(items)})")
        case 11:
            return Code(f"{rng.choice(('m', 'ms[0]', 'ms', 'x', 'm.weight'))}({inner()})")
        case 12:
            return Code(rng.choice(REFUSED)) if rng.random() < 0.2 else _leaf(rng)
        case 13 | 14:
            return _method(rng, inner(), depth)
        case _:
            return _function(rng, depth)


def _leaf(rng: random.Random) -> Code:
    way = rng.randrange(10)
    if way < 5:
        return Code(rng.choice(NAMES))
    if way < 8:
        return Code(repr(number(rng)))
    return Code(rng.choice((*LITERALS, rng.choice(catalog.dtype_names()))))


def _index(rng: random.Random, inner: str) -> str:
    parts = [
        rng.choice(
            (
                ":",
                "...",
                "None",
                "0",
                "-1",
                "1:",
                "::2",
                "::-1",
                ":0",
                inner,
                f":{inner}",
                f"::{inner}",
            )
        )
        for _ in range(rng.choice((1, 1, 2, 3)))
    ]
    return ", ".join(parts)


def _function(rng: random.Random, depth: int) -> Code:
    name = rng.choice(catalog.function_names())
    operator = catalog.find_function(name)
    assert operator is not None, "the name is the catalog's"
    return Code(f"{name}({_written_arguments(rng, rng.choice(signatures_of(operator)), depth)})")


def _method(rng: random.Random, receiver: str, depth: int) -> Code:
    name = rng.choice(catalog.method_names())
    operator = catalog.find_method(name)
    assert operator is not None, "the name is the catalog's"
    found = rng.choice(signatures_of(operator))
    without_self = Signature(found.parameters[1:], found.star)
    return Code(f"({receiver}).{name}({_written_arguments(rng, without_self, depth)})")


def _written_arguments(rng: random.Random, signature: Signature, depth: int) -> str:
    positional, named = arguments(rng, signature, depth)
    return ", ".join(
        [*map(repr, positional), *(f"{name}={value!r}" for name, value in named.items())]
    )


def arguments(
    rng: random.Random, signature: Signature, depth: int
) -> tuple[list[object], dict[str, object]]:
    """Values for what is required and for some of the rest, which mostly are of the right type."""
    positional: list[object] = []
    named: dict[str, object] = {}
    for parameter in signature.parameters:
        if not parameter.required and rng.random() < 0.7:
            continue
        value = argument(rng, parameter.accepts, depth)
        if parameter.keyword_only or named or not parameter.required or rng.random() < 0.1:
            named[parameter.name] = value
        else:
            positional.append(value)
    if signature.star is not None:
        positional += [
            argument(rng, signature.star.accepts, depth) for _ in range(rng.randrange(3))
        ]
    if rng.random() < 0.03:
        named[rng.choice(("dim", "out", "size", "generator", "dtype", "inplace", "nope"))] = number(
            rng
        )
    return positional, named


def argument(rng: random.Random, accepts: object, depth: int) -> object:
    """A value of this type; now and then of another."""
    if rng.random() < 0.04:
        return rng.choice(
            (number(rng), _leaf(rng), expression(rng, depth - 1), [number(rng)], None, "a")
        )
    if isinstance(accepts, Choices):
        return rng.choice(accepts.options)
    if isinstance(accepts, Either):
        return argument(rng, rng.choice(accepts.options), depth)
    if isinstance(accepts, SequenceOf):
        length = accepts.length or rng.choice((0, 1, 1, 2, 2, 3, 4))
        return [argument(rng, accepts.item, depth) for _ in range(length)]
    if isinstance(accepts, TupleOf):
        return [argument(rng, item, depth) for item in accepts.items]
    match accepts:
        case Kind.INT:
            return rng.choice(SMALL) if rng.random() < 0.9 else number(rng)
        case Kind.FLOAT | Kind.SCALAR:
            return rng.choice((0.5, 1, 0, 2.0, number(rng)))
        case Kind.BOOL:
            return rng.random() < 0.5
        case Kind.STR:
            return rng.choice(
                (
                    "mean",
                    "sum",
                    "none",
                    "constant",
                    "nearest",
                    "bilinear",
                    "ij",
                    "ij,jk->ik",
                    "...->",
                    "same",
                    "",
                )
            )
        case Kind.NONE | Kind.OPAQUE:
            return None
        case Kind.DTYPE:
            return Code(rng.choice(catalog.dtype_names()))
        case Kind.DEVICE:
            return Code("x.device")
        case Kind.TENSOR:
            return rng.choice(
                (Code("x"), Code("y"), Code("z"), Code("_"), expression(rng, depth - 2))
            )
    return _leaf(rng)


def number(rng: random.Random) -> object:
    """A number (or a bool, or null): small, or at one of the edges."""
    return rng.choice(SMALL) if rng.random() < 0.6 else rng.choice(EXTREME)
