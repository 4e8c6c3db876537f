"""The second half of a check that transformers loads what `saveLlama` writes: loads a saved folder with transformers, and compares
its logits with those that scripts/save_for_transformers.ts has written beside it. Optional: no test needs Python.

    python -m venv .venv && .venv/bin/pip install torch transformers safetensors numpy
    npx tsx scripts/save_for_transformers.ts test/fixtures/llama/llama2 /tmp/llama2 BF16
    .venv/bin/python scripts/check_with_transformers.py /tmp/llama2

Takes any number of folders. Ends with 1 if transformers misses a weight or finds one too many, if a weight is not of the type that
config.json says, or if a logit differs by more than float32 rounds: both sides compute in float32 from the same values. Works with
transformers 4 and 5.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
import transformers
from safetensors.numpy import load_file
from transformers import AutoModelForCausalLM

# Both sum up in another order: 1e-6 of the largest logit is measured for the tiny fixtures.
TOLERANCE = 1e-5


def check(folder: str) -> list[str]:
    """Complaints about a folder, and one line about it on the way."""
    complaints = []
    # The argument is `torch_dtype` in transformers 4; without it 4 loads float32 and 5 what config.json says.
    model, info = AutoModelForCausalLM.from_pretrained(
        folder, attn_implementation="eager", output_loading_info=True
    )
    written = json.loads((Path(folder) / "config.json").read_text())["dtype"]
    if int(transformers.__version__.split(".")[0]) > 4 and str(model.dtype) != f"torch.{written}":
        complaints.append(f"loaded as {model.dtype}, config.json says {written}")
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if info[kind]:
            complaints.append(f"{kind}: {sorted(info[kind])}")
    model = model.float().eval()

    tensors = load_file(f"{folder}.logits.safetensors")
    with torch.no_grad():
        logits = model(torch.from_numpy(tensors["ids"].astype(np.int64))).logits.numpy()
    difference = np.abs(logits - tensors["logits"]).max()
    allowed = TOLERANCE * np.abs(logits).max()
    if not difference <= allowed:
        complaints.append(f"logits differ by {difference:.3g}, more than {allowed:.3g}")
    print(f"{folder}: {type(model).__name__}, {written}, logits differ by {difference:.2g} at most")
    return complaints


def main() -> int:
    folders = sys.argv[1:]
    if not folders:
        print(__doc__)
        return 1
    print(f"transformers {transformers.__version__}, torch {torch.__version__}")
    complaints = {folder: check(folder.rstrip("/")) for folder in folders}
    for folder, lines in complaints.items():
        for line in lines:
            print(f"{folder}: {line}", file=sys.stderr)
    return 1 if any(complaints.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
