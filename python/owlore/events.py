"""What the first process tells the command that has started it, a JSON object per line of stdout, and nothing else there; and what it is told
on stdin, in the same form."""

import json
import math
import os
import select
import sys
import threading
import time
import traceback
from typing import Optional

# Seconds between two signs of life.
PERIOD = 5
# What the line starts with that says why a process has failed; src/cli/torch/failure.ts looks for it.
FAILED = "finetune.py has failed: "


def end_with_parent() -> None:
    """Ends this process when the one that has started it is gone: it may be waiting for other processes then, and would go on doing so."""
    parent = os.getppid()
    launcher = os.environ.get("OWLORE_LAUNCHER")
    if launcher is not None and parent != int(launcher):
        # it was gone before this process has asked for its parent; its number may still be there, of a process that nobody has waited for
        os._exit(1)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class Events:
    """Stdout, which from now on is for events alone: whatever else prints goes to stderr.

    While the first process lives it sends an empty line every few seconds, so that the command can tell a long step from a process that hangs.
    """

    def __init__(self) -> None:
        self.is_first = os.environ.get("RANK", "0") == "0"
        self._out = os.fdopen(os.dup(1), "w", encoding="utf-8")
        self._turn = threading.Lock()
        os.dup2(2, 1)
        sys.stdout = sys.stderr
        if self.is_first:
            threading.Thread(target=self._show_life, daemon=True).start()

    def send(self, event: str, **fields: object) -> None:
        """Sends an event from the first process. If nobody reads any more, the command is gone, and this raises BrokenPipeError."""
        if self.is_first:
            # JSON has no NaN: as in the log, it is null
            told = {key: None if _is_no_number(value) else value for key, value in fields.items()}
            self._print(json.dumps({"event": event, **told}))

    def answer(self) -> Optional[dict]:
        """What the command has said to the first process since the last answer; None if that is nothing so far."""
        if not self.is_first or not select.select([0], [], [], 0)[0]:
            return None
        line = sys.stdin.buffer.readline()
        if not line:
            raise EOFError("the command that was asked is gone")
        return json.loads(line)

    def end(self) -> None:
        with self._turn:
            self._out.close()

    @staticmethod
    def fail(error: Exception) -> None:
        """Says on stderr, in a line that the command looks for, why this process ends."""
        traceback.print_exc()
        kind = type(error)
        message = " ".join(str(error).split())
        # ours need no name
        told = message if kind.__module__.startswith("owlore.") else f"{kind.__name__}: {message}"
        print(f"{FAILED}{told}", file=sys.stderr, flush=True)

    def _show_life(self) -> None:
        try:
            while True:
                self._print("")
                time.sleep(PERIOD)
        except (OSError, ValueError):
            # the command is gone, and has this process ended by the one that has started it; or this one has come to its end
            pass

    def _print(self, line: str) -> None:
        with self._turn:
            print(line, file=self._out, flush=True)


def _is_no_number(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
