// libtorch, beside Weft: the C++ interface of Debian's PyTorch, with the command line and the JSON
// lines of the other peers (peer.py). bench/compare.sh builds it; the project's build does not.
#include <sys/resource.h>
#include <torch/torch.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <functional>
#include <limits>
#include <string>
#include <vector>

namespace {

struct Options {
  std::string task, model = "tutorial", variant = "nchw", data = ".cache/mnist";
  int batch = 64, threads = 0, steps = 0, repetitions = 7, epochs = 0;
};

double now() {
  const auto time = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double>(time).count();
}

/// Runs until it gets no faster, for at most a few seconds; returns the seconds of one call.
double warm(const std::function<void()>& work) {
  work();
  double before = std::numeric_limits<double>::infinity();
  for (const double end = now() + 3; now() < end;) {
    const double start = now();
    int calls = 0;
    for (; now() < start + 0.1; ++calls) work();
    const double seconds = (now() - start) / calls;
    if (seconds > 0.97 * before) return std::min(seconds, before);
    before = seconds;
  }
  return before;
}

std::vector<double> measure(const Options& o, const std::function<void()>& work) {
  const double expected = warm(work);
  const int calls = o.steps > 0 ? o.steps : static_cast<int>(std::ceil(0.25 / expected));
  std::vector<double> seconds;
  for (int i = 0; i < o.repetitions; ++i) {
    const double start = now();
    for (int k = 0; k < calls; ++k) work();
    seconds.push_back((now() - start) / calls);
  }
  return seconds;
}

void report(const Options& o, std::vector<double> seconds, std::int64_t parameters,
            std::int64_t images, double val_accuracy) {
  std::sort(seconds.begin(), seconds.end());
  const double median = seconds[seconds.size() / 2];
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  std::printf(
      "{\"library\":\"libtorch\",\"variant\":\"%s\",\"model\":\"%s\",\"task\":\"%s\",\"batch\":%d,"
      "\"threads\":%d,\"parameters\":%ld,\"seconds_per_%s\":%.9g,\"fastest\":%.9g,"
      "\"slowest\":%.9g,",
      o.variant.c_str(), o.model.c_str(), o.epochs > 0 ? "epoch" : o.task.c_str(), o.batch,
      o.threads, static_cast<long>(parameters), o.epochs > 0 ? "epoch" : "step", median,
      seconds.front(), seconds.back());
  if (o.epochs > 0) std::printf("\"val_accuracy\":%.4f,", val_accuracy);
  std::printf("\"images_per_second\":%.1f,\"peak_megabytes\":%.1f}\n",
              static_cast<double>(images) / median, static_cast<double>(usage.ru_maxrss) / 1024);
}

/// The models of bench/models; they return logits.
torch::nn::Sequential network(const std::string& name) {
  namespace nn = torch::nn;
  const auto conv = [](int before, int channels) {
    return nn::Conv2d(nn::Conv2dOptions(before, channels, 3).padding(1));
  };
  const auto relu = [] { return nn::ReLU(nn::ReLUOptions(true)); };
  nn::Sequential model;
  if (name == "tutorial") {
    model->push_back(conv(1, 32));
    model->push_back(relu());
    model->push_back(nn::MaxPool2d(2));
    model->push_back(nn::Flatten());
    model->push_back(nn::Linear(32 * 14 * 14, 16));
    model->push_back(relu());
    model->push_back(nn::Linear(16, 10));
    return model;
  }
  int before = 3;
  for (const int channels : {64, 128, 256}) {
    for (int i = 0; i < 2; ++i) {
      model->push_back(conv(before, channels));
      model->push_back(relu());
      before = channels;
    }
    model->push_back(nn::MaxPool2d(2));
  }
  model->push_back(nn::Flatten());
  model->push_back(nn::Linear(256 * 4 * 4, 256));
  model->push_back(relu());
  model->push_back(nn::Linear(256, 10));
  return model;
}

at::MemoryFormat layout(const Options& o) {
  return o.variant == "channels_last" ? at::MemoryFormat::ChannelsLast
                                      : at::MemoryFormat::Contiguous;
}

/// Weights too are best in the images' layout.
void place(torch::nn::Sequential& model, const Options& o) {
  torch::NoGradGuard none;
  for (torch::Tensor& p : model->parameters()) {
    if (p.dim() == 4) p.set_data(p.contiguous(layout(o)));
  }
}

void run(const Options& o) {
  torch::manual_seed(1);
  at::set_num_threads(o.threads);
  at::set_num_interop_threads(1);
  const bool tutorial = o.model == "tutorial";
  torch::nn::Sequential model = network(o.model);
  place(model, o);
  std::int64_t parameters = 0;
  for (const torch::Tensor& p : model->parameters()) parameters += p.numel();
  torch::optim::Adam adam(model->parameters(), torch::optim::AdamOptions(1e-3));
  const auto step = [&](const torch::Tensor& images, const torch::Tensor& classes) {
    adam.zero_grad();
    torch::nn::functional::cross_entropy(model->forward(images), classes).backward();
    adam.step();
  };

  if (o.epochs > 0) {
    // The data set in memory, a batch by its indices: no loader, whose work would only cost time.
    torch::data::datasets::MNIST train(o.data),
        test(o.data, torch::data::datasets::MNIST::Mode::kTest);
    const torch::Tensor images = train.images(), classes = train.targets();
    const std::int64_t count = images.size(0);
    std::vector<double> seconds;
    for (int epoch = 0; epoch < o.epochs; ++epoch) {
      const double start = now();
      const torch::Tensor order = torch::randperm(count);
      for (std::int64_t first = 0; first < count; first += o.batch) {
        const torch::Tensor rows = order.slice(0, first, std::min(first + o.batch, count));
        step(images.index_select(0, rows), classes.index_select(0, rows));
      }
      seconds.push_back(now() - start);
    }
    torch::NoGradGuard none;
    std::vector<torch::Tensor> predicted;
    for (const torch::Tensor& part : test.images().split(256)) {
      predicted.push_back(model->forward(part).argmax(1));
    }
    const torch::Tensor right = torch::cat(predicted) == test.targets();
    report(o, seconds, parameters, count, right.to(torch::kFloat64).mean().item<double>());
    return;
  }
  const std::int64_t side = tutorial ? 28 : 32;
  const torch::Tensor x =
      torch::rand({o.batch, tutorial ? 1 : 3, side, side}).contiguous(layout(o));
  const torch::Tensor y = torch::arange(o.batch) % 10;
  if (o.task == "train") {
    report(o, measure(o, [&] { step(x, y); }), parameters, o.batch, 0);
  } else {
    const torch::InferenceMode inference;
    model->eval();
    report(o, measure(o, [&] { torch::softmax(model->forward(x), 1); }), parameters, o.batch, 0);
  }
}

}  // namespace

int main(int argc, char** argv) {
  Options o;
  CLI::App app("libtorch, beside Weft", "libtorch");
  const auto task = app.add_option("task", o.task, "about, train or infer")->required();
  task->check(CLI::IsMember({"about", "train", "infer"}));
  app.add_option("--model", o.model)->check(CLI::IsMember({"tutorial", "vgg"}));
  app.add_option("--batch", o.batch)->check(CLI::Range(1, 1 << 20));
  app.add_option("--threads", o.threads)->check(CLI::Range(1, 4096));
  app.add_option("--variant", o.variant)->check(CLI::IsMember({"nchw", "channels_last"}));
  app.add_option("--steps", o.steps);
  app.add_option("--repetitions", o.repetitions)->check(CLI::Range(1, 1000));
  app.add_option("--epochs", o.epochs);
  app.add_option("--data", o.data);
  app.add_flag("--json");
  CLI11_PARSE(app, argc, argv);
  if (o.task == "about") {
    std::printf(
        "{\"library\":\"libtorch\",\"version\":\"%s\",\"variants\":{\"train\":[\"nchw\","
        "\"channels_last\"],\"infer\":[\"nchw\",\"channels_last\"]},"
        "\"models\":[\"tutorial\",\"vgg\"]}\n",
        TORCH_VERSION);
    return 0;
  }
  if (o.threads == 0) o.threads = at::get_num_threads();
  try {
    run(o);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "libtorch: %s\n", error.what());
    return 1;
  }
}
