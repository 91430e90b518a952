"""torchvision's networks: how each is made and called, and where its source stands."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from torch import nn

from tests.parity.libraries import library


def vision(name: str, **config: object) -> Callable[[], nn.Module]:
    """A maker of torchvision's model of this name, without weights."""
    return partial(make_vision, name, config)


def make_vision(name: str, config: Mapping[str, object]) -> nn.Module:
    return library("torchvision.models").get_model(name, weights=None, **config)


def segmentation(name: str, **config: object) -> Callable[[], nn.Module]:
    return vision(name, weights_backbone=None, **config)


def source(module: str, *names: str) -> tuple[str, ...]:
    return tuple(f"torchvision.models.{module}.{name}" for name in names)


CONV = "torchvision.ops.misc.Conv2dNormActivation"
SQUEEZE = "torchvision.ops.misc.SqueezeExcitation"
DEPTH = ("torchvision.ops.StochasticDepth", "torchvision.ops.stochastic_depth")
DIVISIBLE = "torchvision.models._utils._make_divisible"
RESNET = source("resnet", "conv3x3", "conv1x1", "Bottleneck", "ResNet")
REGNET = (
    *source("regnet", "SimpleStemIN", "BottleneckTransform", "ResBottleneckBlock", "AnyStage"),
    *source("regnet", "BlockParams", "RegNet"), CONV, DIVISIBLE,
)  # fmt: skip
EFFICIENTNET = (
    *source("efficientnet", "_MBConvConfig", "MBConvConfig", "FusedMBConvConfig", "MBConv"),
    *source("efficientnet", "FusedMBConv", "EfficientNet", "_efficientnet_conf"),
    CONV, SQUEEZE, *DEPTH, DIVISIBLE,
)  # fmt: skip
CONVNEXT = (*source("convnext", "LayerNorm2d", "CNBlock", "CNBlockConfig", "ConvNeXt"), *DEPTH)
VIT = (
    *source("vision_transformer", "MLPBlock", "EncoderBlock", "Encoder", "VisionTransformer"),
    "torchvision.ops.MLP",
)  # fmt: skip
SWIN = (
    *source("swin_transformer", "_patch_merging_pad", "_get_relative_position_bias"),
    *source("swin_transformer", "PatchMerging", "shifted_window_attention"),
    *source("swin_transformer", "ShiftedWindowAttention", "SwinTransformerBlock"),
    *source("swin_transformer", "SwinTransformer"), "torchvision.ops.MLP", *DEPTH,
)  # fmt: skip
SWIN_V2 = (
    *SWIN,
    *source("swin_transformer", "PatchMergingV2", "ShiftedWindowAttentionV2"),
    *source("swin_transformer", "SwinTransformerBlockV2"),
)  # fmt: skip
MAXVIT = (
    *source("maxvit", "_get_conv_output_shape", "_make_block_input_shapes"),
    *source("maxvit", "_get_relative_position_index", "MBConv"),
    *source("maxvit", "RelativePositionalMultiHeadAttention", "SwapAxes", "WindowPartition"),
    *source("maxvit", "WindowDepartition", "PartitionAttentionLayer", "MaxVitLayer"),
    *source("maxvit", "MaxVitBlock", "MaxVit"), CONV, SQUEEZE, *DEPTH,
)  # fmt: skip
SEGMENTATION = (
    *source("segmentation._utils", "_SimpleSegmentationModel"),
    *source("_utils", "IntermediateLayerGetter"), *RESNET,
)  # fmt: skip


# Originals made smaller than any that torchvision has a name for


def small_convnext(depths: Iterable[int], widths: list[int], drop: float) -> nn.Module:
    convnext = library("torchvision.models.convnext")
    blocks = [
        convnext.CNBlockConfig(width, after, depth)
        for width, after, depth in zip(widths, [*widths[1:], None], depths, strict=True)
    ]
    return convnext.ConvNeXt(blocks, stochastic_depth_prob=drop)


def small_regnet(depths: list[int], widths: list[int], groups: int) -> nn.Module:
    regnet = library("torchvision.models.regnet")
    stages = len(depths)
    blocks = regnet.BlockParams(depths, widths, [groups] * stages, [1.0] * stages, [2] * stages)
    return regnet.RegNet(
        blocks, norm_layer=partial(nn.BatchNorm2d, eps=1e-05, momentum=0.1), activation=nn.ReLU
    )


def small_vit(
    image: int,
    patch: int,
    depth: int,
    heads: int,
    width: int,
    mlp: int,
    dropout: float = 0.0,
    attention_dropout: float = 0.0,
) -> nn.Module:
    return library("torchvision.models").VisionTransformer(
        image, patch, depth, heads, width, mlp, dropout, attention_dropout
    )


def small_swin(width: int, depths: list[int], heads: list[int], window: int, v2: bool) -> nn.Module:
    swin = library("torchvision.models.swin_transformer")
    parts = (
        {"block": swin.SwinTransformerBlockV2, "downsample_layer": swin.PatchMergingV2}
        if v2
        else {}
    )
    return swin.SwinTransformer(
        [4, 4], width, depths, heads, [window] * 2, stochastic_depth_prob=0.2, **parts
    )


def small_maxvit(
    image: int, size: int, first: int, widths: list[int], depths: list[int], head: int, drop: float
) -> nn.Module:
    return library("torchvision.models").MaxVit(
        input_size=(image, image), stem_channels=first, partition_size=size, block_channels=widths,
        block_layers=depths, head_dim=head, stochastic_depth_prob=drop,
    )  # fmt: skip
