"""What the first process tells the command that has started it: a JSON object per line of stdout, and nothing else there."""

import json
import math
import os
import sys
import threading
import time
import traceback


def end_with_parent() -> None:
    """Ends this process when the one that has started it is gone: it may be waiting for other processes then, and would go on doing so."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class Events:
    """Stdout, which from now on is for events alone: whatever else prints goes to stderr."""

    def __init__(self) -> None:
        self.is_first = os.environ.get("RANK", "0") == "0"
        self._out = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
        sys.stdout = sys.stderr

    def send(self, event: str, **fields: object) -> None:
        """Sends an event from the first process. If nobody reads any more, the command is gone, and this raises BrokenPipeError."""
        if self.is_first:
            # JSON has no NaN: as in the log, it is null
            told = {key: None if _is_no_number(value) else value for key, value in fields.items()}
            print(json.dumps({"event": event, **told}), file=self._out, flush=True)

    def still_read(self) -> None:
        """Raises BrokenPipeError if the command is gone."""
        if self.is_first:
            print(file=self._out, flush=True)

    @staticmethod
    def fail(error: Exception) -> None:
        """Says on stderr, in a line that the command looks for, why this process ends."""
        traceback.print_exc()
        message = " ".join(str(error).split()) or type(error).__name__
        print(f"error: {message}", file=sys.stderr, flush=True)


def _is_no_number(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
