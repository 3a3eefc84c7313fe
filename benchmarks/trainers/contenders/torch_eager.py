"""PyTorch eager with fused Adam."""

from trainers.contenders.torch_model import TorchContender


class Trainer(TorchContender):
    """The plain loop."""
