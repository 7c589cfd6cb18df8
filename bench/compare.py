"""Runs the measurements of bench/README.md, one library after the other, and prints their table.

bench/compare.sh installs the libraries and calls this. Each line of build/bench/results.jsonl is a
measurement as the library's program printed it, with the peer's name and the round added.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import time

import table

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "bench"
PEERS = BUILD / "peers"
SOURCES = ROOT / "bench" / "peers"
RESULTS = BUILD / "results.jsonl"
CORES = len(os.sched_getaffinity(0))
OPENBLAS = "/usr/lib/x86_64-linux-gnu/openblas-openmp"
LIMIT = 900  # seconds for one program
# Keep glibc from giving memory back between steps: PyTorch, which allocates as it goes, would spend
# up to half of a step in page faults. The same for all.
MALLOC = {"MALLOC_TRIM_THRESHOLD_": "4000000000", "MALLOC_MMAP_THRESHOLD_": "33554432",
          "MALLOC_TOP_PAD_": "268435456"}

# name: command, and what it needs in its environment.
PROGRAMS = {
    "weft": ([BUILD / "weft_bench"], {}),
    "pytorch": ([PEERS / "pytorch/bin/python", SOURCES / "pytorch.py"],
                {"TORCHINDUCTOR_CACHE_DIR": str(PEERS / "inductor")}),
    "pytorch-debian": (["/usr/bin/python3", SOURCES / "pytorch.py"], {"LD_LIBRARY_PATH": OPENBLAS}),
    "libtorch": ([PEERS / "libtorch"], {"LD_LIBRARY_PATH": OPENBLAS}),
    "tensorflow": ([PEERS / "tensorflow/bin/python", SOURCES / "keras_tf.py"], {}),
    "jax": ([PEERS / "jax/bin/python", SOURCES / "jax_bench.py"], {}),
    "onnxruntime": (["node", SOURCES / "onnxruntime.mjs"], {}),
}


def measurements(models, most):
    """(task, model, batch, threads): what is measured, in the table's order. `most` is how many
    threads there are at most; what is small is measured with one, too."""
    wanted = []
    if "tutorial" in models:
        wanted.append(("epoch", "tutorial", 64, most))
        wanted += [("train", "tutorial", batch, threads) for batch in (64, 128) for threads in (most, 1)]
        wanted += [("infer", "tutorial", batch, most) for batch in (1, 64, 256)]
        wanted.append(("infer", "tutorial", 1, 1))
    for model in models:
        if model != "tutorial":
            wanted.append(("train", model, 32, most))
            wanted += [("infer", model, batch, most) for batch in (32, 1)]
    return list(dict.fromkeys(wanted))


def environment(peer, threads):
    """That of a program: its libraries choose the best code for this processor themselves."""
    own = {name: value for name, value in os.environ.items()
           if name not in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")}
    count = str(threads)
    own.update(MALLOC, OMP_NUM_THREADS=count, OPENBLAS_NUM_THREADS=count, MKL_NUM_THREADS=count)
    own.update(PROGRAMS[peer][1])
    return own


def run(peer, arguments, threads):
    """The JSON lines that a program printed; raises RuntimeError with what it said instead."""
    command = [str(part) for part in PROGRAMS[peer][0]] + [str(part) for part in arguments]
    try:
        done = subprocess.run(command, env=environment(peer, threads), capture_output=True, text=True,
                              timeout=LIMIT, cwd=ROOT, check=False)
    except OSError as error:
        raise RuntimeError(str(error)) from None
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"took more than {LIMIT} s") from None
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or [f"ended with {done.returncode}"]
        raise RuntimeError(said[-1])
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def onnx_options(model, batch):
    """What the program of onnxruntime needs: its package, and the model in a file."""
    options = ["--modules", PEERS / "onnxruntime/node_modules"]
    if model is None:
        return options
    file = PEERS / f"{model}-{batch}.onnx"
    made = subprocess.run([PEERS / "onnx/bin/python", SOURCES / "onnx_models.py", model, str(batch), file],
                          capture_output=True, text=True, check=False)
    if made.returncode != 0:
        raise RuntimeError((made.stderr.strip().splitlines() or ["onnx_models.py failed"])[-1])
    return options + ["--onnx", file, "--parameters", made.stdout.strip()]


def about(peer):
    """Version and variants of a peer."""
    if peer == "weft":
        version = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True,
                                 text=True, check=False).stdout.strip()
        return {"version": version, "variants": {"train": [None], "infer": [None]}}
    extra = onnx_options(None, None) if peer == "onnxruntime" else []
    return run(peer, ["about", *extra], CORES)[0]


def measure(peer, variant, what, given):
    task, model, batch, threads = what
    arguments = ["train" if task == "epoch" else task, "--model", model, "--batch", batch,
                 "--threads", threads, "--json"]
    if task == "epoch":
        arguments += ["--epochs", given.epochs, "--data", BUILD / "mnist"]
    if variant:
        arguments += ["--variant", variant]
    arguments += ["--repetitions", given.repetitions]
    if peer == "onnxruntime":
        arguments += onnx_options(model, batch)
    return run(peer, arguments, threads)


def machine():
    info = pathlib.Path("/proc/cpuinfo").read_text()
    lines = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
    lines = {name.strip(): value.strip() for name, value in lines.items()}
    flags = lines.get("flags", "").split()
    best = next((name for flag, name in (("avx512f", "AVX-512"), ("avx2", "AVX2"), ("sse4_1", "SSE4.1"))
                 if flag in flags), "")
    return {"task": "machine", "processor": lines.get("model name", ""), "cores": CORES,
            "instructions": best, "date": time.strftime("%Y-%m-%d"), "load": os.getloadavg()[0]}


class Log:
    """Keeps lines in memory and in the file."""

    def __init__(self, append):
        append = append and RESULTS.exists()
        self.lines = [json.loads(line) for line in RESULTS.read_text().splitlines()] if append else []
        self.file = RESULTS.open("a" if append else "w")

    def add(self, line):
        self.lines.append(line)
        print(json.dumps(line), file=self.file, flush=True)


def variants_of(peer, facts, what, log):
    """All of them in the first round; later only those that may be the best."""
    task, model, _, _ = what
    if model not in facts.get("models", [model]):
        return []
    variants = facts["variants"]["infer" if task == "infer" else "train"]
    times = {line["variant"]: table.seconds(line) for line in log.lines
             if line.get("peer") == peer and table.key(line) == what and line.get("round") == 1
             and "failed" not in line}
    if len(variants) < 2 or not times:
        return variants
    return [variant for variant in variants if times.get(variant, 1e9) < 1.1 * min(times.values())]


def main():
    parser = argparse.ArgumentParser(prog="bench/compare.sh", description=__doc__)
    names = [peer for peer in PROGRAMS if peer != "weft"]
    parser.add_argument("--quick", action="store_true", help="one round of short repetitions")
    parser.add_argument("--models", default="tutorial,vgg,resnet18")
    parser.add_argument("--peers", default=",".join(names), help="some of %(default)s, or none")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--threads", type=int, default=CORES, help="all cores unless said otherwise")
    parser.add_argument("--only", default="", metavar="TEXT",
                        help="measure what has this in its name: 'vgg, training'")
    parser.add_argument("--append", action="store_true", help="to the results of the last run")
    parser.add_argument("--only-table", action="store_true", help="of the results of the last run")
    given = parser.parse_args()
    if given.only_table:
        print(table.markdown([json.loads(line) for line in RESULTS.read_text().splitlines()]))
        return
    given.rounds = given.rounds or (1 if given.quick else 3)
    given.repetitions = 3 if given.quick else 7
    given.epochs = 1 if given.quick else 3

    log = Log(given.append)
    log.add(machine())
    facts = {}
    for peer in ["weft"] + [name for name in given.peers.split(",") if name in names]:
        try:
            facts[peer] = about(peer)
            log.add({"task": "about", "peer": peer, "version": facts[peer]["version"],
                     "keras": facts[peer].get("keras")})
        except (RuntimeError, IndexError) as error:
            log.add({"task": "about", "peer": peer, "missing": str(error)})
            print(f"{peer} is not there: {error}", file=sys.stderr)

    wanted = [what for what in measurements(given.models.split(","), given.threads)
              if given.only in table.row_name(what)]
    begun = time.time()
    for number in range(1, given.rounds + 1):
        for threads in dict.fromkeys((given.threads, 1)):
            for line in run("weft", ["limits", "--threads", threads, "--json"], threads):
                log.add({**line, "round": number})
        for position, what in enumerate(wanted, 1):
            task, model, batch, threads = what
            print(f"round {number}/{given.rounds}, {position}/{len(wanted)}, "
                  f"{(time.time() - begun) / 60:.0f} min: {model} {task}, batch {batch}, {threads} threads",
                  file=sys.stderr)
            order = list(facts)
            order = order[number % len(order):] + order[:number % len(order)]
            for peer in order:
                for variant in variants_of(peer, facts[peer], what, log):
                    try:
                        lines = measure(peer, variant, what, given)
                    except (RuntimeError, ValueError) as error:
                        lines = [{"model": model, "task": task, "batch": batch, "threads": threads,
                                  "variant": variant, "failed": str(error)}]
                    for line in lines:
                        line.update(peer=peer, round=number)
                        log.add(line)
                        said = f"failed: {line['failed']}" if "failed" in line else table.time_of(line)
                        print(f"    {peer} ({line['variant']}): {said}", file=sys.stderr)
    print(table.markdown(log.lines))


if __name__ == "__main__":
    main()
