#include "nn/metrics.hpp"

#include <array>

#include "nn/losses.hpp"
#include "ops/ops.hpp"

namespace weft::nn {
namespace {

struct Row {
  std::string_view name;
  Value (*function)(Value prediction, Value target);
};

constexpr std::array known{
    Row{"accuracy", accuracy},
    Row{"acc", accuracy},
    Row{"categorical_accuracy", categorical_accuracy},
    Row{"sparse_categorical_accuracy", sparse_categorical_accuracy},
    Row{"binary_accuracy", binary_accuracy},
    Row{"mean_squared_error", [](Value p, Value t) { return MeanSquaredError{}(p, t); }},
    Row{"mse", [](Value p, Value t) { return MeanSquaredError{}(p, t); }},
    Row{"mean_absolute_error", [](Value p, Value t) { return MeanAbsoluteError{}(p, t); }},
    Row{"mae", [](Value p, Value t) { return MeanAbsoluteError{}(p, t); }},
    Row{"categorical_crossentropy",
        [](Value p, Value t) { return CategoricalCrossentropy{}(p, t); }},
    Row{"sparse_categorical_crossentropy",
        [](Value p, Value t) { return SparseCategoricalCrossentropy{}(p, t); }},
    Row{"binary_crossentropy", [](Value p, Value t) { return BinaryCrossentropy{}(p, t); }},
};

/// The place of the largest element; f32 holds every class exactly, and has the faster kernels.
Value largest(Value x) { return cast(argmax(x), DType::f32); }

}  // namespace

Metric::Metric(std::string_view wanted)
    : name(wanted), function(find_named("metric", wanted, std::span<const Row>(known)).function) {}

Value categorical_accuracy(Value prediction, Value target) {
  return equal(largest(prediction),
               largest(dense_target("categorical_accuracy", prediction, target)));
}

Value sparse_categorical_accuracy(Value prediction, Value target) {
  const Value classes = class_target("sparse_categorical_accuracy", prediction, target);
  return equal(largest(prediction), cast(classes, DType::f32));
}

Value binary_accuracy(Value prediction, Value target) {
  const Value wanted = dense_target("binary_accuracy", prediction, target);
  return mean(equal(greater(prediction, 0.5f), wanted), {-1});
}

Value accuracy(Value prediction, Value target) {
  const Shape& outputs = prediction.shape();
  const Shape& targets = target.shape();
  if (outputs.rank() > 0 && outputs[-1] == 1) return binary_accuracy(prediction, target);
  if (targets.rank() < outputs.rank() || (targets.rank() > 0 && targets[-1] == 1)) {
    return sparse_categorical_accuracy(prediction, target);
  }
  return categorical_accuracy(prediction, target);
}

}  // namespace weft::nn
