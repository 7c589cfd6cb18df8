#include "nn/merging.hpp"

#include <algorithm>

#include "nn/shapes.hpp"
#include "ops/ops.hpp"

namespace weft::nn {
namespace {

std::string shapes_of(const std::vector<Value>& inputs) {
  std::vector<std::string> shapes;
  for (const Value& input : inputs) shapes.push_back(with_any_batch(input.shape()));
  return fmt::format("{}", fmt::join(shapes, " and "));
}

void expect_inputs(std::string_view layer, const std::vector<Value>& inputs) {
  if (inputs.empty()) fail<ArgumentError>("{}: it needs at least one input", layer);
}

/// Axes of size 1 behind the batch, up to that rank.
Value with_rank(Value x, std::size_t rank) {
  if (x.shape().rank() == rank) return x;
  std::vector<std::int64_t> sizes(x.shape().begin(), x.shape().end());
  sizes.insert(sizes.begin() + 1, rank - sizes.size(), 1);
  return reshape(x, Shape(sizes));
}

template <class F>
Value fold(const std::vector<Value>& inputs, F f) {
  Value result = inputs[0];
  for (std::size_t i = 1; i < inputs.size(); ++i) result = f(result, inputs[i]);
  return result;
}

}  // namespace

std::vector<Value> of_equal_rank(std::string_view layer, const std::vector<Value>& inputs) {
  expect_inputs(layer, inputs);
  std::size_t rank = 0;
  for (const Value& input : inputs) {
    rank = std::max(rank, static_cast<std::size_t>(input.shape().rank()));
  }
  std::vector<Value> result;
  for (const Value& input : inputs) result.push_back(with_rank(input, rank));
  for (int axis = 0; axis < static_cast<int>(rank); ++axis) {
    std::int64_t size = 1;
    for (const Value& input : result) {
      const std::int64_t own = input.shape()[axis];
      if (own != 1 && size != 1 && own != size) {
        fail<ShapeError>(
            "{}: inputs {} do not fit: along each axis, sizes must be equal, or 1 to be repeated",
            layer, shapes_of(inputs));
      }
      size = std::max(size, own);
    }
  }
  return result;
}

Value Add::merge(const std::vector<Value>& inputs) {
  return fold(inputs, [](Value a, Value b) { return a + b; });
}

Value Subtract::merge(const std::vector<Value>& inputs) {
  if (inputs.size() != 2) {
    fail<ArgumentError>("Subtract: it takes two inputs, but {} were given", inputs.size());
  }
  return inputs[0] - inputs[1];
}

Value Multiply::merge(const std::vector<Value>& inputs) {
  return fold(inputs, [](Value a, Value b) { return a * b; });
}

Value Average::merge(const std::vector<Value>& inputs) {
  return Add::merge(inputs) * (1.0f / static_cast<float>(inputs.size()));
}

Value Maximum::merge(const std::vector<Value>& inputs) {
  return fold(inputs, [](Value a, Value b) { return maximum(a, b); });
}

Value Minimum::merge(const std::vector<Value>& inputs) {
  return fold(inputs, [](Value a, Value b) { return minimum(a, b); });
}

Concatenate::Concatenate(int a, LayerConfig c) : axis(a), config(std::move(c)) {
  if (axis == 0) fail<ArgumentError>("Concatenate: axis 0 is the batch, which stays as it is");
}

Value Concatenate::operator()(Scope&, const std::vector<Value>& inputs) const {
  expect_inputs(name(), inputs);
  const Shape& first = inputs[0].shape();
  const int rank = static_cast<int>(first.rank());
  const int at = axis < 0 ? axis + rank : axis;
  if (at < 1 || at >= rank) {
    fail<ArgumentError>("Concatenate: axis {} must be one of 1 to {}, or -1 to {}, for inputs {}",
                        axis, rank - 1, 1 - rank, shapes_of(inputs));
  }
  for (const Value& input : inputs) {
    if (input.shape().rank() != first.rank() || input.shape().with(at, first[at]) != first) {
      fail<ShapeError>("Concatenate: inputs {} do not fit: sizes must be equal but along axis {}",
                       shapes_of(inputs), axis);
    }
  }
  return concat(inputs, at);
}

namespace {

/// Of x, all sizes but those of the batch and of one axis.
std::vector<std::int64_t> others_of(const Shape& x, int axis) {
  std::vector<std::int64_t> sizes(x.begin() + 1, x.end());
  sizes.erase(sizes.begin() + (axis - 1));
  return sizes;
}

/// x as f32[N,others,K].
Value with_axis_last(Value x, int axis) {
  const Shape shape = x.shape();
  std::vector<int> order;
  for (int k = 0; k < static_cast<int>(shape.rank()); ++k) {
    if (k != axis) order.push_back(k);
  }
  order.push_back(axis);
  std::int64_t others = 1;
  for (const std::int64_t size : others_of(shape, axis)) others *= size;
  return reshape(transpose(x, order), {shape[0], others, shape[axis]});
}

Value of_length_1(Value x) {
  return x * reciprocal(sqrt(maximum(sum(square(x), {-1}, Keep::axes), 1e-14f)));
}

}  // namespace

Dot::Dot(Axes a, DotConfig c) : axes(std::move(a)), config(std::move(c)) {
  if (axes.size() != 1 && axes.size() != 2) {
    fail<ArgumentError>("Dot: axes must be one for both inputs, or one for each, not {}",
                        axes.size());
  }
}

Value Dot::operator()(Scope&, const std::vector<Value>& inputs) const {
  if (inputs.size() != 2) {
    fail<ArgumentError>("Dot: it takes two inputs, but {} were given", inputs.size());
  }
  int at[2];
  for (std::size_t i : {0, 1}) {
    const int rank = static_cast<int>(inputs[i].shape().rank()), given = axes[axes.size() * i / 2];
    at[i] = given < 0 ? given + rank : given;
    if (at[i] < 1 || at[i] >= rank) {
      fail<ArgumentError>("Dot: axis {} must be one of 1 to {}, or -1 to {}, for an input {}",
                          given, rank - 1, 1 - rank, with_any_batch(inputs[i].shape()));
    }
  }
  const Shape a = inputs[0].shape(), b = inputs[1].shape();
  if (a[at[0]] != b[at[1]] || a[0] != b[0]) {
    fail<ShapeError>(
        "Dot: inputs {} do not fit: axis {} of the first and {} of the second must be "
        "of equal size",
        shapes_of(inputs), at[0], at[1]);
  }
  Value x = with_axis_last(inputs[0], at[0]), y = with_axis_last(inputs[1], at[1]);
  if (config.normalize) {
    x = of_length_1(x);
    y = of_length_1(y);
  }
  std::vector<std::int64_t> sizes{a[0]};
  for (const auto& others : {others_of(a, at[0]), others_of(b, at[1])}) {
    sizes.insert(sizes.end(), others.begin(), others.end());
  }
  if (sizes.size() == 1) sizes.push_back(1);
  return reshape(matmul(x, y, {.transpose_b = true}), Shape(sizes));
}

}  // namespace weft::nn
