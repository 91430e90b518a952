"""Set netspec up and run it: `python3 scripts/dev.py demo` or `python3 scripts/dev.py test`.

Needs Python 3.10 to 3.13 and nothing else. The first time, it makes `.venv` beside pyproject.toml
(or where NETSPEC_VENV says) and installs netspec there, with the versions of constraints.txt.
`test --all` makes another one inside of it, with the originals that the zoo is compared with.
A torch 2.13.0 of your own choice (a CUDA build, say) that is already in that environment is kept.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = ROOT / "pyproject.toml"
CONSTRAINTS = ROOT / "constraints.txt"
VENV = Path(os.environ.get("NETSPEC_VENV") or ROOT / ".venv").absolute()
STAMP = "netspec-installed.json"
# An environment on top of VENV, with the zoo's originals. Beside torchvision's CUDA build, which is
# what PyPI has, Lightning does not even start on a CPU build of torch.
ORIGINALS = VENV / "originals"
PARITY = "tests/parity"
# Packages of an extra that are installed without what they ask for, which an extra cannot say.
# torchcrepe: librosa, torchaudio and more, to read sound files; the tests need only its networks.
ALONE = {"parity": ("torchcrepe",)}
ALL = "NETSPEC_TEST_ALL"  # then tests/parity fails where an original is missing, and skips nothing
SAMPLE = "NETSPEC_TEST_SAMPLE"  # tests/conftest.py: one in so many of the tests that are alike

OLDEST, NEWEST = (3, 10), (3, 13)
CPU_INDEX = "https://download.pytorch.org/whl/cpu"


def main() -> int:
    options, others = parse_arguments()
    if options.command == "demo":
        python = installed_python(VENV, {"run"})
        return run([python, "scripts/demo.py", *others])
    if options.all and not options.whole:
        os.environ.setdefault(SAMPLE, "4")
    python = installed_python(VENV, {"dev", "ray"} if options.all else {"dev"})
    checks = {
        "ruff check": [python, "-m", "ruff", "check"],
        "ruff format": [python, "-m", "ruff", "format", "--check"],
        "mypy": [python, "-m", "mypy"],
    }
    if options.all:
        return run_checks(checks | all_tests(python, others))
    return run_checks(checks | {"pytest": pytest(python, "not slow and not hunt", others)})


def all_tests(python: str, others: list[str]) -> dict[str, list[str]]:
    """The tests that need no originals, and those that do, each where the arguments name any."""
    os.environ[ALL] = "1"
    named = [text for text in others if (ROOT / text.partition("::")[0]).exists()]
    parity = [text for text in named if text.startswith(PARITY)]
    usual = [text for text in others if text not in parity]
    comparing = [text for text in others if text in parity or text not in named]
    commands = {}
    if parity != named or not named:
        commands["pytest"] = pytest(python, "not hunt", [f"--ignore={PARITY}", *usual])
    if parity or not named:
        original_python = installed_python(ORIGINALS, {"parity"}, below=VENV)
        wanted = ["-o", f"testpaths={PARITY}", *comparing]
        commands[f"pytest {PARITY}"] = pytest(original_python, "not hunt", wanted)
    return commands


def pytest(python: str, marks: str, others: list[str]) -> list[str]:
    """In as many processes as there are processors, at most four; `-n 0` among others: in one.

    A file's tests stay in one process, since they share what takes long to make, and files begin in
    the order of tests/conftest.py.
    """
    spread = ["-n", "auto", "--maxprocesses", "4", "--dist", "loadfile", "--no-loadscope-reorder"]
    return [python, "-m", "pytest", "-q", *spread, "-m", marks, *others]


def parse_arguments() -> tuple[argparse.Namespace, list[str]]:
    """The command and --all, and the arguments that go on to pytest or to the demo."""
    parser = argparse.ArgumentParser(
        prog="dev.py",
        description="Set netspec up in .venv (or $NETSPEC_VENV) and run its demo or its tests.",
        epilog="Other arguments go to pytest (`-n 0`: in one process), or to the demo.",
        allow_abbrev=False,
    )
    parser.add_argument("command", choices=["demo", "test"])
    parser.add_argument(
        "--all", action="store_true",
        help="test: the slow tests as well; of many alike a quarter, others each time",
    )  # fmt: skip
    parser.add_argument(
        "--whole", action="store_true", help="test: as --all, each of the slow ones"
    )
    options, others = parser.parse_known_args()
    options.all |= options.whole
    return options, others


def run_checks(commands: dict[str, list[str]]) -> int:
    """Run every command, whether or not the ones before it failed, and tell which failed."""
    start = time.monotonic()
    failed = []
    for name, command in commands.items():
        print(f"== {name}", flush=True)
        if run(command) != 0:
            failed.append(name)
    print(f"== {time.monotonic() - start:.0f} s;", end=" ")
    print("failed: " + ", ".join(failed) if failed else "all is well", flush=True)
    return 1 if failed else 0


def run(command: list[str]) -> int:
    return subprocess.run(command, cwd=ROOT, env=clean_environment(), check=False).returncode


def clean_environment() -> dict[str, str]:
    """The caller's environment, less what would let Python or pip look outside the venv."""
    kept = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "PYTHONHOME"}}
    # PIP_USER=0: a user's pip.conf may ask for user installs, which a venv refuses.
    pip = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "PIP_USER": "0"}
    return {**kept, **pip, "PYTHONUTF8": "1", "VIRTUAL_ENV": str(VENV)}


# Setting up


def installed_python(venv: Path, extras: set[str], below: Path | None = None) -> str:
    """The venv's Python, with netspec and these extras installed; quick where they already are.

    It sees what is installed in `below`, too.
    """
    python = python_of(venv)
    if not venv.exists():
        create_venv(venv, below)
    version = venv_version(venv)
    if not python.exists() or version is None:
        sys.exit(f"{venv} is not a working virtual environment: delete it and try again")
    if not OLDEST <= version[:2] <= NEWEST:
        sys.exit(f"{venv} has Python {dotted(version)}, and {supported()}: delete it and try again")
    key = stamp_key(version)
    present = stamped_extras(venv, key)
    if present is None or not extras <= present:
        wanted = extras | (present or set())
        (venv / STAMP).unlink(missing_ok=True)
        install(str(python), wanted)
        stamp = json.dumps({"key": key, "extras": sorted(wanted)})
        (venv / STAMP).write_text(stamp, encoding="utf-8")
    return str(python)


def create_venv(venv: Path, below: Path | None) -> None:
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        sys.exit(
            f"this is Python {dotted(sys.version_info[:3])}, and {supported()}: "
            "call this script with such a Python, like `python3.12 scripts/dev.py test`"
        )
    if not all(importlib.util.find_spec(module) for module in ("venv", "ensurepip")):
        sys.exit(
            "this Python has no venv module: on Debian and Ubuntu, "
            f"`sudo apt install python{dotted(sys.version_info[:2])}-venv` brings it"
        )
    print(f"making {venv}", flush=True)
    try:
        maker = sys.executable if below is None else str(python_of(below))
        finished = quiet([maker, "-m", "venv", str(venv)])
        if below is not None and finished.returncode == 0:
            (packages_of(venv) / "below.pth").write_text(
                f"{packages_of(below)}\n", encoding="utf-8"
            )
    except BaseException:  # Ctrl-C included: half an environment would be taken for a whole one
        shutil.rmtree(venv, ignore_errors=True)
        raise
    if finished.returncode != 0:
        shutil.rmtree(venv, ignore_errors=True)
        sys.exit(f"{finished.stdout}\nno virtual environment could be made in {venv}")


def python_of(venv: Path) -> Path:
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def packages_of(venv: Path) -> Path:
    """The folder of a venv that packages are installed into."""
    pattern = "Lib/site-packages" if os.name == "nt" else "lib/python3*/site-packages"
    return next(venv.glob(pattern))


def install(python: str, extras: set[str]) -> None:
    """Put torch, netspec (editable) and the extras into the venv."""
    pip = [python, "-m", "pip", "install", "--quiet", "-c", str(CONSTRAINTS)]
    # Python 3.10.0 comes with a pip that can't install a pyproject.toml editable.
    attempt("pip", [*pip, "pip>=23"])
    install_torch(python, pip)
    target = f".[{','.join(sorted(extras))}]" if extras else "."
    print(f"installing netspec and what it needs ({target})", flush=True)
    attempt("netspec", [*pip, "-e", target])
    alone = [package for extra in sorted(extras) for package in ALONE.get(extra, ())]
    if alone:
        attempt(", ".join(alone), [*pip, "--no-deps", *alone])


def install_torch(python: str, pip: list[str]) -> None:
    """Put torch into the venv: on Linux its CPU build, which is a tenth of the CUDA build's size.

    A build of the right version that is already there stays, so any other way to get one is open.
    """
    version = pinned_torch()
    if torch_in(python).split("+")[0] == version:
        return
    print(f"installing torch {version}, some 200 MB", flush=True)
    if not sys.platform.startswith("linux"):
        return attempt("torch", [*pip, f"torch=={version}"])
    # `+cpu` can never match the CUDA build, so this fails at once where no such file is at hand.
    # --no-deps: what torch needs comes with netspec, from the ordinary index.
    if quiet([*pip, "--no-deps", f"torch=={version}+cpu"]).returncode == 0:
        return None
    return attempt("torch", [*pip, "--no-deps", f"torch=={version}", "--index-url", CPU_INDEX])


def attempt(what: str, command: list[str]) -> None:
    """Run a pip command; where it fails, show what it said and stop."""
    finished = quiet(command)
    if finished.returncode != 0:
        sys.exit(f"{finished.stdout}\n{what} could not be installed by: {' '.join(command)}")


def quiet(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=ROOT,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        check=False,
    )


def pinned_torch() -> str:
    pin = re.search(r"^torch==([\w.]+)", CONSTRAINTS.read_text(encoding="utf-8"), re.MULTILINE)
    assert pin, "constraints.txt pins torch"
    return pin[1]


def torch_in(python: str) -> str:
    """The version of the torch in the venv, empty where there is none."""
    code = "from importlib.metadata import version; print(version('torch'))"
    finished = quiet([python, "-c", code])
    return finished.stdout.strip() if finished.returncode == 0 else ""


# What is there already


def venv_version(venv: Path) -> tuple[int, ...] | None:
    """The Python version that the venv's pyvenv.cfg names (`version` or, by uv, `version_info`)."""
    with contextlib.suppress(OSError):
        config = (venv / "pyvenv.cfg").read_text(encoding="utf-8")
        found = re.search(r"^version(?:_info)? *= *(\d+)\.(\d+)\.(\d+)", config, re.MULTILINE)
        if found:
            return tuple(int(part) for part in found.groups())
    return None


def stamp_key(version: tuple[int, ...]) -> str:
    """A hash of all that decides what has to be installed."""
    text = [PYPROJECT.read_bytes(), CONSTRAINTS.read_bytes(), ALONE, dotted(version), str(ROOT)]
    return hashlib.sha256(repr(text).encode()).hexdigest()


def stamped_extras(venv: Path, key: str) -> set[str] | None:
    """The extras that an earlier call installed, or None where it was not this netspec."""
    try:
        stamp = json.loads((venv / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return set(stamp["extras"]) if stamp["key"] == key else None


def dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def supported() -> str:
    return f"netspec needs Python {dotted(OLDEST)} to {dotted(NEWEST)}"


if __name__ == "__main__":
    sys.exit(main())
