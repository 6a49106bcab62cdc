"""Each attention against its formula, written out in numpy float64 without our classes."""

import numpy as np
import pytest
import torch

from s2squant.config.networks import AttentionSpec, DecoderSpec, EncoderSpec
from s2squant.nets.attention import Attention
from s2squant.nets.decoders import RecurrentDecoder, TransformerDecoder
from s2squant.nets.encoders import RecurrentEncoder, TransformerEncoder
from s2squant.nets.memory import Memory
from s2squant.nets.transformer import MultiHead, sinusoids

K, W, N, STEPS = 5, 7, 3, 4
RADIUS = 2
LENGTHS = np.array([7, 4, 2])


def values(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def numpy_of(module: torch.nn.Module) -> dict[str, np.ndarray]:
    return {name: value.detach().numpy() for name, value in module.state_dict().items()}


def softmax(scores: np.ndarray) -> np.ndarray:
    shares = np.exp(scores - scores.max())
    return shares / shares.sum()


def score_of(kind: str, weights: dict[str, np.ndarray], query: np.ndarray, state: np.ndarray) -> float:
    match kind:
        case "dot":
            return float(query @ state)
        case "general":
            return float(query @ weights["key.weight"] @ state)
        case "concat":
            inside = weights["query.weight"] @ query + weights["key.weight"] @ state
            return float(weights["vector"] @ np.tanh(inside))
    raise AssertionError(kind)


def expected_weights(kind: str, score: str, w: dict[str, np.ndarray], query: np.ndarray, states: np.ndarray, step: int):
    """The weights of one query over the real states of one sequence."""
    count = len(states)
    scores = np.array([score_of(score, w, query, state) for state in states])
    match kind:
        case "bahdanau" | "luong_global":
            return softmax(scores)
        case "luong_local_m":
            centre = float(min(step, count - 1))
        case "luong_local_p":
            inner = w["position_vector"] @ np.tanh(w["position.weight"] @ query)
            centre = count / (1.0 + np.exp(-inner))
    places = np.arange(count)
    near = np.abs(places - centre) <= RADIUS
    out = np.zeros(count)
    out[near] = softmax(scores[near])
    if kind == "luong_local_p":
        out *= np.exp(-((places - centre) ** 2) / (2 * (RADIUS / 2) ** 2))
    return out


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize(
    ("kind", "score"),
    [
        ("bahdanau", "concat"),
        *[
            (f"luong_{where}", score)
            for where in ("global", "local_m", "local_p")
            for score in ("dot", "general", "concat")
        ],
    ],
)
def test_an_attention_is_its_formula(kind, score, padded):
    torch.manual_seed(1)
    attention = Attention(kind, score, K, RADIUS).double()
    query, states = values(STEPS, N, K), values(N, W, K, seed=1)
    lengths = LENGTHS if padded else np.full(N, W)
    mask = torch.from_numpy(np.arange(W) < lengths[:, None]) if padded else None
    contexts, weights = attention(query, attention.keys(states, mask), first=1)
    w = numpy_of(attention)
    for n in range(N):
        real = states[n, : lengths[n]].numpy()
        for t in range(STEPS):
            expected = expected_weights(kind, score, w, query[t, n].numpy(), real, t + 1)
            assert weights[t, n, : lengths[n]].detach().numpy() == pytest.approx(expected, abs=1e-12)
            assert float(weights[t, n, lengths[n] :].detach().abs().sum()) == 0.0
            assert contexts[t, n].detach().numpy() == pytest.approx(expected @ real, abs=1e-12)


def test_the_predicted_position_has_the_right_gradient():
    torch.manual_seed(2)
    attention = Attention("luong_local_p", "general", K, RADIUS).double()
    query, states = values(STEPS, N, K), values(N, W, K, seed=3)
    query.requires_grad_()

    def context(q: torch.Tensor, vector: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
        parts = {"position_vector": vector, "position.weight": matrix}
        return torch.func.functional_call(attention, parts, (q, attention.keys(states, None)))[0]

    vector = attention.position_vector.detach().clone().requires_grad_()
    matrix = attention.position.weight.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(context, (query, vector, matrix))
    (through,) = torch.autograd.grad(context(query, vector, matrix).square().sum(), vector)
    assert bool((through.abs() > 0).all()), "the predicted position is not learnt"


def test_bahdanau_reads_its_context_before_the_step_and_luong_after_it():
    torch.manual_seed(3)
    states, summary, x = values(N, W, K), values(N, K, seed=4), values(STEPS, N, 2, seed=5)
    memory = Memory(summary, states)
    bahdanau = RecurrentDecoder(DecoderSpec(attention=AttentionSpec(kind="bahdanau")), "gru", 2, K).double()
    cell = torch.nn.GRUCell(2 + K, K).double()
    luong_spec = DecoderSpec(context="initial", attention=AttentionSpec(kind="luong_global", input_feeding=True))
    luong = RecurrentDecoder(luong_spec, "gru", 2, K).double()
    fed_cell = torch.nn.GRUCell(2 + K, K).double()
    for decoder, single in ((bahdanau, cell), (luong, fed_cell)):
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            getattr(single, name).data = getattr(decoder.rnn, f"{name}_l0").data
    h, before = summary, []
    for t in range(STEPS):
        context, _ = bahdanau.attention(h[None], bahdanau.attention.keys(states, None), t)
        h = cell(torch.cat([x[t], context[0]], dim=1), h)
        before.append(h)
    assert torch.allclose(bahdanau.run(x, memory).hidden_HNK, torch.stack(before), atol=1e-12)
    h, fed, after = summary, torch.zeros_like(summary), []
    for t in range(STEPS):
        h = fed_cell(torch.cat([x[t], fed], dim=1), h)
        context, _ = luong.attention(h[None], luong.attention.keys(states, None), t)
        fed = torch.tanh(torch.cat([context[0], h], dim=1) @ luong.merge.weight.T + luong.merge.bias)
        after.append(fed)
    assert torch.allclose(luong.run(x, memory).hidden_HNK, torch.stack(after), atol=1e-12)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("kind", ["none", "luong_global", "luong_local_m", "luong_local_p"])
def test_the_fused_path_and_the_step_loop_agree(cell, layers, kind):
    torch.manual_seed(4)
    decoder = RecurrentDecoder(DecoderSpec(layers=layers, attention=AttentionSpec(kind=kind)), cell, 2, K).double()
    memory = Memory(values(N, K), values(N, W, K, seed=1), torch.from_numpy(np.arange(W) < LENGTHS[:, None]))
    agree(decoder, memory)


@pytest.mark.parametrize("start", ["zero", "learned"])
def test_a_first_state_that_knows_nothing_of_the_past_agrees_too_and_its_slopes_are_its_differences(start):
    torch.manual_seed(6)
    decoder = RecurrentDecoder(DecoderSpec(start=start, layers=2), "lstm", 2, K).double()
    agree(decoder, Memory(values(N, K)))
    firsts = {name: values(2, 1, K, seed=7 + n) for n, name in enumerate(("first.0", "first.1")) if start == "learned"}

    def hidden(summary: torch.Tensor, *first: torch.Tensor) -> torch.Tensor:
        parts = dict(zip(firsts, first, strict=True))
        return torch.func.functional_call(decoder, parts, (values(2, N, 2), Memory(summary)))

    inputs = [values(N, K, seed=9), *firsts.values()]
    decoder.forward = lambda x, memory: decoder.run(x, memory).hidden_HNK
    assert torch.autograd.gradcheck(hidden, [value.requires_grad_() for value in inputs])


def test_the_transformer_in_one_call_and_step_by_step_agree():
    torch.manual_seed(5)
    decoder = TransformerDecoder(DecoderSpec(kind="transformer", layers=2, heads=2), 2, 6).double()
    agree(decoder, Memory(values(N, 6), values(N, W, 6, seed=1), torch.from_numpy(np.arange(W) < LENGTHS[:, None])))


def agree(decoder: RecurrentDecoder | TransformerDecoder, memory: Memory) -> None:
    x = values(STEPS, N, 2, seed=6)
    whole, state = decoder.run(x, memory), decoder.start(memory)
    for t in range(STEPS):
        hidden, weights, state = decoder.step(x[t], state)
        assert torch.allclose(whole.hidden_HNK[t], hidden, atol=1e-9)
        assert (weights is None) == (whole.weights_HNW is None)
        if weights is not None:
            assert torch.allclose(whole.weights_HNW[t], weights, atol=1e-9)


def test_multi_head_attention_is_its_formula():
    torch.manual_seed(6)
    attention, x, y = MultiHead(6, 2).double(), values(N, STEPS, 6), values(N, W, 6, seed=1)
    w = numpy_of(attention)
    out = attention(x, attention.remember(y), None).detach().numpy()
    q = x.numpy() @ w["query.weight"].T + w["query.bias"]
    kv = y.numpy() @ w["key_value.weight"].T + w["key_value.bias"]
    k, v = kv[..., :6], kv[..., 6:]
    for n in range(N):
        for t in range(STEPS):
            mixed = []
            for head in (slice(0, 3), slice(3, 6)):
                shares = softmax(k[n][:, head] @ q[n, t, head] / np.sqrt(3))
                mixed.append(shares @ v[n][:, head])
            expected = np.concatenate(mixed) @ w["out.weight"].T + w["out.bias"]
            assert out[n, t] == pytest.approx(expected, abs=1e-12)


def test_sinusoids_are_the_published_ones():
    table = sinusoids(50, 8).numpy()
    for position in (0, 1, 17, 49):
        for i in range(4):
            angle = position / 10_000 ** (2 * i / 8)
            assert table[position, 2 * i : 2 * i + 2] == pytest.approx([np.sin(angle), np.cos(angle)], abs=1e-6)


@pytest.mark.parametrize("kind", ["forward", "both", "transformer"])
@pytest.mark.parametrize("summary", ["last", "transform_last", "transform_all"])
def test_padding_never_changes_a_memory(kind, summary):
    torch.manual_seed(7)
    if kind == "transformer":
        spec = EncoderSpec(kind=kind, reads="window", hidden=6, heads=2, window=20, summary=summary)
        encoder = TransformerEncoder(spec, 2).double()
    else:
        spec = EncoderSpec(directions=kind, reads="window", hidden=6, layers=2, window=20, summary=summary)
        encoder = RecurrentEncoder(spec, 2).double()
    past = values(N, W, 2)
    padded = torch.cat([past, torch.full((N, 5, 2), 99.0, dtype=torch.float64)], dim=1)
    padded[1:, 4:] = 99.0
    lengths = torch.tensor([7, 4, 4])
    memory = encoder(padded, lengths)
    for n, length in enumerate(lengths):
        alone = encoder(past[n : n + 1, :length])
        assert torch.allclose(memory.summary_BK[n], alone.summary_BK[0], atol=1e-12)
        assert torch.allclose(memory.states_BWK[n, :length], alone.states_BWK[0], atol=1e-12)
        assert memory.mask_BW[n].tolist() == [True] * length + [False] * (12 - length)
