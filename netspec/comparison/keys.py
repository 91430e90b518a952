"""How the keys of a checkpoint of one spec fit another one's model."""

from __future__ import annotations

from netspec.analysis.analyse import Analysis
from netspec.comparison.looks import own_name, owner_of
from netspec.comparison.match import Matches
from netspec.comparison.model import Keys, Reshaped


def keys_of(a: Analysis, b: Analysis, matches: Matches) -> Keys:
    """Each key of B with that of A's same layer; a tied one with that of its other key."""
    back = {path_b: path_a for path_a, path_b in matches.twins.items()}
    carried: dict[str, str] = {}
    reshaped: list[Reshaped] = []
    new: list[str] = []
    for key, stored in b.tensors.items():
        owner = owner_of(b, key)
        twin = back.get(owner)
        local = own_name(key, owner)
        source = None if twin is None else twin if key == owner else f"{twin}.{local}".lstrip(".")
        there = a.tensors.get(source) if source is not None else None
        if source is None or there is None:
            new.append(key)
        elif there.shape != stored.shape:
            reshaped.append(Reshaped(key, source, stored.shape, there.shape))
        else:
            carried[key] = source
    by_tensor = {b.tensors[key].first_key: source for key, source in carried.items()}
    for key in list(new):
        first = b.tensors[key].first_key
        if first in by_tensor:  # tied to what is carried: one parameter, so one value
            carried[key] = by_tensor[first]
            new.remove(key)
    used = {a.tensors[source].first_key for source in carried.values()}
    used |= {a.tensors[one.key_in_a].first_key for one in reshaped}
    unused = tuple(key for key, stored in a.tensors.items() if stored.first_key not in used)
    return Keys(
        carried={key: carried[key] for key in b.tensors if key in carried},
        reshaped=tuple(reshaped),
        new=tuple(new),
        unused=unused,
        uncertain=tuple(key for key in new if owner_of(b, key) in matches.uncertain),
    )
