"""Refusals of recurrent layers and of attention."""

from __future__ import annotations

from torch import nn

from netspec.explain.rules.attempt import Attempt, Explanation, Given, count

_ATTENTION = "scaled_dot_product_attention"


def explain_sequence(attempt: Attempt) -> Explanation | None:
    """Why a recurrent layer or an attention refuses its inputs."""
    module = attempt.module
    if isinstance(module, nn.RNNBase):
        return _recurrent(attempt, module)
    if isinstance(module, nn.RNNCellBase):
        return _cell(attempt, module)
    if isinstance(module, nn.MultiheadAttention):
        return _attention(attempt, module)
    return _products(attempt) if attempt.operator == _ATTENTION else None


def _recurrent(attempt: Attempt, module: nn.RNNBase) -> Explanation | None:
    given = attempt.tensors[0] if attempt.tensors else None
    if given is None:
        return None
    order = "[N, T, features]" if module.batch_first else "[T, N, features]"
    if len(given.shape) not in (2, 3):
        fact = f"{attempt.what} takes {order}, and {given.is_shaped}"
        return Explanation(fact, None, None, (given,))
    if given.shape[-1] != module.input_size:
        fact = f"{attempt.what} expects {module.input_size} input features, and "
        return Explanation(fact + given.gives(given.size(-1)), None, "input_size", (given,))
    return _state(attempt, module, given)


def _state(attempt: Attempt, module: nn.RNNBase, given: Given) -> Explanation | None:
    if len(given.shape) != 3:
        return None
    layers = module.num_layers * (2 if module.bidirectional else 1)
    batch = given.size(0 if module.batch_first else 1)
    size = module.proj_size or module.hidden_size
    wanted = (str(layers), batch, str(size))
    for state in attempt.tensors[1:2]:
        if state.sizes == wanted:
            continue
        fact = (
            f"the first state of {attempt.what} is [layers, N, hidden], here "
            f"[{', '.join(wanted)}], and {state.is_shaped}"
        )
        one = state.sizes == wanted[1:] and layers == 1
        help = f"add a dimension: `{state.name}.unsqueeze(0)`" if one else None
        return Explanation(fact, help, chains=(state,))
    return None


def _cell(attempt: Attempt, module: nn.RNNCellBase) -> Explanation | None:
    wanted = (module.input_size, module.hidden_size)
    names = ("input features", "features of state")
    for given, size, name in zip(attempt.tensors, wanted, names, strict=False):
        if given.shape and given.shape[-1] != size:
            about = "input_size" if size is wanted[0] and name == names[0] else "hidden_size"
            fact = f"{attempt.what} expects {size} {name}, and {given.gives(given.size(-1))}"
            return Explanation(fact, None, about, (given,))
    return None


def _attention(attempt: Attempt, module: nn.MultiheadAttention) -> Explanation | None:
    query, key, value = (attempt.tensor(name) for name in ("query", "key", "value"))
    if query is None or key is None or value is None:
        return None
    ranks = {len(given.shape) for given in (query, key, value)}
    if len(ranks) > 1:
        fact = f"{attempt.what} needs a query, key and value of one number of dimensions"
        return Explanation(fact, None, None, (query, key, value))
    wanted = {"query": module.embed_dim, "key": module.kdim, "value": module.vdim}
    for role, given in (("query", query), ("key", key), ("value", value)):
        if given.shape and given.shape[-1] != wanted[role]:
            fact = (
                f"{attempt.what} expects {wanted[role]} features in its {role}, and "
                f"{given.gives(given.size(-1))}"
            )
            argument = {"key": "kdim", "value": "vdim"}.get(role)
            help = f"say so: `{argument}: {given.size(-1)}`" if argument else None
            return Explanation(fact, help, None, (given,))
    return _mask(attempt, module, query, key)


def _mask(
    attempt: Attempt, module: nn.MultiheadAttention, query: Given, key: Given
) -> Explanation | None:
    if len(query.shape) != 3 or len(key.shape) != 3:
        return None
    batch, length = (0, 1) if module.batch_first else (1, 0)
    mask = attempt.tensor("attn_mask")
    wanted = (query.size(length), key.size(length))
    if mask is not None and mask.sizes[-2:] != wanted:
        fact = (
            f"the mask of {attempt.what} is [queries, keys], here [{', '.join(wanted)}], and "
            f"{mask.is_shaped}"
        )
        return Explanation(fact, _axes(module), None, (query, mask))
    padding = attempt.tensor("key_padding_mask")
    wanted = (key.size(batch), key.size(length))
    if padding is not None and padding.sizes != wanted:
        fact = (
            f"the padding mask of {attempt.what} is [N, keys], here [{', '.join(wanted)}], and "
            f"{padding.is_shaped}"
        )
        return Explanation(fact, _axes(module), None, (key, padding))
    return None


def _axes(module: nn.MultiheadAttention) -> str | None:
    if module.batch_first:
        return None
    return "without `batch_first: true` it takes [T, N, features]"


def _products(attempt: Attempt) -> Explanation | None:
    query, key, value = (attempt.tensor(name) for name in ("query", "key", "value"))
    if query is None or key is None or value is None:
        return None
    if min(len(query.shape), len(key.shape), len(value.shape)) < 2:
        return None
    if query.shape[-1:] != key.shape[-1:]:
        fact = (
            f"{attempt.what} needs as many features in its query as in its key, and "
            f"{query.gives(query.size(-1))} and {key.gives(key.size(-1))}"
        )
        return Explanation(fact, None, None, (query, key))
    if key.shape[-2:-1] != value.shape[-2:-1]:
        fact = (
            f"{attempt.what} needs as many keys as values, and {key.gives(key.size(-2))} and "
            f"{value.gives(value.size(-2))}"
        )
        return Explanation(fact, None, None, (key, value))
    mask = attempt.tensor("attn_mask")
    wanted = (query.shape[-2], key.shape[-2])
    if mask is not None and len(mask.shape) > 1:
        sizes = zip(mask.shape[-2:], wanted, strict=True)
        if any(have not in (1, want) for have, want in sizes):
            fact = (
                f"the mask of {attempt.what} is [queries, keys], here "
                f"[{query.size(-2)}, {key.size(-2)}], and {mask.is_shaped}"
            )
            return Explanation(fact, None, None, (query, mask))
    if len(query.shape) != len(key.shape):
        fact = f"{attempt.what} needs one number of dimensions, and "
        fact += f"{query.gives(count(len(query.shape), 'dimension'))}, "
        return Explanation(fact + key.gives(str(len(key.shape))), None, None, (query, key))
    return None
