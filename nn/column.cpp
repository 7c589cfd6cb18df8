#include "nn/column.hpp"

#include <algorithm>
#include <bit>
#include <numeric>
#include <optional>
#include <type_traits>

#include "graph/array.hpp"
#include "graph/error.hpp"
#include "graph/print.hpp"
#include "nn/fingerprint.hpp"
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
  /// Not of the function: other processors may round otherwise what it makes.
  std::uint64_t fingerprint() const override { return from_.fingerprint(); }

 private:
  Column from_;
  Shape row_shape_;
  MapRow function_;
};

/// The same for a sample of a pass, whichever thread makes it.
Random random_of(std::uint64_t pass, std::int64_t sample) {
  constexpr std::uint64_t golden = 0x9e3779b97f4a7c15u;  // spreads near numbers over all bits
  return Random(pass ^ (static_cast<std::uint64_t>(sample) + 1) * golden);
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

std::uint64_t Column::fingerprint() const {
  Hash hash;
  hash.add(std::bit_cast<std::uint32_t>(scale_)).add(std::bit_cast<std::uint32_t>(offset_));
  if (source_) {
    hash.add(source_->fingerprint()).add(column_);
    for (std::int64_t row = 0; row < size_; ++row) {
      hash.add(static_cast<std::uint64_t>(stored(row)));
    }
    return hash.value();
  }
  constexpr std::int64_t most = 256 << 20, sampled = 64 << 20;  // bytes
  const auto row_bytes = static_cast<std::int64_t>(size_of(data_.dtype())) * row_elements_;
  if (row_bytes == 0 || size_ == 0) return hash.value();
  const std::int64_t every =
      size_ <= most / row_bytes ? 1 : std::max<std::int64_t>(1, size_ / (sampled / row_bytes + 1));
  const auto add = [&](std::int64_t row) {
    hash.add({data_.bytes() + stored(row) * row_bytes, static_cast<std::size_t>(row_bytes)});
  };
  for (std::int64_t row = 0; row < size_; row += every) add(row);
  if (every > 1) add(size_ - 1);
  return hash.value();
}

Tensor Column::to_tensor() const {
  const bool is_integer = !is_floating(dtype()) && !is_scaled();
  Tensor all(Type{is_integer ? DType::s32 : DType::f32, with_batch(size_, row_shape_)});
  std::vector<std::int64_t> rows(static_cast<std::size_t>(size_));
  std::iota(rows.begin(), rows.end(), std::int64_t{0});
  take(rows, all);
  return all;
}

}  // namespace weft::nn
