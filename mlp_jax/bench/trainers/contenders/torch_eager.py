"""PyTorch eager with fused Adam."""

from mlp_jax.bench.trainers.contenders.torch_model import TorchContender


class Trainer(TorchContender):
    """The plain loop."""
