"""Makes the table of bench/compare.sh from lines of results: medians over rounds, each peer by the
best of its variants."""

import statistics

NAMES = {"weft": "Weft", "pytorch": "PyTorch", "pytorch-debian": "PyTorch (Debian)", "libtorch": "libtorch (Debian)",
         "tensorflow": "TensorFlow", "jax": "JAX", "onnxruntime": "onnxruntime"}
MISSING = "–"


def key(line):
    return line["task"], line.get("model"), line.get("batch"), line.get("threads")


def seconds(line):
    return line.get("seconds_per_epoch", line.get("seconds_per_step"))


def shown(time):
    """Milliseconds with three digits."""
    ms = time * 1e3
    return f"{ms:.0f}" if ms >= 100 else f"{ms:.1f}" if ms >= 10 else f"{ms:.2f}" if ms >= 1 else f"{ms:.3f}"


def time_of(line):
    text = f"{shown(seconds(line))} ms"
    if "val_accuracy" in line:
        text += f", accuracy {line['val_accuracy']:.4f}"
    return text


def products(model):
    """Multiplications of an image's forward pass, layer by layer: convolutions and dense layers."""
    if model == "tutorial":
        return [28 * 28 * 9 * 32, 14 * 14 * 32 * 16, 16 * 10]
    layers, before, side = [], 3, 32

    def conv(channels, size=3, to=None, inputs=None):
        layers.append((to or side) ** 2 * size * size * (inputs or before) * channels)

    if model == "vgg":
        for channels in (64, 128, 256):
            for _ in range(2):
                conv(channels)
                before = channels
            side //= 2
        return layers + [side * side * before * 256, 256 * 10]
    conv(64)
    before = 64
    for channels, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        side //= stride
        conv(channels)
        conv(channels, inputs=channels)
        if before != channels:
            conv(channels, size=1)
        before = channels
        conv(channels)
        conv(channels)
    return layers + [512 * 10]


def operations(task, model, batch):
    """Floating-point operations: backward does each product twice, but for the images' gradient."""
    layers = products(model)
    count = sum(layers) if task == "infer" else 3 * sum(layers) - layers[0]
    return 2 * count * (60000 if task == "epoch" else batch)


class Results:
    def __init__(self, lines):
        self.machine = next(line for line in lines if line["task"] == "machine")
        self.about = {line["peer"]: line for line in lines if line["task"] == "about"}
        self.limits = [line for line in lines if line["task"] == "limits"]
        self.lines = [line for line in lines if "round" in line and line["task"] != "limits"]
        self.keys = list(dict.fromkeys(key(line) for line in self.lines))
        self.peers = [peer for peer, line in self.about.items() if "missing" not in line]

    def limit(self, name, threads):
        return statistics.median(line[name] for line in self.limits if line["threads"] == threads)

    def variants(self, peer, what):
        """Lines that did not fail, by variant."""
        by = {}
        for line in self.lines:
            if line["peer"] == peer and key(line) == what and "failed" not in line:
                by.setdefault(line["variant"], []).append(line)
        return by

    def best(self, peer, what):
        """(variant, its lines, their median time), or None. Weft's is its executable."""
        found = [(variant, lines, statistics.median(map(seconds, lines)))
                 for variant, lines in self.variants(peer, what).items()]
        if peer == "weft":
            found = [entry for entry in found if entry[0] != "predict"]
        # A variant that was left out of later rounds was slower in the first.
        most = max((len(entry[1]) for entry in found), default=0)
        return min((entry for entry in found if len(entry[1]) == most), key=lambda entry: entry[2],
                   default=None)

    def failed(self, peer, what):
        return any(line["peer"] == peer and key(line) == what for line in self.lines)


def row_name(what):
    task, model, batch, threads = what
    kind = {"epoch": "an epoch of MNIST", "train": "training step", "infer": "inference"}[task]
    return f"{model}, {kind}, batch {batch}, {threads} thread{'s' if threads > 1 else ''}"


def cell(results, peer, what):
    best = results.best(peer, what)
    if best is None:
        return "failed" if results.failed(peer, what) else MISSING
    _, lines, median = best
    times = sorted(map(seconds, lines))
    text = shown(median) + ("~" if times[-1] - times[0] > 0.1 * median else "")
    if peer == "weft":
        predict = results.variants(peer, what).get("predict")
        return text if not predict else f"{text} ({shown(statistics.median(map(seconds, predict)))})"
    ours = results.best("weft", what)
    return f"{text} ({median / ours[2]:.2f}x)" if ours else text


def rows(head, body):
    lines = [head, ["---"] + ["---:"] * (len(head) - 1)] + body
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def version(about):
    text = about["version"] or ""
    return f"{text} with Keras {about['keras']}" if about.get("keras") else text


def markdown(lines):
    results = Results(lines)
    machine = results.machine
    threads = sorted({line["threads"] for line in results.limits}, reverse=True)
    out = []
    body = []
    for what in results.keys:
        task, model, batch, count = what
        least = operations(task, model, batch) / (results.limit("gemm_gflops", count) * 1e9)
        body.append([row_name(what)] + [cell(results, peer, what) for peer in results.peers] + [shown(least)])
    out.append(rows(["milliseconds"] + [NAMES[peer] for peer in results.peers] + ["at the GEMM peak"], body))
    rounds = max((line["round"] for line in results.lines), default=0)
    ceilings = "; ".join(
        f"{count} thread{'s' if count > 1 else ''}: {results.limit('gemm_gflops', count):.0f} GFLOP/s GEMM, "
        f"{results.limit('triad_gb_s', count):.1f} GB/s triad" for count in threads)
    out.append(
        f"{machine['processor']}, {machine['cores']} cores, {machine['instructions']}, {machine['date']}. "
        f"Ceilings with {ceilings}. The last column is the time that a step's convolutions and products "
        f"would take at that GEMM rate. Medians of {rounds} round{'s' if rounds > 1 else ''}; ~: they differ "
        "by more than a tenth. (1.5x): 1.5 times as long as Weft. Weft's inference is that of the "
        "executable, as the peers' is; in brackets that of `model.predict`.")
    out.append("Versions: " + ", ".join(
        f"{NAMES[peer]} {version(results.about[peer])}" for peer in results.peers) + ".")
    missing = [f"{NAMES[peer]} ({line['missing']})" for peer, line in results.about.items() if "missing" in line]
    if missing:
        out.append("Not measured: " + ", ".join(missing) + ".")
    failures = {(line["peer"], row_name(key(line)), line["variant"], line["failed"])
                for line in results.lines if "failed" in line}
    if failures:
        out.append("Failed:\n" + "\n".join(f"- {NAMES[peer]}, {name}, {variant}: {said}"
                                           for peer, name, variant, said in sorted(failures, key=str)))
    if machine["load"] > 0.5:
        out.append(f"The machine was not quiet: a load of {machine['load']:.1f} before the first measurement.")

    body = []
    for what in results.keys:
        entries = []
        for peer in results.peers:
            best = results.best(peer, what)
            if best is None:
                entries.append(MISSING)
                continue
            text = f"{best[0]}, {statistics.median(line['peak_megabytes'] for line in best[1]):.0f} MB"
            if "val_accuracy" in best[1][0]:
                text += f", accuracy {statistics.median(line['val_accuracy'] for line in best[1]):.4f}"
            entries.append(text)
        body.append([row_name(what)] + entries)
    out.append("The variants behind these figures, and the peak memory of their processes:")
    out.append(rows(["variant"] + [NAMES[peer] for peer in results.peers], body))
    sizes = {}
    for line in results.lines:
        if line.get("parameters"):
            sizes.setdefault(line["model"], set()).add(line["parameters"])
    for model, counts in sizes.items():
        if len(counts) > 1:
            out.append(f"Beware: {model} has not the same number of parameters everywhere: {sorted(counts)}.")
    return "\n\n".join(out)
