// The ways to compute a convolution: Winograd's algorithm and its errors, residuals added in place,
// first layers joined with their pooling, and what is measured and remembered of all this.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <stdexcept>

#include "graph/array.hpp"
#include "graph/evaluate.hpp"
#include "graph/graph.hpp"
#include "io_files.hpp"
#include "nn/nn.hpp"
#include "ops/ops.hpp"
#include "runtime/compile.hpp"
#include "runtime/onednn.hpp"
#include "runtime/tuning.hpp"

namespace weft {
namespace {

// Nothing that tests measure shall outlive them. Read when the first compile asks for it.
const bool no_file = setenv("WEFT_TUNING", "/dev/null/none", 1) == 0;

const Conv2dOptions same{.padding = {1, 1, 1, 1}};

Tensor normal(const Shape& shape, std::uint32_t seed, float scale = 1) {
  Tensor tensor(Type{DType::f32, shape});
  std::mt19937 random(seed);
  std::normal_distribution<float> numbers(0, scale);
  for (float& number : tensor.data<float>()) number = numbers(random);
  return tensor;
}

Array absolute(const Tensor& tensor) {
  Array array = to_array(tensor);
  for (double& number : array.data) number = std::abs(number);
  return array;
}

/// Does this oneDNN have Winograd's algorithm here? Version 2 has it on AVX-512, version 3 nowhere.
bool has_winograd() {
  static const bool has = [] {
    using onednn::any;
    try {
      onednn::forward<dnnl::convolution_forward>(
          {}, dnnl::prop_kind::forward_inference, dnnl::algorithm::convolution_winograd,
          any({16, 64, 32, 32}), any({64, 64, 3, 3}), any({16, 64, 32, 32}), onednn::Dims{1, 1},
          onednn::Dims{1, 1}, onednn::Dims{1, 1});
      return true;
    } catch (const dnnl::error&) {
      MESSAGE("skipped: oneDNN ", onednn::version(), " has no Winograd on ", onednn::isa());
      return false;
    }
  }();
  return has;
}

bool uses_winograd(const Executable& executable) {
  return executable.to_string().find("wino") != std::string::npos;
}

/// The largest error of a value in units of 2^-24 of what its terms add up to without their signs:
/// what rounding each term once would cost.
struct Errors {
  double winograd = 0, direct = 0;
};
using Build = std::function<Value(Value, Value)>;
Errors errors_of(const Shape& a_shape, const Shape& b_shape, const Build& build) {
  const Tensor a = normal(a_shape, 1), b = normal(b_shape, 2);
  Graph graph;
  const Value x = graph.input({DType::f32, a_shape}, "a"),
              y = graph.input({DType::f32, b_shape}, "b");
  const Value value = build(x, y);
  const auto exact = evaluate({value}, {{"a", to_array(a)}, {"b", to_array(b)}})[0];
  const auto sizes = evaluate({value}, {{"a", absolute(a)}, {"b", absolute(b)}})[0];
  Errors errors;
  for (const bool winograd : {true, false}) {
    Executable executable = compile({value}, {.winograd = winograd});
    if (has_winograd()) CHECK(uses_winograd(executable) == winograd);
    const Array got = to_array(executable.run({{"a", a}, {"b", b}})[0]);
    double& most = winograd ? errors.winograd : errors.direct;
    for (std::size_t i = 0; i < got.data.size(); ++i) {
      most = std::max(most, std::abs(got.data[i] - exact.data[i]) / sizes.data[i] * 0x1p24);
    }
  }
  return errors;
}

TEST_CASE("winograd: errors stay within 64 roundings of the sum of absolute terms") {
  const Shape x{2, 16, 16, 64}, kernel{3, 3, 64, 64};
  const Errors forward = errors_of(x, kernel, [](Value a, Value b) { return conv2d(a, b, same); });
  const Errors input =
      errors_of(x, kernel, [&](Value dy, Value k) { return conv2d_input_grad(dy, k, x, same); });
  const Errors weights = errors_of(x, x, [](Value a, Value dy) {
    return conv2d_kernel_grad(a, dy, {3, 3}, same);
  });
  for (const Errors& errors : {forward, input, weights}) {
    MESSAGE("winograd: ", errors.winograd, ", direct: ", errors.direct);
    CHECK(errors.winograd <= 64);
    CHECK(errors.direct <= 16);
  }
}

TEST_CASE("winograd: the rule takes it for many tiles and channels, and for nothing else") {
  if (!has_winograd()) return;
  const auto chosen = [](const Shape& x, const Shape& k, const Conv2dOptions& options = same) {
    Graph graph;
    return uses_winograd(compile(
        {conv2d(graph.input({DType::f32, x}, "x"), graph.constant(normal(k, 1)), options)}));
  };
  CHECK(chosen({16, 32, 32, 64}, {3, 3, 64, 64}));
  CHECK(chosen({16, 8, 8, 256}, {3, 3, 256, 256}));
  CHECK_FALSE(chosen({1, 8, 8, 256}, {3, 3, 256, 256}));  // the kernel's transform costs more
  CHECK_FALSE(chosen({16, 32, 32, 3}, {3, 3, 3, 64}));
  CHECK_FALSE(chosen({16, 32, 32, 64}, {1, 1, 64, 64}, {}));
  CHECK_FALSE(
      chosen({16, 32, 32, 64}, {3, 3, 64, 64}, {.stride = {2, 2}, .padding = {1, 1, 1, 1}}));
  CHECK_FALSE(chosen({16, 32, 32, 64}, {3, 3, 1, 64}, {.padding = {1, 1, 1, 1}, .groups = 64}));
}

TEST_CASE("winograd: a residual is added where it lies, or where it is copied to") {
  const Shape shape{8, 16, 16, 64};
  Graph graph;
  const Value x = graph.input({DType::f32, shape}, "x");
  const Value kernel = graph.constant(normal({3, 3, 64, 64}, 1, 0.05f));
  const Value other = graph.constant(normal({3, 3, 64, 64}, 2, 0.05f));
  const Value bias = graph.constant(normal({64}, 3));
  const Value h = relu(conv2d(x, other, same));
  const Value y = relu(conv2d(relu(conv2d(h, kernel, same)), other, same) + bias + h);
  const Feeds feeds{{"x", normal(shape, 4)}};
  for (const std::vector<Value>& outputs : {std::vector{y}, {y, h}, {y, h + 1.0f}}) {
    Executable fused = compile(outputs),
               plain = compile(outputs, {.winograd = false, .fuse = false});
    const auto got = fused.run(feeds), want = plain.run(feeds);
    for (std::size_t o = 0; o < outputs.size(); ++o) {
      const auto a = got[o].data<float>(), b = want[o].data<float>();
      double most = 0;
      for (std::size_t i = 0; i < a.size(); ++i) {
        most = std::max(most, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
      }
      CHECK(most < 1e-3);  // numbers of size 10, through three convolutions
    }
    CHECK(fused.to_string().find("conv2d+add+add+relu") != std::string::npos);
  }
}

/// The largest difference between runs with Winograd and without, of the second of two runs.
double difference(const std::vector<Value>& outputs, const Feeds& feeds, std::size_t replicas) {
  Executable with = compile(outputs, {.replicas = replicas, .poison = true}),
             without = compile(outputs, {.replicas = replicas, .winograd = false});
  if (has_winograd()) CHECK(uses_winograd(with));
  with.run(feeds);
  const Tensor got = with.run(feeds)[0], want = without.run(feeds)[0];
  double most = 0;
  for (std::size_t i = 0; i < want.data<float>().size(); ++i) {
    const double a = got.data<float>()[i], b = want.data<float>()[i];
    most = std::max(most, std::abs(a - b));
  }
  return most;
}

TEST_CASE("winograd: the residual is there whenever the convolution runs") {
  const Shape shape{8, 16, 16, 64};
  Graph graph;
  const Value x = graph.input({DType::f32, shape}, "x");
  const Value y = conv2d(x, graph.constant(normal({3, 3, 64, 64}, 1, 0.05f)), same);
  // A constant is copied before each run, and not once for all.
  CHECK(difference({relu(y + graph.constant(normal(shape, 2)))}, {{"x", normal(shape, 3)}}, 1) <
        1e-4);
  // One that waits for a sum over replicas is copied before the convolution, which need not wait.
  const Shape both = shape.with(0, 2 * shape[0]);
  const Value late = x * (all_reduce(mean(x)) + 1.0f);
  CHECK(difference({relu(y + late)}, {{"x", normal(both, 4)}}, 2) < 1e-4);
}

TEST_CASE("winograd: training goes the same way with it and without") {
  const auto losses = [](bool winograd) {
    nn::Sequential model{nn::Conv2D(32, 3, {.padding = "same", .activation = "relu"}),
                         nn::Conv2D(32, 3, {.padding = "same", .activation = "relu"}),
                         nn::GlobalAveragePooling2D(), nn::Dense(4, {.activation = "softmax"})};
    model.config.winograd = winograd;
    model.compile(
        {.optimizer = nn::Adam{.learning_rate = 1e-3}, .loss = "sparse_categorical_crossentropy"});
    Tensor labels(Type{DType::s32, {64}});
    for (std::size_t i = 0; i < 64; ++i) labels.data<std::int32_t>()[i] = static_cast<int>(i % 4);
    const nn::Dataset data(normal({64, 16, 16, 16}, 7), labels);
    if (has_winograd()) CHECK(uses_winograd(model.training_step(data, 16)) == winograd);
    std::vector<double> result;
    for (int epoch = 0; epoch < 5; ++epoch) {
      const auto history = model.fit(data, {.batch_size = 16, .shuffle = false, .verbose = 0});
      result.push_back(history["loss"].back());
    }
    return result;
  };
  const auto with = losses(true), without = losses(false);
  for (std::size_t i = 0; i < with.size(); ++i) {
    MESSAGE("loss ", with[i], " and ", without[i]);
    CHECK(with[i] == doctest::Approx(without[i]).epsilon(1e-4));  // 20 steps of rounding otherwise
  }
}

TEST_CASE("tune: what is measured agrees with what is not, and is asked once") {
  Graph graph;
  const Value x = graph.input({DType::f32, {4, 8, 8, 32}}, "x");
  const Value y = relu(conv2d(x, graph.constant(normal({3, 3, 32, 32}, 1, 0.1f)), same));
  const Feeds feeds{{"x", normal(x.shape(), 2)}};
  const std::size_t before = Tuning::shared().measured();
  const Tensor tuned = compile({y}, {.tune = true}).run(feeds)[0];
  CHECK(Tuning::shared().measured() == before + 1);
  compile({y}, {.tune = true});
  CHECK(Tuning::shared().measured() == before + 1);
  const Tensor plain = compile({y}).run(feeds)[0];
  for (std::size_t i = 0; i < plain.data<float>().size(); ++i) {
    CHECK(tuned.data<float>()[i] == doctest::Approx(plain.data<float>()[i]).epsilon(1e-4));
  }
}

TEST_CASE("tuning: the fastest is kept in a file, which may be missing, broken or not writable") {
  const test::TemporaryFolder folder;
  const std::string path = (folder / "cache/tuning").string();
  const std::vector<std::string> names{"slow", "fast", "middle"};
  const auto seconds = [](std::size_t i) { return i == 1 ? 1.0 : 2.0 + static_cast<double>(i); };
  const auto never = [](std::size_t) -> double { throw std::runtime_error("measured again"); };
  {
    Tuning tuning(path);
    CHECK(tuning.fastest("conv2d\tf32", names, seconds) == 1);
    CHECK(tuning.measured() == 1);
  }
  {
    Tuning again(path), other(path);
    CHECK(again.fastest("conv2d\tf32", names, never) == 1);
    CHECK(again.fastest("conv2d\tf32", {"fast", "slow"}, never) == 0);  // by name, not by place
    CHECK(again.fastest("conv2d\tf32", {"new", "newer"},
                        [](std::size_t i) { return 1.0 - static_cast<double>(i); }) == 1);
    CHECK(again.measured() == 1);
    CHECK(other.fastest("another", names, seconds) == 1);
  }
  CHECK(Tuning(path).fastest("another", names, never) == 1);  // both writers' answers are there
  std::ofstream(path, std::ios::app) << "no tab\n\t\nhalf a line\t";
  CHECK(Tuning(path).fastest("another", names, never) == 1);
  std::size_t files = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder / "cache")) {
    ++files;
  }
  CHECK(files == 1);  // nothing is left beside it

  Tuning nowhere("/dev/null/tuning"), nothing("");
  CHECK(nowhere.fastest("conv2d", names, seconds) == 1);
  CHECK(nothing.fastest("conv2d", names, seconds) == 1);
}

}  // namespace
}  // namespace weft
