"""Cases from outside that are about torch: devices, dtypes, kernels, modes, what is overwritten."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import netspec
from netspec import SpecError
from netspec.cli import main

CASES = Path(__file__).parents[1] / "cases" / "outside"

REFUSED = {
    "a_bernoulli_p3": ("NS301", "bernoulli_ expects p to be in [0, 1], but got p=3"),
    "a_bitwise_and_float_method": ("NS301", "`bitwise_and` in `a` is not made for float32"),
    "a_convT2d_unbatched": ("NS301", "`a` takes [N, C, H, W], and `x` has 3 dimensions: [3, 8, 8]"),
    "a_kernel_0": ("NS301", "`a` refuses `kernel_size: 0`"),
    "a_searchsorted_side": ("NS301", "side can only be 'left' or 'right' but got none"),
    "a_softmax_dim1_scalar": ("NS301", "`a` asks for dimension 1, and `x` has 0 dimensions, []"),
    "a_train_bn_one_value": ("NS301", "Expected more than 1 value per channel when training"),
    "a_train_dropout_int": ("NS301", "`a` refuses `p: 0.5`"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_torch_would_refuse_is_refused_with_a_place(name: str) -> None:
    code, words = REFUSED[name]
    found = netspec.check(CASES / f"{name}.yaml")
    assert [one.code for one in found] == [code] and words in found[0].fact
    assert found[0].span.line


def test_a_written_tensor_is_where_the_input_is() -> None:
    model = netspec.build(CASES / "07_tensor_on_cpu.yaml", device="meta")
    assert model(torch.empty(2, 4, device="meta")).device.type == "meta"
    assert "device=x.device" in netspec.to_python(CASES / "07_tensor_on_cpu.yaml")


def test_what_works_in_eval_mode_alone_says_so() -> None:
    (found,) = netspec.check(CASES / "a_train_bn_one_value.yaml")
    assert "it works in eval mode" in found.notes


def spec(layers: str, inputs: str = "x: [N, 8]") -> str:
    return f"netspec: 1\nname: Net\ninputs: {{{inputs}}}\nlayers:\n{layers}"


@pytest.mark.parametrize(
    ("inputs", "layer"),
    [
        ("x: {shape: [N, 8], dtype: int64}", "{call: dropout, p: 0.5}"),
        ("x: {shape: [N, 8], dtype: int64}", "{call: alpha_dropout, p: 0.5}"),
        ("x: [1, 8]", "{call: batch_norm, running_mean: null, running_var: null}"),
        ("x: [1, 8, 1, 1]", "BatchNorm2d"),
        ("x: [1, 8, 1]", "{module: BatchNorm1d, affine: false}"),
        ("x: {shape: [N, 8], dtype: complex64}", "{module: RReLU}"),
    ],
)
def test_train_mode_is_asked_of_what_has_a_mode(inputs: str, layer: str) -> None:
    with pytest.raises(SpecError):
        netspec.build(netspec.loads(spec(f"  a: {layer}\n", inputs)))


@pytest.mark.parametrize(
    "layer",
    [
        "{call: addr, from: [x, y, x]}",
        "{call: select_scatter, from: [m, y], dim: 0, index: 1}",
        '"=y ** (x > 0)"',
    ],
)
def test_a_backward_pass_is_asked_where_whole_numbers_are_no_indexes(layer: str) -> None:
    inputs = "x: {shape: [4], dtype: int32}, y: [4], m: {shape: [2, 4], dtype: int64}"
    with pytest.raises(SpecError, match="NS301"):
        netspec.build(netspec.loads(spec(f"  a: {layer}\n  b: =a * y\n  c: =x + m\n", inputs)))


@pytest.mark.parametrize(
    "layer",
    [
        "{call: gather, from: [m, x], dim: 1}",
        "{call: index_select, from: [m, x], dim: 1}",
        "{call: embedding, from: [x, m]}",
        '"=m ** 2 * x"',
        '"=where(x > 0, y, 0.0)"',
    ],
)
def test_and_not_where_they_are(layer: str) -> None:
    inputs = "x: {shape: [2, 4], dtype: int64}, y: [4], m: [2, 4]"
    if "index_select" in layer or "embedding" in layer:
        inputs = inputs.replace("x: {shape: [2, 4]", "x: {shape: [2]")
    text = spec(f"  a: {layer}\n  b: =(y * 1)\n  c: =x * 1\n  d: =m * 1\n", inputs)
    netspec.build(netspec.loads(text + "outputs: [a, b, c, d]\n"))


def test_a_free_batch_is_no_batch_of_one() -> None:
    netspec.build(netspec.loads(spec("  a: BatchNorm1d\n")))
    netspec.build(netspec.loads(spec("  a: BatchNorm2d\n", "x: [N, 8, 1, 1]")))


@pytest.mark.parametrize(
    ("inputs", "layer"),
    [
        ("x: [N, 3, 512, 512]", "{module: Conv2d, out_channels: 512, kernel_size: 0}"),
        (
            "x: [N, 3, 99, 99]",
            "{module: ConvTranspose2d, out_channels: 4, kernel_size: 2, output_padding: 1}",
        ),
        ("x: [4096, 4096]", "=x.bitwise_or(x)"),
        ("x: [4096, 4096]", "=x & 1"),
        ("x: [4096, 4096]", "=x << x"),
        ("x: [4096, 4096]", "{call: bernoulli, p: -1}"),
        ("x: [4096, 4096]", "{call: searchsorted, side: middle, from: [x, x]}"),
        ("x: {shape: [4096, 4096], dtype: int64}", "{call: rand_like}"),
        ("x: {shape: [4096, 4096], dtype: int64}", "{call: softmax, dim: 1}"),
        ("x: []", "{call: log_softmax, dim: 1}"),
        ("x: []", "{call: softmin, dim: -2}"),
    ],
)  # fmt: skip
def test_a_kernel_is_asked_whatever_the_sizes_are(inputs: str, layer: str) -> None:
    layer = f"'{layer}'" if layer[0] == "=" else layer
    with pytest.raises(SpecError):
        netspec.build(netspec.loads(spec(f"  a: {layer}\n", inputs)))


@pytest.mark.parametrize(
    ("inputs", "value"),
    [
        ("x: [N, 1536]", "=x.split([512, 512, 512], 1)[2]"),
        ("x: [N, 1536]", "=split(x, (512, 512, 512), dim=-1)[2]"),
        ("x: [N, 1305, 36]", "=x.view(x.shape[0], 1305, 3, 12).permute(2, 0, 1, 3).unbind(0)[1]"),
        ("x: [3, 5000]", "=x.unbind()[1]"),
        ("x: [3, 5000]", "=x.chunk(2000, 0)[1]"),
        ("x: [5000, 4]", "=x.split(5)[1]"),
    ],
)
def test_outputs_are_counted_where_they_are_made(inputs: str, value: str) -> None:
    model = netspec.build(netspec.loads(spec(f"  a: '{value}'\n", inputs)))
    assert model is not None


@pytest.mark.parametrize(
    ("value", "count"),
    [("unbind(1)", "5,000"), ("split(4, dim=1)", "1,250"), ("tensor_split(4000, 1)", "4,000")],
)
def test_too_many_outputs_are_counted_too(value: str, count: str) -> None:
    (found,) = netspec.check(netspec.loads(spec(f"  a: '=x.{value}[0]'\n", "x: [3, 5000, 2]")))
    assert found.code == "NS217" and f"gives {count} outputs" in found.fact


@pytest.mark.parametrize("sides", [1, 2, 3])
@pytest.mark.parametrize(
    "layer",
    [
        "{module: ConvDd, out_channels: 3, kernel_size: 1}",
        "{module: ConvTransposeDd, out_channels: 3, kernel_size: 1}",
        "{module: InstanceNormDd, affine: true}",
    ],
)
def test_the_channels_of_one_example_are_its_first_dimension(sides: int, layer: str) -> None:
    layer = layer.replace("Dd", f"{sides}d")
    sizes = ", ".join(["4", *("6", "7", "9")[:sides]])
    model = netspec.build(
        netspec.loads(spec(f"  one: '=x[0]'\n  a: {layer}\n", f"x: [2, {sizes}]"))
    )
    assert "4" in repr(model.a) and model(torch.zeros(eval_sizes(sizes))).shape[1:] is not None
    (found,) = netspec.check(netspec.loads(spec(f"  a: {layer}\n", f"x: [{sizes}]")))
    assert (
        found.code == "NS301"
        and found.help == f"an input has a batch dimension first: `[N, {sizes}]`"
    )


def eval_sizes(sizes: str) -> list[int]:
    return [2, *map(int, sizes.split(", "))]


# What is overwritten, by torch's own count

_STATISTICS = "{call: batch_norm, running_mean: =m, running_var: =v, from: x}"


def codes(text: str) -> list[str]:
    return [one.code for one in netspec.check(netspec.loads(text))]


@pytest.mark.parametrize("name", ["a_caller_batch_norm_stats", "a_inplace_conj_physical_input"])
def test_what_the_caller_gave_stays_as_it_was(name: str) -> None:
    found = netspec.check(CASES / f"{name}.yaml")
    assert found and {one.code for one in found} == {"NS402"} and found[0].span.line


@pytest.mark.parametrize(
    ("layer", "inputs"),
    [
        (_STATISTICS, "x: [N, 8], m: [8], v: [8]"),
        ("{call: instance_norm, running_mean: =m, running_var: =v, from: x}",
         "x: [N, 8, 4], m: [8], v: [8]"),
        ("'=embedding(x, m, max_norm=1.0)'", "x: {shape: [N], dtype: int64}, m: [5, 3]"),
        ("'=embedding(x, weight=m, max_norm=1.0)'",
         "x: {shape: [4096, 512], dtype: int64}, m: [5000, 300]"),
        ("{call: embedding_bag, weight: =m, max_norm: 1.0, from: x}",
         "x: {shape: [N, 2], dtype: int64}, m: [5, 3]"),
    ],
)  # fmt: skip
def test_every_argument_that_is_written_counts(layer: str, inputs: str) -> None:
    assert set(codes(spec(f"  a: {layer}\n", inputs))) == {"NS402"}
    x, _, rest = inputs.partition(", m: ")
    own = f"  m: {{param: {rest.partition(', v')[0]}, init: ones_}}\n"
    own += "  v: {param: [8], init: ones_}\n" if "=v" in layer else ""
    assert set(codes(spec(f"{own}  a: {layer}\n", x))) == {"NS401"}
    assert codes(spec(f"{own}  a: {layer}\n".replace("param", "buffer"), x)) == []


def test_a_value_that_is_written_and_read_later() -> None:
    own = "  m: =x.mean(0).detach()\n  v: =x.var(0).detach()\n"
    assert codes(spec(f"{own}  a: {_STATISTICS}\n")) == []
    assert codes(spec(f"{own}  a: {_STATISTICS}\noutputs: [a, m]\n")) == ["NS404"]
    assert codes(spec(f"{own}  a: {_STATISTICS}\n  z: =a + v\n")) == ["NS404"]


def test_statistics_that_are_only_read_may_be_the_callers() -> None:
    layer = _STATISTICS.replace("from", "training: false, from")
    assert codes(spec(f"  a: {layer}\n", "x: [N, 8], m: [8], v: [8]")) == []


def test_what_writes_the_same_bytes_is_counted_by_torch_all_the_same() -> None:
    linear = "  fc: {module: Linear, out_features: 8}\n"
    assert codes(spec(f"{linear}  a: {{call: conj_physical_}}\n")) == []
    assert codes(spec(f"{linear}  s: sigmoid\n  a: {{call: conj_physical_}}\n")) == ["NS403"]
    assert codes(spec("  a: =x.add_(0)\n")) == ["NS402"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("{call: relu_}", "=a.add_(1)"),
        ("{call: sigmoid_}", "{call: mul_, other: 2}"),
        ("{module: ReLU, inplace: true}", "{call: tanh_}"),
        ("{call: exp_}", "{module: Dropout, inplace: true}"),
    ],
)
def test_what_a_call_in_place_keeps_of_its_result_is_not_overwritten(
    first: str, second: str
) -> None:
    layers = f"  fc: {{module: Linear, out_features: 8}}\n  a: {first}\n  b: {second}\n"
    assert codes(spec(layers)) == ["NS403"]


@pytest.mark.parametrize("acts", [("relu", "relu", "sigmoid"), ("sigmoid", "relu"), ("tanh",) * 3])
def test_activations_in_place_do_not_overwrite_what_the_one_before_keeps(
    acts: tuple[str, ...],
) -> None:
    layers = "".join(f"  a{i}: {{act: {act}}}\n" for i, act in enumerate(acts))
    text = spec(f"  fc: {{module: Linear, out_features: 8}}\n{layers}")
    grads = []
    for form in ("module", "inplace"):
        model = netspec.build(netspec.loads(text), act=form, seed=0)
        model(torch.ones(3, 8)).sum().backward()
        grads.append(model.fc.weight.grad)
    assert torch.equal(*grads)


# Another dtype than the spec's


def test_what_does_not_run_in_a_dtype_is_told_with_a_place() -> None:
    case = CASES / "07b_zeros_stay_float32.yaml"
    assert netspec.check(case) == ()
    (found,) = netspec.check(case, dtype="bfloat16")
    assert found.code == "NS301" and found.fact.startswith("`conv` does not run in bfloat16")
    assert found.span.line and found.help is not None and "dtype=x.dtype" in found.help
    with pytest.raises(SpecError, match="does not run in bfloat16"):
        netspec.build(case, dtype="bfloat16")


@pytest.mark.parametrize(
    ("value", "fits"),
    [
        ("=fc @ eye(8)", False),
        ("=fc @ eye(8, dtype=x.dtype)", True),
        ("=linear(fc, ones(3, 8))", False),
        ("=linear(fc, ones(3, 8).to(fc))", True),
        ("=fc * tensor([2.0])", True),
    ],
)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_a_dtype_fits_or_not(value: str, fits: bool, dtype: torch.dtype) -> None:
    text = spec(f"  fc: {{module: Linear, out_features: 8}}\n  o: '{value}'\n")
    assert (netspec.check(netspec.loads(text), dtype=dtype) == ()) is fits
    model = netspec.build(netspec.loads(text)).to(dtype)
    if fits:
        model(torch.ones(2, 8, dtype=dtype))
    else:
        with pytest.raises(RuntimeError):
            model(torch.ones(2, 8, dtype=dtype))


# What has no derivative


def test_what_has_no_derivative_is_told_once_as_a_note(capsys: pytest.CaptureFixture[str]) -> None:
    case = str(CASES / "a_backward_floor_divide.yaml")
    for command in ("check", "show"):
        assert main([command, case]) == 0
        told = capsys.readouterr().out
        note = "note: `b` (a_backward_floor_divide.yaml:6) has no derivative"
        assert told.count(note) == 1


@pytest.mark.parametrize("value", ["=x // 2", "=fc.argmax(1)", "=fc.floor()", "=fc.sign()"])
def test_what_has_one_or_needs_none_gets_no_note(
    value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "net.yaml"
    linear = "  fc: {module: Linear, out_features: 8}\n"
    file.write_text(spec(f"{linear}  o: '{value}'\noutputs: [o, fc]\n"))
    assert main(["check", str(file)]) == 0
    assert "note" not in capsys.readouterr().out


def test_a_dtype_that_few_kernels_know_is_checked() -> None:
    text = (
        "netspec: 1\ninputs: {x: [], z: {shape: [], dtype: int64}}\n"
        'layers:\n  a: {call: add, other: "=chalf(z)"}\n'
    )
    assert isinstance(netspec.check(netspec.loads(text)), tuple)
