"""A plain torch loop, as one would write it: LSTM encoder, LSTM decoder, quantiles of the cumulative return."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.contenders.measured import LR, Floats, Task, Windowed, run


class Net(nn.Module):
    """The decoder reads the number of the step; its quantiles grow with the root of it."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.encoder = nn.LSTM(1, task.hidden, batch_first=True)
        self.decoder = nn.LSTM(1, task.hidden, batch_first=True)
        self.head = nn.Linear(task.hidden, len(task.levels_Q))
        steps = torch.arange(1.0, task.horizon + 1)[None, :, None]
        self.register_buffer("number", steps / task.horizon)
        self.register_buffer("root", steps.sqrt())

    def forward(self, past_BW: Tensor) -> Tensor:
        _, state = self.encoder(past_BW[..., None])
        number, root = self.get_buffer("number"), self.get_buffer("root")
        hidden, _ = self.decoder(number.expand(len(past_BW), -1, -1), state)
        return torch.as_tensor(self.head(hidden) * root)


class Plain(Windowed):
    """torch alone."""

    of_sums = True

    @property
    def version(self) -> str:
        return str(torch.__version__).partition("+")[0]

    def fit(self, returns_MT: Floats, steps: int) -> Net:
        torch.manual_seed(0)
        task, net = self.task, Net(self.task)
        optimiser = torch.optim.AdamW(net.parameters(), lr=LR, fused=True)
        levels_Q, root = torch.tensor(task.levels_Q).float(), net.get_buffer("root")
        windows = torch.tensor(returns_MT).float().unfold(1, task.past + task.horizon, 1).flatten(0, 1)
        for _ in range(steps):
            window = windows[torch.randint(len(windows), (task.batch,))]
            truth = window[:, task.past :].cumsum(1)[..., None]
            miss = (truth - net(window[:, : task.past])) / root
            loss = torch.maximum(levels_Q * miss, (levels_Q - 1) * miss).mean()
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        return net

    def predict(self, model: Net, past_NW: Floats) -> Floats:
        with torch.inference_mode():
            quantiles = model(torch.tensor(past_NW).float())
        return np.asarray(quantiles, np.float64)


if __name__ == "__main__":
    run(Plain)
