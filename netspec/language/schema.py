"""All that a user may write, as pydantic models: the language, version 1.

The models hold plain values: an argument may be a number, a string, a list, a mapping, or an
expression (a string with a leading `=`). Names and types of a layer's arguments are checked later,
against the installed torch.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, TypeAlias, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    Tag,
)
from typing_extensions import TypeAliasType

VERSION = 1

Argument: TypeAlias = Any  # a plain value: None, bool, int, float, str, list, dict
Reference: TypeAlias = StrictStr
Outputs = TypeAliasType("Outputs", "StrictStr | list[Outputs] | dict[str, Outputs]")
Number: TypeAlias = StrictInt | StrictStr  # a string is an expression, or the name of a free size
Condition: TypeAlias = StrictBool | Annotated[StrictStr, Field(pattern="^=")]


def _said(condition: object) -> object:
    if condition is None:  # neither true nor false; a layer without a condition has none
        raise ValueError("no_condition")
    return condition


When: TypeAlias = Annotated[Condition | None, BeforeValidator(_said)]
InitCall: TypeAlias = StrictStr | dict[str, dict[str, Argument] | None]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


def words_of(model: type[BaseModel]) -> dict[str, str]:
    """The keys that the language has for a kind of layer, a repeat, a file; and what each says."""
    fields = model.model_fields.items()
    return {field.alias or name: field.description or "" for name, field in fields}


class Repeat(_Model):
    """`repeat:` in full. `n` copies, or one for each item of `over`."""

    n: Number | None = Field(default=None, description="The number of copies.")
    over: StrictStr | list[Argument] | None = Field(
        default=None, description="A list, or an expression: one copy for each item."
    )
    as_: StrictStr | None = Field(
        default=None, alias="as", description="What the index, or the item, is called."
    )
    name: StrictStr | None = Field(
        default=None, description="The name of each copy: an expression."
    )


class LayerBase(_Model):
    """What every layer may carry, whatever its kind."""

    kind: ClassVar[str]
    free: ClassVar[bool] = False  # other keys are arguments

    from_: Reference | list[Reference] | None = Field(
        default=None,
        alias="from",
        description="What the layer reads: a name, an expression, or a list of them. "
        "Left out: the value before it.",
    )
    repeat: Number | Repeat | None = Field(
        default=None,
        description="So many copies, each with its own parameters: a number, or a mapping.",
    )
    as_: Literal["sequential", "list", "dict", "graph", "inline"] | None = Field(
        default=None,
        alias="as",
        description="What the container is; goes with `layers` or `repeat`.",
    )
    when: When = Field(
        default=None, description="Whether the layer exists; on `training`, whether it acts."
    )
    declare: StrictBool = Field(default=False, description="Registered, and not called here.")
    keep: StrictBool = Field(default=False, description="Nothing reads it, and that is meant.")
    init: InitCall | dict[str, InitCall] | None = Field(
        default=None, description="How parameters are initialised, by their names."
    )
    tie: dict[str, Reference] | None = Field(
        default=None, description="Parameters that are the same as others: `{weight: wte.weight}`."
    )
    freeze: Condition = Field(default=False, description="Its parameters are not trained.")
    doc: StrictStr | None = Field(default=None, description="A text for people.")
    args: dict[str, Argument] | None = Field(
        default=None, description="Arguments whose names are keys of this language."
    )

    @property
    def holds(self) -> bool:
        """Whether it only holds its children, which expressions call: a list or a dict of them."""
        return self.as_ in ("list", "dict")

    @property
    def extra(self) -> dict[str, Argument]:
        """The keys that are no keys of the language: arguments."""
        return self.__pydantic_extra__ or {}


class _FreeLayer(LayerBase):
    model_config = ConfigDict(extra="allow")
    free: ClassVar[bool] = True


class ModuleLayer(_FreeLayer):
    kind: ClassVar[str] = "module"
    module: StrictStr = Field(description="A class of `torch.nn`, built once and called.")
    with_: dict[str, Argument] | None = Field(
        default=None, alias="with", description="Keyword arguments of the call."
    )


class CallLayer(_FreeLayer):
    kind: ClassVar[str] = "call"
    call: StrictStr = Field(description="A function: called, never registered.")


class ActLayer(_FreeLayer):
    kind: ClassVar[str] = "act"
    act: StrictStr = Field(description="An activation; its form is chosen when the model is built.")
    pin: StrictBool = Field(
        default=False, description="Stays this activation, whatever `act` says."
    )


class BlockLayer(_FreeLayer):
    kind: ClassVar[str] = "block"
    block: StrictStr = Field(description="A block of this spec, by its name.")


class SpecLayer(_FreeLayer):
    kind: ClassVar[str] = "spec"
    spec: StrictStr = Field(description="Another spec as a part, by name or path.")


class ContainerLayer(LayerBase):
    kind: ClassVar[str] = "layers"
    layers: Layers = Field(
        description="A container: a mapping names its layers, a list numbers them."
    )


class ParamLayer(LayerBase):
    kind: ClassVar[str] = "param"
    param: StrictStr | list[Number] = Field(
        description="A parameter: its shape, or its value as an expression."
    )


class BufferLayer(LayerBase):
    kind: ClassVar[str] = "buffer"
    buffer: StrictStr | list[Number] = Field(
        description="A buffer: its shape, or its value as an expression."
    )
    persistent: StrictBool = Field(
        default=True, description="Whether it is saved in the state_dict."
    )


class UseLayer(LayerBase):
    kind: ClassVar[str] = "use"
    use: StrictStr = Field(description="A module that is there already, called again.")
    with_: dict[str, Argument] | None = Field(
        default=None, alias="with", description="Keyword arguments of the call."
    )


class ValueLayer(LayerBase):
    kind: ClassVar[str] = "value"
    value: StrictStr = Field(description="An expression over values.")


class ConstLayer(LayerBase):
    kind: ClassVar[str] = "const"
    const: Argument = Field(description="Computed once, when the model is built.")


class LostLayer(LayerBase):
    """In the place of a layer that was refused, so that the others are checked; no text has it."""

    kind: ClassVar[str] = "lost"


class ForeignLayer(LayerBase):
    """A layer as another tool writes it, which is refused with what a spec writes instead."""

    kind: ClassVar[str] = "foreign"
    value: Any


# What other tools name a class by: Hydra, jsonargparse, Keras, ONNX, registries of others.
FOREIGN_KEYS = ("_target_", "class_path", "class_name", "op_type", "type", "class")


# Every kind of layer. A match on one ends in `assert_never`, so that the type checker names each
# place that does not know a new kind.
Layer: TypeAlias = (
    Annotated[ModuleLayer, Tag("module")]
    | Annotated[CallLayer, Tag("call")]
    | Annotated[ActLayer, Tag("act")]
    | Annotated[BlockLayer, Tag("block")]
    | Annotated[SpecLayer, Tag("spec")]
    | Annotated[ContainerLayer, Tag("layers")]
    | Annotated[ParamLayer, Tag("param")]
    | Annotated[BufferLayer, Tag("buffer")]
    | Annotated[UseLayer, Tag("use")]
    | Annotated[ValueLayer, Tag("value")]
    | Annotated[ConstLayer, Tag("const")]
    | Annotated[LostLayer, Tag("lost")]
    | Annotated[ForeignLayer, Tag("foreign")]
)
RegisteredLayer: TypeAlias = ModuleLayer | ActLayer | BlockLayer | SpecLayer | ContainerLayer
_NO_KINDS = (LostLayer, ForeignLayer)  # which stand for what a text has instead of a layer
_EVERY: tuple[type[LayerBase], ...] = tuple(get_args(tagged)[0] for tagged in get_args(Layer))
KINDS = tuple(kind for kind in _EVERY if kind not in _NO_KINDS)
KIND_NAMES: tuple[str, ...] = tuple(kind.kind for kind in KINDS)
_KIND_SET = frozenset(KIND_NAMES)


def kinds_of(layer: dict[str, Any]) -> list[str]:
    """The kind keys that a layer's mapping has: one, if it is right."""
    return [key for key in layer if key in _KIND_SET]


def _is_foreign(layer: object) -> bool:
    """Whether a layer is a call of Python, a row of Ultralytics, has another tool's key, or a class
    for a key: `{Linear: {out_features: 4}}`; or whether its arguments are a list."""
    if isinstance(layer, str):
        return layer.endswith(")") and not layer.startswith("=")
    if isinstance(layer, list):
        return len(layer) == 4 and isinstance(layer[2], str) and isinstance(layer[3], list)
    if not isinstance(layer, dict):
        return False
    if kinds_of(layer):
        return isinstance(layer.get("module"), str) and isinstance(layer.get("args"), list)
    has_key = any(isinstance(layer.get(key), str) for key in FOREIGN_KEYS)
    return has_key or class_key_of(layer) is not None


def class_key_of(layer: dict[str, Any]) -> str | None:
    """The class that is a layer's only key."""
    key, value = next(iter(layer.items()), ("", None))
    is_class = len(layer) == 1 and key[:1].isupper() and key.lower() not in _KIND_SET
    return key if is_class and not isinstance(value, str) else None


def expand_short(layer: object) -> object:
    """A layer's short form in full: `BatchNorm2d`, `relu`, `=a + b`; anything else as it is."""
    if _is_foreign(layer):
        return ForeignLayer.model_construct(value=layer)
    if not isinstance(layer, str):
        return layer
    if layer.startswith("="):
        return {"value": layer}
    bare = layer.rpartition("/")[2]  # of `mylib/Swish`
    return {"module" if bare[:1].isupper() else "call": layer}


def _kind(layer: object) -> str | None:
    if isinstance(layer, LayerBase):
        return layer.kind
    if not isinstance(layer, dict):
        return None
    found = kinds_of(layer)
    return found[0] if len(found) == 1 else None


AnyLayer: TypeAlias = Annotated[Layer, Discriminator(_kind), BeforeValidator(expand_short)]


def _listed(layers: object) -> object:
    return "list" if isinstance(layers, list) else "mapping"


def _not_empty(layers: Any) -> Any:
    if not layers:
        raise ValueError("empty_layers")
    return layers


Layers: TypeAlias = Annotated[
    Annotated[list[AnyLayer], Tag("list")] | Annotated[dict[str, AnyLayer], Tag("mapping")],
    Discriminator(_listed),
    AfterValidator(_not_empty),
]


class Input(_Model):
    """An input in full. A letter in `shape` is a free size; `example` gives sizes to try it at, and
    `where` states which sizes the network takes.

    With a `default`, an expression or null, the caller may leave it out.
    """

    shape: list[Number] = Field(description="The sizes.")
    dtype: StrictStr = Field(default="float32", description="A dtype of torch.")
    default: Annotated[StrictStr, Field(pattern="^=")] | None = Field(
        default=None, description="What it is where the caller leaves it out: an expression."
    )
    example: dict[str, StrictInt | list[StrictInt]] | None = Field(
        default=None, description="For a free size, one size or two at which the spec is tried."
    )
    where: list[StrictStr] | None = Field(
        default=None, description="What the free sizes are, as conditions: `=H % 32 == 0`."
    )


class Block(_Model):
    """A spec inside a spec."""

    args: dict[str, Argument] = Field(
        default={}, description="What the user may choose, with defaults; null has to be given."
    )
    inputs: list[StrictStr] = Field(default=["x"], description="Its inputs, `[x]` if left out.")
    layers: Layers = Field(description="The layers, in the order in which they run.")
    outputs: Outputs | None = Field(
        default=None, description="What `forward` returns. Left out: the last value."
    )
    blocks: dict[str, Block] = Field(default={}, description="Networks to be used as layers.")
    init: dict[str, InitCall | dict[str, InitCall]] | None = Field(
        default=None, description="Initialisation by class, run last: `{Linear.weight: zeros_}`."
    )
    doc: StrictStr | None = Field(default=None, description="A text for people.")


def _whole(version: object) -> object:
    if type(version) is not int:  # Python's True and 1.0 are 1
        raise ValueError("no_version")
    return version


Version: TypeAlias = Annotated[Literal[1], BeforeValidator(_whole)]


class Document(_Model):
    """A whole spec file."""

    netspec: Version = Field(description="The version of the language.")
    name: StrictStr | None = Field(
        default=None, description="The name of the class. Left out: made of the name of the file."
    )
    doc: StrictStr | None = Field(default=None, description="A text for people.")
    args: dict[str, Argument] = Field(
        default={}, description="What the user may choose, with defaults; null has to be given."
    )
    inputs: dict[str, list[Number] | Input] = Field(
        description="The arguments of `forward`, each with its shape."
    )
    requires: list[StrictStr] = Field(
        default=[],
        description="Plugins whose layers are named here; they are enabled by who builds it.",
    )
    include: StrictStr | list[StrictStr] | None = Field(
        default=None, description="Files with more blocks, in this folder or below it."
    )
    blocks: dict[str, Block] = Field(default={}, description="Networks to be used as layers.")
    layers: Layers = Field(description="The layers, in the order in which they run.")
    outputs: Outputs | None = Field(
        default=None, description="What `forward` returns. Left out: the last value."
    )
    init: dict[str, InitCall | dict[str, InitCall]] | None = Field(
        default=None, description="Initialisation by class, run last: `{Linear.weight: zeros_}`."
    )


class Variant(_Model):
    """A spec that is another one with other args."""

    netspec: Version = Field(description="The version of the language.")
    spec: StrictStr = Field(
        description="Another spec, by name or by path: this one is that with other args."
    )
    name: StrictStr | None = Field(
        default=None, description="The name of the class. Left out: made of the name of the file."
    )
    doc: StrictStr | None = Field(default=None, description="A text for people.")
    args: dict[str, Argument] = Field(default={}, description="What the other spec is given.")


class Library(_Model):
    """A file of blocks, for `include`."""

    netspec: Version = Field(description="The version of the language.")
    doc: StrictStr | None = Field(default=None, description="A text for people.")
    requires: list[StrictStr] = Field(
        default=[],
        description="Plugins whose layers are named here; they are enabled by who builds it.",
    )
    include: StrictStr | list[StrictStr] | None = Field(
        default=None, description="Files with more blocks, in this folder or below it."
    )
    blocks: dict[str, Block] = Field(description="Networks to be used as layers.")


for _model in (ContainerLayer, Block, Document, Library):
    _model.model_rebuild()
