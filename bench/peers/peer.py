"""What the Python peers share: their command line, data, clock and JSON lines.

    PEER about                              library, version, variants of each task, as JSON
    PEER train|infer --model M --batch N --threads T [--variant V] [--steps N] [--repetitions N]
    PEER train --model tutorial --epochs N --data FOLDER ...

A peer prints one JSON line a measurement, with the names that weft_bench --json uses. Models and the
way of measuring are weft_bench's too: run until it gets no faster, then medians over repetitions.
"""

import argparse
import gzip
import json
import math
import os
import pathlib
import resource
import sys
import time

# Height, width, channels of an image.
SIZES = {"tutorial": (28, 28, 1), "vgg": (32, 32, 3), "resnet18": (32, 32, 3)}


def options(description):
    """The command line. Threads are set before a peer's library is imported, for those that look at
    the cores they may use and the environment."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("task", choices=["about", "train", "infer"])
    parser.add_argument("--model", choices=list(SIZES), default="tutorial")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--variant", help="one of those that `about` lists")
    parser.add_argument("--steps", type=int, default=0, help="a repetition; 0: a quarter of a second's")
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--epochs", type=int, default=0, help="train that long on MNIST")
    parser.add_argument("--data", default=".cache/mnist", help="folder of MNIST's files")
    parser.add_argument("--json", action="store_true", help="is how results are printed anyway")
    given = parser.parse_args()
    if given.epochs and given.model != "tutorial":
        parser.error("--epochs: images of MNIST fit --model tutorial only")
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(given.threads)
    return given


def about(library, version, train, infer, **more):
    print(json.dumps({"library": library, "version": version, "variants": {"train": train, "infer": infer},
                      **more}))


def warm(work):
    """Runs until it gets no faster, for at most a few seconds; returns the seconds of one call."""
    work()
    before, end = math.inf, time.perf_counter() + 3
    while time.perf_counter() < end:
        start, calls, took = time.perf_counter(), 0, 0.0
        while took < 0.1:
            work()
            calls += 1
            took = time.perf_counter() - start
        if took / calls > 0.97 * before:
            return min(before, took / calls)
        before = took / calls
    return before


def measure(given, work, finish=lambda: None):
    """Seconds of one call of `work`, of each repetition; `finish` waits for what still runs."""
    expected = warm(lambda: (work(), finish()))
    calls = given.steps or math.ceil(0.25 / expected)
    seconds = []
    for _ in range(given.repetitions):
        start = time.perf_counter()
        for _ in range(calls):
            work()
        finish()
        seconds.append((time.perf_counter() - start) / calls)
    return seconds


def report(given, library, variant, seconds, parameters, images=None, val_accuracy=None):
    """Prints a measurement: of steps, or, if val_accuracy is there, of epochs."""
    seconds = sorted(seconds)
    median = seconds[len(seconds) // 2]
    line = {"library": library, "variant": variant, "model": given.model,
            "task": "epoch" if given.epochs else given.task, "batch": given.batch,
            "threads": given.threads, "parameters": int(parameters),
            "seconds_per_epoch" if given.epochs else "seconds_per_step": round(median, 9),
            "fastest": round(seconds[0], 9), "slowest": round(seconds[-1], 9)}
    if val_accuracy is not None:
        line["val_accuracy"] = round(float(val_accuracy), 4)
    line["images_per_second"] = round((images or given.batch) / median, 1)
    line["peak_megabytes"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
    print(json.dumps(line), flush=True)


def mnist(folder):
    """Images as f32 in 0..1 and labels as integers: (train_x, train_y, test_x, test_y)."""
    import numpy

    def idx(name):
        for file in sorted(pathlib.Path(folder).glob(name.replace("-idx", "?idx") + "*")):
            data = file.read_bytes()
            if data[:2] == b"\x1f\x8b":
                data = gzip.decompress(data)
            sizes = [int.from_bytes(data[4 + 4 * i:8 + 4 * i], "big") for i in range(data[3])]
            return numpy.frombuffer(data, numpy.uint8, offset=4 + 4 * data[3]).reshape(sizes)
        sys.exit(f"{folder} has no {name}")

    images = [idx(f"{part}-images-idx3-ubyte").astype(numpy.float32) / 255 for part in ("train", "t10k")]
    labels = [idx(f"{part}-labels-idx1-ubyte").astype(numpy.int64) for part in ("train", "t10k")]
    return images[0], labels[0], images[1], labels[1]


def batches(count, size, seed):
    """The indices of each batch of a shuffled epoch; the last may be smaller."""
    import numpy

    order = numpy.random.default_rng(seed).permutation(count)
    return [order[first:first + size] for first in range(0, count, size)]
