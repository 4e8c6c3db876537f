"""torchrun for `tfjs-owlore finetune --engine torch`, which ends with the command however that ends: stdin is a pipe that the command has open.

    launch.py --standalone --nproc-per-node 2 finetune.py RUN/torch/job.json
"""

import os
import signal
import threading
import time

# Seconds that torchrun has to end its processes. They also end by themselves when it is gone.
GRACE = 10


def end_with(command: int) -> None:
    """Ends this process when a pipe ends."""
    while os.read(command, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    os._exit(1)


def main() -> None:
    # its own from now on; other processes get an empty one
    command = os.dup(0)
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    threading.Thread(target=end_with, args=(command,), daemon=True).start()
    os.environ["OWLORE_LAUNCHER"] = str(os.getpid())
    # here, because this takes long
    from torch.distributed.run import main as torchrun

    torchrun()


if __name__ == "__main__":
    main()
