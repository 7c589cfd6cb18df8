#include "autodiff/check_gradients.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <unordered_map>

#include "autodiff/gradients.hpp"
#include "graph/evaluate.hpp"
#include "graph/print.hpp"
#include "ops/binary.hpp"
#include "ops/cast.hpp"
#include "ops/reduce.hpp"
#include "ops/unary.hpp"

namespace weft {
namespace {

using Feeds = std::unordered_map<std::string, Array>;

/// Numbers of either sign between 1/2 and 1, which f32 holds exactly: no element is overlooked.
class Directions {
 public:
  explicit Directions(std::uint64_t seed) : random_(seed) {}

  Array next(const Shape& shape) {
    Array direction(shape);
    for (double& number : direction.data) {
      const std::uint64_t bits = random_();
      number = (0.5 + static_cast<double>(bits >> 44) * 0x1p-21) * ((bits & 1) != 0 ? 1 : -1);
    }
    return direction;
  }

 private:
  std::mt19937_64 random_;
};

/// One number that every element of some values matters to, and the sum of its parts' sizes.
struct Projection {
  Value total, magnitude;
};

Projection project(const std::vector<Value>& values, Directions& directions) {
  Projection result;
  for (const Value& value : values) {
    if (!is_floating(value.dtype())) continue;
    // Sums are taken of f32; the reference evaluator does not round on the way there.
    const Value numbers = value.dtype() == DType::f32 ? value : cast(value, DType::f32);
    const Tensor direction = to_tensor(directions.next(value.shape()), DType::f32);
    const Value parts = numbers * Graph::of(value).constant(direction);
    const Value total = sum(parts), magnitude = sum(abs(parts));
    result.total = result.total ? result.total + total : total;
    result.magnitude = result.magnitude ? result.magnitude + magnitude : magnitude;
  }
  return result;
}

/// y where `name` has moved along the direction by a step.
double shifted(Value y, Feeds feeds, const std::string& name, const Array& direction, double step) {
  Array& input = feeds.at(name);
  for (std::size_t i = 0; i < input.data.size(); ++i) input.data[i] += step * direction.data[i];
  return evaluate({y}, feeds)[0].data[0];
}

double largest(const Array& array) {
  double result = 0;
  for (const double number : array.data) result = std::max(result, std::abs(number));
  return result;
}

}  // namespace

CheckReport check_gradients(
    const std::function<std::vector<Value>(const std::vector<Value>&)>& function,
    const std::vector<Tensor>& inputs, const CheckOptions& options) {
  if (options.order < 1) {
    fail<ArgumentError>("check_gradients: order must be 1 or more, not {}", options.order);
  }
  if (!(options.step > 0)) {
    fail<ArgumentError>("check_gradients: step must be positive, not {}", options.step);
  }
  Graph graph;
  Feeds feeds;
  std::vector<Value> values, wrt;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const std::string name = fmt::format("input {}", i);
    values.push_back(graph.input(inputs[i].type(), name));
    if (inputs[i].dtype() == DType::f32) wrt.push_back(values.back());
    feeds.emplace(name, to_array(inputs[i]));
  }
  if (wrt.empty()) fail<TypeError>("check_gradients: none of {} inputs is f32", inputs.size());

  Directions directions(options.seed);
  CheckReport report;
  Projection y = project(function(values), directions);
  if (!y.total) fail<TypeError>("check_gradients: the function has no floating output");
  for (int order = 1; order <= options.order; ++order) {
    const std::vector<Value> slopes = gradients(y.total, wrt);
    std::vector<Value> wanted = slopes;
    wanted.push_back(y.magnitude);
    const std::vector<Array> numbers = evaluate(wanted, feeds);
    for (std::size_t i = 0; i < wrt.size(); ++i) {
      const std::string& name = wrt[i].name();
      const Array direction = directions.next(wrt[i].shape());
      double exact = 0, magnitude = 0;
      for (std::size_t k = 0; k < direction.data.size(); ++k) {
        exact += numbers[i].data[k] * direction.data[k];
        magnitude += std::abs(numbers[i].data[k] * direction.data[k]);
      }
      const double step = options.step * std::max(1.0, largest(feeds.at(name)));
      const double above = shifted(y.total, feeds, name, direction, step);
      const double below = shifted(y.total, feeds, name, direction, -step);
      const double measured = (above - below) / (2 * step);
      // Subtracting two rounded numbers leaves this much of nothing, whatever the rule says.
      const double noise =
          64 * std::numeric_limits<double>::epsilon() * numbers.back().data[0] / step;
      const double scale = std::max({magnitude, std::abs(measured), noise, 1e-30});
      const double error = std::max(0.0, std::abs(exact - measured) - noise) / scale;
      if (!(error <= options.tolerance)) {
        fail<GradientError>(
            "check_gradients: order {}, {} ({}): along a random direction the gradient is {:.9g}, "
            "central differences give {:.9g}; relative error {:.2g}, {:.2g} is allowed",
            order, name, wrt[i].type(), exact, measured, error, options.tolerance);
      }
      report.largest_error = std::max(report.largest_error, error);
      ++report.comparisons;
    }
    y = project(slopes, directions);
  }
  return report;
}

CheckReport check_gradients(const std::function<Value(const std::vector<Value>&)>& function,
                            const std::vector<Tensor>& inputs, const CheckOptions& options) {
  return check_gradients(
      [&](const std::vector<Value>& values) { return std::vector<Value>{function(values)}; },
      inputs, options);
}

}  // namespace weft
