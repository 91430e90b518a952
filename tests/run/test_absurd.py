"""Options of a run × values that nobody means: each is taken, or told to be wrong in our words.

And files that lie: headers that promise too much, what is no file at all. Nothing may raise another
exception, hang, or fill the memory.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import signal
import struct
import subprocess
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from omegaconf import OmegaConf

import netspec
from netspec.cli import main
from netspec.errors import SpecError
from netspec.pipeline import compile_spec
from netspec.run.checkpoint import load_checkpoint, read_checkpoint, write_checkpoint
from netspec.run.command import compose, config_folders
from netspec.run.data.sources import open_data
from netspec.run.preflight import prepare
from netspec.run.settings import read_settings
from netspec.run.tensors import read_tensors
from tests.run.console import saying

ROWS = "".join(f"{n % 7},{n % 5},{'ab'[n % 2]}\n" for n in range(40))
SPEC = """\
netspec: 1
name: Flat
inputs: {x: [N, 2]}
layers:
  out: {module: Linear, out_features: 2}
"""
ABSURD: tuple[object, ...] = (
    0, -1, 1, 10**12, 10**30, -(10**30), 1.5, 1e308, float("nan"), float("inf"), True, None,
    "", "\0", "~nobody/x", "/dev/zero", "..", "x" * 5000, [], [0], [1, 2, 3], [[1]], [None], {},
    {"a": 1},
)  # fmt: skip
SECONDS = 20


@contextmanager
def in_time(what: object) -> Iterator[None]:
    """Fails where it takes too long: nothing here has a reason to."""

    def late(*_: object) -> None:
        raise AssertionError(f"still there after {SECONDS} s: {what}")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def told(call: Callable[[], object], what: object) -> str | None:
    """The code of what is said, None where nothing is wrong."""
    with in_time(what):
        try:
            call()
        except SpecError as error:
            return error.diagnostics[0].code
        except Exception as error:
            raise AssertionError(f"{what}: {type(error).__name__}: {error}") from error
    return None


# Options

KINDS = ("csv", "random", "mnist5k", "npz", "text", "image_folder", "idx", "cifar10")


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("absurd")
    (folder / "flat.yaml").write_text(SPEC)
    (folder / "t.csv").write_text(f"x,y,kind\n{ROWS}")
    (folder / "t.txt").write_text("abcdefgh" * 40)
    numpy.savez(folder / "a.npz", x=numpy.ones((20, 2), "float32"), y=numpy.arange(20) % 2)
    os.mkfifo(folder / "pipe")
    return folder


def plain(folder: Path, kind: str) -> dict[str, Any]:
    """The settings of a run on data of this kind, as they are without overrides."""
    with config_folders("train") as (configs, _):
        config = compose(configs, "train", [f"data={kind}", "optimizer=sgd", "scheduler=none"])
    own = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    found = OmegaConf.to_container(own, resolve=True)
    assert isinstance(found, dict)
    root = {"csv": "t.csv", "npz": "a.npz"}.get(kind, ".")
    found["model"] = {"spec": str(folder / "flat.yaml")}
    found["device"] = "cpu"
    for key, value in (("root", str(folder / root)), ("path", str(folder / "t.txt"))):
        if key in found["data"]:
            found["data"][key] = value
    return {str(key): value for key, value in found.items()}


def changed(settings: Mapping[str, Any], path: tuple[str, ...], value: object) -> dict[str, Any]:
    copy = json.loads(json.dumps(settings))
    inner = copy
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return dict(copy)


def paths(value: Mapping[str, Any], before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, item in value.items():
        yield (*before, key)
        if isinstance(item, dict):
            yield from paths(item, (*before, key))


@pytest.mark.parametrize("kind", KINDS)
def test_options_of_data(here: Path, kind: str) -> None:
    settings = plain(here, kind)
    for path in paths(settings["data"]):
        for value in (*ABSURD, str(here / "pipe")):
            given = changed(settings, ("data", *path), value)
            told(lambda given=given: prepared(given), (path, str(value)[:40]))  # type: ignore[misc]


def prepared(settings: Mapping[str, Any]) -> object:
    return prepare(read_settings(OmegaConf.create(dict(settings)), ()), ())


def test_options_of_runs(here: Path) -> None:
    settings = plain(here, "csv")
    for path in paths(settings):
        if path[0] == "data":
            continue
        for value in (*ABSURD, str(here / "pipe")):
            given = changed(settings, path, value)
            told(lambda given=given: prepared(given), (path, str(value)[:40]))  # type: ignore[misc]


# Files of data


def idx(shape: tuple[int, ...], payload: bytes = b"", magic: bytes | None = None) -> bytes:
    head = bytes((0, 0, 8, len(shape))) if magic is None else magic
    return head + struct.pack(f">{len(shape)}I", *shape) + payload


LABELS = idx((4,), bytes(range(4)))
PIXELS = idx((4, 2, 2), bytes(16))
BOMB = gzip.compress(bytes(1 << 24))
MOST = (1 << 32) - 1
IDX: Mapping[str, tuple[bytes, bytes]] = {
    "too many images": (idx((MOST, MOST, MOST), bytes(16)), LABELS),
    "too many, packed": (gzip.compress(idx((MOST, 1000, 1000), bytes(16))), LABELS),
    "as many as memory, packed": (gzip.compress(idx((1 << 20, 1 << 10, 1 << 10))), LABELS),
    "a bomb": (gzip.compress(idx((4, 2, 2), bytes(1 << 26))), LABELS),
    "a bomb in a bomb": (gzip.compress(BOMB), LABELS),
    "no images": (idx((0, 2, 2)), LABELS),
    "no pixels": (idx((4, 0, 2)), LABELS),
    "no pixels at all": (idx((4, 0, 0)), LABELS),
    "floats": (idx((4, 2, 2), bytes(64), b"\0\0\x0d\x03"), LABELS),
    "another magic": (idx((4, 2, 2), bytes(16), b"\x89PNG"), LABELS),
    "other dimensions": (idx((16,), bytes(16)), LABELS),
    "a head alone": (b"\0\0\x08\x03\0", LABELS),
    "too many labels": (PIXELS, idx((MOST,), bytes(4))),
    "labels of another count": (PIXELS, idx((3,), bytes(3))),
    "half a gzip": (gzip.compress(PIXELS)[:20], LABELS),
    "a gzip's head": (b"\x1f\x8b", LABELS),
}


@pytest.mark.parametrize("name", IDX)
def test_idx_files_that_lie(tmp_path: Path, name: str) -> None:
    images, labels = IDX[name]
    (tmp_path / "train-images-idx3-ubyte").write_bytes(images)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(labels)
    settings = {"source": "idx", "root": str(tmp_path), "validation": 0}
    assert told(lambda: open_data(settings), name) == "NS602"


def npy(head: object, payload: bytes = bytes(64)) -> bytes:
    text = head if isinstance(head, bytes) else repr(head).encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text) % 65536) + text[:65535] + payload


def head(shape: object, descr: object = "<f4", order: object = False) -> dict[str, object]:
    return {"descr": descr, "fortran_order": order, "shape": shape}


NPY: Mapping[str, bytes] = {
    "too large": npy(head((1 << 50,))),
    "too large by far": npy(head((1 << 62, 1 << 62))),
    "negative": npy(head((-1, 2))),
    "an overflow": npy(head((1 << 63, 0, 2))),
    "no tuple": npy(head(4)),
    "floats as sizes": npy(head((1.5,))),
    "true as a size": npy(head((True, 2))),
    "objects": npy(head((2,), "|O")),
    "a structure": npy(head((2,), [("a", "<f4")])),
    "a structure of objects": npy(head((2,), [("a", "|O")])),
    "dates": npy(head((2,), "<M8[s]")),
    "texts": npy(head((2,), "<U4")),
    "no dtype": npy(head((2,), "<q9")),
    "a number as a dtype": npy(head((2,), 5)),
    "nesting": npy(b"(" * 9000),
    "a name": npy(b"{'shape': x}"),
    "half a head": npy(head((2,)))[:20],
    "no keys": npy({}),
    "truncated": npy(head((400,))),
    "no array": b"hello",
    "nothing": b"",
}


@pytest.mark.parametrize("name", NPY)
def test_npz_files_that_lie(tmp_path: Path, name: str) -> None:
    for packing in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        with zipfile.ZipFile(tmp_path / "a.npz", "w", packing) as archive:
            archive.writestr("x.npy", NPY[name])
            archive.writestr("y.npy", npy(head((2,), "<i8"), bytes(16)))
        settings = {"source": "npz", "root": str(tmp_path / "a.npz"), "validation": 0, "test": 0}
        assert told(lambda: open_data(settings), name) in ("NS602", "NS605")  # noqa: B023


ARCHIVES: Mapping[str, Callable[[bytes], bytes]] = {
    "a larger member": lambda b: b.replace(struct.pack("<I", 192), struct.pack("<I", MOST)),
    "another method": lambda b: b.replace(b"\x14\0\0\0\0\0", b"\x14\0\0\0\x63\0"),
    "encrypted": lambda b: b.replace(b"PK\x03\x04\x14\x00\x00\x00", b"PK\x03\x04\x14\x00\x01\x00")
    .replace(b"PK\x01\x02\x14\x03\x14\x00\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01\x00"),
    "cut": lambda b: b[: len(b) // 2],
    "its head alone": lambda b: b[:4],
    "a single array": lambda _: npy(head((4,)), bytes(16)),
    "noise": lambda b: b[:4] + bytes(range(256)) * 4,
}  # fmt: skip


@pytest.mark.parametrize("name", ARCHIVES)
def test_archives_that_lie(tmp_path: Path, name: str) -> None:
    file = io.BytesIO()
    numpy.savez(file, x=numpy.ones((8, 2), "float64"), y=numpy.arange(8) % 2)
    (tmp_path / "a.npz").write_bytes(ARCHIVES[name](file.getvalue()))
    settings = {"source": "npz", "root": str(tmp_path / "a.npz"), "validation": 0, "test": 0}
    code = told(lambda: open_data(settings), name)
    assert code in ("NS602", None), name


LABELLED: Mapping[str, tuple[object, str | None]] = {
    "10^12": (numpy.array([0, 1, 10**12]), "NS604"),
    "the largest": (numpy.array([0, 1, 2**63 - 1]), "NS604"),
    "too large for a sign": (numpy.array([0, 1, 2**64 - 1], "uint64"), "NS602"),
    "negative": (numpy.array([0, 1, -5]), "NS604"),
    "only negative": (numpy.array([-1, -1, -5]), "NS604"),
    "floats": (numpy.array([0.0, 1.5, 2.0]), None),
    "nan": (numpy.array([0.0, float("nan"), 2.0]), None),
    "one-hot": (numpy.eye(3, dtype="int64"), None),
    "without an example": (numpy.zeros((3, 0), "int64"), "NS602"),
    "a number alone": (numpy.array(3), "NS602"),
    "true and false": (numpy.array([True, False, True]), None),
    "complex": (numpy.array([1j, 2, 3]), "NS602"),
}


@pytest.mark.parametrize("name", LABELLED)
def test_labels(tmp_path: Path, name: str) -> None:
    labels, code = LABELLED[name]
    numpy.savez(tmp_path / "a.npz", x=numpy.ones((3, 2), "float32"), y=labels)
    settings = {"source": "npz", "root": str(tmp_path / "a.npz"), "validation": 0, "test": 0}
    assert told(lambda: open_data(settings), name) == code


TABLES: Mapping[str, tuple[bytes, str | None]] = {
    "null characters": (b"x,kind\n1,\0\n2,b\n", None),
    "a label of 10^12": (b"x,kind\n1,1000000000000\n2,0\n", None),
    "too large for 32 bits": (b"x,kind\n1e39,a\n2,b\n", "NS602"),
    "digits without end": (b"x,kind\n1," + b"9" * 6000 + b"\n2,1\n", None),
    "a target alone": (b"kind\na\nb\n", "NS605"),
    "a cell without end": (b'x,kind\n1,"' + b"a" * 200_000, "NS602"),
    "no text": (bytes(range(256)) * 4, "NS602"),
    "names without end": (b"x" * 200_000 + b",kind\n1,a\n", "NS602"),
}


@pytest.mark.parametrize("name", TABLES)
def test_tables(tmp_path: Path, name: str) -> None:
    data, code = TABLES[name]
    (tmp_path / "t.csv").write_bytes(data)
    settings = {"source": "csv", "root": str(tmp_path / "t.csv"), "validation": 0, "test": 0}
    assert told(lambda: open_data(settings), name) == code


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 2 2\n(touched) (w) file\n"
PICTURES: Mapping[str, bytes] = {
    "PostScript": POSTSCRIPT,
    "nothing": b"",
    "a PNG's head": b"\x89PNG\r\n\x1a\n",
    "a PNG of 2^31 pixels": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + b"\x7f\xff\xff\xff" * 4,
    "a GIF": b"GIF89a\x01\0\x01\0\x80" + bytes(8) + b",\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;",
    "a TIFF that points nowhere": b"II*\0\xff\xff\xff\xff",
    "a PPM of many pixels": b"P6 99999999 99999999 255\n",
}  # fmt: skip


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("ending", ["png", "jpg", "tif"])
def test_pictures(tmp_path: Path, name: str, ending: str, monkeypatch: Any) -> None:
    """None starts another program, whatever it calls itself."""
    started: list[object] = []
    for module, function in ((os, "system"), (subprocess, "Popen")):
        monkeypatch.setattr(module, function, lambda *a, **k: started.append(a))
    for number in "ab":
        path = tmp_path / number / f"1.{ending}"
        path.parent.mkdir()
        path.write_bytes(PICTURES[name])
    for size in (2, None):
        settings = {"source": "image_folder", "root": str(tmp_path), "validation": 0, "size": size}
        assert told(lambda: open_data(settings), name) == "NS602"  # noqa: B023
    assert not started


def archive_of(members: Mapping[str, int]) -> bytes:
    """A tar archive whose headers promise so many bytes."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, size in members.items():
            info = tarfile.TarInfo(name)
            info.size = size
            archive.fileobj.write(info.tobuf(tarfile.GNU_FORMAT))  # type: ignore[union-attr]
            archive.offset += 512
    return gzip.compress(file.getvalue())


DEEP = b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b"."
ITSELF = b"\x80\x02]q\x00h\x00a."
HUGE = b"\x80\x02}(X\x04\0\0\0dataX\x06\0\0\0labels]" + b"\x8a\x20" + b"\x7f" * 32 + b"au."


@pytest.mark.parametrize("pickle", [DEEP, ITSELF, HUGE, b"", b"\x80\x02.", b"\x8e" + b"\xff" * 8])
def test_pickles(tmp_path: Path, pickle: bytes) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name in (*(f"data_batch_{n}" for n in range(1, 6)), "test_batch", "batches.meta"):
        (folder / name).write_bytes(pickle)
    settings = {"source": "cifar10", "root": str(tmp_path)}
    assert told(lambda: open_data(settings), pickle[:20]) == "NS602"


@pytest.mark.parametrize("size", [1 << 40, (1 << 31) + 1, 30_730_000])
def test_archives_of_cifar_that_lie(tmp_path: Path, size: int) -> None:
    members = {f"data_batch_{number}.bin": size for number in range(1, 6)}
    (tmp_path / "cifar-10-binary.tar.gz").write_bytes(archive_of(members))
    settings = {"source": "cifar10", "root": str(tmp_path)}
    assert told(lambda: open_data(settings), size) in ("NS601", "NS602")


# What is no file


NO_FILES = ("pipe", "folder", "/dev/zero")


@pytest.mark.parametrize("name", NO_FILES)
@pytest.mark.parametrize(
    "command",
    [
        "train data=csv data.root=FILE",
        "train data=csv data.root=t.csv data.test=FILE",
        "train data=npz data.root=FILE",
        "train data=text data.path=FILE",
        "train data=idx data.root=FILE",
        "train data=cifar10 data.root=FILE",
        "train data=image_folder data.root=FILE",
        "train model=FILE",
        "train model=./including.yaml",
        "train weights=FILE",
        "train resume=FILE",
        "train -m resume=FILE",
        "eval checkpoint=FILE",
        "eval model=lenet weights=FILE data=mnist5k",
        "predict FILE 1.png",
        "sample FILE",
        "report FILE",
        "check FILE",
    ],
)
def test_no_file_hangs_a_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "t.csv").write_text(f"x,y,kind\n{ROWS}")
    (tmp_path / "1.png").write_bytes(b"")
    file = name if name.startswith("/") else f"./{name}.yaml"
    (tmp_path / "including.yaml").write_text(f"{SPEC}include: {file}\n")
    with saying() as said, in_time(command):
        status = main(command.replace("FILE", file).split())
    assert status == 1 and "error[NS" in said.getvalue(), said.getvalue()
    assert "Traceback" not in said.getvalue()


def test_pipes_and_devices_within_data(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / "images" / name).mkdir(parents=True)
        os.mkfifo(tmp_path / "images" / name / "1.png")
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "zero.txt").symlink_to("/dev/zero")
    (tmp_path / "texts" / "a.txt").write_text("abc" * 200)
    for source in ("image_folder", "cifar10", "idx"):
        settings = {"source": source, "root": str(tmp_path / "images")}
        assert told(lambda: open_data(settings), source) in ("NS601", "NS602")  # noqa: B023
    given = {"source": "text", "path": [str(tmp_path / "texts" / "zero.txt")]}
    assert told(lambda: open_data(given), "text") == "NS601"


# Checkpoints


def safetensors(head: object, payload: bytes = b"", length: int | None = None) -> bytes:
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + payload


def tensor(shape: object, offsets: tuple[int, int] = (0, 0), dtype: str = "F32") -> bytes:
    entry = {"dtype": dtype, "shape": shape, "data_offsets": list(offsets)}
    return safetensors({"a": entry}, bytes(max(0, min(16, offsets[1] - offsets[0]))))


HEADS: Mapping[str, bytes] = {
    "nothing of 2^63": tensor([0, 2**63, 2]),
    "2^63 of nothing": tensor([2**63, 0]),
    "nothing of 2^62": tensor([0, 2**62, 2]),
    "nothing of much": tensor([0, 2**31, 2**31, 2**31]),
    "2^64": tensor([0, 2**64]),
    "a negative size": tensor([-1]),
    "half a size": tensor([1.5], (0, 4)),
    "true as a size": tensor([True], (0, 4)),
    "no shape": tensor(None),
    "a text as a shape": tensor("4", (0, 4)),
    "sizes in a size": tensor([[2]], (0, 8)),
    "10,000 dimensions": tensor([1] * 10_000, (0, 4)),
    "an end before its beginning": tensor([1], (4, 0)),
    "a beginning before the file": tensor([1], (-4, 0)),
    "an end far behind it": tensor([1], (0, 10**30)),
    "fewer bytes than it says": tensor([4], (0, 4)),
    "no such dtype": tensor([1], (0, 4), "X9"),
    "half a byte": tensor([2], (0, 1), "F4"),
    "the same name twice": safetensors(
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},'
        b'"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
        bytes(4),
    ),
    "nesting": safetensors(b"[" * 100_000),
    "nested keys": safetensors(b'{"a":' * 50_000),
    "a list": safetensors([1]),
    "nan": safetensors(b'{"a":NaN}'),
    "a longer head than the file": safetensors({}, length=10**9),
    "the longest head": safetensors({}, length=2**64 - 1),
    "no head": b"\0" * 8,
    "half its length": b"\0" * 4,
    "numbers as metadata": safetensors({"__metadata__": {"a": 1}}),
    "nesting in the metadata": safetensors({"__metadata__": {"netspec": "[" * 100_000}}),
}


@pytest.mark.parametrize("name", HEADS)
def test_heads_of_weights_that_lie(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(HEADS[name])
    model = torch.nn.Linear(1, 1)
    assert told(lambda: read_checkpoint(path), name) == "NS703"
    assert told(lambda: load_checkpoint(path), name) == "NS703"
    assert told(lambda: read_tensors(path), name) in ("NS703", None)
    found = told(lambda: netspec.load_weights(model, path, strict=False), name)
    assert found in ("NS703", "NS704"), name


OF_HEADS: tuple[object, ...] = (
    True, None, -1, 0, 2, 10**30, 1.5, float("nan"), "x", "", "\0", [], {}, [1], [[]],
    {"$": "tensor", "value": "9"}, {"$": "tensor"}, {"$": "tuple", "value": 1}, {"$": []},
    {"$": "dict", "value": [[[1], 2]]}, {"$": "dtype", "value": "x"}, {"$": "float"},
)  # fmt: skip


def test_heads_of_checkpoints(tmp_path: Path) -> None:
    """Each value of the head × what nobody writes there; a version has to be this one."""
    spec = {"netspec": 1, "name": "L", "inputs": {"x": ["N", 3]}, "layers": {"a": "ReLU"}}
    compiled = compile_spec(spec)
    path = tmp_path / "a.safetensors"
    write_checkpoint(path, {}, compiled.recipe, {"run": {}, "data": {"facts": {}}}, {"a": [1]})
    whole = path.read_bytes()
    (length,) = struct.unpack("<Q", whole[:8])
    header = json.loads(whole[8 : 8 + length])
    own = json.loads(header["__metadata__"]["netspec"])
    assert told(lambda: load_checkpoint(path), "as it was") is None
    for at in (("version",), *paths(own)):
        for value in OF_HEADS:
            header["__metadata__"]["netspec"] = json.dumps(changed(own, at, value))
            path.write_bytes(safetensors(header, whole[8 + length :]))
            code = told(lambda: load_checkpoint(path), (at, value))
            assert at != ("version",) or code == "NS703", value
