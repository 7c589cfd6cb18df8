// Op: what a node computes, as a value. An op type is a plain struct; this file says which members
// Weft looks for, and erases the type. Nothing here or above it enumerates ops.
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <typeinfo>
#include <vector>

#include "graph/array.hpp"
#include "graph/error.hpp"
#include "graph/shape.hpp"
#include "graph/value.hpp"

namespace weft {

class Lowering;  // runtime/lowering.hpp: what `lower` writes to
class Epilogue;  // runtime/lowering.hpp: what `ride` writes to

/// Everything that a derivative rule may look at.
struct VjpArgs {
  std::span<const Value> inputs, outputs;
  std::span<const Value> cotangents;     ///< one per output; an empty Value is zero
  std::span<const std::uint8_t> wanted;  ///< one per input: is its cotangent needed?

  /// False: whatever the rule returns for this input will not be used, so it need not build it.
  bool wants(std::size_t input) const { return wanted[input] != 0; }
};

/// What an op says of itself to passes that do not know it.
struct Traits {
  bool differentiable = true;  ///< false: a gradient through this op is an error, or, if the op has
                               ///< a `vjp` all the same, its outputs are constants to it
  bool takes_epilogue = false;  ///< `lower` applies Lowering::epilogue
  bool takes_bias = false;      ///< `lower` adds Lowering::bias along the last axis
  bool takes_scale = false;     ///< `lower` multiplies output 0 along the last axis, by way of its
                                ///< last input, the kernel (Lowering::read_scaled)
  bool takes_unary = false;     ///< `lower` applies Lowering::riders, elementwise ops of one input,
                                ///< to output 0
  bool sums_replicas = false;   ///< its outputs are equal in all replicas, whatever its inputs are
};

class Op;
/// What `join` returns: the op that does the work of several, and its inputs.
struct Joined;
/// True for a value that nobody but the node that asks reads.
using OnlyHere = std::function<bool(Value)>;

/// A loop over contiguous f32 elements: out[i] = f(in[0][i], in[1][i], ...); `out` may be one of
/// `in`. Ops that have one can be joined into islands (runtime/passes/islands.cpp).
struct Elementwise {
  using Run = void (*)(const Elementwise& self, const float* const* in, float* out, std::size_t n);
  Run run = nullptr;
  int code = 0;        ///< which member of the family, for a Run that serves several
  float a = 0, b = 0;  ///< parameters of the op, where it has any

  explicit operator bool() const noexcept { return run != nullptr; }
};

/// A named attribute of an op type T, to be printed, compared and hashed.
template <class T, class M>
struct Field {
  std::string_view name;
  M T::*member;
};
template <class T, class M>
constexpr Field<T, M> field(std::string_view name, M T::*member) {
  return {name, member};
}

/// What makes a struct an op. `infer` is the type rule: it throws ShapeError or TypeError for
/// inputs that do not fit, with a message that begins with the op's name.
///
/// An op may further have these const members. At least one of `decompose` and `evaluate` is
/// required: it is what the op means. A differentiable op has `vjp` or `decompose`.
///
///   std::vector<Value> vjp(const VjpArgs&)                one cotangent per input; empty = zero
///   std::vector<Value> decompose(std::span<const Value>)  the same outputs from simpler ops
///   std::vector<Array> evaluate(std::span<const Array>)   the outputs in double precision
///   void lower(Lowering&)                                 fast steps; without it, Weft runs
///                                                         `decompose`, else `evaluate`
///   std::optional<Value> simplify(std::span<const Value>) a cheaper equal of the only output, or
///                                                         std::vector<Value>: of all outputs
///   std::optional<Joined> join(std::span<const Value>, const OnlyHere&)
///                                                         itself and what makes its inputs, as one
///                                                         op with the same outputs
///   Elementwise elementwise()                             see above
///   bool rides_on(std::size_t input)                      can be an epilogue of input's producer
///   void ride(Epilogue&, std::size_t input)               appends itself to that producer's step
///   bool adds()                                           is input 0 + input 1, broadcast
///   bool multiplies()                                     is input 0 * input 1, broadcast
///   double flops(std::span<const Type>)                   multiplications and additions, of an op
///                                                         that does many for each number: it
///                                                         decides how many threads are worth it
///   std::optional<std::size_t> channel_sum(std::size_t i, const Type& type)
///                                                         the output that is input i, which is of
///                                                         that type, summed over all axes but the
///                                                         last
///   static constexpr Traits traits
///   static constexpr auto fields = std::tuple{field("axis", &T::axis), ...}
///
/// Equality is asked last: asked first of a type that only mentions Op, it would find the
/// operator== of Op, try to turn that type into an Op, and so ask itself.
template <class T>
concept OpType = requires(const T& op, std::span<const Type> inputs) {
  { op.name() } -> std::convertible_to<std::string_view>;
  { op.infer(inputs) } -> std::same_as<std::vector<Type>>;
}
&&std::semiregular<T>&& std::equality_comparable<T>;

namespace detail {

/// An Op without its type.
struct OpConcept {
  virtual ~OpConcept() = default;
  virtual const std::type_info& type() const = 0;
  virtual const void* data() const = 0;
  virtual bool equals(const OpConcept&) const = 0;
  virtual std::string_view name() const = 0;
  virtual std::string attributes() const = 0;
  virtual Traits traits() const = 0;
  virtual std::vector<Type> infer(std::span<const Type>) const = 0;
  virtual bool has_vjp() const = 0;
  virtual std::vector<Value> vjp(const VjpArgs&) const = 0;
  virtual bool has_decompose() const = 0;
  virtual std::vector<Value> decompose(std::span<const Value>) const = 0;
  virtual bool has_evaluate() const = 0;
  virtual std::vector<Array> evaluate(std::span<const Array>) const = 0;
  virtual bool has_lower() const = 0;
  virtual void lower(Lowering&) const = 0;
  virtual std::optional<std::vector<Value>> simplify(std::span<const Value>) const = 0;
  virtual std::optional<Joined> join(std::span<const Value>, const OnlyHere&) const = 0;
  virtual Elementwise elementwise() const = 0;
  virtual bool rides_on(std::size_t) const = 0;
  virtual void ride(Epilogue&, std::size_t) const = 0;
  virtual bool adds() const = 0;
  virtual bool multiplies() const = 0;
  virtual double flops(std::span<const Type>) const = 0;
  virtual std::optional<std::size_t> channel_sum(std::size_t, const Type&) const = 0;
};

}  // namespace detail

class Op {
 public:
  template <class T>
  requires(!std::same_as<std::remove_cvref_t<T>, Op> && OpType<std::remove_cvref_t<T>>)
      Op(T op);  // implicit, so that apply(Softmax{axis}, {x}) reads as it should

  std::string_view name() const { return self_->name(); }
  /// "{stride=2,2 padding=1,1,1,1}"; empty for an op without fields.
  std::string attributes() const { return self_->attributes(); }
  Traits traits() const { return self_->traits(); }
  std::vector<Type> infer(std::span<const Type> inputs) const { return self_->infer(inputs); }

  bool has_vjp() const { return self_->has_vjp(); }
  std::vector<Value> vjp(const VjpArgs& args) const { return self_->vjp(args); }
  bool has_decompose() const { return self_->has_decompose(); }
  std::vector<Value> decompose(std::span<const Value> inputs) const {
    return self_->decompose(inputs);
  }
  bool has_evaluate() const { return self_->has_evaluate(); }
  std::vector<Array> evaluate(std::span<const Array> inputs) const {
    return self_->evaluate(inputs);
  }
  bool has_lower() const { return self_->has_lower(); }
  void lower(Lowering& lowering) const { self_->lower(lowering); }

  std::optional<std::vector<Value>> simplify(std::span<const Value> inputs) const {
    return self_->simplify(inputs);
  }
  std::optional<Joined> join(std::span<const Value> inputs, const OnlyHere& only_here) const;
  Elementwise elementwise() const { return self_->elementwise(); }
  bool rides_on(std::size_t input) const { return self_->rides_on(input); }
  void ride(Epilogue& epilogue, std::size_t input) const { self_->ride(epilogue, input); }
  bool adds() const { return self_->adds(); }
  bool multiplies() const { return self_->multiplies(); }
  double flops(std::span<const Type> inputs) const { return self_->flops(inputs); }
  std::optional<std::size_t> channel_sum(std::size_t input, const Type& type) const {
    return self_->channel_sum(input, type);
  }

  /// The op as a T, or nullptr if it is of another type.
  template <class T>
  const T* as() const noexcept;
  std::size_t hash() const;
  /// The same op type and equal attributes.
  friend bool operator==(const Op& a, const Op& b) {
    return a.self_ == b.self_ || a.self_->equals(*b.self_);
  }

 private:
  std::shared_ptr<const detail::OpConcept> self_;
};

struct Joined {
  Op op;
  std::vector<Value> inputs;
};

inline std::optional<Joined> Op::join(std::span<const Value> inputs,
                                      const OnlyHere& only_here) const {
  return self_->join(inputs, only_here);
}

/// One static Register beside each op makes it known by name: the property tests walk the registry.
/// For a family whose members share a struct, one prototype per member.
struct Register {
  Register(std::initializer_list<Op> prototypes);
};
const std::vector<Op>& registered_ops();

// ------------------------------------------------------------------------------------------------

namespace detail {

void print(std::string& out, bool value);
void print(std::string& out, std::int64_t value);
void print(std::string& out, double value);
void print(std::string& out, std::string_view value);
void print(std::string& out, DType value);
void print(std::string& out, const Shape& value);
void print(std::string& out, const Type& value);

template <class T>
void print_field(std::string& out, const T& value) {
  if constexpr (std::same_as<T, bool> || std::same_as<T, DType> || std::same_as<T, Shape> ||
                std::same_as<T, Type>) {
    print(out, value);
  } else if constexpr (std::integral<T>) {
    print(out, static_cast<std::int64_t>(value));
  } else if constexpr (std::floating_point<T>) {
    print(out, static_cast<double>(value));
  } else if constexpr (std::convertible_to<T, std::string_view>) {
    print(out, std::string_view(value));
  } else if constexpr (requires { value.list(); }) {
    print_field(out, value.list());
  } else {  // a list
    bool first = true;
    for (const auto& element : value) {
      if (!first) out += ',';
      first = false;
      print_field(out, element);
    }
  }
}

/// Appends " name=value", or nothing for a value that prints as nothing.
template <class T>
void append_field(std::string& out, std::string_view name, const T& value) {
  std::string text;
  print_field(text, value);
  if (text.empty()) return;
  out += out.empty() ? "{" : " ";
  out += name;
  out += '=';
  out += text;
}

[[noreturn]] void no_such_rule(std::string_view op, std::string_view rule);

template <class T>
struct OpModel final : OpConcept {
  static constexpr bool has_vjp_rule = requires(const T& t, const VjpArgs& a) { t.vjp(a); };
  static constexpr bool has_decompose_rule = requires(const T& t, std::span<const Value> v) {
    t.decompose(v);
  };
  static constexpr bool has_evaluate_rule = requires(const T& t, std::span<const Array> a) {
    t.evaluate(a);
  };
  static constexpr bool has_lower_rule = requires(const T& t, Lowering& l) { t.lower(l); };

  static constexpr Traits traits_of() {
    if constexpr (requires { T::traits; }) {
      return T::traits;
    } else {
      return {};
    }
  }
  static_assert(has_decompose_rule || has_evaluate_rule,
                "an op needs `decompose` or `evaluate`: one of them is what the op means");
  static_assert(!traits_of().differentiable || has_vjp_rule || has_decompose_rule,
                "a differentiable op needs `vjp` or `decompose`");

  explicit OpModel(T value) : op(std::move(value)) {}
  T op;

  const std::type_info& type() const override { return typeid(T); }
  const void* data() const override { return &op; }
  bool equals(const OpConcept& other) const override {
    return other.type() == typeid(T) && *static_cast<const T*>(other.data()) == op;
  }
  std::string_view name() const override { return op.name(); }
  std::string attributes() const override {
    std::string out;
    if constexpr (requires { T::fields; }) {
      std::apply(
          [&](const auto&... fields) { (append_field(out, fields.name, op.*fields.member), ...); },
          T::fields);
      if (!out.empty()) out += '}';
    }
    return out;
  }
  Traits traits() const override { return traits_of(); }
  std::vector<Type> infer(std::span<const Type> inputs) const override { return op.infer(inputs); }

  bool has_vjp() const override { return has_vjp_rule; }
  std::vector<Value> vjp(const VjpArgs& args) const override {
    if constexpr (has_vjp_rule) {
      return op.vjp(args);
    } else {
      no_such_rule(op.name(), "vjp");
    }
  }
  bool has_decompose() const override { return has_decompose_rule; }
  std::vector<Value> decompose(std::span<const Value> inputs) const override {
    if constexpr (has_decompose_rule) {
      return op.decompose(inputs);
    } else {
      no_such_rule(op.name(), "decompose");
    }
  }
  bool has_evaluate() const override { return has_evaluate_rule; }
  std::vector<Array> evaluate(std::span<const Array> inputs) const override {
    if constexpr (has_evaluate_rule) {
      return op.evaluate(inputs);
    } else {
      no_such_rule(op.name(), "evaluate");
    }
  }
  bool has_lower() const override { return has_lower_rule; }
  void lower(Lowering& lowering) const override {
    if constexpr (has_lower_rule) {
      op.lower(lowering);
    } else {
      no_such_rule(op.name(), "lower");
    }
  }
  std::optional<std::vector<Value>> simplify(std::span<const Value> inputs) const override {
    if constexpr (requires { op.simplify(inputs); }) {
      if (auto simpler = op.simplify(inputs)) return std::vector<Value>{*std::move(simpler)};
    }
    return std::nullopt;
  }
  std::optional<Joined> join(std::span<const Value> inputs,
                             const OnlyHere& only_here) const override {
    if constexpr (requires { op.join(inputs, only_here); }) {
      return op.join(inputs, only_here);
    } else {
      return std::nullopt;
    }
  }
  Elementwise elementwise() const override {
    if constexpr (requires { op.elementwise(); }) {
      return op.elementwise();
    } else {
      return {};
    }
  }
  bool rides_on(std::size_t input) const override {
    if constexpr (requires { op.rides_on(input); }) {
      return op.rides_on(input);
    } else {
      return false;
    }
  }
  void ride(Epilogue& epilogue, std::size_t input) const override {
    if constexpr (requires { op.ride(epilogue, input); }) {
      op.ride(epilogue, input);
    } else {
      no_such_rule(op.name(), "ride");
    }
  }
  bool adds() const override {
    if constexpr (requires { op.adds(); }) {
      return op.adds();
    } else {
      return false;
    }
  }
  bool multiplies() const override {
    if constexpr (requires { op.multiplies(); }) {
      return op.multiplies();
    } else {
      return false;
    }
  }
  double flops(std::span<const Type> inputs) const override {
    if constexpr (requires { op.flops(inputs); }) {
      return op.flops(inputs);
    } else {
      return 0;
    }
  }
  std::optional<std::size_t> channel_sum(std::size_t input, const Type& type) const override {
    if constexpr (requires { op.channel_sum(input, type); }) {
      return op.channel_sum(input, type);
    } else {
      return std::nullopt;
    }
  }
};

}  // namespace detail

template <class T>
requires(!std::same_as<std::remove_cvref_t<T>, Op> && OpType<std::remove_cvref_t<T>>) Op::Op(T op)
    : self_(std::make_shared<const detail::OpModel<T>>(std::move(op))) {}

template <class T>
const T* Op::as() const noexcept {
  return self_->type() == typeid(T) ? static_cast<const T*>(self_->data()) : nullptr;
}

/// For `infer`: throws ShapeError unless there are `count` inputs.
void expect_inputs(std::string_view op, std::span<const Type> inputs, std::size_t count);
/// For `infer`: throws TypeError unless every input is f32.
void expect_f32(std::string_view op, std::span<const Type> inputs);
/// For `infer`: throws TypeError unless every input is floating and all are of one dtype.
void expect_floating(std::string_view op, std::span<const Type> inputs);

}  // namespace weft
