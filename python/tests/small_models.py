"""Small models of many architectures with random numbers, of their configurations alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import transformers

TOKENS = {"vocab_size": 99, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
LAYERS = {
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "hidden_size": 32,
    "intermediate_size": 64,
}
TEXT = TOKENS | LAYERS | {"max_position_embeddings": 128}
#: Four query heads on two key heads.
GROUPED = TEXT | {"num_key_value_heads": 2, "head_dim": 16}
ALTERNATING = GROUPED | {
    "sliding_window": 6,
    "layer_types": ["sliding_attention", "full_attention"],
}
SEQ2SEQ = TOKENS | {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "decoder_start_token_id": 1,
    "forced_eos_token_id": None,
}
T5 = TOKENS | {
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 64,
    "num_layers": 2,
    "num_heads": 4,
    "decoder_start_token_id": 0,
}
IMAGES = LAYERS | {"image_size": 16, "patch_size": 4}

ENCODERS = {
    "Albert": TEXT,
    "Bert": TEXT,
    "DistilBert": TOKENS | {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64},
    "Electra": TEXT,
    # The third layer attends to all, the others to their neighbours.
    "ModernBert": TEXT
    | {"num_hidden_layers": 4, "global_attn_every_n_layers": 3, "local_attention": 8},
    "NomicBert": TEXT,
    "Roberta": TEXT,
}
DECODERS = {
    "Cohere2": ALTERNATING,
    # Values are shorter than keys.
    "DeepseekV3": TEXT
    | {
        "num_key_value_heads": 4,
        "q_lora_rank": None,
        "kv_lora_rank": 16,
        "qk_rope_head_dim": 8,
        "qk_nope_head_dim": 8,
    }
    | {"v_head_dim": 12, "first_k_dense_replace": 2, "n_routed_experts": 4}
    | {"num_experts_per_tok": 1, "n_group": 1, "topk_group": 1},
    "GPT2": TOKENS | {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128},
    "GPTNeoX": TEXT,
    "Gemma2": ALTERNATING | {"attn_logit_softcapping": 2.0},
    "Gemma3Text": ALTERNATING,
    "Gemma": GROUPED,
    # Both experts for each token: a choice of one would turn rounding into another expert.
    "GptOss": ALTERNATING | {"num_local_experts": 2, "num_experts_per_tok": 2},
    "Llama": GROUPED,
    "Mistral": GROUPED | {"sliding_window": 6},
    "Mixtral": GROUPED | {"num_local_experts": 2, "num_experts_per_tok": 1},
    "OPT": TEXT | {"ffn_dim": 64, "word_embed_proj_dim": 32},
    "Olmo2": GROUPED,
    "Phi3": GROUPED | {"sliding_window": 6},
    "Phi": TEXT,
    "Qwen2": GROUPED,
    "Qwen3": GROUPED,
    "Starcoder2": GROUPED | {"sliding_window": 6},
}
ENCODER_DECODERS = {
    "Bart": SEQ2SEQ | {"max_position_embeddings": 64},
    "Marian": SEQ2SEQ | {"max_position_embeddings": 64},
    "T5": T5,
    "UMT5": T5,
}


@dataclass
class Case:
    """A model on inputs."""

    model: Any
    inputs: dict[str, Any]

    def run(self, implementation: str, **options: Any) -> Any:
        self.model.set_attn_implementation(implementation)
        with torch.no_grad():
            return self.model(**self.inputs, **options)

    def generate(self, implementation: str, **options: Any) -> Any:
        self.model.set_attn_implementation(implementation)
        inputs = {name: value for name, value in self.inputs.items() if "decoder" not in name}
        return self.model.generate(
            **inputs,
            max_new_tokens=8,
            do_sample=False,
            return_dict_in_generate=True,
            output_scores=True,
            **options,
        )


def build(config: Any, auto: Any = transformers.AutoModel, **options: Any) -> Any:
    """A model whose weights are large enough for rows to attend to some keys more than to others."""
    model = auto.from_config(config, attn_implementation="eager", **options).eval()
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        if parameter.ndim >= 2:
            torch.nn.init.normal_(parameter, std=0.3, generator=generator)
    # Nothing ends a generation early.
    if model.can_generate():
        model.generation_config.eos_token_id = None
    return model


def config(name: str, **more: Any) -> Any:
    """The configuration of an architecture in one of the tables."""
    known = ENCODERS | DECODERS | ENCODER_DECODERS
    return getattr(transformers, f"{name}Config")(**(known[name] | more))


def tokens(padding: str = "none", rows: int = 11) -> dict[str, torch.Tensor]:
    """Two texts, the first of which is shorter if there is padding: "none", "left" or "right"."""
    ids = torch.randint(3, 99, (2, rows), generator=torch.Generator().manual_seed(2))
    attended = torch.ones_like(ids)
    if padding != "none":
        attended[0, slice(4) if padding == "left" else slice(-4, None)] = 0
    return {"input_ids": ids * attended, "attention_mask": attended}


def text(name: str, padding: str = "none", **more: Any) -> Case:
    """An encoder or a decoder on text."""
    return Case(build(config(name, **more)), tokens(padding))


def language(name: str, padding: str = "left", **more: Any) -> Case:
    """A decoder, or an encoder and a decoder, that generates."""
    if name in DECODERS:
        return Case(build(config(name, **more), transformers.AutoModelForCausalLM), tokens(padding))
    inputs = tokens(padding)
    inputs["decoder_input_ids"] = tokens(rows=5)["input_ids"]
    return Case(build(config(name, **more), transformers.AutoModelForSeq2SeqLM), inputs)


def _image() -> dict[str, torch.Tensor]:
    return {"pixel_values": torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(3))}


def _whisper() -> Case:
    own = {"num_mel_bins": 8, "max_source_positions": 10, "max_target_positions": 64}
    model = build(transformers.WhisperConfig(**SEQ2SEQ, **own))
    sound = torch.randn(2, 8, 20, generator=torch.Generator().manual_seed(4))
    return Case(model, {"input_features": sound, "decoder_input_ids": tokens()["input_ids"]})


def _wav2vec2() -> Case:
    own = {"conv_dim": (16, 16), "conv_stride": (5, 4), "conv_kernel": (5, 4)}
    own |= {"num_feat_extract_layers": 2, "num_conv_pos_embeddings": 4}
    model = build(transformers.Wav2Vec2Config(**LAYERS, **own, num_conv_pos_embedding_groups=2))
    return Case(
        model, {"input_values": torch.randn(2, 400, generator=torch.Generator().manual_seed(5))}
    )


def _two_towers(name: str) -> Case:
    make = getattr(transformers, f"{name}Config")
    # CLIP's text ends at its largest token.
    text_config = TEXT | {"eos_token_id": 98}
    model = build(make(text_config=text_config, vision_config=IMAGES, projection_dim=16))
    return Case(model, tokens("right") | _image())


#: What sees or hears.
OTHERS: dict[str, Callable[[], Case]] = {
    "CLIP": lambda: _two_towers("CLIP"),
    "DeiT": lambda: Case(build(transformers.DeiTConfig(**IMAGES)), _image()),
    "Dinov2": lambda: Case(build(transformers.Dinov2Config(**IMAGES)), _image()),
    "Siglip": lambda: _two_towers("Siglip"),
    "ViT": lambda: Case(build(transformers.ViTConfig(**IMAGES)), _image()),
    "Wav2Vec2": _wav2vec2,
    "Whisper": _whisper,
}
