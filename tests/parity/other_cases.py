"""The specs whose originals are timm's, torchcrepe's, torchvision's MLP, or written by hand."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

from tests.parity import handwritten
from tests.parity.case import Case, Size, Wrong, same_arguments
from tests.parity.libraries import library
from tests.twins.branches import UNet
from tests.twins.registry import floats, tokens


def rows(count: int, size: Size) -> tuple[Tensor, ...]:
    return (floats(count, *size),)


def words(vocab: int) -> Callable[[int, Size], tuple[Tensor, ...]]:
    return lambda count, size: (tokens(count, *size, vocab=vocab),)


def channels(number: int) -> Callable[[int, Size], tuple[Tensor, ...]]:
    return lambda count, size: (floats(count, number, *size),)


def by_hand(*names: str) -> tuple[str, ...]:
    return tuple(f"{handwritten.__name__}.{name}" for name in names)


def torchvision_mlp(
    inputs: int, widths: list[int], norm: bool = False, dropout: float = 0.0
) -> nn.Module:
    layer = nn.BatchNorm1d if norm else None
    return library("torchvision.ops").MLP(inputs, widths, norm_layer=layer, dropout=dropout)


def timm_mixer(
    image: int, patch: int, width: int, depth: int, num_classes: int, dropout: float
) -> nn.Module:
    return library("timm.models.mlp_mixer").MlpMixer(
        num_classes=num_classes, img_size=image, patch_size=patch, num_blocks=depth,
        embed_dim=width, proj_drop_rate=dropout,
    )  # fmt: skip


def timm_model(name: str) -> nn.Module:
    return library("timm").create_model(name)


def crepe(model: str) -> nn.Module:
    return library("torchcrepe").Crepe(model)


def present(model: nn.Module, x: Tensor) -> tuple[Tensor, ...]:
    """What the spec gives: without the transform it leaves it out, where the original has None."""
    return tuple(value for value in model(x) if value is not None)


def states(vocab: int, hidden: int) -> Callable[[int, Size], tuple[Tensor, ...]]:
    """Words, time first, and the two states of an LSTM of two layers."""
    return lambda count, size: (
        tokens(*size, count, vocab=vocab),
        floats(2, count, hidden),
        floats(2, count, hidden, seed=1),
    )


def pairs(words_in: int, words_out: int, steps: int) -> Callable[[int, Size], tuple[Tensor, ...]]:
    return lambda count, size: (
        tokens(count, *size, vocab=words_in),
        tokens(count, steps, vocab=words_out),
    )


CASES: tuple[Case, ...] = (
    Case(
        spec="mlp",
        package="torchvision",
        original=partial(torchvision_mlp, 784, [512, 256, 10]),
        inputs=rows,
        sizes=((784,),),
        source=("torchvision.ops.MLP",),
        wrong=Wrong(args={"widths": [512, 10]}, at="keys"),
        usual=(784,),
    ),
    Case(
        spec="mlp",
        package="torchvision",
        **same_arguments(
            torchvision_mlp, {"inputs": 12, "widths": [16, 8], "norm": True, "dropout": 0.3}
        ),
        inputs=rows,
        sizes=((12,),),
        source=("torchvision.ops.MLP",),
        wrong=Wrong(args={"dropout": 0.2}, at="train"),
        full=partial(torchvision_mlp, 784, [512, 256, 10]),
        usual=(784,),
    ),
    *(
        Case(
            spec="mixer",
            package="timm",
            **same_arguments(
                timm_mixer,
                {
                    "image": 32, "patch": 8, "width": 64, "depth": 2, "num_classes": 10,
                    "dropout": dropout,
                },
            ),
            sizes=((32, 32),),
            source=(
                "timm.models.mlp_mixer.MixerBlock", "timm.models.mlp_mixer.MlpMixer",
                "timm.models.mlp_mixer._init_weights", "timm.layers.Mlp", "timm.layers.PatchEmbed",
            ),
            wrong=wrong,
            seed="alike",  # timm initialises all once more at the end
            full=partial(timm_model, "mixer_b16_224"),
            usual=(224, 224),
        )
        for dropout, wrong in (
            (0.0, Wrong(args={"width": 60}, at="shapes")),
            (0.1, Wrong(args={"dropout": 0.2}, at="train")),
        )
    ),
    *(
        Case(
            spec="crepe",
            args={"width": width} if width != 1024 else {},
            package="torchcrepe",
            original=partial(crepe, model),
            inputs=rows,
            sizes=((1024,),),
            source=("torchcrepe.model.Crepe",),
            wrong=wrong,
            full=partial(crepe, "full"),
            usual=(1024,),
        )
        for model, width, wrong in (
            ("tiny", 128, Wrong(args={"eps": 1e-5}, at="eval")),
            ("full", 1024, Wrong(args={"bins": 361}, at="shapes")),
        )
    ),
    Case(
        spec="autoencoder",
        package="",
        original=handwritten.AutoEncoder,
        inputs=channels(1),
        sizes=((32, 32),),
        source=by_hand("AutoEncoder"),
        wrong=Wrong(args={"widths": [16, 32]}, at="keys"),
        usual=(32, 32),
    ),
    Case(
        spec="autoencoder",
        args={"channels": 3, "size": 64, "widths": [4, 8]},
        package="",
        original=partial(handwritten.AutoEncoder, 3, (4, 8)),
        sizes=((64, 64),),
        source=by_hand("AutoEncoder"),
        wrong=Wrong(args={"widths": [4, 6]}, at="shapes"),
        full=handwritten.AutoEncoder,
        full_inputs=channels(1),
        usual=(32, 32),
    ),
    Case(
        spec="vae",
        package="",
        original=handwritten.VAE,
        inputs=rows,
        sizes=((784,),),
        source=by_hand("VAE"),
        wrong=Wrong(overrides={"layers.std": "=exp(0.5 * fc22.detach())"}, at="gradients"),
        usual=(784,),
    ),
    *(
        Case(
            spec="dcgan_generator",
            package="",
            **same_arguments(handwritten.Generator, args),
            inputs=channels(args.get("noise", 100)),
            sizes=((1, 1),),
            source=by_hand("initialise_dcgan", "Generator"),
            wrong=Wrong(args={"width": 8}, at="shapes"),
            full=handwritten.Generator,
            full_inputs=channels(100),
            usual=(1, 1),
        )
        for args in ({}, {"noise": 10, "width": 4, "channels": 1})
    ),
    *(
        Case(
            spec="dcgan_discriminator",
            package="",
            **same_arguments(handwritten.Discriminator, args),
            inputs=channels(args.get("channels", 3)),
            sizes=((64, 64),),
            source=by_hand("initialise_dcgan", "Discriminator"),
            wrong=Wrong(args={"width": 8}, at="shapes"),
            full=handwritten.Discriminator,
            full_inputs=channels(3),
            usual=(64, 64),
        )
        for args in ({}, {"width": 4, "channels": 1})
    ),
    *(
        Case(
            spec="lstm_lm",
            package="",
            **same_arguments(
                handwritten.RNNModel, {"vocab_size": 50, "width": 16, "hidden": 16, "tied": tied}
            ),
            inputs=states(50, 16),
            sizes=((7,), (4,)),
            source=by_hand("RNNModel"),
            wrong=wrong,
            full=handwritten.RNNModel,
            full_inputs=states(33278, 200),
            usual=(35,),
        )
        for tied, wrong in (
            (False, Wrong(args={"dropout": 0.3}, at="train")),
            (True, Wrong(args={"tied": False}, at="shapes")),
        )
    ),
    *(
        Case(
            spec="seq2seq",
            package="",
            **same_arguments(
                handwritten.Seq2Seq,
                {"words_in": 30, "words_out": 20, "hidden": 16, "forced": forced},
            ),
            inputs=pairs(30, 20, 10),
            sizes=((7,), (12,)),
            source=by_hand("EncoderRNN", "BahdanauAttention", "AttnDecoderRNN", "Seq2Seq"),
            wrong=Wrong(args={"forced": not forced}, at="eval"),
            full=handwritten.Seq2Seq,
            usual=(10,),
        )
        for forced in (True, False)
    ),
    Case(
        spec="wavenet",
        package="",
        **same_arguments(
            handwritten.WaveNet,
            {"classes": 32, "residual": 8, "skip": 16, "stacks": 2, "depth": 4},
        ),
        inputs=words(32),
        sizes=((40,), (65,)),
        source=by_hand("WaveLayer", "WaveNet"),
        wrong=Wrong(args={"stacks": 1, "depth": 8}, at="eval"),
        full=handwritten.WaveNet,
        usual=(1024,),
    ),
    *(
        Case(
            spec="pointnet",
            package="",
            **same_arguments(handwritten.PointNet, {"classes": 10, "transform": transform}),
            inputs=channels(3),
            sizes=((20,), (33,)),
            call=present,
            source=by_hand("TNet", "PointNetFeatures", "PointNet"),
            wrong=Wrong(args={"classes": 11}, at="shapes")
            if transform
            else Wrong(args={"transform": True}, at="keys"),
            full=handwritten.PointNet,
            usual=(1024,),
        )
        for transform in (True, False)
    ),
    Case(
        spec="unet",
        package="",
        original=UNet,
        sizes=((16, 24), (32, 32)),
        source=("tests.twins.branches.UNet",),
        wrong=Wrong(args={"width": 6}, at="shapes"),
        usual=(96, 96),
    ),
)  # fmt: skip
