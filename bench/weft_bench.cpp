// Measures Weft: training steps, inference, and the machine's own limits beside them.
//
//   build/bench/weft_bench train --model tutorial --batch 64 --threads 2
//   build/bench/weft_bench train --model tutorial --epochs 3 --data .cache/mnist
//   build/bench/weft_bench infer --model vgg --batch 1
//   build/bench/weft_bench limits
//
// Times are medians over repetitions, after the work has stopped getting faster; the spread from
// the fastest to the slowest is printed with them, since machines are shared. --json prints one
// line a measurement, for programs. bench/compare.sh measures other libraries in the same way.
#include <fmt/core.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <exception>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "bench/models.hpp"
#include "io/idx.hpp"
#include "nn/nn.hpp"
#include "ops/ops.hpp"
#include "runtime/compile.hpp"
#include "runtime/threads.hpp"

using weft::DType, weft::Shape, weft::Tensor;
using weft::bench::Network, weft::bench::network;
namespace nn = weft::nn;

namespace {

struct Options {
  std::string model = "tutorial", data = ".cache/mnist";
  std::int64_t batch = 64;
  int threads = 0, steps = 0, repetitions = 7, epochs = 0;
  bool json = false;
};

double now() {
  const auto time = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double>(time).count();
}

struct Times {
  double median, fastest, slowest;  // seconds
};

Times summary(std::vector<double> seconds) {
  std::ranges::sort(seconds);
  return {seconds[seconds.size() / 2], seconds.front(), seconds.back()};
}

/// Runs for at least `least` seconds; returns those of one call.
double seconds_of_call(double least, const std::function<void()>& work) {
  const double start = now();
  double took = 0;
  int calls = 0;
  for (; took < least; ++calls, took = now() - start) work();
  return took / calls;
}

/// Runs until it gets no faster, for at most a few seconds; returns the seconds of one call.
double warm(const std::function<void()>& work) {
  work();
  double before = std::numeric_limits<double>::infinity();
  for (const double end = now() + 3; now() < end;) {
    const double seconds = seconds_of_call(0.1, work);
    if (seconds > 0.97 * before) return std::min(seconds, before);
    before = seconds;
  }
  return before;
}

/// The time of one call, from repetitions of several calls: `steps`, or a quarter of a second's.
Times measure(int repetitions, int steps, const std::function<void()>& work) {
  const double expected = warm(work);
  const int calls = steps > 0 ? steps : static_cast<int>(std::ceil(0.25 / expected));
  std::vector<double> seconds;
  for (int i = 0; i < repetitions; ++i) {
    const double start = now();
    for (int k = 0; k < calls; ++k) work();
    seconds.push_back((now() - start) / calls);
  }
  return summary(std::move(seconds));
}

/// Made images and labels.
nn::Dataset images(const Shape& size, std::int64_t count) {
  Tensor x(weft::Type{DType::f32, {count, size[0], size[1], size[2]}});
  Tensor labels(weft::Type{DType::u8, {count}});
  std::uint32_t seed = 1;
  for (float& v : x.data<float>()) {
    seed = seed * 1664525u + 1013904223u;
    v = static_cast<float>(seed >> 8) / 16777216.0f;
  }
  for (std::int64_t i = 0; i < count; ++i) {
    labels.data<std::uint8_t>()[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(i % 10);
  }
  return nn::Dataset(x, nn::to_categorical(labels, 10));
}

/// Batch after batch of a data set, as they come, into what a step reads: another every few steps,
/// so that copying takes no time worth mentioning. The numbers matter to the time: on zeros, or one
/// batch for ever, gradients vanish, and with them what an optimizer keeps.
class Batches {
 public:
  Batches(const nn::Dataset& data, weft::Executable& step)
      : x_(data.x(0).to_tensor()),
        y_(data.y(0).to_tensor()),
        to_x_(step.input("x")),
        to_y_(step.input("y")) {}

  void next() {
    constexpr std::int64_t steps_of_each = 8;
    if (steps_++ % steps_of_each != 0) return;
    const std::int64_t rows = to_x_.shape()[0];
    if ((at_ + 1) * rows > x_.shape()[0]) at_ = 0;
    for (const auto& [from, to] : {std::pair{&x_, &to_x_}, std::pair{&y_, &to_y_}}) {
      const std::size_t bytes = to->type().bytes();
      std::memcpy(to->bytes(), from->bytes() + static_cast<std::size_t>(at_) * bytes, bytes);
    }
    ++at_;
  }

 private:
  Tensor x_, y_, to_x_, to_y_;
  std::int64_t at_ = 0, steps_ = 0;
};

/// Trains for long enough that moments of weights without gradient are as small as they get.
void settle(const std::function<void()>& step) {
  const double end = now() + 3;
  for (int i = 0; i < 1500 && now() < end; ++i) step();
}

double peak_megabytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

/// One measurement. `variant` says which of several ways to do the same was measured.
struct Result {
  std::string task, variant;
  std::size_t replicas;
  Times times;                  ///< of a step, or of an epoch
  std::int64_t images;          ///< in that time
  double seconds_in_steps = 0;  ///< of an epoch
  double val_accuracy = 0;      ///< after the last epoch
  std::int64_t parameters = 0;
};

void print(const Options& o, const Result& r) {
  const Times& t = r.times;
  const bool epoch = o.epochs > 0;
  const double rate = static_cast<double>(r.images) / t.median;
  if (o.json) {
    fmt::print(
        "{{\"library\":\"weft\",\"variant\":\"{}\",\"model\":\"{}\",\"task\":\"{}\",\"batch\":{},"
        "\"threads\":{},\"replicas\":{},\"parameters\":{},\"seconds_per_{}\":{:.6g},"
        "\"fastest\":{:.6g},\"slowest\":{:.6g},",
        r.variant, o.model, r.task, o.batch, o.threads, r.replicas, r.parameters,
        epoch ? "epoch" : "step", t.median, t.fastest, t.slowest);
    if (epoch) {
      fmt::print("\"seconds_in_steps\":{:.6g},\"val_accuracy\":{:.4f},", r.seconds_in_steps,
                 r.val_accuracy);
    }
    fmt::print("\"images_per_second\":{:.1f},\"peak_megabytes\":{:.1f}}}\n", rate,
               peak_megabytes());
    return;
  }
  fmt::print("{} {}, batch {}, {} threads as {} replicas: ", o.model, r.variant, o.batch, o.threads,
             r.replicas);
  if (epoch) {
    fmt::print("{:.3f} s an epoch ({:.3f} to {:.3f}), {:.3f} s of it in steps, accuracy {:.4f}",
               t.median, t.fastest, t.slowest, r.seconds_in_steps, r.val_accuracy);
  } else {
    fmt::print("{:.3f} ms a step ({:.3f} to {:.3f})", t.median * 1e3, t.fastest * 1e3,
               t.slowest * 1e3);
  }
  fmt::print(", {:.0f} images/s, peak memory {:.0f} MB\n", rate, peak_megabytes());
}

/// Of weights that are trained.
std::int64_t count_parameters(nn::Model& model) {
  std::int64_t count = 0;
  for (const auto& weight : model.weights()) {
    if (weight.trainable) count += weight.shape.elements();
  }
  return count;
}

void train(const Options& o) {
  Network net = network(o.model);
  constexpr std::int64_t several = 16;
  const nn::Dataset data = images(net.input, several * o.batch);
  weft::Executable& step = net.model.training_step(data, o.batch);
  Batches batches(data, step);
  const auto train = [&] {
    batches.next();
    step.step();
  };
  settle(train);
  const Times times = measure(o.repetitions, o.steps, train);
  print(o, {.task = "train",
            .variant = "step",
            .replicas = step.statistics().replicas,
            .times = times,
            .images = o.batch,
            .parameters = count_parameters(net.model)});
}

/// The part of images whose most probable class is their label.
double accuracy(nn::Model& model, const nn::Dataset& data, const Tensor& labels) {
  const Tensor predicted = model.predict(data, {.batch_size = 256, .verbose = 0});
  auto row = predicted.data<float>().begin();
  std::int64_t right = 0;
  for (const std::uint8_t label : labels.data<std::uint8_t>()) {
    right += std::max_element(row, row + 10) - row == label;
    row += 10;
  }
  return static_cast<double>(right) / static_cast<double>(data.size());
}

/// Epochs of fit on MNIST: of each, the whole time, and that of its steps alone.
void train_epochs(const Options& o) {
  const weft::Mnist mnist = weft::load_mnist(o.data);
  const nn::Dataset data =
      nn::Dataset(mnist.train_images, nn::to_categorical(mnist.train_labels, 10))
          .scaled(1.0f / 255);
  const nn::Dataset test = nn::Dataset(mnist.test_images).scaled(1.0f / 255);
  Network net = network(o.model);
  const std::int64_t rest = data.size() % o.batch;
  net.model.training_step(data, o.batch);  // compiled before the clock runs
  if (rest > 0) net.model.training_step(data, rest);

  double start = 0;
  std::vector<double> seconds;
  nn::Callback clock;
  clock.on_epoch_begin = [&](nn::Model&, int) { start = now(); };
  clock.on_epoch_end = [&](nn::Model&, int, nn::Logs&) { seconds.push_back(now() - start); };
  net.model.fit(data,
                {.epochs = o.epochs, .batch_size = o.batch, .verbose = 0, .callbacks = {clock}});
  const double right = accuracy(net.model, test, mnist.test_labels);

  weft::Executable& step = net.model.training_step(data, o.batch);
  constexpr std::int64_t some = 64;
  Batches batches(data.rows(0, std::min(data.size(), some * o.batch)), step);
  double in_steps = static_cast<double>(data.size() / o.batch) * measure(o.repetitions, 0, [&] {
                                                                   batches.next();
                                                                   step.step();
                                                                 }).median;
  if (rest > 0) {
    weft::Executable& last = net.model.training_step(data, rest);
    in_steps += measure(o.repetitions, 0, [&] { last.step(); }).median;
  }
  print(o, {.task = "epoch",
            .variant = "fit",
            .replicas = step.statistics().replicas,
            .times = summary(std::move(seconds)),
            .images = data.size(),
            .seconds_in_steps = in_steps,
            .val_accuracy = right,
            .parameters = count_parameters(net.model)});
}

/// The executable by itself, its input filled before, and the call that users make.
void infer(const Options& o) {
  Network net = network(o.model);
  const std::int64_t parameters = count_parameters(net.model);
  const nn::Dataset data = images(net.input, o.batch);
  weft::Executable& step = net.model.prediction_step(o.batch);
  Tensor x = step.input("x");
  std::ranges::fill(x.data<float>(), 0.5f);
  const std::size_t replicas = step.statistics().replicas;
  print(o, {.task = "infer",
            .variant = "step",
            .replicas = replicas,
            .times = measure(o.repetitions, o.steps, [&] { step.step(); }),
            .images = o.batch,
            .parameters = parameters});
  const auto predict = [&] { net.model.predict(data, {.batch_size = o.batch, .verbose = 0}); };
  print(o, {.task = "infer",
            .variant = "predict",
            .replicas = replicas,
            .times = measure(o.repetitions, o.steps, predict),
            .images = o.batch,
            .parameters = parameters});
}

/// What the machine can do at most: a large matrix product, and memory traffic (triad: a = b + s
/// c).
void limits(const Options& o) {
  constexpr std::int64_t n = 1536;
  weft::Graph graph;
  const weft::Value a = graph.input({DType::f32, {n, n}}, "a");
  const weft::Value b = graph.input({DType::f32, {n, n}}, "b");
  weft::Executable product = weft::compile({matmul(a, b)});
  const Times gemm = measure(o.repetitions, 2, [&] { product.step(); });
  const double gflops = 2.0 * n * n * n / gemm.median * 1e-9;

  std::vector<float> x(1 << 25), y(x.size(), 1.0f), z(x.size(), 2.0f);  // 128 MiB each
  const Times triad = measure(o.repetitions, 2, [&] {
#pragma omp parallel for schedule(static) num_threads(o.threads)
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = y[i] + 3.0f * z[i];
  });
  const double gigabytes = 3.0 * 4 * static_cast<double>(x.size()) / triad.median * 1e-9;
  if (o.json) {
    fmt::print(
        "{{\"task\":\"limits\",\"threads\":{},\"gemm_gflops\":{:.1f},\"triad_gb_s\":{:.2f}}}\n",
        o.threads, gflops, gigabytes);
  } else {
    fmt::print(
        "{} threads: {:.0f} GFLOP/s in a product of {} by {} matrices, {:.1f} GB/s in triad\n",
        o.threads, gflops, n, n, gigabytes);
  }
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Measures Weft on this machine.", "weft_bench");
  app.require_subcommand(1);
  app.fallthrough();
  app.add_option("--threads", options.threads, "Threads to compute with; 0: one a core")
      ->check(CLI::Range(0, 4096));
  app.add_option("--repetitions", options.repetitions, "How often to measure")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_flag("--json", options.json, "One line of JSON a measurement");
  const auto with_model = [&](const char* name, const char* help) {
    auto* command = app.add_subcommand(name, help);
    command->add_option("--model", options.model, "The network")
        ->check(CLI::IsMember(weft::bench::model_names()))
        ->capture_default_str();
    command->add_option("--batch", options.batch, "Images a step")
        ->check(CLI::Range(1, 1 << 20))
        ->capture_default_str();
    return std::pair{command, command
                                  ->add_option("--steps", options.steps,
                                               "Steps a repetition; 0: a quarter of a second's")
                                  ->check(CLI::Range(0, 1 << 20))
                                  ->capture_default_str()};
  };
  const auto [training, steps] = with_model("train", "Time of a training step, or of epochs");
  training->add_option("--epochs", options.epochs, "Train that long on MNIST instead")
      ->check(CLI::Range(1, 1000))
      ->excludes(steps);
  training->add_option("--data", options.data, "Folder of the four files of MNIST, for --epochs")
      ->capture_default_str();
  with_model("infer", "Time of a prediction");
  app.add_subcommand("limits", "What the machine can do at most");
  try {
    app.parse(argc, argv);
    weft::set_threads(options.threads);
    options.threads = weft::thread_count();
    if (options.epochs > 0 && options.model != "tutorial") {
      throw CLI::ValidationError("--epochs", "images of MNIST fit --model tutorial only, not " +
                                                 options.model + ": measure steps of that");
    }
    if (app.got_subcommand("train")) options.epochs > 0 ? train_epochs(options) : train(options);
    if (app.got_subcommand("infer")) infer(options);
    if (app.got_subcommand("limits")) limits(options);
  } catch (const CLI::CallForHelp& help) {
    return app.exit(help);
  } catch (const std::exception& error) {
    fmt::print(stderr, "weft_bench: {}\n", error.what());
    return 1;
  }
}
