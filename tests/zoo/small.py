"""Every spec of the zoo made small: args and sizes at which one run of it takes a moment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

import netspec
from netspec.ir.graph import Port, Program
from netspec.ops.types import TensorType
from netspec.pipeline import compile_spec
from netspec.proof.verify import moved_state, random_inputs

BATCH = "N"  # what every spec of the zoo calls it


@dataclass(frozen=True, kw_only=True)
class Small:
    """A spec, found by its name, with args and changes that leave little of it.

    `images` are two heights and widths in place of the spec's own examples.
    """

    spec: str
    args: Mapping[str, object] = field(default_factory=dict)
    images: tuple[int, int] | None = None
    changes: Mapping[str, object] = field(default_factory=dict)
    quick: bool = False  # all that is asked of it takes a second or two

    def __str__(self) -> str:
        return "-".join([self.spec, *(f"{k}={v}" for k, v in self.args.items() if k in TOLD)])

    @property
    def given(self) -> dict[str, dict[str, object]]:
        """What the functions of netspec are given beside the name."""
        sizes = list(self.images or ())
        example = {"inputs.x.example": {"H": sizes, "W": sizes}} if sizes else {}
        return {"args": dict(self.args), "overrides": {**example, **self.changes}}


TOLD = {"forced", "gated", "tied"}  # args that tell two of one spec apart


def program_of(small: Small) -> Program:
    return compile_spec(small.spec, **small.given).program


def build(small: Small) -> nn.Module:
    """The model in eval mode, each parameter moved: zeros would hide what is multiplied by them."""
    model = netspec.build(small.spec, seed=0, **small.given)
    model.load_state_dict(moved_state(model, seed=1))
    return model.eval()


def batch_dimensions(small: Small) -> list[int]:
    """Of each input, the dimension that holds the batch."""
    program = program_of(small)
    sizes = tuple(dict(probe.sizes)[BATCH] for probe in program.probes[:2])
    return [found for port in program.inputs for found in [next(_places(port, sizes))]]


def _places(port: Port, sizes: tuple[int, ...]) -> Iterator[int]:
    """Where a shape has these sizes at the first two of the spec's examples."""
    shapes = [fact.shape for fact in port.facts[:2] if isinstance(fact, TensorType)]
    return (place for place, pair in enumerate(zip(*shapes, strict=True)) if pair == sizes)


def inputs(small: Small, count: int) -> tuple[Tensor, ...]:
    """Random inputs of the first of the spec's examples, but for a batch of `count`."""
    types = {}
    for port, place in zip(program_of(small).inputs, batch_dimensions(small), strict=True):
        fact = port.facts[0]
        assert isinstance(fact, TensorType), "an input is a tensor"
        shape = torch.Size([*fact.shape[:place], count, *fact.shape[place + 1 :]])
        types[port.name] = replace(fact, shape=shape)
    return tuple(value for _, value in random_inputs(types, seed=count))


_FEW: Mapping[str, object] = {"num_classes": 10}
_IMAGES = (32, 64)
_TRANSFORMER: Mapping[str, object] = {"depth": 2, "heads": 4}
_WORDS: Mapping[str, object] = {**_TRANSFORMER, "vocab_size": 99}
_PATCHES: Mapping[str, object] = {**_TRANSFORMER, "image": 32, "patch": 8, "width": 32}
_STAGES: Mapping[str, object] = {**_FEW, "widths": [16, 32, 48, 64]}
_ROWS = [
    [3, 16, 16, True, "relu", 2], [3, 72, 24, False, "relu", 2], [5, 72, 24, True, "hardswish", 1],
]  # fmt: skip
_SWIN: Mapping[str, object] = {**_FEW, "width": 12, "depths": [2, 2, 2], "heads": [1, 2, 2]}


def _images(spec: str, **args: object) -> Small:
    return Small(spec=spec, args={**_FEW, **args}, images=_IMAGES)


def _vgg(spec: str, depths: list[int]) -> Small:
    """With the last layer of the classifier, whose others have most of the parameters."""
    last = [
        {"module": "Dropout", "p": "=dropout"},
        {"module": "Linear", "out_features": "=num_classes"},
    ]
    changes = {"layers.avgpool.output_size": 1, "layers.classifier": {"layers": last}}
    return Small(spec=spec, args={"depths": depths}, images=_IMAGES, changes=changes)


def _segmentation(spec: str) -> Small:
    changes = {"layers.backbone.depths": [1, 2, 1, 1], "layers.backbone.base_width": 16}
    return Small(spec=spec, args={"aux_loss": True}, images=_IMAGES, changes=changes)


SMALL: tuple[Small, ...] = (
    _vgg("vgg11", [1, 1, 1, 1, 1]),
    _vgg("vgg13", [2, 2, 1, 1, 1]),
    _vgg("vgg16", [1, 2, 2, 1, 1]),
    _vgg("vgg19", [1, 2, 3, 1, 1]),
    _vgg("vgg11_bn", [1, 1, 1, 1, 1]),
    _vgg("vgg13_bn", [2, 2, 1, 1, 1]),
    _vgg("vgg16_bn", [1, 2, 2, 1, 1]),
    _vgg("vgg19_bn", [1, 2, 3, 1, 1]),
    _images("resnet34", depths=[1, 2, 1, 1]),
    _images("resnet101", depths=[1, 2, 2, 1], base_width=16),
    _images("resnet152", depths=[1, 2, 3, 1], base_width=16),
    _images("resnext50_32x4d", depths=[1, 2, 1, 1], groups=8),
    _images("wide_resnet50_2", depths=[1, 2, 1, 1], base_width=32),
    _images("squeezenet1_0"),
    _images("squeezenet1_1"),
    _images("densenet121", depths=[2, 3, 2, 2]),
    _images("densenet169", depths=[2, 3, 3, 3]),
    _images("densenet201", depths=[2, 3, 4, 3]),
    _images("googlenet"),
    _images("mnasnet1_0"),
    _images("shufflenet_v2_x1_0"),
    _images("mobilenet_v2", stages=[[1, 16, 1, 1], [6, 24, 2, 2], [6, 32, 2, 2]]),
    _images("mobilenet_v3_small", rows=_ROWS),
    _images("mobilenet_v3_large", rows=_ROWS),
    _images("efficientnet_b0", w=0.5, d=0.5),
    *(_images(f"efficientnet_b{k}", w=0.25, d=0.1) for k in range(1, 8)),
    _images("efficientnet_v2_s", depths=[1, 2, 1, 1, 2, 1]),
    # Its auxiliary head takes images of 299 at least, which is many seconds.
    Small(spec="inception_v3", args={**_FEW, "aux_logits": False}, images=(75, 107)),
    Small(
        spec="regnet_x_8gf", args={**_STAGES, "depths": [1, 2, 3, 1], "groups": 16}, images=_IMAGES
    ),
    Small(
        spec="regnet_y_400mf", args={**_STAGES, "depths": [1, 2, 3, 1], "groups": 16},
        images=_IMAGES,
    ),
    Small(spec="convnext_tiny", args={**_STAGES, "depths": [1, 1, 3, 1]}, images=_IMAGES),
    Small(spec="convnext_base", args={**_STAGES, "depths": [1, 1, 5, 1]}, images=_IMAGES),
    Small(spec="vit_b_16", args={**_FEW, **_PATCHES, "mlp": 64}),
    Small(spec="vit_l_32", args={**_FEW, **_PATCHES, "mlp": 64}),
    Small(spec="swin_t", args={**_SWIN, "window": 3}, images=_IMAGES),
    Small(spec="swin_v2_t", args={**_SWIN, "window": 4}, images=_IMAGES),
    Small(
        spec="maxvit_t",
        args={
            **_FEW, "image": 64, "size": 2, "first": 16, "widths": [16, 32], "depths": [1, 2],
            "head": 8,
        },
    ),
    _segmentation("fcn_resnet50"),
    _segmentation("deeplabv3_resnet50"),
    Small(spec="bert", args={**_WORDS, "hidden_size": 32, "max_positions": 40}),
    Small(spec="roberta", args={**_WORDS, "hidden_size": 32, "max_positions": 42}),
    Small(spec="sentence_embedding", args={"hidden_size": 48, "depth": 2}),
    Small(spec="distilbert", args={**_WORDS, "dim": 32, "positions": 40}),
    Small(spec="gpt2", args={**_WORDS, "width": 32, "positions": 40}, quick=True),
    Small(
        spec="llama", args={**_WORDS, "hidden_size": 32, "intermediate_size": 64, "kv_heads": 2},
        quick=True,
    ),
    *(
        Small(spec="t5", args={**_WORDS, "width": 32, "size": 12, "d_ff": 64, "gated": gated})
        for gated in (False, True)
    ),
    Small(spec="vit", args=_PATCHES),
    Small(spec="crepe", args={"width": 32}),
    Small(spec="mlp", args={"norm": True, "dropout": 0.3}, quick=True),
    Small(spec="mixer", args={"image": 32, "patch": 8, "width": 32, "depth": 2}, quick=True),
    Small(spec="autoencoder", quick=True),
    Small(spec="vae", quick=True),
    Small(spec="dcgan_generator", args={"width": 8}, quick=True),
    Small(spec="dcgan_discriminator", args={"width": 8}, quick=True),
    *(
        Small(
            spec="lstm_lm", args={"vocab_size": 50, "width": 16, "hidden": 16, "tied": tied},
            quick=True,
        )
        for tied in (False, True)
    ),
    *(
        Small(
            spec="seq2seq", args={"words_in": 30, "words_out": 20, "hidden": 16, "forced": forced}
        )
        for forced in (True, False)
    ),
    Small(spec="wavenet", args={"classes": 32, "residual": 8, "skip": 16, "depth": 4}),
    Small(spec="pointnet", args={"classes": 10}),
)  # fmt: skip
