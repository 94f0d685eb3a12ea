"""Train a LeNet-style network on handwritten digits, with pooltk for the pooling.

The 1,797 digits (8x8 pixels) ship with scikit-learn. The network has two convolutions, the
first followed by max pooling, the second by adaptive average pooling, and two dense layers.
pooltk pools forward and backward; all the rest is NumPy.

    pip install ".[examples]"
    python examples/digits.py

It prints a line an epoch and fails below 97 % accuracy on the digits that it never trained on.
"""

import sys
import time

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from sklearn.datasets import load_digits

import pooltk

SEED = 0
EPOCHS = 20
BATCH_SIZE = 32
LEARNING_RATE = 0.05
MOMENTUM = 0.9
TEST_DIGITS = 360
REQUIRED_ACCURACY = 0.97

# Images are (digit, row, column, channel) throughout, so that a patch of all channels is one row
# of a matrix product.
LAYOUT = "channels_last"


class Layer:
    """Weights and a bias, trained by gradient descent with momentum."""

    def __init__(self, rng, inputs, outputs):
        scale = np.sqrt(2 / inputs)
        self.weights = rng.normal(0, scale, (inputs, outputs)).astype(np.float32)
        self.bias = np.zeros(outputs, np.float32)
        self.velocity = np.zeros_like(self.weights), np.zeros_like(self.bias)

    def step(self, rate):
        parameters = self.weights, self.bias
        for parameter, velocity, grad in zip(parameters, self.velocity, self.grads, strict=True):
            velocity *= MOMENTUM
            velocity -= rate * grad
            parameter += velocity


class Dense(Layer):
    def forward(self, x):
        self.x = x
        return x @ self.weights + self.bias

    def backward(self, grad):
        self.grads = self.x.T @ grad, grad.sum(axis=0)
        return grad @ self.weights.T


class Conv(Layer):
    """Convolution that keeps the image's size: im2col, then one matrix product."""

    def __init__(self, rng, kernel_size, channels_in, channels_out):
        super().__init__(rng, kernel_size**2 * channels_in, channels_out)
        self.kernel_size = kernel_size

    def forward(self, x):
        k, p = self.kernel_size, self.kernel_size // 2
        self.padded = np.pad(x, ((0, 0), (p, p), (p, p), (0, 0)))
        patches = sliding_window_view(self.padded, (k, k), axis=(1, 2))
        patches = patches.transpose(0, 1, 2, 4, 5, 3)  # ... row, column of the tap, channel
        self.columns = patches.reshape(-1, len(self.weights))
        return (self.columns @ self.weights + self.bias).reshape(*x.shape[:3], -1)

    def backward(self, grad):
        n, h, w, channels_out = grad.shape
        k, p = self.kernel_size, self.kernel_size // 2
        grad = grad.reshape(-1, channels_out)
        self.grads = self.columns.T @ grad, grad.sum(axis=0)
        grad_patches = (grad @ self.weights.T).reshape(n, h, w, k, k, -1)
        grad_x = np.zeros_like(self.padded)
        for i in range(k):
            for j in range(k):
                grad_x[:, i : i + h, j : j + w] += grad_patches[:, :, :, i, j]
        return grad_x[:, p : p + h, p : p + w]


class ReLU:
    def forward(self, x):
        self.positive = x > 0
        return x * self.positive

    def backward(self, grad):
        return grad * self.positive


class Flatten:
    def forward(self, x):
        self.shape = x.shape
        return x.reshape(len(x), -1)

    def backward(self, grad):
        return grad.reshape(self.shape)


class MaxPool:
    """Windows of 3x3, 2 apart: they overlap, so a pixel can win more than once."""

    def forward(self, x):
        self.x = x
        return pooltk.max_pool2d(x, 3, 2, 1, data_format=LAYOUT)

    def backward(self, grad):
        return pooltk.max_pool2d_backward(grad, self.x, 3, 2, 1, data_format=LAYOUT)


class AdaptiveAvgPool:
    def __init__(self, output_size):
        self.output_size = output_size

    def forward(self, x):
        self.input_shape = x.shape
        return pooltk.adaptive_avg_pool2d(x, self.output_size, data_format=LAYOUT)

    def backward(self, grad):
        shape = self.input_shape
        return pooltk.adaptive_avg_pool2d_backward(grad, shape, data_format=LAYOUT)


def softmax(logits):
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def predict(network, x):
    for layer in network:
        x = layer.forward(x)
    return x


def train_batch(network, x, labels, rate):
    """Go forward, backward and a step downhill; return the cross-entropy before it."""
    probabilities = softmax(predict(network, x))
    rows = np.arange(len(labels))
    loss = -np.log(probabilities[rows, labels]).mean()
    grad = probabilities
    grad[rows, labels] -= 1
    grad /= len(labels)
    for layer in reversed(network):
        grad = layer.backward(grad)
    for layer in network:
        if isinstance(layer, Layer):
            layer.step(rate)
    return loss


def accuracy(network, x, labels):
    return (predict(network, x).argmax(axis=1) == labels).mean()


def main():
    started = time.perf_counter()
    rng = np.random.default_rng(SEED)

    digits = load_digits()
    x = (digits.images[..., np.newaxis] / 16).astype(np.float32)
    shuffled = rng.permutation(len(x))
    test, train = shuffled[:TEST_DIGITS], shuffled[TEST_DIGITS:]

    network = [
        Conv(rng, 5, 1, 16),  # 8x8x16
        ReLU(),
        MaxPool(),  # 4x4x16
        Conv(rng, 3, 16, 32),  # 4x4x32
        ReLU(),
        AdaptiveAvgPool(3),  # 3x3x32
        Flatten(),
        Dense(rng, 3 * 3 * 32, 64),
        ReLU(),
        Dense(rng, 64, 10),
    ]

    for epoch in range(EPOCHS):
        rate = LEARNING_RATE * (1 - epoch / EPOCHS)
        order = rng.permutation(train)
        batches = [order[i : i + BATCH_SIZE] for i in range(0, len(order), BATCH_SIZE)]
        losses = [train_batch(network, x[b], digits.target[b], rate) for b in batches]
        result = accuracy(network, x[test], digits.target[test])
        print(f"epoch {epoch + 1:2}: loss {np.mean(losses):.4f}, test accuracy {result:.2%}")

    seconds = time.perf_counter() - started
    print(f"trained on {len(train)} digits, tested on {len(test)}: {seconds:.1f} s")
    if result < REQUIRED_ACCURACY:
        sys.exit(f"The test accuracy, {result:.2%}, is below {REQUIRED_ACCURACY:.0%}.")


if __name__ == "__main__":
    main()
