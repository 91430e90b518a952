"""Random calls of single operators, and what comes of each: refused, right, or a finding.

An operator of the catalog, a class or an activation; arguments of the kinds that its signature
names, some of them odd; inputs of random ranks, sizes and dtypes. What is accepted has to run,
forward and backward, in both modes and all forms, with the same bits.

`python -m tests.laws.sweep SEED COUNT` runs many; `python -m tests.laws.sweep SEED COUNT NUMBER`
shows one again.
"""

from __future__ import annotations

import random
import re
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import torch
import yaml

import netspec
from netspec.compiled import Compiled
from netspec.ops import catalog
from netspec.ops.arguments import (
    ArgumentType,
    Choices,
    Either,
    Kind,
    Parameter,
    SequenceOf,
    Signature,
    TupleOf,
)
from netspec.ops.signatures import forward_signature_of, signatures_of
from netspec.pipeline import compile_spec
from netspec.proof.compare import Result, first_difference, run_once
from netspec.proof.verify import moved_state
from netspec.request import FORMS

_INTS = (0, 1, 1, 2, 2, 2, 3, 3, 4, 5, -1, -1, -2)
_FLOATS = (0.0, 0.5, 0.5, 1.0, 1.0, -1.0, 3.0, 1e-5, 2)
_SIZES = ("N", 1, 2, 2, 3, 4, 4, 8, 8)
_DTYPES = (
    *("float32",) * 14, "float64", "float16", "bfloat16", "int64", "int64", "int32", "bool",
    "complex64", "uint8",
)  # fmt: skip
_NO_DERIVATIVE = re.compile(  # of an input; where a parameter needs it, a note tells it
    "derivative for .* is not implemented|not differentiable with respect to"
    "|not support automatic differentiation"
)
_OF_VALUES = re.compile(
    "bool tensor is not supported|result type .* can't be cast|between 0 and 1|p_in|non-negative|negative entry|positive-definite|singular"
)
_NO_KERNEL = re.compile("not implemented for '(Half|BFloat16|ComplexHalf)'")  # on the CPU
_WORDS = ("mean", "sum", "none", "reflect", "zeros", "relu", "left", "right", "ij", "bilinear",
          "same", "valid", "fro", "floor", "trunc", "reduced", "nearest")  # fmt: skip
_CAST = ("float16", "float64", "bfloat16", "int64", "bool")
_FILLS: tuple[Callable[[torch.Size], torch.Tensor], ...] = (
    torch.randn, torch.rand, torch.zeros, torch.ones,
)  # fmt: skip


class Draw:
    """One text, drawn from a seed and a number."""

    def __init__(self, seed: int, number: int) -> None:
        self.random = random.Random(f"{seed} {number}")
        self.inputs: dict[str, Any] = {}
        self.layers: dict[str, Any] = {}

    def text(self) -> str:
        self.inputs["x"] = {"shape": self.shape(), "dtype": self.random.choice(_DTYPES)}
        kind = self.random.choice(("module", "module", "act", "function", "function", "method"))
        names = {
            "module": catalog.module_names, "act": catalog.activation_names,
            "function": catalog.function_names, "method": catalog.method_names,
        }[kind]()  # fmt: skip
        names = tuple(name for name in names if "empty" not in name)  # whose values are any
        self.before()
        getattr(self, kind)(self.random.choice(names))
        spec = {"netspec": 1, "name": "Net", "inputs": self.inputs, "layers": self.layers}
        return yaml.safe_dump(spec, sort_keys=False, default_flow_style=None, width=200)

    def before(self) -> None:
        """What the operator is given: the input itself, a value of the model, or part of one."""
        dtype = self.inputs["x"]["dtype"]
        kind = self.random.choice(("input", "input", "value", "linear", "chain"))
        if kind == "value":
            self.layers["v"] = "=x.clone()"
        elif kind == "chain" and "float" in dtype:
            self.layers["v"] = self.random.choice(("relu", "sigmoid", "tanh", "=x * 2", "=x[:]"))
        elif kind == "linear" and dtype == "float32":
            self.layers["v"] = {"module": "Linear", "out_features": self.random.choice((2, 4, 8))}

    def shape(self) -> list[Any]:
        rank = self.random.choice((0, 1, 2, 2, 3, 3, 4, 4, 5))
        shape = [self.random.choice(_SIZES) for _ in range(rank)]
        free = [i for i, size in enumerate(shape) if size == "N"]
        return [3 if i in free[1:] else size for i, size in enumerate(shape)]

    def module(self, name: str) -> None:
        cls = catalog.find_module(name)
        assert cls is not None, "it is listed"
        layer = {"module": name, **self.arguments(signatures_of(cls)[0].parameters)}
        takes = [p for p in forward_signature_of(cls.target).parameters if p.required]
        if len(takes) > 1:
            layer["from"] = [self.tensor() for _ in takes]
        self.layers["o"] = layer

    def act(self, name: str) -> None:
        module = catalog.module_of_activation(name)
        assert module is not None, "it is listed"
        self.layers["o"] = {"act": name, **self.arguments(signatures_of(module)[0].parameters)}

    def function(self, name: str) -> None:
        operator = catalog.find_function(name)
        assert operator is not None, "it is listed"
        self.layers["o"] = {"call": name, **self.call(signatures_of(operator), operator.home)}

    def method(self, name: str) -> None:
        operator = catalog.find_method(name)
        assert operator is not None, "it is listed"
        self.layers["o"] = {"call": name, **self.call(signatures_of(operator), "Tensor")}

    def call(self, signatures: tuple[Signature, ...], home: str) -> dict[str, Any]:
        signature = self.random.choice(signatures)
        parameters = list(signature.parameters)
        taken: dict[str, Any] = {}
        tensors: list[Any] = []
        while parameters and _is_tensor(parameters[0]):
            first = parameters.pop(0)
            if not first.required and self.random.random() < 0.5:
                break
            if isinstance(first.accepts, SequenceOf):
                tensors += [self.tensor() for _ in range(self.random.choice((1, 2, 3)))]
            else:
                tensors.append(self.tensor())
        if len(tensors) > 1:
            taken["from"] = tensors
        return {**taken, **self.arguments(parameters)}

    def tensor(self) -> str:
        """Another input, or the same value."""
        own = "v" if "v" in self.layers else "x"
        roll = self.random.random()
        if roll < 0.45:
            return own
        name = f"y{len(self.inputs)}"
        same = self.random.random() < 0.6
        shape = self.inputs["x"]["shape"] if same else self.shape()
        dtype = (
            self.inputs["x"]["dtype"] if self.random.random() < 0.6 else self.random.choice(_DTYPES)
        )
        self.inputs[name] = {"shape": list(shape), "dtype": dtype}
        return name

    def arguments(self, parameters: Any) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for parameter in parameters:
            if parameter.required or self.random.random() < 0.25:
                value = self.value(parameter.accepts)
                if value is not _NOTHING:
                    found[parameter.name.rstrip("_")] = value
        return {"args": found} if found else {}

    def value(self, accepts: ArgumentType) -> Any:
        match accepts:
            case Kind.INT:
                return self.random.choice(_INTS)
            case Kind.FLOAT:
                return self.random.choice(_FLOATS)
            case Kind.SCALAR:
                return self.random.choice((*_FLOATS, *_INTS, True))
            case Kind.BOOL:
                return self.random.choice((True, False))
            case Kind.STR:
                return self.random.choice(_WORDS)
            case Kind.TENSOR:
                return f"={self.tensor()}"
            case Kind.DTYPE:
                return f"={self.random.choice(_CAST)}"
            case Choices(options):
                return self.random.choice(options)
            case SequenceOf(item, length):
                count = length if length is not None else self.random.choice((0, 1, 2, 2, 3))
                items = [self.value(item) for _ in range(count)]
                return _NOTHING if _NOTHING in items else items
            case TupleOf(items):
                found = [self.value(item) for item in items]
                return _NOTHING if _NOTHING in found else found
            case Either(options):
                return self.value(self.random.choice(options))
            case _:
                return _NOTHING


_NOTHING: Any = object()


def _is_tensor(parameter: Parameter) -> bool:
    accepts = parameter.accepts
    if isinstance(accepts, SequenceOf):
        return accepts.item is Kind.TENSOR
    return accepts is Kind.TENSOR


def judge(text: str) -> str:
    """`refused`, `right`, or what is wrong: a check that takes long, too; a run may."""
    start = time.process_time()
    try:
        compiled = {form: compile_spec(netspec.loads(text), act=form) for form in FORMS}
    except netspec.SpecError as error:
        odd = [d for d in error.diagnostics if not d.span.line]
        return f"no place: {odd[0].fact}" if odd else "refused"
    except Exception as error:
        return f"raises {type(error).__name__}: {error}"
    finally:
        seconds = time.process_time() - start
    if seconds > 10:  # a machine that is busy takes longer
        return f"is checked in {seconds:.1f} s"
    found = _run_all(compiled)
    return "right" if _NO_DERIVATIVE.search(found) else found


def _run_all(compiled: dict[str, Compiled]) -> str:
    models = {}
    for form, one in compiled.items():
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            models[form] = one.built.make()
    state = moved_state(models["module"], 0)
    program = compiled["module"].program
    sizes = {probe.sizes: index for index, probe in enumerate(program.probes)}
    for index in sizes.values():
        for training in (True, False):
            found = _run_mode(compiled, models, state, index, training)
            if found is not None:
                mode = "train" if training else "eval"
                return f"{mode} at {dict(program.probes[index].sizes)}: {found}"
    return "right"


def _run_mode(
    compiled: dict[str, Compiled], models: dict[str, Any], state: Any, index: int, training: bool
) -> str | None:
    """What is wrong with a mode at a probe's sizes; values of which torch takes none are no fault."""
    refusals = []
    for fill in _FILLS:
        results: dict[str, Result] = {}
        inputs = list(_inputs(compiled["module"], index, fill))
        try:
            for form, model in models.items():
                model.load_state_dict(state)
                results[form] = run_once(model, inputs, training, 0)
        except Exception as error:
            refusals.append(f"{form}: {type(error).__name__}: {str(error).strip()[:160]}")
            if results:
                return f"only {refusals[-1]}"
            if _NO_KERNEL.search(str(error)) or _OF_VALUES.search(str(error)):
                return None
            continue
        for form, result in results.items():
            other = _difference(result, results["module"])
            if other:
                return f"{form}: {other}"
        for form, result in results.items():
            if result.changed:
                return f"{form}: input {result.changed[0]} is changed"
        return None
    return refusals[0]


def _difference(one: Result, other: Result) -> str | None:
    if any(value.dtype is torch.complex32 for value in one.outputs.values()):
        return None  # the CPU compares none
    return (
        first_difference(one.outputs, other.outputs)
        or first_difference(one.gradients, other.gradients)
        or first_difference(one.buffers, other.buffers)
    )


def _inputs(
    compiled: Compiled, index: int, fill: Callable[[Any], torch.Tensor]
) -> Iterator[tuple[str, torch.Tensor]]:
    torch.manual_seed(0)
    for port in compiled.program.inputs:
        fact: Any = port.facts[index]
        values = fill(fact.shape)
        if not (fact.dtype.is_floating_point or fact.dtype.is_complex):
            values = values.abs().clamp(max=1).round()
        yield port.name, values.to(fact.dtype)


def sweep(seed: int, numbers: range, out: Any = None) -> tuple[Counter[str], list[str]]:
    """How many are refused and right, and the findings."""
    counts: Counter[str] = Counter()
    findings = []
    warnings.simplefilter("ignore")
    for number in numbers:
        text = Draw(seed, number).text()
        found = judge(text)
        counts[found if found in ("refused", "right") else "finding"] += 1
        if found not in ("refused", "right"):
            findings.append(f"seed {seed}, number {number}: {found}\n{text}")
            if out is not None:
                print(findings[-1], file=out, flush=True)
    return counts, findings


def main() -> None:
    seed, count, *one = map(int, sys.argv[1:])
    if one:
        print(Draw(seed, one[0]).text())
        print(judge(Draw(seed, one[0]).text()))
        return
    counts, _ = sweep(seed, range(count), sys.stdout)
    print(dict(counts))


if __name__ == "__main__":
    main()
