"""The reference workload, W1 of workload.ts, in PyTorch with transformers' LLaMA.

A process that `npm run bench -- performance` gives its steps to, by lines of JSON (harness/protocol.ts):

    python bench/contenders/pytorch_reference.py <start point> '{"shape": {...}, "learningRate": 1e-4, "epsilon": 1e-7,
        "threads": 1, "on": [3, 6]}'

Of the blocks those train that are on, and all that is no block, without the embedding at {"frozenEmbedding": true}. It starts from the weights and the batch of the safetensors file; with
{"folder": "…", "checkpoints": true, "batch": 4, "length": 128} instead of a shape, from the model in that folder. As a user of both would
write it: the fused scaled dot product attention, AdamW in its fused kernel, gradients set to None.
"""

import json
import sys
import time


def reply(kind, **values):
    print(json.dumps({"kind": kind, **values}), flush=True)


try:
    import torch
    import transformers
    from safetensors.torch import load_file
except ImportError as error:
    reply("absent", needs=f"`pip install torch transformers`, or a --python that has them ({error})")
    sys.exit()


class Training:
    def __init__(self, start, options):
        torch.set_num_threads(options["threads"])
        torch.set_float32_matmul_precision(options.get("matmulPrecision", "highest"))
        if "folder" in options:
            self.load(options)
        else:
            self.create(start, options["shape"])
        self.model.train()
        blocks = range(self.model.config.num_hidden_layers)
        frozen = tuple(f"model.layers.{i}." for i in blocks if i not in options["on"])
        if options.get("frozenEmbedding"):
            frozen += ("model.embed_tokens.",)
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad = not name.startswith(frozen)
        self.optimizer = torch.optim.AdamW(
            [parameter for parameter in self.model.parameters() if parameter.requires_grad],
            lr=options["learningRate"],
            eps=options["epsilon"],
            weight_decay=0,
            fused=True,
        )

    def load(self, options):
        """A real model, and the token ids of smollm2_contender.ts."""
        self.model = transformers.AutoModelForCausalLM.from_pretrained(
            options["folder"], dtype=torch.float32, attn_implementation="sdpa", use_cache=False
        )
        if options["checkpoints"]:
            self.model.gradient_checkpointing_enable({"use_reentrant": False})
        batch, length = options["batch"], options["length"]
        tokens = [(i + 1) * 2654435761 % 2**32 >> 17 for i in range(batch * (length + 1))]
        tokens = torch.tensor(tokens).reshape(batch, length + 1)
        self.ids, self.labels = tokens[:, :-1], tokens[:, 1:]

    def create(self, start, shape):
        config = transformers.LlamaConfig(
            vocab_size=shape["vocabulary"],
            hidden_size=shape["hidden"],
            intermediate_size=shape["intermediate"],
            num_hidden_layers=shape["layers"],
            num_attention_heads=shape["heads"],
            max_position_embeddings=shape["length"],
            rms_norm_eps=1e-5,
            tie_word_embeddings=False,
            use_cache=False,
            attn_implementation="sdpa",
        )
        self.model = transformers.LlamaForCausalLM(config)
        tensors = load_file(start)
        self.ids = tensors.pop("ids").long()
        self.labels = tensors.pop("labels").long()
        self.model.load_state_dict(tensors)

    def step(self):
        logits = self.model(input_ids=self.ids).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), self.labels.flatten())
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.item()


training = Training(sys.argv[1], json.loads(sys.argv[2]))
reply(
    "ready",
    parameters=sum(parameter.numel() for parameter in training.model.parameters()),
    versions={"torch": torch.__version__, "transformers": transformers.__version__},
)
for line in sys.stdin:
    request = json.loads(line)
    if request == "step":
        start = time.perf_counter()
        loss = training.step()
        reply("step", loss=loss, milliseconds=(time.perf_counter() - start) * 1000)
    elif request == "memory":
        reply("memory")
