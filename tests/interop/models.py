"""Models of Keras 3 that between them have every layer Weft has, with arguments other than the defaults.

Each is a function that returns the model and its inputs. Weights are drawn anew from a fixed seed,
so that none is at a value at which a mistake would not show: zeros, ones.
"""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import keras  # noqa: E402
import numpy as np  # noqa: E402
from keras import constraints, initializers, layers, regularizers  # noqa: E402

OLD = tuple(map(int, keras.__version__.split(".")[:2])) < (3, 9)
# Of Concatenate and GroupNormalization in an .h5, Keras 3.4 reads no axis, and Keras 2 no list of one.
AXIS = -1 if OLD else 1
MODELS = {}


def has(*names):
    return all(hasattr(layers, name) for name in names)


def model(function):
    MODELS[function.__name__] = function
    return function


def data(*shape, seed=1):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def made(name, seed=5):
    """The model of that name with new weights, and its inputs."""
    keras.utils.clear_session()
    result, inputs = MODELS[name]()
    rng = np.random.default_rng(seed)
    for weight in result.weights:
        if "seed" in weight.path:
            continue
        value = rng.normal(size=weight.shape) * 0.4
        if weight.path.endswith("moving_variance"):
            value = abs(value) + 0.5
        elif weight.path.endswith("gamma"):
            value += 1
        weight.assign(value.astype(np.float32))
    return result, inputs if isinstance(inputs, list) else [inputs]


@model
def spatial():
    return keras.Sequential([
        layers.Input((13, 12, 4), name="image"),
        layers.Conv2D(6, (3, 2), strides=(2, 1), padding="same", groups=2, activation="relu",
                      kernel_initializer=initializers.HeNormal(seed=3), bias_initializer="ones",
                      kernel_regularizer=regularizers.L2(0.02), bias_regularizer=regularizers.L1(0.03),
                      activity_regularizer=regularizers.L1L2(0.001, 0.002),
                      kernel_constraint=constraints.MaxNorm(3, axis=[0, 1, 2]), bias_constraint="non_neg"),
        layers.ZeroPadding2D(((1, 0), (2, 3))),
        layers.Conv2D(5, 2, dilation_rate=(2, 1), use_bias=False, activation=keras.activations.tanh),
        layers.DepthwiseConv2D((2, 3), strides=2, padding="same", depth_multiplier=2, activation="elu",
                               depthwise_initializer=initializers.VarianceScaling(2, "fan_out", "truncated_normal",
                                                                                  seed=1),
                               depthwise_regularizer="l1", depthwise_constraint="unit_norm"),
        layers.UpSampling2D((2, 3), interpolation="bilinear"),
        layers.SeparableConv2D(7, 3, padding="same", depth_multiplier=2, dilation_rate=2, activation="sigmoid",
                               pointwise_initializer=initializers.RandomUniform(-0.1, 0.2, seed=8),
                               pointwise_regularizer="l2", pointwise_constraint=constraints.MinMaxNorm(0.1, 2, 0.9, 0)),
        layers.Conv2DTranspose(3, 3, strides=2, padding="same", output_padding=None if OLD else 1, activation="swish",
                               kernel_initializer="lecun_uniform"),
        layers.Cropping2D(((1, 2), (0, 3))),
        layers.MaxPooling2D((3, 2), strides=(1, 2), padding="same"),
        layers.AveragePooling2D(2, strides=1, padding="same"),
        layers.Conv2DTranspose(4, (2, 3), strides=(1, 3), dilation_rate=1, use_bias=False),
        layers.UpSampling2D(2),
        layers.SpatialDropout2D(0.3),
        layers.GlobalAveragePooling2D(keepdims=True),
        layers.Flatten(),
        layers.Dense(3, activation="softmax"),
    ], name="spatial"), data(5, 13, 12, 4)


@model
def transposed():
    x = keras.Input((5, 6, 3))
    ends = [
        layers.Conv2DTranspose(2, 3, strides=2)(x),
        layers.Conv2DTranspose(2, (4, 3), strides=(2, 3), padding="same")(x),
        # Keras 3.4 does not save it.
        layers.Conv2DTranspose(2, 3, strides=2, output_padding=None if OLD else (1, 0))(x),
        layers.Conv2DTranspose(2, 3, strides=2, padding="same", output_padding=None if OLD else 0)(x),
        layers.Conv2DTranspose(2, (2, 3), dilation_rate=2, activation="tanh")(x),
        layers.Conv2DTranspose(2, 2, strides=3)(x),
        layers.DepthwiseConv2D(2, dilation_rate=2, use_bias=False)(x),
        layers.SeparableConv2D(4, 2, strides=2, use_bias=False)(x),
        layers.MaxPooling2D(2)(x), layers.AveragePooling2D((2, 1), padding="same")(x),
        layers.GlobalMaxPooling2D()(x),
    ]
    return keras.Model(x, ends, name="transposed"), data(2, 5, 6, 3)


@model
def sequences():
    return keras.Sequential([
        layers.Input((20, 4)),
        layers.Conv1D(6, 3, padding="causal", dilation_rate=2, activation="gelu"),
        layers.Conv1D(4, 2, strides=2, padding="same", groups=2, use_bias=False, kernel_initializer="orthogonal"),
        layers.UpSampling1D(3),
        layers.ZeroPadding1D((2, 1)),
        layers.Cropping1D((1, 3)),
        layers.MaxPooling1D(3, strides=2, padding="same"),
        layers.AveragePooling1D(2),
        layers.SpatialDropout1D(0.2),
        layers.ZeroPadding1D(1),
        layers.Permute((2, 1)),
        layers.Dense(5, activation="softsign"),
        layers.GlobalAveragePooling1D(),
        layers.RepeatVector(3),
        layers.Reshape((5, -1)),
        layers.GlobalMaxPooling1D(keepdims=True),
        layers.Reshape((3, 1)),
        layers.Flatten(),
        layers.Dense(2, activation="log_softmax"),
    ], name="sequences"), data(3, 20, 4)


@model
def channels_first():
    return keras.Sequential([
        layers.Input((4, 9, 8)),
        layers.Conv2D(6, 3, padding="same", strides=2, groups=2, data_format="channels_first"),
        layers.ZeroPadding2D(1, data_format="channels_first"),
        layers.BatchNormalization(axis=1),
        layers.MaxPooling2D(2, strides=1, data_format="channels_first"),
        layers.DepthwiseConv2D(2, depth_multiplier=2, data_format="channels_first"),
        layers.UpSampling2D(2, data_format="channels_first"),
        layers.SeparableConv2D(3, 2, data_format="channels_first"),
        layers.Conv2DTranspose(3, 2, strides=2, data_format="channels_first"),
        layers.Cropping2D((1, 0), data_format="channels_first"),
        layers.AveragePooling2D(2, data_format="channels_first"),
        layers.SpatialDropout2D(0.2, data_format="channels_first"),
        layers.Flatten(data_format="channels_first"),
        layers.Dense(4),
    ], name="channels_first"), data(2, 4, 9, 8)


@model
def channels_first_ends():
    x = keras.Input((3, 6, 5))
    steps = keras.Input((3, 8))
    return keras.Model([x, steps], [
        layers.GlobalAveragePooling2D(data_format="channels_first")(x),
        layers.GlobalMaxPooling2D(data_format="channels_first", keepdims=True)(x),
        layers.Conv1D(4, 3, data_format="channels_first")(steps),
        layers.MaxPooling1D(2, data_format="channels_first")(steps),
        layers.AveragePooling1D(2, data_format="channels_first")(steps),
        layers.GlobalAveragePooling1D(data_format="channels_first")(steps),
    ], name="channels_first_ends"), [data(2, 3, 6, 5), data(2, 3, 8, seed=2)]


# Without sparsemax: Keras' own does not sum to 1 where two numbers or more are above its threshold.
ACTIVATIONS = ["linear", "relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "softmax", "softplus",
               "softsign", "tanh", "sigmoid", "log_sigmoid", "swish", "silu", "hard_silu",
               "hard_swish", "exponential", "mish", "log_softmax", "sparse_sigmoid", "hard_tanh",
               "tanh_shrink", "soft_shrink", "hard_shrink", "squareplus", "sparse_plus", "glu"]


@model
def activations():
    x = keras.Input((6,))
    known = [name for name in ACTIVATIONS if hasattr(keras.activations, name)]
    ends = [layers.Dense(4, activation=name, name=f"dense_{name}")(x) for name in known]
    ends += [layers.Activation(getattr(keras.activations, name), name=f"of_{name}")(x) for name in known]
    return keras.Model(x, ends, name="activations"), data(4, 6) * 3


@model
def activation_layers():
    x = keras.Input((5, 4))
    ends = [layers.ReLU(max_value=1.5, negative_slope=0.1, threshold=0.2)(x), layers.ReLU()(x),
            layers.LeakyReLU(negative_slope=0.15)(x), layers.LeakyReLU()(x), layers.ELU(alpha=0.7)(x),
            layers.PReLU(alpha_initializer=initializers.Constant(0.3), alpha_regularizer="l2",
                         alpha_constraint="non_neg", shared_axes=[1])(x),
            layers.PReLU()(x), layers.Softmax(axis=1)(x), layers.Softmax()(x)]
    return keras.Model(x, ends, name="activation_layers"), data(3, 5, 4) * 2


@model
def normalization():
    x = keras.Input((6, 5, 8))
    ends = [
        layers.BatchNormalization(momentum=0.8, epsilon=0.01, beta_initializer="ones",
                                  gamma_initializer=initializers.RandomNormal(1, 0.1, seed=2),
                                  moving_mean_initializer="ones", moving_variance_initializer="ones",
                                  beta_regularizer="l1", gamma_regularizer="l2", beta_constraint="non_neg",
                                  gamma_constraint=constraints.MaxNorm(2))(x),
        layers.BatchNormalization(center=False)(x), layers.BatchNormalization(scale=False)(x),
        layers.BatchNormalization(center=False, scale=False)(x), layers.BatchNormalization(axis=1)(x),
        layers.LayerNormalization(epsilon=0.02)(x), layers.LayerNormalization(axis=1)(x),
        layers.GroupNormalization(4, epsilon=0.05)(x), layers.GroupNormalization(4 if OLD else 3, axis=AXIS, center=False)(x),
        layers.GroupNormalization(-1, scale=False)(x),
        layers.UnitNormalization()(x)]
    if has("RMSNormalization"):
        ends += [layers.RMSNormalization(epsilon=0.01)(x), layers.RMSNormalization(axis=-1)(x)]
    return keras.Model(x, ends, name="normalization"), data(3, 6, 5, 8) + 1


@model
def for_keras_3_alone():
    """What an .h5 cannot say to Keras 2 and Keras 3: several axes, and hard_sigmoid."""
    x = keras.Input((6, 5, 8))
    ends = [layers.LayerNormalization(axis=[1, 2], center=False)(x), layers.LayerNormalization(axis=[2, 3])(x),
            layers.UnitNormalization(axis=[1, 2])(x), layers.Softmax(axis=[1, 2])(x),
            layers.Dense(3, activation="hard_sigmoid")(x)]
    return keras.Model(x, ends, name="for_keras_3_alone"), data(3, 6, 5, 8)


@model
def random_layers():
    return keras.Sequential([
        layers.Input((6, 4)),
        layers.Dropout(0.4, noise_shape=(None, 1, 4), seed=7), layers.Dropout(0.1),
        layers.AlphaDropout(0.2, seed=3), layers.GaussianNoise(0.3, seed=1), layers.GaussianDropout(0.25),
        layers.SpatialDropout1D(0.5, seed=9),
        layers.Dense(3),
    ], name="random_layers"), data(3, 6, 4)


@model
def embedding():
    return keras.Sequential([
        layers.Input((7,), dtype="int32"),
        layers.Embedding(11, 6, embeddings_initializer=initializers.TruncatedNormal(0.1, 0.2, seed=4),
                         embeddings_regularizer="l2", embeddings_constraint="unit_norm"),
        layers.Rescaling([2.0, 1, 3, 0.5, 1, 2], offset=[0.5, 1, 0, 0, 0, 1]), layers.Rescaling(0.5, 0.1),
        layers.ActivityRegularization(0.01, 0.02), layers.Identity(),
        layers.Flatten(), layers.Dense(2, activation="sigmoid"),
    ], name="embedding"), np.random.default_rng(2).integers(0, 11, (5, 7)).astype(np.int32)


@model
def merging():
    a, b, c = keras.Input((4, 3), name="a"), keras.Input((4, 3), name="b"), keras.Input((4, 5), name="c")
    shared = layers.Dense(3, activation="tanh", name="shared")
    x, y, z = shared(a), shared(b), shared(shared(b))
    ends = [layers.Add()([x, y, z]), layers.Subtract()([x, y]), layers.Multiply()([x, y, z]),
            layers.Average()([x, y, z]), layers.Maximum()([x, y]), layers.Minimum()([x, z]),
            layers.Concatenate()([x, c, y]), layers.Concatenate(axis=AXIS)([x, y]),
            layers.Dot(axes=1)([x, c]), layers.Dot(axes=(2, 2), normalize=True)([x, y]),
            layers.Dot(axes=-1)([layers.Flatten()(x), layers.Flatten()(y)])]
    return keras.Model([a, b, c], ends, name="merging"), [data(3, 4, 3), data(3, 4, 3, seed=2), data(3, 4, 5, seed=3)]


@model
def residual():
    """Layers that are not in the order of their making, and frozen ones."""
    x = keras.Input((8, 8, 3), name="picture")
    y = layers.Conv2D(4, 3, padding="same", use_bias=False, name="Stem")(x)
    y = layers.BatchNormalization(name="b1", trainable=False)(y)
    short = y
    y = layers.ReLU(name="relu!")(y)
    y = layers.DepthwiseConv2D(3, padding="same", name="z first")(y)
    y = layers.BatchNormalization(name="a2")(y, training=False)
    y = layers.Conv2D(4, 1, name="c", trainable=False)(y)
    y = layers.Add(name="sum")([short, y])
    y = layers.GlobalAveragePooling2D()(y)
    return keras.Model(x, layers.Dense(3, activation="softmax", name="out")(layers.Dropout(0.3)(y))), \
        data(2, 8, 8, 3)


def block(name, channels, sizes=(4,)):
    return keras.Sequential([layers.Input((*sizes, channels)), layers.Dense(channels, activation="relu"),
                             layers.BatchNormalization(), layers.Dense(channels)], name=name)


@model
def nested_sequential():
    return keras.Sequential([layers.Input((4, 6)), block("one", 6), layers.Activation("tanh"),
                             keras.Sequential([layers.Input((4, 6)), block("inside", 6), layers.Flatten()],
                                              name="two"),
                             layers.Dense(3)], name="nested_sequential"), data(3, 4, 6)


@model
def nested_functional():
    def tower(name):
        a, b = keras.Input((5,)), keras.Input((5,))
        d = layers.Dense(4, activation="tanh")
        x = layers.Add()([d(a), d(b)])
        return keras.Model([a, b], [layers.BatchNormalization()(x), layers.Dense(5)(x)], name=name)

    inner = tower("tower")
    deep = tower("deep")
    a, b = keras.Input((5,), name="a"), keras.Input((5,), name="b")
    u, v = inner([a, b])
    w, q = inner([q0 := layers.Dense(5, name="mid")(v), b])
    s, t = deep([q, q0])
    frozen = block("frozen", 4, ())
    frozen.trainable = False
    return keras.Model([a, b], [layers.Concatenate()([u, w, s]), t, frozen(u)], name="nested_functional"), \
        [data(3, 5), data(3, 5, seed=2)]


@model
def functional_in_sequential():
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, activation="relu")(image)
    base = keras.Model(image, layers.Add()([x, layers.Conv2D(4, 1)(x)]), name="base")
    base.trainable = False
    return keras.Sequential([layers.Input((8, 8, 3)), base, layers.GlobalAveragePooling2D(), layers.Dense(2)],
                            name="functional_in_sequential"), data(3, 8, 8, 3)


@model
def frozen():
    whole = keras.Sequential([layers.Input((5,)), layers.Dense(4, trainable=False), layers.BatchNormalization(),
                              block("inner", 4, ()), layers.Dense(2)], name="frozen")
    whole.get_layer("inner").layers[0].trainable = False
    return whole, data(4, 5)


@model
def initializers_and_more():
    x = start = keras.Input((4,))
    every = [initializers.Zeros(), initializers.Ones(), initializers.Constant(0.5),
             initializers.GlorotUniform(seed=1), initializers.GlorotNormal(seed=2), initializers.HeUniform(),
             initializers.HeNormal(seed=4), initializers.LecunUniform(seed=5), initializers.LecunNormal(),
             initializers.VarianceScaling(1.5, "fan_out", "uniform", seed=7),
             initializers.VarianceScaling(1.5, "fan_avg", "untruncated_normal", seed=7),
             initializers.RandomNormal(0.1, 0.2, seed=8), initializers.TruncatedNormal(0.1, 0.2),
             initializers.RandomUniform(-0.3, 0.4, seed=10), initializers.Orthogonal(1.2, seed=11)]
    for i in every:
        x = layers.Dense(4, kernel_initializer=i)(x)
    x = layers.Dense(4, kernel_initializer=initializers.Identity(0.7)
                     if hasattr(initializers, "Identity") else "zeros")(x)
    for r in [regularizers.L1(0.1), regularizers.L2(0.2), regularizers.L1L2(0.3, 0.4),
              regularizers.OrthogonalRegularizer(0.05, "columns")]:
        x = layers.Dense(4, kernel_regularizer=r)(x)
    for c in [constraints.MaxNorm(1.5, axis=1), constraints.MinMaxNorm(0.2, 1.1, 0.5, 0), constraints.NonNeg(),
              constraints.UnitNorm(axis=[0, 1])]:
        x = layers.Dense(4, kernel_constraint=c, activation="tanh")(x)
    return keras.Model(start, x), data(3, 4)


@model
def long_names():
    """Names of all layers together do not fit an HDF5 attribute."""
    chain = [layers.Input((4,))]
    chain += [layers.Identity(name=f"layer_{i}_" + "x" * 1900) for i in range(36)]
    chain += [layers.Dense(3, name="y" * 200)]
    return keras.Sequential(chain, name="long_names"), data(2, 4)


@model
def no_input_layer():
    """Built by data alone."""
    result = keras.Sequential([layers.Conv2D(3, 2), layers.Flatten(), layers.Dense(2)], name="late")
    x = data(3, 5, 5, 2)
    result(x)
    return result, x
