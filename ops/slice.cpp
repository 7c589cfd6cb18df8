#include "ops/slice.hpp"

#include <algorithm>
#include <cstring>

#include "graph/checked.hpp"
#include "graph/graph.hpp"
#include "graph/print.hpp"
#include "ops/indexing.hpp"
#include "runtime/lowering.hpp"
#include "runtime/parallel.hpp"

namespace weft {
namespace {

using Sizes = std::vector<std::int64_t>;

void expect_per_axis(std::string_view op, std::string_view what, const Sizes& list, const Type& x) {
  if (list.size() != x.shape.rank()) {
    fail<ShapeError>("{}: {} [{}] has {} entries, but {} has {} axes", op, what,
                     fmt::join(list, ","), list.size(), x, x.shape.rank());
  }
}

/// What `interior` elements between neighbours make of an axis.
std::int64_t dilated(std::int64_t size, std::int64_t interior) {
  if (size <= 1) return size;
  constexpr std::string_view who = "pad";
  return checked::add(checked::mul(size - 1, checked::add(interior, 1, who), who), 1, who);
}

// Slice and pad are each other's adjoint: pad puts `interior` elements between neighbours, too,
// which is what a slice with steps left out.
Value pad_and_dilate(Value x, Sizes before, Sizes after, Sizes interior, float value);

struct Slice {
  Sizes begin, end, step;
  static constexpr auto fields = std::tuple{field("begin", &Slice::begin),
                                            field("end", &Slice::end), field("step", &Slice::step)};
  static std::string_view name() { return "slice"; }
  friend bool operator==(const Slice&, const Slice&) = default;

  Shape part() const {
    Sizes sizes;
    for (std::size_t k = 0; k < begin.size(); ++k) {
      sizes.push_back(checked::ceil_div(end[k] - begin[k], step[k]));
    }
    return Shape(std::span<const std::int64_t>(sizes));
  }

  std::vector<Type> infer(std::span<const Type> in) const {
    expect_inputs(name(), in, 1);
    expect_per_axis(name(), "begin", begin, in[0]);
    expect_per_axis(name(), "end", end, in[0]);
    expect_per_axis(name(), "step", step, in[0]);
    for (std::size_t k = 0; k < step.size(); ++k) {
      const std::int64_t size = in[0].shape.begin()[k];
      if (step[k] < 1) {
        fail<ShapeError>("slice: step {} along axis {} of {} must be at least 1", step[k], k,
                         in[0]);
      }
      if (begin[k] < 0 || begin[k] > end[k] || end[k] > size) {
        fail<ShapeError>("slice: {} to {} is not within axis {} of {}, which has {} elements",
                         begin[k], end[k], k, in[0], size);
      }
    }
    return {{in[0].dtype, part()}};
  }

  // dx = dy at the places it was taken from, else 0
  std::vector<Value> vjp(const VjpArgs& a) const {
    const Value dy = a.cotangents[0];
    Sizes after, interior;
    for (std::size_t k = 0; k < begin.size(); ++k) {
      interior.push_back(step[k] - 1);
      after.push_back(a.inputs[0].shape().begin()[k] - begin[k] -
                      dilated(dy.shape().begin()[k], interior[k]));
    }
    return {pad_and_dilate(dy, begin, after, interior, 0)};
  }

  std::vector<Array> evaluate(std::span<const Array> in) const {
    Array y(part());
    for_each(box_inside(in[0].shape, begin, step, y.shape),
             [&](std::size_t from, std::size_t to) { y.data[to] = in[0].data[from]; });
    return {y};
  }

  std::optional<Value> simplify(std::span<const Value> in) const {
    if (part() == in[0].shape()) return in[0];
    return std::nullopt;
  }

  void lower(Lowering& l) const {
    const Type& x = l.input(0);
    const Box box = merged(box_inside(x.shape, begin, step, part()));
    l.step({l.read_row_major(0)}, {l.write_row_major(0)},
           [box, bytes = size_of(x.dtype)](auto reads, auto writes) {
             copy(box, bytes, reads[0], writes[0]);
           });
  }
};

template <class T>
void fill(std::byte* to, const std::byte* element, std::size_t count) {
  T value;
  std::memcpy(&value, element, sizeof value);
  std::fill_n(reinterpret_cast<T*>(to), count, value);
}

/// Sets `count` elements to the one element that `value` holds, cut among threads.
void fill(const Tensor& value, std::size_t count, std::byte* to) {
  const std::size_t bytes = size_of(value.dtype());
  parallel_for(count, 65536 / bytes, [&](std::size_t first, std::size_t last) {
    std::byte* start = to + first * bytes;
    if (bytes == 4) return fill<std::uint32_t>(start, value.bytes(), last - first);
    if (bytes == 2) return fill<std::uint16_t>(start, value.bytes(), last - first);
    return fill<std::uint8_t>(start, value.bytes(), last - first);
  });
}

struct Pad {
  Sizes before, after, interior;
  float value = 0;
  static constexpr auto fields =
      std::tuple{field("before", &Pad::before), field("after", &Pad::after),
                 field("interior", &Pad::interior), field("value", &Pad::value)};
  static std::string_view name() { return "pad"; }
  friend bool operator==(const Pad&, const Pad&) = default;

  Shape whole(const Shape& part) const {
    Sizes sizes;
    for (std::size_t k = 0; k < part.rank(); ++k) {
      const std::int64_t inside = dilated(part.begin()[k], interior[k]);
      sizes.push_back(checked::add(checked::add(before[k], inside, name()), after[k], name()));
    }
    return Shape(std::span<const std::int64_t>(sizes));
  }
  Sizes step() const {
    Sizes result = interior;
    for (std::int64_t& size : result) size = checked::add(size, 1, name());
    return result;
  }
  Box box(const Shape& part) const {
    return reversed(box_inside(whole(part), before, step(), part));
  }

  std::vector<Type> infer(std::span<const Type> in) const {
    expect_inputs(name(), in, 1);
    for (const auto& [what, list] : {std::pair{"before", &before}, std::pair{"after", &after},
                                     std::pair{"interior", &interior}}) {
      expect_per_axis(name(), what, *list, in[0]);
      if (std::any_of(list->begin(), list->end(), [](auto size) { return size < 0; })) {
        fail<ShapeError>("pad: {} [{}] of {} must not be negative; slice takes elements away", what,
                         fmt::join(*list, ","), in[0]);
      }
    }
    return {{in[0].dtype, whole(in[0].shape)}};
  }

  // dx = dy at the places that x went to
  std::vector<Value> vjp(const VjpArgs& a) const {
    Sizes end;
    for (std::size_t k = 0; k < before.size(); ++k) {
      end.push_back(before[k] + dilated(a.inputs[0].shape().begin()[k], interior[k]));
    }
    return {slice(a.cotangents[0], before, end, step())};
  }

  std::vector<Array> evaluate(std::span<const Array> in) const {
    Array y(whole(in[0].shape));
    std::fill(y.data.begin(), y.data.end(), value);
    for_each(box(in[0].shape),
             [&](std::size_t from, std::size_t to) { y.data[to] = in[0].data[from]; });
    return {y};
  }

  std::optional<Value> simplify(std::span<const Value> in) const {
    if (whole(in[0].shape()) == in[0].shape()) return in[0];
    return std::nullopt;
  }

  void lower(Lowering& l) const {
    const Type& x = l.input(0);
    const Tensor element = to_tensor(Array(Shape{}, {value}), x.dtype);
    const auto count = static_cast<std::size_t>(l.output(0).shape.elements());
    l.step({l.read_row_major(0)}, {l.write_row_major(0)},
           [box = merged(box(x.shape)), element, count](auto reads, auto writes) {
             fill(element, count, writes[0]);
             copy(box, size_of(element.dtype()), reads[0], writes[0]);
           });
  }
};

const Register registered{Slice{}, Pad{}};

Value pad_and_dilate(Value x, Sizes before, Sizes after, Sizes interior, float value) {
  return apply(Pad{std::move(before), std::move(after), std::move(interior), value}, {x});
}

}  // namespace

Value slice(Value x, const std::vector<std::int64_t>& begin, const std::vector<std::int64_t>& end,
            const std::vector<std::int64_t>& step) {
  Slice op{begin, end, step.empty() ? Sizes(x.shape().rank(), 1) : step};
  for (std::size_t k = 0; k < x.shape().rank(); ++k) {
    const std::int64_t size = x.shape().begin()[k];
    // What is out of range stays as it was given, for the message.
    if (k < begin.size() && begin[k] < 0 && begin[k] >= -size) op.begin[k] += size;
    if (k < end.size() && end[k] < 0 && end[k] >= -size) op.end[k] += size;
    if (k < end.size() && end[k] == to_end) op.end[k] = size;
  }
  return apply(std::move(op), {x});
}

Value pad(Value x, const std::vector<std::int64_t>& before, const std::vector<std::int64_t>& after,
          float value) {
  return pad_and_dilate(x, before, after, Sizes(x.shape().rank(), 0), value);
}

std::optional<ZeroPadding> zero_padding(const Op& op) {
  const auto* pad = op.as<Pad>();
  const auto is_zero = [](auto number) { return number == 0; };
  if (pad == nullptr || pad->value != 0 ||
      !std::all_of(pad->interior.begin(), pad->interior.end(), is_zero)) {
    return std::nullopt;
  }
  return ZeroPadding{pad->before, pad->after};
}

}  // namespace weft
