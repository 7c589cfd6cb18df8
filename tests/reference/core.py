"""Writes what Keras 3 computes to data/core/, for tests/reference_core.cpp to compare Weft with.

common.py says how to run it. Each file is one vector of f32: arrays one after the other, row-major.

    activations     x and a slope, and for each activation its value and the gradient of
                    sum(y * slope) by x
    <layer's case>  x, slope, weights; y, the gradients of sum(y * slope) by x and by each trained
                    weight, in training; what the layer makes of x otherwise
    merging         two inputs and slopes, y and both gradients, case by case
    embedding       numbers, slope, weights; y and the gradient by the weights
    weights         a matrix and a kernel of a convolution; what each regularizer adds for the
                    matrix, and what constraints make of both
    <model's case>  samples, classes and weights; the loss of each of 12 batches, the weights after
                    them, and the loss of evaluate
"""

from common import normal, write  # before keras: it chooses the back end

import jax
import jax.numpy as jnp
import keras
import numpy as np

layers = keras.layers
functions = keras.activations



def sparsemax(x, axis=-1):
    """By the paper. Keras 3.15.1 makes no distributions where several are kept: its issue 23425."""
    ordered = -jnp.sort(-x, axis=axis)
    sums = jnp.cumsum(ordered, axis=axis)
    counts = jnp.cumsum(jnp.ones_like(x), axis=axis)
    kept = 1 + counts * ordered > sums
    excess = jnp.sum(jnp.where(kept, ordered, 0), axis=axis, keepdims=True) - 1
    return jnp.maximum(x - excess / jnp.sum(kept, axis=axis, keepdims=True), 0)


# In the order of the test. Those with arguments come last.
ACTIVATIONS = [
    "linear", "relu", "relu6", "leaky_relu", "elu", "selu", "celu", "sigmoid", "hard_sigmoid",
    "log_sigmoid", "sparse_sigmoid", "tanh", "hard_tanh", "tanh_shrink", "soft_shrink",
    "hard_shrink", "softplus", "squareplus", "sparse_plus", "softsign", "swish", "silu",
    "hard_silu", "hard_swish", "mish", "gelu", "exponential", "softmax", "log_softmax",
    sparsemax, "glu",
    lambda x: functions.relu(x, negative_slope=0.1, max_value=2.0, threshold=0.7),
    lambda x: functions.leaky_relu(x, negative_slope=0.05),
    lambda x: functions.elu(x, alpha=0.7),
    lambda x: functions.celu(x, alpha=0.7),
    lambda x: functions.soft_shrink(x, threshold=1.2),
    lambda x: functions.hard_shrink(x, threshold=1.2),
    lambda x: functions.threshold(x, 0.8, -3.0),
    lambda x: functions.squareplus(x, b=1.5),
    lambda x: functions.gelu(x, approximate=True),
    lambda x: functions.softmax(x, axis=0),
    lambda x: functions.log_softmax(x, axis=0),
    lambda x: sparsemax(x, axis=0),
    lambda x: functions.glu(x, axis=0),
]


def write_flat(name, arrays):
    write(f"core/{name}", np.concatenate([np.asarray(a, np.float32).ravel() for a in arrays]))


def write_activations():
    rng = np.random.default_rng(11)
    # Between the edges, which are multiples of 0.1, and far out, where naive formulas overflow.
    x = np.concatenate([np.linspace(-6.05, 6.05, 60), [-100.03, -30.03, 10.03, 30.03]])
    x = rng.permutation(x).astype(np.float32).reshape(8, 8)
    slope = normal(rng, 8, 8)
    arrays = [x, slope]
    for activation in ACTIVATIONS:
        f = functions.get(activation)
        y, vjp = jax.vjp(f, x)
        arrays += [y, vjp(slope[: y.shape[0], : y.shape[1]])[0]]
    write_flat("activations", arrays)


def write_layer(name, layer, x, rng):
    layer.build(x.shape)
    trained = [normal(rng, *w.shape) for w in layer.trainable_variables]
    kept = [rng.uniform(0.5, 2, w.shape).astype(np.float32)
            for w in layer.non_trainable_variables if w.dtype == "float32"]
    slope = normal(rng, *x.shape)

    def call(trained, x, training):
        mode = {"training": training} if isinstance(layer, layers.BatchNormalization) else {}
        return layer.stateless_call(trained, kept, x, **mode)[0]

    def loss(trained, x):
        y = call(trained, x, True)
        return (y * slope).sum(), y

    (slopes, dx), y = jax.grad(loss, argnums=(0, 1), has_aux=True)(trained, x)
    write_flat(name, [x, slope, *trained, *kept, y, dx, *slopes, call(trained, x, False)])


def write_layers():
    rng = np.random.default_rng(12)
    rows, sequences = (6, 12), (4, 5, 12)
    images, images_first = (4, 3, 2, 12), (4, 12, 3, 2)

    def uneven(shape):
        # Of different means and deviations along all axes.
        x = normal(rng, *shape)
        for axis in range(len(shape)):
            sizes = [1] * len(shape)
            sizes[axis] = shape[axis]
            x = x * rng.uniform(0.6, 1.6, sizes) + 0.5 * normal(rng, *sizes)
        return x.astype(np.float32)

    batch, layer, group = (layers.BatchNormalization, layers.LayerNormalization,
                           layers.GroupNormalization)
    for name, made, shape in [
        ("batch_first", batch(axis=1), images_first),
        ("batch_middle", batch(axis=2, epsilon=0.01), sequences),
        ("batch_negative", batch(axis=-2, scale=False), sequences),
        ("layer", layer(), rows),
        ("layer_images", layer(epsilon=0.01), images),
        ("layer_bare", layer(center=False, scale=False), sequences),
        ("layer_axes", layer(axis=[1, 2]), images),
        ("layer_negative", layer(axis=(-1, -2, -3), scale=False), images),
        ("layer_first", layer(axis=1), images_first),
        ("layer_rms", layer(rms_scaling=True), sequences),
        ("group", group(groups=4), images),
        ("group_rows", group(groups=3, center=False), rows),
        ("group_one", group(groups=1, epsilon=0.01), sequences),
        ("group_instance", group(groups=-1), images),
        ("group_first", group(groups=4, axis=1), images_first),
        ("group_middle", group(groups=5, axis=-2, scale=False), sequences),
        ("unit", layers.UnitNormalization(), sequences),
        ("unit_axes", layers.UnitNormalization(axis=[1, 2]), images),
        ("rms", layers.RMSNormalization(), sequences),
        ("rms_axes", layers.RMSNormalization(axis=[-2, -1], epsilon=0.01), images),
        ("leaky_relu", layers.LeakyReLU(), rows),
        ("leaky_relu_slope", layers.LeakyReLU(negative_slope=0.1), rows),
        ("elu", layers.ELU(alpha=0.6), rows),
        ("prelu", layers.PReLU(), images),
        ("prelu_shared", layers.PReLU(shared_axes=[1, 2]), images),
        ("softmax", layers.Softmax(), rows),
        ("softmax_axis", layers.Softmax(axis=1), images),
        ("softmax_axes", layers.Softmax(axis=[1, 3]), images),
        ("rescaling", layers.Rescaling(0.25, offset=-1.5), images),
        ("rescaling_channels", layers.Rescaling(list(np.arange(12) / 4.0), offset=0.5), images),
        ("identity", layers.Identity(), rows),
        ("dense", layers.Dense(12, activation="gelu"), sequences),
    ]:
        write_layer(name, made, uneven(shape), rng)


def write_merging():
    rng = np.random.default_rng(13)
    arrays = []
    for shapes, arguments in [
        ([(4, 6), (4, 6)], {"axes": 1}),
        ([(4, 6), (4, 6)], {"axes": 1, "normalize": True}),
        ([(4, 3, 6), (4, 5, 6)], {"axes": 2}),
        ([(4, 3, 6), (4, 6, 2, 5)], {"axes": (2, 1)}),
        ([(4, 6, 3), (4, 6)], {"axes": (1, -1), "normalize": True}),
        ([(4, 6), (4, 2, 6, 3)], {"axes": (-1, -2)}),
    ]:
        layer = layers.Dot(**arguments)
        inputs = [normal(rng, *shape) for shape in shapes]
        y, vjp = jax.vjp(lambda *inputs: layer(list(inputs)), *inputs)
        slope = normal(rng, *y.shape)
        arrays += [*inputs, slope, y, *vjp(slope)]
    write_flat("merging", arrays)


def write_embedding():
    rng = np.random.default_rng(14)
    layer = layers.Embedding(7, 3)
    numbers, slope, weights = rng.integers(0, 7, (4, 5)), normal(rng, 4, 5, 3), normal(rng, 7, 3)
    layer.build((4, 5))
    y, vjp = jax.vjp(lambda w: layer.stateless_call([w], [], numbers)[0], weights)
    write_flat("embedding", [numbers, slope, weights, y, vjp(slope)[0]])


def write_weights():
    rng = np.random.default_rng(15)
    matrix, kernel = normal(rng, 6, 5), normal(rng, 3, 2, 4, 5)
    regularizers, constraints = keras.regularizers, keras.constraints
    arrays = [matrix, kernel]
    for regularizer in [
        "l1", "l2", "orthogonal_regularizer",
        regularizers.L1(0.3), regularizers.L2(0.2), regularizers.L1L2(0.03, 0.02),
        regularizers.L1L2(l2=0.5), regularizers.OrthogonalRegularizer(0.7, mode="columns"),
    ]:
        f = keras.regularizers.get(regularizer)
        penalty, slope = jax.value_and_grad(f)(matrix)
        arrays += [[penalty], slope]
    for constraint in [
        "max_norm", "min_max_norm", "non_neg", "unit_norm", constraints.MaxNorm(1.5, axis=1),
        constraints.MinMaxNorm(0.8, 1.9, rate=0.4), constraints.UnitNorm(axis=1),
    ]:
        arrays.append(keras.constraints.get(constraint)(matrix))
    for constraint in [
        constraints.MaxNorm(2.5, axis=[0, 1, 2]), constraints.UnitNorm(axis=[0, 1, 2]),
        constraints.MinMaxNorm(2.0, 4.0, axis=[0, 1, 2]),
    ]:
        arrays.append(constraint(kernel))
    write_flat("weights", arrays)


def write_training(name, make):
    rng = np.random.default_rng(16)
    batch, steps = 6, 12
    x = normal(rng, batch * steps, 10)
    y = np.eye(3, dtype=np.float32)[np.argmax(x[:, :3] + x[:, 3:6], axis=1)]
    model = make()
    model.set_weights([0.5 * np.abs(normal(rng, *w.shape)) if w.ndim == 1
                       else 0.5 * normal(rng, *w.shape) for w in model.get_weights()])
    arrays = [x, y, *model.get_weights()]
    model.compile(optimizer=keras.optimizers.SGD(0.05, momentum=0.9),
                  loss="categorical_crossentropy")
    losses = []
    for first in range(0, len(x), batch):
        model.reset_metrics()
        losses.append(model.train_on_batch(x[first : first + batch], y[first : first + batch]))
    evaluated = model.evaluate(x, y, batch_size=len(x), verbose=0)
    write_flat(name, [*arrays, losses, *model.get_weights(), [evaluated]])


def penalized():
    return keras.Sequential([
        layers.Input((10,)),
        layers.Dense(8, activation="relu", kernel_regularizer=keras.regularizers.L2(0.02),
                     bias_regularizer=keras.regularizers.L1(0.01),
                     activity_regularizer=keras.regularizers.L2(0.03),
                     kernel_constraint=keras.constraints.MaxNorm(1.1), bias_constraint="non_neg"),
        layers.BatchNormalization(gamma_regularizer=keras.regularizers.L1L2(0.01, 0.02),
                                  beta_regularizer="l2",
                                  gamma_constraint=keras.constraints.MinMaxNorm(1.0, 1.5)),
        layers.ActivityRegularization(l1=0.01, l2=0.02),
        layers.Dense(3, activation="softmax", kernel_constraint="unit_norm",
                     kernel_regularizer=keras.regularizers.OrthogonalRegularizer(0.1, "columns")),
    ])


def frozen():
    inner = keras.Sequential([layers.Input((8,)), layers.Dense(8, kernel_regularizer="l2"),
                              layers.BatchNormalization()])
    inner.trainable = False
    model = keras.Sequential([
        layers.Input((10,)),
        layers.Dense(8, activation="relu", kernel_regularizer="l2"),
        inner,
        layers.BatchNormalization(trainable=False, gamma_regularizer="l2"),
        layers.BatchNormalization(),
        layers.Dense(3, activation="softmax", kernel_regularizer="l1"),
    ])
    return model


if __name__ == "__main__":
    write_activations()
    write_layers()
    write_merging()
    write_embedding()
    write_weights()
    write_training("penalized", penalized)
    write_training("frozen", frozen)
