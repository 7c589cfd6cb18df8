// Large graphs: nothing recurses, and nothing takes quadratic time. Times are printed, not checked.
#include <doctest/doctest.h>

#include <chrono>
#include <string>

#include "autodiff/gradients.hpp"
#include "nn/nn.hpp"
#include "ops/ops.hpp"
#include "runtime/compile.hpp"

namespace weft::test {
namespace {

class Stopwatch {
 public:
  double lap() {
    const auto now = std::chrono::steady_clock::now();
    const std::chrono::duration<double> took = now - last_;
    last_ = now;
    return took.count();
  }

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

}  // namespace

TEST_CASE("scale: a graph of 10,000 nodes is built, differentiated twice, compiled and run") {
  // Products with matrices, so that it does not collapse into a few loops; a square, whose second
  // derivative is not zero; and long ways around, so that lifetimes overlap.
  Stopwatch watch;
  Graph graph;
  const Value x = graph.input({DType::f32, {2, 8}}, "x");
  Variables variables;
  Tensor identity({DType::f32, {8, 8}});
  for (std::size_t i = 0; i < 8; ++i) identity.data<float>()[i * 9] = 1;
  Value y = x, kept = x;
  for (int i = 0; graph.size() < 10000; ++i) {
    const std::string name = "w" + std::to_string(i % 50);
    if (!variables.contains(name)) variables.set(name, identity);
    y = matmul(tanh(y), graph.variable({DType::f32, {8, 8}}, name));
    if (i % 10 == 9) {
      y = (y + kept) * 0.5f;
      kept = y;
    }
  }
  const Value loss = mean(square(y));
  const std::size_t nodes = graph.size();
  const double building = watch.lap();
  const Value first = gradients(loss, {x})[0];
  const double differentiating = watch.lap();
  Executable executable = compile({loss, first}, variables, {});
  const double compiling = watch.lap();
  const auto results = executable.run({{"x", Tensor::full({2, 8}, 0.5f)}});
  MESSAGE(nodes << " nodes built in " << building << " s, differentiated into " << graph.size()
                << " in " << differentiating << " s, compiled in " << compiling << " s, run in "
                << watch.lap() << " s");
  CHECK(results[0].item<float>() > 0);
  CHECK(results[0].item<float>() < 1);
}

TEST_CASE("scale: a residual network of 200 layers trains") {
  const nn::Input x({6, 6, 4});
  nn::Symbol y = x;
  for (int i = 0; i < 100; ++i) {
    nn::Symbol inner = nn::BatchNormalization()(nn::Conv2D(4, 3, {.padding = "same"})(y));
    inner = nn::Conv2D(4, 3, {.padding = "same"})(nn::ReLU()(inner));
    y = nn::Add()({y, inner});
  }
  Stopwatch watch;
  nn::Model model(x, nn::Dense(2, {.activation = "softmax"})(nn::GlobalAveragePooling2D()(y)));
  model.compile(
      {.optimizer = nn::Adam{.learning_rate = 1e-4}, .loss = "sparse_categorical_crossentropy"});
  nn::Random random(1);
  Tensor images({DType::f32, {16, 6, 6, 4}}), classes({DType::u8, {16}});
  for (std::size_t i = 0; i < 16; ++i) {
    classes.data<std::uint8_t>()[i] = i % 2;
    for (std::size_t j = 0; j < 144; ++j) {
      const double shift = i % 2 == 0 ? 0.5 : -0.5;
      images.data<float>()[i * 144 + j] = static_cast<float>(random.normal(shift));
    }
  }
  const nn::History history =
      model.fit(images, classes, {.epochs = 6, .batch_size = 16, .verbose = 0});
  MESSAGE("200 convolutions: compiled and trained 6 steps in " << watch.lap() << " s");
  const auto& losses = history["loss"];
  CHECK(losses.back() < losses.front());
}

}  // namespace weft::test
