// Measures Weft: training steps, inference, and the machine's own limits beside them.
//
//   build/bench/weft_bench train --model tutorial --batch 64 --threads 2
//   build/bench/weft_bench infer --model vgg --batch 1
//   build/bench/weft_bench limits
//
// Times are medians over repetitions; the spread from the fastest to the slowest is printed with
// them, since machines are shared. --json prints one line a measurement, for programs.
#include <fmt/core.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "bench/models.hpp"
#include "nn/nn.hpp"
#include "ops/ops.hpp"
#include "runtime/compile.hpp"
#include "runtime/threads.hpp"

using weft::DType, weft::Shape, weft::Tensor;
using weft::bench::Network, weft::bench::network;
namespace nn = weft::nn;

namespace {

struct Options {
  std::string model = "tutorial";
  std::int64_t batch = 64;
  int threads = 0, steps = 20, repetitions = 7;
  bool json = false;
};

struct Times {
  double median, fastest, slowest;  // seconds
};

/// The time of one call, from several repetitions of `calls` calls.
Times measure(int repetitions, int calls, const std::function<void()>& work) {
  work();  // warm
  std::vector<double> seconds;
  for (int i = 0; i < repetitions; ++i) {
    const auto start = std::chrono::steady_clock::now();
    for (int k = 0; k < calls; ++k) work();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    seconds.push_back(took.count() / calls);
  }
  std::ranges::sort(seconds);
  return {seconds[seconds.size() / 2], seconds.front(), seconds.back()};
}

/// Made images and labels: the numbers do not matter to the time.
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

double peak_megabytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

void print(const Options& o, const std::string& task, std::size_t replicas, const Times& t) {
  const double rate = static_cast<double>(o.batch) / t.median;
  if (o.json) {
    fmt::print(
        "{{\"library\":\"weft\",\"model\":\"{}\",\"task\":\"{}\",\"batch\":{},\"threads\":{},"
        "\"replicas\":{},\"seconds_per_step\":{:.6g},\"fastest\":{:.6g},\"slowest\":{:.6g},"
        "\"images_per_second\":{:.1f},\"peak_megabytes\":{:.1f}}}\n",
        o.model, task, o.batch, o.threads, replicas, t.median, t.fastest, t.slowest, rate,
        peak_megabytes());
    return;
  }
  fmt::print(
      "{} {}, batch {}, {} threads{}: {:.3f} ms a step ({:.3f} to {:.3f}), "
      "{:.0f} images/s, peak memory {:.0f} MB\n",
      o.model, task, o.batch, o.threads,
      replicas > 0 ? fmt::format(" as {} replicas", replicas) : "", t.median * 1e3, t.fastest * 1e3,
      t.slowest * 1e3, rate, peak_megabytes());
}

void train(const Options& o) {
  Network net = network(o.model);
  weft::Executable& step = net.model.training_step(images(net.input, o.batch), o.batch);
  const Times times = measure(o.repetitions, o.steps, [&] { step.step(); });
  print(o, "train", step.statistics().replicas, times);
}

void infer(const Options& o) {
  Network net = network(o.model);
  const nn::Dataset data = images(net.input, o.batch);
  const Times times = measure(o.repetitions, o.steps, [&] {
    net.model.predict(data, {.batch_size = o.batch, .verbose = 0});
  });
  // Where several splits suit the batch, the model has measured, and keeps the choice to itself.
  const auto splits = weft::suitable_splits(o.batch, o.threads);
  print(o, "infer", splits.size() == 1 ? splits[0].replicas : 0, times);
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
    command->add_option("--steps", options.steps, "Steps a repetition")
        ->check(CLI::Range(1, 1 << 20))
        ->capture_default_str();
  };
  with_model("train", "Time of a training step");
  with_model("infer", "Time of a prediction");
  app.add_subcommand("limits", "What the machine can do at most");
  try {
    app.parse(argc, argv);
    weft::set_threads(options.threads);
    options.threads = weft::thread_count();
    if (app.got_subcommand("train")) train(options);
    if (app.got_subcommand("infer")) infer(options);
    if (app.got_subcommand("limits")) limits(options);
  } catch (const CLI::CallForHelp& help) {
    return app.exit(help);
  } catch (const std::exception& error) {
    fmt::print(stderr, "weft_bench: {}\n", error.what());
    return 1;
  }
}
