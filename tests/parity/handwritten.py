"""Originals that no package has: networks as in PyTorch's tutorials and examples, by hand."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class AutoEncoder(nn.Module):
    def __init__(self, channels: int = 1, widths: Sequence[int] = (16, 32, 64)) -> None:
        super().__init__()
        down: list[nn.Module] = []
        up: list[nn.Module] = []
        before = channels
        for width in widths:
            down += [nn.Conv2d(before, width, 3, 2, 1), nn.ReLU()]
            before = width
        for width in (*widths[-2::-1], channels):
            up += [nn.ConvTranspose2d(before, width, 3, 2, 1, output_padding=1), nn.ReLU()]
            before = width
        self.encoder = nn.Sequential(*down)
        self.decoder = nn.Sequential(*up[:-1], nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x))


class VAE(nn.Module):
    """As in pytorch/examples, vae."""

    def __init__(self, pixels: int = 784, hidden: int = 400, latent: int = 20) -> None:
        super().__init__()
        self.pixels = pixels
        self.fc1 = nn.Linear(pixels, hidden)
        self.fc21 = nn.Linear(hidden, latent)
        self.fc22 = nn.Linear(hidden, latent)
        self.fc3 = nn.Linear(latent, hidden)
        self.fc4 = nn.Linear(hidden, pixels)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h = F.relu(self.fc1(x.view(-1, self.pixels)))
        mean, log_variance = self.fc21(h), self.fc22(h)
        std = torch.exp(0.5 * log_variance)
        z = mean + torch.randn_like(std) * std
        return torch.sigmoid(self.fc4(F.relu(self.fc3(z)))), mean, log_variance


def initialise_dcgan(module: nn.Module) -> None:
    name = type(module).__name__
    if "Conv" in name:
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif "BatchNorm" in name:
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)


class Generator(nn.Module):
    """As in PyTorch's DCGAN tutorial."""

    def __init__(self, noise: int = 100, width: int = 64, channels: int = 3) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.ConvTranspose2d(noise, width * 8, 4, 1, 0, bias=False),
            nn.BatchNorm2d(width * 8),
            nn.ReLU(True),
            nn.ConvTranspose2d(width * 8, width * 4, 4, 2, 1, bias=False),
            nn.BatchNorm2d(width * 4),
            nn.ReLU(True),
            nn.ConvTranspose2d(width * 4, width * 2, 4, 2, 1, bias=False),
            nn.BatchNorm2d(width * 2),
            nn.ReLU(True),
            nn.ConvTranspose2d(width * 2, width, 4, 2, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(True),
            nn.ConvTranspose2d(width, channels, 4, 2, 1, bias=False),
            nn.Tanh(),
        )
        self.apply(initialise_dcgan)

    def forward(self, z: Tensor) -> Tensor:
        return self.main(z)


class Discriminator(nn.Module):
    """As in PyTorch's DCGAN tutorial."""

    def __init__(self, width: int = 64, channels: int = 3) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(channels, width, 4, 2, 1, bias=False),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(width, width * 2, 4, 2, 1, bias=False),
            nn.BatchNorm2d(width * 2),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(width * 2, width * 4, 4, 2, 1, bias=False),
            nn.BatchNorm2d(width * 4),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(width * 4, width * 8, 4, 2, 1, bias=False),
            nn.BatchNorm2d(width * 8),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(width * 8, 1, 4, 1, 0, bias=False),
            nn.Sigmoid(),
        )
        self.apply(initialise_dcgan)

    def forward(self, x: Tensor) -> Tensor:
        return self.main(x)


class RNNModel(nn.Module):
    """As in pytorch/examples, word_language_model, with an LSTM."""

    def __init__(
        self,
        vocab_size: int = 33278,
        width: int = 200,
        hidden: int = 200,
        depth: int = 2,
        dropout: float = 0.2,
        tied: bool = False,
    ) -> None:
        super().__init__()
        self.vocab_size = vocab_size
        self.drop = nn.Dropout(dropout)
        self.encoder = nn.Embedding(vocab_size, width)
        self.rnn = nn.LSTM(width, hidden, depth, dropout=dropout)
        self.decoder = nn.Linear(hidden, vocab_size)
        if tied:
            self.decoder.weight = self.encoder.weight
        nn.init.uniform_(self.encoder.weight, -0.1, 0.1)
        nn.init.zeros_(self.decoder.bias)
        nn.init.uniform_(self.decoder.weight, -0.1, 0.1)

    def forward(self, words: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        output, state = self.rnn(self.drop(self.encoder(words)), (h, c))
        decoded = self.decoder(self.drop(output)).view(-1, self.vocab_size)
        return F.log_softmax(decoded, dim=1), state


class EncoderRNN(nn.Module):
    """This and the next three as in PyTorch's tutorial of translation with a sequence to sequence
    network and attention."""

    def __init__(self, words: int, hidden: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, hidden)
        self.gru = nn.GRU(hidden, hidden, batch_first=True)
        self.dropout = nn.Dropout(dropout)

    def forward(self, source: Tensor) -> tuple[Tensor, Tensor]:
        return self.gru(self.dropout(self.embedding(source)))


class BahdanauAttention(nn.Module):
    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.Wa = nn.Linear(hidden, hidden)
        self.Ua = nn.Linear(hidden, hidden)
        self.Va = nn.Linear(hidden, 1)

    def forward(self, query: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
        scores = self.Va(torch.tanh(self.Wa(query) + self.Ua(keys))).squeeze(2).unsqueeze(1)
        weights = F.softmax(scores, dim=-1)
        return torch.bmm(weights, keys), weights


class AttnDecoderRNN(nn.Module):
    def __init__(self, words: int, hidden: int, dropout: float, steps: int, forced: bool) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, hidden)
        self.attention = BahdanauAttention(hidden)
        self.gru = nn.GRU(2 * hidden, hidden, batch_first=True)
        self.out = nn.Linear(hidden, words)
        self.dropout = nn.Dropout(dropout)
        self.steps = steps
        self.forced = forced

    def forward(
        self, encoded: Tensor, state: Tensor, target: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        word = torch.zeros(encoded.size(0), 1, dtype=torch.long)
        outputs, attentions = [], []
        for i in range(self.steps):
            embedded = self.dropout(self.embedding(word))
            context, weights = self.attention(state.permute(1, 0, 2), encoded)
            output, state = self.gru(torch.cat((embedded, context), dim=2), state)
            output = self.out(output)
            outputs.append(output)
            attentions.append(weights)
            guess = output.topk(1)[1].squeeze(-1).detach()
            word = target[:, i].unsqueeze(1) if self.forced else guess
        scores = F.log_softmax(torch.cat(outputs, dim=1), dim=-1)
        return scores, state, torch.cat(attentions, dim=1)


class Seq2Seq(nn.Module):
    def __init__(
        self,
        words_in: int = 4489,
        words_out: int = 2925,
        hidden: int = 128,
        steps: int = 10,
        dropout: float = 0.1,
        forced: bool = True,
    ) -> None:
        super().__init__()
        self.encoder = EncoderRNN(words_in, hidden, dropout)
        self.decoder = AttnDecoderRNN(words_out, hidden, dropout, steps, forced)

    def forward(self, source: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        encoded, state = self.encoder(source)
        return self.decoder(encoded, state, target)


class WaveLayer(nn.Module):
    def __init__(self, residual: int, skip: int, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        self.filter = nn.Conv1d(residual, residual, 2, dilation=dilation)
        self.gate = nn.Conv1d(residual, residual, 2, dilation=dilation)
        self.residual = nn.Conv1d(residual, residual, 1)
        self.skip = nn.Conv1d(residual, skip, 1)

    def forward(self, x: Tensor, total: Tensor) -> tuple[Tensor, Tensor]:
        past = F.pad(x, (self.dilation, 0))
        z = torch.tanh(self.filter(past)) * torch.sigmoid(self.gate(past))
        return x + self.residual(z), total + self.skip(z)


class WaveNet(nn.Module):
    def __init__(
        self,
        classes: int = 256,
        residual: int = 32,
        skip: int = 256,
        stacks: int = 2,
        depth: int = 10,
    ) -> None:
        super().__init__()
        self.skip = skip
        self.embed = nn.Embedding(classes, residual)
        self.layers = nn.ModuleList(
            [WaveLayer(residual, skip, 2**k) for _ in range(stacks) for k in range(depth)]
        )
        self.head = nn.Sequential(
            nn.ReLU(), nn.Conv1d(skip, skip, 1), nn.ReLU(), nn.Conv1d(skip, classes, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x).transpose(1, 2)
        total = torch.zeros(x.shape[0], self.skip, x.shape[2])
        for layer in self.layers:
            x, total = layer(x, total)
        return self.head(total)


class TNet(nn.Module):
    """This and the next two with the names of fxia22/pointnet.pytorch, in the order of use."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.conv1 = nn.Conv1d(size, 64, 1)
        self.bn1 = nn.BatchNorm1d(64)
        self.conv2 = nn.Conv1d(64, 128, 1)
        self.bn2 = nn.BatchNorm1d(128)
        self.conv3 = nn.Conv1d(128, 1024, 1)
        self.bn3 = nn.BatchNorm1d(1024)
        self.fc1 = nn.Linear(1024, 512)
        self.bn4 = nn.BatchNorm1d(512)
        self.fc2 = nn.Linear(512, 256)
        self.bn5 = nn.BatchNorm1d(256)
        self.fc3 = nn.Linear(256, size * size)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.bn2(self.conv2(x)))
        x = F.relu(self.bn3(self.conv3(x)))
        x = torch.max(x, 2)[0]
        x = F.relu(self.bn4(self.fc1(x)))
        x = F.relu(self.bn5(self.fc2(x)))
        return self.fc3(x).view(-1, self.size, self.size) + torch.eye(self.size)


class PointNetFeatures(nn.Module):
    def __init__(self, transform: bool) -> None:
        super().__init__()
        self.transform = transform
        self.stn = TNet(3)
        self.conv1 = nn.Conv1d(3, 64, 1)
        self.bn1 = nn.BatchNorm1d(64)
        if transform:
            self.fstn = TNet(64)
        self.conv2 = nn.Conv1d(64, 128, 1)
        self.bn2 = nn.BatchNorm1d(128)
        self.conv3 = nn.Conv1d(128, 1024, 1)
        self.bn3 = nn.BatchNorm1d(1024)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        x = torch.bmm(x.transpose(2, 1), self.stn(x)).transpose(2, 1)
        x = F.relu(self.bn1(self.conv1(x)))
        transform = None
        if self.transform:
            transform = self.fstn(x)
            x = torch.bmm(x.transpose(2, 1), transform).transpose(2, 1)
        x = F.relu(self.bn2(self.conv2(x)))
        return torch.max(self.bn3(self.conv3(x)), 2)[0], transform


class PointNet(nn.Module):
    def __init__(self, classes: int = 40, transform: bool = True) -> None:
        super().__init__()
        self.feat = PointNetFeatures(transform)
        self.fc1 = nn.Linear(1024, 512)
        self.bn1 = nn.BatchNorm1d(512)
        self.fc2 = nn.Linear(512, 256)
        self.bn2 = nn.BatchNorm1d(256)
        self.dropout = nn.Dropout(0.3)
        self.fc3 = nn.Linear(256, classes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        x, transform = self.feat(x)
        x = F.relu(self.bn1(self.fc1(x)))
        x = F.relu(self.bn2(self.dropout(self.fc2(x))))
        return F.log_softmax(self.fc3(x), dim=1), transform
