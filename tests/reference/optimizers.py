"""Writes figures of Keras 3's optimizers and schedules for tests/reference_optimizers.cpp.

common.py says how to run it. The samples and initial weights are those that generate.py wrote to
data/training/.

    data/optimizers/steps      [case, number]: for each row of cases() the losses of 20 batches, and
                               then the weights after them
    data/optimizers/schedules  [case, step]: for each row of schedules() the rates of 100 steps
"""

from common import DATA, write  # before keras: it chooses the back end

import keras
import numpy as np

from generate import BATCH_SIZE, flat

optimizers = keras.optimizers
decays = keras.optimizers.schedules


def excluding(optimizer, *names):
    optimizer.exclude_from_weight_decay(var_names=list(names))
    return optimizer


def cases():
    """Optimizers in the order of the test's; each gets a model of its own."""
    o = optimizers
    return [
        # What each of them does by default (but Adafactor, which turns gradients of 0 into NaN),
        o.SGD(0.1), o.RMSprop(0.01), o.Adam(0.01), o.AdamW(0.01), o.Adadelta(1.0), o.Adagrad(0.1),
        o.Adamax(0.01), o.Adafactor(0.05, epsilon_1=1e-12), o.Nadam(0.01), o.Ftrl(0.1), o.Lion(0.003),
        o.Lamb(0.01), o.Muon(0.01), o.ScheduleFreeAdamW(0.01),
        # and by its arguments.
        o.RMSprop(0.003, rho=0.8, momentum=0.7, epsilon=1e-3, centered=True),
        o.Adam(0.01, beta_1=0.8, beta_2=0.7, epsilon=1e-3, amsgrad=True),
        o.AdamW(0.02, weight_decay=0.2, beta_1=0.8, beta_2=0.95, epsilon=1e-4, amsgrad=True),
        o.Adadelta(2.0, rho=0.8, epsilon=1e-4),
        o.Adagrad(0.05, initial_accumulator_value=0.01, epsilon=1e-3),
        o.Adamax(0.02, beta_1=0.8, beta_2=0.9, epsilon=1e-3),
        o.Adafactor(0.1, beta_2_decay=-0.5, epsilon_1=1e-6, epsilon_2=0.1, clip_threshold=0.5,
                    relative_step=False),
        o.Nadam(0.01, beta_1=0.8, beta_2=0.9, epsilon=1e-3),
        o.Ftrl(0.1, learning_rate_power=-0.7, initial_accumulator_value=0.2,
               l1_regularization_strength=0.01, l2_regularization_strength=0.02,
               l2_shrinkage_regularization_strength=0.03, beta=0.5),
        o.Lion(0.003, beta_1=0.7, beta_2=0.9),
        o.Lamb(0.02, beta_1=0.8, beta_2=0.9, epsilon=1e-3),
        o.Muon(0.02, adam_beta_1=0.8, adam_beta_2=0.9, adam_weight_decay=0.1, epsilon=1e-3,
               weight_decay=0.2, exclude_layers=["classes"], muon_a=3.0, muon_b=-4.0, muon_c=2.0,
               adam_lr_ratio=0.5, momentum=0.9, ns_steps=3, nesterov=False, rms_rate=None),
        o.ScheduleFreeAdamW(0.02, beta_1=0.8, beta_2=0.9, epsilon=1e-3, warmup_steps=8),
        # What all of them can do besides.
        o.SGD(0.1, momentum=0.5, weight_decay=0.1),
        excluding(o.Adam(0.01, weight_decay=0.5), "bias"),
        excluding(o.AdamW(0.01, weight_decay=0.5), "kernel"),
        o.SGD(0.1, clipnorm=0.2),
        o.SGD(0.1, global_clipnorm=0.3),
        o.SGD(0.1, clipvalue=0.02),
        o.Adam(0.01, use_ema=True, ema_momentum=0.8),
        o.SGD(0.1, momentum=0.5, use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=3),
        o.SGD(0.1, gradient_accumulation_steps=4),
        o.Nadam(0.02, gradient_accumulation_steps=3),
        o.SGD(0.1, loss_scale_factor=1024.0),
        # Together.
        o.Adam(0.02, global_clipnorm=0.1, weight_decay=0.3, gradient_accumulation_steps=3),
        o.RMSprop(0.005, clipnorm=0.1, use_ema=True, ema_momentum=0.7, ema_overwrite_frequency=2,
                  gradient_accumulation_steps=3),
        o.AdamW(decays.CosineDecay(0.0, 12, 0.1, warmup_target=0.03, warmup_steps=5),
                clipvalue=0.01, use_ema=True),
        o.Adam(decays.ExponentialDecay(0.03, 4, 0.5, staircase=True), weight_decay=0.2,
               gradient_accumulation_steps=2),
        o.Adafactor(decays.InverseTimeDecay(0.1, 2, 0.5), epsilon_1=1e-12),
        o.Lamb(0.02, weight_decay=0.5),
    ]


def network():
    """As generate.py's, with a constraint: it comes after averages."""
    return keras.Sequential([
        keras.layers.Input((8, 8, 1)),
        keras.layers.Conv2D(4, 3, padding="same", activation="relu", name="images"),
        keras.layers.MaxPooling2D(2),
        keras.layers.Flatten(),
        keras.layers.Dense(8, activation="relu", name="hidden",
                           kernel_constraint=keras.constraints.MaxNorm(2.5)),
        keras.layers.Dense(3, activation="softmax", name="classes"),
    ])


def shaped(numbers, like):
    weights, first = [], 0
    for weight in like:
        weights.append(numbers[first : first + weight.size].reshape(weight.shape))
        first += weight.size
    return weights


def write_steps():
    x, y, initial = [np.load(DATA / f"training/{name}.npy") for name in ("x", "y", "initial")]
    rows = []
    for optimizer in cases():
        model = network()
        model.set_weights(shaped(initial, model.get_weights()))
        model.compile(optimizer=optimizer, loss="categorical_crossentropy")
        losses = []
        for first in range(0, len(x), BATCH_SIZE):
            model.reset_metrics()
            batch = slice(first, first + BATCH_SIZE)
            losses.append(model.train_on_batch(x[batch], y[batch]))
        optimizer.finalize_variable_values(model.trainable_variables)  # as fit does at its end
        print(optimizer.name, losses[0], losses[-1])
        rows.append(np.concatenate([losses, flat(model.get_weights())]))
    write("optimizers/steps", np.array(rows))


def schedules():
    return [
        decays.ExponentialDecay(0.1, 7, 0.6),
        decays.ExponentialDecay(0.1, 7, 0.6, staircase=True),
        decays.PiecewiseConstantDecay([3, 10, 50], [0.5, 0.25, 0.1, 0.01]),
        decays.PolynomialDecay(0.1, 30),
        decays.PolynomialDecay(0.1, 30, end_learning_rate=0.02, power=0.5),
        decays.PolynomialDecay(0.1, 13, end_learning_rate=0.02, power=2.0, cycle=True),
        decays.InverseTimeDecay(0.1, 5, 0.7),
        decays.InverseTimeDecay(0.1, 5, 0.7, staircase=True),
        decays.CosineDecay(0.1, 60),
        decays.CosineDecay(0.1, 60, alpha=0.2),
        decays.CosineDecay(0.02, 60, alpha=0.2, warmup_target=0.3, warmup_steps=20),
        decays.CosineDecayRestarts(0.1, 10),
        decays.CosineDecayRestarts(0.1, 10, t_mul=1.0, m_mul=0.8),
        decays.CosineDecayRestarts(0.1, 8, t_mul=1.5, m_mul=0.9, alpha=0.1),
    ]


def write_schedules():
    write("optimizers/schedules", np.array(
        [[float(schedule(step)) for step in range(100)] for schedule in schedules()]))


if __name__ == "__main__":
    write_steps()
    write_schedules()
