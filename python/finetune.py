"""The training of `tfjs-owlore finetune --engine torch`. The command writes a job and starts this by torchrun (launch.py):

    torchrun --nproc-per-node 2 finetune.py RUN/torch/job.json

README.md, beside this file in a checkout, describes what is in a job and what this prints; docs/torch.md how to start it on several machines.
"""

import os
import sys

# by PYTHONSAFEPATH neither the current folder nor that of this file is searched for modules: of them only what came with this file
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from owlore.events import Events, end_with_parent


def main() -> None:
    end_with_parent()
    events = Events()
    try:
        # here, so that a package that does not load is reported as any other error
        from owlore.job import read_job
        from owlore.parallel import Parallel
        from owlore.training import Training

        job = read_job(sys.argv[1])
        parallel = Parallel(job["parallel"])
        Training(job, parallel, events).run()
        parallel.end()
        events.end()
    except Exception as error:
        events.fail(error)
        # at once: taking leave of the other processes would wait for them
        os._exit(1)
    sys.stderr.flush()
    # at once, too: threads of Gloo that have not ended yet abort a process whose interpreter is being taken down (pytorch/pytorch#90549)
    os._exit(0)


if __name__ == "__main__":
    main()
