"""Keras on TensorFlow, beside Weft. See peer.py.

A step is a tf.function around Keras' layers and Keras' Adam: what fit and predict do without their
loops and callbacks. Variants: with XLA (jit_compile) and without, where oneDNN's kernels run; for
inference also with weights frozen into the graph, which lets oneDNN keep them in its own layout.
"""

import os

import peer

given = peer.options(__doc__)
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"
os.environ["KERAS_BACKEND"] = "tensorflow"
if hasattr(os, "sched_setaffinity"):  # XLA's threads are as many as the cores it may use
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:given.threads])

import tensorflow as tf  # noqa: E402  (threads come first)

tf.config.threading.set_intra_op_parallelism_threads(given.threads)
tf.config.threading.set_inter_op_parallelism_threads(1)

import keras  # noqa: E402
from keras import layers  # noqa: E402

TRAIN, INFER = ["onednn", "jit_compile"], ["onednn", "onednn frozen", "jit_compile"]


def block(x, channels, stride):
    """ResNet's basic block."""
    shortcut = x
    if stride != 1 or x.shape[-1] != channels:
        shortcut = layers.Conv2D(channels, 1, stride, use_bias=False)(x)
        shortcut = layers.BatchNormalization()(shortcut)
    y = layers.Conv2D(channels, 3, stride, padding="same", use_bias=False)(x)
    y = layers.ReLU()(layers.BatchNormalization()(y))
    y = layers.Conv2D(channels, 3, padding="same", use_bias=False)(y)
    return layers.ReLU()(layers.add([layers.BatchNormalization()(y), shortcut]))


def network(name, size, batch):
    """The models of bench/models; they return logits."""
    image = x = keras.Input(batch_shape=(batch, *size))
    if name == "tutorial":
        x = layers.Conv2D(32, 3, padding="same", activation="relu")(x)
        x = layers.Flatten()(layers.MaxPooling2D(2)(x))
        x = layers.Dense(16, activation="relu")(x)
    elif name == "vgg":
        for channels in (64, 128, 256):
            for _ in range(2):
                x = layers.Conv2D(channels, 3, padding="same", activation="relu")(x)
            x = layers.MaxPooling2D(2)(x)
        x = layers.Dense(256, activation="relu")(layers.Flatten()(x))
    else:
        x = layers.Conv2D(64, 3, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
        for channels, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
            x = block(block(x, channels, stride), channels, 1)
        x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(10)(x))


def loss_of(y, logits):
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits))


def trainer(variant, size):
    model = network(given.model, size, None if given.epochs else given.batch)
    adam = keras.optimizers.Adam(1e-3)
    adam.build(model.trainable_variables)

    @tf.function(jit_compile=variant == "jit_compile", autograph=False)
    def step(x, y):
        with tf.GradientTape() as tape:
            loss = loss_of(y, model(x, training=True))
        slopes = tape.gradient(loss, model.trainable_variables)
        adam.apply(slopes, model.trainable_variables)
        return loss

    return model, step


def train(variant, size):
    model, step = trainer(variant, size)
    x = tf.random.uniform((given.batch, *size))
    y = tf.range(given.batch) % 10
    last = [None]

    def work():
        last[0] = step(x, y)

    return model, peer.measure(given, work, lambda: last[0].numpy())


def epochs(variant, size):
    """The data set in memory, a batch by its indices."""
    x, y, test_x, test_y = (tf.constant(part) for part in peer.mnist(given.data))
    x, test_x = x[..., None], test_x[..., None]
    model, step = trainer(variant, size)
    weights = model.get_weights()
    rest = len(x) % given.batch
    for count in (given.batch, rest) if rest else (given.batch,):
        peer.warm(lambda: step(x[:count], y[:count]).numpy())  # and compiles, before the clock runs
    model.set_weights(weights)
    seconds = []
    for epoch in range(given.epochs):
        start = peer.time.perf_counter()
        for rows in peer.batches(len(x), given.batch, epoch):
            loss = step(tf.gather(x, rows), tf.gather(y, rows))
        loss.numpy()
        seconds.append(peer.time.perf_counter() - start)
    predicted = model.predict(test_x, batch_size=256, verbose=0).argmax(1)
    return model, seconds, len(x), (predicted == test_y.numpy()).mean()


def infer(variant, size):
    model = network(given.model, size, given.batch)
    run = tf.function(lambda x: tf.nn.softmax(model(x, training=False)), autograph=False,
                      jit_compile=variant == "jit_compile")
    x = tf.random.uniform((given.batch, *size))
    run = run.get_concrete_function(tf.TensorSpec(x.shape, x.dtype))
    if variant == "onednn frozen":
        from tensorflow.python.framework import convert_to_constants

        frozen = convert_to_constants.convert_variables_to_constants_v2(run)
        return model, peer.measure(given, lambda: frozen(x)[0].numpy())
    return model, peer.measure(given, lambda: run(x).numpy())


def main():
    if given.task == "about":
        peer.about("tensorflow", tf.__version__, TRAIN, INFER, keras=keras.__version__)
        return
    variant = given.variant or "onednn"
    size = peer.SIZES[given.model]
    images = accuracy = None
    if given.epochs:
        model, seconds, images, accuracy = epochs(variant, size)
    else:
        model, seconds = (train if given.task == "train" else infer)(variant, size)
    parameters = sum(int(tf.size(weight.value)) for weight in model.trainable_variables)
    peer.report(given, "tensorflow", variant, seconds, parameters, images, accuracy)


main()
