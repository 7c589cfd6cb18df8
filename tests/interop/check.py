"""Exchanges model files between Keras 3 and Weft, both ways, and compares what they mean.

    check.py PROGRAM TRAINER FOLDER [--all] [NAME...]

PROGRAM is tools/weft, TRAINER tests/interop/train.cpp's program; files go to FOLDER. NAMEs choose
checks. Prints each check's largest difference; the exit code is 1 if one is not as it should be.
"""

import argparse
import json
import logging
import re
import shutil
import subprocess
import sys
import time
import traceback
import warnings
from pathlib import Path

import models
import numpy as np
from models import keras

logging.disable(logging.WARNING)  # that .h5 is of old, at every save

TOLERANCE = 1e-5


class Wrong(Exception):
    pass


class Skipped(Exception):
    pass


def run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise Wrong(f"{' '.join(map(str, command[:3]))}: exit code {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def expect_exit_code(code, *command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != code:
        raise Wrong(f"{' '.join(map(str, command))}: exit code {done.returncode}, not {code}: {done.stderr.strip()}")
    if not done.stderr.startswith("weft: ") and code != 2:
        raise Wrong(f"{' '.join(map(str, command))}: it says nothing: {done.stderr}")


def difference(expected, got):
    """The largest, in parts of 1 or of the larger number."""
    if len(expected) != len(got):
        raise Wrong(f"{len(expected)} outputs are expected, {len(got)} came")
    worst = 0.0
    for a, b in zip(expected, got):
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        if a.shape != b.shape:
            raise Wrong(f"the shape is {b.shape}, not {a.shape}")
        if np.isnan(a).any() or np.isnan(b).any():
            raise Wrong("there are NaNs")
        worst = max(worst, float(np.max(abs(a - b) / np.maximum(1, abs(a)), initial=0)))
    return worst


def as_list(value):
    return [np.asarray(one) for one in (value if isinstance(value, (list, tuple)) else [value])]


def outputs_of(model, inputs):
    return as_list(model.predict_on_batch(inputs if len(inputs) > 1 else inputs[0]))


class Exchange:
    def __init__(self, program, trainer, folder, all):
        self.program, self.trainer, self.folder, self.all = program, trainer, folder, all
        self.worst = 0.0

    def expect(self, what, expected, got, tolerance=TOLERANCE):
        found = difference(expected, got)
        self.worst = max(self.worst, found)
        if not found <= tolerance:
            raise Wrong(f"{what}: off by {found:.2g}")

    def weft_outputs(self, folder, file, count, weights=None):
        outs = [folder / f"y{i}.npy" for i in range(count)]
        command = [self.program, "predict", file]
        for x in sorted(folder.glob("x*.npy")):
            command += ["--input", x]
        for y in outs:
            command += ["--output", y]
        if weights:
            command += ["--weights", weights]
        run(*command)
        return [np.load(y) for y in outs]


def plain_config(model):
    """What the layers' configs say, without the wrappings in which Keras writes them."""

    def plain(value):
        if isinstance(value, dict):
            if value.get("class_name") == "__keras_tensor__":
                return value["config"]["keras_history"]
            # Weft keeps no size of a batch.
            return {key: plain(one[1:] if key == "batch_shape" else one) for key, one in value.items()
                    if key not in ("build_config", "build_input_shape", "shared_object_id", "module",
                                   "registered_name", "compile_config", "dtype")}
        if isinstance(value, (list, tuple)):
            return [plain(one) for one in value]
        return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value

    return {layer.name: plain(json.loads(json.dumps(layer.get_config(), default=str)))
            for layer in model._flatten_layers(include_self=False)
            if not isinstance(layer, (keras.Sequential, keras.Model))}


def file_name(name):
    """What Weft makes of a layer's name, so that TensorFlow takes it, too."""
    return re.sub(r"[^A-Za-z0-9_.\\>-]", "_", name)


def as_in_files(config):
    return {file_name(name): layer | {"name": file_name(layer["name"])} for name, layer in config.items()}


def optimizer_config(model):
    config = json.loads(json.dumps(model.optimizer.get_config(), default=str))
    config.pop("name")  # adam_3: made up
    return config


def describe_difference(expected, got, path=""):
    if isinstance(expected, dict) and isinstance(got, dict):
        for key in expected.keys() | got.keys():
            inner = describe_difference(expected.get(key, "absent"), got.get(key, "absent"), f"{path}/{key}")
            if inner:
                return inner
        return None
    if isinstance(expected, list) and len(expected) == 1 and not isinstance(got, list):
        expected = expected[0]
    if isinstance(got, list) and len(got) == 1 and not isinstance(expected, list):
        got = got[0]
    if isinstance(expected, float) and isinstance(got, float) and abs(expected - got) < 1e-7:
        return None
    return None if expected == got else f"{path}: {expected} became {got}"


def check_model(exchange, name):
    model, inputs = models.made(name)
    folder = exchange.folder / name
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for i, x in enumerate(inputs):
        np.save(folder / f"x{i}.npy", x)
    expected = outputs_of(model, inputs)

    model.save(folder / "k.keras")
    model.save_weights(folder / "k.weights.h5")
    model.save(folder / "k.h5")
    (folder / "k.json").write_text(model.to_json())
    legacy_weights(folder / "k.h5", folder / "k_weights.h5")
    count = len(expected)
    for file, weights in [("k.keras", None), ("k.h5", None), ("k.json", "k.weights.h5"),
                          ("k.json", "k_weights.h5"), ("k.json", "k.keras"), ("k.keras", "k.h5")]:
        try:
            got = exchange.weft_outputs(folder, folder / file, count, weights and folder / weights)
        except Wrong as error:
            raise Wrong(f"Weft reads {file}, {weights}: {error}")
        exchange.expect(f"Weft of {file}, {weights}", expected, got)
    if name != "long_names":
        run(exchange.program, "summary", folder / "k.keras")

    if name == "for_keras_3_alone":
        expect_exit_code(3, exchange.program, "convert", folder / "k.keras", folder / "w.h5")
        expect_exit_code(3, exchange.program, "convert", folder / "k.keras", folder / "w.json")
        run(exchange.program, "convert", folder / "k.h5", folder / "w.keras")
        loaded = keras_of(folder / "w.keras")
        exchange.expect("Keras of w.keras", expected, outputs_of(loaded, inputs))
        return
    config = as_in_files(plain_config(model))
    for source in ("k.keras", "k.h5") if exchange.all else ("k.keras",):
        for ending in ("keras", "h5", "json", "weights.h5"):
            run(exchange.program, "convert", folder / source, folder / f"w_{source[2:]}.{ending}")
        run(exchange.program, "convert", folder / source, folder / f"w_{source[2:]}_weights.h5", "--weights-only")
        stem = f"w_{source[2:]}"
        for file, weights in [(f"{stem}.keras", None), (f"{stem}.h5", None), (f"{stem}.json", f"{stem}.h5"),
                              (f"{stem}.json", f"{stem}_weights.h5"), (f"{stem}.json", f"{stem}.weights.h5")]:
            try:
                if file.endswith(".json"):
                    loaded = keras.models.model_from_json((folder / file).read_text())
                    loaded.load_weights(folder / weights)
                else:
                    loaded = keras_of(folder / file, compile=False)
            except Exception as error:
                raise Wrong(f"Keras reads {file}, {weights}: {type(error).__name__}: {str(error)[:700]}")
            exchange.expect(f"Keras of {file}, {weights}", expected, outputs_of(loaded, inputs))
            changed = describe_difference(config, plain_config(loaded))
            if changed:
                raise Wrong(f"{file}: {changed}")
            flags = [weight.trainable for weight in model.weights if "seed" not in weight.path]
            if [weight.trainable for weight in loaded.weights if "seed" not in weight.path] != flags:
                raise Wrong(f"{file}: other weights are trainable")
        again, _ = models.made(name, seed=77)
        again.load_weights(folder / f"{stem}.weights.h5")
        exchange.expect(f"Keras of {stem}.weights.h5", expected, outputs_of(again, inputs))
        again, _ = models.made(name, seed=77)
        again.load_weights(folder / f"{stem}_weights.h5")
        exchange.expect(f"Keras of {stem}_weights.h5", expected, outputs_of(again, inputs))


def keras_of(path, **how):
    """What Keras makes of a file, which it takes without a warning if it is a .keras."""
    with warnings.catch_warnings():
        if path.suffix == ".keras":
            warnings.simplefilter("error")
        return keras.models.load_model(path, **how)


def legacy_weights(source, target):
    """Weights alone, as Keras 2 writes them: the group of a whole model."""
    import h5py
    with h5py.File(source) as whole, h5py.File(target, "w") as alone:
        for key, value in whole["model_weights"].attrs.items():
            alone.attrs[key] = value
        for key in whole["model_weights"]:
            whole.copy(f"model_weights/{key}", alone)


def small_model(outputs=3, activation="softmax"):
    keras.utils.clear_session()
    keras.utils.set_random_seed(3)
    layers = keras.layers
    return keras.Sequential([
        layers.Input((6,)), layers.Dense(8, activation="tanh", kernel_regularizer="l2"),
        layers.BatchNormalization(), layers.Dense(4, trainable=False), layers.PReLU(),
        layers.Dense(outputs, activation=activation)], name="small")


def training_data(kind, rows=80, outputs=3):
    rng = np.random.default_rng(8)
    x = rng.normal(size=(rows, 6)).astype(np.float32)
    classes = (x[:, 0] > 0).astype(np.int32) + (x[:, 1] > 0.5) * (outputs > 2)
    return x, {
        "one_hot": np.eye(outputs, dtype=np.float32)[classes], "labels": classes.astype(np.int32),
        "binary": (x[:, :outputs] > 0).astype(np.float32),
        "numbers": abs(x[:, :outputs] + 0.1 * rng.normal(size=(rows, outputs))).astype(np.float32) + 0.1}[kind]


def keras_losses(model, x, y, batch):
    losses = []
    for first in range(0, len(x), batch):
        model.reset_metrics()
        losses.append(model.train_on_batch(x[first:first + batch], y[first:first + batch], return_dict=True)["loss"])
    return np.array(losses, np.float32)


def weft_trains(exchange, folder, source, x, y, batch, out):
    """What evaluate() says, and the losses of training on."""
    np.save(folder / "x.npy", x)
    np.save(folder / "y.npy", y)
    text = run(exchange.trainer, source, folder / "x.npy", folder / "y.npy", batch, folder / "losses.npy", folder / out)
    said = dict(line.rsplit(" ", 1) for line in text.strip().splitlines())
    return {name: float(value) for name, value in said.items()}, np.load(folder / "losses.npy")


def optimizers():
    o, s = keras.optimizers, keras.optimizers.schedules
    known = {
        "sgd": o.SGD(0.05), "momentum": o.SGD(0.05, momentum=0.8, nesterov=True, clipnorm=0.5),
        "rmsprop": o.RMSprop(0.01, rho=0.8, momentum=0.5, epsilon=1e-5, centered=True),
        "adam": o.Adam(0.01, beta_1=0.8, beta_2=0.99, epsilon=1e-5), "amsgrad": o.Adam(0.01, amsgrad=True),
        "adamw": o.AdamW(0.01, weight_decay=0.01), "adadelta": o.Adadelta(1.0, rho=0.9),
        "adagrad": o.Adagrad(0.05, initial_accumulator_value=0.2), "adamax": o.Adamax(0.01),
        "nadam": o.Nadam(0.01), "ftrl": o.Ftrl(0.05, l1_regularization_strength=0.001), "lion": o.Lion(0.003),
        "adafactor": o.Adafactor(0.01), "clipvalue": o.Adam(0.01, clipvalue=0.01, weight_decay=0.02),
        "ema": o.SGD(0.05, use_ema=True, ema_momentum=0.9),
        "accumulation": o.Adam(0.01, gradient_accumulation_steps=2, global_clipnorm=0.3),
        "exponential": o.Adam(s.ExponentialDecay(0.02, 4, 0.8, staircase=True)),
        "piecewise": o.SGD(s.PiecewiseConstantDecay([3, 8], [0.1, 0.05, 0.01])),
        "polynomial": o.Adam(s.PolynomialDecay(0.02, 12, 0.001, power=2.0, cycle=True)),
        "inverse": o.RMSprop(s.InverseTimeDecay(0.02, 3, 0.5)),
        "cosine": o.Adam(s.CosineDecay(0.001, 10, alpha=0.1, warmup_target=0.02, warmup_steps=4)),
        "restarts": o.Adam(s.CosineDecayRestarts(0.02, 4, t_mul=1.5, m_mul=0.9)),
    }
    for name in ("Lamb", "Muon", "ScheduleFreeAdamW"):
        if hasattr(o, name):
            known[name.lower()] = getattr(o, name)(0.01)
    return known


def check_training(exchange, name):
    """Five steps of Keras, then five of Weft and five of Keras, each from the other's file."""
    keras.utils.clear_session()
    folder = exchange.folder / f"training_{name}"
    folder.mkdir(parents=True, exist_ok=True)
    x, y = training_data("one_hot", 120)
    model = small_model()
    model.compile(optimizers()[name], loss="categorical_crossentropy", metrics=["accuracy"])
    keras_losses(model, x[:40], y[:40], 8)
    model.save(folder / "k.keras")
    file = folder / "k.h5"
    original_config = optimizer_config(model)
    evaluated = model.evaluate(x[40:80], y[40:80], batch_size=8, verbose=0, return_dict=True)
    middle = keras_losses(model, x[40:80], y[40:80], 8)
    expected = keras_losses(model, x[80:], y[80:], 8)
    said, losses = weft_trains(exchange, folder, folder / "k.keras", x[40:80], y[40:80], 8, "w.keras")
    if said.keys() != evaluated.keys():
        raise Wrong(f"evaluate() has {list(evaluated)}, Weft's {list(said)}")
    exchange.expect("evaluate", [evaluated[key] for key in evaluated], [said[key] for key in evaluated])
    exchange.expect("losses of Weft", [middle], [losses])
    loaded = keras_of(folder / "w.keras")
    changed = describe_difference(original_config, optimizer_config(loaded))
    if changed:
        raise Wrong(f"the optimizer's {changed}")
    exchange.expect("losses of Keras", [expected], [keras_losses(loaded, x[80:], y[80:], 8)])
    # In an .h5, Keras 3 keeps what it then cannot read itself.
    model = keras.models.load_model(folder / "k.keras")
    try:
        model.save(file)
        keras.models.load_model(file)
    except ValueError:
        return  # Keras has no .h5 of this optimizer
    _, losses = weft_trains(exchange, folder, file, x[40:80], y[40:80], 8, "w.h5")
    exchange.expect("losses of Weft from an .h5", [middle], [losses])
    loaded = keras.models.load_model(folder / "w.h5")
    if not loaded.compiled:
        raise Wrong("w.h5: it is not compiled")
    changed = describe_difference(original_config, optimizer_config(loaded))
    if changed:
        raise Wrong(f"w.h5: the optimizer's {changed}")
    keras_losses(loaded, x[80:], y[80:], 8)


def losses_and_metrics():
    l, m = keras.losses, keras.metrics
    known = {
        "names": ("one_hot", "softmax", "categorical_crossentropy", ["accuracy", "mse", "top_k_categorical_accuracy"]),
        "short names": ("numbers", "relu", "mse", ["mae", "mape", "msle", "cosine_similarity"]),
        "labels": ("labels", "softmax", "sparse_categorical_crossentropy",
                   ["acc", m.SparseTopKCategoricalAccuracy(2, name="top"), "sparse_categorical_crossentropy"]),
        "smoothing": ("one_hot", "linear", l.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1),
                      [m.CategoricalAccuracy(name="right"), m.CategoricalCrossentropy(from_logits=True)]),
        "sparse": ("labels", "linear", l.SparseCategoricalCrossentropy(from_logits=True), ["accuracy"]),
        "binary": ("binary", "sigmoid", l.BinaryCrossentropy(label_smoothing=0.2),
                   [m.BinaryAccuracy(threshold=0.4), m.AUC(num_thresholds=50, curve="PR"), m.Precision(thresholds=0.3),
                    m.Recall(class_id=1), m.FalsePositives()]),
        "focal": ("one_hot", "softmax", l.CategoricalFocalCrossentropy(alpha=0.3, gamma=1.5), [m.F1Score(average="macro")]),
        "binary focal": ("binary", "sigmoid", l.BinaryFocalCrossentropy(True, alpha=0.3, gamma=1.5), ["binary_accuracy"]),
        "huber": ("numbers", "linear", l.Huber(delta=0.4), [m.RootMeanSquaredError(), m.LogCoshError(), m.R2Score()]),
        "sum": ("numbers", "linear", l.MeanAbsoluteError(reduction="sum"), [m.MeanSquaredError(name="squares")]),
        "functions": ("numbers", "linear", keras.losses.mean_squared_error, [keras.metrics.mean_absolute_error]),
    }
    plain = ["mean_absolute_error", "mean_absolute_percentage_error", "mean_squared_logarithmic_error", "hinge",
             "squared_hinge", "categorical_hinge", "log_cosh", "poisson", "cosine_similarity", "kl_divergence", "huber"]
    for name in plain:
        known[name] = ("numbers", "softplus", name, [])
    for name in ("Dice", "Tversky"):
        known[name] = ("binary", "sigmoid", getattr(l, name)(), [])
    known["cosine"] = ("numbers", "linear", l.CosineSimilarity(axis=-1), [m.CosineSimilarity(name="cos")])
    return known


def check_losses(exchange):
    folder = exchange.folder / "losses"
    folder.mkdir(parents=True, exist_ok=True)
    for name, (kind, activation, loss, metrics) in losses_and_metrics().items():
        x, y = training_data(kind, 40)
        model = small_model(activation=activation)
        model.compile("sgd", loss, metrics=metrics)
        model.save(folder / "k.keras")
        model.save(folder / "k.h5")

        def compare(what, got):
            if len(got) != len(expected) or what.startswith("Keras") and got.keys() != expected.keys():
                raise Wrong(f"{name}, {what}: {list(expected)} became {list(got)}")
            got = dict(zip(sorted(expected), (got[key] for key in sorted(got)))) if got.keys() != expected.keys() else got
            exchange.expect(f"{name}, {what}", [expected[key] for key in expected], [got[key] for key in expected])

        for ending in ("keras", "h5"):
            try:
                # Keras loses some of what it saves: delta of Huber, short names in an .h5.
                expected = keras.models.load_model(folder / f"k.{ending}").evaluate(
                    x, y, batch_size=8, verbose=0, return_dict=True)
            except (TypeError, ValueError) as error:
                print(f"      Keras does not read its own {ending} of {name}: {str(error)[:80]}")
                continue
            try:
                said, _ = weft_trains(exchange, folder, folder / f"k.{ending}", x, y, 8, "trained.keras")
                compare(f"Weft of k.{ending}", said)
                run(exchange.program, "convert", folder / f"k.{ending}", folder / f"w.{ending}")
                loaded = keras_of(folder / f"w.{ending}")
            except Exception as error:
                raise Wrong(f"{name}, {ending}: {error}")
            compare(f"Keras of w.{ending}", loaded.evaluate(x, y, batch_size=8, verbose=0, return_dict=True))


def check_outputs(exchange):
    """Losses, weights and metrics by output."""
    folder = exchange.folder / "outputs"
    folder.mkdir(parents=True, exist_ok=True)
    layers = keras.layers
    for form in ("dict", "list", "one"):
        keras.utils.clear_session()
        x = keras.Input((6,), name="in")
        h = layers.Dense(5, activation="tanh")(x)
        model = keras.Model(x, [layers.Dense(3, name="first")(h), layers.Dense(2, name="second")(h)])
        if form == "dict":
            model.compile(keras.optimizers.Adam(0.01), loss={"first": "mean_squared_error", "second": keras.losses.Huber(delta=0.5)},
                          loss_weights={"first": 1.0, "second": 0.3}, metrics={"first": ["mae"], "second": ["mse", "mae"]})
        elif form == "list":
            model.compile("sgd", loss=["mean_squared_error", "mean_absolute_error"], loss_weights=[0.5, 2.0], metrics=[["mae"], ["mse"]])
        else:
            model.compile("rmsprop", loss="mean_squared_error", metrics=[["mae"], ["mae"]])
        model.save(folder / "k.keras")
        model.save(folder / "k.h5")
        rng = np.random.default_rng(4)
        data = rng.normal(size=(16, 6)).astype(np.float32)
        y = [rng.normal(size=(16, 3)).astype(np.float32), rng.normal(size=(16, 2)).astype(np.float32)]
        for to in ("keras", "h5"):  # in which Keras calls metrics by other names
            reference = keras.models.load_model(folder / f"k.{to}")
            expected = reference.evaluate(data, y, batch_size=16, verbose=0, return_dict=True)
            for ending in ("keras", "h5"):
                run(exchange.program, "convert", folder / f"k.{ending}", folder / f"w.{to}")
                loaded = keras_of(folder / f"w.{to}")
                got = loaded.evaluate(data, y, batch_size=16, verbose=0, return_dict=True)
                if got.keys() != expected.keys():
                    raise Wrong(f"{form}, {ending} to {to}: {list(expected)} became {list(got)}")
                exchange.expect(f"{form}, {ending} to {to}", [expected[key] for key in expected],
                                [got[key] for key in expected])


def write_keras1(path, model_config, weights, keras_version=None, backend=None):
    """A file as Keras 1 wrote it: weights by names without a model's, texts of a fixed length."""
    import h5py
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(model_config).encode()
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = np.array([name.encode() for name in weights])
        for key, value in (("keras_version", keras_version), ("backend", backend)):
            if value:
                group.attrs[key] = value.encode()
        for layer, arrays in weights.items():
            below = group.create_group(layer)
            below.attrs["weight_names"] = np.array([name.encode() for name, _ in arrays])
            for name, array in arrays:
                below.create_dataset(name, data=array)


def check_keras1(exchange):
    """Old files, written by hand from a model of today's Keras that means the same."""
    folder = exchange.folder / "keras1"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("x*.npy"):
        old.unlink()
    layers = keras.layers
    for ordering, backend, version in (("tf", None, None), ("th", None, None), ("th", "theano", "1.2.2"),
                                       ("th", "theano", "2.0.8"), ("tf", "tensorflow", "2.1.6")):
        keras.utils.clear_session()
        first = ordering == "th"
        form = "channels_first" if first else "channels_last"
        shape = (3, 9, 8) if first else (9, 8, 3)
        model = keras.Sequential([
            layers.Input(shape), layers.Conv2D(3, 3, padding="same", activation="relu", data_format=form, name="c"),
            layers.BatchNormalization(axis=1 if first else -1, name="b"),
            layers.MaxPooling2D(2, data_format=form, name="m"),
            layers.Dropout(0.5, name="d"), layers.Flatten(name="f"), layers.Dense(4, activation="softmax", name="e")])
        rng = np.random.default_rng(7)
        model.set_weights([(rng.normal(size=w.shape) * 0.3 + 2 * w.path.endswith("variance")).astype(np.float32)
                           for w in model.weights])
        # Theano's convolutions run over the kernel backwards; other back ends of Keras 1 did not.
        kernel, bias = model.get_layer("c").get_weights()
        if backend == "theano":
            kernel = kernel[::-1, ::-1]
        keras1 = not version or version.startswith("1")
        if first and keras1:
            kernel = kernel.transpose(3, 2, 0, 1)
        common = {"trainable": True}
        if keras1:
            config = [
                {"class_name": "Convolution2D", "config": {
                    **common, "name": "c", "batch_input_shape": [None, *shape], "input_dtype": "float32", "nb_filter": 3,
                    "nb_row": 3, "nb_col": 3, "init": "glorot_uniform", "activation": "relu", "border_mode": "same",
                    "subsample": [1, 1], "dim_ordering": ordering, "W_regularizer": None, "b_regularizer": None,
                    "activity_regularizer": None, "W_constraint": None, "b_constraint": None, "bias": True}},
                {"class_name": "BatchNormalization", "config": {
                    **common, "name": "b", "mode": 0, "axis": 1 if first else -1, "epsilon": 0.001, "momentum": 0.99,
                    "gamma_regularizer": None, "beta_regularizer": None}},
                {"class_name": "MaxPooling2D", "config": {
                    **common, "name": "m", "pool_size": [2, 2], "strides": [2, 2], "border_mode": "valid",
                    "dim_ordering": ordering}},
                {"class_name": "Dropout", "config": {**common, "name": "d", "p": 0.5}},
                {"class_name": "Flatten", "config": {**common, "name": "f"}},
                {"class_name": "Dense", "config": {
                    **common, "name": "e", "output_dim": 4, "input_dim": None, "init": "glorot_uniform",
                    "activation": "softmax", "W_regularizer": None, "bias": True}}]
        else:
            config = []
            for layer in model.layers:
                own = {key: value for key, value in layer.get_config().items()
                       if key not in ("dtype", "build_config", "renorm", "renorm_clipping", "renorm_momentum",
                                      "synchronized", "quantization_config")}
                for key, value in own.items():
                    if isinstance(value, dict) and "config" in value:  # of TensorFlow 1
                        own[key] = {"class_name": value["class_name"],
                                    "config": {"dtype": "float32", "seed": None} if "Glorot" in value["class_name"]
                                    else {"dtype": "float32"}}
                config.append({"class_name": type(layer).__name__, "config": own})
            config[0]["config"]["batch_input_shape"] = [None, *shape]
        names = {"c": ["c_W", "c_b"], "b": ["b_gamma", "b_beta", "b_running_mean", "b_running_std"], "m": [],
                 "d": [], "f": [], "e": ["e_W", "e_b"]}
        weights = {layer: list(zip(names[layer], model.get_layer(layer).get_weights())) for layer in names}
        weights["c"] = [("c_W", kernel), ("c_b", bias)]
        write_keras1(folder / "old.h5", {"class_name": "Sequential", "config": config}, weights, version, backend)
        x = rng.normal(size=(3, *shape)).astype(np.float32)
        np.save(folder / "x0.npy", x)
        exchange.expect(f"{ordering}, {backend}, {version}", outputs_of(model, [x]),
                        exchange.weft_outputs(folder, folder / "old.h5", 1))


def check_exit_codes(exchange):
    folder = exchange.folder / "codes"
    folder.mkdir(parents=True, exist_ok=True)
    keras.utils.clear_session()
    keras.Sequential([keras.layers.Input((3, 2)), keras.layers.LSTM(2)]).save(folder / "lstm.keras")
    keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(2)]).save(folder / "dense.keras")
    (folder / "damaged.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    np.save(folder / "x.npy", np.zeros((2, 3), np.float32))
    np.save(folder / "wrong.npy", np.zeros((2, 5), np.float32))
    program = exchange.program
    expect_exit_code(3, program, "summary", folder / "lstm.keras")
    expect_exit_code(1, program, "summary", folder / "damaged.h5")
    expect_exit_code(1, program, "summary", folder / "none.keras")
    expect_exit_code(1, program, "predict", folder / "dense.keras", "--input", folder / "wrong.npy", "--output",
                     folder / "y.npy")
    expect_exit_code(2, program, "predict", folder / "dense.keras", "--input", folder / "x.npy", "--input",
                     folder / "x.npy", "--output", folder / "y.npy")
    expect_exit_code(2, program, "predict", folder / "dense.keras")
    expect_exit_code(2, program, "translate")
    expect_exit_code(2, program, "convert", folder / "dense.keras", folder / "dense.onnx")
    run(program, "convert", folder / "dense.keras", folder / "dense.h5")


def check_old_files(exchange):
    """What Weft makes of files of Keras 2.13 to 2.15, Keras 3 reads: old stores, "/" in names, nesting."""
    for source in sorted(Path(__file__).parent.parent.glob("data/keras/*/model.*")):
        if source.name == "model.weights.h5" or source.parent.name == "embedding-mask-zero":
            continue
        folder = exchange.folder / "old" / source.parent.name / source.suffix[1:]
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        weights = ["--weights", source.parent / "model.weights.h5"] if source.suffix == ".json" else []
        for file in ("w.keras", "w.h5", "w.json", "w.weights.h5"):
            run(exchange.program, "convert", source, folder / file, "--no-compile", *weights)
        x, expected = np.load(source.parent / "x0.npy"), [np.load(source.parent / "y0.npy")]
        for file, weights in [("w.keras", None), ("w.h5", None), ("w.json", "w.h5"), ("w.json", "w.weights.h5")]:
            if weights:
                loaded = keras.models.model_from_json((folder / file).read_text())
                loaded.load_weights(folder / weights)
            else:
                loaded = keras_of(folder / file, compile=False)
            exchange.expect(f"Keras of {source}, {file}, {weights}", expected, outputs_of(loaded, [x]))


def check_records(file):
    """Each event is read whole, and written by protobuf's own writer it has the same bytes."""
    from tensorboard.backend.event_processing import event_file_loader
    from tensorboard.compat.proto import event_pb2

    records = list(event_file_loader.RawEventFileLoader(str(file)).Load())
    bytes_of = 0
    for record in records:
        event = event_pb2.Event.FromString(record)
        if event.SerializeToString(deterministic=True) != record:
            raise Wrong(f"{file.name}: an event is written otherwise by protobuf: {event}")
        bytes_of += len(record) + 16  # the length and two checksums
    if bytes_of != file.stat().st_size or not records:
        raise Wrong(f"{file.name}: {bytes_of} of {file.stat().st_size} bytes are read")


def check_events(exchange):
    """TensorBoard reads what a training wrote: curves, histograms, and the graph."""
    try:
        from tensorboard.backend.event_processing import plugin_event_accumulator as accumulator
        from tensorboard.plugins.graph import keras_util
        from tensorboard.util import tensor_util
    except ImportError:
        raise Skipped("the package tensorboard is not there") from None
    folder = exchange.folder / "events"
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    history, weights = {}, {}
    for line in run(exchange.trainer, "events", folder).splitlines():
        name, epoch, *numbers = line.split()
        if epoch == "weight":
            weights[name] = np.array(numbers, np.float64)
        else:
            history[name, int(epoch)] = float(numbers[0])

    def read(part):
        for file in (folder / part).iterdir():
            check_records(file)
        events = accumulator.EventAccumulator(str(folder / part))
        events.Reload()
        return events

    def points(events, tag):
        if events.SummaryMetadata(tag).plugin_data.plugin_name != "scalars":
            raise Wrong(f"{tag} is no curve")
        return {event.step: float(tensor_util.make_ndarray(event.tensor_proto))
                for event in events.Tensors(tag)}

    train, validation = read("train"), read("validation")
    for name in ("loss", "mae"):
        for events, key in ((train, name), (validation, "val_" + name)):
            expected = [history[key, epoch] for epoch in range(3)]
            found = points(events, "epoch_" + name)
            if list(found) != [0, 1, 2]:
                raise Wrong(f"{key} has steps {list(found)}")
            exchange.expect(key, [expected], [list(found.values())])
        if list(points(train, "batch_" + name)) != list(range(2, 25, 2)):
            raise Wrong(f"batch_{name} has steps {list(points(train, 'batch_' + name))}")
        if list(points(validation, f"evaluation_{name}_vs_iterations")) != [8, 16, 24]:
            raise Wrong(f"evaluation_{name}_vs_iterations has other steps")
    exchange.expect("learning rates", [[0.01] * 3], [list(points(train, "epoch_learning_rate").values())])
    for tag in ("epoch_steps_per_second", "batch_steps_per_second"):
        if not all(value > 0 for value in points(train, tag).values()):
            raise Wrong(f"{tag} is not above 0")

    if len(weights) != 8:
        raise Wrong(f"there are {len(weights)} weights")
    for name, values in weights.items():
        tag = name + "/histogram"
        if train.SummaryMetadata(tag).plugin_data.plugin_name != "histograms":
            raise Wrong(f"{tag} is no histogram")
        events = train.Tensors(tag)
        if [event.step for event in events] != [0, 1, 2]:
            raise Wrong(f"{tag} has steps {[event.step for event in events]}")
        left, right, count = tensor_util.make_ndarray(events[-1].tensor_proto).T
        if values.max() > values.min():
            inner = right[right > left]
            expected = np.histogram(values, np.concatenate([[values.min()], inner]))[0]
            # What lies on a limit may be counted on either side of it.
            if abs(expected - count[right > left]).sum() > 2:
                raise Wrong(f"{tag} counts {count}, not {expected}")
            exchange.expect(tag, [[values.min(), values.max()]], [[left.min(), right.max()]])
        if count.sum() != len(values):
            raise Wrong(f"{tag} counts {count.sum()} numbers, not {len(values)}")

    tags = train.PluginTagToContent("graph_keras_model")
    (tag,) = tags
    (event,) = train.Tensors(tag)
    (text,) = event.tensor_proto.string_val
    if text.decode() != (folder / "model.json").read_text():
        raise Wrong("the graph is another model")
    nodes = [node.name for node in keras_util.keras_model_to_graph_def(json.loads(text)).node]
    if not {"sequential/dense", "sequential/batch_normalization", "sequential/dense_1"} <= set(nodes):
        raise Wrong(f"TensorBoard draws {nodes}")


# Optimizers that keep their state in different orders.
COMMON = ("momentum", "rmsprop", "adam", "amsgrad", "nadam", "adafactor", "ema", "accumulation", "cosine")

CHECKS = {f"model {name}": (lambda exchange, name=name: check_model(exchange, name)) for name in models.MODELS}
CHECKS |= {f"training {name}": (lambda exchange, name=name: check_training(exchange, name)) for name in optimizers()}
CHECKS |= {"files of Keras 1 and 2": check_keras1, "files of Keras 2.13 to 2.15": check_old_files, "exit codes": check_exit_codes}
CHECKS |= {"losses and metrics": check_losses, "losses by output": check_outputs}
CHECKS |= {"TensorBoard": check_events}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program", type=Path)
    parser.add_argument("trainer", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--all", action="store_true", help="every optimizer, and conversions from .h5 too")
    given = parser.parse_args()
    failed = []
    for name, check in CHECKS.items():
        if given.names and not any(wanted in name for wanted in given.names):
            continue
        if not given.all and not given.names and name.startswith("training ") and name.split()[1] not in COMMON:
            continue
        exchange = Exchange(given.program.resolve(), given.trainer.resolve(), given.folder, given.all)
        start = time.monotonic()
        try:
            check(exchange)
            print(f"ok    {name}: largest difference {exchange.worst:.2g} ({time.monotonic() - start:.1f} s)", flush=True)
        except Skipped as reason:
            print(f"SKIPPED {name}: {reason}", flush=True)
        except Wrong as error:
            failed.append(name)
            print(f"WRONG {name}: {error}", flush=True)
        except Exception:
            failed.append(name)
            print(f"WRONG {name}: {traceback.format_exc()}", flush=True)
    print(f"Keras {keras.__version__}: {len(failed)} checks are wrong" + "".join(f"\n  {name}" for name in failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
