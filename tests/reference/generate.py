"""Writes what Keras 3 computes to data/, for tests/reference.cpp to compare Weft with.

common.py says how to run it.

    data/layers/    one batch of images, what Conv2D and pooling make of it; the same for Dense
    data/normalization/  a batch and weights, what BatchNormalization makes of it, in training also
                    the gradients of sum(y * slope) and what is kept
    data/losses/    predictions and targets, the loss of each sample
    data/functional/  samples and weights for a model of two inputs and two outputs, the losses of
                    each of 10 batches and the weights after them; small random graphs of layers, and
                    the order in which Keras lists the layers
    data/training/  samples and weights, the loss of each of 20 batches and the weights after them,
                    by optimizer; weights are one vector, in the order of get_weights()
"""

from common import normal, write  # before keras: it chooses the back end

import jax
import keras
import numpy as np

BATCH_SIZE = 8
STEPS = 20

ACTIVATIONS = [
    "linear", "relu", "relu6", "leaky_relu", "elu", "selu", "sigmoid", "log_sigmoid", "tanh",
    "softplus", "softsign", "swish", "silu", "mish", "gelu", "exponential", "softmax",
    "log_softmax",
]


def write_convolutions(images, rng):
    # On 7 x 8 images, a 4 x 3 kernel with padding "same" needs more zeros after than before, also
    # with strides of 2.
    kernel, bias = normal(rng, 4, 3, 4, 6), normal(rng, 6)
    kernel_of_groups = normal(rng, 4, 3, 2, 6)
    write("layers/conv2d_kernel", kernel)
    write("layers/conv2d_kernel_of_groups", kernel_of_groups)
    write("layers/conv2d_bias", bias)
    cases = {
        "same": {"padding": "same"},
        "valid": {},
        "same_strides": {"padding": "same", "strides": 2},
        "valid_strides": {"strides": (2, 3)},
        "same_dilation": {"padding": "same", "dilation_rate": 2},
        "valid_dilation": {"dilation_rate": 2},
        "groups": {"padding": "same", "groups": 2},
    }
    for name, arguments in cases.items():
        layer = keras.layers.Conv2D(6, (4, 3), **arguments)
        layer.build(images.shape)
        layer.set_weights([kernel_of_groups if "groups" in arguments else kernel, bias])
        write(f"layers/conv2d_{name}", layer(images))


def write_poolings(images):
    for name, pooling in [("max", keras.layers.MaxPooling2D),
                          ("average", keras.layers.AveragePooling2D)]:
        for padding in ["same", "valid"]:
            y = pooling(3, strides=2, padding=padding)(images)
            write(f"layers/{name}_3_{padding}", y)
            y = pooling((2, 4), strides=(3, 1), padding=padding)(images)
            write(f"layers/{name}_2x4_{padding}", y)


def write_dense(rng):
    x, kernel, bias = normal(rng, 2, 3, 5), normal(rng, 5, 7), normal(rng, 7)
    write("layers/dense_x", x)
    write("layers/dense_kernel", kernel)
    write("layers/dense_bias", bias)
    for rank, samples in [(2, x[0]), (3, x)]:
        layer = keras.layers.Dense(7)
        layer.build(samples.shape)
        layer.set_weights([kernel, bias])
        write(f"layers/dense_rank{rank}", layer(samples))


def write_global_poolings(images):
    layers = keras.layers
    for name, pooling in [("max", layers.GlobalMaxPooling2D),
                          ("average", layers.GlobalAveragePooling2D)]:
        write(f"layers/global_{name}", pooling()(images))
        write(f"layers/global_{name}_kept", pooling(keepdims=True)(images))


def write_relus(x):
    for name, arguments in {
        "plain": {}, "max": {"max_value": 2.5}, "slope": {"negative_slope": 0.3},
        "all": {"max_value": 4.0, "negative_slope": 0.25, "threshold": 1.5},
    }.items():
        write(f"layers/relu_{name}", keras.layers.ReLU(**arguments)(x))


def write_activations(rng):
    # Zero, where most of them have an edge, and far out, where naive formulas overflow.
    x = np.concatenate([np.linspace(-6, 6, 61), [-100, -30, 30]]).astype(np.float32)
    x = rng.permutation(x).reshape(8, 8)
    write("layers/activation_x", x)
    write_relus(x)
    for name in ACTIVATIONS:
        # exp(100) is no float.
        y = keras.activations.get(name)(np.minimum(x, 30))
        write(f"layers/activation_{name}", y)


def write_layers():
    rng = np.random.default_rng(1)
    # Mostly negative: a maximum that took padding for zeros would show.
    images = normal(rng, 2, 7, 8, 4) - 1
    write("layers/images", images)
    write_convolutions(images, rng)
    write_poolings(images)
    write_global_poolings(images)
    write_dense(rng)
    write_activations(rng)


def write_normalizations():
    rng = np.random.default_rng(4)
    for name, shape, arguments in [
        ("rows", (8, 5), {}),
        ("images", (8, 4, 3, 16), {"momentum": 0.75, "epsilon": 0.01}),
        ("bare", (8, 2, 2, 3), {"center": False, "scale": False}),
    ]:
        # Channels of different means and deviations.
        channels = shape[-1]
        x = 3 * normal(rng, channels) + rng.uniform(0.5, 3, channels) * normal(rng, *shape)
        x, slope = x.astype(np.float32), normal(rng, *shape)
        layer = keras.layers.BatchNormalization(**arguments)
        layer.build(shape)
        trained = [normal(rng, channels) for _ in layer.trainable_variables]
        kept = [normal(rng, channels), rng.uniform(0.5, 2, channels).astype(np.float32)]

        def loss(trained, x):
            y, after = layer.stateless_call(trained, kept, x, training=True)
            return (y * slope).sum(), (y, after)

        (slopes, dx), (y, after) = jax.grad(loss, argnums=(0, 1), has_aux=True)(trained, x)
        path = f"normalization/{name}_"
        for i, (weight, gradient) in enumerate(zip(trained, slopes)):
            write(f"{path}weight{i}", weight)
            write(f"{path}gradient{i}", gradient)
        for array, what in [
            (x, "x"), (slope, "slope"), (kept[0], "mean"), (kept[1], "variance"), (y, "y"),
            (dx, "dx"), (after[0], "next_mean"), (after[1], "next_variance"),
            (layer.stateless_call(trained, kept, x, training=False)[0], "inference"),
        ]:
            write(path + what, array)


def write_losses():
    rng = np.random.default_rng(2)
    samples, classes = 8, 5
    # Not scaled to sum up to 1, and with both ends: what is scaled and clipped differs by loss.
    probabilities = rng.uniform(0.02, 0.98, (samples, classes)).astype(np.float32)
    probabilities[0, 1] = probabilities[1, 2] = 0
    probabilities[0, 0] = probabilities[2, 3] = 1
    logits = 3 * normal(rng, samples, classes)
    labels = np.array([1, 2, 0, 4, 3, 0, 2, 1])
    one_hot = np.eye(classes)[labels]
    binary = rng.integers(0, 2, (samples, classes)).astype(np.float32)
    numbers = normal(rng, samples, classes)
    for name, array in {
        "probabilities": probabilities, "logits": logits, "labels": labels, "one_hot": one_hot,
        "binary": binary, "numbers": numbers,
    }.items():
        write(f"losses/{name}", array)

    categorical = keras.losses.CategoricalCrossentropy
    sparse = keras.losses.SparseCategoricalCrossentropy
    bce = keras.losses.BinaryCrossentropy
    for name, loss, arguments, target, prediction in [
        ("categorical", categorical, {}, one_hot, probabilities),
        ("categorical_logits", categorical, {"from_logits": True}, one_hot, logits),
        ("categorical_smooth", categorical, {"label_smoothing": 0.1}, one_hot, probabilities),
        ("categorical_logits_smooth", categorical,
         {"from_logits": True, "label_smoothing": 0.1}, one_hot, logits),
        ("sparse", sparse, {}, labels, probabilities),
        ("sparse_logits", sparse, {"from_logits": True}, labels, logits),
        ("binary", bce, {}, binary, probabilities),
        ("binary_logits", bce, {"from_logits": True}, binary, logits),
        ("binary_smooth", bce, {"label_smoothing": 0.1}, binary, probabilities),
        ("mse", keras.losses.MeanSquaredError, {}, numbers, logits),
        ("mae", keras.losses.MeanAbsoluteError, {}, numbers, logits),
    ]:
        write(f"losses/{name}_loss", loss(reduction="none", **arguments)(target, prediction))


def bright_thirds(rng, count):
    """Images of noise where the upper, middle or lower rows are brighter: three classes."""
    labels = rng.integers(0, 3, count)
    images = rng.uniform(0, 0.7, (count, 8, 8, 1))
    for image, label in zip(images, labels):
        image[3 * label : 3 * label + 2] += 0.3
    return images.astype(np.float32), np.eye(3, dtype=np.float32)[labels]


def network():
    return keras.Sequential([
        keras.layers.Input((8, 8, 1)),
        keras.layers.Conv2D(4, 3, padding="same", activation="relu"),
        keras.layers.MaxPooling2D(2),
        keras.layers.Flatten(),
        keras.layers.Dense(8, activation="relu"),
        keras.layers.Dense(3, activation="softmax"),
    ])


def flat(weights):
    return np.concatenate([w.ravel() for w in weights])


def write_training():
    rng = np.random.default_rng(3)
    x, y = bright_thirds(rng, BATCH_SIZE * STEPS)
    initial = [0.3 * normal(rng, *w.shape) for w in network().get_weights()]
    write("training/x", x)
    write("training/y", y)
    write("training/initial", flat(initial))
    optimizers = keras.optimizers
    for name, optimizer in {
        "sgd": optimizers.SGD(0.1),
        "momentum": optimizers.SGD(0.01, momentum=0.9),
        "nesterov": optimizers.SGD(0.01, momentum=0.9, nesterov=True),
        "adam": optimizers.Adam(0.01),
        "adamw": optimizers.AdamW(0.01),
        "rmsprop": optimizers.RMSprop(0.01),
    }.items():
        model = network()
        model.set_weights(initial)
        model.compile(optimizer=optimizer, loss="categorical_crossentropy")
        losses = []
        for first in range(0, len(x), BATCH_SIZE):
            model.reset_metrics()
            batch = slice(first, first + BATCH_SIZE)
            losses.append(model.train_on_batch(x[batch], y[batch]))
        write(f"training/{name}_losses", np.array(losses, np.float32))
        write(f"training/{name}_weights", flat(model.get_weights()))


def two_by_two():
    """A shared convolution, a normalised residual block, two outputs."""
    layers = keras.layers
    left, right = layers.Input((6, 6, 2)), layers.Input((6, 6, 2))
    shared = layers.Conv2D(4, 3, padding="same", activation="relu")
    a, b = shared(left), shared(right)
    y = layers.Add()([a, b])
    z = layers.Conv2D(4, 3, padding="same", use_bias=False)(y)
    z = layers.BatchNormalization()(z)
    z = layers.ReLU()(layers.Add()([z, y]))
    z = layers.GlobalAveragePooling2D()(z)
    classes = layers.Dense(3, activation="softmax", name="classes")(z)
    a = layers.GlobalAveragePooling2D()(a)
    value = layers.Dense(1, name="value")(layers.Concatenate()([z, a]))
    return keras.Model([left, right], [classes, value])


def write_two_by_two():
    rng = np.random.default_rng(5)
    steps = 10
    x = [normal(rng, BATCH_SIZE * steps, 6, 6, 2) for _ in range(2)]
    classes = np.eye(3, dtype=np.float32)[rng.integers(0, 3, BATCH_SIZE * steps)]
    value = x[0].mean(axis=(1, 2, 3))[:, None] - x[1].max(axis=(1, 2, 3))[:, None]
    model = two_by_two()
    model.set_weights([0.3 * normal(rng, *w.shape) ** 2 for w in model.get_weights()])
    write("functional/initial", flat(model.get_weights()))
    # Adam would blow up the last bits of gradients that are close to zero.
    model.compile(optimizer=keras.optimizers.SGD(0.05, momentum=0.9),
                  loss=["categorical_crossentropy", "mse"], loss_weights=[1, 0.5])
    losses = []
    for first in range(0, BATCH_SIZE * steps, BATCH_SIZE):
        model.reset_metrics()
        batch = slice(first, first + BATCH_SIZE)
        logs = model.train_on_batch([each[batch] for each in x], [classes[batch], value[batch]],
                                    return_dict=True)
        losses.append([logs["loss"], logs["classes_loss"], logs["value_loss"]])
    for name, array in {"left": x[0], "right": x[1], "classes": classes, "value": value,
                        "losses": losses, "weights": flat(model.get_weights())}.items():
        write(f"functional/{name}", array)


def write_orders():
    """Random graphs of two inputs and 12 calls of adding layers, some of which are called again.

    calls is [graph, call, (layer, tensor, tensor or -1)], where the tensors are the two inputs and
    what calls made; outputs and order, of layers less the inputs, are by graph, padded with -1.
    """
    rng = np.random.default_rng(6)
    all_calls, all_outputs, all_orders = [], [], []
    for _ in range(40):
        tensors = [keras.layers.Input((2,)), keras.layers.Input((2,))]
        layers, calls = [], []
        for _ in range(12):
            again = layers and rng.random() < 0.25
            which = int(rng.integers(len(layers))) if again else len(layers)
            if not again:
                layers.append(keras.layers.Add(name=f"layer{which}"))
            inputs = [int(i) for i in rng.integers(0, len(tensors), rng.integers(1, 3))]
            tensors.append(layers[which]([tensors[i] for i in inputs]))
            calls.append([which, inputs[0], inputs[1] if len(inputs) > 1 else -1])
        outputs = [13, int(rng.integers(2, 13))]
        model = keras.Model(tensors[:2], [tensors[i] for i in outputs])
        order = [int(layer.name[5:]) for layer in model.layers if layer.name.startswith("layer")]
        all_calls.append(calls)
        all_outputs.append(outputs)
        all_orders.append(order + [-1] * (12 - len(order)))
    write("functional/graph_calls", np.array(all_calls))
    write("functional/graph_outputs", np.array(all_outputs))
    write("functional/graph_orders", np.array(all_orders))


if __name__ == "__main__":
    write_layers()
    write_normalizations()
    write_losses()
    write_training()
    write_two_by_two()
    write_orders()
