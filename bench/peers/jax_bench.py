"""JAX, beside Weft: plain functions through jax.jit, images NHWC. See peer.py.

XLA starts as many threads as there are cores it may use, so those are what --threads sets.
"""

import os

import peer

given = peer.options(__doc__)
os.environ["JAX_PLATFORMS"] = "cpu"
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:given.threads])

import jax  # noqa: E402  (threads come first)
import jax.numpy as jnp  # noqa: E402
from jax import lax  # noqa: E402

TRAIN, INFER = ["jit"], ["jit", "jit of constants"]


class Made:
    """Collects parameters, and what batch norm keeps, while a model is called for the first time."""

    def __init__(self):
        self.key = jax.random.key(1)
        self.parameters, self.state = {}, {}

    def weight(self, name, shape):
        self.key, key = jax.random.split(self.key)
        self.parameters[name] = jax.nn.initializers.glorot_uniform()(key, shape)

    def fill(self, name, channels, value):
        self.parameters[name] = jnp.full(channels, value, jnp.float32)


def conv(p, made, name, x, channels, size=3, stride=1, bias=True):
    if made:
        made.weight(f"{name}/kernel", (size, size, x.shape[-1], channels))
        if bias:
            made.fill(f"{name}/bias", channels, 0)
    y = lax.conv_general_dilated(x, p[f"{name}/kernel"], (stride, stride), "SAME",
                                 dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return y + p[f"{name}/bias"] if bias else y


def dense(p, made, name, x, units):
    if made:
        made.weight(f"{name}/kernel", (x.shape[-1], units))
        made.fill(f"{name}/bias", units, 0)
    return x @ p[f"{name}/kernel"] + p[f"{name}/bias"]


def max_pool(x):
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def norm(p, s, made, name, x, training):
    """Batch norm; returns its new running mean and variance through `s`, which it changes."""
    channels = x.shape[-1]
    if made:
        made.fill(f"{name}/scale", channels, 1)
        made.fill(f"{name}/shift", channels, 0)
        s[f"{name}/mean"], s[f"{name}/variance"] = jnp.zeros(channels), jnp.ones(channels)
    if training:
        mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
        s[f"{name}/mean"] = 0.99 * s[f"{name}/mean"] + 0.01 * mean
        s[f"{name}/variance"] = 0.99 * s[f"{name}/variance"] + 0.01 * variance
    else:
        mean, variance = s[f"{name}/mean"], s[f"{name}/variance"]
    factor = p[f"{name}/scale"] * lax.rsqrt(variance + 1e-3)
    return x * factor + (p[f"{name}/shift"] - mean * factor)


def logits_of(p, s, x, training, made=None):
    """The models of bench/models. `s` holds what batch norm keeps, and is changed."""
    if given.model == "tutorial":
        x = max_pool(jax.nn.relu(conv(p, made, "conv", x, 32)))
        x = jax.nn.relu(dense(p, made, "dense", x.reshape(len(x), -1), 16))
    elif given.model == "vgg":
        for channels in (64, 128, 256):
            for i in range(2):
                x = jax.nn.relu(conv(p, made, f"conv{channels}_{i}", x, channels))
            x = max_pool(x)
        x = jax.nn.relu(dense(p, made, "dense", x.reshape(len(x), -1), 256))
    else:
        def conv_norm(name, x, channels, size=3, stride=1):
            y = conv(p, made, name, x, channels, size, stride, bias=False)
            return norm(p, s, made, f"{name}/norm", y, training)

        x = jax.nn.relu(conv_norm("stem", x, 64))
        for channels, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
            for i, step in enumerate((stride, 1)):
                name = f"block{channels}_{i}"
                y = jax.nn.relu(conv_norm(f"{name}/1", x, channels, 3, step))
                y = conv_norm(f"{name}/2", y, channels)
                if step != 1 or x.shape[-1] != channels:
                    x = conv_norm(f"{name}/shortcut", x, channels, 1, step)
                x = jax.nn.relu(x + y)
        x = x.mean((1, 2))
    return dense(p, made, "logits", x, 10)


def made_model(size):
    """Parameters, and what batch norm keeps."""
    made = Made()
    logits_of(made.parameters, made.state, jnp.zeros((1, *size)), True, made)
    return made.parameters, made.state


def adam(p, slopes, m, v, t):
    """Adam, rate 0.001; Keras' formula."""
    t = t + 1
    m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, slopes)
    v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, slopes)
    rate = 1e-3 * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
    p = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) + 1e-7), p, m, v)
    return p, m, v, t


def one_step(everything, x, y):
    """A training step; what changes is one tuple, whose memory is used again."""
    p, s, m, v, t = everything

    def loss_of(p):
        kept = dict(s)
        logs = jax.nn.log_softmax(logits_of(p, kept, x, True))
        return -jnp.take_along_axis(logs, y[:, None], 1).mean(), kept

    (loss, s), slopes = jax.value_and_grad(loss_of, has_aux=True)(p)
    p, m, v, t = adam(p, slopes, m, v, t)
    return (p, s, m, v, t), loss


step = jax.jit(one_step, donate_argnums=0)


def start(size):
    p, s = made_model(size)
    zeros = jax.tree.map(jnp.zeros_like, p)
    return p, s, zeros, jax.tree.map(jnp.copy, zeros), jnp.float32(0)


def count(p):
    return sum(weight.size for weight in p.values())


def train(size):
    state = start(size)
    parameters = count(state[0])
    x = jax.random.uniform(jax.random.key(2), (given.batch, *size))
    y = jnp.arange(given.batch) % 10
    box = [state, None]

    def work():
        box[:] = step(box[0], x, y)

    return parameters, peer.measure(given, work, lambda: jax.block_until_ready(box))


def epochs(size):
    """The data set in memory, a batch by its indices."""
    x, y, test_x, test_y = (jnp.asarray(part) for part in peer.mnist(given.data))
    x, test_x = x[..., None], test_x[..., None]
    gathered = jax.jit(lambda state, rows: one_step(state, x[rows], y[rows]), donate_argnums=0)
    for rows in peer.batches(len(x), given.batch, 0)[-2:]:  # compiles, before the clock runs
        box = [start(size), None]

        def work(rows=rows, box=box):
            box[:] = gathered(box[0], rows)
            jax.block_until_ready(box)

        peer.warm(work)
    state, seconds = start(size), []
    for epoch in range(given.epochs):
        begin = peer.time.perf_counter()
        for rows in peer.batches(len(x), given.batch, epoch):
            state, loss = gathered(state, rows)
        jax.block_until_ready(state)
        seconds.append(peer.time.perf_counter() - begin)
    classes = jax.jit(lambda p, s, x: logits_of(p, s, x, False).argmax(1))
    predicted = jnp.concatenate([classes(*state[:2], test_x[i:i + 250]) for i in range(0, len(test_x), 250)])
    return count(state[0]), seconds, len(x), (predicted == test_y).mean()


def infer(variant, size):
    p, s = made_model(size)
    x = jax.random.uniform(jax.random.key(2), (given.batch, *size))
    if variant == "jit of constants":  # what can be computed from weights is computed once
        run = jax.jit(lambda x: jax.nn.softmax(logits_of(p, s, x, False)))
        return count(p), peer.measure(given, lambda: run(x).block_until_ready())
    run = jax.jit(lambda p, s, x: jax.nn.softmax(logits_of(p, s, x, False)))
    return count(p), peer.measure(given, lambda: run(p, s, x).block_until_ready())


def main():
    if given.task == "about":
        peer.about("jax", jax.__version__, TRAIN, INFER)
        return
    variant = given.variant or "jit"
    size = peer.SIZES[given.model]
    images = accuracy = None
    if given.epochs:
        parameters, seconds, images, accuracy = epochs(size)
    elif given.task == "train":
        parameters, seconds = train(size)
    else:
        parameters, seconds = infer(variant, size)
    peer.report(given, "jax", variant, seconds, parameters, images, accuracy)


main()
