"""PyTorch with `torch.compile` over forward and loss, fused Adam beside it."""

import shutil

import torch

from trainers.contenders.base import UnsupportedError
from trainers.contenders.torch_model import TorchContender


class Trainer(TorchContender):
    """The plain loop with a compiled loss, one program for each batch shape."""

    def start(self) -> None:
        """A new model is compiled anew."""
        if not torch.cuda.is_available() and shutil.which("g++") is None:
            raise UnsupportedError("torch.compile needs g++, which is not here")
        super().start()
        torch.compiler.reset()
        self.compiled = torch.compile(super().loss, dynamic=False)

    def loss(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The mean loss of a batch, compiled."""
        return self.compiled(x, y)
