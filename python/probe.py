"""Says in one line of JSON what this Python has of what finetune.py needs; imports nothing that may be missing."""

import json
import sys

try:
    from importlib.metadata import PackageNotFoundError, version
except ImportError:  # before Python 3.8, which is too old anyway
    PackageNotFoundError = ImportError

    def version(name):
        raise ImportError(name)


found = {"python": "%d.%d.%d" % sys.version_info[:3], "gpus": 0}
for name in ("torch", "transformers", "safetensors", "numpy"):
    try:
        found[name] = version(name)
    except PackageNotFoundError:
        found[name] = None
if found["torch"] is not None:
    try:
        import torch

        found["gpus"] = torch.cuda.device_count()
    except Exception as error:  # a torch that does not load is as good as none
        found["torch"] = None
        found["problem"] = " ".join(str(error).split())
print(json.dumps(found))
