"""What docs/language.md states of the language, law by law; `tests/cases` has the sources."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import netspec
from tests.compare import compare

FORMS = pytest.mark.parametrize("form", ["module", "functional"])
HEAD = "netspec: 1\nname: Net\n"


def spec(text: str, inputs: str = "{x: [N, 4]}") -> netspec.Spec:
    """A spec of these lines, with one input if they don't say otherwise."""
    return netspec.loads(f"{HEAD}inputs: {inputs}\n{text}")


def layers(*lines: str, inputs: str = "{x: [N, 4]}") -> netspec.Spec:
    """A spec of these layers."""
    return spec("layers:\n" + "".join(f"  {line}\n" for line in lines), inputs)


def build(source: netspec.Spec, **how: object) -> nn.Module:
    return netspec.build(source, **{"seed": 0, **how})


def keys(source: netspec.Spec, **how: object) -> list[str]:
    return list(build(source, **how).state_dict())


def codes(source: netspec.Spec, **how: object) -> list[str]:
    return [problem.code for problem in netspec.check(source, **how)]


def x(*shape: int) -> Tensor:
    return torch.rand(shape or (2, 4), generator=torch.Generator().manual_seed(1))


LINEAR = "{module: Linear, out_features: 4}"


# Layers and their names


def test_short_forms_mean_the_long_ones() -> None:
    short = layers("bn: BatchNorm1d", "act: relu", "out: =act + x")
    long = layers("bn: {module: BatchNorm1d}", "act: {call: relu}", "out: {value: =act + x}")
    assert netspec.to_python(short) == netspec.to_python(long)


@pytest.mark.parametrize("name", ["forward", "training", "parameters", "half", "__class__"])
def test_a_member_of_module_is_no_name(name: str) -> None:
    assert codes(layers(f"{name}: {LINEAR}")) == ["NS210"]


@pytest.mark.parametrize("name", ["block1-0", "0", "in", "lambda", "self", "append", "__a"])
@FORMS
def test_any_other_name_is_the_key(name: str, form: str) -> None:
    assert keys(layers(f'"{name}": {LINEAR}', "act: {act: relu}"), act=form) == [
        f"{name}.weight",
        f"{name}.bias",
    ]


def test_a_layer_reads_the_one_before() -> None:
    model = build(layers(f"a: {LINEAR}", "w: {param: [4], init: ones_, keep: true}", "b: relu"))
    assert torch.equal(model(x()), model.a(x()).relu())


def test_a_name_means_its_layer_only_after_it() -> None:
    model = build(layers('cat: "=cat([x, x], 1)"', "sum: =sum(cat)"))
    assert torch.equal(model(x()), torch.cat([x(), x()], 1).sum())


def test_an_argument_that_is_called_like_a_key_goes_into_args() -> None:
    model = build(layers('a: {call: masked_fill, mask: "=x > 0.5", args: {value: 9.0}}'))
    assert torch.equal(model(x()), x().masked_fill(x() > 0.5, 9.0))


# Forms


PRELUS = layers("a: {act: prelu}", f"fc: {LINEAR}", "b: {act: prelu}", "c: {act: relu}")


def test_keys_do_not_depend_on_the_form() -> None:
    assert keys(PRELUS, act="functional") == keys(PRELUS, act="module")


def test_forms_are_equal() -> None:
    module, functional = (build(PRELUS, act=form) for form in ("module", "functional"))
    assert compare(module, functional, [x()]) == []


def test_fn_replaces_what_is_not_pinned() -> None:
    source = layers("a: {act: relu}", "b: {act: sigmoid, pin: true}", "c: relu")
    text = netspec.to_python(source, act={"form": "functional", "fn": "gelu"})
    assert [f"F.{name}(x)" in text for name in ("gelu", "sigmoid", "relu")] == [True] * 3
    assert text.count("F.relu") == 1  # the call, not the activation


IN_PLACE = [
    "{module: ReLU, inplace: true}",
    "{call: relu, inplace: true}",
    "{call: relu_}",
    "=_.relu_()",
    "=_.add_(1)",
    "=relu(_, inplace=True)",
]
in_place = pytest.mark.parametrize("layer", IN_PLACE)


@in_place
def test_in_place_is_refused_for_the_input_in_any_spelling(layer: str) -> None:
    assert codes(layers(f"a: {layer}")) == ["NS402"]


@in_place
def test_in_place_is_done_in_any_spelling_where_nobody_needs_the_value(layer: str) -> None:
    source = layers(f"fc: {LINEAR}", f"a: {layer}")
    given: list[torch.Tensor] = []
    model = build(source)
    model.fc.register_forward_hook(lambda _module, _inputs, output: given.append(output))
    output = model(x())
    assert given[0].untyped_storage()._cdata == output.untyped_storage()._cdata


@in_place
def test_in_place_is_refused_in_any_spelling_where_the_value_is_read_again(layer: str) -> None:
    assert codes(layers(f"fc: {LINEAR}", f"a: {layer}", "sum: =fc + a")) == ["NS404"]


def test_an_activation_has_no_argument_inplace() -> None:
    source = layers(f"fc: {LINEAR}", "a: {act: relu, inplace: true}")
    assert codes(source) == ["NS406"]
    assert codes(layers(f"fc: {LINEAR}", "a: {act: relu_}")) == ["NS206"]


def test_the_form_inplace_overwrites_where_it_may() -> None:
    source = layers("a: {act: relu}", f"fc: {LINEAR}", "b: {act: relu}")
    model = build(source, act="inplace")
    assert not model.a.inplace
    assert model.b.inplace


@pytest.mark.parametrize("relu", ["{act: relu}", "{module: ReLU, inplace: true}"])
def test_the_form_inplace_leaves_what_a_block_is_given(relu: str) -> None:
    """An explicit one is done: nobody reads the value again."""
    source = spec(
        f"blocks: {{B: {{layers: {{a: {relu}, b: {LINEAR}}}}}}}\n"
        f"layers: {{fc: {LINEAR}, inner: {{block: B}}}}"
    )
    assert build(source, act="inplace").inner.a.inplace == ("inplace" in relu)


def test_the_form_inplace_leaves_what_an_output_shows() -> None:
    source = layers(f"fc: {LINEAR}", "a: {act: relu}")
    assert build(source, act="inplace").a.inplace
    assert not build(source, act="inplace", outputs=["fc"]).a.inplace


# The mode


def test_training_is_bound_to_the_mode() -> None:
    model = build(layers("a: {call: dropout, p: 1.0}"))
    assert not model(x()).any()
    assert torch.equal(model.eval()(x()), x())


def test_a_constant_dropout_p_is_bound_to_the_mode() -> None:
    call = "{call: scaled_dot_product_attention, from: [x, x, x], dropout_p: 0.9}"
    model = build(layers(f"a: {call}", inputs="{x: [N, T, 4]}")).eval()
    plain = nn.functional.scaled_dot_product_attention
    assert torch.equal(model(x(2, 5, 4)), plain(x(2, 5, 4), x(2, 5, 4), x(2, 5, 4)))


def test_a_layer_of_one_mode_is_there_in_both() -> None:
    model = build(layers(f"a: {{when: =training, {LINEAR[1:]}"))
    assert list(model.state_dict()) == ["a.weight", "a.bias"]
    assert torch.equal(model.eval()(x()), x())


# Containers and numbers


NUMBERED = layers("trunk:", "  layers:", f"    - {LINEAR}", "    - {act: relu}", f"    - {LINEAR}")


@FORMS
def test_a_function_takes_its_place_in_the_numbering(form: str) -> None:
    model = build(NUMBERED, act=form)
    assert isinstance(model.get_submodule("trunk.2"), nn.Linear)
    assert keys(NUMBERED, act=form)[-1] == "trunk.2.bias"


def test_a_false_when_takes_no_number() -> None:
    source = layers(f"- {LINEAR}", "- {when: false, module: Dropout}", f"- {LINEAR}")
    assert keys(source) == ["0.weight", "0.bias", "1.weight", "1.bias"]


def test_a_chain_of_modules_is_a_sequential() -> None:
    named = layers("g:", "  layers:", f"    a: {LINEAR}", "    b: {module: ReLU}")
    numbered = layers("g:", "  layers:", f"    - {LINEAR}", "    - {module: ReLU}")
    for source in (named, numbered):
        assert type(build(source).g) is nn.Sequential
    assert type(build(NUMBERED, act="functional").trunk) is not nn.Sequential


def test_as_graph_makes_a_class() -> None:
    source = layers("g:", "  as: graph", "  layers:", f"    a: {LINEAR}")
    assert type(build(source).g).__name__ == "G"


def test_as_list_is_registered_and_not_called() -> None:
    source = layers(f"fcs: {{as: list, repeat: 2, {LINEAR[1:]}", 'out: "=fcs[1](fcs[0](x))"')
    model = build(source)
    assert isinstance(model.fcs, nn.ModuleList) and len(model.fcs) == 2
    with pytest.raises(NotImplementedError):
        model.fcs(x())
    assert codes(layers(f"fcs: {{as: list, repeat: 2, {LINEAR[1:]}", "out: =fcs(x)")) == ["NS207"]


IN_GROUPS = (
    "f:",
    "  layers:",
    "    - {module: Linear, out_features: 5}",
    "    - {module: Linear, out_features: 9, when: false}",
    "    - as: inline",
    "      repeat: {over: [6, 7]}",
    "      layers:",
    "        - {module: Linear, out_features: =w}",
    "        - {as: inline, repeat: 2, layers: [{layers: {sum: =_ + 1, act: {act: relu}}}]}",
    "    - {module: Linear, out_features: 8}",
)


@FORMS
@pytest.mark.parametrize("number", range(8))
def test_a_path_into_a_numbered_container_follows_its_modules(number: int, form: str) -> None:
    model = build(layers(*IN_GROUPS), act=form, outputs=[f"f.{number}"])
    kept: dict[str, Tensor] = {}
    plain = build(layers(*IN_GROUPS))
    plain.f[number].register_forward_hook(lambda *call: kept.update(value=call[2]))
    plain(x())
    assert torch.equal(model(x())[f"f.{number}"], kept["value"])


def test_a_path_goes_on_into_an_inline_module() -> None:
    model = build(layers(*IN_GROUPS), outputs=["f.5.sum"])
    before = build(layers(*IN_GROUPS), outputs=["f.4"])
    assert torch.equal(model(x())["f.5.sum"], before(x())["f.4"] + 1)


def test_no_number_is_that_of_an_inline_group_or_of_what_does_not_exist() -> None:
    with pytest.raises(netspec.SpecError):
        build(layers(*IN_GROUPS), outputs=["f.8"])


def test_inline_copies_keep_their_names_or_none_do() -> None:
    named = ("g:", "  as: inline", "  repeat: {}", "  layers:", f"    fc: {LINEAR}")
    assert codes(layers(*[line.replace("{}", "2") for line in named])) == ["NS210"]
    assert keys(layers(*[line.replace("{}", "1") for line in named])) == ["fc.weight", "fc.bias"]


def test_a_list_of_parameters_is_a_parameter_list() -> None:
    model = build(
        layers("ws: {as: list, repeat: 2, param: [4], init: ones_}", 'y: "=x * ws[0] * ws[1]"')
    )
    assert isinstance(model.ws, nn.ParameterList) and len(list(model.parameters())) == 2


def test_inline_layers_stand_in_the_container_around() -> None:
    source = layers(f"- {LINEAR}", "- as: inline", "  layers:", f"    - {LINEAR}", f"- {LINEAR}")
    assert [name for name, _ in build(source).named_children()] == ["0", "1", "2"]


# Repeat


@FORMS
def test_repeat_is_the_layers_written_out(form: str) -> None:
    repeated = layers("g:", "  repeat: 2", "  layers:", f"    fc: {LINEAR}", "    act: {act: relu}")
    container = [f"  {line}" for line in ("layers:", f"  fc: {LINEAR}", "  act: {act: relu}")]
    once = [f"    - {container[0].strip()}", *(f"    {line}" for line in container[1:])]
    written = layers("g:", "  layers:", *once, *once)
    ours, theirs = build(repeated, act=form), build(written, act=form)
    assert compare(ours, theirs, [x()]) == []


def test_zero_copies_are_no_layer() -> None:
    for repeat in ("repeat: 0", "repeat: 2, when: false", "repeat: 2, when: =i > 5"):
        source = layers(f"a: {{{repeat}, {LINEAR[1:]}", "b: relu")
        assert keys(source) == [] and codes(source) == []


def test_copies_with_names() -> None:
    source = layers(f"g: {{repeat: {{n: 2, as: k, name: \"=f'fc{{k + 1}}'\"}}, {LINEAR[1:]}")
    assert keys(source)[::2] == ["g.fc1.weight", "g.fc2.weight"]


def test_an_index_with_another_name_leaves_the_one_around() -> None:
    inner = "inner: {repeat: {n: 2, as: j}, module: Linear, out_features: =10 * i + j + 1}"
    model = build(layers("outer:", "  repeat: 2", "  layers:", f"    {inner}"))
    widths = [m.out_features for m in model.modules() if isinstance(m, nn.Linear)]
    assert widths == [1, 2, 11, 12]
    assert codes(layers(f"a: {{repeat: {{n: 2, as: j}}, when: =i == 0, {LINEAR[1:]}")) == ["NS207"]


def test_over_has_an_index_and_an_item() -> None:
    line = "a: {repeat: {over: [3, 5], as: q}, module: Linear, out_features: =10 * i + q}"
    assert [m.out_features for m in build(layers(line)).a] == [3, 15]


def test_the_first_input_is_carried_the_others_stay() -> None:
    source = layers("g: {repeat: 3, call: sub, from: [x, y]}", inputs="{x: [N, 4], y: [N, 4]}")
    assert torch.equal(build(source)(x(), 2 * x()), x() - 2 * x() - 2 * x() - 2 * x())


# Blocks


def test_a_block_sees_nothing_around_it() -> None:
    source = spec(
        "args: {n: 2}\nblocks:\n  B: {layers: {out: =x * n}}\nlayers: {a: relu, b: {block: B}}"
    )
    assert codes(source) == ["NS207"]


def test_equal_blocks_share_a_class() -> None:
    block = (
        "blocks:\n  B: {args: {w: 4}, layers: {fc: {module: Linear, out_features: =w}, s: =_ * 2}}"
    )
    model = build(
        spec(f"{block}\nlayers: {{a: {{block: B}}, b: {{block: B}}, c: {{block: B, w: 3}}}}")
    )
    assert type(model.a) is type(model.b) is type(model.c)


def test_a_block_may_end_itself_by_when_only() -> None:
    inner = "inner: {block: B, depth: =depth - 1%s}"
    for when, found in ((", when: =depth > 0", []), (", when: =training", ["NS211"])):
        block = f"B: {{args: {{depth: 2}}, layers: {{r: relu, {inner % when}}}}}"
        assert codes(spec(f"blocks: {{{block}}}\nlayers: {{a: {{block: B}}}}")) == found


# Shapes


def test_a_free_size_is_free() -> None:
    model = build(layers('out: "=x.view(x.shape[0], -1, 2)"', inputs="{x: [N, T, 4]}"))
    assert [tuple(model(x(n, t, 4)).shape) for n, t in ((1, 1), (5, 7))] == [(1, 2, 2), (5, 14, 2)]


def test_a_size_left_out_is_the_same_as_given() -> None:
    given = layers("fc: {module: Linear, in_features: 4, out_features: 3}")
    assert netspec.to_python(layers("fc: {module: Linear, out_features: 3}")) == netspec.to_python(
        given
    )


def test_a_size_on_the_side_of_the_input_is_checked() -> None:
    assert codes(layers("fc: {module: Linear, in_features: 5, out_features: 3}")) == ["NS301"]


def test_the_order_of_arguments_in_the_text_does_not_matter() -> None:
    one = layers("c: {module: Conv1d, out_channels: 3, kernel_size: 1}", inputs="{x: [N, 4, 5]}")
    two = layers("c: {kernel_size: 1, out_channels: 3, module: Conv1d}", inputs="{x: [N, 4, 5]}")
    assert netspec.to_python(one) == netspec.to_python(two)


# State


def test_use_shares_the_weights() -> None:
    model = build(layers(f"a: {LINEAR}", "b: {use: a}"))
    assert len(list(model.parameters())) == 2
    assert torch.equal(model(x()), model.a(model.a(x())))


def test_tie_makes_one_parameter_of_two() -> None:
    model = build(
        layers(f"a: {LINEAR}", "b: {module: Linear, out_features: 4, tie: {weight: a.weight}}")
    )
    assert model.b.weight is model.a.weight and model.b.bias is not model.a.bias


def test_freeze_stops_the_gradient_of_the_layer_alone() -> None:
    model = build(layers(f"a: {{freeze: true, {LINEAR[1:]}", f"b: {LINEAR}"))
    assert [p.requires_grad for p in model.parameters()] == [False, False, True, True]


def test_rules_by_class_leave_the_init_of_a_layer_as_it_is() -> None:
    rules = "init: {Linear.weight: zeros_}\n"
    model = build(
        spec(f"{rules}layers: {{a: {{init: {{weight: ones_}}, {LINEAR[1:]}, b: {LINEAR}}}")
    )
    assert model.a.weight.all() and not model.b.weight.any()


def test_what_is_kept_out_of_the_state_dict() -> None:
    kept = "{buffer: [4], init: zeros_}"
    source = layers(
        f"a: {kept}",
        f"b: {{persistent: false, {kept[1:]}",
        "c: {const: =ones(4)}",
        "y: =x + a + b + c",
    )
    assert keys(source) == ["a"]
    assert len(list(build(source).buffers())) == 3


def test_parameters_are_those_of_the_class_written_by_hand() -> None:
    model = build(layers("a: {module: Linear, out_features: 8}", "r: relu", f"b: {LINEAR}"))
    torch.manual_seed(0)
    twin = nn.ModuleDict({"a": nn.Linear(4, 8), "b": nn.Linear(8, 4)})
    assert all(
        torch.equal(p, q) for p, q in zip(model.parameters(), twin.parameters(), strict=True)
    )


def test_what_nothing_reads_is_an_error_unless_kept() -> None:
    unread: Sequence[str] = (LINEAR, "{param: [4], init: ones_}", "{buffer: [4], init: ones_}")
    for layer in unread:
        assert codes(layers(f"a: {layer}", "out: =x * 2")) == ["NS501"]
        assert codes(layers(f"a: {{keep: true, {layer[1:]}", "out: =x * 2")) == []


# Outputs


def test_outputs_asked_of_build_reach_functions_and_inner_layers() -> None:
    block = "blocks: {B: {layers: {fc: {module: Linear, out_features: 4}, s: =fc + x, r: relu}}}\n"
    source = spec(f"{block}layers: {{act: {{act: tanh}}, g: {{block: B, repeat: 2}}}}")
    paths = ["act", "g.1.s"]
    found = build(source, outputs=paths, act="functional")(x())
    assert list(found) == ["output", *paths]
    assert torch.equal(found["act"], x().tanh())
    assert torch.equal(found["output"], found["g.1.s"].relu())
    assert torch.equal(found["output"], build(source)(x()))


def test_asking_for_outputs_leaves_the_keys() -> None:
    source = layers(f"a: {LINEAR}", f"b: {LINEAR}")
    assert keys(source, outputs=["a"]) == keys(source)


# Text


def test_dump_gives_the_same_network() -> None:
    source = layers(f"z: {LINEAR}", "a: {act: relu}", f"m: {LINEAR}", "b: =_ + z")
    again = netspec.loads(netspec.dump(source))
    assert again == source
    assert netspec.to_python(again) == netspec.to_python(source)


def test_the_order_of_layers_is_part_of_a_spec() -> None:
    assert layers("a: relu", "b: tanh") != layers("b: tanh", "a: relu")


def test_yaml_is_read_as_1_2() -> None:
    source = layers("a: {call: dropout, p: 1e-1}", "no: {call: relu}", "on: =no + a")
    assert "p=0.1" in netspec.to_python(source)


def test_overrides_are_the_same_as_a_changed_file() -> None:
    source = layers(f"a: {LINEAR}", "b: relu", f"c: {LINEAR}")
    changed = layers("a: {module: Linear, out_features: 6}", f"c: {LINEAR}")
    text = netspec.to_python(source, overrides=["layers.a.out_features=6", "~layers.b"])
    assert text == netspec.to_python(changed)


def test_a_mapping_is_the_same_as_its_text(tmp_path: Path) -> None:
    mapping = {"netspec": 1, "name": "Net", "inputs": {"x": ["N", 4]}, "layers": {"a": "relu"}}
    (tmp_path / "net.yaml").write_text(
        "netspec: 1\nname: Net\ninputs: {x: [N, 4]}\nlayers: {a: relu}\n"
    )
    texts = [netspec.to_python(source) for source in (mapping, tmp_path / "net.yaml")]
    assert texts[0].splitlines()[1:] == texts[1].splitlines()[1:]


# Building


def test_meta_allocates_nothing() -> None:
    model = build(layers("a: {module: Linear, out_features: 1000000000}"), device="meta")
    assert {p.device.type for p in model.parameters()} == {"meta"}


def test_a_seed_leaves_the_global_random_state() -> None:
    source = layers(f"a: {LINEAR}")
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, two = build(source, seed=3), build(source, seed=3)
    assert torch.equal(one.a.weight, two.a.weight)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_layer_that_fails_shows_its_line(tmp_path: Path) -> None:
    file = tmp_path / "net.yaml"
    file.write_text(f"{HEAD}inputs: {{x: [N, 4]}}\nlayers:\n  a: relu\n  fc: {LINEAR}\n")
    with pytest.raises(RuntimeError) as caught:
        netspec.build(file)(torch.rand(2, 5))
    frames = [(Path(str(e.path)).name, e.lineno + 1) for e in caught.traceback]
    assert ("net.yaml", 6) in frames


def test_a_whole_spec_may_be_included_for_its_blocks(tmp_path: Path) -> None:
    block = "blocks: {B: {layers: {fc: {module: Linear, out_features: 3}}}}\n"
    own = "inputs: {x: [N, 4]}\nlayers: {b: {block: B}}\n"
    (tmp_path / "lib.yaml").write_text(HEAD + block + own)
    (tmp_path / "net.yaml").write_text(f"{HEAD}include: lib.yaml\n{own}")
    texts = [netspec.to_python(tmp_path / name) for name in ("lib.yaml", "net.yaml")]
    assert texts[0].splitlines()[1:] == texts[1].splitlines()[1:]


def test_a_part_can_be_called_again(tmp_path: Path) -> None:
    part = f"{HEAD}inputs: {{x: [N, 4]}}\nlayers: {{fc: {LINEAR}, act: {{act: relu}}}}\n"
    (tmp_path / "part.yaml").write_text(part)
    whole = f"{HEAD}inputs: {{x: [N, 4]}}\nlayers: {{a: {{spec: part}}, b: {{use: a}}}}\n"
    (tmp_path / "net.yaml").write_text(whole)
    model = netspec.build(tmp_path / "net.yaml")
    assert torch.equal(model(x()), model.a(model.a(x())))


def test_anchors_and_aliases_work() -> None:
    model = build(layers(f"a: &fc {LINEAR}", "b: *fc"))
    assert model.a is not model.b and model.b.out_features == 4


def test_a_known_size_holds_without_a_check_in_forward() -> None:
    assert "shape" not in netspec.to_python(layers("out: =x / x.shape[1]"))


def test_a_condition_on_a_free_size_is_refused() -> None:
    assert codes(layers('a: {when: "=x.shape[0] > 2", call: relu}')) == ["NS303"]


@pytest.mark.parametrize(
    "text", ["=x.__class__", "=x.data_ptr()", "=save(x, 'f')", "=open('f')", "=x.numpy()"]
)
def test_an_expression_reaches_nothing_but_what_computes(text: str) -> None:
    source = {"netspec": 1, "inputs": {"x": ["N", 4]}, "layers": {"a": text}}
    assert [problem.code for problem in netspec.check(source)] in (["NS206"], ["NS208"])


# What is known when the model is built


@FORMS
def test_the_dtype_of_a_value_follows_the_model(form: str) -> None:
    block = "blocks: {B: {args: {to: null}, layers: {out: =_.to(to)}}}\n"
    source = spec(
        f"{block}layers:\n"
        f"  fc: {LINEAR}\n"
        "  steps: {const: '=arange(4).to(x.dtype)'}\n"
        "  sum: =fc + arange(4).float().to(fc.dtype) + steps.to(fc.weight.dtype)\n"
        "  b: {block: B, to: =x.dtype}\n"
        "  act: {act: relu}\n"
        "  out: =_ if x.dtype == float32 else -_\n"
    )
    model = build(source, act=form).bfloat16()
    found = model(x().bfloat16())
    assert found.dtype is torch.bfloat16 and bool((found <= 0).all())
    assert bool((build(source, act=form)(x()) >= 0).all())
    assert "float32" not in netspec.to_python(layers("a: =x.long().to(x.dtype)"))


def test_the_dtype_of_integers_is_known() -> None:
    source = layers("a: {act: relu, when: =n.dtype == int64, from: x}", "b: =a + n.to(n.dtype)",
                    inputs="{x: [N, 4], n: {shape: [N, 4], dtype: int64}}")  # fmt: skip
    assert "torch.int64" in netspec.to_python(source)


@pytest.mark.parametrize(
    "when",
    ["training and aux", "aux and training", "training and zero", "not (training or not aux)"],
)
def test_a_known_part_decides_a_condition_wherever_it_stands(when: str) -> None:
    args = "args: {aux: false, zero: 0, unread: '=[aux, zero]'}\n"
    source = spec(f"{args}layers: {{a: relu, b: {{when: '={when}', {LINEAR[1:]}, c: '=_ * 2'}}\n"
                  "outputs: [c, '=unread']")  # fmt: skip
    assert keys(source) == [] and "training" not in netspec.to_python(source)
    chosen = f"a: '=_ * (2 if {when.replace('aux', 'False').replace('zero', '0')} else 3)'"
    assert "training" not in netspec.to_python(layers(chosen))


def test_an_output_that_does_not_exist_is_told() -> None:
    gone = ("a: relu", f"b: {{when: false, {LINEAR[1:]}", "c: =_ * 2")
    written = [f"  {line}\n" for line in gone]
    for outputs, found in (("b", ["NS305"]), ("[c, b]", ["NS305"]), ("[c, =b]", [])):
        assert codes(spec(f"layers:\n{''.join(written)}outputs: {outputs}")) == found
    with pytest.raises(netspec.SpecError, match="NS305"):
        build(layers(*gone), outputs=["b"])
    assert codes(layers(*gone[:2], "d: {call: relu, from: b}")) == []  # its input passes through


def test_inside_of_a_layer_its_name_is_still_the_arg() -> None:
    wide = "fc: {module: Linear, out_features: =mlp}"
    inside = f"{{layers: {{{wide}, out: {LINEAR}}}}}"
    source = spec(f"args: {{mlp: 8}}\nlayers: {{mlp: {inside}, again: =mlp(_)}}")
    assert build(source).mlp.fc.out_features == 8


@pytest.mark.parametrize(
    "reader",
    [
        f"layers: {{a: {{when: false, {LINEAR[1:-1]}, bias: =n}}, b: relu}}",
        "layers: {a: =x if True else n}",
        "layers: {a: \"=x.view(f'{n}')\", b: =x}\noutputs: b",
        "layers: {a: relu}\noutputs: =n",
        f"layers: {{a: {LINEAR}}}\ninit: {{Linear.bias: {{constant_: {{val: =n}}}}}}",
    ],
)
def test_an_arg_is_read_by_whatever_names_it(reader: str) -> None:
    assert "NS501" not in [
        p.code for p in netspec.check(spec(f"args: {{n: 1}}\n{reader}")) if "arg" in p.fact
    ]


def test_an_arg_that_nothing_names_is_told() -> None:
    assert codes(spec("args: {n: 1}\nlayers: {a: relu}")) == ["NS501"]
    block = "blocks: {B: {args: {n: 1}, layers: {a: relu}}}\n"
    assert codes(spec(f"{block}layers: {{a: {{block: B}}}}")) == ["NS501"]
    read = spec("args: {n: 4}\nlayers: {a: {module: Linear, out_features: =n}}")
    assert codes(read, overrides=["layers.a.out_features=5"]) == []


def test_an_arg_that_holds_a_value_is_read_by_its_name() -> None:
    block = "blocks: {B: {args: {n: null}, layers: {a: {call: relu, from: n}, s: =a + x}}}\n"
    assert codes(spec(f"{block}layers: {{a: {{block: B, n: =x * 2}}}}")) == []


def test_a_rule_passes_over_what_has_an_init_nearer_to_it() -> None:
    text = """
        netspec: 1
        inputs: {x: [N, 4]}
        init: {Linear.weight: ones_, Linear.bias: ones_}
        blocks:
          Inner:
            init: {Linear.weight: eye_}
            layers: {a: {module: Linear, out_features: 4}}
        layers:
          plain: {module: Linear, out_features: 4}
          own: {module: Linear, out_features: 4, init: {bias: zeros_}}
          inner: {block: Inner, repeat: 2}
          mixed: {module: TransformerEncoderLayer, nhead: 2, init: {linear1.weight: zeros_}}
          head:
            init: {out.weight: zeros_}
            layers: {act: {act: relu}, out: {module: Linear, out_features: 2}}
    """
    spec = netspec.loads(textwrap.dedent(text))
    model = netspec.build(spec)
    found = {name: set(value.flatten().tolist()) for name, value in model.named_parameters()}
    assert found["plain.weight"] == {1.0} and found["plain.bias"] == {1.0}
    assert found["own.weight"] == {1.0} and found["own.bias"] == {0.0}
    assert found["inner.1.a.weight"] == {0.0, 1.0} and found["inner.1.a.bias"] == {1.0}
    assert found["mixed.linear1.weight"] == {0.0} and found["mixed.linear2.weight"] == {1.0}
    assert found["head.out.weight"] == {0.0} and found["head.out.bias"] == {1.0}
    source = netspec.to_python(spec)
    assert 'name != "own"' in source and "name not in kept" in source


def test_rows_of_a_parameter_of_ones_own_by_path() -> None:
    text = "layers: {p: {param: [3, 4], init: ones_}, y: '=x @ p.T'}\ninit: {'p[1:]': zeros_}"
    source = spec(text)
    for form in ("module", "functional", "inplace"):
        assert build(source, act=form).p.sum(1).tolist() == [4, 0, 0]


def test_one_path_of_outputs_may_stand_alone() -> None:
    source = spec("layers: [{module: Linear, out_features: 3}, {call: relu}]")
    assert list(build(source, outputs="0")(torch.rand(2, 4))) == ["output", "0"]
    assert list(build(source, outputs=[0])(torch.rand(2, 4))) == ["output", "0"]


def test_an_override_may_bring_an_arg_that_it_reads() -> None:
    source = layers("fc: {module: Linear, out_features: 3}")
    new = {"args.width": 5, "layers.fc.out_features": "=width"}
    assert build(source, overrides=new).fc.out_features == 5
    assert codes(source, overrides={"args.width": 5}) == ["NS209"]


def test_an_input_with_a_default_is_there_for_a_layer_that_is_not() -> None:
    inputs = "{x: [N, 4], mask: {shape: [N, 4], default: =ones_like(x)}}"
    text = "args: {masked: false}\nlayers:\n  fc: {module: Linear, out_features: 4, from: x}\n"
    some = spec(f"{text}  out: {{when: =masked, value: =fc * mask}}\n", inputs)
    assert codes(some) == []
    (found,) = netspec.check(spec(text.replace("4, from", "=int(masked), from"), inputs))
    assert (found.code, found.fact) == ("NS501", "nothing reads the input `mask`")


@pytest.mark.parametrize("act", ["module", "functional", "inplace"])
def test_an_input_that_is_left_out_is_its_default(act: str) -> None:
    text = (
        "netspec: 1\ninputs:\n  x: [N, 4]\n  y: {shape: [N, 4], default: =2 * x}\n"
        "layers: {fc: {module: Linear, out_features: 4}, act: {act: relu}, sum: =act + y}\n"
    )
    model = netspec.build(netspec.loads(text), act=act, seed=0)
    x = torch.rand(3, 4)
    assert torch.equal(model(x), model(x, 2 * x)) and torch.equal(model(x), model(x, None))
    assert torch.equal(model(x), model(x, y=torch.zeros(3, 4)) + 2 * x)


# What a false `when` leaves of a container, and what a tuple computes


@pytest.mark.parametrize("bias", [True, False])
def test_an_item_of_a_dict_with_a_false_when_is_null(bias: bool) -> None:
    lines = (
        "state: {as: dict, layers: {w: {param: [4, 4], init: ones_}, "
        "b: {param: [4], init: ones_, when: =bias}}}",
        "out: =linear(x, state.w, state.b)",
    )
    source = netspec.loads(
        f"{HEAD}args: {{bias: {str(bias).lower()}}}\ninputs: {{x: [N, 4]}}\nlayers:\n"
        + "".join(f"  {line}\n" for line in lines)
    )
    x = torch.ones(2, 4)
    assert torch.equal(build(source)(x), torch.full((2, 4), 4.0 + bias))
    assert keys(source) == ["state.w", "state.b"][: 1 + bias]


@pytest.mark.parametrize("two", [True, False])
def test_a_module_of_a_dict_with_a_false_when_is_none(two: bool) -> None:
    source = netspec.loads(
        f"{HEAD}args: {{two: {str(two).lower()}}}\ninputs: {{x: [N, 4]}}\nlayers:\n"
        "  heads: {as: dict, layers: {a: {module: Linear, out_features: 2}, "
        "b: {module: Linear, out_features: 3, when: =two}}}\n"
        "  out: '=heads.a(x) if heads.b is None else heads.a(x).sum() + heads.b(x)'\n"
    )
    assert build(source)(torch.ones(2, 4)).shape == (2, 3 if two else 2)


def test_what_a_tuple_only_calls_is_called() -> None:
    source = layers("bn: {module: BatchNorm1d, declare: true}", "out: '=(bn(x), x)[1]'")
    for form in ("module", "functional"):
        model = build(source, act=form)
        x = torch.ones(2, 4)
        assert torch.equal(model(x), x)
        assert model.get_buffer("bn.num_batches_tracked") == 1
    pure = layers("out: '=(x.sum(), x)[1]'")
    assert "sum" not in netspec.to_python(pure)


@pytest.mark.parametrize(
    "padding", ["[-1, -1, 0, 0]", "[-4, 4, 0, 0]", "[2, 2, 1, 1]", "[-7, 1, 0, 0]"]
)
def test_circular_padding_that_can_be_computed_is_taken(padding: str) -> None:
    source = layers(f"p: {{module: CircularPad2d, padding: {padding}}}", inputs="{x: [N, 3, 8, 8]}")
    build(source)(torch.ones(2, 3, 8, 8))
