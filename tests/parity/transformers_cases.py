"""The specs whose originals are Hugging Face's transformers, all with sdpa attention."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import torch
from torch import Tensor, nn

from tests.parity.case import Case, Size, Wrong
from tests.parity.libraries import library
from tests.twins.registry import tokens

WORDS = 99
LENGTHS: tuple[Size, ...] = ((7,), (20,))
SENTENCE: Size = (128,)
# transformers initialises the body before the head is made, or a part twice, or all of one class
# at the end; a spec draws layer by layer.
ANOTHER_ORDER: Final = "alike"


def transformer(model: str, config: str, **values: object) -> Callable[[], nn.Module]:
    """A maker of the class `model` with this configuration."""
    return partial(make_transformer, model, config, values)


def make_transformer(model: str, config: str, values: Mapping[str, object]) -> nn.Module:
    transformers = library("transformers")
    configuration = getattr(transformers, config)(**values)
    configuration._attn_implementation = "sdpa"
    return getattr(transformers, model)(configuration)


def source(name: str, *classes: str) -> tuple[str, ...]:
    return tuple(f"transformers.models.{name}.modeling_{name}.{each}" for each in classes)


# Inputs, and how an original takes them


def ids(count: int, size: Size, vocab: int = WORDS) -> tuple[Tensor, ...]:
    return (tokens(count, *size, vocab=vocab),)


def mask(count: int, length: int) -> Tensor:
    """Ones, less the last word of the second sentence, the last two of the third, and so on."""
    result = torch.ones(count, length, dtype=torch.int64)
    for k in range(1, count):
        result[k, length - k :] = 0
    return result


def padded(count: int, size: Size) -> tuple[Tensor, ...]:
    """Words and their mask, with 0 in place of what is padded; the first word of all is 1.

    In a batch of three none is padded, which takes another way in sdpa.
    """
    words = tokens(count, *size, vocab=WORDS)
    real = torch.ones_like(words) if count == 3 else mask(count, size[0])
    words = words * real
    words[0, 0] = 1
    return words, real


def padded_pairs(count: int, size: Size) -> tuple[Tensor, ...]:
    """Words, their mask, and the number of the sentence that each is of."""
    words, real = padded(count, size)
    types = (torch.arange(size[0]) > size[0] // 2).long().expand(count, -1)
    return words, real, types


def marked(count: int, size: Size) -> tuple[Tensor, ...]:
    """Words above 1 and their mask, with 1 in place of what is padded: RoBERTa counts by it."""
    words, real = padded(count, size)
    words = torch.where(real == 1, words.clamp(min=2), 1)
    words[0, 0] = 0
    return words, real


def translated(count: int, size: Size) -> tuple[Tensor, ...]:
    source_length, target_length = size
    return *padded(count, (source_length,)), tokens(count, target_length, vocab=WORDS)


def states_of_pairs(model: nn.Module, words: Tensor, real: Tensor, types: Tensor) -> object:
    return dict(model(input_ids=words, attention_mask=real, token_type_ids=types))


def states_of_words(model: nn.Module, words: Tensor, real: Tensor) -> object:
    return dict(model(input_ids=words, attention_mask=real))


def last_state(model: nn.Module, words: Tensor, real: Tensor) -> object:
    return model(input_ids=words, attention_mask=real).last_hidden_state


def states_of_image(model: nn.Module, x: Tensor) -> object:
    return dict(model(pixel_values=x))


def logits(model: nn.Module, words: Tensor) -> object:
    return model(input_ids=words, use_cache=False).logits


def translated_logits(model: nn.Module, words: Tensor, real: Tensor, target: Tensor) -> object:
    return model(
        input_ids=words, attention_mask=real, decoder_input_ids=target, use_cache=False
    ).logits


# Small models: the same ones by the configuration's names and by the spec's

SMALL_BERT = {
    "vocab_size": WORDS, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "intermediate_size": 96,
}  # fmt: skip
SMALL_SPEC = {
    "vocab_size": WORDS, "hidden_size": 64, "depth": 2, "heads": 4, "intermediate_size": 96,
}  # fmt: skip
ROBERTA = {"type_vocab_size": 1, "layer_norm_eps": 1e-5}  # as roberta-base has them
LLAMA3 = {"rms_norm_eps": 1e-5, "rope_parameters": {"rope_type": "default", "rope_theta": 5e5}}
GATED = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
T5_BASE = {"d_model": 768, "d_ff": 3072, "num_layers": 12, "num_heads": 12}

CASES: tuple[Case, ...] = (
    Case(
        spec="bert",
        args={**SMALL_SPEC, "max_positions": 40},
        package="transformers",
        original=transformer("BertModel", "BertConfig", **SMALL_BERT, max_position_embeddings=40),
        inputs=padded_pairs,
        sizes=LENGTHS,
        call=states_of_pairs,
        source=source("bert", "BertEmbeddings", "BertSelfAttention", "BertSelfOutput")
        + source("bert", "BertAttention", "BertIntermediate", "BertOutput", "BertLayer")
        + source("bert", "BertEncoder", "BertPooler", "BertModel"),
        wrong=Wrong(args={"heads": 2}, at="eval"),
        their_buffers=("embeddings.position_ids", "embeddings.token_type_ids"),
        full=transformer("BertModel", "BertConfig"),
        usual=SENTENCE,
    ),
    Case(
        spec="distilbert",
        args={
            "vocab_size": WORDS, "dim": 64, "depth": 2, "heads": 4, "hidden_dim": 96,
            "positions": 40,
        },
        package="transformers",
        original=transformer(
            "DistilBertModel", "DistilBertConfig", vocab_size=WORDS, max_position_embeddings=40,
            n_layers=2, n_heads=4, dim=64, hidden_dim=96,
        ),
        inputs=padded,
        sizes=LENGTHS,
        call=last_state,
        source=source("distilbert", "Embeddings", "DistilBertSelfAttention", "FFN")
        + source("distilbert", "TransformerBlock", "Transformer", "DistilBertModel"),
        wrong=Wrong(args={"dropout": 0.2}, at="train"),
        their_buffers=("embeddings.position_ids",),
        full=transformer("DistilBertModel", "DistilBertConfig"),
        usual=SENTENCE,
    ),
    Case(
        spec="roberta",
        args={**SMALL_SPEC, "max_positions": 42},
        package="transformers",
        original=transformer(
            "RobertaModel", "RobertaConfig", **SMALL_BERT, **ROBERTA, max_position_embeddings=42
        ),
        inputs=marked,
        sizes=LENGTHS,
        call=states_of_words,
        source=source("roberta", "RobertaEmbeddings", "RobertaSelfAttention")
        + source("roberta", "RobertaSelfOutput", "RobertaAttention", "RobertaIntermediate")
        + source("roberta", "RobertaOutput", "RobertaLayer", "RobertaEncoder", "RobertaPooler")
        + source("roberta", "RobertaModel"),
        wrong=Wrong(args={"eps": 1e-4}, at="eval"),
        their_buffers=("embeddings.position_ids", "embeddings.token_type_ids"),
        full=transformer("RobertaModel", "RobertaConfig", max_position_embeddings=514, **ROBERTA),
        usual=SENTENCE,
    ),
    Case(
        spec="gpt2",
        args={"vocab_size": WORDS, "positions": 40, "width": 64, "depth": 2, "heads": 4},
        package="transformers",
        original=transformer(
            "GPT2LMHeadModel", "GPT2Config", vocab_size=WORDS, n_positions=40, n_embd=64,
            n_layer=2, n_head=4, bos_token_id=0, eos_token_id=0,
        ),
        inputs=ids,
        sizes=LENGTHS,
        call=logits,
        source=(
            *source("gpt2", "GPT2Attention", "GPT2MLP", "GPT2Block", "GPT2Model"),
            *source("gpt2", "GPT2LMHeadModel"), "transformers.pytorch_utils.Conv1D",
        ),
        wrong=Wrong(args={"dropout": 0.2}, at="train"),
        seed=ANOTHER_ORDER,
        full=transformer("GPT2LMHeadModel", "GPT2Config"),
        usual=SENTENCE,
    ),
    *(
        Case(
            spec="llama",
            args={**SMALL_SPEC, "kv_heads": kv_heads},
            package="transformers",
            original=transformer(
                "LlamaForCausalLM", "LlamaConfig", **SMALL_BERT, **LLAMA3,
                num_key_value_heads=kv_heads, max_position_embeddings=64,
            ),
            inputs=ids,
            sizes=((7,), (40,)),
            call=logits,
            source=source("llama", "LlamaRMSNorm", "LlamaRotaryEmbedding", "rotate_half")
            + source("llama", "apply_rotary_pos_emb", "LlamaMLP", "repeat_kv", "LlamaAttention")
            + source("llama", "LlamaDecoderLayer", "LlamaModel", "LlamaForCausalLM"),
            wrong=wrong,
            seed=ANOTHER_ORDER,
            their_buffers=("model.rotary_emb.original_inv_freq",),  # a copy of inv_freq
            full=transformer(
                "LlamaForCausalLM", "LlamaConfig", vocab_size=128256, hidden_size=4096,
                intermediate_size=14336, num_hidden_layers=32, num_attention_heads=32,
                num_key_value_heads=8, **LLAMA3,
            ),
            usual=SENTENCE,
        )
        for kv_heads, wrong in (
            (2, Wrong(args={"kv_heads": 1}, at="shapes")),
            (4, Wrong(args={"rope_theta": 10000.0}, at="eval")),
        )
    ),
    *(
        Case(
            spec="t5",
            args={
                "vocab_size": WORDS, "width": 64, "depth": 3, "heads": 4, "size": 12, "d_ff": 96,
                "gated": gated,
            },
            package="transformers",
            original=transformer(
                "T5ForConditionalGeneration", "T5Config", vocab_size=WORDS, d_model=64, d_kv=12,
                d_ff=96, num_layers=3, num_heads=4, decoder_start_token_id=0,
                **(GATED if gated else {}),
            ),
            inputs=translated,
            sizes=((7, 5), (40, 150), (140, 3)),  # far and near positions are counted apart
            call=translated_logits,
            source=source("t5", "T5LayerNorm", "T5DenseActDense", "T5DenseGatedActDense")
            + source("t5", "T5LayerFF", "T5Attention", "T5LayerSelfAttention")
            + source("t5", "T5LayerCrossAttention", "T5Block", "T5PreTrainedModel", "T5Stack")
            + source("t5", "T5ForConditionalGeneration"),
            wrong=wrong,
            seed=ANOTHER_ORDER,
            full=transformer("T5ForConditionalGeneration", "T5Config", **T5_BASE),
            usual=(128, 128),
        )
        for gated, wrong in (
            (False, Wrong(args={"dropout": 0.2}, at="train")),
            (True, Wrong(args={"gated": False}, at="keys")),
        )
    ),
    *(
        Case(
            spec="vit",
            args={
                "image": 32, "patch": 8, "width": 64, "depth": 2, "heads": 4, "mlp_dim": 96,
                "dropout": dropout,
            },
            package="transformers",
            original=transformer(
                "ViTModel", "ViTConfig", hidden_size=64, num_hidden_layers=2,
                num_attention_heads=4, intermediate_size=96, image_size=32, patch_size=8,
                hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout,
            ),
            sizes=((32, 32),),
            call=states_of_image,
            source=source("vit", "ViTPatchEmbeddings", "ViTEmbeddings", "ViTAttention", "ViTMLP")
            + source("vit", "ViTLayer", "ViTPooler", "ViTModel"),
            wrong=wrong,
            seed=ANOTHER_ORDER,
            full=transformer("ViTModel", "ViTConfig"),
            usual=(224, 224),
        )
        for dropout, wrong in (
            (0.0, Wrong(args={"eps": 1e-5}, at="eval")),
            (0.1, Wrong(args={"dropout": 0.2}, at="train")),
        )
    ),
)  # fmt: skip
