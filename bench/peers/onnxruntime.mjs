// onnxruntime, beside Weft: inference only, by the npm package onnxruntime-node. It has the command
// line and the JSON lines of the other peers (peer.py), and needs three things more:
//   --modules FOLDER   where npm installed the package: node_modules
//   --onnx FILE        the model for this batch, as onnx_models.py writes it
//   --parameters N     the model's, for the report
// Variants: session.run, the package's interface, which waits for the event loop once a call; and
// binding, the same native call without that wait. Both write into a tensor that is there already.
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { parseArgs } from "node:util";

const fail = (message) => {
  console.error(`onnxruntime: ${message}`);
  process.exit(1);
};

const { values: given, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    model: { type: "string", default: "tutorial" },
    batch: { type: "string", default: "64" },
    threads: { type: "string", default: "1" },
    variant: { type: "string", default: "binding" },
    steps: { type: "string", default: "0" },
    repetitions: { type: "string", default: "7" },
    modules: { type: "string", default: "node_modules" },
    onnx: { type: "string" },
    parameters: { type: "string", default: "0" },
    json: { type: "boolean" },
  },
});
const task = positionals[0];
const batch = Number(given.batch);
const threads = Number(given.threads);
const require = createRequire(resolve(given.modules, "package.json"));

/** Runs until it gets no faster, for at most a few seconds; returns the seconds of one call. */
async function warm(work) {
  await work();
  const clock = () => performance.now() / 1000;
  let before = Infinity;
  for (const end = clock() + 3; clock() < end; ) {
    const start = clock();
    let calls = 0;
    for (; clock() < start + 0.1; ++calls) await work();
    const seconds = (clock() - start) / calls;
    if (seconds > 0.97 * before) return Math.min(seconds, before);
    before = seconds;
  }
  return before;
}

/** Seconds of one call, of each repetition. */
async function measure(work, synchronous) {
  const expected = await warm(work);
  const calls = Number(given.steps) || Math.ceil(0.25 / expected);
  const seconds = [];
  for (let i = 0; i < Number(given.repetitions); ++i) {
    const start = performance.now();
    if (synchronous) for (let k = 0; k < calls; ++k) work();
    else for (let k = 0; k < calls; ++k) await work();
    seconds.push((performance.now() - start) / 1000 / calls);
  }
  return seconds.sort((a, b) => a - b);
}

async function infer() {
  if (!given.onnx) fail("--onnx FILE is missing: the model, as onnx_models.py writes it");
  if (!["binding", "session.run"].includes(given.variant)) {
    fail(`--variant must be binding or session.run, not ${given.variant}`);
  }
  const settings = {
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionMode: "sequential",
    graphOptimizationLevel: "all",
    enableCpuMemArena: true,
    enableMemPattern: true,
    executionProviders: ["cpu"],
    logSeverityLevel: 3,
  };
  const ort = require("onnxruntime-node");
  const native = given.variant === "binding";
  let session;
  if (native) {
    const { binding, initOrt } = require("onnxruntime-node/dist/binding.js");
    initOrt();
    session = new binding.InferenceSession();
    session.loadModel(resolve(given.onnx), settings);
  } else {
    session = await ort.InferenceSession.create(given.onnx, settings);
  }
  const { name: input, shape } = session.inputMetadata[0];
  const output = session.outputMetadata[0].name;
  const images = new Float32Array(shape.reduce((a, b) => a * b)).fill(0.5);
  const feeds = { [input]: new ort.Tensor("float32", images, shape) };
  const fetches = { [output]: new ort.Tensor("float32", new Float32Array(batch * 10), [batch, 10]) };
  const seconds = native
    ? await measure(() => session.run(feeds, fetches, {}), true)
    : await measure(() => session.run(feeds, fetches), false);
  const total = fetches[output].data.reduce((a, b) => a + b);
  if (Math.abs(total - batch) > 1e-3 * batch) fail(`softmax sums to ${total} over ${batch} images`);
  const median = seconds[Math.floor(seconds.length / 2)];
  console.log(
    JSON.stringify({
      library: "onnxruntime",
      variant: given.variant,
      model: given.model,
      task: "infer",
      batch,
      threads,
      parameters: Number(given.parameters),
      seconds_per_step: median,
      fastest: seconds[0],
      slowest: seconds[seconds.length - 1],
      images_per_second: Number((batch / median).toFixed(1)),
      peak_megabytes: Number((process.resourceUsage().maxRSS / 1024).toFixed(1)),
    }),
  );
}

if (task === "about") {
  const version = require("onnxruntime-node/package.json").version;
  console.log(
    JSON.stringify({
      library: "onnxruntime",
      version,
      variants: { train: [], infer: ["binding", "session.run"] },
    }),
  );
} else if (task === "infer") {
  await infer();
} else {
  fail(`the task must be about or infer, not ${task}`);
}
