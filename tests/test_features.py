"""What torch can do with a hand-written model it can do with a built one, and where it cannot."""

from __future__ import annotations

import copy
import io
import pickle
import shutil
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import netspec
from netspec import caches
from tests.compare import compare_state, flatten
from tests.features import (
    ELSEWHERE,
    FEATURES,
    SEED,
    SPECS,
    Subject,
    attempt,
    built,
    called_paths,
    compile_inductor,
    elsewhere,
    exception,
    hand_written,
    hooks,
    imported,
    replicate,
    run,
    same,
    works_in,
)
from tests.twins.registry import TWINS, Twin, floats

TABLE = (Path(__file__).parents[1] / "docs" / "compatibility.md").read_text(encoding="utf-8")
FORMS = ("module", "functional")


def slow(twin: Twin) -> bool:
    """What resnet18 shows as well takes seconds in resnet50; other args seldom show anything."""
    plain = any(t.spec == twin.spec and not t.args and not t.slow for t in TWINS)
    return twin.slow or twin.spec == "resnet50" or bool(twin.args and plain)


def case(twin: Twin, *more: str) -> object:
    marks = [pytest.mark.slow, pytest.mark.sampled] if slow(twin) else []
    return pytest.param(twin, *more, id="-".join([str(twin), *more]), marks=marks)


each_model = pytest.mark.parametrize(
    ("twin", "form"), [case(twin, form) for twin in TWINS for form in twin.forms]
)
each_twin = pytest.mark.parametrize("twin", [case(twin) for twin in TWINS])


def twin_of(spec: str) -> Twin:
    return next(twin for twin in TWINS if twin.spec == spec)


def agree(twin: Twin, form: str, feature: str, error: str | None, theirs: str | None) -> None:
    """A model can do what its twin can, and the table says the same."""
    assert error is None or theirs is not None, error
    assert works_in(TABLE, twin, form, feature) == (error is None), error or "it works by now"
    assert error is None or exception(twin, form, feature, error, theirs) in TABLE


@each_model
@pytest.mark.parametrize("feature", FEATURES)
def test_feature(feature: str, twin: Twin, form: str, tmp_path: Path) -> None:
    error = attempt(feature, built(twin, form), tmp_path)
    theirs = attempt(feature, hand_written(twin), tmp_path) if error else None
    agree(twin, form, feature, error, theirs)


@each_model
def test_hooks_fire_as_in_the_twin(twin: Twin, form: str) -> None:
    assert works_in(TABLE, twin, form, "hooks")
    hooks(built(twin, form, training=True), hand_written(twin, training=True))


def test_other_hooks_are_noticed() -> None:
    twin = twin_of("lenet")
    other = built(twin_of("part"), "module")
    with pytest.raises(AssertionError):
        hooks(Subject("part", other.make, other.source, twin.inputs), hand_written(twin))


# In train mode, where some networks compute something else


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("spec", ["train_outputs", "encoder_block", "sdpa_block", "gpt"])
@pytest.mark.parametrize("feature", ["compile", "compile around", "export", "fx"])
def test_feature_in_train_mode(feature: str, spec: str, form: str, tmp_path: Path) -> None:
    twin = twin_of(spec)
    error = attempt(feature, built(twin, form, training=True), tmp_path)
    if error is not None:
        assert attempt(feature, hand_written(twin, training=True), tmp_path) is not None, error


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("spec", ["lenet", "train_outputs"])
def test_default_compiler(spec: str, form: str, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compile_inductor(built(twin_of(spec), form), tmp_path)


# Of the language's constructs, what the networks above don't have

CONSTRUCTS = {
    "a loop that carries one value beside another": """
netspec: 1
inputs: {x: [N, 4], c: [N, 4]}
blocks:
  Step: {inputs: [x, c], layers: {fc: {module: Linear, out_features: 4}, sum: =fc + c}}
layers:
  step: {block: Step, repeat: 5, from: [x, c]}
""",
    "names that clash with names of Python": """
netspec: 1
inputs: {x: [N, 4]}
layers:
  block1-0: {module: Linear, out_features: 4}
  "0": {module: Linear, out_features: 4}
  torch: {module: Linear, out_features: 4}
  F: {act: relu}
  nn: {module: Linear, out_features: 4}
""",
    "a mixture of experts, other outputs in training": """
netspec: 1
inputs: {x: [N, 4]}
layers:
  experts: {module: Linear, repeat: 2, as: list, out_features: 4}
  gate: {module: Linear, from: x, out_features: 2}
  share: =gate.softmax(-1)
  mix: "=experts[0](x) * share[:, 0:1] + experts[1](x) * share[:, 1:2]"
outputs: {train: [mix, share], eval: mix}
""",
    "sizes that are known at run time": """
netspec: 1
inputs: {x: {shape: [N, T, 4], example: {T: 5}}}
layers:
  k: {const: =arange(4)}
  fc: {module: Linear, out_features: 4}
  drop: {call: dropout, p: 0.5}
  placed: =drop + arange(x.shape[1]).unsqueeze(-1) * k
  more: {when: =training, module: Linear, out_features: 4}
  mean: =more.mean(1)
""",
}


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("construct", CONSTRUCTS)
def test_constructs(construct: str, form: str, training: bool, tmp_path: Path) -> None:
    spec = netspec.loads(CONSTRUCTS[construct])
    shape = (7, 4) if construct.startswith("sizes") else (4,)
    count = 2 if construct.startswith("a loop") else 1

    def make() -> nn.Module:
        return netspec.build(spec, act=form, seed=SEED).train(training)

    def source(folder: Path) -> nn.Module:
        return imported(netspec.to_python(spec, act=form), "construct", folder).train(training)

    def inputs(n: int) -> tuple[Tensor, ...]:
        return tuple(floats(n, *shape, seed=seed) for seed in range(count))

    same(run(source(tmp_path), inputs(2)), run(make(), inputs(2)))
    model = Subject(construct, make, source, inputs)
    for feature in FEATURES.keys() - {"jit.trace"}:  # its check runs a dropout twice
        assert attempt(feature, model, tmp_path) is None, feature


# In other processes: one for all that are not slow, one for the slow ones

Answers = Mapping[str, Mapping[str, str | None]]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Twin], Answers]:
    found: dict[bool, Answers] = {}

    def of(twin: Twin) -> Answers:
        if slow(twin) not in found:
            folder = tmp_path_factory.mktemp("elsewhere")
            specs = shutil.copytree(SPECS, folder / "specs")
            chosen = [t for t in TWINS if slow(t) == slow(twin)]
            found[slow(twin)] = elsewhere(
                [built(t, form, specs=specs) for t in chosen for form in t.forms], folder, specs
            )
            assert not specs.exists(), "the files of the specs are gone"
        return found[slow(twin)]

    return of


@each_model
@pytest.mark.parametrize("feature", ELSEWHERE)
def test_other_process(
    feature: str, twin: Twin, form: str, answers: Callable[[Twin], Answers]
) -> None:
    agree(twin, form, feature, answers(twin)[f"{twin}-{form}"][feature], None)


@pytest.fixture(scope="module")
def replicas(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[Twin], Mapping[str, str | None]]:
    found: dict[bool, Mapping[str, str | None]] = {}

    def of(twin: Twin) -> Mapping[str, str | None]:
        if slow(twin) not in found:
            chosen = [t for t in TWINS if slow(t) == slow(twin)]
            subjects = [built(t, form) for t in chosen for form in t.forms]
            found[slow(twin)] = replicate(subjects, tmp_path_factory.mktemp("replicas"))
        return found[slow(twin)]

    return of


@each_model
def test_replicas(
    twin: Twin, form: str, replicas: Callable[[Twin], Mapping[str, str | None]], tmp_path: Path
) -> None:
    error = replicas(twin)[f"{twin}-{form}"]
    theirs = replicate([hand_written(twin)], tmp_path)[f"{twin}-twin"] if error else None
    agree(twin, form, "DDP", error, theirs)


# The same names and the same state


@each_model
def test_modules_with_parameters_have_the_twins_names_and_classes(twin: Twin, form: str) -> None:
    model, hand = built(twin, form).make(), hand_written(twin).make()
    assert stateful(model) == stateful(hand)


def stateful(model: nn.Module) -> list[tuple[str, str]]:
    """The paths of the modules that hold a tensor, and their classes where these are torch's."""
    return [
        (path, type(module).__name__ if type(module).__module__.startswith("torch.") else "")
        for path, module in model.named_modules()
        if [*module.parameters(recurse=False), *module.buffers(recurse=False)]
    ]


@each_model
def test_apply_visits_modules_as_in_the_twin(twin: Twin, form: str) -> None:
    model, hand = built(twin, form).make(), hand_written(twin).make()
    common = set(called_paths(copy.deepcopy(model), twin.inputs(2)))
    common &= set(called_paths(copy.deepcopy(hand), twin.inputs(2)))
    assert visited(model, common) == visited(hand, common)


def visited(model: nn.Module, common: set[str]) -> list[str]:
    path_of = {id(module): path for path, module in model.named_modules()}
    seen: list[str] = []
    model.apply(lambda module: seen.append(path_of[id(module)]))
    return [path for path in seen if path in common]


@each_twin
def test_state_goes_from_form_to_form_and_to_the_twin_and_back(twin: Twin) -> None:
    hand, *models = [hand_written(twin).make(), *(built(twin, form).make() for form in twin.forms)]
    for model in (hand, *models):
        for tensor in model.state_dict().values():
            tensor.add_(1)
        for other in (hand, *models):
            other.load_state_dict(copy.deepcopy(model.state_dict()), strict=True)
            assert compare_state(model, other) == []


# What has no twin to be compared with


@pytest.mark.parametrize("form", FORMS)
def test_a_copy_shares_no_memory(form: str) -> None:
    model = built(twin_of("gpt"), form).make()
    copied = copy.deepcopy(model)
    assert copied.head.weight is copied.wte.weight, "tied weights stay tied"
    ours, theirs = (
        {tensor.data_ptr() for tensor in each.state_dict().values()} for each in (model, copied)
    )
    assert not ours & theirs


@pytest.mark.parametrize("form", FORMS)
def test_a_changed_model_is_pickled_as_it_is(form: str) -> None:
    model = netspec.build("resnet18", act=form)
    model.fc = nn.Linear(512, 3, bias=False)
    model.layer1[0].bn2 = nn.Identity()
    model.note = "changed"
    model.layer1.requires_grad_(False)
    model.train()
    model.layer2.eval()
    back = pickle.loads(pickle.dumps(model))
    assert type(back) is type(model) and repr(back) == repr(model)
    assert back.note == "changed"
    for ours, theirs in zip(back.modules(), model.modules(), strict=True):
        assert ours.training == theirs.training
    for ours, theirs in zip(back.parameters(), model.parameters(), strict=True):
        assert torch.equal(ours, theirs) and ours.requires_grad == theirs.requires_grad


@pytest.mark.parametrize(
    ("source", "how"),
    [
        ("lenet", {"overrides": {"layers.conv1.out_channels": 7}}),
        ("lenet", {"overrides": ["layers.fc1.out_features=9"], "args": {"num_classes": 3}}),
        ("lenet", {"act": {"form": "functional", "fn": "gelu"}}),
        ("lenet", {"outputs": ["conv1", "pool1"]}),
        ("resnet18", {"outputs": ["layer4.1.sum"], "act": "functional"}),
        ("part", {"args": {"letters": 3}}),
    ],
)
def test_a_model_remembers_how_it_was_asked_for(source: str, how: dict[str, object]) -> None:
    model = netspec.build(source, seed=0, **how).eval()
    assert_survives(model)


def test_a_model_of_a_text_or_a_mapping_is_pickled_too() -> None:
    linear = {"module": "Linear", "repeat": {"over": "=widths", "as": "w"}, "out_features": "=w"}
    spec = {
        "netspec": 1,
        "args": {"widths": [3, 4], "scale": 0.5},
        "inputs": {"x": ["N", 4]},
        "layers": {"fc": linear, "out": "=fc * scale"},
    }
    assert_survives(netspec.build(spec))
    assert_survives(netspec.build(spec, args={"widths": [2, 2, 5]}))
    text = "netspec: 1\ninputs: {x: [N, 4]}\nlayers:\n  fc: {module: Linear, out_features: 2}\n"
    for end in ("  out: =fc.relu()\n", "  out: =fc.sigmoid()\n"):
        assert_survives(netspec.build(netspec.loads(text + end)))
    changed = netspec.load("lenet")
    assert_survives(netspec.build(changed, overrides={"layers.conv1.out_channels": 5}))


def assert_survives(model: nn.Module) -> None:
    """Through pickle, once while this process knows the program and once where it forgot it."""
    shape = {"LeNet": (2, 1, 28, 28), "PartNet": (2, 1, 28, 28), "ResNet18": (2, 3, 64, 64)}
    x = torch.randn(shape.get(type(model).__name__, (2, 4)))
    expected = [*flatten(model(x))]
    data = pickle.dumps(model)
    for _ in range(2):
        back = pickle.loads(data)
        assert all(map(torch.equal, flatten(back(x)), expected))
        caches.clear()


@pytest.mark.parametrize("values", [(1, True, 1.0), (2.0, 2), (False, 0, 0.0, -0.0)])
def test_equal_args_of_other_types_are_other_models(values: tuple[object, ...]) -> None:
    text = "netspec: 1\nargs: {k: null}\ninputs: {x: [N, 4]}\nlayers:\n  out: =x * k\n"
    spec = netspec.loads(text)
    models = [netspec.build(spec, args={"k": value}) for value in values]
    for model, value in zip(models, values, strict=True):
        for each in (model, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            assert repr(value) in map(repr, type(each).forward.__code__.co_consts)
    netspec.build("lenet", args={"num_classes": 1})
    with pytest.raises(netspec.SpecError, match="an int is expected"):
        netspec.build("lenet", args={"num_classes": 1.0})


def test_copies_keep_their_class_when_the_program_is_no_longer_remembered() -> None:
    model = netspec.build("lenet", device="meta")
    for k in range(40):
        netspec.build("lenet", device="meta", args={"num_classes": 20 + k})
    again = netspec.build("lenet", device="meta")
    for each in (model, again):
        assert type(copy.deepcopy(each)) is type(each)
        assert type(pickle.loads(pickle.dumps(each))) is type(each)


def test_a_saved_state_is_read_with_weights_only() -> None:
    model, file = netspec.build("lenet"), io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    model.load_state_dict(torch.load(file, weights_only=True))
    whole = io.BytesIO()
    torch.save(model, whole)
    whole.seek(0)
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        torch.load(whole, weights_only=True)


@pytest.mark.parametrize("form", FORMS)
def test_two_models_in_one_compiled_function(form: str) -> None:
    """Each has globals of its own, and one may be compiled after the other."""
    torch._dynamo.reset()
    first, second = netspec.build("lenet", act=form), netspec.build("unet", act=form)
    digits, images = torch.randn(2, 1, 28, 28), torch.randn(2, 3, 16, 16)

    def both(digits: Tensor, images: Tensor) -> Tensor:
        return first(digits).sum() + second(images).sum()

    compiled = torch.compile(both, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(digits, images), both(digits, images))


@pytest.mark.parametrize("form", FORMS)
def test_a_model_of_a_text_is_compiled_and_exported(form: str) -> None:
    torch._dynamo.reset()
    text = (SPECS / "lenet.yaml").read_text(encoding="utf-8")
    model, x = netspec.build(netspec.loads(text), act=form), torch.randn(2, 1, 28, 28)
    assert torch.equal(torch.compile(model, fullgraph=True, backend="eager")(x), model(x))
    assert torch.equal(torch.export.export(model, (x,)).module()(x), model(x))


@pytest.mark.parametrize("form", FORMS)
def test_an_exported_program_is_saved_and_loaded(form: str) -> None:
    model, x = netspec.build("residual", act=form).eval(), torch.randn(2, 8, 16, 16)
    file = io.BytesIO()
    torch.export.save(torch.export.export(model, (x,)), file)
    file.seek(0)
    assert torch.equal(torch.export.load(file).module()(x), model(x))


@pytest.mark.parametrize("form", FORMS)
def test_functions_of_parameters(form: str) -> None:
    """torch.func: parameters handed in, per-sample gradients, an ensemble by vmap."""
    model, x = netspec.build("lenet", act=form), torch.randn(3, 1, 28, 28)
    parameters = {name: p.detach() * 2 for name, p in model.named_parameters()}
    call = partial(torch.func.functional_call, model)
    doubled = copy.deepcopy(model)
    doubled.load_state_dict(parameters)
    assert torch.equal(call(parameters, (x,)), doubled(x))

    def loss(parameters: dict[str, Tensor], sample: Tensor) -> Tensor:
        return call(parameters, (sample[None],)).square().sum()

    each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(parameters, x)
    doubled(x).square().sum().backward()
    for name, parameter in doubled.named_parameters():
        torch.testing.assert_close(each[name].sum(0), parameter.grad, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("form", FORMS)
def test_checkpointed_and_in_other_precision(form: str) -> None:
    model, x = netspec.build("residual", act=form).eval(), torch.randn(2, 8, 16, 16)
    again = torch.utils.checkpoint.checkpoint(model, x, use_reentrant=False)
    assert torch.equal(again, model(x))
    assert model.double()(x.double()).dtype == torch.float64
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model.float()(x).dtype == torch.bfloat16


def test_a_subclass_of_a_built_class_keeps_its_own_way_of_pickling() -> None:
    model = netspec.build("lenet")

    class Louder(type(model)):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * super().forward(x)

    louder, x = copy.copy(model), torch.randn(2, 1, 28, 28)
    louder.__class__ = Louder
    assert torch.equal(copy.deepcopy(louder)(x), 2 * model(x))


def test_inputs_are_taken_by_name() -> None:
    model, twin = netspec.build("two_inputs").eval(), twin_of("two_inputs")
    image, row = twin.inputs(2)
    assert torch.equal(model(row=row, image=image), run(model, (image, row)))
