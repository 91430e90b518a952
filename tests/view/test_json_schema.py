"""The JSON Schema of the language: it takes what netspec takes, and sees the mistakes that it can.

`netspec.check` is the measure of both: over the specs of this repository, over the wrong ones in
tests/cases/errors, and over random ones.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch

from netspec.errors import SpecError
from netspec.language.expressions import is_expression
from netspec.ops import catalog
from netspec.ops.arguments import ArgumentType, Kind, Misfit, Parameter, Runtime, coerce
from netspec.ops.catalog import Operator
from netspec.ops.signatures import forward_signature_of, signatures_of
from netspec.source import read_source, read_text
from netspec.view.json_schema import language_schema
from netspec.view.json_schema.types import Types, base_definitions
from scripts._fuzz_law import slowness
from tests.laws.search import Search, law, over
from tests.laws.strategies import Case, specs
from tests.test_cases import options_of
from tests.test_docs import BLOCKS

ROOT = Path(__file__).parents[2]
GOOD = [
    *sorted((ROOT / "configs" / "model").rglob("*.yaml")),
    *sorted((ROOT / "tests" / "cases" / "ok").rglob("*.yaml")),
]
GOOD_BLOCKS = [block for block in BLOCKS if block.role == "spec" and "error" not in block.words]
ERRORS = sorted((ROOT / "tests" / "cases" / "errors").glob("*.yaml"))

# Mistakes of keys, names and arguments that a schema does not see, by the reason.
NOT_SEEN: Mapping[str, set[str]] = {
    "an expression is a text": {
        "NS203_argument_in_expression", "NS203_of_a_block_in_an_expression", "NS203_of_a_method",
        "NS204_in_an_expression", "NS205_in_an_expression", "NS205_param_of_integers",
        "NS206_attribute", "NS206_function_in_expression", "NS206_function_that_is_not_for_specs",
        "NS205_name_is_a_number", "NS206_name_by_expression", "NS205_default_is_no_tensor",
        "NS205_text_from_an_arg_of_a_block",
    },
    "the order of keys, what stands beside one, and what a key's own text says": {
        "NS205_input_after_one_with_a_default", "NS205_init_of_rows_by_steps",
        "NS205_when_of_an_output", "NS206_init_of_no_layer",
    },
    "another part of the file, or another file, says what there is": {
        "NS203_act_fn", "NS203_block_argument", "NS203_of_a_part", "NS206_block",
        "NS206_block_in_a_block", "NS206_part", "NS206_variant_of_no_spec",
    },
    "only the module knows: what divides what, which parameters it has": {
        "NS205_groups_of_a_convolution", "NS205_heads_of_attention",
        "NS205_module_refuses_its_arguments", "NS206_init_of_no_parameter",
        "NS204_module_with_one_of_two",
    },
    "only torch knows, when it is tried: ranges, and names that are plain strings": {
        "NS205_choice_that_torch_tells", "NS205_dropout_of_attention", "NS205_out_of_range",
    },
    "a rule for each pair of an argument and `args` would be needed": {"NS205_given_twice"},
    "what a condition of `where` says": {
        "NS205_where_and_example", "NS205_where_compares_nothing", "NS205_where_fits_nothing",
        "NS205_where_of_fractions", "NS205_where_of_no_size",
    },
}  # fmt: skip
# Mistakes of other kinds that it sees: names of layers, `repeat`, modifiers, the version.
ALSO_SEEN = {
    "NS208_and_other_mistakes", "NS210_characters", "NS210_input", "NS210_member",
    "NS210_members_of_a_module", "NS214_negative", "NS214_neither", "NS216_version",
    "NS216_version_in_quotes", "NS218_modifier_without_meaning",
    "NS502_param_without_values", "NS212_five_mistakes_b", "NS219_and_other_mistakes",
    "NS219_required_and_not_enabled", "NS301_size_and_names",
}  # fmt: skip
UNREADABLE = "NS10"  # what is no YAML, or no mapping: the language server's own errors

HEAD = "netspec: 1\ninputs: {x: [N, 4]}\n"


@cache
def validator() -> jsonschema.Draft7Validator:
    return jsonschema.Draft7Validator(language_schema())


def errors_in(value: object) -> list[str]:
    """All that the schema has against a value, each with its path."""
    return [
        f"{'.'.join(map(str, error.absolute_path))}: {error.message[-100:]}"
        for error in validator().iter_errors(value)
    ]


def test_it_is_a_schema_of_draft_7() -> None:
    jsonschema.Draft7Validator.check_schema(language_schema())
    assert language_schema()["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert torch.__version__ in str(language_schema()["title"])


@pytest.mark.parametrize("file", GOOD, ids=lambda file: file.stem)
def test_good_specs_are_taken(file: Path) -> None:
    assert errors_in(read_source(file).value) == []


@pytest.mark.parametrize("block", GOOD_BLOCKS, ids=lambda block: f"{block.file}:{block.line}")
def test_specs_of_the_pages_are_taken(block: Any) -> None:
    assert errors_in(read_text(block.text).value) == []


@law(60, 600)
def test_random_specs_are_taken(examples: Search) -> None:
    def check(case: Case) -> None:
        assert errors_in(case.document) == []

    over(examples, specs(), check)


# Mistakes


def test_the_mistakes_that_are_seen() -> None:
    seen, unseen = set(), set()
    for case in ERRORS:
        if "overrides" in options_of(case):  # the file is right
            continue
        try:
            value = read_source(case).value
        except SpecError:
            assert case.stem.startswith(UNREADABLE), f"{case.stem} cannot be read"
            continue
        (seen if errors_in(value) else unseen).add(case.stem)
    structural = {name for name in seen | unseen if "NS201" <= name[:5] <= "NS206"}
    assert structural - seen == set().union(*NOT_SEEN.values())
    assert seen - structural == ALSO_SEEN


PLACES = {
    "NS201_unknown_key_of_container": {"layers.trunk"},
    "NS202_layer_is_a_list": {"layers.fc"},
    "NS202_no_kind": {"layers.fc", "layers.bn"},
    "NS203_argument_of_with": {"layers.attn.with"},
    "NS203_module_argument": {"layers.conv1"},
    "NS203_several_mistakes": {
        "layers.conv", "layers.pool", "layers.flat.call", "layers.last.module",
    },
    "NS204_call_argument": {"layers.pool"},
    "NS205_argument_type": {"layers.conv1.kernel_size"},
    "NS206_function_as_module": {"layers.a.module", "layers.b.call", "layers.c.act"},
    "NS206_module": {"layers.conv1.module", "layers.pool1"},
    "NS218_modifier_without_meaning": {
        "layers.fc", "layers.r.init", "layers.s.freeze", "layers.t.tie", "layers.v.declare",
    },
}  # fmt: skip


@pytest.mark.parametrize("name", PLACES)
def test_errors_stand_where_the_mistake_is(name: str) -> None:
    value = read_source(ROOT / "tests" / "cases" / "errors" / f"{name}.yaml").value
    assert {error.partition(":")[0] for error in errors_in(value)} == PLACES[name]


LAYERS_TAKEN = (
    "BatchNorm1d", "relu", "=x + 1", "{act: relu}", "{module: Linear, out_features: =3 * 2}",
    "{module: Linear, args: {out_features: 3}}", "{call: masked_fill, mask: =m, args: {value: 0}}",
    "{call: add, from: [x, y]}", "{call: max_pool2d, from: [x, =2]}", "{call: dropout}",
    "{module: Conv2d, out_channels: 3, kernel_size: [3, =k], padding: same, padding_mode: =mode}",
    "{module: ReLU, repeat: {over: [1, [2, =k]], as: w}}", "{repeat: 0, call: relu}",
    "{block: B, planes: [1, 2], any: =x}", "{spec: lenet, num_classes: 3}",
    "{use: fc, with: {a: 1}}",
    "{layers: [relu, {as: inline, layers: {forward: relu}}]}", "{const: [1, =k]}",
    "{param: [4, =k], init: {normal_: {std: 0.1}}}", "{buffer: =arange(3), persistent: false}",
    "{call: relu, from: null, doc: null, args: {}}", "{call: softmax, dtype: float32}",
    "{module: PReLU, args: {init: 0.1}, init: {weight: {constant_: {val: 1}}}}",
)  # fmt: skip
LAYERS_REFUSED = (
    "batchnorm", "Conv2d", "max_pool2d", "==x", "3", "null", "{}", "{modul: ReLU}", "{act: ReLU}",
    "{module: Linear, out_features: 1.5}", "{module: Linear, args: {out_feature: 3}}",
    "{module: Linear, out_features: true}", "{module: Linear, out_features: ==3}",
    "{call: masked_fill, mask: =m}", "{call: add}", "{call: max_pool2d, from: x}",
    "{module: Conv2d, out_channels: 3, kernel_size: [3, 3, 3]}", "{act: relu, negative_slope: 1}",
    "{module: Conv2d, out_channels: 3, kernel_size: 3, padding_mode: zero}",
    "{module: ReLU, repeat: {as: w}}", "{module: ReLU, repeat: 1.5}", "{module: ReLU, pin: true}",
    "{module: ReLU, when: null}",
    "{layers: {}}", "{layers: []}", "{layers: {forward: relu}}", "{layers: {a.b: relu}}",
    "{const: {a: 1}}", "{param: [4]}", "{param: [4], init: zeros}", "{value: x}",
    "{param: [4], init: {zeros_: null, ones_: null}}", "{param: [4], init: {normal_: {sdt: 1}}}",
    "{call: relu, freeze: true}", "{call: softmax, dtype: float33}", "{module: ReLU, as: list}",
    "{call: relu, keep: yes}", "{param: [4], init: ones_, repeat: 2}",
)  # fmt: skip


@pytest.mark.parametrize("layer", LAYERS_TAKEN)
def test_layers_that_are_taken(layer: str) -> None:
    assert errors_in(read_text(f"{HEAD}layers:\n  a: {quoted(layer)}\n").value) == []


@pytest.mark.parametrize("layer", LAYERS_REFUSED)
def test_layers_that_are_refused(layer: str) -> None:
    assert errors_in(read_text(f"{HEAD}layers:\n  a: {quoted(layer)}\n").value) != []


def quoted(layer: str) -> str:
    """`=x.shape[0]` inside of braces is fine for YAML, a comma in it is not."""
    return layer if layer[0] in "{[" else f'"{layer}"' if layer[0] == "=" else layer


# Every operator of the catalog


def operators() -> Iterator[tuple[str, str, Operator]]:
    for name in catalog.module_names():
        yield "module", name, catalog.find_module(name)  # type: ignore[misc]
    for name in catalog.function_names():
        yield "call", name, catalog.find_function(name)  # type: ignore[misc]
    for name in catalog.activation_names():
        yield "act", name, catalog.module_of_activation(name)  # type: ignore[misc]


def test_each_operator_takes_its_arguments_and_no_other() -> None:
    wrong = []
    for kind, name, operator in operators():
        given = {p.name: "=given" for s in signatures_of(operator) for p in s.parameters}
        if errors_of(kind, name, {"args": given}):
            wrong.append(f"{kind}: {name} refuses its own arguments")
        if not errors_of(kind, name, {"args": {**given, "no_such": 1}}):
            wrong.append(f"{kind}: {name} takes an argument that it does not have")
        if not errors_of(kind, name, {"args": given, "no_such": 1}):
            wrong.append(f"{kind}: {name} takes a key that it does not have")
    assert wrong == []


WITHOUT_A_WORD = [  # of torch's on them
    ("module", "CrossMapLRN2d"), ("module", "NLLLoss2d"),
    *(
        ("call", name)
        for name in (
            "arctan2", "ccol_indices", "clamp_max", "clamp_max_", "clamp_min", "clamp_min_",
            "igammac_", "nextafter_", "row_indices", "split_with_sizes",
            "unsafe_split_with_sizes",
        )
    ),
]  # fmt: skip


@cache
def schemas_by_name() -> dict[tuple[str, str], Any]:
    """What `then` says where the kind is given this name."""
    definitions: Any = language_schema()["definitions"]
    return {
        (kind, each["if"]["properties"][kind]["const"]): each["then"]
        for kind in ("module", "call", "act")
        for name, schema in definitions.items()
        if name.startswith(f"{kind}s.")
        for each in schema["allOf"]
    }


def errors_of(kind: str, name: str, layer: Mapping[str, object]) -> list[str]:
    """What the schema of this one operator has against a layer; the whole would ask all names."""
    schema = validator().evolve(schema=schemas_by_name()[kind, name])
    return [error.message for error in schema.iter_errors({kind: name, **layer})]


def test_each_operator_is_described() -> None:
    definitions: Any = language_schema()["definitions"]
    shown = {
        (kind, each["label"]): each["markdownDescription"]
        for kind, names in (("module", "module"), ("call", "function"), ("act", "activation"))
        for each in definitions[names]["defaultSnippets"]
    }
    assert shown.keys() == schemas_by_name().keys() == {(kind, n) for kind, n, _ in operators()}
    assert [key for key, text in shown.items() if "\n\n" not in text] == WITHOUT_A_WORD
    assert shown["call", "max_pool2d"] == (
        "`max_pool2d(input, kernel_size, stride=null, padding=0, dilation=1, ceil_mode=false,"
        " return_indices=false)`\n\nApplies a 2D max pooling over an input signal composed of"
        " several input planes."
    )


VALUES = (
    None, True, False, 0, 1, -3, 1.5, "a", "zeros", "tanh", "relu", "float32", "==x", "=x", "",
    [], [1], [1, 2], [1, 2, 3], [1.5, 2.5], [None, 1], ["=x", 1], ["a"], [True, True], [[1], [2]],
    [1, 2, 3, 4], ["==x", 1], ["=x", "=y"], {}, {"a": 1},
)  # fmt: skip


def every_type() -> set[ArgumentType]:
    parameters = [
        p for _, _, each in operators() for s in signatures_of(each) for p in s.parameters
    ]
    for name in catalog.module_names():
        cls: Any = catalog.find_module(name).target  # type: ignore[union-attr]
        parameters += forward_signature_of(cls).parameters
    return {parameter.accepts for parameter in parameters}


def test_a_type_takes_what_the_checker_takes() -> None:
    """`coerce` has the last word on every plain value; an expression may be anything."""
    differ = []
    for accepts in every_type():
        types = Types()
        schema = types.of(Parameter("p", accepts))
        definitions = {**base_definitions(), **types.definitions}
        check = jsonschema.Draft7Validator({"allOf": [schema], "definitions": definitions})
        differ += [
            (accepts, value) for value in VALUES if check.is_valid(value) != fits(accepts, value)
        ]
    assert differ == []


GIVEN = (1, 1.5, None, "a", *Runtime)  # what an expression in a list may give


def fits(accepts: ArgumentType, value: object) -> bool:
    """Whether the checker would take a value of a spec, where expressions give what is wanted."""
    if is_expression(value):
        return True
    if isinstance(value, dict):
        return False
    if accepts is Kind.ANYTHING:
        return True
    if isinstance(value, list) and any(map(is_expression, value)):
        return any(fits(accepts, with_expressions_as(item, value)) for item in GIVEN)
    return not isinstance(coerce(Parameter("p", accepts), value), Misfit)


def with_expressions_as(item: object, values: list[object]) -> list[object]:
    return [item if is_expression(value) else value for value in values]


def test_null_is_taken_where_it_is_the_default() -> None:
    wrong = []
    for kind, name, operator in operators():
        every = [p for s in signatures_of(operator) for p in s.parameters if not p.required]
        given = {p.name: None for p in every if p.default is None}
        if errors_of(kind, name, {"args": given}):
            wrong.append(name)
    assert wrong == []


# As a file


def test_it_is_made_quickly_and_is_no_large_file() -> None:
    start = time.process_time()
    text = json.dumps(language_schema(), indent=2)
    assert time.process_time() - start < 5 * slowness()
    assert len(text.encode()) < 1_500_000


def test_it_is_the_same_in_every_process() -> None:
    code = (
        "import json; from netspec.view.json_schema import language_schema\n"
        "print(json.dumps(language_schema()))"
    )
    texts = [
        subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    ]  # fmt: skip
    assert texts[0] == texts[1]
    assert json.loads(texts[0]) == language_schema()
