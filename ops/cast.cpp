#include "ops/cast.hpp"

#include <cmath>
#include <limits>
#include <type_traits>

#include "graph/graph.hpp"
#include "runtime/lowering.hpp"
#include "runtime/parallel.hpp"

namespace weft {
namespace {

constexpr std::size_t grain = 16384;  // elements

/// As to_tensor (graph/array.hpp) does it, number by number.
template <class To, class From>
To converted(From x) {
  if constexpr (std::is_same_v<From, Bf16>) {
    return converted<To>(to_float(x));
  } else if constexpr (std::is_same_v<To, float>) {
    return static_cast<float>(x);
  } else if constexpr (std::is_same_v<To, Bf16>) {
    return to_bf16(static_cast<float>(x));
  } else {
    using Limits = std::numeric_limits<To>;
    const auto number = static_cast<double>(x);  // holds every float and s32
    if (std::isnan(number)) return 0;
    if (number <= Limits::lowest()) return Limits::lowest();
    if (number >= Limits::max()) return Limits::max();
    return static_cast<To>(number);
  }
}

using Loop = void (*)(const std::byte* from, std::byte* to, std::size_t count);

template <class To, class From>
void cast_all(const std::byte* from, std::byte* to, std::size_t count) {
  parallel_for(count, grain, [=](std::size_t first, std::size_t last) {
    for (std::size_t i = first; i < last; ++i) as<To>(to)[i] = converted<To>(as<From>(from)[i]);
  });
}

template <class To>
Loop loop_from(DType from) {
  switch (from) {
    case DType::f32:
      return cast_all<To, float>;
    case DType::bf16:
      return cast_all<To, Bf16>;
    case DType::s32:
      return cast_all<To, std::int32_t>;
    case DType::s8:
      return cast_all<To, std::int8_t>;
    case DType::u8:
      return cast_all<To, std::uint8_t>;
  }
  return nullptr;
}

Loop loop_of(DType from, DType to) {
  switch (to) {
    case DType::f32:
      return loop_from<float>(from);
    case DType::bf16:
      return loop_from<Bf16>(from);
    case DType::s32:
      return loop_from<std::int32_t>(from);
    case DType::s8:
      return loop_from<std::int8_t>(from);
    case DType::u8:
      return loop_from<std::uint8_t>(from);
  }
  return nullptr;
}

struct Cast {
  DType dtype = DType::f32;
  static constexpr auto fields = std::tuple{field("dtype", &Cast::dtype)};
  static std::string_view name() { return "cast"; }
  friend bool operator==(const Cast&, const Cast&) = default;

  std::vector<Type> infer(std::span<const Type> in) const {
    expect_inputs(name(), in, 1);
    return {{dtype, in[0].shape}};
  }

  // dx = dy between floating dtypes; through integers nothing flows
  std::vector<Value> vjp(const VjpArgs& a) const {
    const DType from = a.inputs[0].dtype();
    if (!is_floating(from) || !is_floating(dtype)) return {Value{}};
    return {cast(a.cotangents[0], from)};
  }

  // Floating dtypes do not round here: what is computed in double has no precision to lose.
  std::vector<Array> evaluate(std::span<const Array> in) const {
    if (is_floating(dtype)) return {in[0]};
    return {to_array(to_tensor(in[0], dtype))};
  }

  std::optional<Value> simplify(std::span<const Value> in) const {
    if (in[0].dtype() == dtype) return in[0];
    return std::nullopt;
  }

  void lower(Lowering& l) const {
    const Type& x = l.input(0);
    l.step({l.read_row_major(0)}, {l.write_row_major(0)},
           [loop = loop_of(x.dtype, dtype), count = static_cast<std::size_t>(x.shape.elements())](
               auto reads, auto writes) { loop(reads[0], writes[0], count); });
  }
};

const Register registered{Cast{}};

}  // namespace

Value cast(Value x, DType dtype) { return apply(Cast{dtype}, {x}); }

}  // namespace weft
