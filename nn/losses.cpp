#include "nn/losses.hpp"

#include <algorithm>
#include <array>

#include "graph/print.hpp"
#include "nn/shapes.hpp"
#include "ops/ops.hpp"

namespace weft::nn {
namespace {

struct Row {
  std::string_view name;
  Loss (*make)();
};

template <class T>
Loss make() {
  return T{};
}

constexpr std::array known{
    Row{"categorical_crossentropy", make<CategoricalCrossentropy>},
    Row{"sparse_categorical_crossentropy", make<SparseCategoricalCrossentropy>},
    Row{"binary_crossentropy", make<BinaryCrossentropy>},
    Row{"bce", make<BinaryCrossentropy>},
    Row{"categorical_focal_crossentropy", make<CategoricalFocalCrossentropy>},
    Row{"binary_focal_crossentropy", make<BinaryFocalCrossentropy>},
    Row{"categorical_generalized_cross_entropy", make<CategoricalGeneralizedCrossEntropy>},
    Row{"kl_divergence", make<KLDivergence>},
    Row{"kld", make<KLDivergence>},
    Row{"poisson", make<Poisson>},
    Row{"mean_squared_error", make<MeanSquaredError>},
    Row{"mse", make<MeanSquaredError>},
    Row{"mean_absolute_error", make<MeanAbsoluteError>},
    Row{"mae", make<MeanAbsoluteError>},
    Row{"mean_absolute_percentage_error", make<MeanAbsolutePercentageError>},
    Row{"mape", make<MeanAbsolutePercentageError>},
    Row{"mean_squared_logarithmic_error", make<MeanSquaredLogarithmicError>},
    Row{"msle", make<MeanSquaredLogarithmicError>},
    Row{"huber", make<Huber>},
    Row{"log_cosh", make<LogCosh>},
    Row{"cosine_similarity", make<CosineSimilarity>},
    Row{"hinge", make<Hinge>},
    Row{"squared_hinge", make<SquaredHinge>},
    Row{"categorical_hinge", make<CategoricalHinge>},
    Row{"dice", make<Dice>},
    Row{"tversky", make<Tversky>},
    Row{"circle", make<Circle>},
};

bool is_column(const Shape& shape, const Shape& wide) {
  return shape.rank() == wide.rank() && shape.rank() > 0 && shape == wide.with(-1, 1);
}

Shape without_last(const Shape& shape) {
  return Shape(std::span<const std::int64_t>(shape.begin(), shape.end() - 1));
}

}  // namespace

// ---- Loss

Loss::Loss(std::string_view wanted) {
  *this = find_named("loss", wanted, std::span<const Row>(known)).make();
}

void Loss::set_reduction(const std::string& wanted) {
  constexpr std::array<std::string_view, 4> reductions{"sum_over_batch_size", "mean", "sum",
                                                       "mean_with_sample_weight"};
  if (wanted == "none") {
    fail<ArgumentError>(
        "{}: with reduction \"none\" there would be many numbers to minimize, and training needs "
        "one; call the loss itself to see the loss of each sample",
        name);
  }
  if (std::find(reductions.begin(), reductions.end(), wanted) == reductions.end()) {
    fail<ArgumentError>("{}: unknown reduction \"{}\"; known are {}", name, wanted,
                        fmt::join(reductions, ", "));
  }
  reduction = wanted;
}

Value Loss::reduced(Value prediction, Value target, Value weight, float share) const {
  const auto shared = [&](Value mean_of_slice) {
    return share == 1 ? mean_of_slice : mean_of_slice * share;
  };
  Value losses = function(prediction, target);
  expect_numbers(name, losses);
  const Value valid = mask ? mask(prediction, target) : Value{};
  if (weight) {
    weight = aligned_weight(name, losses, weight);
    losses = losses * weight;
  }
  // What replicas count or weigh together divides what each of them sums up.
  const auto divided = [&](Value divisor, float least) {
    return sum(losses) / maximum(all_reduce(sum(divisor)), least);
  };
  const bool by_weight = reduction == "mean_with_sample_weight";
  if (by_weight && weight) {
    if (weight.shape() != losses.shape()) weight = broadcast_to(weight, losses.shape());
    return divided(valid ? weight * valid : weight, 1e-30f);
  }
  if (reduction != "sum") return valid ? divided(valid, 1) : shared(mean(losses));
  return losses.shape().rank() == 0 ? shared(losses) : sum(losses);
}

// ---- targets and weights

Value dense_target(std::string_view who, Value prediction, Value target) {
  const Shape& wanted = prediction.shape();
  const Shape& given = target.shape();
  if (given == wanted) return cast(target, DType::f32);
  if (wanted.rank() > 0 && wanted[-1] == 1 && given == without_last(wanted)) {
    return reshape(cast(target, DType::f32), wanted);
  }
  if (who.starts_with("categorical") && wanted.rank() > 1 &&
      (given == without_last(wanted) || is_column(given, wanted))) {
    fail<ShapeError>(
        "{0}: the output is {1}, so targets must be one-hot vectors {1}, but they are {2}: for "
        "integer classes use sparse_{0}, or nn::to_categorical(y, {3})",
        who, with_any_batch(wanted), with_any_batch(given), wanted[-1]);
  }
  fail<ShapeError>("{0}: the output is {1}, so targets must be {1} too, but they are {2}", who,
                   with_any_batch(wanted), with_any_batch(given));
}

Value class_target(std::string_view who, Value prediction, Value target) {
  const Shape& outputs = prediction.shape();
  const Shape& given = target.shape();
  if (outputs.rank() < 1) fail<ShapeError>("{}: the output is a scalar", who);
  const Shape wanted = without_last(outputs);
  if (given == wanted) return cast(target, DType::s32);
  if (is_column(given, outputs)) return reshape(cast(target, DType::s32), wanted);
  const std::string_view dense = who.substr(who.starts_with("sparse_") ? 7 : 0);
  fail<ShapeError>("{}: the output is {}, so targets must be integer classes {}, but they are {}{}",
                   who, with_any_batch(outputs), with_any_batch(wanted), with_any_batch(given),
                   given == outputs ? fmt::format(": for one-hot vectors use {}", dense) : "");
}

void expect_numbers(std::string_view who, Value numbers) {
  if (numbers && numbers.dtype() == DType::f32) return;
  fail<TypeError>("{}: it must return f32 numbers, not {}", who,
                  numbers ? fmt::format("{}{}", numbers.dtype(), with_any_batch(numbers.shape()))
                          : "an empty Value");
}

Value aligned_weight(std::string_view who, Value numbers, Value weight) {
  const Shape& shape = numbers.shape();
  const Shape& given = weight.shape();
  weight = cast(weight, DType::f32);
  if (shape.rank() == 0) return weight;
  std::vector<std::int64_t> sizes(given.begin(), given.end());
  while (sizes.size() > 1 && sizes.back() == 1) sizes.pop_back();
  if (sizes.size() > shape.rank() || !std::equal(sizes.begin(), sizes.end(), shape.begin())) {
    fail<ShapeError>("{}: sample weights are {}, but what they weigh is {}", who,
                     with_any_batch(given), with_any_batch(shape));
  }
  sizes.resize(shape.rank(), 1);
  return Shape(sizes) == given ? weight : reshape(weight, Shape(sizes));
}

}  // namespace weft::nn
