"""Other networks of the originals' libraries, which the specs give by args: larger ones, mostly.

Compared are keys, shapes and dtypes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from torch import nn

from tests.parity.libraries import library
from tests.parity.other_cases import timm_model
from tests.parity.torchvision_models import vision
from tests.parity.transformers_cases import GATED, T5_BASE, transformer


@dataclass(frozen=True)
class Variant:
    name: str
    spec: str
    args: Callable[[], Mapping[str, object]]
    original: Callable[[], nn.Module]
    package: str = "torchvision"
    meta: bool = True  # false: its constructor reads what is in tensors

    def __str__(self) -> str:
        return self.name


def named(name: str, spec: str, **args: object) -> Variant:
    return Variant(name, spec, lambda: args, vision(name))


def efficientnet_rows(name: str) -> dict[str, object]:
    efficientnet = library("torchvision.models.efficientnet")
    conf, _ = efficientnet._efficientnet_conf(name)
    rows = [
        [isinstance(c, efficientnet.FusedMBConvConfig), c.expand_ratio, c.kernel, c.stride]
        for c in conf
    ]
    widths = [c.out_channels for c in conf]
    return {
        "rows": [[*row, width] for row, width in zip(rows, widths, strict=True)],
        "depths": [c.num_layers for c in conf],
    }


def regnet_args(
    depth: int, w_0: int, w_a: float, w_m: float, group_width: int, **se: float
) -> dict[str, object]:
    """The spec's args by the rule of the paper, whose four numbers torchvision names."""
    blocks = library("torchvision.models.regnet").BlockParams.from_init_params(
        depth=depth, w_0=w_0, w_a=w_a, w_m=w_m, group_width=group_width
    )
    groups = blocks.group_widths[-1]
    return {"depths": blocks.depths, "widths": blocks.widths, "groups": groups, **se}


DEEP = [2, 2, 18, 2]
SWIN_BASE = {"depths": DEEP, "width": 128, "heads": [4, 8, 16, 32]}

VARIANTS: tuple[Variant, ...] = (
    named("efficientnet_b2", "efficientnet_b2"),
    named("efficientnet_b3", "efficientnet_b3"),
    named("efficientnet_b4", "efficientnet_b4"),
    named("efficientnet_b5", "efficientnet_b5"),
    named("efficientnet_b6", "efficientnet_b6"),
    named("efficientnet_b7", "efficientnet_b7"),
    *(
        Variant(name, "efficientnet_v2_s", partial(efficientnet_rows, name), vision(name))
        for name in ("efficientnet_v2_m", "efficientnet_v2_l")
    ),
    *(
        Variant(name, spec, partial(regnet_args, *rule, **se), vision(name), meta=False)
        for name, spec, rule, se in (
            ("regnet_x_400mf", "regnet_x_8gf", (22, 24, 24.48, 2.54, 16), {}),
            ("regnet_x_3_2gf", "regnet_x_8gf", (25, 88, 26.31, 2.25, 48), {}),
            ("regnet_y_800mf", "regnet_y_400mf", (14, 56, 38.84, 2.4, 16), {"se": 0.25}),
            ("regnet_y_16gf", "regnet_y_400mf", (18, 200, 106.23, 2.48, 112), {"se": 0.25}),
        )
    ),
    named("convnext_small", "convnext_tiny", depths=[3, 3, 27, 3]),
    named("convnext_large", "convnext_base", widths=[192, 384, 768, 1536]),
    named("vit_b_32", "vit_b_16", patch=32),
    named("vit_l_16", "vit_l_32", patch=16),
    named("vit_h_14", "vit_b_16", patch=14, depth=32, heads=16, width=1280, mlp=5120),
    named("swin_s", "swin_t", depths=DEEP),
    named("swin_b", "swin_t", **SWIN_BASE),
    named("swin_v2_s", "swin_v2_t", depths=DEEP),
    named("swin_v2_b", "swin_v2_t", **SWIN_BASE),
    named("shufflenet_v2_x1_5", "shufflenet_v2_x1_0", widths=[176, 352, 704]),
    Variant(
        "bert-large",
        "bert",
        lambda: {"hidden_size": 1024, "depth": 24, "heads": 16},
        transformer(
            "BertModel", "BertConfig", hidden_size=1024, num_hidden_layers=24,
            num_attention_heads=16, intermediate_size=4096,
        ),
        package="transformers",
    ),
    Variant(
        "gpt2-medium",
        "gpt2",
        lambda: {"width": 1024, "depth": 24, "heads": 16},
        transformer("GPT2LMHeadModel", "GPT2Config", n_embd=1024, n_layer=24, n_head=16),
        package="transformers",
    ),
    Variant(
        "t5-v1_1-base",
        "t5",
        lambda: {"gated": True, "d_ff": 2048},
        transformer("T5ForConditionalGeneration", "T5Config", **{**T5_BASE, "d_ff": 2048}, **GATED),
        package="transformers",
    ),
    Variant(
        "mixer_s32_224",
        "mixer",
        lambda: {"patch": 32, "width": 512, "depth": 8},
        partial(timm_model, "mixer_s32_224"),
        package="timm",
    ),
)  # fmt: skip
