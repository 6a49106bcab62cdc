"""The head's loss in one go: autograd's answer, numerical slopes, any block, both kinds of hidden vectors."""

import pytest
import torch

from s2squant.config.networks import DecoderSpec, EncoderSpec, HeadSpec, Seq2SeqSpec
from s2squant.nets import head_loss as module
from s2squant.nets.head_loss import Direct
from s2squant.nets.heads import QuantileHead
from s2squant.nets.seq2seq import Feeding, Seq2Seq

H, N, K, D = 5, 7, 4, 6
LEVELS_Q = torch.arange(1, 40).double() / 40


def head_of(seed: int = 0, width: int = D) -> QuantileHead:
    """A head some way from its start, so that every slope is at work."""
    table = torch.special.ndtri(LEVELS_Q).expand(H, -1)
    head = QuantileHead(HeadSpec(), K, width, 0.3, table, LEVELS_Q).double()
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(0.5 * torch.randn(parameter.shape, generator=draw, dtype=parameter.dtype))
    return head


def case(seed: int = 1) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    hidden = torch.randn(H, N, K, generator=draw, dtype=torch.float64, requires_grad=True)
    return hidden, torch.randn(H, N, generator=draw, dtype=torch.float64), torch.rand(N, D, generator=draw).double()


def mask_for(head: QuantileHead, mask: torch.Tensor) -> torch.Tensor:
    return mask[:, : head.corrections.in_features]


def in_two(head: QuantileHead, hidden: torch.Tensor, mask: torch.Tensor | None, y: torch.Tensor) -> torch.Tensor:
    """Quantiles first, their loss after, all slopes by autograd."""
    error = y[..., None] - head(hidden, mask)
    return torch.maximum(LEVELS_Q * error, (LEVELS_Q - 1) * error).mean()


@pytest.mark.parametrize("width", [D, 0])
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("rows", [1, 2 * N, 3 * N + 1, 10_000])
def test_loss_and_slopes_are_autograds_whatever_the_block(monkeypatch, rows, masked, width):
    monkeypatch.setattr(module, "ROWS", rows)
    head = head_of(width=width)
    hidden, y, mask = case()
    mask = mask_for(head, mask) if masked else None
    before = hidden.detach().clone()
    leaves = [hidden, *head.parameters()]
    wanted = in_two(head, hidden, mask, y)
    got = head.loss_of_hidden(hidden, mask, y)
    assert got.item() == pytest.approx(wanted.item(), rel=1e-12)
    assert torch.equal(hidden, before), "the decoder's own vectors are read, not written"
    pairs = zip(torch.autograd.grad(3 * got, leaves), torch.autograd.grad(3 * wanted, leaves), strict=True)
    for found, true in pairs:
        assert true.abs().max() > 0
        torch.testing.assert_close(found, true, rtol=1e-9, atol=1e-13)


def test_slopes_are_the_losss_own_differences():
    head = head_of(3)
    hidden, y, mask = case(4)

    def loss(hidden: torch.Tensor, *weights: torch.Tensor) -> torch.Tensor:
        names = [name for name, _ in head.named_parameters()]
        return torch.func.functional_call(
            _Calls(head), {f"head.{n}": w for n, w in zip(names, weights, strict=True)}, (hidden, mask, y)
        )

    weights = [w.detach().clone().requires_grad_() for w in head.parameters()]
    assert torch.autograd.gradcheck(loss, (hidden, *weights), eps=1e-7, atol=1e-6)


class _Calls(torch.nn.Module):
    """A module whose call is the head's loss."""

    def __init__(self, head: QuantileHead) -> None:
        super().__init__()
        self.head = head

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return self.head.loss_of_hidden(hidden, mask, y)


@pytest.mark.parametrize("width", [D, 0])
@pytest.mark.parametrize("rows", [1, 2 * N, 10_000])
def test_a_direct_decoders_hidden_vectors_may_be_made_on_the_way(monkeypatch, rows, width):
    monkeypatch.setattr(module, "ROWS", rows)
    head = head_of(width=width)
    _, y, mask = case()
    mask = mask_for(head, mask)
    draw = torch.Generator().manual_seed(5)
    origin = torch.randn(N, K, generator=draw, dtype=torch.float64, requires_grad=True)
    step = torch.randn(H, K, generator=draw, dtype=torch.float64, requires_grad=True)
    leaves = [origin, step, *head.parameters()]
    wanted = in_two(head, torch.nn.functional.gelu(origin + step[:, None]), mask, y)
    got = head.loss_of_hidden(Direct(origin, step), mask, y)
    assert got.item() == pytest.approx(wanted.item(), rel=1e-12)
    pairs = zip(torch.autograd.grad(got, leaves), torch.autograd.grad(wanted, leaves), strict=True)
    for found, true in pairs:
        torch.testing.assert_close(found, true, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize(
    "decoder", [{}, {"width": 0}, {"kind": "mlp"}, {"kind": "mlp", "width": 0}, {"previous": True}]
)
def test_a_nets_loss_is_what_its_quantiles_score(decoder):
    """Both ways through a net: the loss it trains on, and its quantiles scored."""
    spec = Seq2SeqSpec(
        encoder=EncoderSpec(hidden=K),
        decoder=DecoderSpec(**decoder),
        training={"regime": "scheduled"} if decoder.get("previous") else {},
    )
    net = Seq2Seq(spec, 2, torch.special.ndtri(LEVELS_Q).expand(H, -1), LEVELS_Q).double().eval()
    draw = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=draw, dtype=parameter.dtype))
    memory = net.encode(torch.randn(3, 9, 2, generator=draw, dtype=torch.float64), torch.tensor([4, 8]))
    y = torch.randn(H, 6, generator=draw, dtype=torch.float64)
    feeding = Feeding(1.0, draw)
    wanted = net.head.loss(net.decode(memory, y, feeding), y)
    got = net.loss(memory, y, feeding)
    assert got.item() == pytest.approx(wanted.item(), rel=1e-12)
    leaves = [w for w in net.parameters() if w.requires_grad]
    found = torch.autograd.grad(got, leaves, retain_graph=True, allow_unused=True)
    true = torch.autograd.grad(wanted, leaves, allow_unused=True)
    for a, b in zip(found, true, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-12)


def test_under_autocast_the_head_stays_in_the_precision_of_its_weights():
    head = head_of().float()
    hidden, y, mask = (part.detach().float() for part in case())
    plain = head.loss_of_hidden(hidden, mask, y)
    with torch.autocast("cpu", torch.bfloat16):
        cast = head.loss_of_hidden(hidden, mask, y)
    assert cast.dtype == torch.float32
    assert torch.equal(plain, cast)
