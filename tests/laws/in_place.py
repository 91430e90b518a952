"""What overwriting does to a network, and the law that the checker's decisions have to keep.

Nothing here asks the checker whether a value is needed: the model is made with the overwriting in
it, run, and compared bit by bit with the same model out of place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

import netspec
from netspec import pipeline
from netspec.checks.inplace.decide import Decision, Reason
from netspec.emit.classes import plan_classes
from netspec.emit.module import compile_classes
from netspec.emit.tree import write_trees
from netspec.errors import SpecError
from netspec.explain.operation import explain_rejection
from netspec.ir.forms import in_place
from netspec.ir.graph import Place, Program
from netspec.ir.lower.program import lower
from netspec.ir.lower.session import Activation
from netspec.ir.walk.walker import Runs, walk
from netspec.language.load import Spec
from tests.compare import flatten, weighted_sum
from tests.laws.in_place_networks import Document, Network, Sizes, out_of_place

SEED = 5
NO_EVIDENCE = "safe but refused"


# What a model does


@dataclass(frozen=True)
class Setting:
    """One way to run a model. `gradient`: the inputs ask for one, too."""

    sizes: Sizes
    training: bool
    gradient: bool = True
    layout: Literal["plain", "channels last", "turned"] = "plain"  # of the inputs in memory


SETTINGS = (
    Setting(Sizes(3, 5), True),
    Setting(Sizes(3, 5), False),
    Setting(Sizes(1, 3), False),
    Setting(Sizes(1, 7), True, gradient=False),
    Setting(Sizes(9, 9), True, layout="channels last"),
    Setting(Sizes(2, 5), False, layout="turned"),
)
Outcome = dict[str, Tensor | tuple[str, ...]]


class Raised(Exception):
    """The model does not run in this setting; torch's words."""


@dataclass
class Model:
    """A model with its state as it was made, and what its parts did to what they were given."""

    program: Program
    module: nn.Module
    state: list[Tensor]
    changed: list[str] = field(default_factory=list)

    def outcome(self, network: Network, setting: Setting) -> Outcome:
        """All that comes of one pass, forward and backward. Raises Raised."""
        self.reset(setting.training)
        inputs = self.given(network, setting)
        given = [x.detach().clone().requires_grad_(setting.gradient) for x in inputs]
        torch.default_generator.manual_seed(SEED)
        try:
            outputs = list(flatten(self.module(*given)))
            loss = [weighted_sum(value) for value in outputs if value.requires_grad]
            if loss:
                torch.stack(loss).sum().backward()  # type: ignore[no-untyped-call]
        except (RuntimeError, ValueError, IndexError) as error:
            raise Raised(str(error)) from error
        found: Outcome = {f"output {k}": value.detach() for k, value in enumerate(outputs)}
        for name, parameter in self.module.named_parameters():
            found[f"parameter {name}"] = parameter.detach().clone()
            if parameter.grad is not None:
                found[f"gradient of {name}"] = parameter.grad
        for name, buffer in self.module.named_buffers():
            found[f"buffer {name}"] = buffer.clone()
        for k, (x, before) in enumerate(zip(given, inputs, strict=True)):
            found[f"input {k}"] = x.detach()
            found[f"input {k} before"] = before
            if x.grad is not None:
                found[f"gradient of input {k}"] = x.grad
        found["changed by parts"] = tuple(self.changed)
        return found

    def given(self, network: Network, setting: Setting) -> list[Tensor]:
        inputs = network.inputs(setting.sizes, SEED)
        if setting.layout == "turned":
            return [x.transpose(0, -1).contiguous().transpose(0, -1) for x in inputs]
        if setting.layout == "plain":
            return inputs
        kept = torch.channels_last
        return [x.contiguous(memory_format=kept) if x.dim() == 4 else x for x in inputs]

    def reset(self, training: bool) -> None:
        self.module.train(training)
        self.module.zero_grad(set_to_none=True)
        self.changed.clear()
        with torch.no_grad():
            for tensor, value in zip(self._held(), self.state, strict=True):
                tensor.copy_(value)

    def _held(self) -> list[Tensor]:
        return [*self.module.parameters(), *self.module.buffers()]

    def watch(self) -> None:
        """Notes the parts of ours that change what they are given."""
        for name, part in self.module.named_modules():
            ours = isinstance(part, nn.Sequential) or type(part).__module__ == "netspec_models"
            if name and ours:
                self._watch(name, part)

    def _watch(self, name: str, part: nn.Module) -> None:
        kept: list[list[Tensor]] = []

        def before(_: nn.Module, args: Any, kwargs: Any) -> None:
            kept.append([tensor.detach().clone() for tensor in flatten([*args, kwargs])])

        def after(_: nn.Module, args: Any, kwargs: Any, __: Any) -> None:
            now = [tensor.detach() for tensor in flatten([*args, kwargs])]
            if not all(map(same, now, kept.pop())):
                self.changed.append(name)

        part.register_forward_pre_hook(before, with_kwargs=True)
        part.register_forward_hook(after, with_kwargs=True)


def make(program: Program, spec: Spec) -> Model:
    """A model of any program, whatever it overwrites."""
    recipe = object()
    written = write_trees(plan_classes(program), program.source)
    torch.default_generator.manual_seed(SEED)
    module = compile_classes(written, recipe, pipeline.rebuild).make()  # type: ignore[arg-type]
    model = Model(program, module, [])
    model.state = [tensor.detach().clone() for tensor in model._held()]
    model.watch()
    return model


def same(one: Tensor, other: Tensor) -> bool:
    """Equal, and NaN where the other is NaN."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return torch.equal(one, other) or bool(((one == other) | (one.isnan() & other.isnan())).all())


def near(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.allclose(one, other, 1e-3, 1e-3, equal_nan=True)


def differences(ours: Outcome, theirs: Outcome, exact: bool = True) -> list[str]:
    """The names of what differs; if not `exact`, what is near does not."""
    found = []
    for name in dict.fromkeys([*theirs, *ours]):
        one, other = ours.get(name), theirs.get(name)
        if isinstance(one, Tensor) and isinstance(other, Tensor):
            if same(one, other) or (not exact and near(one, other)):
                continue
        elif one == other:
            continue
        found.append(name)
    return found


# What each step is given


@dataclass
class _Reads(Runs):
    """Runs a program on real tensors and keeps what each call is given; None where it only views."""

    calls: list[list[Tensor] | None] = field(default_factory=list)

    def call(
        self, target: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        given = list(flatten([*args, dict(kwargs)]))
        before = [tensor.clone() for tensor in given]
        value = target(*args, **kwargs)
        memory = {tensor.untyped_storage()._cdata for tensor in given}
        views = all(t.untyped_storage()._cdata in memory for t in flatten(value))
        self.calls.append(None if views else before)
        return value


def reads_of(model: Model, network: Network, setting: Setting) -> list[list[Tensor] | None]:
    """What each call of the program reads, in the order of the run."""
    reads = _Reads()
    model.reset(setting.training)
    inputs = [x.clone() for x in model.given(network, setting)]
    torch.default_generator.manual_seed(SEED)
    with torch.no_grad():
        try:
            walk(model.program, model.module, inputs, reads)
        except (RuntimeError, ValueError, IndexError):  # such a network cannot be run like this
            return []
    return reads.calls


def reads_differ(ours: Model, theirs: Model, network: Network) -> bool:
    """Whether some call of ours reads other bytes than the same call of theirs, out of place."""
    for setting in SETTINGS[:2]:
        ran = reads_of(ours, network, setting), reads_of(theirs, network, setting)
        for one, other in zip(*ran, strict=all(ran)):
            if other is not None and one is not None and not all(map(same, one, other)):
                return True
    return False


# The law


@dataclass
class Tally:
    """What was judged: accepted and refused ones, and evidence for the refusals."""

    count: Counter[str] = field(default_factory=Counter)
    doubtful: dict[str, Document] = field(default_factory=dict)  # refused without evidence

    def refused(self, kind: str, evidence: str | None, document: Document) -> None:
        self.count[f"refused, {kind}: {evidence or NO_EVIDENCE}"] += 1
        if evidence is None:
            self.doubtful.setdefault(kind, document)

    def lines(self) -> list[str]:
        return [f"{number:7} {kind}" for kind, number in sorted(self.count.items())]


def judge(network: Network, tally: Tally) -> None:
    """The law for one network; counterexamples are AssertionErrors."""
    tally.count["networks"] += 1
    spec = netspec.load(network.document)
    plain = make(lowered(netspec.load(out_of_place(network.document))), spec)
    try:
        compiled = pipeline.compile_spec(spec, act="inplace")
    except SpecError as error:
        judge_refused(network, spec, plain, error, tally)
        return
    asks = any(decision.explicit for decision in compiled.decisions)
    base = plain
    if asks or network.document != out_of_place(network.document):
        base = make(lowered(spec), spec)
        exact = not any(d.explicit and d.other_bits for d in compiled.decisions)
        agree(base, plain, network, exact, parts=False)
        tally.count["asked for, accepted"] += 1
    agree(make(compiled.program, spec), base, network, True, parts=True)
    before: list[str] = []
    for decision in compiled.decisions:
        if decision.explicit:
            continue
        if decision.obstacle is None:
            tally.count["accepted"] += 1
            before.append(decision.key)
        elif decision.obstacle.text.endswith("has no form in place"):
            tally.count["formless"] += 1
        else:
            forced = make(in_place(base.program, [*before, decision.key]), spec)
            evidence = evidence_against(forced, base, network)
            if evidence is None and idle(base, decision.key, network):
                evidence = "it changes none of these values"
            tally.refused(kind_of(decision), evidence, network.document)


def idle(base: Model, path: str, network: Network) -> bool:
    """Whether a module gives what it takes, at all these values: `relu` after `sigmoid`."""
    found = []
    note = base.module.get_submodule(path).register_forward_hook(
        lambda _, args, value: found.append(same(args[0], value))
    )
    for setting in SETTINGS[:2]:
        base.outcome(network, setting)
    note.remove()
    return all(found)


# What torch itself says of writing to one place twice, and of a slope that loses the signs.
TORCHS = ("single memory location", "In-place leakyReLu backward calculation")


def judge_refused(
    network: Network, spec: Spec, plain: Model, error: SpecError, tally: Tally
) -> None:
    codes = {diagnostic.code for diagnostic in error.diagnostics}
    told = next((words for words in TORCHS if words in str(error)), None)
    if codes == {"NS301"} and told is not None:
        tally.count[f"refused by torch: {told}"] += 1
        return
    assert codes <= {reason.value for reason in Reason}, error
    kind = " and ".join(sorted(Reason(code).name for code in codes))
    evidence = evidence_against(make(lowered(spec), spec), plain, network)
    tally.refused(f"{kind}, asked for", evidence, network.document)


def lowered(spec: Spec) -> Program:
    return lower(spec, {}, Activation("module"), _no_part, explain_rejection)


def _no_part(name: str, place: Place) -> Spec:
    raise AssertionError(f"{name} at {place.path}: there are no parts here")


def kind_of(decision: Decision) -> str:
    obstacle = decision.obstacle
    assert obstacle is not None
    what = obstacle.what.partition("`")[0] or obstacle.text
    return f"{obstacle.reason.name} {what}".strip()


def agree(ours: Model, theirs: Model, network: Network, exact: bool, parts: bool) -> None:
    """Ours runs wherever theirs does, and everything that comes of it is equal."""
    for setting in SETTINGS:
        try:
            expected = theirs.outcome(network, setting)
        except Raised:
            continue
        try:
            found = ours.outcome(network, setting)
        except Raised as raised:
            raise AssertionError(f"{setting}: {raised}") from raised
        if not parts:
            found.pop("changed by parts"), expected.pop("changed by parts")
        # Out of place a kernel may lay its result out anew, and the next one then rounds otherwise.
        bits = exact and setting.layout == "plain"
        assert differences(found, expected, bits) == [], setting
        again = ours.outcome(network, setting)
        again.setdefault("changed by parts", ()) if parts else again.pop("changed by parts")
        assert differences(again, found, bits) == [], f"a second time, {setting}"


def evidence_against(forced: Model, base: Model, network: Network) -> str | None:
    """What goes wrong when this overwrites; None if nothing does."""
    for setting in SETTINGS:
        try:
            expected = base.outcome(network, setting)
        except Raised:
            continue
        try:
            found = forced.outcome(network, setting)
        except Raised:
            return "raises"
        different = differences(found, expected)
        if different:
            return f"changes {different[0].split(' ')[0]}"
    return "is read again" if reads_differ(forced, base, network) else None
