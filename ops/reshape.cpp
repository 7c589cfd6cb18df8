#include "ops/reshape.hpp"

#include "graph/graph.hpp"
#include "graph/print.hpp"
#include "runtime/lowering.hpp"

namespace weft {
namespace {

struct Reshape {
  Shape shape;
  static constexpr auto fields = std::tuple{field("shape", &Reshape::shape)};
  static std::string_view name() { return "reshape"; }
  friend bool operator==(const Reshape&, const Reshape&) = default;

  std::vector<Type> infer(std::span<const Type> in) const {
    expect_inputs(name(), in, 1);
    if (in[0].shape.elements() != shape.elements()) {
      fail<ShapeError>("reshape: cannot turn {} ({} elements) into {} ({} elements)", in[0],
                       in[0].shape.elements(), shape, shape.elements());
    }
    return {{in[0].dtype, shape}};
  }

  // dx = dy in the shape of x
  std::vector<Value> vjp(const VjpArgs& a) const {
    return {reshape(a.cotangents[0], a.inputs[0].shape())};
  }

  std::vector<Array> evaluate(std::span<const Array> in) const { return {{shape, in[0].data}}; }

  std::optional<Value> simplify(std::span<const Value> in) const {
    if (in[0].shape() == shape) return in[0];
    if (in[0].op().as<Reshape>() != nullptr) return reshape(in[0].inputs()[0], shape);
    return std::nullopt;
  }

  void lower(Lowering& l) const { l.view(0, 0); }
};

const Register registered{Reshape{}};

}  // namespace

Value reshape(Value x, const Shape& shape) { return apply(Reshape{shape}, {x}); }

Value flatten(Value x) {
  const Shape& shape = x.shape();
  if (shape.rank() == 0) {
    fail<ShapeError>("flatten: {} has no axes; the first one is kept, so there must be one",
                     x.type());
  }
  std::int64_t rest = 1;
  for (const auto* size = shape.begin() + 1; size != shape.end(); ++size) rest *= *size;
  return reshape(x, {shape[0], rest});
}

}  // namespace weft
