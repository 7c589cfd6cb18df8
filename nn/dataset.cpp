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
  row_shape_ = Shape(std::span<const std::int64_t>(data_.shape().begin() + 1, data_.shape().end()));
  row_elements_ = row_shape_.elements();
}

Column::Column(std::shared_ptr<const Source> source, std::size_t column)
    : source_(std::move(source)), column_(column), size_(source_->size()) {
  const std::vector<Shape> shapes = source_->row_shapes();
  if (column >= shapes.size()) {
    fail<ArgumentError>("dataset: a source of {} columns has none of number {}", shapes.size(),
                        column);
  }
  row_shape_ = shapes[column];
  row_elements_ = row_shape_.elements();
}

Shape Column::row_shape() const { return row_shape_; }

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

Column Column::picked(std::span<const std::int64_t> rows) const {
  auto all = std::make_shared<std::vector<std::int64_t>>();
  all->reserve(rows.size());
  for (const std::int64_t row : rows) {
    if (row < 0 || row >= size_) {
      fail<ArgumentError>("dataset: there is no sample {} among {}", row, size_);
    }
    all->push_back(stored(row));
  }
  Column result = *this;
  result.first_ = 0;
  result.size_ = static_cast<std::int64_t>(all->size());
  result.picked_ = std::move(all);
  return result;
}

namespace {

/// What a function makes of the rows of another column.
class Mapped final : public Source {
 public:
  Mapped(Column from, Shape row_shape, MapRow function)
      : from_(std::move(from)), row_shape_(std::move(row_shape)), function_(std::move(function)) {}
  std::int64_t size() const override { return from_.size(); }
  std::vector<Shape> row_shapes() const override { return {row_shape_}; }
  void read(std::int64_t sample, Random& random,
            std::span<const std::span<float>> rows) const override {
    std::vector<float> row(static_cast<std::size_t>(from_.row_shape().elements()));
    from_.take_row(sample, row, random);
    function_(row, rows[0], random);
  }

 private:
  Column from_;
  Shape row_shape_;
  MapRow function_;
};

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

 private:
  std::int64_t size_;
  std::vector<Shape> row_shapes_;
  MakeSample make_;
};

/// The same for a sample of a pass, whichever thread makes it.
Random random_of(std::uint64_t pass, std::int64_t sample) {
  constexpr std::uint64_t golden = 0x9e3779b97f4a7c15u;  // spreads near numbers over all bits
  return Random(pass ^ (static_cast<std::uint64_t>(sample) + 1) * golden);
}

}  // namespace

Column Column::mapped(const Shape& row_shape, MapRow function) const {
  return Column(std::make_shared<Mapped>(*this, row_shape, std::move(function)));
}

void Column::take_row(std::int64_t row, std::span<float> to, Random& random) const {
  const std::int64_t at = stored(row);
  if (!source_) {
    with_element_type(dtype(), [&](auto* type) {
      using From = std::remove_pointer_t<decltype(type)>;
      convert(reinterpret_cast<const From*>(data_.bytes()) + at * row_elements_, to.data(),
              row_elements_, scale_, offset_);
    });
    return;
  }
  const std::vector<Shape> shapes = source_->row_shapes();
  std::vector<std::vector<float>> others(shapes.size());
  std::vector<std::span<float>> rows(shapes.size());
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    if (i == column_) {
      rows[i] = to;
    } else {
      others[i].resize(static_cast<std::size_t>(shapes[i].elements()));
      rows[i] = others[i];
    }
  }
  source_->read(at, random, rows);
  if (is_scaled()) {
    for (float& number : to) number = number * scale_ + offset_;
  }
}

void Column::make(std::span<const Column> columns, std::span<const std::int64_t> rows,
                  std::span<Tensor> to, std::uint64_t pass) {
  std::vector<bool> done(columns.size());
  for (std::size_t c = 0; c < columns.size(); ++c) {
    if (done[c]) continue;
    const Column& first = columns[c];
    if (!first.source_) {
      first.take(rows, to[c], 0, pass);
      continue;
    }
    // All columns of the samples that this one is of.
    const std::vector<Shape> shapes = first.source_->row_shapes();
    std::vector<std::optional<std::size_t>> place(shapes.size());
    for (std::size_t i = c; i < columns.size(); ++i) {
      const Column& other = columns[i];
      if (other.source_ != first.source_ || other.picked_ != first.picked_ ||
          other.first_ != first.first_ || place[other.column_]) {
        continue;
      }
      place[other.column_] = i;
      done[i] = true;
    }
    std::vector<std::vector<float>> unwanted(shapes.size());
    std::vector<std::span<float>> spans(shapes.size());
    for (std::size_t row = 0; row < rows.size(); ++row) {
      for (std::size_t i = 0; i < shapes.size(); ++i) {
        const auto elements = static_cast<std::size_t>(shapes[i].elements());
        if (!place[i]) unwanted[i].resize(elements);
        spans[i] = place[i] ? to[*place[i]].data<float>().subspan(row * elements, elements)
                            : std::span<float>(unwanted[i]);
      }
      const std::int64_t sample = first.stored(rows[row]);
      Random random = random_of(pass, sample);
      first.source_->read(sample, random, spans);
      for (std::size_t i = 0; i < shapes.size(); ++i) {
        if (!place[i] || !columns[*place[i]].is_scaled()) continue;
        const Column& column = columns[*place[i]];
        for (float& number : spans[i]) number = number * column.scale_ + column.offset_;
      }
    }
  }
}

void Column::take(std::span<const std::int64_t> rows, Tensor& batch) const {
  const auto count = static_cast<std::int64_t>(rows.size());
  if (batch.elements() != count * row_elements_) {
    fail<ShapeError>("dataset: {} rows of {} elements do not fit into {}", count, row_elements_,
                     batch.type());
  }
  take(rows, batch, 0);
}

void Column::take(std::span<const std::int64_t> rows, Tensor& batch, std::int64_t at,
                  std::uint64_t pass) const {
  const auto count = static_cast<std::int64_t>(rows.size());
  if (at < 0 || batch.elements() < (at + count) * row_elements_) {
    fail<ShapeError>("dataset: {} rows of {} elements do not fit into {} from row {} on", count,
                     row_elements_, batch.type(), at);
  }
  if (source_) {
    const auto numbers = batch.data<float>();
    for (std::size_t i = 0; i < rows.size(); ++i) {
      Random random = random_of(pass, stored(rows[i]));
      take_row(rows[i],
               numbers.subspan(
                   (static_cast<std::size_t>(at) + i) * static_cast<std::size_t>(row_elements_),
                   static_cast<std::size_t>(row_elements_)),
               random);
    }
    return;
  }
  with_element_type(dtype(), [&](auto* type) {
    using From = std::remove_pointer_t<decltype(type)>;
    const auto row = [&](std::size_t i) {
      return reinterpret_cast<const From*>(data_.bytes()) + stored(rows[i]) * row_elements_;
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
