"""Every member of the family the configuration allows: forward, backward, save, load, forecast; and the refusals."""

from collections.abc import Iterator
from itertools import product

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from s2squant.config.files import make_experiment
from s2squant.config.networks import AttentionSpec, DecoderSpec, EncoderSpec, HeadSpec, Seq2SeqSpec
from s2squant.config.training import TrainingSpec
from s2squant.errors import ConfigError
from s2squant.nets.covariates import NO_COVARIATES, CovariateSizes, KnownAhead
from s2squant.nets.seq2seq import Outlook, Seq2Seq
from s2squant.nets.training import Resident, train
from s2squant.series.forecast import LEVELS

H, INPUTS, WINDOW = 4, 3, 6
LEVELS_Q = torch.tensor(LEVELS, dtype=torch.float32)
TABLE = torch.special.ndtri(LEVELS_Q.double()).float().expand(H, -1)


def made(part: type, options: dict[str, tuple[object, ...]], **fixed: object) -> Iterator[object]:
    """Every value of a specification that its own rules allow."""
    for values in product(*options.values()):
        try:
            yield part(**dict(zip(options, values, strict=True)), **fixed)
        except ValidationError:
            continue


ENCODERS = [
    *made(
        EncoderSpec,
        {
            "cell": ("lstm", "gru", "rnn"),
            "layers": (1, 2),
            "directions": ("forward", "both"),
            "summary": ("last", "transform_last", "transform_all"),
            "reads": ("chunk", "window"),
        },
        hidden=4,
        window=WINDOW,
    ),
    *made(
        EncoderSpec,
        {
            "summary": ("last", "transform_last", "transform_all"),
            "positions": ("sinusoidal", "learned"),
            "heads": (1, 2),
        },
        kind="transformer",
        reads="window",
        hidden=4,
        window=WINDOW,
    ),
]
ATTENTIONS = [
    AttentionSpec(),
    AttentionSpec(kind="bahdanau"),
    *made(
        AttentionSpec,
        {
            "kind": ("luong_global", "luong_local_m", "luong_local_p"),
            "score": ("dot", "general", "concat"),
            "input_feeding": (False, True),
        },
        radius=2,
    ),
]
DECODERS = [
    *made(
        DecoderSpec,
        {
            "kind": ("recurrent", "mlp", "transformer"),
            "layers": (1, 2),
            "context": ("initial", "every_step"),
            "previous": (False, True),
            "attention": tuple(ATTENTIONS),
            "start": ("summary", "states", "zero", "learned"),
        },
        width=4,
        heads=2,
    )
]
HEADS = [
    *[HeadSpec(kind=kind, paths=64, bins=4) for kind in ("quantile", "student_t", "mixture", "categorical")],
    *[HeadSpec(kind="point", loss=loss) for loss in ("mse", "mae", "huber")],
]
REGIMES = [
    ("free", "linear"),
    ("teacher", "linear"),
    ("scheduled", "linear"),
    ("scheduled", "exponential"),
    ("scheduled", "inverse_sigmoid"),
]


def composed(encoder: EncoderSpec, decoder: DecoderSpec, head: HeadSpec, regime: tuple[str, str]) -> Seq2SeqSpec | None:
    training = {"chunk": 20, "warm": 6, "positions": 2, "regime": regime[0], "schedule": regime[1]}
    try:
        return Seq2SeqSpec(encoder=encoder, decoder=decoder, head=head, training=TrainingSpec(**training))
    except ValidationError:
        return None


def resident(rows: int = 60) -> Resident:
    draw = torch.Generator().manual_seed(0)
    deviation = torch.arange(1, H + 1).sqrt().expand(rows, H).float()
    price = torch.randn(rows, generator=draw).double().cumsum(0)
    return Resident(torch.randn(rows, INPUTS, generator=draw), deviation, price, torch.arange(20, rows - H))


DATA = resident()


def lives(spec: Seq2SeqSpec, sizes: CovariateSizes = NO_COVARIATES) -> None:
    """One step of training, through its state, to a forecast."""
    torch.manual_seed(0)
    net = Seq2Seq(spec, INPUTS, TABLE, LEVELS_Q, sizes)
    before = [p.detach().clone() for p in net.parameters()]
    data = beside(DATA, sizes)
    past, deviation = data.inputs_RF[:40].view(2, 20, -1), data.deviation_RH[:2]
    ahead = data.ahead_of(torch.tensor([19, 39]))
    if ahead is not None:
        untouched(spec, past, deviation, net.eval().forecast(past, deviation, ahead))
    losses = train(net, data, spec.training, steps=1 if ahead is None else 4, batch=2, lr=1e-2, seed=0)
    assert np.isfinite(losses).all()
    assert any(not torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True)), "nothing was learnt"
    again = Seq2Seq(spec, INPUTS, torch.zeros_like(TABLE), LEVELS_Q, sizes)
    again.load_state_dict(net.state_dict())
    ours, theirs = net.forecast(past, deviation, ahead), again.eval().forecast(past, deviation, ahead)
    if ahead is not None and spec.head.kind != "categorical":
        other = ahead._replace(values_NHE=ahead.values_NHE + 1)
        assert not torch.equal(ours.quantiles_NHQ, net.forecast(past, deviation, other).quantiles_NHQ), "not read"
    assert torch.equal(ours.quantiles_NHQ, theirs.quantiles_NHQ)
    assert ours.quantiles_NHQ.shape == (2, H, len(LEVELS))
    assert bool(torch.isfinite(ours.quantiles_NHQ).all())
    assert bool((torch.diff(ours.quantiles_NHQ, dim=2) >= 0).all()), "quantiles cross"
    attends = spec.decoder.attention.kind != "none" or spec.decoder.kind == "transformer"
    assert (ours.weights_NHW is not None) == attends
    if ours.weights_NHW is not None:
        assert ours.weights_NHW.shape == (2, H, WINDOW)
        assert bool((ours.weights_NHW >= 0).all())
    assert (ours.paths_NSH is not None) == (spec.head.kind in ("student_t", "mixture", "categorical"))
    if ours.paths_NSH is not None:
        assert ours.paths_NSH.shape == (2, spec.head.paths, H)


SIZES = CovariateSizes(past=2, ahead=2, categories=(3, 4))


def beside(data: Resident, sizes: CovariateSizes) -> Resident:
    """The same with covariates of these sizes."""
    if sizes == NO_COVARIATES:
        return data
    draw = torch.Generator().manual_seed(1)
    rows = len(data.inputs_RF)
    known = KnownAhead(
        torch.randn(rows + 1, 1, generator=draw),
        torch.arange(rows),
        torch.full((rows,), rows),
        torch.randn(rows, sizes.ahead - 1, generator=draw),
        torch.stack([torch.randint(codes, (rows,), generator=draw) for codes in sizes.categories], dim=1),
    )
    more = torch.randn(rows, sizes.past, generator=draw)
    return data._replace(inputs_RF=torch.cat([data.inputs_RF, more], dim=1), ahead=known)


def untouched(spec: Seq2SeqSpec, past: torch.Tensor, deviation: torch.Tensor, with_covariates: Outlook) -> None:
    """Before it has learnt anything, a net with covariates forecasts what the same net without them does."""
    torch.manual_seed(0)
    alone = Seq2Seq(spec, INPUTS, TABLE, LEVELS_Q).eval().forecast(past[:, :, :INPUTS], deviation)
    assert torch.allclose(alone.quantiles_NHQ, with_covariates.quantiles_NHQ, atol=1e-6, rtol=0)


def allowed(encoders: list, decoders: list, heads: list, regimes: list) -> list[Seq2SeqSpec]:
    specs = (composed(*parts) for parts in product(encoders, decoders, heads, regimes))
    return [spec for spec in specs if spec is not None]


@pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.slow)])
def test_every_encoder_feeds_every_kind_of_decoder(every):
    decoders = [
        DecoderSpec(width=4),
        DecoderSpec(width=4, context="initial"),
        DecoderSpec(width=4, attention=AttentionSpec(kind="bahdanau")),
        DecoderSpec(width=4, attention=AttentionSpec(kind="luong_global")),
        DecoderSpec(width=4, kind="mlp"),
        DecoderSpec(width=4, kind="transformer", heads=2),
        DecoderSpec(width=4, start="states"),
        DecoderSpec(width=4, start="zero"),
        DecoderSpec(width=4, start="learned", layers=2),
    ]
    specs = allowed(ENCODERS, decoders, HEADS[:1], REGIMES[:1])
    assert len(specs) > 250
    for spec in specs[::every]:
        lives(spec)


DIRECT = [d for d in DECODERS if d.layers == 1 and d.start == "summary"]
"""Layers and the first state are varied with the encoders; here one layer, started from the summary."""


def test_decoders_serve_heads_in_every_regime():
    specs = allowed([EncoderSpec(hidden=4, window=WINDOW)], DIRECT, HEADS, REGIMES)
    assert len(specs) > 1500
    for spec in specs[::23]:  # the slow test takes them all; 23 divides none of the axes
        lives(spec)


@pytest.mark.slow
def test_every_decoder_serves_every_head_in_every_regime():
    for spec in allowed([EncoderSpec(hidden=4, window=WINDOW)], DIRECT, HEADS, REGIMES):
        lives(spec)


@pytest.mark.slow
def test_every_encoder_feeds_every_decoder():
    """The whole product of encoders and decoders, heads and regimes taken in turn; every seventeenth of it."""
    pairs = allowed(ENCODERS, DECODERS, HEADS[:1], REGIMES[:1])
    assert len(pairs) > 5000
    rest = [(head, regime) for head in HEADS for regime in REGIMES]
    for number, spec in enumerate(pairs[::17]):
        head, regime = rest[number % len(rest)]
        lives(composed(spec.encoder, spec.decoder, head, regime) or spec)


@pytest.mark.parametrize("every", [149, pytest.param(2, marks=pytest.mark.slow)])
def test_covariates_reach_every_decoder_head_and_regime(every):
    specs = allowed([EncoderSpec(hidden=4, window=WINDOW)], DIRECT, HEADS, REGIMES)
    for spec in specs[::every]:
        lives(spec, SIZES)


@pytest.mark.parametrize("every", [29, pytest.param(2, marks=pytest.mark.slow)])
def test_covariates_stand_beside_the_inputs_of_every_encoder(every):
    decoders = [
        DecoderSpec(width=4),
        DecoderSpec(width=4, kind="mlp"),
        DecoderSpec(width=4, kind="transformer", heads=2),
    ]
    for spec in allowed(ENCODERS, decoders, HEADS[:1], REGIMES[:1])[::every]:
        lives(spec, SIZES)


@pytest.mark.parametrize(
    ("settings", "remedy"),
    [
        ({"encoder": {"directions": "both"}}, "use reads = 'window'"),
        ({"encoder": {"kind": "transformer"}}, "use reads = 'window'"),
        ({"encoder": {"kind": "transformer", "reads": "window", "directions": "both"}}, "use directions = 'forward'"),
        ({"encoder": {"kind": "transformer", "reads": "window", "hidden": 30}}, "use a multiple"),
        ({"decoder": {"kind": "mlp", "context": "initial"}}, "use context = 'every_step'"),
        ({"decoder": {"kind": "mlp", "previous": True}}, "use previous = false"),
        ({"decoder": {"kind": "mlp", "layers": 2}}, "use layers = 1"),
        ({"decoder": {"kind": "transformer", "attention": {"kind": "bahdanau"}}}, "use attention.kind = 'none'"),
        ({"decoder": {"context": "initial", "attention": {"kind": "bahdanau"}}}, "use context = 'every_step'"),
        ({"decoder": {"attention": {"kind": "bahdanau", "input_feeding": True}}}, "use kind = 'luong_global'"),
        ({"decoder": {"start": "states"}}, "use encoder.reads = 'window'"),
        ({"encoder": {"reads": "window", "layers": 2}, "decoder": {"start": "states"}}, "set decoder.layers = 2"),
        ({"decoder": {"start": "zero", "context": "initial"}}, "use context = 'every_step'"),
        ({"decoder": {"start": "learned", "kind": "mlp"}}, "use start = 'summary'"),
        ({"training": {"regime": "teacher"}}, "set decoder.previous = true"),
        ({"decoder": {"previous": True}, "training": {"regime": "teacher"}}, "head.kind = 'student_t'"),
        ({"encoder": {"window": 80}, "decoder": {"attention": {"kind": "luong_global"}}}, "raise training.warm to 79"),
        (
            {"decoder": {"attention": {"kind": "bahdanau"}}, "training": {"precision": "bf16"}},
            "use 'float32' or 'auto'",
        ),
    ],
)
def test_an_impossible_pair_is_refused_with_the_remedy(settings, remedy):
    with pytest.raises(ConfigError) as refusal:
        make_experiment({"forecasters": {"seq2seq": settings}})
    assert remedy in str(refusal.value)
    assert "\n" not in str(refusal.value)
