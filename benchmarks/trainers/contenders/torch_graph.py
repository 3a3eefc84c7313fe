"""PyTorch with the whole step captured as a CUDA graph, and replayed."""

import torch

from trainers.contenders.base import UnsupportedError
from trainers.contenders.torch_model import TorchContender

_WARM_UPS = 3  # before a capture, as PyTorch's notes on CUDA graphs ask


class Trainer(TorchContender):
    """Forward, backward and Adam as one replay a full batch; the short last batch runs eagerly."""

    capturable = True

    def start(self) -> None:
        """Warm up and capture on a side stream, then put the weights back."""
        if not torch.cuda.is_available():
            raise UnsupportedError("a CUDA graph needs a GPU, and PyTorch sees none")
        super().start()
        before = {name: value.clone() for name, value in self.model.state_dict().items()}
        self.rows = torch.arange(self.problem.point.batch, device=self.device)
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(_WARM_UPS):
                self.step(self.rows)
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        self.optimizer.zero_grad(set_to_none=True)
        with torch.cuda.graph(self.graph):
            self.loss(self.inputs[self.rows], self.labels[self.rows]).backward()
            self.optimizer.step()
        with torch.no_grad():
            self.model.load_state_dict(before)
            for state in self.optimizer.state.values():
                for value in state.values():
                    value.zero_()

    def train(self, order: torch.Tensor) -> None:
        """A copy of the batch's rows and a replay, batch after batch."""
        for rows in self.batches(order):
            if len(rows) == len(self.rows):
                self.rows.copy_(rows)
                self.graph.replay()
            else:
                self.step(rows)
        self.wait()
