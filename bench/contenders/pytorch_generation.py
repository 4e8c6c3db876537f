"""Generation by PyTorch with transformers, for `npm run bench -- generation --folder FOLDER`.

    python bench/contenders/pytorch_generation.py FOLDER THREADS

Reads lines of JSON, {"prompts": [[ids], ...], "tokens": n}, prompts of one length, and answers each with the seconds from one
token of all texts to the next, as a line of JSON.
"""

import json
import sys
import time

try:
    import torch
    import transformers
except ImportError as error:
    print(json.dumps({"needs": f"`pip install torch transformers`, or a --python that has them ({error})"}), flush=True)
    sys.exit()

folder, threads = sys.argv[1], int(sys.argv[2])
torch.set_num_threads(threads)
model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
model.generation_config.eos_token_id = None


class Clock(transformers.StoppingCriteria):
    """Notes when each token is there, and stops nothing."""

    def __init__(self):
        self.times = []

    def __call__(self, input_ids, scores, **kwargs):
        self.times.append((time.perf_counter(), time.process_time()))
        return torch.zeros(input_ids.shape[0], dtype=torch.bool)


versions = {"torch": torch.__version__, "transformers": transformers.__version__}
print(json.dumps({"versions": versions}), flush=True)
for line in sys.stdin:
    request = json.loads(line)
    ids = torch.tensor(request["prompts"])
    clock = Clock()
    with torch.no_grad():
        model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=request["tokens"],
            do_sample=False,
            pad_token_id=0,
            stopping_criteria=transformers.StoppingCriteriaList([clock]),
        )
    steps = zip(clock.times, clock.times[1:])
    print(json.dumps([[b - a for a, b in zip(*step)] for step in steps]), flush=True)
