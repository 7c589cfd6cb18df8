"""Writes what Keras 3 says of losses and metrics to data/, for tests/reference_losses.cpp.

common.py says how to run it. Values are one array each, and a list of cases in the order below.

    data/losses_more/  predictions and targets [8,5]; of each loss the value of each sample, the
                    derivative of their sum by the prediction, and the loss of the batch by
                    reduction, without and with sample weights
    data/metrics/   predictions, targets and sample weights, and what each metric says after three
                    batches of 7, 5 and 1 samples, without weights and with them
    data/weights/   samples, sample weights and initial weights of dense layers; the logs of fits
                    with sample weights and with class weights, of a model of two outputs, and of
                    batches by themselves
"""

from common import normal, write  # before keras: it chooses the back end

import jax
import jax.numpy as jnp
import keras
import numpy as np

SAMPLES, CLASSES = 8, 5
REDUCTIONS = ["sum_over_batch_size", "sum", "mean_with_sample_weight"]


def loss_inputs():
    rng = np.random.default_rng(10)
    shape = (SAMPLES, CLASSES)
    probabilities = rng.uniform(0.02, 0.98, shape).astype(np.float32)
    # Where they are clipped, and both ends themselves.
    probabilities[0, 1] = probabilities[1, 2] = 0
    probabilities[0, 0] = probabilities[2, 3] = 1
    labels = np.array([1, 2, 0, 4, 3, 0, 2, 1])
    numbers = 2 * normal(rng, *shape)
    inputs = {
        "probabilities": probabilities,
        "logits": 3 * normal(rng, *shape),
        "labels": labels,
        "one_hot": np.eye(CLASSES)[labels].astype(np.float32),
        "binary": rng.integers(0, 2, shape).astype(np.float32),
        "signs": np.sign(normal(rng, *shape)).astype(np.float32),
        "numbers": numbers,
        "counts": rng.poisson(2, shape).astype(np.float32),
        "distribution": rng.dirichlet(np.ones(CLASSES), SAMPLES).astype(np.float32),
        "weights": np.array([1, 0.5, 2, 0, 1.5, 1, 0.25, 3], np.float32),
    }
    inputs["distribution"][3] = [0, 0, 1, 0, 0]
    inputs["soft"] = rng.dirichlet(np.ones(CLASSES), SAMPLES).astype(np.float32)
    return inputs


def loss_cases():
    losses = keras.losses
    return [
        # loss, arguments, target, prediction
        (losses.CategoricalCrossentropy, {}, "one_hot", "probabilities"),
        (losses.CategoricalCrossentropy, {"from_logits": True, "label_smoothing": 0.2}, "one_hot",
         "logits"),
        (losses.SparseCategoricalCrossentropy, {}, "labels", "probabilities"),
        (losses.SparseCategoricalCrossentropy, {"from_logits": True, "ignore_class": 2}, "labels",
         "logits"),
        (losses.SparseCategoricalCrossentropy, {"ignore_class": 0}, "labels", "probabilities"),
        (losses.BinaryCrossentropy, {}, "binary", "probabilities"),
        (losses.BinaryCrossentropy, {"from_logits": True, "label_smoothing": 0.3}, "binary",
         "logits"),
        (losses.BinaryFocalCrossentropy, {}, "binary", "probabilities"),
        (losses.BinaryFocalCrossentropy,
         {"apply_class_balancing": True, "alpha": 0.3, "gamma": 1.5, "from_logits": True,
          "label_smoothing": 0.1}, "binary", "logits"),
        (losses.CategoricalFocalCrossentropy, {}, "one_hot", "probabilities"),
        (losses.CategoricalFocalCrossentropy,
         {"alpha": [0.1, 0.2, 0.3, 0.4, 0.5], "gamma": 3.0, "from_logits": True,
          "label_smoothing": 0.1}, "one_hot", "logits"),
        (losses.CategoricalGeneralizedCrossEntropy, {"q": 0.7}, "labels", "soft"),
        (losses.KLDivergence, {}, "distribution", "probabilities"),
        (losses.Poisson, {}, "counts", "probabilities"),
        (losses.MeanSquaredError, {}, "numbers", "logits"),
        (losses.MeanAbsoluteError, {}, "numbers", "logits"),
        (losses.MeanAbsolutePercentageError, {}, "counts", "logits"),
        (losses.MeanSquaredLogarithmicError, {}, "counts", "logits"),
        (losses.Huber, {}, "numbers", "logits"),
        (losses.Huber, {"delta": 2.5}, "numbers", "logits"),
        (losses.LogCosh, {}, "numbers", "logits"),
        (losses.CosineSimilarity, {}, "numbers", "logits"),
        (losses.Hinge, {}, "signs", "logits"),
        (losses.Hinge, {}, "binary", "logits"),
        (losses.SquaredHinge, {}, "signs", "logits"),
        (losses.SquaredHinge, {}, "binary", "logits"),
        (losses.CategoricalHinge, {}, "one_hot", "logits"),
        (losses.Dice, {"axis": -1}, "binary", "probabilities"),
        (losses.Tversky, {"axis": -1, "alpha": 0.3, "beta": 0.8}, "binary", "probabilities"),
    ]


def circle_values(labels, rows, gamma=80.0, margin=0.4, remove_diagonal=True):
    """The sum of Keras' losses in double precision, which its JAX back end does not have."""
    distance = np.maximum(1 - rows @ rows.T, 0)
    alike = labels[:, None] == labels[None, :]
    others = alike & ~np.eye(len(labels), dtype=bool) if remove_diagonal else alike
    pull = np.where(others, np.exp(gamma * (margin + distance) * (distance - margin)), 0)
    push = np.where(alike, 0, np.exp(gamma * np.maximum(1 + margin - distance, 0)
                                     * (1 - margin - distance)))
    return np.log1p(pull.sum(1) * push.sum(1)).sum()


def circle_slopes(labels, rows, **arguments):
    slopes, step = np.zeros_like(rows), 1e-6
    for at in np.ndindex(*rows.shape):
        shift = np.zeros_like(rows)
        shift[at] = step
        slopes[at] = (circle_values(labels, rows + shift, **arguments)
                      - circle_values(labels, rows - shift, **arguments)) / (2 * step)
    return slopes


def write_losses():
    inputs = loss_inputs()
    for name, array in inputs.items():
        write(f"losses_more/{name}", array)
    values, slopes, reduced = [], [], []
    for make, arguments, target, prediction in loss_cases():
        t, p = inputs[target], inputs[prediction]
        none = make(reduction="none", **arguments)
        values.append(none(t, p))
        slopes.append(jax.grad(lambda x: jnp.sum(none(t, x)))(jnp.asarray(p)))
        reduced.append([
            make(reduction=reduction, **arguments)(t, p, sample_weight=weights)
            for reduction in REDUCTIONS for weights in (None, inputs["weights"])
        ])
    write("losses_more/values", values)
    write("losses_more/slopes", slopes)
    write("losses_more/reduced", reduced)
    # Over all samples together: one number, and what it is by each element.
    t, p = inputs["binary"], inputs["probabilities"]
    whole = [keras.losses.Dice(), keras.losses.Tversky(alpha=0.3, beta=0.8),
             keras.losses.Dice(axis=(0,))]
    write("losses_more/whole_values", [whole[0](t, p), whole[1](t, p), whole[2](t, p)])
    write("losses_more/whole_slopes", [jax.grad(lambda x: loss(t, x))(jnp.asarray(p))
                                       for loss in whole])
    # Samples beside one another.
    rng = np.random.default_rng(14)
    rows = normal(rng, SAMPLES, CLASSES)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    circle_labels = np.array([0, 1, 0, 2, 1, 0, 3, 1])
    write("losses_more/circle_rows", rows)
    write("losses_more/circle_labels", circle_labels)
    circles = [{}, {"gamma": 3.0, "margin": 0.2, "remove_diagonal": False}]
    make = keras.losses.Circle
    write("losses_more/circle_values",
          [make(reduction=None, **each)(circle_labels, rows) for each in circles])
    write("losses_more/circle_reduced", [make(**each)(circle_labels, rows) for each in circles])
    # Keras' own derivative is NaN where a class has one sample; by differences, in double.
    write("losses_more/circle_slopes", [circle_slopes(circle_labels, rows.astype(np.float64), **each)
                                        for each in circles])
    # Along another axis: [4,3,5] with classes in the middle.
    rng = np.random.default_rng(11)
    logits = 2 * normal(rng, 4, 3, 5)
    one_hot = np.eye(3)[rng.integers(0, 3, (4, 5))].transpose(0, 2, 1).astype(np.float32)
    write("losses_more/axis_logits", logits)
    write("losses_more/axis_one_hot", one_hot)
    losses = keras.losses
    along = [losses.CategoricalCrossentropy(from_logits=True, axis=1, reduction="none"),
             losses.CategoricalFocalCrossentropy(from_logits=True, axis=1, reduction="none"),
             losses.BinaryCrossentropy(from_logits=True, axis=1, reduction="none"),
             losses.BinaryFocalCrossentropy(from_logits=True, axis=1, reduction="none"),
             losses.CosineSimilarity(axis=1, reduction="none")]
    write("losses_more/axis_values", [loss(one_hot, logits) for loss in along])


BATCHES = [7, 5, 1]


def metric_inputs():
    rng = np.random.default_rng(12)
    n, k = sum(BATCHES), 4
    labels = rng.integers(0, k, n)
    scores = rng.uniform(0, 1, (n, k)).astype(np.float32)
    scores[np.arange(n), labels] += 0.3 * rng.uniform(0, 1, n).astype(np.float32)
    scores = np.clip(scores, 0, 1)
    scores[2, 1] = scores[2, 3] = scores[2].max()  # two that are largest
    binary = (rng.uniform(0, 1, (n, k)) < 0.3 + 0.4 * (scores > 0.5)).astype(np.float32)
    numbers = normal(rng, n, k)
    return {
        "scores": scores,
        "logits": 3 * normal(rng, n, k),
        "labels": labels,
        "one_hot": np.eye(k)[labels].astype(np.float32),
        "binary": binary,
        "numbers": numbers,
        "near": numbers + 0.5 * normal(rng, n, k),
        "guesses": np.where(rng.uniform(0, 1, n) < 0.6, labels, rng.integers(0, k, n)),
        "column": scores[:, :1],
        "truth": binary[:, :1],
        "weights": rng.choice([0, 0.5, 1, 2, 3.5], n).astype(np.float32),
    }


def metric_cases():
    m = keras.metrics
    whole = {"dtype": "float32"}  # or weights would be rounded down
    return [
        # metric, arguments, target, prediction
        (m.BinaryAccuracy, {}, "binary", "scores"),
        (m.BinaryAccuracy, {"threshold": 0.7}, "binary", "scores"),
        (m.CategoricalAccuracy, {}, "one_hot", "scores"),
        (m.SparseCategoricalAccuracy, {}, "labels", "scores"),
        (m.TopKCategoricalAccuracy, {"k": 2}, "one_hot", "scores"),
        (m.SparseTopKCategoricalAccuracy, {"k": 2}, "labels", "scores"),
        (m.TruePositives, {}, "binary", "scores"),
        (m.TrueNegatives, {"thresholds": [0.7, 0.2]}, "binary", "scores"),
        (m.FalsePositives, {"thresholds": [0, 0.5, 1]}, "binary", "scores"),
        (m.FalseNegatives, {}, "binary", "scores"),
        (m.Precision, {}, "binary", "scores"),
        (m.Precision, {"thresholds": [0.8, 0.3, 0.6]}, "binary", "scores"),
        (m.Precision, {"top_k": 2}, "binary", "scores"),
        (m.Precision, {"top_k": 1, "class_id": 1, "thresholds": [0.4]}, "binary", "scores"),
        (m.Recall, {}, "binary", "scores"),
        (m.Recall, {"class_id": 2}, "binary", "scores"),
        (m.Recall, {"top_k": 3}, "one_hot", "scores"),
        (m.SensitivityAtSpecificity, {"specificity": 0.6}, "binary", "scores"),
        (m.SpecificityAtSensitivity, {"sensitivity": 0.7, "num_thresholds": 50}, "binary",
         "scores"),
        (m.PrecisionAtRecall, {"recall": 0.5, "class_id": 3}, "binary", "scores"),
        (m.RecallAtPrecision, {"precision": 0.6, "num_thresholds": 1}, "binary", "scores"),
        (m.AUC, {}, "binary", "scores"),
        (m.AUC, {"curve": "PR"}, "binary", "scores"),
        (m.AUC, {"curve": "PRGAIN", "num_thresholds": 30}, "binary", "scores"),
        (m.AUC, {"curve": "PR", "summation_method": "minoring"}, "binary", "scores"),
        (m.AUC, {"summation_method": "majoring", "thresholds": [0.3, 0.9, 0.5]}, "binary",
         "scores"),
        (m.AUC, {"from_logits": True}, "binary", "logits"),
        (m.AUC, {"multi_label": True}, "binary", "scores"),
        (m.AUC, {"multi_label": True, "curve": "PR", "label_weights": [1.0, 2.0, 0.5, 1.0]},
         "binary", "scores"),
        (m.AUC, {"label_weights": [1.0, 2.0, 0.5, 1.0]}, "binary", "scores"),
        (m.AUC, {}, "truth", "column"),
        (m.F1Score, {}, "one_hot", "scores"),
        (m.F1Score, {"average": "macro", "threshold": 0.4}, "binary", "scores"),
        (m.FBetaScore, {"beta": 2.0, "average": "micro"}, "one_hot", "scores"),
        (m.FBetaScore, {"beta": 0.5, "average": "weighted", "threshold": 0.6}, "binary", "scores"),
        (m.MeanIoU, {"num_classes": 4, "sparse_y_pred": False, **whole}, "labels", "scores"),
        (m.MeanIoU, {"num_classes": 4, "ignore_class": 1, **whole}, "labels", "guesses"),
        (m.IoU, {"num_classes": 4, "target_class_ids": [0, 3], **whole}, "labels", "guesses"),
        (m.BinaryIoU, {"threshold": 0.6, **whole}, "truth", "column"),
        (m.OneHotIoU, {"num_classes": 4, "target_class_ids": [2], **whole}, "one_hot", "scores"),
        (m.OneHotMeanIoU, {"num_classes": 4, **whole}, "one_hot", "scores"),
        (m.MeanSquaredError, {}, "numbers", "near"),
        (m.RootMeanSquaredError, {}, "numbers", "near"),
        (m.MeanAbsoluteError, {}, "numbers", "near"),
        (m.MeanAbsolutePercentageError, {}, "numbers", "near"),
        (m.MeanSquaredLogarithmicError, {}, "binary", "scores"),
        (m.LogCoshError, {}, "numbers", "near"),
        (m.CosineSimilarity, {}, "numbers", "near"),
        (m.PearsonCorrelation, {}, "numbers", "near"),
        (m.ConcordanceCorrelation, {}, "numbers", "near"),
        (m.KLDivergence, {}, "one_hot", "scores"),
        (m.Poisson, {}, "binary", "scores"),
        (m.BinaryCrossentropy, {}, "binary", "scores"),
        (m.CategoricalCrossentropy, {"from_logits": True}, "one_hot", "logits"),
        (m.SparseCategoricalCrossentropy, {"ignore_class": 1}, "labels", "scores"),
        (m.Hinge, {}, "binary", "logits"),
        (m.SquaredHinge, {}, "binary", "logits"),
        (m.CategoricalHinge, {}, "one_hot", "scores"),
        (m.R2Score, {}, "numbers", "near"),
        (m.R2Score, {"class_aggregation": None}, "numbers", "near"),
        (m.R2Score, {"class_aggregation": "variance_weighted_average", "num_regressors": 3},
         "numbers", "near"),
    ]


def write_metrics():
    inputs = metric_inputs()
    for name, array in inputs.items():
        write(f"metrics/{name}", array)
    results = []
    for make, arguments, target, prediction in metric_cases():
        for weighted in (False, True):
            metric = make(**arguments)
            first = 0
            for count in BATCHES:
                rows = slice(first, first + count)
                weights = inputs["weights"][rows] if weighted else None
                metric.update_state(inputs[target][rows], inputs[prediction][rows], weights)
                first += count
            result = np.ravel(np.asarray(metric.result(), np.float32))
            results.append(np.pad(result, (0, 4 - len(result)), constant_values=-100))
    write("metrics/results", np.array(results).reshape(-1, 2, 4))


def flat(weights):
    return np.concatenate([w.ravel() for w in weights])


def rows_of(history, names):
    return np.array([history.history[name] for name in names]).T


def write_weights():
    rng = np.random.default_rng(13)
    n = 13
    x, classes = normal(rng, n, 4), rng.integers(0, 3, n)
    numbers = normal(rng, n, 2)
    first = rng.choice([0, 0.5, 1, 2, 3.5], n).astype(np.float32)
    second = rng.uniform(0, 2, n).astype(np.float32)
    initial = [0.3 * normal(rng, 4, 3), 0.3 * normal(rng, 3), 0.3 * normal(rng, 4, 2),
               0.3 * normal(rng, 2)]
    for name, array in {"x": x, "classes": classes, "numbers": numbers, "first": first,
                        "second": second, "initial": flat(initial)}.items():
        write(f"weights/{name}", array)

    def one():
        model = keras.Sequential([keras.layers.Input((4,)),
                                  keras.layers.Dense(3, activation="softmax")])
        model.compile(optimizer=keras.optimizers.SGD(0.1), loss="sparse_categorical_crossentropy",
                      metrics=["accuracy"], weighted_metrics=["accuracy"])
        model.set_weights(initial[:2])
        return model

    names = ["loss", "accuracy", "weighted_accuracy"]
    names += ["val_" + name for name in names]
    model = one()
    history = model.fit(x[:9], classes[:9], sample_weight=first[:9], batch_size=4, epochs=2,
                        shuffle=False, verbose=0,
                        validation_data=(x[9:], classes[9:], first[9:]), validation_batch_size=4)
    write("weights/sample_logs", rows_of(history, names))
    write("weights/sample_weights", flat(model.get_weights()))
    model = one()
    history = model.fit(x, classes, class_weight={0: 0.5, 2: 3.0}, batch_size=4, epochs=2,
                        shuffle=False, verbose=0, validation_data=(x, classes),
                        validation_batch_size=4)
    write("weights/class_logs", rows_of(history, names))
    write("weights/class_weights", flat(model.get_weights()))
    model = one()
    logs = [model.train_on_batch(x[:8], classes[:8], sample_weight=first[:8], return_dict=True),
            model.test_on_batch(x, classes, return_dict=True),
            model.train_on_batch(x[5:], classes[5:], class_weight={1: 2.0}, return_dict=True)]
    write("weights/batch_logs", [[log[name] for name in names[:3]] for log in logs])
    write("weights/batch_prediction", model.predict_on_batch(x))

    inputs = keras.layers.Input((4,))
    model = keras.Model(inputs, [keras.layers.Dense(3, activation="softmax", name="kind")(inputs),
                                 keras.layers.Dense(2, name="size")(inputs)])
    model.compile(optimizer=keras.optimizers.SGD(0.1),
                  loss=["sparse_categorical_crossentropy", "mse"], loss_weights=[1, 0.5],
                  metrics=[["accuracy"], ["mae"]], weighted_metrics=[["accuracy"], ["mae"]])
    names = ["loss", "kind_loss", "size_loss", "kind_accuracy", "size_mae",
             "kind_weighted_accuracy", "size_weighted_mae"]
    logs = []
    for weights in ([first, second], first):
        model.set_weights(initial)
        history = model.fit(x, [classes, numbers], sample_weight=weights, batch_size=4, epochs=2,
                            shuffle=False, verbose=0)
        logs.append(rows_of(history, names))
    write("weights/two_logs", logs)


if __name__ == "__main__":
    write_losses()
    write_metrics()
    write_weights()
