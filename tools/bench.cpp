// weft bench: how fast this machine is.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "io/model_files.hpp"
#include "nn/nn.hpp"
#include "runtime/compile.hpp"
#include "runtime/threads.hpp"
#include "tools/commands.hpp"

namespace weft::tools {
namespace {

struct Given {
  std::string model = "tutorial";
  std::int64_t batch_size = 64;
  double seconds = 2;
  int threads = 0;
  bool json = false;
};

/// The median of steps' times, in seconds, of as many as fit into the time, after some to warm up.
template <class F>
double median_time(double seconds, F step) {
  using Clock = std::chrono::steady_clock;
  const auto since = [](Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
  };
  for (int i = 0; i < 3; ++i) step();
  std::vector<double> times;
  for (const auto start = Clock::now(); times.size() < 5 || since(start) < seconds;) {
    const auto before = Clock::now();
    step();
    times.push_back(since(before));
  }
  const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
  std::nth_element(times.begin(), middle, times.end());
  return *middle;
}

void bench(const Given& given) {
  set_threads(given.threads);
  nn::Model model =
      given.model == "tutorial" ? tutorial(1) : nn::load_model(given.model, {.compile = false});
  if (model.input_names().size() != 1 || model.output_names().size() != 1) {
    throw UsageError("bench: a model of one input and one output is needed");
  }
  const auto rows = [&](const Shape& row) {
    std::vector<std::int64_t> sizes{given.batch_size};
    sizes.insert(sizes.end(), row.begin(), row.end());
    Tensor tensor(Type{DType::f32, Shape(sizes)});
    nn::Random random(1);
    for (float& number : tensor.data<float>()) number = static_cast<float>(random.uniform());
    return tensor;
  };
  const nn::Dataset data(rows(model.network().inputs[0].shape), rows(model.output_shape()));
  model.compile({.optimizer = "adam", .loss = "mse"});
  Executable& training = model.training_step(data, given.batch_size);
  Executable& prediction = model.prediction_step(given.batch_size);
  const double train = median_time(given.seconds, [&] { training.step(); });
  const double infer = median_time(given.seconds, [&] { prediction.step(); });
  const auto per_second = [&](double time) { return static_cast<double>(given.batch_size) / time; };
  if (given.json) {
    const nlohmann::ordered_json json{
        {"model", given.model},      {"batch_size", given.batch_size},
        {"threads", thread_count()}, {"instruction_set", instruction_set()},
        {"train_ms", train * 1e3},   {"predict_ms", infer * 1e3}};
    return print(json.dump() + "\n");
  }
  print(
      fmt::format("{}, batches of {}, {} threads, {}; medians\n"
                  "training step    {:9.3f} ms  {:10.0f} samples/s\n"
                  "prediction step  {:9.3f} ms  {:10.0f} samples/s\n",
                  given.model, given.batch_size, thread_count(), instruction_set(), train * 1e3,
                  per_second(train), infer * 1e3, per_second(infer)));
}

}  // namespace

void add_bench(CLI::App& app) {
  CLI::App* command =
      app.add_subcommand("bench", "Measure a model's steps of training and prediction");
  const auto given = std::make_shared<Given>();
  command->add_option("--model", given->model, "tutorial, or an .h5, .keras or .json")
      ->capture_default_str();
  command->add_option("--batch-size", given->batch_size, "Samples per step")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  command->add_option("--seconds", given->seconds, "How long to measure each")
      ->check(CLI::Range(0.0, 3600.0))
      ->capture_default_str();
  add_threads(*command, given->threads);
  command->add_flag("--json", given->json, "Print JSON");
  command->callback([given] { bench(*given); });
}

}  // namespace weft::tools
