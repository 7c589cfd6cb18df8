#include "tests/random/expected.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "graph/algorithms.hpp"
#include "graph/evaluate.hpp"
#include "graph/print.hpp"
#include "tests/random/program.hpp"

namespace weft::random_test {
namespace {

/// All numbers of these, in order.
std::vector<double> sorted_numbers(const std::vector<Array>& arrays) {
  std::vector<double> numbers;
  for (const Array& array : arrays) {
    numbers.insert(numbers.end(), array.data.begin(), array.data.end());
  }
  std::erase_if(numbers, [](double number) { return std::isnan(number); });
  std::ranges::sort(numbers);
  return numbers;
}

/// The reference evaluation, in which every intermediate value is off by up to `noise` times the
/// largest of its tensor: how far results then move bounds what rounding may do to them. A number
/// that an op only moves or chooses stays as it is, so that a maximum still equals one of its
/// arguments, as its gradient asks.
Evaluation evaluate_with_noise(const std::vector<Value>& outputs, const Feeds64& feeds,
                               double noise, std::uint64_t seed) {
  const Graph& graph = Graph::of(outputs[0]);
  const std::vector<bool> needed = reachable(graph, outputs);
  std::vector<std::vector<Array>> arrays(graph.size());
  Random random(seed);
  Evaluation evaluation;
  for (NodeId id = 0; id < graph.size(); ++id) {
    if (!needed[id]) continue;
    const Node& node = graph[id];
    if (node.inputs.empty()) {
      arrays[id] = evaluate({graph.value(id)}, feeds);
      continue;
    }
    std::vector<Array> inputs;
    std::vector<Type> types;
    for (const Value& input : node.inputs) {
      inputs.push_back(arrays[input.node()][input.port()]);
      types.push_back(input.type());
    }
    arrays[id] = evaluate(node.op, types, inputs);
    for (std::size_t port = 0; port < arrays[id].size(); ++port) {
      double scale = 0;
      for (const double number : arrays[id][port].data) {
        scale = std::isfinite(number) ? std::max(scale, std::abs(number))
                                      : std::numeric_limits<double>::infinity();
      }
      evaluation.largest = std::max(evaluation.largest, scale);
      if (noise == 0 || node.outputs[port].dtype != DType::f32 || !std::isfinite(scale)) continue;
      const std::vector<double> given = sorted_numbers(inputs);
      for (double& number : arrays[id][port].data) {
        if (std::ranges::binary_search(given, number)) continue;
        number += (2 * random.fraction() - 1) * noise * (scale + std::abs(number));
      }
    }
  }
  for (const Value& value : outputs) {
    evaluation.results.push_back(arrays[value.node()][value.port()]);
  }
  return evaluation;
}

}  // namespace

Expected::Expected(std::vector<Value> values, Feeds64 feeds)
    : values_(std::move(values)), feeds_(std::move(feeds)) {
  exact_ = evaluate_with_noise(values_, feeds_, 0, 0);
  loosen(4, 0x1p-20);
}

bool Expected::is_usable() const {
  for (const Array& array : exact_.results) {
    for (const double number : array.data) {
      if (!(std::abs(number) <= 1e6)) return false;
    }
  }
  return exact_.largest < 1e15 || !std::isfinite(exact_.largest);
}

bool Expected::is_finite() const { return std::isfinite(exact_.largest); }

std::string Expected::difference(std::size_t i, const Tensor& got) {
  if (std::string text = compare(i, got); text.empty()) return "";
  // Perhaps an argument was near a kink: look again, with more noise.
  loosen(24, 0x1p-17);
  return compare(i, got);
}

void Expected::loosen(int times, double noise) {
  tolerances_.resize(values_.size(), 0);
  for (int t = 0; t < times; ++t) {
    const auto moved = evaluate_with_noise(values_, feeds_, noise, seed_++).results;
    for (std::size_t i = 0; i < moved.size(); ++i) {
      for (std::size_t k = 0; k < moved[i].data.size(); ++k) {
        const double off = std::abs(moved[i].data[k] - exact_.results[i].data[k]);
        if (off > tolerances_[i]) tolerances_[i] = off;
      }
    }
  }
}

std::string Expected::compare(std::size_t i, const Tensor& got) const {
  const Array& want = exact_.results[i];
  if (got.type() != Type{values_[i].dtype(), want.shape}) {
    return fmt::format("is {}, not {}", got.type(), values_[i].type());
  }
  double scale = 1;
  for (const double number : want.data) scale = std::max(scale, std::abs(number));
  // Where there are infinities, a kernel may multiply one by the zeros of its padding.
  // Kernels' polynomials are off by some roundings of the largest number, whatever follows.
  const double tolerance = 16 * tolerances_[i] + 2e-5 * scale;
  const Array numbers = to_array(got);
  std::size_t wrong = 0;
  std::string first;
  for (std::size_t k = 0; k < want.data.size(); ++k) {
    if (std::abs(numbers.data[k] - want.data[k]) <= tolerance) continue;
    if (std::isnan(numbers.data[k]) && !is_finite()) continue;
    if (wrong++ == 0) {
      first = fmt::format("element {} is {}, not {} (tolerance {:.2g})", k, numbers.data[k],
                          want.data[k], tolerance);
    }
  }
  if (wrong == 0) return "";
  return fmt::format("({}, {}): {} of {} elements are wrong, {}", to_string(values_[i]),
                     values_[i].op().name(), wrong, want.data.size(), first);
}

}  // namespace weft::random_test
