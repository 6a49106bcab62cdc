"""Tokens: padding has no effect, feeding is what it says, and buckets lose nothing."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from s2squant.config.networks import AttentionSpec, DecoderSpec, EncoderSpec
from s2squant.config.relatives import TokenSpec
from s2squant.config.training import TrainingSpec
from s2squant.nets.search import greedy
from s2squant.nets.seq2seq import Feeding
from s2squant.nets.token_batches import Batch, bucketed, by_length, make_batch, padded_share
from s2squant.nets.tokens import TokenSeq2Seq, token_steps, train_tokens
from s2squant.nets.training import Trainer
from s2squant.series.forecast import State
from s2squant.series.states import load_state, save_state
from tests.worlds.processes import in_another_process

FORCED = Feeding(1.0, torch.Generator())
WAYS = ("plain", "gru", "bahdanau", "both", "general", "feeding", "local_m", "local_p", "transformer")


def spec(way: str = "plain", *, size: int = 7) -> TokenSpec:
    encoder = {"reads": "window", "window": 24, "hidden": 8, "heads": 2}
    decoder = {"previous": True, "dropout": 0.0, "heads": 2}
    match way:
        case "plain":
            decoder |= {"context": "initial", "start": "states"}
        case "gru":
            encoder |= {"cell": "gru", "layers": 2, "summary": "transform_all"}
            decoder |= {"layers": 2}
        case "bahdanau" | "both":
            decoder |= {"attention": AttentionSpec(kind="bahdanau")}
            encoder |= {"directions": "both"} if way == "both" else {}
        case "general" | "feeding":
            decoder |= {"attention": AttentionSpec(kind="luong_global", input_feeding=way == "feeding")}
        case "local_m" | "local_p":
            decoder |= {"attention": AttentionSpec(kind=f"luong_{way}", radius=2)}
        case "transformer":
            encoder |= {"kind": "transformer"}
            decoder |= {"kind": "transformer"}
    marks = {"size": size, "pad": 0, "bos": 1, "eos": 2, "embedding": 5}
    return TokenSpec(encoder=EncoderSpec(**encoder), decoder=DecoderSpec(**decoder), **marks)


def net(way: str = "plain", *, size: int = 7, seed: int = 0) -> TokenSeq2Seq:
    torch.manual_seed(seed)
    made = TokenSeq2Seq(spec(way, size=size)).double().eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(1.5)
    return made


def copies(rows: int, draw: torch.Generator, size: int = 7, longest: int = 5) -> Batch:
    lengths = torch.randint(1, longest + 1, (rows,), generator=draw).tolist()
    sources = [torch.randint(3, size, (length,), generator=draw).tolist() for length in lengths]
    return make_batch(sources, sources, spec(size=size))


def padded(batch: Batch, source: int, target: int) -> Batch:
    pad = torch.nn.functional.pad
    return Batch(pad(batch.source_BL, (0, source)), batch.lengths_B, pad(batch.target_BT, (0, target)))


def gradients(model: TokenSeq2Seq, batch: Batch, share: float) -> tuple[float, list[torch.Tensor]]:
    loss = model.loss(batch, Feeding(share, torch.Generator().manual_seed(5)))
    return loss.item(), list(torch.autograd.grad(loss, list(model.parameters()), materialize_grads=True))


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10_000), rows=st.integers(1, 4), source=st.integers(0, 4), target=st.integers(0, 4))
def test_padding_never_changes_a_result(way: str, seed: int, rows: int, source: int, target: int) -> None:
    model, batch = net(way), copies(rows, torch.Generator().manual_seed(seed))
    wider, length = padded(batch, source, target), batch.target_BT.shape[1]
    real = batch.target_BT != 0
    assert torch.allclose(model(wider, FORCED)[:, :length][real], model(batch, FORCED)[real], atol=1e-12)
    (loss, slopes), (same, again) = gradients(model, batch, 1.0), gradients(model, wider, 1.0)
    assert same == pytest.approx(loss, rel=1e-12)
    assert all(torch.allclose(a, b, atol=1e-12) for a, b in zip(slopes, again, strict=True))
    said, more = (greedy(model, b.source_BL, b.lengths_B, limit=6) for b in (batch, wider))
    assert torch.equal(said.tokens_NT, more.tokens_NT)
    if more.weights_NTW is not None and source:
        assert more.weights_NTW[:, :, -source:].abs().max() == 0


@pytest.mark.parametrize("way", WAYS)
def test_a_sequence_is_read_alone_as_in_a_batch(way: str) -> None:
    model, batch = net(way), copies(5, torch.Generator().manual_seed(3))
    together = model.log_likelihood(batch)
    for row, length in enumerate(batch.lengths_B.tolist()):
        alone = Batch(batch.source_BL[[row], :length], batch.lengths_B[[row]], batch.target_BT[[row], : length + 1])
        assert model.log_likelihood(alone).item() == pytest.approx(together[row].item(), rel=1e-10)


@pytest.mark.parametrize("way", WAYS)
def test_fed_its_own_words_a_forced_net_says_what_a_free_one_says(way: str) -> None:
    model, batch = net(way), copies(6, torch.Generator().manual_seed(4))
    free = model(batch, Feeding(0.0, torch.Generator()))
    own = Batch(batch.source_BL, batch.lengths_B, free.argmax(dim=2))
    assert torch.allclose(model(own, FORCED), free, atol=1e-10)
    almost = Feeding(1.0 - 1e-12, torch.Generator().manual_seed(0))  # the step loop, whose coins all say truth
    assert torch.allclose(model(batch, almost), model(batch, FORCED), atol=1e-10)


def test_every_element_of_every_sequence_has_a_coin_of_its_own() -> None:
    model, seen = net(), []
    model.step = lambda token, state: seen.append(token) or TokenSeq2Seq.step(model, token, state)  # type: ignore
    rows, steps = 400, 6
    source = torch.full((rows, 2), 3)
    target = torch.full((rows, steps), 4)
    said = model(Batch(source, torch.full((rows,), 2), target), Feeding(0.3, torch.Generator().manual_seed(1)))
    fed, own = torch.stack(seen[1:], dim=1), said.argmax(dim=2)[:, :-1]
    truth = (fed == 4) & (own != 4)
    assert torch.equal(fed, torch.where(fed == 4, 4, own))
    shares = truth[own != 4].float().mean().item()
    assert shares == pytest.approx(0.3, abs=4 * np.sqrt(0.21 / int((own != 4).sum())))
    assert len({tuple(row) for row in truth.tolist()}) > 20


def test_the_loss_is_the_mean_over_real_tokens() -> None:
    model, batch = net(), copies(7, torch.Generator().manual_seed(6))
    tokens = int((batch.target_BT != 0).sum())
    expected = -model.log_likelihood(batch).sum().item() / tokens
    assert model.loss(batch, FORCED).item() == pytest.approx(expected, rel=1e-12)
    assert tokens == int((batch.lengths_B + 1).sum())


def test_pad_and_bos_are_never_said_and_the_rest_is_a_distribution() -> None:
    model, batch = net(), copies(3, torch.Generator().manual_seed(7))
    share = model(batch, FORCED).exp()
    assert share[:, :, [0, 1]].max() == 0
    assert torch.allclose(share.sum(dim=2), torch.ones(*batch.target_BT.shape, dtype=share.dtype))
    as_in_the_literature = spec().model_copy(update={"bos": 2})
    assert TokenSeq2Seq(as_in_the_literature).mute_V.tolist() == [True] + [False] * 6


def test_one_embedding_serves_both_sides_and_pad_has_none() -> None:
    model = net()
    assert [name for name, _ in model.named_parameters() if "embedding" in name] == ["embedding.weight"]
    assert model.embedding.weight[0].abs().sum() == 0
    _, slopes = gradients(model, padded(copies(2, torch.Generator().manual_seed(8)), 2, 2), 1.0)
    by_name = dict(zip(dict(model.named_parameters()), slopes, strict=True))
    assert by_name["embedding.weight"][0].abs().sum() == 0
    assert by_name["embedding.weight"][1].abs().sum() > 0  # BOS


@pytest.mark.parametrize("regime", ["teacher", "scheduled"])
def test_a_tiny_copy_task_is_learnt(regime: str) -> None:
    torch.manual_seed(0)
    chosen = spec("general", size=6)
    hidden = chosen.encoder.model_copy(update={"hidden": 16})
    model = TokenSeq2Seq(chosen.model_copy(update={"encoder": hidden, "embedding": 16}))
    training = TrainingSpec(regime=regime, optimiser="adam", rate="one_cycle", weight_decay=0.0, ema=0.0)
    losses = train_tokens(
        model, lambda _, draw: copies(32, draw, size=6, longest=3), training, steps=160, lr=2e-2, seed=0
    )
    assert losses[0] > 1.0
    fresh = copies(200, torch.Generator().manual_seed(99), size=6, longest=3)
    said = greedy(model, fresh.source_BL, fresh.lengths_B, limit=8)
    right = [a == b[:n] for a, b, n in zip(said.sequences(), fresh.source_BL.tolist(), fresh.lengths_B, strict=True)]
    assert np.mean(right) > 0.9


def test_a_fit_goes_on_to_the_same_bits() -> None:
    training = TrainingSpec(regime="scheduled", optimiser="adam", weight_decay=0.0)
    ends = []
    for stop in (None, 4):
        model = TokenSeq2Seq(spec("both")) if stop is None else net("both").float()
        model.load_state_dict(net("both").float().state_dict())
        trainer = Trainer(model, training, steps=8, lr=1e-2, seed=1)
        steps = token_steps(model, lambda _, draw: copies(4, draw), training, 8)
        trainer.run(steps, stop)
        if stop is not None:
            kept = trainer.state()
            model = TokenSeq2Seq(spec("both"))
            trainer = Trainer(model, training, steps=8, lr=1e-2, seed=7)
            trainer.restore(*kept)
            trainer.run(token_steps(model, lambda _, draw: copies(4, draw), training, 8))
        ends.append((trainer.finish(), [p.detach().clone() for p in model.parameters()]))
    assert ends[0][0] == ends[1][0]
    assert all(torch.equal(a, b) for a, b in zip(ends[0][1], ends[1][1], strict=True))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=60), st.integers(1, 20), st.integers(0, 99))
def test_buckets_hold_every_row_once_and_neighbours_in_length(lengths: list[int], size: int, seed: int) -> None:
    held = torch.tensor(lengths)
    batches = by_length(held, size, torch.Generator().manual_seed(seed))
    assert sorted(torch.cat(batches).tolist()) == list(range(len(lengths)))
    assert max(len(rows) for rows in batches) <= size
    ordered = sorted(batches, key=lambda rows: (int(held[rows].min()), int(held[rows].max())))
    for before, after in itertools.pairwise(ordered):
        assert held[before].max() <= held[after].min()
    as_they_come = torch.split(torch.arange(len(lengths)), size)
    assert padded_share(held, batches) <= padded_share(held, as_they_come) + 1e-12


def test_the_batch_that_is_not_full_comes_where_it_saves_most() -> None:
    """All ways to cut seven rows into batches of three, against the one chosen."""
    for lengths in ([1, 1, 2, 2, 2, 9, 9], [1, 4, 4, 4, 9, 9, 9], [3, 3, 3, 5, 5, 5, 7]):
        held = torch.tensor(lengths)
        chosen = padded_share(held, by_length(held, 3, torch.Generator().manual_seed(0)))
        every = (torch.split(torch.tensor(rows), 3) for rows in itertools.permutations(range(7)))
        assert chosen == pytest.approx(min(padded_share(held, batches) for batches in every))


def test_buckets_are_shuffled() -> None:
    held = torch.ones(50, dtype=torch.long)
    draw = torch.Generator().manual_seed(0)
    first, second = (torch.cat(by_length(held, 10, draw)).tolist() for _ in range(2))
    assert first != second


def test_a_batch_ends_each_target_and_refuses_what_it_cannot_hold() -> None:
    batch = make_batch([[3], [4, 5]], [[6, 3], [4]], spec())
    assert batch.source_BL.tolist() == [[3, 0], [4, 5]]
    assert batch.lengths_B.tolist() == [1, 2]
    assert batch.target_BT.tolist() == [[6, 3, 2], [4, 2, 0]]
    for sources, targets, complaint in (
        ([[3]], [], "1 sources and 0 targets"),
        ([[]], [[3]], "empty sequence"),
        ([[3]], [[7]], "target holds a token outside 0 .. 6"),
        ([[-1]], [[3]], "source holds a token outside"),
        ([[3]], [[3, 2]], "EOS"),
    ):
        with pytest.raises(ValueError, match=complaint):
            make_batch(sources, targets, spec())


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"size": 2}, "greater than or equal to 3"),
        ({"eos": 9}, "mark 9 is no token"),
        ({"pad": 2}, "pad = 2 is bos or eos"),
        ({"encoder": EncoderSpec()}, "use encoder.reads = 'window'"),
        ({"decoder": DecoderSpec()}, "decoder.previous = true"),
        ({"decoder": DecoderSpec(kind="mlp")}, "decoder.previous = true"),
        ({"decoder": DecoderSpec(kind="transformer", previous=True, heads=3)}, "3 attention heads do not divide"),
        ({"decoder": DecoderSpec(previous=True, start="states", layers=2)}, "decoder.layers = 1"),
    ],
)
def test_impossible_specifications_say_what_to_do(changes: dict, complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        TokenSpec(**{**dict(spec()), **changes})


def test_half_precision_is_refused() -> None:
    with pytest.raises(ValueError, match="single precision"):
        token_steps(net(), lambda _, draw: copies(1, draw), TrainingSpec(precision="bf16"), 1)


def said(model: TokenSeq2Seq) -> list:
    source, lengths = torch.tensor([[3, 4, 5], [6, 3, 0]]), torch.tensor([3, 2])
    tokens = greedy(model, source, lengths, limit=6)
    return [tokens.tokens_NT.tolist(), [x.hex() for x in tokens.log_likelihood_N.tolist()]]


def said_by_the_saved(path: Path) -> list:
    state = load_state(path)
    model = TokenSeq2Seq(TokenSpec.model_validate(state.meta["spec"])).eval()
    model.load_state_dict({name: torch.from_numpy(array) for name, array in state.arrays.items()})
    return said(model)


def test_a_saved_net_says_the_same_bits_in_another_process(tmp_path) -> None:
    model = net("both").float()
    arrays = {name: value.numpy() for name, value in model.state_dict().items()}
    path = tmp_path / "net.safetensors"
    save_state(path, State(arrays, {"spec": model.spec.model_dump(mode="json")}))
    assert in_another_process(said_by_the_saved, path) == said(model)


def test_the_worked_softmax_of_the_texts() -> None:
    """Scores -3, 2, -1, 0 are probabilities .0057, .8390, .0418, .1135: of the tokens that may be said."""
    model = net(size=6)
    with torch.no_grad():
        model.output.weight.zero_()
        model.output.bias.copy_(torch.tensor([9.0, 9.0, -3.0, 2.0, -1.0, 0.0]))  # PAD and BOS are never said
    with torch.no_grad():
        said = model(make_batch([[3, 4]], [[3]], model.spec), FORCED)[0, 0].exp()
    assert [round(float(p), 4) for p in said] == [0, 0, 0.0057, 0.8390, 0.0418, 0.1135]


@pytest.mark.parametrize("way", ["plain", "both", "feeding", "transformer"])
@torch.no_grad()
def test_the_likelihood_of_a_sequence_is_the_product_of_its_steps(way: str) -> None:
    """log p(y) = sum over t of log p(y_t | y_<t, x), each step asked by itself with the tokens before it known."""
    model, batch = net(way), make_batch([[3, 5, 6, 4]], [[6, 3, 3, 5]], spec(way))
    state, token, total = model.start(model.encode(batch.source_BL, batch.lengths_B)), torch.tensor([1]), 0.0
    for wanted in batch.target_BT[0]:
        log_probs, _, state = model.step(token, state)
        assert float(log_probs.exp().sum()) == pytest.approx(1.0)
        total, token = total + float(log_probs[0, wanted]), wanted[None]
    assert batch.target_BT[0, -1] == model.spec.eos
    assert float(model.log_likelihood(batch)) == pytest.approx(total, rel=1e-9)


def test_the_example_of_the_docs_says_words_backwards():
    """docs/models.md, as it stands there; and bucketed batches hold every pair once an epoch, lengths together."""
    text = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
    code = text.split("```python\n", 1)[1].split("```", 1)[0]
    names: dict = {}
    with torch.random.fork_rng(devices=[]):
        exec(compile(code, "docs/models.md", "exec"), names)
    letters = names["letters"]
    assert [letters.decode(tokens) for tokens in names["said"]] == [list("acba"), list("cab")]
    assert names["best"] == names["said"]
    assert len(names["some"]) == 6
    batch, draw = bucketed(names["sources"], names["targets"], names["spec"], 50), torch.Generator().manual_seed(0)
    epoch = [batch(step, draw) for step in range(8)]
    assert sorted(int(n) for b in epoch for n in b.lengths_B) == sorted(len(s) for s in names["sources"])
    assert sum(len(set(b.lengths_B.tolist())) > 1 for b in epoch) <= 3
