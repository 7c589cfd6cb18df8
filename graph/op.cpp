#include "graph/op.hpp"

#include "graph/print.hpp"

namespace weft {
namespace {

std::vector<Op>& registry() {
  static std::vector<Op> ops;
  return ops;
}

}  // namespace

Register::Register(std::initializer_list<Op> prototypes) {
  registry().insert(registry().end(), prototypes.begin(), prototypes.end());
}

const std::vector<Op>& registered_ops() { return registry(); }

std::size_t Op::hash() const {
  return std::hash<std::string>{}(std::string(name()) + attributes());
}

void expect_inputs(std::string_view op, std::span<const Type> inputs, std::size_t count) {
  if (inputs.size() != count) {
    fail<ShapeError>("{}: takes {} inputs, {} were given", op, count, inputs.size());
  }
}

void expect_f32(std::string_view op, std::span<const Type> inputs) {
  for (const Type& type : inputs) {
    if (type.dtype != DType::f32) {
      fail<TypeError>("{}: inputs must be f32, {} was given; see cast", op, type);
    }
  }
}

void expect_floating(std::string_view op, std::span<const Type> inputs) {
  for (const Type& type : inputs) {
    if (!is_floating(type.dtype)) {
      fail<TypeError>("{}: inputs must be f32 or bf16, {} was given; see cast", op, type);
    }
    if (type.dtype != inputs[0].dtype) {
      fail<TypeError>("{}: inputs must be of one dtype, {} and {} were given; see cast", op,
                      inputs[0], type);
    }
  }
}

namespace detail {

void print(std::string& out, bool value) { out += value ? "true" : ""; }  // false: left out
void print(std::string& out, std::int64_t value) { out += fmt::to_string(value); }
void print(std::string& out, double value) { out += fmt::format("{}", static_cast<float>(value)); }
void print(std::string& out, std::string_view value) { out += value; }
void print(std::string& out, DType value) { out += name_of(value); }
void print(std::string& out, const Shape& value) { out += fmt::format("{}", value); }
void print(std::string& out, const Type& value) { out += fmt::format("{}", value); }

void no_such_rule(std::string_view op, std::string_view rule) {
  fail("{}: has no `{}` (an error in Weft: the caller should have asked first)", op, rule);
}

}  // namespace detail
}  // namespace weft
