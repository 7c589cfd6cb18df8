"""Writes what Keras 3 makes of spatial layers to data/spatial/, for tests/reference_spatial.cpp.

common.py says how to run it.

    numbers     normal numbers, which serve for everything: the first are a layer's weights, in
                their order, the last the slopes of its outputs
    images, wide, sequences, rows   inputs
    a case's name   what the layer makes of its input, then the gradients of sum(y * slope) and of
                what it adds to the loss, by the input and by each weight, one after the other
    penalized   a small model with regularizers and constraints: the losses of three batches, and
                the weights after them
"""

from common import normal, write  # before keras: it chooses the back end

import jax
import keras
import numpy as np

L = keras.layers

# Images are 2 x 5 x 6 x 4: in "channels_first", 6 x 4 pixels of 5 channels.
FIRST = {"data_format": "channels_first"}


def cases():
    yield "conv2d_groups_dilation", "images", L.Conv2D(
        6, (3, 2), padding="same", groups=2, dilation_rate=(1, 2), activation="relu")
    yield "conv2d_bare", "images", L.Conv2D(3, 2, strides=(2, 1), use_bias=False,
                                            activity_regularizer="l2")
    yield "conv2d_softmax", "images", L.Conv2D(3, 2, activation="softmax")
    yield "conv2d_first", "images", L.Conv2D(3, 3, strides=2, padding="same", activation="tanh",
                                             activity_regularizer="l1", **FIRST)
    yield "conv2d_first_softmax", "images", L.Conv2D(3, 2, activation="softmax", **FIRST)
    yield "conv2d_first_groups", "images", L.Conv2D(10, 3, groups=5, **FIRST)

    yield "conv1d_valid", "sequences", L.Conv1D(6, 3, strides=2)
    yield "conv1d_same", "sequences", L.Conv1D(6, 4, strides=3, padding="same", activation="relu")
    yield "conv1d_causal", "sequences", L.Conv1D(6, 3, padding="causal", dilation_rate=2)
    yield "conv1d_causal_stride", "sequences", L.Conv1D(6, 3, padding="causal", strides=2)
    yield "conv1d_groups", "sequences", L.Conv1D(6, 3, padding="same", groups=3, dilation_rate=2,
                                                 activity_regularizer=keras.regularizers.L1L2(0.01, 0.02))
    yield "conv1d_first", "sequences", L.Conv1D(4, 3, padding="causal", activation="softmax",
                                                **FIRST)

    yield "depthwise", "images", L.DepthwiseConv2D(3, activation="relu")
    yield "depthwise_same", "images", L.DepthwiseConv2D((3, 4), strides=2, padding="same",
                                                        depth_multiplier=2)
    yield "depthwise_dilation", "images", L.DepthwiseConv2D(2, dilation_rate=2, use_bias=False)
    yield "depthwise_stride_dilation", "images", L.DepthwiseConv2D(
        3, strides=2, padding="same", dilation_rate=2)
    yield "depthwise_wide", "wide", L.DepthwiseConv2D(3, padding="same",
                                                      activity_regularizer="l2")
    yield "depthwise_first", "images", L.DepthwiseConv2D(3, padding="same", depth_multiplier=3,
                                                         **FIRST)
    yield "separable", "images", L.SeparableConv2D(5, 3, activation="tanh")
    yield "separable_same", "images", L.SeparableConv2D(
        5, (2, 3), strides=2, padding="same", depth_multiplier=2, activity_regularizer="l2")
    yield "separable_first", "images", L.SeparableConv2D(5, 3, padding="same", use_bias=False,
                                                         dilation_rate=2, **FIRST)

    # Kernels that are even, odd, smaller than the stride, and dilated.
    transposed = {
        "valid": (3, {"strides": 2, "activation": "relu"}),
        "valid_small": ((2, 1), {"strides": (3, 2)}),
        "valid_output": (3, {"strides": (3, 2), "output_padding": (2, 0)}),
        "same": (3, {"strides": 2, "padding": "same"}),
        "same_even": (4, {"strides": (2, 3), "padding": "same"}),
        "same_small": ((1, 2), {"strides": (3, 4), "padding": "same"}),
        "same_output": ((4, 3), {"strides": (3, 2), "padding": "same", "output_padding": (1, 1)}),
        "same_output_0": ((2, 5), {"strides": 2, "padding": "same", "output_padding": 0}),
        "same_output_small": ((1, 2), {"strides": 3, "padding": "same", "output_padding": 2}),
        "dilation": ((3, 2), {"dilation_rate": (2, 3), "padding": "same"}),
        "dilation_valid": ((3, 2), {"dilation_rate": 2}),
        "first": (3, {"strides": 2, "padding": "same", "activity_regularizer": "l1",
                      "activation": "sigmoid", **FIRST}),
    }
    for name, (size, arguments) in transposed.items():
        yield f"transposed_{name}", "images", L.Conv2DTranspose(3, size, **arguments)

    for name, pooling2d, pooling1d, all2d, all1d in [
        ("max", L.MaxPooling2D, L.MaxPooling1D, L.GlobalMaxPooling2D, L.GlobalMaxPooling1D),
        ("average", L.AveragePooling2D, L.AveragePooling1D, L.GlobalAveragePooling2D,
         L.GlobalAveragePooling1D),
    ]:
        yield f"{name}2d_first", "images", pooling2d(2, **FIRST)
        yield f"{name}2d_first_same", "images", pooling2d((2, 3), strides=(1, 2), padding="same",
                                                          **FIRST)
        yield f"{name}1d", "sequences", pooling1d(2)
        yield f"{name}1d_same", "sequences", pooling1d(4, strides=3, padding="same")
        yield f"{name}1d_first", "sequences", pooling1d(3, strides=2, padding="same", **FIRST)
        yield f"{name}_all2d_first", "images", all2d(**FIRST)
        yield f"{name}_all2d_first_kept", "images", all2d(keepdims=True, **FIRST)
        yield f"{name}_all1d", "sequences", all1d()
        yield f"{name}_all1d_kept", "sequences", all1d(keepdims=True)
        yield f"{name}_all1d_first", "sequences", all1d(**FIRST)

    yield "flatten_first", "images", L.Flatten(**FIRST)
    yield "flatten_first_sequences", "sequences", L.Flatten(**FIRST)
    yield "permute", "images", L.Permute((3, 1, 2))
    yield "repeat_vector", "rows", L.RepeatVector(3)
    yield "zeros2d", "images", L.ZeroPadding2D(1)
    yield "zeros2d_sides", "images", L.ZeroPadding2D(((1, 0), (2, 3)))
    yield "zeros2d_first", "images", L.ZeroPadding2D((2, 1), **FIRST)
    yield "zeros1d", "sequences", L.ZeroPadding1D((1, 2))
    yield "zeros1d_first", "sequences", L.ZeroPadding1D(1, **FIRST)
    yield "cropping2d", "images", L.Cropping2D(((1, 0), (2, 1)))
    yield "cropping2d_first", "images", L.Cropping2D((2, 1), **FIRST)
    yield "cropping1d", "sequences", L.Cropping1D((2, 0))
    yield "upsampling2d", "images", L.UpSampling2D((2, 3))
    yield "upsampling2d_first", "images", L.UpSampling2D(2, **FIRST)
    for interpolation in ["bilinear", "bicubic", "lanczos3", "lanczos5"]:
        yield f"upsampling2d_{interpolation}", "images", L.UpSampling2D(
            (2, 3), interpolation=interpolation)
    yield "upsampling2d_bilinear_first", "images", L.UpSampling2D(
        (1, 4), interpolation="bilinear", **FIRST)
    yield "upsampling1d", "sequences", L.UpSampling1D(3)


def write_cases(numbers, inputs):
    for name, of, layer in cases():
        x = inputs[of]
        # A layer's own stateless_call leaves out its activity_regularizer, a model's does not.
        model = keras.Sequential([L.Input(x.shape[1:]), layer])
        sizes = [int(np.prod(w.shape)) for w in layer.weights]
        starts = np.cumsum([0] + sizes)
        weights = [numbers[a:a + n].reshape(w.shape)
                   for a, n, w in zip(starts, sizes, layer.weights)]

        def loss(weights, x):
            y, _, losses = model.stateless_call(weights, [], x, return_losses=True)
            return (y * numbers[-y.size:].reshape(y.shape)).sum() + sum(losses), y

        (slopes, dx), y = jax.grad(loss, argnums=(0, 1), has_aux=True)(weights, x)
        write(f"spatial/{name}",
              np.concatenate([np.asarray(each).ravel() for each in [y, dx, *slopes]]))


def write_penalized(rng):
    # No l1 with non_neg: at 0, which this makes, JAX has 1 for the derivative of |w|, all others 0.
    samples, steps = 4, 3
    x, y = normal(rng, samples * steps, 5, 5, 2), normal(rng, samples * steps, 3)
    model = keras.Sequential([
        L.Input((5, 5, 2)),
        L.Conv2D(3, 3, kernel_regularizer=keras.regularizers.L2(0.05), bias_regularizer="l2",
                 activity_regularizer=keras.regularizers.L1L2(0.01, 0.02),
                 kernel_constraint=keras.constraints.MaxNorm(1.0, axis=[0, 1, 2]),
                 bias_constraint="non_neg"),
        L.DepthwiseConv2D(2, depthwise_regularizer="l2", depthwise_constraint="unit_norm",
                          activity_regularizer="l2"),
        L.SeparableConv2D(3, 2, pointwise_regularizer="l2", depthwise_regularizer="l1",
                          pointwise_constraint="non_neg"),
        L.Conv2DTranspose(3, 2, bias_regularizer="l2", activity_regularizer="l1"),
        L.GlobalAveragePooling2D(),
    ])
    model.set_weights([0.5 * normal(rng, *w.shape) for w in model.get_weights()])
    initial = [w.ravel() for w in model.get_weights()]
    model.compile(optimizer=keras.optimizers.SGD(0.05), loss="mse")
    losses = []
    for first in range(0, samples * steps, samples):
        model.reset_metrics()
        batch = slice(first, first + samples)
        losses.append(model.train_on_batch(x[batch], y[batch]))
    write("spatial/penalized_x", x)
    write("spatial/penalized_y", y)
    write("spatial/penalized_initial", np.concatenate(initial))
    write("spatial/penalized", np.concatenate(
        [np.array(losses).ravel()] + [w.ravel() for w in model.get_weights()]))


if __name__ == "__main__":
    rng = np.random.default_rng(7)
    numbers = normal(rng, 2200)
    # Mostly negative: a maximum that took padding for zeros would show.
    inputs = {"images": normal(rng, 2, 5, 6, 4) - 1, "wide": normal(rng, 2, 3, 4, 16),
              "sequences": normal(rng, 2, 8, 6) - 1, "rows": normal(rng, 2, 5)}
    write("spatial/numbers", numbers)
    for name, array in inputs.items():
        write(f"spatial/{name}", array)
    write_cases(numbers, inputs)
    write_penalized(rng)
