"""Loads what Weft wrote in Keras 2.15, compares predictions, and brings Keras 2.15's own files back.

    keras2.py PROGRAM FOLDER

FOLDER is what check.py left: folders of w_*.h5 and w_*.json with inputs x*.npy and Weft's outputs y*.npy. Files that
hold what Keras 2 does not have are named and counted. The exit code is 1 where predictions differ.
"""

import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras
import numpy as np

logging.disable(logging.WARNING)
TOLERANCE = 1e-5


def as_list(value):
    return [np.asarray(one) for one in (value if isinstance(value, (list, tuple)) else [value])]


def difference(expected, got):
    assert [a.shape for a in expected] == [b.shape for b in got], "other shapes"
    return max(float(np.max(abs(a - b) / np.maximum(1, abs(a)))) for a, b in zip(expected, got))


def main(program, folder):
    wrong = refused = same = 0
    worst = 0.0
    for file in sorted(Path(folder).glob("*/w_*.h5")):
        if file.name.endswith("weights.h5"):
            continue
        name = f"{file.parent.name}/{file.name}"
        x = [np.load(one) for one in sorted(file.parent.glob("x*.npy"))]
        outputs = sorted(file.parent.glob("y*.npy"), key=lambda one: int(one.stem[1:]))
        try:
            model = keras.models.load_model(file, compile=False)
        except Exception as error:
            refused += 1
            print(f"{name}: not read by Keras {keras.__version__}: {str(error).splitlines()[0][:110]}")
            continue
        with tempfile.TemporaryDirectory() as there:
            there = Path(there)
            def weft(*model_file):
                command = [program, "predict", *model_file]
                for i, array in enumerate(x):
                    np.save(there / f"x{i}.npy", array)
                    command += ["--input", there / f"x{i}.npy"]
                for i in range(len(outputs)):
                    command += ["--output", there / f"y{i}.npy"]
                subprocess.run([str(part) for part in command], check=True)
                return [np.load(there / f"y{i}.npy") for i in range(len(outputs))]

            def keras_2(model):
                return as_list(model.predict_on_batch(x if len(x) > 1 else x[0]))

            expected = keras_2(model)
            ways = {}
            try:
                ways["w.h5"] = difference(expected, weft(file))
                if file.with_suffix(".json").exists():
                    described = keras.models.model_from_json(file.with_suffix(".json").read_text())
                    described.load_weights(file)
                    ways["w.json"] = difference(expected, keras_2(described))
                    described.load_weights(file.with_suffix(".weights.h5"))
                    ways["w.weights.h5"] = difference(expected, keras_2(described))
                for ending in ("h5", "keras"):
                    model.save(there / f"back.{ending}")
                    ways[ending] = difference(expected, weft(there / f"back.{ending}"))
                (there / "back.json").write_text(model.to_json())
                for weights in ("back.weights.h5", "back_weights.h5"):
                    model.save_weights(there / weights)
                    ways[weights] = difference(expected, weft(there / "back.json", "--weights", there / weights))
            except Exception as error:
                wrong += 1
                print(f"{name}: after {list(ways)}: {error}")
                continue
        worst = max(worst, *ways.values())
        if max(ways.values()) > TOLERANCE:
            wrong += 1
            print(f"{name}: predictions differ by {ways}")
        else:
            same += 1
    print(f"Keras {keras.__version__}: {same} files with equal predictions both ways (to {worst:.1g}), "
          f"{refused} not read, {wrong} wrong")
    return wrong > 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
