"""The noisy sine: y = 2 sin x + N(0, 1), fifteen noisy points in, twenty out, scored against the clean signal.

Shape legend: N windows, W past points, H future points, P phases.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from s2squant.config.networks import AttentionSpec, DecoderSpec, EncoderSpec, HeadSpec, Seq2SeqSpec
from s2squant.config.training import TrainingSpec
from s2squant.experiments.result import Progress, Result, done_by_cost
from s2squant.experiments.sine_result import Bounds, Member, Outcome, Place, Scored, sine_result
from s2squant.nets.series import SeriesSeq2Seq, fit_series
from s2squant.runs.engines.local import map_jobs

PAST, FUTURE, SEEN, BATCH = 15, 20, 85, 16
X = torch.linspace(0, 30, 105, dtype=torch.float64)
CLEAN = 2 * torch.sin(X)
LAST_START = len(X) - PAST - FUTURE
"""The window of the literature: the last fifteen points of the seen part, and all twenty unseen ones."""
FIRST_UNSEEN = SEEN - PAST - FUTURE + 1
"""From this window on the targets reach past the points that training sees."""
PHASES = 2_000


@dataclass(frozen=True)
class Budget:
    """How much is done."""

    seeds: int
    short: int
    long: int
    draws: int
    """Fresh noise for each test window."""


FULL = Budget(seeds=5, short=100, long=1000, draws=100)
QUICK = Budget(seeds=2, short=30, long=150, draws=25)


@dataclass(frozen=True)
class Job:
    """One network to be trained."""

    member: Member
    spec: Seq2SeqSpec
    first: Literal["last", "zero"]
    steps: int
    seed: int
    draws: int


def run(progress: Progress, *, quick: bool = False, seed: int = 0, workers: int | None = None) -> Result:
    """Train the textbook's network and the family's, several seeds each, and score all on the same noisy windows."""
    budget = QUICK if quick else FULL
    jobs = make_jobs(budget, seed)
    order = sorted(range(len(jobs)), key=lambda place: -jobs[place].member.cost)  # those that take longest first
    progress("the first networks are trained", 0.0)
    labels = [f"{jobs[k].member.name}, {jobs[k].steps} iterations" for k in order]
    on_done = done_by_cost(progress, labels, [jobs[k].member.cost for k in order])
    outcomes = map_jobs(carry_out, [jobs[k] for k in order], workers=workers, on_done=on_done)
    listed = [outcome for _, outcome in sorted(zip(order, outcomes, strict=True), key=lambda pair: pair[0])]
    return sine_result(listed, bounds(budget.draws))


def carry_out(job: Job) -> Outcome:
    """Train one network and score it."""
    net, losses = train(job.spec, first=job.first, steps=job.steps, seed=job.seed)
    return Outcome(
        member=job.member,
        seed=job.seed,
        losses=tuple(losses),
        parameters=sum(p.numel() for p in net.parameters()),
        scored=score(lambda past_NW: _forecast(net, past_NW), job.draws),
    )


def train(
    spec: Seq2SeqSpec, *, first: Literal["last", "zero"], steps: int, seed: int
) -> tuple[SeriesSeq2Seq, list[float]]:
    """A network after `steps` batches of the seen part, noise drawn anew for each; L2 on the output layer only."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = SeriesSeq2Seq(spec, horizon=FUTURE, first=first)
    return net, fit_series(net, batch, steps=steps, lr=0.01, seed=seed, undecayed=net.inner())


def batch(_: int, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Sixteen windows of the seen part with independent noise on the past and on what is to be forecast."""
    starts_N = torch.randint(FIRST_UNSEEN, (BATCH,), generator=draw)
    noisy_NT = (_windows(starts_N) + torch.randn(BATCH, PAST + FUTURE, generator=draw, dtype=torch.float64)).float()
    return noisy_NT[:, :PAST, None], noisy_NT[:, PAST:, None].transpose(0, 1)


def places(draws: int) -> dict[Place, Tensor]:
    """The starts of the test windows, each as often as noise is drawn for it."""
    unseen = torch.arange(FIRST_UNSEEN, LAST_START + 1)
    return {
        "unseen": unseen.repeat(draws),
        "literature": torch.tensor([LAST_START]).repeat(10 * draws),
        "seen": torch.arange(FIRST_UNSEEN).repeat(max(1, draws // 5)),
    }


def score(forecast: Callable[[Tensor], Tensor], draws: int) -> Scored:
    """Mean squared errors against the clean signal; the noise is the same for every forecaster."""
    errors: dict[Place, float] = {}
    unseen_NH = np.empty((0, 0))
    for number, (place, starts_N) in enumerate(places(draws).items()):
        noise = torch.Generator().manual_seed(1_000 + number)
        window_NT = _windows(starts_N)
        past_NW = window_NT[:, :PAST] + torch.randn(len(starts_N), PAST, generator=noise, dtype=torch.float64)
        said_NH = forecast(past_NW)
        errors[place] = float((said_NH - window_NT[:, PAST:]).square().mean())
        if place == "unseen":
            unseen_NH = said_NH.numpy()
    clean_1W = _windows(torch.tensor([LAST_START]))[:, :PAST]
    said_1H = forecast(clean_1W)
    errors["literature, clean inputs"] = float((said_1H - CLEAN[SEEN:]).square().mean())
    return Scored(errors, unseen_NH)


def bounds(draws: int) -> Bounds:
    """What is known of the best forecast, and two simple ones."""
    starts = {"unseen": range(FIRST_UNSEEN, LAST_START + 1), "literature": [LAST_START], "seen": range(FIRST_UNSEEN)}
    rao = {place: float(np.mean([_cramer_rao(start) for start in these])) for place, these in starts.items()}
    unseen = places(draws)["unseen"]
    noise = torch.Generator().manual_seed(1_000)
    past_NW = _windows(unseen)[:, :PAST] + torch.randn(len(unseen), PAST, generator=noise, dtype=torch.float64)
    return Bounds(
        cramer_rao_average=2.0 / (PAST * 2.0),
        cramer_rao=rao,
        posterior=score(posterior_mean, draws).errors,
        last_value=score(lambda past_NW: past_NW[:, -1:].expand(-1, FUTURE), draws).errors,
        zero=score(lambda past_NW: torch.zeros(len(past_NW), FUTURE, dtype=torch.float64), draws).errors,
        x=X.numpy(),
        clean=CLEAN.numpy(),
        past=past_NW.numpy(),
        clean_future=_windows(unseen)[:, PAST:].numpy(),
        starts=unseen.numpy(),
    )


def posterior_mean(past_NW: Tensor) -> Tensor:
    """The best forecast there is for a phase drawn evenly: the signal's mean given the noisy points (N, H)."""
    phase_P = torch.arange(PHASES, dtype=torch.float64) * (2 * math.pi / PHASES)
    wave_PT = 2 * torch.sin(phase_P[:, None] + (X[1] - X[0]) * torch.arange(PAST + FUTURE))
    known_PW = wave_PT[:, :PAST]
    log_NP = past_NW @ known_PW.T - 0.5 * known_PW.square().sum(dim=1)
    return torch.softmax(log_NP, dim=1) @ wave_PT[:, PAST:]


def make_jobs(budget: Budget, seed: int) -> list[Job]:
    """All networks, member by member, seed by seed."""
    jobs = []
    for member, spec, first in members():
        steps = budget.long if member.long else budget.short
        if member.only_full and budget is QUICK:
            continue
        jobs += [Job(member, spec, first, steps, seed + place, budget.draws) for place in range(budget.seeds)]
    return jobs


def members() -> list[tuple[Member, Seq2SeqSpec, Literal["last", "zero"]]]:
    """The textbook's network, then one choice after another changed, then other members of the family."""
    textbook = _spec("lstm", 2, regime="teacher")
    small = _spec("lstm", 1, regime="teacher")
    free = _spec("lstm", 1)
    cycle = _spec("lstm", 1, rate="one_cycle")
    averaged = _spec("lstm", 1, rate="one_cycle", ema=0.95)
    direct = _spec("lstm", 1, rate="one_cycle", ema=0.95, hidden=32, previous=False)
    attends = AttentionSpec(kind="luong_global", score="general")
    return [
        (Member("Textbook", "ladder", 1.4, "2 x 64 LSTM, teacher forcing, GO, constant rate"), textbook, "zero"),
        (Member("One layer", "ladder", 0.8, "1 x 64 LSTM, the rest as above"), small, "zero"),
        (Member("+ free-running training", "ladder", 4.0, "it reads its own values in training, too"), free, "zero"),
        (Member("+ one-cycle rate", "ladder", 4.0, "up to 0.01 and down to nothing"), cycle, "zero"),
        (Member("+ averaged weights", "ladder", 4.0, "exponential average of the weights, 0.95"), averaged, "zero"),
        (
            Member("+ last value first", "ladder", 4.0, "the decoder starts from the last point, not GO"),
            averaged,
            "last",
        ),
        (
            Member("Two layers", "member", 13.0, "the last rung but one, with 2 x 64", only_full=True),
            _spec("lstm", 2, rate="one_cycle", ema=0.95),
            "zero",
        ),
        (
            Member("GRU", "member", 3.0, "the last rung with 1 x 32 GRU", only_full=True),
            _spec("gru", 1, rate="one_cycle", ema=0.95, hidden=32),
            "last",
        ),
        (
            Member("Context at every step", "member", 5.0, "the last rung, reading the summary, too", only_full=True),
            _spec("lstm", 1, rate="one_cycle", ema=0.95, context="every_step"),
            "last",
        ),
        (
            Member("Luong attention", "member", 6.0, "the last rung, attending to all fifteen states", only_full=True),
            _spec("lstm", 1, rate="one_cycle", ema=0.95, attention=attends),
            "last",
        ),
        (
            Member(
                "Scheduled sampling", "member", 4.0, "the last rung, its feed going over from truth", only_full=True
            ),
            _spec("lstm", 1, rate="one_cycle", ema=0.95, regime="scheduled"),
            "last",
        ),
        (
            Member("Direct", "member", 0.8, "1 x 32 LSTM; the decoder reads context and clock, no value"),
            direct,
            "last",
        ),
        (
            Member("Transformer", "member", 1.6, "1 + 1 layers of 32; the decoder reads the clock", only_full=True),
            _transformer(),
            "last",
        ),
        (Member("Textbook, long", "long", 14.0, "the textbook's, more iterations", long=True), textbook, "zero"),
        (Member("Direct, long", "long", 5.6, "the direct one, more iterations", long=True), direct, "last"),
    ]


def _spec(
    cell: Literal["lstm", "gru"],
    layers: int,
    *,
    regime: Literal["free", "teacher", "scheduled"] = "free",
    rate: Literal["one_cycle", "constant"] = "constant",
    ema: float = 0.0,
    hidden: int = 64,
    previous: bool = True,
    context: Literal["initial", "every_step"] = "initial",
    attention: AttentionSpec | None = None,
) -> Seq2SeqSpec:
    chosen = context if previous else "every_step"
    return Seq2SeqSpec(
        encoder=EncoderSpec(cell=cell, hidden=hidden, layers=layers, reads="window", window=PAST),
        decoder=DecoderSpec(
            layers=layers,
            context=chosen,
            previous=previous,
            start="states" if chosen == "initial" else "summary",
            attention=attention or AttentionSpec(),
        ),
        head=HeadSpec(kind="point"),
        training=_training(regime, rate, ema),
    )


def _transformer() -> Seq2SeqSpec:
    return Seq2SeqSpec(
        encoder=EncoderSpec(kind="transformer", hidden=32, reads="window", window=PAST),
        decoder=DecoderSpec(kind="transformer"),
        head=HeadSpec(kind="point"),
        training=_training("free", "one_cycle", 0.95),
    )


def _training(
    regime: Literal["free", "teacher", "scheduled"], rate: Literal["one_cycle", "constant"], ema: float
) -> TrainingSpec:
    return TrainingSpec(regime=regime, optimiser="adam", rate=rate, weight_decay=0.003, ema=ema, clip=2.5)


def _windows(starts_N: Tensor) -> Tensor:
    return CLEAN[starts_N[:, None] + torch.arange(PAST + FUTURE)]


def _forecast(net: SeriesSeq2Seq, past_NW: Tensor) -> Tensor:
    with torch.no_grad():
        said_HN1: Tensor = net(past_NW.float()[:, :, None])
    return said_HN1[:, :, 0].T.double()


def _cramer_rao(start: int) -> float:
    """Least mean squared error of an unbiased forecast of this window when the phase alone is unknown."""
    slope_T = 2 * torch.cos(X[start : start + PAST + FUTURE])
    information = slope_T[:PAST].square().sum()
    return float(slope_T[PAST:].square().mean() / information)
