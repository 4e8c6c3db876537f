"""torchrun for `tfjs-owlore finetune --engine torch`, which ends with the command however that ends: stdin is a pipe that the command has open.
What the command says there is handed on to the first process.

    launch.py --standalone --nproc-per-node 2 finetune.py RUN/torch/job.json
"""

import os
import signal
import threading
import time

# Seconds that torchrun has to end its processes. They also end by themselves when it is gone.
GRACE = 10


def listen(command: int, first: int) -> None:
    """Hands on what a pipe says, and ends this process when it ends."""
    while said := os.read(command, 4096):
        os.write(first, said)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    os._exit(1)


def main() -> None:
    # its own from now on; other processes get one of which the first alone reads (owlore/events.py)
    command = os.dup(0)
    heard, first = os.pipe()
    os.dup2(heard, 0)
    os.close(heard)
    threading.Thread(target=listen, args=(command, first), daemon=True).start()
    os.environ["OWLORE_LAUNCHER"] = str(os.getpid())
    # here, because this takes long
    from torch.distributed.run import main as torchrun

    torchrun()


if __name__ == "__main__":
    main()
