"""What single networks of `configs/model` are there to show."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import netspec
from tests.compare import compare
from tests.twins.containers import PlainListNet
from tests.twins.registry import floats, tokens

SPECS = Path(__file__).parents[1] / "configs" / "model"
FORMS = pytest.mark.parametrize("form", ["module", "functional"])


def build(spec: str, **how: object) -> nn.Module:
    return netspec.build(SPECS / f"{spec}.yaml", **{"seed": 0, **how})


@FORMS
def test_lenet_lists_its_parameters_as_torch_does(form: str) -> None:
    model = build("lenet", act=form)
    assert [(name, tuple(p.shape)) for name, p in model.named_parameters()] == [
        ("conv1.weight", (6, 1, 5, 5)),
        ("conv1.bias", (6,)),
        ("conv2.weight", (16, 6, 5, 5)),
        ("conv2.bias", (16,)),
        ("fc1.weight", (120, 256)),
        ("fc1.bias", (120,)),
        ("fc2.weight", (84, 120)),
        ("fc2.bias", (84,)),
        ("fc3.weight", (10, 84)),
        ("fc3.bias", (10,)),
    ]


def test_lenet_may_have_a_relu_after_its_last_layer() -> None:
    x = floats(5, 1, 28, 28)
    plain, with_relu = build("lenet")(x), build("lenet", args={"last_relu": True})(x)
    assert (plain < 0).any()
    assert torch.equal(with_relu, plain.relu())


def test_alexnet_stem_is_the_same_with_relu_as_a_module_and_as_a_function() -> None:
    module, function = build("alexnet_stem_module"), build("alexnet_stem_function")
    assert isinstance(module.get_submodule("relu"), nn.ReLU)
    assert not any(isinstance(child, nn.ReLU) for child in function.modules())
    assert compare(module, function, [floats(4, 3, 32, 32)]) == []


def test_children_of_a_numbered_container() -> None:
    model = build("three_numbered")
    assert [name for name, _ in model.named_children()] == ["0", "1", "2"]
    assert isinstance(model, nn.Sequential)
    assert [type(child) for child in model] == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU]
    assert model[0] is model.get_submodule("0") and model[-1] is model.get_submodule("2")
    assert list(model.state_dict())[:3] == ["0.weight", "0.bias", "1.weight"]


def test_children_of_a_named_container() -> None:
    model = build("three_named")
    assert [name for name, _ in model.named_children()] == ["conv", "bn", "act"]
    assert isinstance(model, nn.Sequential)
    assert model[0] is model.conv and model[1] is model.bn and model[2] is model.act
    assert list(model.state_dict())[:3] == ["conv.weight", "conv.bias", "bn.weight"]


def test_children_of_nested_containers() -> None:
    model = build("three_nested")
    conv = model.stem[0].conv
    assert isinstance(conv, nn.Conv2d)
    assert conv is model[0][0][0] and conv is model.get_submodule("stem.0.conv")
    assert list(model.state_dict())[:3] == [
        "stem.0.conv.weight",
        "stem.0.conv.bias",
        "stem.0.bn.weight",
    ]


@pytest.mark.parametrize("spec", ["three_numbered", "three_named", "three_nested"])
def test_children_keep_their_keys_where_relu_is_a_function(spec: str) -> None:
    module, function = build(spec), build(spec, act="functional")
    assert list(function.state_dict()) == list(module.state_dict())
    for key in module.state_dict():
        parent = key.rpartition(".")[0]
        assert type(function.get_submodule(parent)) is type(module.get_submodule(parent))


def test_a_plain_list_loses_what_lists_of_torch_register() -> None:
    plain = PlainListNet()
    assert list(plain.parameters()) == [] and list(plain.state_dict()) == []

    linears = build("module_list")
    assert isinstance(linears.linears, nn.ModuleList) and len(linears.linears) == 10
    assert len(list(linears.parameters())) == 20
    params = build("parameter_list")
    assert [name for name, _ in params.named_parameters()] == [f"params.{i}" for i in range(10)]


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_linear_net_is_as_deep_as_its_arg_says(depth: int) -> None:
    model = build("linear_net", args={"depth": depth})
    sizes = [(linear.in_features, linear.out_features) for linear in model.linears]
    assert sizes == list(zip([5, *[3] * (depth - 1)], [*[3] * (depth - 1), 2], strict=True))
    assert model(floats(4, 5)).shape == (4, 2)


def test_functional_conv_equals_the_module_version() -> None:
    functional, module = build("functional_conv"), build("functional_conv_twin", seed=1)
    assert list(functional.state_dict()) == list(module.state_dict())
    module.load_state_dict(functional.state_dict())
    x = floats(4, 3, 8, 8)
    for model in (functional, module):
        model.train()
        model(x).square().sum().backward()
    for ours, theirs in zip(functional.parameters(), module.parameters(), strict=True):
        assert torch.equal(ours.grad, theirs.grad)
    ours, theirs = functional.state_dict(), module.state_dict()
    counter = "bn.num_batches_tracked"  # which the module counts and the function does not
    assert all(torch.equal(ours[key], theirs[key]) for key in ours if key != counter)
    assert torch.equal(functional.eval()(x), module.eval()(x))


def test_functional_conv_is_saved_and_loaded(tmp_path: Path) -> None:
    x = floats(4, 3, 8, 8)
    model = build("functional_conv")
    model(x)  # in train mode: moves the running statistics
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    other = build("functional_conv", seed=1)
    assert not torch.equal(other.eval()(x), model.eval()(x))
    other.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    assert torch.equal(other(x), model(x))


@FORMS
def test_relu_experiment_has_the_gradient_of_autograd_and_of_paper(form: str) -> None:
    model, x = build("relu_experiment", act=form), floats(1, 7)
    model(x).backward()

    W = model.W.detach().clone().requires_grad_()
    mid = x @ W
    mid.relu().sum().backward()
    assert torch.equal(model.W.grad, W.grad)
    assert (mid > 0).any() and torch.equal(W.grad, x.T * (mid > 0))
    tapped = build("relu_experiment", act=form, outputs=["mid"])
    assert torch.equal(tapped(x)["mid"], mid)


def test_siamese_pair_shares_one_encoder() -> None:
    model = build("siamese")
    assert {key.split(".")[0] for key in model.state_dict()} == {"encoder"}
    a, b = floats(4, 1, 28, 28), floats(4, 1, 28, 28, seed=1)
    codes = model.encoder(a), model.encoder(b)
    assert torch.equal(model(a, b), nn.functional.pairwise_distance(*codes))
    assert torch.allclose(model(a, b), model(b, a))


@pytest.mark.parametrize(
    ("spec", "embedding"), [("tied", "embedding"), ("gpt", "wte")], ids=["tied", "gpt"]
)
def test_tied_weights_are_one_parameter(spec: str, embedding: str) -> None:
    model = build(spec)
    assert model.head.weight is model.get_submodule(embedding).weight
    assert {"head.weight", f"{embedding}.weight"} <= set(model.state_dict())
    assert "head.weight" not in dict(model.named_parameters())


@FORMS
@pytest.mark.parametrize("spec", ["sdpa_block", "encoder_block"])
def test_dropout_in_attention_is_on_in_training_only(spec: str, form: str) -> None:
    model, x = build(spec, act=form), floats(2, 10, 32)
    model.train()
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))


@pytest.mark.parametrize("spec", ["sdpa_block", "gpt"])
def test_causal_attention_sees_nothing_of_what_follows(spec: str) -> None:
    model = build(spec).eval()
    x = tokens(1, 12, vocab=65) if spec == "gpt" else floats(1, 12, 32)
    assert torch.allclose(model(x)[:, :8], model(x[:, :8]), atol=1e-5)
    assert not torch.allclose(model(x.flip(1)).flip(1), model(x), atol=1e-5)


@FORMS
def test_outputs_differ_by_mode(form: str) -> None:
    model, x = build("train_outputs", act=form), floats(4, 3, 32, 32)
    trained = model.train()(x)
    assert list(trained) == ["logits", "aux"]
    assert trained["aux"].shape == (4, 10)
    calls = []
    model.aux.register_forward_hook(lambda *_: calls.append("aux"))
    assert model.eval()(x).shape == (4, 10) and calls == []
    model.train()(x)
    assert calls == ["aux"]


def test_two_heads_give_a_dict_and_the_tagger_a_tuple() -> None:
    heads = build("two_heads")(floats(4, 1, 28, 28))
    assert {key: tuple(value.shape) for key, value in heads.items()} == {
        "digit": (4, 10),
        "slant": (4,),
    }
    scores, last = build("lstm_tagger")(tokens(4, 9, vocab=50))
    assert scores.shape == (4, 9, 7) and last.shape == (2, 4, 12)


def test_constants_and_temporary_buffers_stay_out_of_the_state_dict() -> None:
    assert "degrees" not in build("two_heads").state_dict()
    assert "mask" not in build("sdpa_block").state_dict()
    assert torch.equal(build("sdpa_block").mask, torch.ones(128, 128).tril().bool())


def test_a_spec_as_a_part_is_that_spec_frozen() -> None:
    model, x = build("part"), floats(4, 1, 28, 28)
    trainable = [name for name, p in model.named_parameters() if p.requires_grad]
    assert trainable == ["head.weight", "head.bias"]
    lenet = build("lenet")
    lenet.load_state_dict(model.lenet.state_dict())
    assert torch.equal(model(x)["digits"], lenet(x))
    assert model(x)["features"].shape == (4, 84)


@pytest.mark.parametrize("size", [(32, 48), (64, 64)])
def test_unet_takes_images_of_any_size(size: tuple[int, int]) -> None:
    assert build("unet")(floats(2, 3, *size)).shape == (2, 2, *size)
