"""The steps of residual.py in PyTorch, from the same weights and batches; SGD with momentum only,
since PyTorch's Adam adds its epsilon elsewhere.

    python3 -m venv /tmp/torch
    /tmp/torch/bin/pip install torch==2.15.0 numpy==2.5.5
    /tmp/torch/bin/python tests/reference/residual_torch.py

    data/residual/torch_losses  of each of the 20 steps
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

DATA = Path(__file__).parent / "data" / "residual"
BATCH_SIZE = 16
STEPS = 20


class Weights:
    """Hands out the numbers of `initial` in Keras' order, and keeps those that are trained."""

    def __init__(self, dtype):
        self.numbers = torch.tensor(np.load(DATA / "initial.npy"), dtype=dtype)
        self.trained = []

    def take(self, *shape):
        count = int(np.prod(shape))
        taken, self.numbers = self.numbers[:count], self.numbers[count:]
        return taken.reshape(shape)

    def train(self, tensor):
        self.trained.append(tensor.clone().requires_grad_())
        return self.trained[-1]

    def kernel(self, size, inputs, filters):
        return self.train(self.take(size, size, inputs, filters).permute(3, 2, 0, 1).contiguous())

    def norm(self, filters):
        gamma, beta = self.train(self.take(filters)), self.train(self.take(filters))
        self.take(2 * filters)  # what is kept does not matter in training
        return gamma, beta


class Network:
    def __init__(self, weights):
        w = weights
        self.stem = w.kernel(3, 3, 6), w.norm(6)
        self.blocks = [self.block(w, 6, 6, 1), self.block(w, 6, 10, 2), self.block(w, 10, 10, 1)]
        self.kernel, self.bias = w.train(w.take(10, 4)), w.train(w.take(4))
        assert len(w.numbers) == 0

    @staticmethod
    def block(w, inputs, filters, strides):
        """Its convolutions and normalizations: two, or three with that of the shortcut."""
        if strides == 1:
            return strides, [(w.kernel(3, filters, filters), w.norm(filters)) for _ in range(2)]
        first = w.kernel(3, inputs, filters), w.norm(filters)
        # Keras sorts layers by their distance from the output, both of a kind together.
        kernels = w.kernel(3, filters, filters), w.kernel(1, inputs, filters)
        return strides, [first] + [(kernel, w.norm(filters)) for kernel in kernels]

    @staticmethod
    def conv_norm(x, weights, strides=1):
        kernel, (gamma, beta) = weights
        size = kernel.shape[-1]
        # Padding "same" of an even image: what is left over goes behind.
        total = max(size - strides, 0)
        x = F.pad(x, (total // 2, total - total // 2) * 2)
        x = F.conv2d(x, kernel, stride=strides)
        return F.batch_norm(x, None, None, gamma, beta, training=True, eps=1e-3)

    def __call__(self, x):
        x = torch.relu(self.conv_norm(x, self.stem))
        for strides, (first, second, *shortcut) in self.blocks:
            y = self.conv_norm(torch.relu(self.conv_norm(x, first, strides)), second)
            for weights in shortcut:
                x = self.conv_norm(x, weights, strides)
            x = torch.relu(x + y)
        return x.mean(dim=(2, 3)) @ self.kernel + self.bias


def losses(dtype):
    x = torch.tensor(np.load(DATA / "x.npy"), dtype=dtype).permute(0, 3, 1, 2)
    y = torch.tensor(np.load(DATA / "y.npy"), dtype=torch.long)
    weights = Weights(dtype)
    network = Network(weights)
    optimizer = torch.optim.SGD(weights.trained, lr=0.05, momentum=0.9)
    losses = []
    for step in range(STEPS):
        first = step * BATCH_SIZE % len(x)
        batch = slice(first, first + BATCH_SIZE)
        loss = F.cross_entropy(network(x[batch]), y[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return np.array(losses, np.float32)


if __name__ == "__main__":
    torch.manual_seed(0)
    np.save(DATA / "torch_losses.npy", losses(torch.float32))
    keras, single, double = (
        np.load(DATA / "sgd_losses.npy"), losses(torch.float32), losses(torch.float64))
    print("largest relative difference: of Keras", abs(keras / double - 1).max(),
          "and of PyTorch", abs(single / double - 1).max(), "from PyTorch in double precision")
