// What the tests share that compare Weft with numbers from elsewhere: data/, written by the
// programs of tests/reference/.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "autodiff/gradients.hpp"
#include "io/npy.hpp"
#include "nn/nn.hpp"
#include "ops/ops.hpp"
#include "runtime/compile.hpp"

namespace weft::test {

// An output is a sum of at most 48 products of numbers around 1, or a function of one number, each
// step good to 6e-8: libraries differ by the order of summation and the last bits of a function,
// up to 5e-6 in all. The least mistake, gelu by tanh instead of erf, makes 5e-4.
inline constexpr double layer_tolerance = 1e-5;

inline Tensor read(const std::string& name) {
  return read_npy(std::filesystem::path(WEFT_SOURCE_DIR "/tests/reference/data") / (name + ".npy"));
}

/// The largest |got - wanted| / max(|wanted|, least); infinite if one of them is NaN.
inline double difference(const Tensor& got, const Tensor& wanted, double least) {
  REQUIRE(got.shape() == wanted.shape());
  const std::vector<float> a = to_floats(got), b = to_floats(wanted);
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double scale = std::max(std::abs(static_cast<double>(b[i])), least);
    const double d = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])) / scale;
    largest = std::isnan(d) ? INFINITY : std::max(largest, d);
  }
  return largest;
}

/// What one layer makes of x, with the given weights.
inline Tensor predict(const nn::Layer& layer, const Tensor& x,
                      const std::vector<Tensor>& weights = {}) {
  nn::Sequential model{layer};
  model.build(nn::Column(x).row_shape());
  model.set_weights(weights);
  return model.predict(x, {.verbose = 0});
}

inline void check_layer(const std::string& reference, const nn::Layer& layer, const std::string& x,
                        const std::vector<std::string>& weights = {}) {
  CAPTURE(reference);
  std::vector<Tensor> values;
  for (const std::string& name : weights) values.push_back(read("layers/" + name));
  const Tensor y = predict(layer, read("layers/" + x), values);
  CHECK(difference(y, read("layers/" + reference), 1) < layer_tolerance);
}

/// Weights one after the other, each row-major.
inline Tensor flat(const std::vector<Tensor>& weights) {
  std::vector<float> numbers;
  for (const Tensor& weight : weights) {
    const auto data = weight.data<float>();
    numbers.insert(numbers.end(), data.begin(), data.end());
  }
  return Tensor::of<float>({static_cast<std::int64_t>(numbers.size())}, numbers);
}

inline void set_flat(nn::Model& model, const Tensor& numbers) {
  std::vector<Tensor> weights;
  std::size_t first = 0;
  for (const auto& weight : model.weights()) {
    const auto count = static_cast<std::size_t>(weight.shape.elements());
    weights.push_back(Tensor::of<float>(weight.shape, numbers.data<float>().subspan(first, count)));
    first += count;
  }
  REQUIRE(first == numbers.data<float>().size());
  model.set_weights(weights);
}

/// The loss of each batch, in the order of the data.
inline std::vector<float> losses_of_batches(nn::Model& model, const nn::Dataset& data,
                                            std::int64_t batch_size) {
  std::vector<float> losses;
  double before = 0;
  const auto from_running_mean = [&](nn::Model&, std::int64_t batch, nn::Logs& logs) {
    const double sum = logs["loss"] * static_cast<double>(batch + 1);
    losses.push_back(static_cast<float>(sum - before));
    before = sum;
  };
  model.fit(data, {.batch_size = batch_size,
                   .shuffle = false,
                   .verbose = 0,
                   .callbacks = {{.on_train_batch_end = from_running_mean}}});
  return losses;
}

/// One step of training of a layer, on a batch cut among replicas: y, and the gradients of
/// sum(y * slope) by x and by what is trained. `variables` holds what is kept afterwards.
inline std::vector<Tensor> train(const nn::Layer& layer, Variables& variables, const Tensor& x,
                                 const Tensor& slope, std::size_t replicas) {
  Graph graph;
  nn::Trace trace{graph, variables, 0, true, replicas, 1.0f / static_cast<float>(replicas)};
  nn::Scope scope(trace);
  const auto slice = x.shape().with(0, x.shape()[0] / static_cast<std::int64_t>(replicas));
  const Value in = graph.input({DType::f32, slice}, "x"),
              weight = graph.input({DType::f32, slice}, "slope");
  const Value y = layer(scope, in);
  std::vector<Value> wrt{in};
  for (const auto& trained : trace.weights) {
    if (trained.trainable) wrt.push_back(trained.value);
  }
  std::vector<Value> outputs = gradients(sum(y * weight), wrt);
  for (std::size_t i = 1; i < outputs.size(); ++i) outputs[i] = all_reduce(outputs[i]);
  outputs.insert(outputs.begin(), y);
  return compile(outputs, variables, {.updates = trace.updates, .replicas = replicas})
      .run({{"x", x}, {"slope", slope}});
}

}  // namespace weft::test
