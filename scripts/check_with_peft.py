"""The second half of a check that peft loads what `Lora.save` writes: loads a model with transformers and saved adapters with peft,
and compares the logits with those that scripts/save_for_peft.ts has written beside the adapters. Then peft saves them, for the way
back. Optional: no test needs Python.

    python -m venv .venv && .venv/bin/pip install peft torch transformers safetensors numpy
    npx tsx scripts/save_for_peft.ts test/fixtures/llama/llama2 /tmp/adapter
    .venv/bin/python scripts/check_with_peft.py test/fixtures/llama/llama2 /tmp/adapter
    npx tsx scripts/save_for_peft.ts test/fixtures/llama/llama2 /tmp/adapter.peft --saved
    .venv/bin/python scripts/check_with_peft.py test/fixtures/llama/llama2 /tmp/adapter.peft

With --make, peft makes an adapter of rsLoRA with random values first, for the same two commands:

    .venv/bin/python scripts/check_with_peft.py --make test/fixtures/llama/llama2 /tmp/rslora
    npx tsx scripts/save_for_peft.ts test/fixtures/llama/llama2 /tmp/rslora --saved
    .venv/bin/python scripts/check_with_peft.py test/fixtures/llama/llama2 /tmp/rslora

Ends with 1 if peft misses a tensor or finds one too many; if a logit is further from what torch computes in float64 than 1e-5 of the
largest one, or than torch's own float32 is; or if it differs from torch's float32 by more than both together, also when the adapters are
merged, and when AutoPeftModelForCausalLM finds the model by what the adapter says.
"""

import sys
import warnings

import numpy as np
import peft
import torch
import transformers
from peft import AutoPeftModelForCausalLM, LoraConfig, PeftModel, get_peft_model
from safetensors.numpy import load_file
from transformers import AutoModelForCausalLM

# Of the largest logit: both sum up in another order, as in check_with_transformers.py.
TOLERANCE = 1e-5


def make(base: str, adapter: str) -> int:
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    config = LoraConfig(
        r=3, lora_alpha=5, use_rslora=True, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    model = get_peft_model(model, config)
    torch.manual_seed(1)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.05)
    model.save_pretrained(adapter)
    return 0


def main() -> int:
    if len(sys.argv) == 4 and sys.argv[1] == "--make":
        return make(*sys.argv[2:])
    if len(sys.argv) != 3:
        print(__doc__)
        return 1
    base, adapter = sys.argv[1:]
    adapter = adapter.rstrip("/")
    print(f"peft {peft.__version__}, transformers {transformers.__version__}, torch {torch.__version__}")
    complaints = []
    model = AutoModelForCausalLM.from_pretrained(
        base, attn_implementation="eager", dtype=torch.float32
    )
    # peft only warns of missing keys
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = PeftModel.from_pretrained(model, adapter).eval()
    complaints += [str(w.message) for w in caught if "missing" in str(w.message) or "unexpected" in str(w.message)]
    stored = load_file(f"{adapter}/adapter_model.safetensors")
    own = peft.get_peft_model_state_dict(model)
    if set(stored) != set(own):
        complaints.append(f"other names than peft's: {sorted(set(stored) ^ set(own))[:5]}")

    tensors = load_file(f"{adapter}.logits.safetensors")
    ids = torch.from_numpy(tensors["ids"].astype(np.int64))
    rounding = TOLERANCE * np.abs(tensors["logits"]).max()
    exact_model = AutoModelForCausalLM.from_pretrained(
        base, attn_implementation="eager", dtype=torch.float64
    )
    with torch.no_grad():
        exact = PeftModel.from_pretrained(exact_model, adapter).eval().double()(ids).logits.numpy()

    def check(what: str, difference: float, allowed: float) -> None:
        if not difference <= allowed:
            complaints.append(f"{what}: logits differ by {difference:.3g}, more than {allowed:.3g}")
        print(f"{adapter}, {what}: {len(stored)} tensors, logits differ by {difference:.2g} at most, allowed {allowed:.2g}")

    def compare(what: str, of: torch.nn.Module) -> np.ndarray:
        with torch.no_grad():
            logits = of(ids).logits.numpy()
        torchs_own = np.abs(logits - exact).max()
        check(f"{what}, float64", np.abs(tensors["logits"] - exact).max(), max(rounding, torchs_own))
        check(what, np.abs(logits - tensors["logits"]).max(), rounding + torchs_own)
        return logits

    adapted = compare("adapted", model)
    with model.disable_adapter(), torch.no_grad():
        change = np.abs(model(ids).logits.numpy() - adapted).max()
    if not change > 10 * rounding:
        complaints.append(f"the adapters change the logits by {change:.3g} only")
    if not adapter.endswith(".peft"):
        model.save_pretrained(f"{adapter}.peft")
    compare("merged", model.merge_and_unload())
    automatic = AutoPeftModelForCausalLM.from_pretrained(
        adapter, attn_implementation="eager", dtype=torch.float32
    )
    compare("found by AutoPeftModelForCausalLM", automatic.eval())
    for line in complaints:
        print(f"{adapter}: {line}", file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
