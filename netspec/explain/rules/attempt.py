"""An operation that torch refused: what it was handed, by name; and what can be told of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import nn

from netspec.ir.lower.provenance import Role
from netspec.ops.types import Fact, TensorType, dtype_name


@dataclass(frozen=True, slots=True)
class Given:
    """A tensor that an operation was handed: its parameter there, and its name in the spec.

    `sizes` are its dimensions as text, a free one by its letter; `type` is its type at the sizes
    that were tried.
    """

    parameter: str
    name: str
    type: TensorType
    sizes: tuple[str, ...]
    role: Role = "layer"
    declared: tuple[str, ...] = ()  # the sizes of the model's input that it is made from
    made_by: str = ""  # the class or function of the layer that gives it

    @property
    def shape(self) -> tuple[int, ...]:
        return self.type.shape

    @property
    def text(self) -> str:
        """`[N, 3, 32, 32]`."""
        return f"[{', '.join(self.sizes)}]"

    @property
    def dtype(self) -> str:
        return dtype_name(self.type.dtype)

    @property
    def is_whole(self) -> bool:
        """Whether it holds integers or bools."""
        return not (self.type.dtype.is_floating_point or self.type.dtype.is_complex)

    def size(self, dimension: int) -> str:
        return self.sizes[dimension]

    @property
    def is_shaped(self) -> str:
        """`x` is [N, 8]."""
        return f"`{self.name}` is {self.text}"

    def gives(self, what: str) -> str:
        """`flat` gives 256; of an input or a parameter, `x` has 256."""
        return f"`{self.name}` {'gives' if self.role == 'layer' else 'has'} {what}"


@dataclass(frozen=True, slots=True)
class Attempt:
    """A refused operation.

    `what` is what a message calls it (`fc1`, or `cat` in `out`), with its backticks; `operator` is
    the function, class or symbol. `plain` has all arguments that are no tensors, by parameter, and
    `told` how their sizes read.
    """

    what: str
    operator: str
    tensors: tuple[Given, ...]
    plain: Mapping[str, Fact]
    words: str
    module: nn.Module | None = None
    told: Mapping[str, str] = field(default_factory=dict)
    partly: bool = False  # at other sizes torch takes it

    def tensor(self, *parameters: str) -> Given | None:
        """The tensor given for the first of these parameters that has one."""
        for parameter in parameters:
            for given in self.tensors:
                if given.parameter == parameter:
                    return given
        return None

    def argument(self, name: str, default: Fact = None) -> Fact:
        """A plain argument of the call, or of the module that is called."""
        if name in self.plain:
            return self.plain[name]
        found: Fact = getattr(self.module, name, default)
        return found

    def numbers(self, name: str, count: int, default: int) -> tuple[int, ...] | None:
        """An argument of `count` numbers, of which one may stand for all; None for other things."""
        value = self.argument(name, default)
        if isinstance(value, int):
            return (value,) * count
        if isinstance(value, (tuple, list)) and len(value) == 1:
            value = tuple(value) * count
        if not isinstance(value, (tuple, list)) or len(value) != count:
            return None
        numbers = tuple(item for item in value if isinstance(item, int))
        return numbers if len(numbers) == count else None


@dataclass(frozen=True, slots=True)
class Explanation:
    """A refusal in netspec's words.

    `about` is the argument whose place the message shows, where the spec gives it; `chains` are the
    tensors whose history it shows (all of the operation's, where it is empty). `quoted` where the
    words are torch's, whose numbers are those of the sizes that were tried.
    """

    fact: str
    help: str | None = None
    about: str | None = None
    chains: tuple[Given, ...] = ()
    quoted: bool = False


def count(number: int, noun: str) -> str:
    """`1 dimension`, `4 dimensions`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def by(numbers: tuple[int | str, ...]) -> str:
    """`3×3`; of one number, that number."""
    return "×".join(str(number) for number in numbers)
