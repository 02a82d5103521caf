# %% [markdown]
# # Which words attend to which
#
# Models of the BERT kind run torch's fused attention, which is fast and keeps the weights to itself.
# Asking for them (`output_attentions=True`) means loading the model a second time with the unfused
# path. softdot computes them from the queries and keys that the fused model makes anyway.
#
# Without arguments this takes the queries and keys of all-MiniLM-L6-v2 on a sentence from the
# project's folder `data`; with `--model FOLDER` it runs a model of your own (that wants torch and
# transformers). `pip install './python[plot]'` brings what draws.

# %%
from __future__ import annotations

import argparse
import json
import pathlib
import sys
from dataclasses import dataclass

import numpy
import softdot

DATA = pathlib.Path(__file__).resolve().parents[2] / "cli" / "data"


@dataclass
class Activations:
    """What one sentence made in all layers."""

    tokens: list[str]
    #: ``[layer, head, token, head_dim]``, arrays or one tensor for each layer.
    query: list
    key: list
    #: ``[layer, head, token, token]``, as the model's unfused path computes them.
    weights: list


# %% [markdown]
# ## From the data of the project
#
# A safetensors file is the length of its header, the header in JSON, and the numbers.


# %%
def from_data(text: str) -> Activations:
    """all-MiniLM-L6-v2's queries, keys and weights of a sentence."""
    with open(DATA / f"minilm-{text}.safetensors", "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        numbers = file.read()

    def tensor(name: str) -> numpy.ndarray:
        first, last = header[name]["data_offsets"]
        return numpy.frombuffer(numbers[first:last], "<f4").reshape(header[name]["shape"])

    tokens = json.loads(header["__metadata__"]["tokens"])
    return Activations(tokens, *(list(tensor(name)) for name in ("query", "key", "weights")))


# %% [markdown]
# ## From a model of your own
#
# The fused model runs once; hooks on its projections keep the queries and keys. They come as
# `[batch, token, head · head_dim]`, and no copy makes heads of them: softdot reads any strides. The
# unfused model is here only to compare with.


# %%
def from_model(folder: str, sentence: str) -> Activations:
    """The queries and keys of a model of the BERT kind in a local folder."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    inputs = tokenizer(sentence, return_tensors="pt")
    fused, unfused = (
        AutoModel.from_pretrained(folder, attn_implementation=path, local_files_only=True).eval()
        for path in ("sdpa", "eager")
    )
    heads = fused.config.num_attention_heads
    kept: dict[str, list] = {"query": [], "key": []}

    def keep(projections: list):
        def hook(module, arguments, output):
            batch, tokens, width = output.shape
            split = output.view(batch, tokens, heads, width // heads)
            projections.append(split.transpose(1, 2)[0])

        return hook

    for name, module in fused.named_modules():
        for projection, projections in kept.items():
            if name.endswith(f"attention.self.{projection}"):
                module.register_forward_hook(keep(projections))
    with torch.inference_mode():
        fused(**inputs)
        own = unfused(**inputs, output_attentions=True).attentions
    tokens = tokenizer.convert_ids_to_tokens(inputs["input_ids"][0])
    return Activations(tokens, kept["query"], kept["key"], [layer[0] for layer in own])


# %% [markdown]
# ## The weights, and how far they are from the model's own
#
# `[head, token, token]` for each layer: arrays for arrays, tensors for tensors.


# %%
def attention_maps(activations: Activations) -> list:
    """The weights of all layers."""
    return [
        softdot.attention_weights(query, key)
        for query, key in zip(activations.query, activations.key)
    ]


def largest_difference(maps: list, own: list) -> float:
    """From the model's own weights."""
    pairs = ((numpy.asarray(layer), numpy.asarray(theirs)) for layer, theirs in zip(maps, own))
    return max(float(numpy.abs(layer - theirs).max()) for layer, theirs in pairs)


# %%
def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Attention maps of a model whose attention is fused.")
    parser.add_argument("--text", choices=["cat", "story"], default="cat")
    parser.add_argument("--model", help="a local folder with a model of the BERT kind")
    parser.add_argument("--sentence", default="The cat sat.", help="what that model reads")
    parser.add_argument("--layer", type=int, default=0)
    parser.add_argument("--head", type=int, default=0)
    parser.add_argument("--output", help="a file for the map, instead of a window")
    # In a notebook the arguments are the kernel's.
    return parser.parse_args([] if "ipykernel" in sys.modules else None)


def main() -> None:
    arguments = parse()
    if arguments.model:
        activations = from_model(arguments.model, arguments.sentence)
    else:
        activations = from_data(arguments.text)
    maps = attention_maps(activations)
    heads = len(maps[0])
    for option, count in {"layer": len(maps), "head": heads}.items():
        found = getattr(arguments, option)
        if not 0 <= found < count:
            sys.exit(f"--{option}: expected a number from 0 to {count - 1}, found {found}")
    print(f"{len(maps)} layers, {heads} heads, tokens: {' '.join(activations.tokens)}")
    difference = largest_difference(maps, activations.weights)
    print(f"largest difference from the model's own weights: {difference:.1e}")

    axes = softdot.plot_weights(maps[arguments.layer][arguments.head], activations.tokens)
    axes.set_title(f"layer {arguments.layer}, head {arguments.head}")
    if arguments.output:
        axes.figure.savefig(arguments.output)
    else:
        from matplotlib import pyplot

        pyplot.show()


if __name__ == "__main__":
    main()
