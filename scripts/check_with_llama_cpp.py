"""The second half of a check that other programs read the GGUF files of `saveGguf` and `tfjs-owlore export`: compares each file that
scripts/save_for_llama_cpp.ts has written with the model that it was made of. Optional: no test needs Python.

    python -m venv .venv && .venv/bin/pip install torch transformers gguf numpy safetensors  # and xllamacpp
    npx tsx scripts/save_for_llama_cpp.ts /tmp/gguf
    .venv/bin/python scripts/check_with_llama_cpp.py /tmp/gguf

Every tensor must have the bytes that gguf's own quants give to the model's weights, in llama.cpp's order and under gguf's names. The
logits of transformers' model of the file must be those that were computed here, and its tokenizer and that of the model must give the
same ids. With xllamacpp, which is llama.cpp with a server, its ids must be the same as well, and its greedy text as far as llama.cpp computes
as exactly: with F16 and Q8_0 it rounds activations too, so that only the number of equal tokens is told. Ends with 1 if anything is wrong.
"""

import json
import sys
import urllib.error
import urllib.request
from pathlib import Path

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as T
from gguf import GGUFReader
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

try:
    import xllamacpp
except ImportError:
    xllamacpp = None

# Both compute in float32 from the same values, and sum up in another order: 1e-6 is measured for the small models.
TOLERANCE = 1e-5


def permute(weights, heads):
    return weights.reshape(heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:]).swapaxes(1, 2).reshape(weights.shape)


def check_tensors(reader, folder, dtype):
    config = json.loads((folder / "config.json").read_text())
    name = reader.get_field("general.architecture").contents()
    arch = next(key for key, value in gguf.MODEL_ARCH_NAMES.items() if value == name)
    names = gguf.get_tensor_name_map(arch, config["num_hidden_layers"])
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    complaints = []
    for key, weights in load_file(folder / "model.safetensors").items():
        if key == "lm_head.weight" and config.get("tie_word_embeddings"):
            continue
        values = weights.float().numpy()
        if name == "llama" and "q_proj" in key:
            values = permute(values, config["num_attention_heads"])
        if name == "llama" and "k_proj" in key:
            values = permute(values, config["num_key_value_heads"])
        if name == "gemma3" and key.endswith("norm.weight"):
            values = values + 1
        stem, suffix = key.rsplit(".", 1)
        kind = T[dtype] if values.ndim > 1 else T.F32
        tensor = tensors.pop(f"{names.get_name(stem)}.{suffix}", None)
        if tensor is None:
            complaints.append(f"{key} is missing")
            continue
        expected = np.ascontiguousarray(gguf.quants.quantize(values, kind)).view(np.uint8)
        if tensor.tensor_type != kind or tensor.data.tobytes() != expected.tobytes():
            complaints.append(f"{key} has other bytes, as {tensor.tensor_type.name}")
    tensors.pop("rope_freqs.weight", None)
    return complaints + [f"{key} is too many" for key in tensors]


def check_transformers(path, told):
    config = AutoConfig.from_pretrained(path.parent, gguf_file=path.name)
    # which transformers 5.24.0 does not read
    if told["architecture"] in ("qwen3", "gemma3"):
        config.head_dim = told["headDim"]
    if told["architecture"] == "gemma3":
        config.query_pre_attn_scalar = told["queryPreAttnScalar"]
    model = AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, config=config, dtype=torch.float32, attn_implementation="eager"
    )
    if told["ropeScaling"]:
        scaling = told["ropeScaling"]
        rope = dict(rope_type="llama3", rope_theta=model.config.rope_parameters["rope_theta"], factor=scaling["factor"],
                    low_freq_factor=scaling["lowFreqFactor"], high_freq_factor=scaling["highFreqFactor"],
                    original_max_position_embeddings=scaling["originalMaxPositionEmbeddings"])
        stretched = type(model)(type(config)(**{**model.config.to_dict(), "rope_parameters": rope}, attn_implementation="eager"))
        stretched.load_state_dict(model.state_dict())
        model = stretched
    model = model.to(torch.float32).eval()
    ours = load_file(path.with_suffix(".safetensors"))["logits"].numpy()
    with torch.no_grad():
        logits = model(torch.tensor([told["prompt"]])).logits.numpy()
    difference = np.abs(logits - ours).max() / np.abs(ours).max()
    print(f"{path.name}: logits of transformers differ by {difference:.1e} of the largest")
    return [] if difference <= TOLERANCE else [f"logits differ by {difference:.3g} of the largest, more than {TOLERANCE}"]


def check_ids(told, what, encode):
    found = [(text["text"], text["ids"], encode(text["text"])) for text in told["texts"]]
    return [
        f"{what} has other ids of {text!r}: {theirs} and {ours}" for text, ours, theirs in found if theirs not in (None, ours)
    ]


def check_llama_cpp(path, told):
    params = xllamacpp.CommonParams()
    params.model.path, params.n_ctx, params.warmup = str(path), 256, False
    server = xllamacpp.Server(params)

    def post(place, **body):
        request = urllib.request.Request(
            server.listening_address + place, json.dumps(body).encode(), {"content-type": "application/json"}
        )
        return json.load(urllib.request.urlopen(request))

    is_sentencepiece = GGUFReader(path).get_field("tokenizer.ggml.model").contents() == "llama"

    def encode(text):
        if is_sentencepiece and text.startswith(" "):  # before which llama.cpp puts another space, and transformers does not
            return None
        try:
            return post("/tokenize", content=text, add_special=True, parse_special=True)["tokens"]
        except urllib.error.HTTPError:  # for characters for which a small vocabulary has neither a token nor bytes
            return None

    complaints = check_ids(told, "llama.cpp", encode)
    ids = post(
        "/completion", prompt=told["prompt"], n_predict=len(told["ids"]), temperature=0, ignore_eos=True, cache_prompt=False, return_tokens=True
    )["tokens"]
    same = next((i for i, (ours, theirs) in enumerate(zip(told["ids"], ids)) if ours != theirs), len(ids))
    print(f"{path.name}: llama.cpp writes the same {same} of {len(ids)} tokens: {told['text']!r}")
    return complaints + ([] if same > 0 else [f"llama.cpp writes other tokens: {ids}"])


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__)
        return 1
    failed = 0
    for path in sorted(Path(sys.argv[1]).glob("*.gguf")):
        told = json.loads(path.with_suffix(".json").read_text())
        folder = path.parent / told["source"]
        original = AutoTokenizer.from_pretrained(folder)
        complaints = [
            *check_tensors(GGUFReader(path), folder, told["dtype"]),
            *check_transformers(path, told),
            *check_ids(told, "the model's tokenizer", lambda text: original(text)["input_ids"]),
            *(check_llama_cpp(path, told) if xllamacpp else []),
        ]
        failed += len(complaints) > 0
        for line in complaints:
            print(f"{path.name}: {line}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
