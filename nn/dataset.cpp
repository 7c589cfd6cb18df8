#include "nn/dataset.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "graph/array.hpp"
#include "graph/error.hpp"
#include "graph/print.hpp"
#include "nn/shapes.hpp"

namespace weft::nn {
namespace {

/// Integers that stay integers keep their value, which a float need not hold.
template <class From, class To>
void convert(const From* from, To* to, std::int64_t count, float scale, float offset) {
  for (std::int64_t i = 0; i < count; ++i) {
    if constexpr (std::is_integral_v<From> && std::is_integral_v<To>) {
      to[i] = static_cast<To>(from[i]);
    } else if constexpr (std::is_same_v<From, Bf16>) {
      to[i] = static_cast<To>(to_float(from[i]) * scale + offset);
    } else {
      to[i] = static_cast<To>(static_cast<float>(from[i]) * scale + offset);
    }
  }
}

/// Images are bytes, and as many of them are taken as the machine can: in wide registers where it
/// has them.
[[gnu::target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")]] void convert(
    const std::uint8_t* from, float* to, std::int64_t count, float scale, float offset) {
  for (std::int64_t i = 0; i < count; ++i) to[i] = static_cast<float>(from[i]) * scale + offset;
}

/// Rows lie anywhere in a data set that is larger than any cache, so they are asked for in time.
constexpr std::size_t ahead = 2;  // rows
template <class T>
void prefetch(const T* row, std::int64_t count) {
  constexpr std::size_t line = 64, most = 4096;  // bytes; the rest follows of its own
  const auto* bytes = reinterpret_cast<const char*>(row);
  const std::size_t end = std::min(static_cast<std::size_t>(count) * sizeof(T), most);
  for (std::size_t at = 0; at < end; at += line) __builtin_prefetch(bytes + at);
}

/// Calls f with a null pointer of the type of the elements.
template <class F>
void with_element_type(DType dtype, F f) {
  switch (dtype) {
    case DType::f32:
      return f(static_cast<float*>(nullptr));
    case DType::bf16:
      return f(static_cast<Bf16*>(nullptr));
    case DType::s32:
      return f(static_cast<std::int32_t*>(nullptr));
    case DType::s8:
      return f(static_cast<std::int8_t*>(nullptr));
    case DType::u8:
      return f(static_cast<std::uint8_t*>(nullptr));
  }
}

/// The label as a whole number in [0, classes). Throws ArgumentError if it is not.
std::int64_t checked_label(double label, std::int64_t position, std::int64_t classes) {
  if (label >= 0 && label < static_cast<double>(classes) && label == std::floor(label)) {
    return static_cast<std::int64_t>(label);
  }
  fail<ArgumentError>("labels: label {} at position {} is not one of the {} classes 0 to {}", label,
                      position, classes, classes - 1);
}

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

Column::Column(Tensor data) : data_(std::move(data)) {
  if (data_.shape().rank() == 0) {
    fail<ShapeError>("dataset: a tensor with one row per sample is needed, not a scalar");
  }
  size_ = data_.shape()[0];
  row_elements_ = size_ == 0 ? 0 : data_.elements() / size_;
}

Shape Column::row_shape() const {
  return Shape(std::span<const std::int64_t>(data_.shape().begin() + 1, data_.shape().end()));
}

Column Column::scaled(float scale, float offset) const {
  Column result = *this;
  result.scale_ = scale_ * scale;
  result.offset_ = offset_ * scale + offset;
  return result;
}

Column Column::rows(std::int64_t first, std::int64_t last) const {
  Column result = *this;
  result.first_ = first_ + first;
  result.size_ = last - first;
  return result;
}

void Column::take(std::span<const std::int64_t> rows, Tensor& batch) const {
  const auto count = static_cast<std::int64_t>(rows.size());
  if (batch.elements() != count * row_elements_) {
    fail<ShapeError>("dataset: {} rows of {} elements do not fit into {}", count, row_elements_,
                     batch.type());
  }
  take(rows, batch, 0);
}

void Column::take(std::span<const std::int64_t> rows, Tensor& batch, std::int64_t at) const {
  const auto count = static_cast<std::int64_t>(rows.size());
  if (at < 0 || batch.elements() < (at + count) * row_elements_) {
    fail<ShapeError>("dataset: {} rows of {} elements do not fit into {} from row {} on", count,
                     row_elements_, batch.type(), at);
  }
  with_element_type(dtype(), [&](auto* type) {
    using From = std::remove_pointer_t<decltype(type)>;
    const auto row = [&](std::size_t i) {
      return reinterpret_cast<const From*>(data_.bytes()) + (first_ + rows[i]) * row_elements_;
    };
    const auto copy = [&]<class To>(std::span<To> to) {
      for (std::size_t i = 0; i < rows.size(); ++i) {
        if (i + ahead < rows.size()) prefetch(row(i + ahead), row_elements_);
        convert(row(i), to.data() + (at + static_cast<std::int64_t>(i)) * row_elements_,
                row_elements_, scale_, offset_);
      }
    };
    if (batch.dtype() == DType::s32) {
      copy(batch.data<std::int32_t>());
    } else {
      copy(batch.data<float>());
    }
  });
}

Dataset::Dataset(Tensor x, Tensor y, Tensor sample_weight)
    : Dataset(std::vector{std::move(x)}, y ? std::vector{y} : std::vector<Tensor>{},
              sample_weight ? std::vector{sample_weight} : std::vector<Tensor>{}) {}

Dataset::Dataset(std::vector<Tensor> x, std::vector<Tensor> y, std::vector<Tensor> sample_weight) {
  if (sample_weight.size() > 1 && sample_weight.size() != y.size()) {
    fail<ArgumentError>(
        "dataset: there are {} targets, so sample weights must be one for all or {}, "
        "not {}",
        y.size(), y.size(), sample_weight.size());
  }
  for (Tensor& tensor : x) x_.emplace_back(std::move(tensor));
  for (Tensor& tensor : y) y_.emplace_back(std::move(tensor));
  for (Tensor& tensor : sample_weight) {
    weights_.push_back(tensor ? Column(std::move(tensor)) : Column());
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

Dataset Dataset::scaled(float scale, float offset) const {
  Dataset result = *this;
  for (Column& x : result.x_) x = x.scaled(scale, offset);
  return result;
}

Dataset Dataset::rows(std::int64_t first, std::int64_t last) const {
  if (first < 0 || first > last || last > size()) {
    fail<ArgumentError>("dataset: there are no samples {} to {} among {}", first, last - 1, size());
  }
  Dataset result = *this;
  for (Column& x : result.x_) x = x.rows(first, last);
  for (Column& y : result.y_) y = y.rows(first, last);
  for (Column& weight : result.weights_) {
    if (weight) weight = weight.rows(first, last);
  }
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
