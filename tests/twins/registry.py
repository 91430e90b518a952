"""Which hand-written network belongs to which spec, and what a wrong spec of it looks like."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn

from tests.twins import (
    branches,
    classifiers,
    containers,
    functional,
    heads,
    language,
    resnet,
)


@dataclass(frozen=True, kw_only=True)
class Twin:
    """A spec beside the model that one would write by hand for it.

    `wrong` are overrides that leave a spec which still builds, and whose model differs.
    """

    spec: str  # a file of configs/model, without `.yaml`
    make: Callable[[], nn.Module]  # the hand-written model, for `args`
    inputs: Callable[[int], tuple[Tensor, ...]]  # for a batch size; the same at every call
    args: Mapping[str, object] = field(default_factory=dict)
    forms: tuple[str, ...] = ("module", "functional")
    wrong: Mapping[str, object]  # a place in the spec -> another value
    slow: bool = False  # takes seconds

    def __str__(self) -> str:
        return "-".join([self.spec, *(f"{name}={value}" for name, value in self.args.items())])


def floats(*shape: int, seed: int = 0) -> Tensor:
    """Normal random numbers, the same for the same shape and seed."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def tokens(*shape: int, vocab: int) -> Tensor:
    """Random int64 indices below `vocab`, the same for the same shape."""
    return torch.randint(vocab, shape, generator=torch.Generator().manual_seed(0))


TWINS: tuple[Twin, ...] = (
    Twin(
        spec="lenet",
        make=classifiers.LeNet,
        inputs=lambda n: (floats(n, 1, 28, 28),),
        wrong={"layers.conv1.out_channels": 7},
    ),
    Twin(
        spec="lenet",
        args={"num_classes": 4, "last_relu": True},
        make=partial(classifiers.LeNet, num_classes=4, last_relu=True),
        inputs=lambda n: (floats(n, 1, 28, 28),),
        wrong={"layers.act5.when": False},
    ),
    Twin(
        spec="alexnet",
        make=classifiers.AlexNet,
        inputs=lambda n: (floats(n, 3, 224, 224),),
        wrong={"args.dropout": 0.4},
        slow=True,
    ),
    Twin(
        spec="alexnet",
        args={"num_classes": 10, "hidden": 64},
        make=partial(classifiers.AlexNet, num_classes=10, hidden=64),
        inputs=lambda n: (floats(n, 3, 224, 224),),
        wrong={"args.dropout": 0.4},
    ),
    Twin(
        spec="alexnet_stem_module",
        make=classifiers.alexnet_stem_module,
        inputs=lambda n: (floats(n, 3, 32, 32),),
        wrong={"layers.relu": "GELU"},
    ),
    Twin(
        spec="alexnet_stem_function",
        make=classifiers.AlexNetStemFunction,
        inputs=lambda n: (floats(n, 3, 32, 32),),
        wrong={"layers.relu": "gelu"},
    ),
    Twin(
        spec="small_net",
        make=classifiers.SmallNet,
        inputs=lambda n: (floats(n, 3, 32, 32),),
        wrong={"layers.pool.padding": 0},
    ),
    Twin(
        spec="three_numbered",
        make=containers.three_numbered,
        inputs=lambda n: (floats(n, 3, 16, 16),),
        wrong={"layers.0.padding": 0},
    ),
    Twin(
        spec="three_named",
        make=containers.three_named,
        inputs=lambda n: (floats(n, 3, 16, 16),),
        wrong={"layers.act.act": "tanh"},
    ),
    Twin(
        spec="three_nested",
        make=containers.three_nested,
        inputs=lambda n: (floats(n, 3, 16, 16),),
        wrong={"layers.stem.layers.0.layers.conv.bias": False},
    ),
    Twin(
        spec="module_list",
        make=containers.ModuleListNet,
        inputs=lambda n: (floats(n, 10),),
        wrong={"layers.mix.value": "=linears[i](_) + linears[i](_)"},
    ),
    Twin(
        spec="linear_net",
        make=containers.LinearNet,
        inputs=lambda n: (floats(n, 5),),
        wrong={"args.depth": 5},
    ),
    Twin(
        spec="linear_net",
        args={"depth": 7},
        make=partial(containers.LinearNet, depth=7),
        inputs=lambda n: (floats(n, 5),),
        wrong={"layers.linears.out_features": "=2 if i == depth - 1 else 4"},
    ),
    Twin(
        spec="parameter_list",
        make=containers.ParameterListNet,
        inputs=lambda n: (floats(n, 10),),
        wrong={"layers.params.init.normal_.std": 0.2},
    ),
    Twin(
        spec="functional_conv",
        make=functional.FunctionalConv,
        inputs=lambda n: (floats(n, 3, 8, 8),),
        wrong={"layers.bn.layers.out.momentum": 0.2},
    ),
    Twin(
        spec="functional_conv_twin",
        make=functional.FunctionalConvTwin,
        inputs=lambda n: (floats(n, 3, 8, 8),),
        wrong={"layers.fc.init.weight": "xavier_normal_"},
    ),
    Twin(
        spec="relu_experiment",
        make=functional.ReluExperiment,
        inputs=lambda n: (floats(1, 7),),
        wrong={"layers.W.init": "ones_"},
    ),
    Twin(
        spec="residual",
        make=branches.ResidualBlock,
        inputs=lambda n: (floats(n, 8, 16, 16),),
        wrong={"layers.sum": "=bn2 - shortcut"},
    ),
    Twin(
        spec="residual",
        args={"width": 8, "stride": 1},
        make=partial(branches.ResidualBlock, width=8, stride=1),
        inputs=lambda n: (floats(n, 8, 16, 16),),
        wrong={"layers.shortcut.when": True},
    ),
    Twin(
        spec="inception",
        make=branches.Inception,
        inputs=lambda n: (floats(n, 16, 14, 14),),
        wrong={"layers.joined.from": ["branch2", "branch1", "branch3", "branch4"]},
    ),
    Twin(
        spec="dense_block",
        make=branches.DenseBlock,
        inputs=lambda n: (floats(n, 8, 8, 8),),
        wrong={"layers.denseblock.repeat.name": "=f'denselayer{k}'"},
    ),
    Twin(
        spec="unet",
        make=branches.UNet,
        inputs=lambda n: (floats(n, 3, 16, 24),),
        wrong={"layers.cat1.from": ["up1", "down1"]},
    ),
    Twin(
        spec="two_heads",
        make=heads.TwoHeads,
        inputs=lambda n: (floats(n, 1, 28, 28),),
        wrong={"layers.degrees.const": "=6.0 * arange(bins)"},
    ),
    Twin(
        spec="train_outputs",
        make=heads.AuxiliaryNet,
        inputs=lambda n: (floats(n, 3, 32, 32),),
        wrong={"layers.drop.p": 0.3},
    ),
    Twin(
        spec="two_inputs",
        make=heads.TwoInputs,
        inputs=lambda n: (floats(n, 1, 16, 16), floats(n, 5, seed=1)),
        wrong={"layers.joined.from": ["row_net", "image_net"]},
    ),
    Twin(
        spec="siamese",
        make=heads.Siamese,
        inputs=lambda n: (floats(n, 1, 28, 28), floats(n, 1, 28, 28, seed=1)),
        wrong={"layers.distance.p": 1.0},
    ),
    Twin(
        spec="tied",
        make=language.TiedEmbedding,
        inputs=lambda n: (tokens(n, 6, vocab=50),),
        wrong={"layers.head.tie": None},
    ),
    Twin(
        spec="lstm_tagger",
        make=language.LSTMTagger,
        inputs=lambda n: (tokens(n, 9, vocab=50),),
        wrong={"layers.last": "=lstm[1][1]"},
    ),
    Twin(
        spec="encoder_block",
        make=language.EncoderBlock,
        inputs=lambda n: (floats(n, 10, 32),),
        wrong={"args.heads": 2},
    ),
    Twin(
        spec="sdpa_block",
        make=language.SdpaBlock,
        inputs=lambda n: (floats(n, 10, 32),),
        wrong={"layers.attn.dropout_p": 0.3},
    ),
    Twin(
        spec="gpt",
        make=language.GPT,
        inputs=lambda n: (tokens(n, 16, vocab=65),),
        wrong={"blocks.Attention.layers.attn.is_causal": False},
    ),
    Twin(
        spec="gpt",
        args={"vocab": 11, "context": 8, "width": 6, "depth": 1, "heads": 3, "dropout": 0.0},
        make=partial(language.GPT, vocab=11, context=8, width=6, depth=1, heads=3, dropout=0.0),
        inputs=lambda n: (tokens(n, 8, vocab=11),),
        wrong={"layers.sum": "=wte - wpe"},
    ),
    Twin(
        spec="char_gpt",
        args={"vocab_size": 11, "context": 8, "width": 6, "depth": 2, "heads": 3, "dropout": 0.1},
        make=partial(
            language.CharGPT, vocab_size=11, context=8, width=6, depth=2, heads=3, dropout=0.1
        ),
        inputs=lambda n: (tokens(n, 8, vocab=11),),
        wrong={"blocks.Block.layers.sum2": "=x + mlp"},
    ),
    Twin(
        spec="resnet18",
        make=resnet.resnet18,
        inputs=lambda n: (floats(n, 3, 64, 64),),
        wrong={"layers.layer2.stride": 1},
    ),
    Twin(
        spec="resnet50",
        make=resnet.resnet50,
        inputs=lambda n: (floats(n, 3, 64, 64),),
        wrong={"init": {"Conv2d.weight": "kaiming_normal_"}},
    ),
    Twin(
        spec="part",
        make=classifiers.PartNet,
        inputs=lambda n: (floats(n, 1, 28, 28),),
        wrong={"layers.lenet.freeze": False},
    ),
)
