"""Another process of a run: `python -m netspec.run.ddp_worker`, told on stdin what to do."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path


def main() -> int:
    """Train as the first process does, and write nothing."""
    told = json.load(sys.stdin)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the first process's to answer
    from netspec.errors import SpecError
    from netspec.run.interruption import Interrupted
    from netspec.run.settings import Settings
    from netspec.run.terminal import quiet
    from netspec.run.training import train

    quiet()
    try:
        train(Settings.model_validate(told["settings"]), told["overrides"], Path(told["folder"]))
    except SpecError as error:  # the first process tells it, if it is not its own as well
        sys.stdout.write(str(error).strip())
        return 1
    except Interrupted:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
