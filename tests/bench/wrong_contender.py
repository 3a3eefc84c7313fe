"""A contender that trains with the wrong sign: it must be caught, not timed."""

import numpy as np

from trainers.contenders.base import Contender


class Trainer(Contender):
    def start(self):
        self.current = [(W.copy(), b.copy()) for W, b in self.problem.weights]

    def train(self, order):
        self.current = [(W + np.float32(0.1), b) for W, b in self.current]

    def weights(self):
        return self.current
