"""The network, its gradient and Adam in NumPy: a small contender that is right."""

import numpy as np

from trainers.contenders.base import Contender
from trainers.problem import BETAS, EPSILON, LEARNING_RATE


class Trainer(Contender):
    def start(self):
        self.params = [p.astype(np.float64) for pair in self.problem.weights for p in pair]
        self.first = [np.zeros_like(p) for p in self.params]
        self.second = [np.zeros_like(p) for p in self.params]
        self.steps = 0

    def train(self, order):
        for rows in self.batches(order):
            self.update(self.problem.inputs[rows].astype(np.float64), self.problem.y[rows])

    def update(self, x, y):
        kept = [x]
        for W, b in zip(self.params[::2], self.params[1::2], strict=True):
            kept.append(np.maximum(kept[-1] @ W + b, 0))
        logits = kept[-2] @ self.params[-2] + self.params[-1]
        if self.problem.binary:
            delta = (1 / (1 + np.exp(-logits)) - y[:, None]) / len(y)
        else:
            p = np.exp(logits - logits.max(axis=1, keepdims=True))
            delta = (p / p.sum(axis=1, keepdims=True) - np.eye(p.shape[1])[y]) / len(y)
        grads = []
        for layer in reversed(range(len(self.params) // 2)):
            grads = [kept[layer].T @ delta, delta.sum(axis=0), *grads]
            delta = (delta @ self.params[2 * layer].T) * (kept[layer] > 0)
        self.adam(grads)

    def adam(self, grads):
        self.steps += 1
        for p, m, v, g in zip(self.params, self.first, self.second, grads, strict=True):
            m += (1 - BETAS[0]) * (g - m)
            v += (1 - BETAS[1]) * (g**2 - v)
            corrected = m / (1 - BETAS[0] ** self.steps)
            root = np.sqrt(v / (1 - BETAS[1] ** self.steps))
            p -= LEARNING_RATE * corrected / (root + EPSILON)

    def weights(self):
        pairs = zip(self.params[::2], self.params[1::2], strict=True)
        return [(W.astype(np.float32), b.astype(np.float32)) for W, b in pairs]
