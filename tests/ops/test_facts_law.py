"""Facts on `meta` are facts at run time: every operator that torch has sample inputs for.

`python -m tests.ops.test_facts_law` writes what it finds to docs/operators.md.
"""

from __future__ import annotations

import itertools
import sys
import types
import unittest
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from netspec.ir.lower.expressions.numbers import BINARY
from netspec.ops import catalog, meta_eval
from netspec.ops.arguments import Choices, Either, Kind, SequenceOf, TupleOf
from netspec.ops.catalog import Operator
from netspec.ops.signatures import signatures_of
from netspec.ops.types import Fact, Mapped, OperatorRejects, Slice, TensorType, contiguous, type_of
from netspec.ops.values import fact_of

Call = tuple[tuple[Any, ...], dict[str, Any]]

# torch's samples of these are for its own wrappers, which take arguments in another order.
_X, _IMAGE = torch.rand(3, 4), torch.rand(2, 4, 6, 6)
WRITTEN_OUT: Mapping[str, list[Call]] = {
    "embedding": [((torch.tensor([[1, 0]]), _X), {})],
    "fold": [((torch.rand(2, 8, 9),), {"output_size": (4, 4), "kernel_size": (2, 2)})],
    "affine_grid": [((torch.rand(2, 2, 3), (2, 1, 4, 4)), {})],
    "einsum": [(("ij,kj->ik", _X, _X), {}), (("ij->j", _X), {})],
    "upsample": [((_IMAGE,), {"scale_factor": 2.0})],
    "conv_tbc": [((torch.rand(5, 2, 3), torch.rand(3, 3, 4), torch.rand(4)), {})],
    "to": [((_X, torch.float64), {}), ((_X, torch.float32), {})],
    "tensor": [(([1.0, 2.0],), {}), ((3,), {}), ((((1, 2), (3, 4)),), {"dtype": torch.float32})],
    "polygamma": [((1, _X), {})],
    "max_unpool2d": [((_IMAGE, torch.arange(36).reshape(6, 6).expand(2, 4, 6, 6) * 2, 2), {})],
    "triplet_margin_with_distance_loss": [((_X, _X, _X), {})],
    "fractional_max_pool2d_with_indices": [((_IMAGE, 2), {"output_size": (3, 3)})],
    "fractional_max_pool3d_with_indices": [((torch.rand(2, 4, 6, 6, 6), 2), {"output_size": (3, 3, 3)})],
    "fake_quantize_per_channel_affine": [
        ((_X, torch.ones(4), torch.zeros(4, dtype=torch.int32), 1, 0, 255), {})
    ],
    "clip": [((_X, 0.1, 0.9), {})],
}  # fmt: skip

DOCUMENT = Path(__file__).parents[2] / "docs" / "operators.md"
FEW, MANY = 2, 20  # samples of each operator and dtype


class NotForSpecs(Exception):
    """A sample that no spec can write: a complex number, a generator, a sparse tensor."""


@dataclass
class Found:
    """What was seen of one operator: how many calls were compared, and which of them differ how."""

    compared: int = 0
    differs: dict[str, str] = field(default_factory=dict)  # the kind → an example

    def note(self, kind: str, example: str) -> None:
        self.differs.setdefault(kind, example)


# Samples


@cache
def databases() -> tuple[list[Any], list[Any]]:
    """torch's own samples of operators and modules, which its tests use."""
    if "expecttest" not in sys.modules:
        try:
            import expecttest  # noqa: F401
        except ImportError:  # torch's test classes derive from it; the samples need nothing of it
            stub = types.ModuleType("expecttest")
            stub.TestCase = unittest.TestCase  # type: ignore[attr-defined]
            sys.modules["expecttest"] = stub
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.testing._internal.common_methods_invocations import op_db
        from torch.testing._internal.common_modules import module_db
    # torch's tests forbid to set flags of backends from then on; other tests here train
    torch.backends.flags_frozen.__globals__["__allow_nonbracketed_mutation_flag"] = True
    return op_db, module_db


@cache
def samples_by_name() -> Mapping[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for info in databases()[0]:
        name = info.name.removeprefix("nn.functional.")
        for alias in (name, *(alias.name for alias in info.aliases)):
            if "." not in alias:
                found.setdefault(alias, []).append(info)
    return found


def operators() -> list[Operator]:
    """All functions and methods that a spec can call and that don't overwrite their input."""
    found = [catalog.find_function(name) for name in catalog.function_names()]
    found += [catalog.find_method(name) for name in catalog.method_names()]
    kept = [o for o in found if o is not None and not catalog.overwrites(o)]
    return sorted(dict.fromkeys(kept), key=lambda o: (o.name, o.home))


def calls_of(operator: Operator, samples: int) -> Iterator[Call]:
    """Arguments that torch's samples have for an operator, else some that its signature allows."""
    infos = samples_by_name().get(operator.name, [])
    for info in infos:
        for dtype in [d for d in (torch.float32, torch.int64, torch.bool) if d in info.dtypes]:
            # Not info.sample_inputs, which looks through the whole stack for the test's name.
            yield from _spread(info.sample_inputs_func(info, "cpu", dtype, False), samples)
    yield from WRITTEN_OUT.get(operator.name, ())
    if not infos:
        yield from made_up_calls(operator)


def _spread(samples: Iterator[Any], count: int) -> Iterator[Call]:
    """A few of the samples, from first to last, and the same with dimensions in another order."""
    every = list(itertools.islice(samples, 25 * count))
    for sample in every[:: max(1, len(every) // count)]:
        yield (sample.input, *sample.args), dict(sample.kwargs)
        if isinstance(sample.input, Tensor) and sample.input.dim() > 1:
            turned = sample.input.transpose(0, -1).contiguous().transpose(0, -1)
            yield (turned, *sample.args), dict(sample.kwargs)


SHAPES = ((4,), (3, 3), (2, 4, 4), (2, 4, 4, 4))


def made_up_calls(operator: Operator) -> Iterator[Call]:
    """Required arguments of the kinds that the signature asks for."""
    for signature in signatures_of(operator):
        required = [p for p in signature.parameters if p.required]
        for shape, whole in itertools.product(SHAPES, (False, True)):
            args, kwargs = [], {}
            for parameter in required:
                value = made_up(parameter.accepts, shape, whole)
                if value is NOTHING:
                    break
                if parameter.keyword_only:
                    kwargs[parameter.name] = value
                else:
                    args.append(value)
            else:
                star = [torch.ones(shape)] * 2 if signature.star is not None and not args else []
                yield (*args, *star), kwargs


NOTHING = object()


def made_up(accepts: object, shape: tuple[int, ...], whole: bool) -> Any:
    match accepts:
        case Either(options):
            for option in options:
                if (value := made_up(option, shape, whole)) is not NOTHING:
                    return value
        case SequenceOf(item, length):
            value = made_up(item, shape, whole)
            return NOTHING if value is NOTHING else (value,) * (length or 2)
        case TupleOf(items):
            return tuple(made_up(item, shape, whole) for item in items)
        case Choices(options):
            return options[0]
        case Kind.TENSOR:
            return torch.ones(shape, dtype=torch.int64) if whole else torch.rand(shape) + 0.5
        case Kind.INT:
            return 1
        case Kind.FLOAT | Kind.SCALAR:
            return 0.5
        case Kind.BOOL:
            return False
        case Kind.DTYPE:
            return torch.float64
    return NOTHING


# Comparing


def as_fact(value: Any) -> Fact:
    """An argument as the fact that a spec would have of it. Raises NotForSpecs."""
    if type(value) is Tensor or type(value) is nn.Parameter:
        plain = value.layout is torch.strided and not value.is_quantized and not value.is_complex()
        if not plain or value.is_conj() or value.is_neg():
            raise NotForSpecs
        return type_of(value)
    if isinstance(value, (list, tuple)):
        return tuple(map(as_fact, value))
    if isinstance(value, slice):
        return Slice(*map(as_fact, (value.start, value.stop, value.step)))
    if value is None or type(value) in (bool, int, float, str, torch.dtype):
        return value
    raise NotForSpecs


def compare_call(operator: Operator, call: Call, found: Found) -> None:
    """One call on `meta` and for real."""
    args, kwargs = call
    try:
        types_ = tuple(map(as_fact, args)), tuple((k, as_fact(v)) for k, v in kwargs.items())
    except NotForSpecs:
        return
    positional = tuple(to_plain(a) for a in args)
    compare(found, lambda: meta_eval.run_function(operator, *types_), lambda: operator.target(
        *positional, **{name: to_plain(value) for name, value in kwargs.items()}
    ), f"{described(types_[0])} {described(dict(types_[1]))}")  # fmt: skip


def to_plain(value: Any) -> Any:
    """Lists become tuples, as in netspec; tensors are copied, lest an operator writes into them."""
    if isinstance(value, Tensor):
        copied = value.detach().clone()
        return copied if copied.stride() == value.stride() else value.detach()
    return tuple(map(to_plain, value)) if isinstance(value, (list, tuple)) else value


def compare(found: Found, ask: Callable[[], Fact], run: Callable[[], object], call: str) -> None:
    try:
        with torch.no_grad():
            real = fact_of(run())
    except OperatorRejects:
        return  # it gives what no layer can read
    except Exception:
        real = None
    try:
        told = ask()
    except OperatorRejects as error:
        if real is not None:
            found.compared += 1
            found.note("refused", f"{call}: {error}")
        return
    found.compared += 1
    if real is None:
        found.note("accepted", f"{call}: only at run time torch refuses it")
    else:
        for kind in differences(told, real):
            found.note(kind, f"{call}: told {described(told)}, is {described(real)}")


def differences(told: Fact, real: Fact) -> Iterator[str]:
    match told, real:
        case TensorType(), TensorType():
            if told.shape != real.shape:
                yield "shape"
            elif told.stride != real.stride and 0 not in real.shape:
                strides = zip(told.shape, told.stride, real.stride, strict=True)
                if any(a != b for size, a, b in strides if size != 1):
                    yield "stride"
            if told.dtype != real.dtype:
                yield "dtype"
        case tuple(), tuple() if len(told) == len(real):
            for one, other in zip(told, real, strict=True):
                yield from differences(one, other)
        case Mapped(), Mapped():
            yield from differences(tuple(v for _, v in told.items), tuple(v for _, v in real.items))
        case _:
            if type(told) is not type(real) or isinstance(told, (tuple, Mapped)):
                yield "shape"  # another structure
            elif told != real and not isinstance(told, (int, float)):
                yield "shape"


def described(fact: Any) -> str:
    match fact:
        case TensorType(shape, stride, dtype):
            text = f"{list(shape)} {str(dtype).removeprefix('torch.')}"
            return text if stride == contiguous(shape, dtype).stride else f"{text} ({stride})"
        case tuple():
            return f"({', '.join(map(described, fact))})"
        case dict():
            return ", ".join(f"{name}={described(value)}" for name, value in fact.items())
    return repr(fact)


def compared_operators(samples: int) -> dict[str, Found]:
    """What was seen of each function and method."""
    results: dict[str, Found] = {}
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        for operator in operators():
            torch.manual_seed(1)
            found = results[shown(operator)] = Found()
            for call in calls_of(operator, samples):
                compare_call(operator, call, found)
    return results


def shown(operator: Operator) -> str:
    return f"{operator.home}.{operator.name}"


# Modules

# Arguments for those of which torch has no samples: constructor, then inputs.
_ROW = torch.rand(4, 6)
MODULES: Mapping[str, tuple[tuple[Any, ...], tuple[Any, ...]]] = {
    "AlphaDropout": ((), (_ROW,)), "ChannelShuffle": ((2,), (_IMAGE,)), "CosineSimilarity": ((), (_ROW, _ROW)),
    "CrossMapLRN2d": ((2,), (_IMAGE,)), "Dropout": ((), (_ROW,)), "Dropout1d": ((), (_ROW,)),
    "Dropout2d": ((), (_IMAGE,)), "Dropout3d": ((), (torch.rand(2, 3, 4, 4, 4),)),
    "EmbeddingBag": ((5, 3), (torch.tensor([[1, 2], [3, 4]]),)), "FeatureAlphaDropout": ((), (_IMAGE,)),
    "Flatten": ((), (_IMAGE,)), "Fold": (((4, 4), 2), (torch.rand(2, 8, 9),)), "Hardsigmoid": ((), (_ROW,)),
    "Identity": ((), (_ROW,)), "MaxUnpool1d": ((2,), (_ROW, torch.arange(6).expand(4, 6) * 2)),
    "NLLLoss2d": ((), (_IMAGE.log_softmax(1), torch.ones(2, 6, 6, dtype=torch.int64))),
    "PairwiseDistance": ((), (_ROW, _ROW)), "PixelShuffle": ((2,), (_IMAGE,)), "PixelUnshuffle": ((2,), (_IMAGE,)),
    "RReLU": ((), (_ROW,)), "TripletMarginLoss": ((), (_ROW, _ROW, _ROW)),
    "TripletMarginWithDistanceLoss": ((), (_ROW, _ROW, _ROW)), "Unflatten": ((1, (2, 3)), (_ROW,)),
    "Unfold": ((2,), (_IMAGE,)), "Upsample": ((None, 2.0), (_IMAGE,)), "UpsamplingBilinear2d": ((None, 2), (_IMAGE,)),
    "UpsamplingNearest2d": ((None, 2), (_IMAGE,)),
    "MaxUnpool2d": ((2,), (_IMAGE, torch.arange(36).reshape(6, 6).expand(2, 4, 6, 6) * 2)),
    "FractionalMaxPool2d": ((2, 3), (_IMAGE,)), "FractionalMaxPool3d": ((2, 3), (torch.rand(2, 4, 6, 6, 6),)),
    "MaxUnpool3d": ((2,), (torch.rand(1, 1, 2, 2, 2), torch.arange(8).reshape(1, 1, 2, 2, 2) * 8)),
    "AdaptiveLogSoftmaxWithLoss": ((6, 5, [2]), (_ROW, torch.tensor([0, 1, 2, 3]))),
}  # fmt: skip


def module_samples(info: Any, training: bool, count: int) -> list[Any]:
    if info is None:
        return []
    every = list(info.module_inputs_func(
        info, device="cpu", dtype=torch.float32, requires_grad=False, training=training
    ))  # fmt: skip
    return every[:: max(1, len(every) // count)]


def compared_modules(samples: int) -> dict[str, Found]:
    """What was seen of each module, in both modes."""
    results = {f"nn.{name}": Found() for name in catalog.module_names()}
    known = {info.name.rpartition(".")[2]: info for info in databases()[1]}
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        for name in catalog.module_names():
            operator = catalog.find_module(name)
            assert operator is not None
            for training in (False, True):
                calls = (
                    [((*MODULES[name][0],), {}, MODULES[name][1], {})] if name in MODULES else []
                )
                for sample in module_samples(known.get(name), training, samples):
                    new, call = sample.constructor_input, sample.forward_input
                    new.kwargs.pop("device", None)
                    if call is not None:
                        calls.append((new.args, new.kwargs, call.args, call.kwargs))
                for each in calls:
                    compare_module(operator.target, training, each, results[f"nn.{name}"])
    return results


def compare_module(cls: Any, training: bool, call: Any, found: Found) -> None:
    new, named, args, kwargs = call
    try:
        key = (cls, repr(as_fact(tuple(new))), repr([(k, as_fact(v)) for k, v in named.items()]))
        types_ = tuple(map(as_fact, args)), tuple((k, as_fact(v)) for k, v in kwargs.items())
        if "TensorType" in repr(key):
            return  # a spec gives no tensors to a constructor
    except NotForSpecs:
        return
    with torch.device("meta"):
        module = cls(*new, **named)
    compare(
        found, lambda: meta_eval.run_module(module, key, training, *types_),
        lambda: cls(*new, **named).train(training)(*map(to_plain, args), **kwargs),
        f"({described(as_fact(tuple(new)))}, {named}), called with {described(types_)}",
    )  # fmt: skip


# Python's own operators


def as_index(value: Any) -> Any:
    return slice(value.start, value.stop, value.step) if isinstance(value, Slice) else value


INDICES = (
    0, -1, Slice(1, None, None), Slice(None, None, 2), Slice(None, -1, None), None, Ellipsis,
    (Slice(None, None, None), 1), (Ellipsis, None), (0, 1), (Ellipsis, Slice(0, 0, None)), (None, 2, None),
)  # fmt: skip


def test_pythons_operators_on_tensors() -> None:
    tensors = [torch.rand(3, 4), torch.rand(4), torch.rand(()), torch.rand(2, 1, 4), torch.rand(4, 3).T,
               torch.ones(3, 4, dtype=torch.int64), torch.ones(3, 4, dtype=torch.bool)]  # fmt: skip
    others = [*tensors, 2, 0.5, True]
    differ = {}
    for symbol, function in BINARY.items():
        found = Found()
        for one, other in itertools.product(tensors, others):
            types_ = (as_fact(one), as_fact(other))
            ask, run = (
                partial(meta_eval.run, symbol, function, types_),
                partial(function, one, other),
            )
            compare(found, ask, run, described(types_))
        assert found.compared > 3, symbol
        differ |= {(symbol, kind): example for kind, example in found.differs.items()}
    for index in INDICES:
        found = Found()
        key = tuple(map(as_index, index)) if isinstance(index, tuple) else as_index(index)
        for one in tensors:
            ask = partial(meta_eval.run, "[]", lambda x, k: x[k], (as_fact(one), index))
            compare(found, ask, partial(one.__getitem__, key), described(as_fact(one)))
        assert found.compared > 0, index
        differ |= {(str(key), kind): example for kind, example in found.differs.items()}
    # The CPU has no bits of floats, and takes no bool from them. Floor division keeps turned
    # dimensions on `meta` only. The backward pass of `x ** mask` subtracts from the mask: refused.
    bits = {(symbol, "accepted") for symbol in "&|^-"}
    assert differ.keys() <= {*bits, ("//", "stride"), ("**", "refused")}, differ
    with pytest.raises(RuntimeError, match="Subtraction"):
        (tensors[0].requires_grad_() ** tensors[-1]).sum().backward()


# The law


def differing(found: Mapping[str, Found]) -> dict[str, set[str]]:
    """The kinds of difference, and the names of the operators that have each."""
    return {kind: {name for name, one in found.items() if kind in one.differs} for kind in EXPECTED}


def test_few_samples_of_operators_and_modules() -> None:
    found = compared_operators(FEW) | compared_modules(FEW)
    for kind, names in differing(found).items():
        assert {n: found[n].differs[kind] for n in names if n not in EXPECTED[kind]} == {}
    assert {name for name, one in found.items() if not one.compared} <= NOT_COMPARED.keys()


@pytest.mark.hunt
def test_many_samples_of_operators_and_modules() -> None:
    functions, modules = compared_operators(MANY), compared_modules(MANY)
    found = functions | modules
    assert differing(found) == {kind: set(names) for kind, names in EXPECTED.items()}
    assert {name for name, one in found.items() if not one.compared} == set(NOT_COMPARED)
    assert DOCUMENT.read_text(encoding="utf-8") == report(functions, modules)


def report(functions: Mapping[str, Found], modules: Mapping[str, Found]) -> str:
    """docs/operators.md"""
    found = {**functions, **modules}
    counts = {
        what: (sum(bool(one.compared) for one in those.values()), sum(one.compared for one in those.values()))
        for what, those in (("functions and methods", functions), ("modules", modules))
    }  # fmt: skip
    lines = [
        "# Operators: facts on `meta` beside facts at run time", "",
        "netspec asks the real operator, on the `meta` device, what it makes of given inputs. This page lists",
        f"where that is not what it makes of them on the CPU (torch {torch.__version__.split('+')[0]}): shapes, dtypes and strides,",
        "over the samples that torch's own tests have. `python -m tests.ops.test_facts_law` writes it, and a",
        "slow test compares it. Operators that overwrite their input are not among them.", "",
    ]  # fmt: skip
    for what, (names, calls) in counts.items():
        lines.append(f"- {what}: {names} compared, in {calls:,} calls")
    for kind, title in TITLES.items():
        names = sum(kind in one.differs for one in found.values())
        lines.append(f"- {title}: {names}")
    lines.append(f"- not compared: {len(NOT_COMPARED)}")
    for kind, title in TITLES.items():
        lines += ["", f"## {title[0].upper()}{title[1:]}", ""]
        lines += grouped(EXPECTED[kind]) or ["None."]
    lines += ["", "## Not compared", "", *grouped(NOT_COMPARED)]
    return "\n".join(lines) + "\n"


def grouped(names: Mapping[str, str]) -> list[str]:
    """A line for each reason, with the operators that it holds for."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in names.items():
        by_reason.setdefault(reason, []).append(f"`{name}`")
    return [f"- {', '.join(sorted(those))}: {reason}" for reason, those in by_reason.items()]


TITLES = {
    "shape": "another shape is told", "dtype": "another dtype is told",
    "refused": "refused when the spec is checked, where torch takes it",
    "accepted": "accepted when the spec is checked, where torch refuses it",
    "stride": "other strides are told",
}  # fmt: skip


def named(reason: str, *names: str) -> dict[str, str]:
    """`=name` is both the function of torch and the method."""
    pairs = [(f"torch.{n[1:]}", f"Tensor.{n[1:]}") if n[0] == "=" else (n,) for n in names]
    return {name: reason for pair in pairs for name in pair}


_DATA = "the shape depends on the values of the input, so there is none to tell"
EXPECTED: Mapping[str, Mapping[str, str]] = {
    "shape": named(
        "with `minlength`, which is as long as the values that it is asked with happen to need",
        "=bincount",
    ),
    "dtype": {},
    "refused": {
        **named(
            _DATA, "=argwhere", "=bincount", "=masked_select", "=nonzero", "F.one_hot", "torch.unique",
            "=unique_consecutive",
        ),
        **named("with a tensor of counts or places, " + _DATA, "=repeat_interleave", "=tensor_split"),
        **named("with padding masks, its fast path on `meta` stops at nested tensors", "nn.Transformer"),
        **named("`meta` is stricter about strides than the CPU", "torch.view_copy"),
        **named("`meta` takes bfloat16 only, as CUDA does", "F.grouped_mm"),
    },
    "accepted": {},
    "stride": {
        **named(
            "of an input whose dimensions are turned, `meta` keeps the turn where the CPU does not, or the other "
            "way round (matters to a later `view` only)",
            "F.batch_norm", "F.binary_cross_entropy", "=copysign", "=div", "=divide", "=floor_divide", "=xlogy",
        ),
        **named("the result is laid out in the other order", "=nonzero_static"),
        **named("of an empty matrix", "=svd"),
    },
}  # fmt: skip
NOT_COMPARED: Mapping[str, str] = {
    **named(
        "of sparse tensors, which no spec can make",
        "Tensor.ccol_indices", "Tensor.coalesce", "Tensor.col_indices", "torch.col_indices_copy",
        "Tensor.crow_indices", "torch.crow_indices_copy", "torch.hspmm", "Tensor.indices", "torch.indices_copy",
        "Tensor.row_indices", "=smm", "Tensor.sparse_mask", "=sspaddmm", "Tensor.to_sparse", "Tensor.values", "torch.values_copy",
    ),
    **named(
        "of complex tensors, of which torch's samples are not used",
        "torch.imag", "=istft", "torch.view_as_complex_copy", "torch.view_as_real", "torch.view_as_real_copy",
    ),
    **named(
        "of quantized tensors", "Tensor.int_repr", "Tensor.q_per_channel_scales",
        "Tensor.q_per_channel_zero_points", "torch.quantize_per_channel", "torch.quantize_per_tensor",
        "torch.quantize_per_tensor_dynamic",
    ),
    **named("not on the CPU", "F.scaled_grouped_mm", "F.scaled_mm"),
    **named("takes modules, which no spec can give", "nn.TransformerDecoder", "nn.TransformerEncoder"),
}  # fmt: skip


if __name__ == "__main__":
    torch.set_num_threads(1)
    all_functions, all_modules = compared_operators(MANY), compared_modules(MANY)
    DOCUMENT.write_text(report(all_functions, all_modules), encoding="utf-8")
    for name, one in (all_functions | all_modules).items():
        for kind, example in one.differs.items():
            print(f"{kind:9}{name} {example[:150]}")
        if not one.compared:
            print(f"{'nothing':9}{name}")
