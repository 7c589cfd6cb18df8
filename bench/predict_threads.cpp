// Measures predictions that several threads ask one model for: how many a second, and how long each
// takes. Every answer is compared with what the model says when it is asked alone.
//
//   build/bench/predict_threads --callers 8 --batch 1
//   build/bench/predict_threads --callers 8 --count 1000000
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstring>
#include <exception>
#include <string>
#include <thread>
#include <vector>

#include "bench/models.hpp"
#include "nn/nn.hpp"
#include "nn/shapes.hpp"
#include "runtime/threads.hpp"

namespace {

using namespace weft;
using Clock = std::chrono::steady_clock;

struct Options {
  std::string model = "tutorial";
  int callers = 8, threads = 0;
  std::int64_t batch = 1, count = 200000;
};

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

Tensor sample(const Shape& shape, int seed) {
  Tensor x(Type{DType::f32, shape});
  int i = 0;
  for (float& v : x.data<float>())
    v = 0.5f + 0.5f * std::sin(0.37f * static_cast<float>(i++ + 91 * seed));
  return x;
}

void run(const Options& o) {
  bench::Network net = bench::network(o.model);
  constexpr int samples = 16;  // different ones
  std::vector<nn::Dataset> x;
  std::vector<Tensor> right;
  for (int i = 0; i < samples; ++i) {
    x.emplace_back(sample(nn::with_batch(o.batch, net.input), i));
    right.push_back(net.model.predict_on_batch(x.back()));
  }
  std::atomic<std::int64_t> wrong{0};
  std::atomic<int> ready{0};
  std::vector<std::vector<float>> times(static_cast<std::size_t>(o.callers));
  const auto ask = [&](int caller) {
    std::vector<float>& own = times[static_cast<std::size_t>(caller)];
    own.reserve(static_cast<std::size_t>(o.count / o.callers + 1));
    ++ready;
    while (ready != o.callers) std::this_thread::yield();
    for (std::int64_t k = caller; k < o.count; k += o.callers) {
      const auto at = static_cast<std::size_t>(k % samples);
      const auto start = Clock::now();
      const Tensor y = net.model.predict_on_batch(x[at]);
      own.push_back(static_cast<float>(seconds_since(start)));
      if (std::memcmp(y.bytes(), right[at].bytes(), y.type().bytes()) != 0) ++wrong;
    }
  };
  const auto start = Clock::now();
  std::vector<std::thread> callers;
  for (int i = 0; i < o.callers; ++i) callers.emplace_back(ask, i);
  for (std::thread& caller : callers) caller.join();
  const double took = seconds_since(start);

  std::vector<float> all;
  for (const auto& own : times) all.insert(all.end(), own.begin(), own.end());
  std::ranges::sort(all);
  const auto quantile = [&](double q) {
    return 1e6 * all[static_cast<std::size_t>(q * static_cast<double>(all.size() - 1))];
  };
  const auto statistics = net.model.prediction_step(o.batch).statistics();
  fmt::print(
      "{} batch {}, {} callers, {} replicas x {} threads: {:.0f} predictions/s; microseconds each: "
      "median {:.0f}, p99 {:.0f}, p99.9 {:.0f}, most {:.0f}; {} answers, {} not equal to the bit\n",
      o.model, o.batch, o.callers, statistics.replicas, statistics.threads,
      static_cast<double>(all.size()) / took, quantile(0.5), quantile(0.99), quantile(0.999),
      quantile(1), all.size(), wrong.load());
}

}  // namespace

int main(int argc, char** argv) {
  Options o;
  CLI::App app("Predictions that several threads ask one model for.");
  app.add_option("--model", o.model, "tutorial, vgg or resnet18")->capture_default_str();
  app.add_option("--callers", o.callers, "threads that ask")->capture_default_str();
  app.add_option("--batch", o.batch, "rows of each question")->capture_default_str();
  app.add_option("--count", o.count, "questions in all")->capture_default_str();
  app.add_option("--threads", o.threads, "threads for each answer; 0: those at hand");
  CLI11_PARSE(app, argc, argv);
  try {
    set_threads(o.threads);
    run(o);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
