"""In the place of torchrun: starts a process as it does, in a session of its own, and tells the numbers of both as the steps of events."""

import json
import os
import signal
import subprocess
import sys

# what launch.py gives torchrun to end in, which a deaf one does not use: a test would wait for that long
sys.modules["__main__"].GRACE = 1

WORKER = """
import os, sys, time
sys.path.insert(0, sys.argv[1])
from owlore.events import Events, end_with_parent
end_with_parent()
if "STUB_ASKS" in os.environ:
    events = Events()
    while (answer := events.answer()) is None:
        time.sleep(0.02)
    events.send("full", path=answer["folder"], reason=answer["checkpoints"])
time.sleep(600)
"""


def end(*_) -> None:
    worker.kill()
    sys.exit(1)


def main() -> None:
    global worker
    program = os.path.dirname(sys.argv[-2])
    worker = subprocess.Popen([sys.executable, "-c", WORKER, program], start_new_session=True)
    # one that waits in C++ handles no signal
    signal.signal(signal.SIGTERM, signal.SIG_IGN if "STUB_IS_DEAF" in os.environ else end)
    for pid in (os.getpid(), worker.pid):
        print(json.dumps({"event": "stopped", "step": pid}), flush=True)
    worker.wait()


if __name__ == "__main__":
    main()
