#include "nn/dataset.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "graph/array.hpp"
#include "graph/error.hpp"
#include "graph/print.hpp"
#include "nn/fingerprint.hpp"
#include "nn/shapes.hpp"

namespace weft::nn {
namespace {

/// The label as a whole number in [0, classes). Throws ArgumentError if it is not.
std::int64_t checked_label(double label, std::int64_t position, std::int64_t classes) {
  if (label >= 0 && label < static_cast<double>(classes) && label == std::floor(label)) {
    return static_cast<std::int64_t>(label);
  }
  fail<ArgumentError>("labels: label {} at position {} is not one of the {} classes 0 to {}", label,
                      position, classes, classes - 1);
}

class Generated final : public Source {
 public:
  Generated(std::int64_t size, std::vector<Shape> row_shapes, MakeSample make)
      : size_(size), row_shapes_(std::move(row_shapes)), make_(std::move(make)) {}
  std::int64_t size() const override { return size_; }
  std::vector<Shape> row_shapes() const override { return row_shapes_; }
  void read(std::int64_t sample, Random& random,
            std::span<const std::span<float>> rows) const override {
    make_(sample, random, rows);
  }
  /// Of its first and its last sample, if the function makes the same of them twice.
  std::uint64_t fingerprint() const override {
    const std::uint64_t first = hash_of_ends();
    return hash_of_ends() == first ? first : 0;
  }

 private:
  std::uint64_t hash_of_ends() const {
    std::vector<std::vector<float>> numbers;
    for (const Shape& shape : row_shapes_) {
      numbers.emplace_back(static_cast<std::size_t>(shape.elements()));
    }
    const std::vector<std::span<float>> rows(numbers.begin(), numbers.end());
    Hash hash;
    for (const std::int64_t sample : {std::int64_t{0}, size_ - 1}) {
      Random random(static_cast<std::uint64_t>(sample));
      make_(sample, random, rows);
      for (const std::vector<float>& row : numbers) hash.add(std::as_bytes(std::span(row)));
    }
    return hash.value();
  }

  std::int64_t size_;
  std::vector<Shape> row_shapes_;
  MakeSample make_;
};

std::vector<std::int64_t> all_rows(std::int64_t size) {
  std::vector<std::int64_t> rows(static_cast<std::size_t>(size));
  std::iota(rows.begin(), rows.end(), std::int64_t{0});
  return rows;
}

/// Calls f(number, position) for every number of a column.
template <class F>
void for_each_number(const Column& column, F f) {
  constexpr std::int64_t rows_at_once = 1024;
  const std::int64_t row_elements = column.row_shape().elements();
  std::vector<std::int64_t> rows;
  for (std::int64_t first = 0; first < column.size(); first += rows_at_once) {
    rows.resize(static_cast<std::size_t>(std::min(rows_at_once, column.size() - first)));
    std::iota(rows.begin(), rows.end(), first);
    Tensor part(Type{DType::f32, {static_cast<std::int64_t>(rows.size()) * row_elements}});
    column.take(rows, part);
    std::int64_t position = first * row_elements;
    for (const float number : std::as_const(part).data<float>()) f(number, position++);
  }
}

/// Throws ArgumentError for a class that is not there (classes: 0 for any number), and for weights
/// below 0 or not finite.
void check_class_weight(const ClassWeight& weights, std::int64_t classes) {
  for (const auto& [label, weight] : weights) {
    if (label < 0 || (classes > 0 && label >= classes)) {
      fail<ArgumentError>("class_weight: there is no class {}; there are {}", label,
                          classes > 0 ? fmt::format("0 to {}", classes - 1) : "0, 1, ...");
    }
    if (!(weight >= 0 && std::isfinite(weight))) {
      fail<ArgumentError>("class_weight: {} of class {} is not a finite number of at least 0",
                          weight, label);
    }
  }
}

/// Calls f for the class of each sample: the nearest whole number, or in a vector the place of the
/// largest.
template <class F>
void for_each_class(const Column& targets, F f) {
  const Shape row = targets.row_shape();
  if (row.rank() > 1) {
    fail<ShapeError>(
        "class_weight: targets must be classes [N] or [N,1], or vectors [N,K], but a sample of y "
        "is {}",
        row);
  }
  const std::int64_t width = row.elements();
  std::int64_t largest_at = 0;
  float largest = 0;
  for_each_number(targets, [&](float number, std::int64_t at) {
    const std::int64_t column = at % width;
    if (column == 0 || number > largest) {
      largest = number;
      largest_at = column;
    }
    if (column + 1 == width) f(width > 1 ? largest_at : std::llround(number));
  });
}

}  // namespace

Dataset::Dataset(Tensor x, Tensor y, Tensor sample_weight)
    : Dataset(std::vector{std::move(x)}, y ? std::vector{y} : std::vector<Tensor>{},
              sample_weight ? std::vector{sample_weight} : std::vector<Tensor>{}) {}

namespace {

std::vector<Column> columns_of(std::vector<Tensor> tensors, bool may_be_none = false) {
  std::vector<Column> columns;
  for (Tensor& tensor : tensors) {
    columns.push_back(may_be_none && !tensor ? Column() : Column(std::move(tensor)));
  }
  return columns;
}

}  // namespace

Dataset::Dataset(std::vector<Tensor> x, std::vector<Tensor> y, std::vector<Tensor> sample_weight)
    : Dataset(columns_of(std::move(x)), columns_of(std::move(y)),
              columns_of(std::move(sample_weight), true)) {}

Dataset::Dataset(std::vector<Column> x, std::vector<Column> y, std::vector<Column> sample_weight)
    : x_(std::move(x)), y_(std::move(y)), weights_(std::move(sample_weight)) {
  if (weights_.size() > 1 && weights_.size() != y_.size()) {
    fail<ArgumentError>(
        "dataset: there are {} targets, so sample weights must be one for all or {}, "
        "not {}",
        y_.size(), y_.size(), weights_.size());
  }
  const auto check = [&](std::string_view name, const std::vector<Column>& columns) {
    for (std::size_t i = 0; i < columns.size(); ++i) {
      if (!columns[i] || columns[i].size() == size()) continue;
      fail<ShapeError>("dataset: x has {} samples, but {}{} has {}", size(), name,
                       columns.size() == 1 ? "" : fmt::format(" {}", i), columns[i].size());
    }
  };
  check("x", x_);
  check("y", y_);
  check("sample_weight", weights_);
}

const Column& Dataset::x(std::size_t input) const {
  if (input < x_.size()) return x_[input];
  fail<ArgumentError>("dataset: there is no x {}, there are {}", input, x_.size());
}

const Column& Dataset::y(std::size_t target) const {
  if (target < y_.size()) return y_[target];
  fail<ArgumentError>("dataset: there is no y {}, there are {}", target, y_.size());
}

const Column& Dataset::sample_weight(std::size_t target) const {
  static const Column none;
  y(target);
  if (weights_.empty()) return none;
  return weights_[weights_.size() == 1 ? 0 : target];
}

Dataset Dataset::generate(std::int64_t size, std::vector<Shape> x, std::vector<Shape> y,
                          MakeSample make) {
  if (size < 1) fail<ArgumentError>("generate: size must be at least 1, not {}", size);
  if (x.empty()) fail<ArgumentError>("generate: at least one shape of x is needed");
  if (!make) fail<ArgumentError>("generate: a function is needed that makes samples");
  const std::size_t inputs = x.size();
  x.insert(x.end(), y.begin(), y.end());
  const auto source = std::make_shared<Generated>(size, x, std::move(make));
  std::vector<Column> columns;
  for (std::size_t i = 0; i < x.size(); ++i) columns.emplace_back(source, i);
  const auto middle = columns.begin() + static_cast<std::ptrdiff_t>(inputs);
  return Dataset(std::vector(columns.begin(), middle), std::vector(middle, columns.end()));
}

template <class F>
Dataset Dataset::each(F f) const {
  Dataset result = *this;
  for (std::vector<Column>* columns : {&result.x_, &result.y_, &result.weights_}) {
    for (Column& column : *columns) {
      if (column) column = f(column);
    }
  }
  return result;
}

Dataset Dataset::scaled(float scale, float offset) const {
  Dataset result = *this;
  for (Column& x : result.x_) x = x.scaled(scale, offset);
  return result;
}

Dataset Dataset::rows(std::int64_t first, std::int64_t last) const {
  if (first < 0 || first > last || last > size()) {
    fail<ArgumentError>("dataset: there are no samples {} to {} among {}", first, last - 1, size());
  }
  return each([&](const Column& column) { return column.rows(first, last); });
}

Dataset Dataset::shuffled(std::uint64_t seed) const {
  std::vector<std::int64_t> order = all_rows(size());
  Random random(seed, "shuffled");
  shuffle(order, random);
  return each([&](const Column& column) { return column.picked(order); });
}

Dataset Dataset::mapped(MapRow function, std::optional<Shape> row_shape, std::size_t input) const {
  if (!function) fail<ArgumentError>("mapped: a function is needed that maps a row of x");
  const Shape shape = row_shape.value_or(x(input).row_shape());
  Dataset result = *this;
  result.x_[input] = x(input).mapped(shape, std::move(function));
  return result;
}

Dataset Dataset::augmented(const Augmentation& augmentation) const {
  return mapped(augment(augmentation, x().row_shape()));
}

Dataset Dataset::prefetched(int batches, int threads) const {
  if (batches < 0 || threads < 1) {
    fail<ArgumentError>("prefetched: at least 0 batches and 1 thread are needed, not {} and {}",
                        batches, threads);
  }
  Dataset result = *this;
  result.ahead_ = batches;
  result.threads_ = threads;
  return result;
}

std::pair<Dataset, Dataset> Dataset::split(double fraction) const {
  const auto at =
      static_cast<std::int64_t>(std::floor(static_cast<double>(size()) * (1 - fraction)));
  if (!(fraction > 0 && fraction < 1) || at == 0 || at == size()) {
    fail<ArgumentError>("dataset: a split of {} leaves nothing on one side of {} samples", fraction,
                        size());
  }
  return {rows(0, at), rows(at, size())};
}

Dataset Dataset::class_weighted(const ClassWeight& weights, std::int64_t classes) const {
  if (targets() != 1) {
    fail<ArgumentError>("class_weight: it is for one target, not for {}", targets());
  }
  check_class_weight(weights, classes);
  const Column before = weights_.empty() ? Column() : weights_[0];
  Tensor product = Tensor::full(with_batch(size(), before ? before.row_shape() : Shape()), 1);
  if (before) before.take(all_rows(size()), product);
  const auto numbers = product.data<float>();
  const auto positions =
      numbers.size() / static_cast<std::size_t>(std::max<std::int64_t>(1, size()));
  std::size_t sample = 0;
  for_each_class(y_[0], [&](std::int64_t label) {
    const auto found = weights.find(label);
    const float factor = found == weights.end() ? 1 : static_cast<float>(found->second);
    for (float& weight : numbers.subspan(sample++ * positions, positions)) weight *= factor;
  });
  Dataset result = *this;
  result.weights_ = {Column(product)};
  return result;
}

Tensor to_categorical(const Tensor& labels, std::int64_t classes) {
  const std::vector<double> numbers = to_array(labels).data;
  if (classes == 0 && !numbers.empty()) {
    classes = static_cast<std::int64_t>(*std::max_element(numbers.begin(), numbers.end())) + 1;
  }
  const Shape& shape = labels.shape();
  std::vector<std::int64_t> sizes(shape.begin(), shape.end());
  if (sizes.size() > 1 && sizes.back() == 1) sizes.pop_back();
  sizes.push_back(classes);
  Tensor result(Type{DType::f32, Shape(sizes)});
  const auto out = result.data<float>();
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const auto position = static_cast<std::int64_t>(i);
    out[static_cast<std::size_t>(position * classes +
                                 checked_label(numbers[i], position, classes))] = 1;
  }
  return result;
}

void check_labels(const Column& labels, std::int64_t classes, std::optional<std::int64_t> ignored) {
  for_each_number(labels, [&](float number, std::int64_t position) {
    if (ignored && number == static_cast<float>(*ignored)) return;
    checked_label(static_cast<double>(number), position, classes);
  });
}

void check_sample_weights(const Column& weights) {
  for_each_number(weights, [](float number, std::int64_t position) {
    if (number >= 0 && std::isfinite(number)) return;
    fail<ArgumentError>("sample_weight: {} at position {} is not a finite number of at least 0",
                        number, position);
  });
}

}  // namespace weft::nn
