#include "ops/select.hpp"

#include "graph/graph.hpp"
#include "graph/print.hpp"
#include "ops/binary.hpp"
#include "ops/reduce.hpp"
#include "runtime/elementwise.hpp"
#include "runtime/lowering.hpp"
#include "runtime/parallel.hpp"

namespace weft {
namespace {

constexpr std::size_t grain = 16384;  // elements

bool is_true(float x) { return x != 0; }
bool is_true(Bf16 x) { return (static_cast<unsigned>(x) & 0x7fff) != 0; }  // neither 0 nor -0
bool is_true(std::int32_t x) { return x != 0; }
bool is_true(std::int8_t x) { return x != 0; }
bool is_true(std::uint8_t x) { return x != 0; }

/// Elements of type T are only moved: any type of their size will do.
template <class Condition, class T>
void select_all(const std::byte* condition, const std::byte* a, const std::byte* b, std::byte* y,
                std::size_t count) {
  parallel_for(count, grain, [=](std::size_t first, std::size_t last) {
    const auto* c = as<Condition>(condition);
    for (std::size_t i = first; i < last; ++i) {
      const T x = as<T>(a)[i], z = as<T>(b)[i];
      as<T>(y)[i] = is_true(c[i]) ? x : z;
    }
  });
}

using Loop = void (*)(const std::byte* condition, const std::byte* a, const std::byte* b,
                      std::byte* y, std::size_t count);

template <class Condition>
Loop loop_of(std::size_t element_bytes) {
  if (element_bytes == 4) return select_all<Condition, std::uint32_t>;
  if (element_bytes == 2) return select_all<Condition, std::uint16_t>;
  return select_all<Condition, std::uint8_t>;
}

Loop loop_of(DType condition, std::size_t element_bytes) {
  switch (condition) {
    case DType::f32:
      return loop_of<float>(element_bytes);
    case DType::bf16:
      return loop_of<Bf16>(element_bytes);
    case DType::s32:
      return loop_of<std::int32_t>(element_bytes);
    case DType::s8:
      return loop_of<std::int8_t>(element_bytes);
    case DType::u8:
      return loop_of<std::uint8_t>(element_bytes);
  }
  return nullptr;
}

struct Select {
  static std::string_view name() { return "select"; }
  friend bool operator==(const Select&, const Select&) = default;

  std::vector<Type> infer(std::span<const Type> in) const {
    expect_inputs(name(), in, 3);
    const Type &condition = in[0], &a = in[1], &b = in[2];
    if (a.dtype != b.dtype) {
      fail<TypeError>("select: a and b must be of one dtype, {} and {} were given; see cast", a, b);
    }
    if (condition.dtype != a.dtype && condition.dtype != DType::s32 &&
        condition.dtype != DType::u8) {
      fail<TypeError>(
          "select: the condition must be of a's dtype ({}), s32 or u8, {} was given; see cast",
          a.dtype, condition);
    }
    if (condition.shape != a.shape || a.shape != b.shape) {
      fail<ShapeError>("select: shapes must be equal, {}, {} and {} were given", condition, a, b);
    }
    return {a};
  }

  // da = dy where the condition holds, db = dy where it does not
  std::vector<Value> vjp(const VjpArgs& args) const {
    const Value condition = args.inputs[0], dy = args.cotangents[0], zero = zeros_like(dy);
    return {Value{}, args.wants(1) ? select(condition, dy, zero) : Value{},
            args.wants(2) ? select(condition, zero, dy) : Value{}};
  }

  std::vector<Array> evaluate(std::span<const Array> in) const {
    Array y(in[1].shape);
    for (std::size_t i = 0; i < y.data.size(); ++i) {
      y.data[i] = in[0].data[i] != 0 ? in[1].data[i] : in[2].data[i];
    }
    return {y};
  }

  void lower(Lowering& l) const {
    const Type &condition = l.input(0), &a = l.input(1);
    if (condition.dtype == DType::f32 && a.dtype == DType::f32) return lower_elementwise(l, *this);
    const Operand in_a = l.read_row_major(1);
    l.step({l.read_row_major(0), in_a, l.read_row_major(2)}, {l.write_over(0, in_a)},
           [loop = loop_of(condition.dtype, size_of(a.dtype)),
            count = static_cast<std::size_t>(a.shape.elements())](auto reads, auto writes) {
             loop(reads[0], reads[1], reads[2], writes[0], count);
           });
  }

  // For a condition of f32, too.
  Elementwise elementwise() const {
    return {[](const Elementwise&, const float* const* in, float* out, std::size_t n) {
      const float *condition = in[0], *a = in[1], *b = in[2];
      for (std::size_t i = 0; i < n; ++i) {
        const float x = a[i], z = b[i];
        out[i] = condition[i] != 0 ? x : z;
      }
    }};
  }
};

const Register registered{Select{}};

}  // namespace

Value select(Value condition, Value a, Value b) {
  const Shape shape =
      broadcast(condition.shape(), broadcast(a.shape(), b.shape(), "select"), "select");
  const auto spread = [&](Value x) { return x.shape() == shape ? x : broadcast_to(x, shape); };
  return apply(Select{}, {spread(condition), spread(a), spread(b)});
}

}  // namespace weft
