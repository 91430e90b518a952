"""The specs whose originals are torchvision's."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Final

from tests.parity.case import Case, Size, Wrong, same_arguments
from tests.parity.torchvision_models import (
    CONV,
    CONVNEXT,
    DIVISIBLE,
    EFFICIENTNET,
    MAXVIT,
    REGNET,
    RESNET,
    SEGMENTATION,
    SQUEEZE,
    SWIN,
    SWIN_V2,
    VIT,
    segmentation,
    small_convnext,
    small_maxvit,
    small_regnet,
    small_swin,
    small_vit,
    source,
    vision,
)  # fmt: skip

SMALL: tuple[Size, ...] = ((64, 64), (96, 72))
SQUARE: tuple[Size, ...] = ((64, 64),)
PHOTO: Size = (224, 224)
NORM = {"module": "BatchNorm2d", "eps": 1e-3}  # torch's own is 1e-5
TINY_VIT = {"patch": 16, "depth": 2, "heads": 2, "width": 64, "mlp": 96}
TINY_SWIN = {"width": 24, "depths": [2, 2, 2, 2], "heads": [1, 2, 3, 4]}
TINY_MAXVIT = {
    "image": 64, "size": 2, "first": 16, "widths": [16, 32, 32, 48], "depths": [1, 2, 2, 1],
    "head": 16, "drop": 0.2,
}  # fmt: skip
# torchvision draws the MLPs of the blocks once more before it draws all linear layers.
TWICE: Final = "alike"
SWIN_SIZES: tuple[Size, ...] = ((64, 64), (96, 72), (288, 320))  # other numbers of windows


def own_steps(depths: Iterable[int]) -> tuple[str, ...]:
    """The buffers of swin_v2's blocks that torchvision has as a value between two lines only."""
    return tuple(
        f"features.{2 * stage + 1}.{block}.attn.steps"
        for stage, depth in enumerate(depths)
        for block in range(depth)
    )


VGG_CASES = tuple(
    Case(
        spec=name,
        package="torchvision",
        original=vision(name),
        sizes=((64, 64), (32, 48)),
        source=source("vgg", "VGG", "make_layers"),
        # The whole way only once: these are the zoo's largest.
        wrong=Wrong(args={"dropout": 0.4}, at="train")
        if name == "vgg11"
        else Wrong(args={"num_classes": 999}, at="shapes"),
        usual=PHOTO,
    )
    for name in (
        "vgg11", "vgg13", "vgg16", "vgg19", "vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn",
    )
)  # fmt: skip

RESNET_CASES = tuple(
    Case(
        spec=name,
        package="torchvision",
        original=vision(name),
        sizes=SMALL,
        source=RESNET
        if name not in ("resnet18", "resnet34")
        else source("resnet", "conv3x3", "conv1x1", "BasicBlock", "ResNet"),
        wrong=wrong,
        usual=PHOTO,
    )
    for name, wrong in (
        ("resnet18", Wrong(overrides={"layers.bn1": {**NORM, "eps": 1e-5, "momentum": 0.2}},
                           at="buffers")),
        ("resnet34", Wrong(overrides={"layers.bn1": NORM}, at="eval")),
        ("resnet50", Wrong(overrides={"layers.relu": {"act": "gelu"}}, at="eval")),
        ("resnet101", Wrong(overrides={"layers.maxpool.kernel_size": 2}, at="eval")),
        ("resnet152", Wrong(args={"num_classes": 10}, at="shapes")),
        ("resnext50_32x4d", Wrong(args={"groups": 16}, at="shapes")),
        ("wide_resnet50_2", Wrong(args={"base_width": 64}, at="shapes")),
    )
)  # fmt: skip

CASES: tuple[Case, ...] = (
    Case(
        spec="alexnet",
        package="torchvision",
        original=vision("alexnet"),
        sizes=(PHOTO,),
        source=source("alexnet", "AlexNet"),
        wrong=Wrong(args={"dropout": 0.4}, at="train"),
        usual=PHOTO,
    ),
    *VGG_CASES,
    *RESNET_CASES,
    *(
        Case(
            spec=name,
            package="torchvision",
            original=vision(name),
            sizes=SMALL,
            source=source("squeezenet", "Fire", "SqueezeNet"),
            wrong=Wrong(args={"dropout": 0.4}, at="train"),
            usual=PHOTO,
        )
        for name in ("squeezenet1_0", "squeezenet1_1")
    ),
    *(
        Case(
            spec=name,
            package="torchvision",
            original=vision(name),
            sizes=SMALL,
            source=source("densenet", "_DenseLayer", "_DenseBlock", "_Transition", "DenseNet"),
            wrong=wrong,
            usual=PHOTO,
        )
        for name, wrong in (
            ("densenet121", Wrong(overrides={"layers.relu": {"act": "gelu"}}, at="eval")),
            ("densenet169", Wrong(args={"num_classes": 10}, at="shapes")),
            ("densenet201", Wrong(args={"num_classes": 10}, at="shapes")),
        )
    ),
    *(
        Case(
            spec="googlenet",
            args=args,
            package="torchvision",
            original=vision("googlenet", init_weights=True, **args),
            sizes=SMALL,
            source=source("googlenet", "GoogLeNet", "Inception", "InceptionAux", "BasicConv2d"),
            wrong=wrong,
            full=vision("googlenet", init_weights=True),
            usual=PHOTO,
        )
        for args, wrong in (
            ({}, Wrong(args={"dropout_aux": 0.6}, at="train")),
            ({"aux_logits": False, "num_classes": 10}, Wrong(args={"aux_logits": True}, at="keys")),
        )
    ),
    Case(
        spec="inception_v3",
        package="torchvision",
        original=vision("inception_v3", init_weights=True),
        sizes=((299, 299),),
        source=source("inception", "Inception3", "InceptionA", "InceptionB", "InceptionC")
        + source("inception", "InceptionD", "InceptionE", "InceptionAux", "BasicConv2d"),
        wrong=Wrong(args={"aux_logits": False}, at="keys"),
        # torchvision draws all layers again when the last is made; in the spec the fully connected
        # ones have an `init` of their own, which is drawn at once.
        seed="alike",
        draws=1,
        usual=(299, 299),
    ),
    Case(
        spec="inception_v3",
        args={"aux_logits": False, "num_classes": 10},
        package="torchvision",
        original=vision("inception_v3", init_weights=True, aux_logits=False, num_classes=10),
        sizes=((139, 139), (139, 171)),
        source=source("inception", "Inception3", "InceptionA", "InceptionB", "InceptionC")
        + source("inception", "InceptionD", "InceptionE", "BasicConv2d"),
        wrong=Wrong(args={"dropout": 0.4}, at="train"),
        seed="alike",
        draws=1,
        full=vision("inception_v3", init_weights=True),
        usual=(299, 299),
    ),
    Case(
        spec="mnasnet1_0",
        package="torchvision",
        original=vision("mnasnet1_0"),
        sizes=SMALL,
        source=source("mnasnet", "_InvertedResidual", "_stack", "_round_to_multiple_of")
        + source("mnasnet", "_get_depths", "MNASNet"),
        wrong=Wrong(args={"dropout": 0.3}, at="train"),
        usual=PHOTO,
    ),
    *(
        Case(
            spec="shufflenet_v2_x1_0",
            args=args,
            package="torchvision",
            original=original,
            sizes=SMALL,
            source=source("shufflenetv2", "channel_shuffle", "InvertedResidual", "ShuffleNetV2"),
            wrong=wrong,
            full=vision("shufflenet_v2_x1_0"),
            usual=PHOTO,
        )
        for args, original, wrong in (
            ({}, vision("shufflenet_v2_x1_0"), Wrong(args={"num_classes": 10}, at="shapes")),
            (
                {"widths": [48, 96, 192]},
                vision("shufflenet_v2_x0_5"),
                Wrong(args={"widths": [48, 96, 190]}, at="shapes"),
            ),
        )
    ),
    *(
        Case(
            spec="mobilenet_v2",
            args=args,
            package="torchvision",
            original=vision("mobilenet_v2", **args),
            sizes=SMALL,
            source=(*source("mobilenetv2", "InvertedResidual", "MobileNetV2"), CONV, DIVISIBLE),
            wrong=wrong,
            full=vision("mobilenet_v2"),
            usual=PHOTO,
        )
        for args, wrong in (
            ({}, Wrong(args={"dropout": 0.1}, at="train")),
            ({"width_mult": 0.35, "num_classes": 7}, Wrong(args={"width_mult": 0.4}, at="shapes")),
        )
    ),
    *(
        Case(
            spec=name,
            package="torchvision",
            original=vision(name),
            sizes=SMALL,
            source=source("mobilenetv3", "InvertedResidualConfig", "InvertedResidual")
            + source("mobilenetv3", "MobileNetV3", "_mobilenet_v3_conf")
            + (CONV, SQUEEZE, DIVISIBLE),
            wrong=wrong,
            usual=PHOTO,
        )
        for name, wrong in (
            ("mobilenet_v3_small", Wrong(args={"dropout": 0.1}, at="train")),
            ("mobilenet_v3_large", Wrong(args={"num_classes": 10}, at="shapes")),
        )
    ),
    Case(
        spec="efficientnet_b0",
        package="torchvision",
        original=vision("efficientnet_b0"),
        sizes=SMALL,
        source=EFFICIENTNET,
        wrong=Wrong(args={"momentum": 0.2}, at="buffers"),
        usual=PHOTO,
    ),
    Case(
        spec="efficientnet_b1",
        package="torchvision",
        original=vision("efficientnet_b1"),
        sizes=SQUARE,
        source=EFFICIENTNET,
        wrong=Wrong(args={"eps": 1e-3}, at="eval"),
        usual=PHOTO,
    ),
    Case(
        spec="efficientnet_v2_s",
        package="torchvision",
        original=vision("efficientnet_v2_s"),
        sizes=SMALL,
        source=EFFICIENTNET,
        wrong=Wrong(args={"drop": 0.3}, at="train"),
        usual=(384, 384),
    ),
    Case(
        spec="regnet_y_400mf",
        package="torchvision",
        original=vision("regnet_y_400mf"),
        sizes=SMALL,
        meta=False,
        source=(*REGNET, SQUEEZE),
        wrong=Wrong(args={"se": 0.5}, at="shapes"),
        usual=PHOTO,
    ),
    Case(
        spec="regnet_x_8gf",
        package="torchvision",
        **same_arguments(
            small_regnet, {"depths": [1, 2, 1, 1], "widths": [16, 32, 48, 64], "groups": 8}
        ),
        sizes=SMALL,
        source=REGNET,
        wrong=Wrong(args={"groups": 16}, at="shapes"),
        full=vision("regnet_x_8gf"),
        meta=False,
        usual=PHOTO,
    ),
    Case(
        spec="convnext_tiny",
        package="torchvision",
        original=vision("convnext_tiny"),
        sizes=SMALL,
        source=CONVNEXT,
        wrong=Wrong(args={"scale": 1e-5}, at="seed"),
        usual=PHOTO,
    ),
    Case(
        spec="convnext_base",
        package="torchvision",
        **same_arguments(
            small_convnext, {"depths": [1, 2, 3, 1], "widths": [16, 24, 32, 48], "drop": 0.5}
        ),
        sizes=SMALL,
        source=CONVNEXT,
        wrong=Wrong(args={"drop": 0.4}, at="train"),
        full=vision("convnext_base"),
        usual=PHOTO,
    ),
    *(
        Case(
            spec=spec,
            package="torchvision",
            **same_arguments(small_vit, {**TINY_VIT, **args}),
            sizes=((args["image"], args["image"]),),
            source=VIT,
            wrong=wrong,
            full=vision(spec),
            usual=PHOTO,
        )
        for spec, args, wrong in (
            ("vit_b_16", {"image": 64}, Wrong(args={"heads": 4}, at="eval")),
            (
                "vit_b_16",
                {"image": 96, "dropout": 0.1, "attention_dropout": 0.2},
                Wrong(args={"attention_dropout": 0.1}, at="train"),
            ),
            ("vit_l_32", {"image": 64}, Wrong(args={"dropout": 0.1}, at="train")),
        )
    ),
    Case(
        spec="swin_t",
        package="torchvision",
        original=vision("swin_t"),
        sizes=SMALL,
        source=SWIN,
        wrong=Wrong(args={"drop": 0.3}, at="train"),
        seed=TWICE,
        draws=1,
        usual=PHOTO,
    ),
    Case(
        spec="swin_t",
        args={**TINY_SWIN, "window": 5},
        package="torchvision",
        original=partial(small_swin, **TINY_SWIN, window=5, v2=False),
        sizes=SWIN_SIZES,
        source=SWIN,
        wrong=Wrong(args={"window": 6}, at="shapes"),
        seed=TWICE,
        full=vision("swin_t"),
        usual=PHOTO,
    ),
    Case(
        spec="swin_v2_t",
        package="torchvision",
        original=vision("swin_v2_t"),
        sizes=SMALL,
        source=SWIN_V2,
        wrong=Wrong(args={"drop": 0.3}, at="train"),
        seed=TWICE,
        draws=1,
        own_buffers=own_steps([2, 2, 6, 2]),
        usual=(256, 256),
    ),
    Case(
        spec="swin_v2_t",
        args={**TINY_SWIN, "window": 6},
        package="torchvision",
        original=partial(small_swin, **TINY_SWIN, window=6, v2=True),
        sizes=SWIN_SIZES,
        source=SWIN_V2,
        wrong=Wrong(args={"heads": [2, 2, 3, 4]}, at="shapes"),
        seed=TWICE,
        own_buffers=own_steps([2, 2, 2, 2]),
        full=vision("swin_v2_t"),
        usual=(256, 256),
    ),
    Case(
        spec="maxvit_t",
        package="torchvision",
        **same_arguments(small_maxvit, TINY_MAXVIT),
        sizes=SQUARE,
        source=MAXVIT,
        wrong=Wrong(args={"drop": 0.3}, at="train"),
        full=vision("maxvit_t"),
        usual=PHOTO,
    ),
    *(
        Case(
            spec=name,
            args=args,
            package="torchvision",
            original=segmentation(name, **args),
            sizes=((64, 64), (96, 80)),
            source=(*SEGMENTATION, *heads),
            wrong=wrong,
            # torchvision draws ResNet's last layer and drops it, and draws its heads in another
            # order than it has them in.
            seed="alike",
            draws=1,
            full=segmentation(name),
            usual=PHOTO,
        )
        for name, heads in (
            ("fcn_resnet50", source("segmentation.fcn", "FCN", "FCNHead")),
            (
                "deeplabv3_resnet50",
                source("segmentation.deeplabv3", "DeepLabV3", "DeepLabHead", "ASPPConv")
                + source("segmentation.deeplabv3", "ASPPPooling", "ASPP"),
            ),
        )
        for args, wrong in (
            ({}, Wrong(args={"num_classes": 20}, at="shapes")),
            ({"aux_loss": True, "num_classes": 5}, Wrong(args={"aux_loss": False}, at="keys")),
        )
    ),
)
