"""The network, loss and optimizer that the PyTorch contenders share."""

from typing import Any

import numpy as np
import torch

from trainers.contenders.base import Contender
from trainers.problem import BETAS, EPSILON, LEARNING_RATE, Problem, Weights


class TorchContender(Contender):
    """Rows on the device in float32, batches by index, gradients by autograd, fused Adam."""

    capturable = False

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.half = problem.point.precision == "bf16"
        torch.set_float32_matmul_precision(
            "high" if problem.point.precision == "tf32" else "highest"
        )
        self.inputs = torch.from_numpy(np.array(problem.inputs)).to(self.device)
        y = np.array(problem.y) if problem.binary else problem.y.astype(np.int64)
        self.labels = torch.from_numpy(y).to(self.device)
        loss = torch.nn.BCEWithLogitsLoss if problem.binary else torch.nn.CrossEntropyLoss
        self.criterion = loss()
        self.start()

    def start(self) -> None:
        """The problem's weights, transposed, for PyTorch multiplies by W from the left."""
        layers: list[Any] = []
        for W, b in self.problem.weights:
            layer = torch.nn.Linear(*W.shape)
            with torch.no_grad():
                layer.weight.copy_(torch.from_numpy(W.T.copy()))
                layer.bias.copy_(torch.from_numpy(b))
            layers += [layer, torch.nn.ReLU()]
        self.model = torch.nn.Sequential(*layers[:-1]).to(self.device)
        self.optimizer = torch.optim.Adam(
            self.model.parameters(),
            lr=LEARNING_RATE,
            betas=BETAS,
            eps=EPSILON,
            fused=True,
            capturable=self.capturable,
        )

    def indices(self, order: np.ndarray) -> torch.Tensor:
        """int64 on the device."""
        return torch.from_numpy(order.astype(np.int64)).to(self.device)

    def loss(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The mean loss of a batch."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            output = self.model(x)
        output = output.float()
        return self.criterion(output[:, 0] if self.problem.binary else output, y)

    def step(self, rows: torch.Tensor) -> None:
        """One update."""
        self.optimizer.zero_grad(set_to_none=True)
        self.loss(self.inputs[rows], self.labels[rows]).backward()
        self.optimizer.step()

    def train(self, order: torch.Tensor) -> None:
        """Update after update."""
        for rows in self.batches(order):
            self.step(rows)
        self.wait()

    def wait(self) -> None:
        """Until the device has done what it was told."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def weights(self) -> Weights:
        """The weights of the linear layers, transposed back."""
        linear = [layer for layer in self.model if isinstance(layer, torch.nn.Linear)]
        with torch.no_grad():
            return [(p.weight.T.cpu().numpy().copy(), p.bias.cpu().numpy()) for p in linear]
