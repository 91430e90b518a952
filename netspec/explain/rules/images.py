"""Refusals of convolutions, pooling and normalisation: dimensions, channels, kernels."""

from __future__ import annotations

import re

from netspec.explain.rules.attempt import Attempt, Explanation, Given, by, count
from netspec.ops.torch_internals import ConvNd, ConvTransposeNd, NormBase

_CONV = re.compile(r"^(?:Lazy)?[Cc]onv(?P<transposed>_?[Tt]ranspose)?(?P<sides>\d)d$")
_POOL = re.compile(r"^(?:Adaptive|adaptive_)?(?:Max|Avg|LP|max_|avg_|lp_)_?[Pp]ool(?P<sides>\d)d$")
_NORM = re.compile(r"^(?:BatchNorm|InstanceNorm)(?P<sides>\d)d$")
_NORM_CALLS = ("batch_norm", "instance_norm")
_SIDES = ("L", "H, W", "D, H, W")


def explain_image(attempt: Attempt) -> Explanation | None:
    """Why a convolution, a pooling or a normalisation refuses its input."""
    given = attempt.tensor("input") or (attempt.tensors[0] if attempt.tensors else None)
    if given is None:
        return None
    if found := _CONV.match(attempt.operator):
        sides = int(found["sides"])
        return (
            _dimensions(attempt, given, sides)
            or _channels(attempt, given, sides, found["transposed"] is not None)
            or _kernel(attempt, given, sides)
        )
    if found := _POOL.match(attempt.operator):
        sides = int(found["sides"])
        return _dimensions(attempt, given, sides) or _pool(attempt, given, sides)
    return explain_norm(attempt, given)


def _dimensions(attempt: Attempt, given: Given, sides: int) -> Explanation | None:
    rank = len(given.shape)
    if rank == sides + 2:
        return None
    if rank == sides + 1 and not _lacks_batch(given, sides):
        return None  # torch takes it for one example without a batch
    fact = (
        f"{attempt.what} takes {batched(sides)}, and "
        f"{given.gives(count(rank, 'dimension'))}: {given.text}"
    )
    return Explanation(fact, batch_help(given, sides + 2), chains=(given,))


def batched(sides: int) -> str:
    """`[N, C, H, W]` for two sides."""
    return f"[N, C, {_SIDES[sides - 1]}]"


def _lacks_batch(given: Given, sides: int) -> bool:
    return len(given.declared) == sides + 1 and all(size.isdigit() for size in given.declared)


def batch_help(given: Given, rank: int) -> str | None:
    """What to do about an input of the model that has no batch dimension."""
    if len(given.declared) != rank - 1 or not all(size.isdigit() for size in given.declared):
        return None
    return f"an input has a batch dimension first: `[N, {', '.join(given.declared)}]`"


def channels_last_help(given: Given, wanted: int, sides: int) -> str | None:
    """What to do about images whose channels stand last, as Keras has them; None of others."""
    rank = len(given.shape)
    if not 1 <= sides <= 3 or rank not in (sides + 1, sides + 2) or given.sizes[-1] != str(wanted):
        return None
    if given.size(-sides - 1) == str(wanted):
        return None
    takes = f"[N, C, {_SIDES[sides - 1]}]"
    fact = f"the {wanted} stands last, and torch takes {takes}"
    if given.role != "input":
        to = 1 if rank == sides + 2 else 0
        return f"{fact}: `{_bracketed(given)}.movedim(-1, {to})`"
    batch = given.sizes[0] if rank == sides + 2 else "N"
    right = [batch, given.sizes[-1], *given.sizes[rank - sides - 1 : -1]]
    return f"{fact}: `{given.name}: [{', '.join(right)}]`"


def _looks_channels_last(given: Given, sides: int) -> str | None:
    """The same, of an input that has as many of the last as images have of colours."""
    declared = given.declared
    if len(declared) != sides + 2 or declared[-1] not in ("1", "3", "4"):
        return None
    if any(size.isdigit() and int(size) < 8 for size in declared[1:-1]):
        return None
    return channels_last_help(given, int(declared[-1]), sides)


def _bracketed(given: Given) -> str:
    return f"({given.name})" if " " in given.name else given.name


def _channels(attempt: Attempt, given: Given, sides: int, transposed: bool) -> Explanation | None:
    module, held = attempt.module, attempt.tensor("weight")
    groups = attempt.argument("groups", 1)
    if isinstance(module, (ConvNd, ConvTransposeNd)):
        wanted = module.in_channels
    elif held is not None and isinstance(groups, int) and len(held.shape) == sides + 2:
        wanted = held.shape[0] if transposed else held.shape[1] * groups
    else:
        return None
    channels = -sides - 1
    if given.shape[channels] == wanted:
        return None
    fact = f"{attempt.what} expects {_inputs(wanted)}, and {given.gives(given.size(channels))}"
    chains = (given,) if held is None else (given, held)
    help = channels_last_help(given, wanted, sides)
    help = help or _weight_help(attempt, given, held, transposed)
    return Explanation(fact, help, "in_channels", chains)


def _inputs(wanted: int) -> str:
    return count(wanted, "input channel")


def _weight_help(
    attempt: Attempt, given: Given, held: Given | None, transposed: bool
) -> str | None:
    if held is None or transposed or attempt.argument("groups", 1) != 1:
        return None
    right = [held.size(0), given.size(1 - len(held.shape)), *held.sizes[2:]]
    return f"the weight of a convolution is [out, in, …]: [{', '.join(right)}] would do"


def _kernel(attempt: Attempt, given: Given, sides: int) -> Explanation | None:
    kernel = attempt.numbers("kernel_size", sides, 0)
    held = attempt.tensor("weight")
    if kernel is None or not all(kernel):
        kernel = held.shape[2:] if held is not None else None
    dilation, padding = attempt.numbers("dilation", sides, 1), attempt.numbers("padding", sides, 0)
    if kernel is None or dilation is None or padding is None or len(kernel) != sides:
        return None
    reach = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))
    have = given.shape[-sides:]
    if all(h + 2 * p >= r for h, p, r in zip(have, padding, reach, strict=True)):
        return None
    last = _looks_channels_last(given, sides)
    dilated = "" if reach == kernel else f", with `dilation` {by(dilation)} over {by(reach)}"
    padded = f", and {by(padding)} of padding on each side" if any(padding) else " without padding"
    fact = (
        f"the kernel of {attempt.what} is {by(kernel)}{dilated}, larger than "
        f"`{given.name}`: {by(given.sizes[-sides:])}{padded}"
    )
    help = last or "a smaller kernel, more `padding`, or less downsampling before"
    return Explanation(fact, help, None, (given,))


def _pool(attempt: Attempt, given: Given, sides: int) -> Explanation | None:
    kernel, padding = attempt.numbers("kernel_size", sides, 0), attempt.numbers("padding", sides, 0)
    if kernel is None or padding is None:
        return None
    if any(p > k // 2 for p, k in zip(padding, kernel, strict=True)):
        fact = (
            f"{attempt.what} takes a padding of at most half of its kernel: {by(kernel)}, padded "
            f"by {by(padding)}"
        )
        return Explanation(fact, None, "padding", (given,))
    have = given.shape[-sides:]
    if all(h + 2 * p >= k for h, p, k in zip(have, padding, kernel, strict=True)):
        return None
    sizes = given.gives(by(given.sizes[-sides:]))
    fact = f"{attempt.what} has a window of {by(kernel)}, and {sizes}: nothing would be left"
    help = _looks_channels_last(given, sides) or "pool less often, or declare a larger input"
    return Explanation(fact, help, None, (given,))


def explain_norm(attempt: Attempt, given: Given) -> Explanation | None:
    """Why a normalisation refuses its input."""
    if attempt.operator in ("GroupNorm", "group_norm"):
        return _groups(attempt, given)
    if attempt.operator in ("LayerNorm", "layer_norm", "RMSNorm", "rms_norm"):
        return _last_sizes(attempt, given)
    if attempt.operator in ("PReLU", "prelu"):
        return _slopes(attempt, given)
    found = _NORM.match(attempt.operator)
    if found and (explained := _norm_dimensions(attempt, given, int(found["sides"]))):
        return explained
    return _norm_channels(attempt, given) if found or attempt.operator in _NORM_CALLS else None


def _norm_dimensions(attempt: Attempt, given: Given, sides: int) -> Explanation | None:
    rank = len(given.shape)
    allowed = (sides + 2, sides + 1) if sides == 1 else (sides + 2,)
    if rank in allowed or (rank == sides + 1 and attempt.operator.startswith("Instance")):
        return None
    takes = f"[N, C, {_SIDES[sides - 1]}]" + (" or [N, C]" if sides == 1 else "")
    fact = (
        f"{attempt.what} takes {takes}, and {given.gives(count(rank, 'dimension'))}: {given.text}"
    )
    kind = attempt.operator[:-2]
    other = f"for {count(rank, 'dimension')} there is `{kind}{rank - 2}d`" if 2 < rank < 6 else None
    return Explanation(fact, batch_help(given, sides + 2) or other, None, (given,))


def _norm_channels(attempt: Attempt, given: Given) -> Explanation | None:
    held = attempt.tensor("running_mean", "weight", "bias")
    if isinstance(attempt.module, NormBase):
        wanted = attempt.module.num_features
    elif held is not None and held.shape:
        wanted = held.shape[0]
    else:
        return None
    if len(given.shape) < 2 or given.shape[1] == wanted:
        return None
    fact = f"{attempt.what} expects {_inputs(wanted)}, and {given.gives(given.size(1))}"
    help = channels_last_help(given, wanted, len(given.shape) - 2)
    return Explanation(fact, help, "num_features", (given,) if held is None else (given, held))


def _slopes(attempt: Attempt, given: Given) -> Explanation | None:
    """PReLU has one slope, or one for each channel."""
    held = attempt.tensor("weight") or getattr(attempt.module, "weight", None)
    if held is None or len(given.shape) < 2 or len(held.shape) != 1:
        return None
    slopes = held.shape[0]
    if slopes in (1, given.shape[1]):
        return None
    fact = f"{attempt.what} has {slopes} slopes, one for each channel, and "
    fact += given.gives(count(given.shape[1], "channel"))
    return Explanation(fact, f"1 slope for all, or {given.size(1)}", "num_parameters", (given,))


def _groups(attempt: Attempt, given: Given) -> Explanation | None:
    groups = attempt.argument("num_groups")
    if not isinstance(groups, int) or len(given.shape) < 2:
        return None
    wanted = getattr(attempt.module, "num_channels", None)
    if wanted is not None and wanted != given.shape[1]:
        fact = f"{attempt.what} expects {_inputs(wanted)}, and {given.gives(given.size(1))}"
        help = channels_last_help(given, wanted, len(given.shape) - 2)
        return Explanation(fact, help, "num_channels", (given,))
    if groups > 0 and given.shape[1] % groups == 0:
        return None
    fact = f"{attempt.what} makes {count(groups, 'group')} of the channels, and "
    fact += given.gives(f"{given.size(1)}, which {groups} does not divide")
    return Explanation(fact, divisors_help("num_groups", given.shape[1]), "num_groups", (given,))


def divisors_help(name: str, size: int) -> str:
    """The numbers that divide a size, as what an argument may be."""
    fitting = [str(n) for n in range(1, min(size, 1025) + 1) if size % n == 0]
    if len(fitting) > 8:
        fitting = [*fitting[:7], "…"]
    return f"`{name}` may be {', '.join(fitting)}"


def _last_sizes(attempt: Attempt, given: Given) -> Explanation | None:
    shape = attempt.argument("normalized_shape")
    shape = (shape,) if isinstance(shape, int) else shape
    if not isinstance(shape, (tuple, list)) or not shape:
        return None
    wanted = tuple(shape)
    if given.shape[-len(wanted) :] == wanted:
        return None
    have = ", ".join(given.sizes[-len(wanted) :])
    over = f"the last {'size' if len(wanted) == 1 else 'sizes'}, {list(wanted)}"
    fact = f"{attempt.what} normalises over {over}, and {given.gives(f'[{have}]')} there"
    known = all(size.isdigit() for size in given.sizes[-len(wanted) :])
    help = f"set `normalized_shape` to [{have}]" if known else None
    return Explanation(fact, help, "normalized_shape", (given,))
