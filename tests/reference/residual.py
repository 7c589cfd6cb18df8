"""Writes 20 steps of training of a small residual network in Keras 3, for
tests/reference_residual.cpp. residual_torch.py makes the same steps in PyTorch.

common.py says how to run it.

    data/residual/x, y       images and their classes, 5 batches of 16, gone through 4 times
    data/residual/initial    weights before the first step, one after the other
    data/residual/<optimizer>_losses   of each of the 20 steps
    data/residual/<optimizer>_weights  after them
    data/residual/<optimizer>_predicted  what the network then makes of the first batch
"""

from common import normal, write  # before keras: it chooses the back end

import keras
import numpy as np

from generate import flat

BATCH_SIZE = 16
BATCHES = 5
STEPS = 20

layers = keras.layers


def conv_norm(x, filters, size, strides=1):
    x = layers.Conv2D(filters, size, strides=strides, padding="same", use_bias=False)(x)
    return layers.BatchNormalization(momentum=0.9)(x)


def block(x, filters, strides=1):
    y = layers.ReLU()(conv_norm(x, filters, 3, strides))
    y = conv_norm(y, filters, 3)
    if strides != 1:
        x = conv_norm(x, filters, 1, strides)
    return layers.ReLU()(layers.Add()([y, x]))


def network():
    x = layers.Input((8, 8, 3))
    y = layers.ReLU()(conv_norm(x, 6, 3))
    y = block(y, 6)
    y = block(y, 10, strides=2)
    y = block(y, 10)
    y = layers.GlobalAveragePooling2D()(y)
    return keras.Model(x, layers.Dense(4, activation="softmax")(y))


def bright_quarters(rng, count):
    """Images of noise, a quarter of which is brighter in one of the colors: the class."""
    labels = rng.integers(0, 4, count)
    images = rng.uniform(0, 0.8, (count, 8, 8, 3)).astype(np.float32)
    for i, (image, label) in enumerate(zip(images, labels)):
        row, column = 4 * (label // 2), 4 * (label % 2)
        image[row : row + 4, column : column + 4, i % 3] += 0.2
    return images, labels


def initial(rng, model):
    """Kernels as He has them; all else around what it is at first, so that no part is left out."""
    weights = []
    for variable in model.weights:
        numbers, name = normal(rng, *variable.shape), variable.path.split("/")[-1]
        if name == "kernel":
            weights.append(numbers * np.sqrt(2 / np.prod(variable.shape[:-1])))
        elif name in ("gamma", "moving_variance"):
            weights.append(1 + 0.2 * np.tanh(numbers))
        else:
            weights.append(0.1 * numbers)
    return [each.astype(np.float32) for each in weights]


def optimizers():
    return {
        "sgd": keras.optimizers.SGD(0.05, momentum=0.9),
        # Adam divides by the root of a mean square. Where that is near 0, epsilon keeps it from
        # blowing up the last bits of a gradient.
        "adam": keras.optimizers.Adam(0.01, epsilon=1e-3),
    }


def write_steps():
    # With this seed no number comes so near to the kink of relu that rounding decides its side:
    # that would tell the same steps in single and double precision apart by 1e-3.
    rng = np.random.default_rng(3)
    x, y = bright_quarters(rng, BATCH_SIZE * BATCHES)
    weights = initial(rng, network())
    write("residual/x", x)
    write("residual/y", y)
    write("residual/initial", flat(weights))
    for name, optimizer in optimizers().items():
        model = network()
        model.set_weights(weights)
        model.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy")
        losses = []
        for step in range(STEPS):
            model.reset_metrics()
            first = step % BATCHES * BATCH_SIZE
            batch = slice(first, first + BATCH_SIZE)
            losses.append(model.train_on_batch(x[batch], y[batch]))
        print(name, losses)
        write(f"residual/{name}_losses", np.array(losses))
        write(f"residual/{name}_weights", flat(model.get_weights()))
        write(f"residual/{name}_predicted", model.predict(x[:BATCH_SIZE], verbose=0))


if __name__ == "__main__":
    write_steps()
