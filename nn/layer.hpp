// Layer: a model's building block, as a value. Scope: where a layer gets its parameters from while
// a model is traced into a graph. A layer is any struct with a name and one call operator:
//
//   struct Scale {
//     static std::string_view name() { return "Scale"; }
//     Value operator()(nn::Scope& scope, Value x) const {
//       return x * scope.parameter("factor", {x.shape()[-1]}, "ones");
//     }
//   };
#pragma once

#include <concepts>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <typeinfo>
#include <vector>

#include "graph/graph.hpp"
#include "nn/initializers.hpp"
#include "runtime/compile.hpp"
#include "runtime/variables.hpp"

namespace weft::nn {

class Layer;

/// What collects while a model is traced: its weights, in order of creation, and what is to be kept
/// of a step. Models make it; layers see it through their Scope.
struct Trace {
  struct Weight {
    std::string name;  ///< "conv2d/kernel": also its name in `variables`
    Value value;
    bool trainable;
  };

  Graph& graph;
  Variables& variables;  ///< a weight that is not there yet is initialized
  std::uint64_t seed;    ///< of initial weights, together with their names
  bool training;
  std::size_t replicas = 1;  ///< how many will run the graph side by side (runtime/compile.hpp)
  float share = 1;           ///< the slice's rows / the batch's rows
  std::vector<Weight> weights{};
  std::vector<Update> updates{};  ///< in training only
  Value random_key{};             ///< input "random_key", if a layer asked for it
  std::uint32_t random_streams = 0;
};

/// A layer's view of the trace: names that it gives are below its own, "conv2d/kernel".
class Scope {
 public:
  /// The scope of a whole model.
  explicit Scope(Trace& trace) : trace_(&trace) {}

  /// A tensor that training adjusts.
  ///   name     "kernel": unique within this call of the layer
  ///   returns  f32 of that shape; what an earlier call of the same layer made, if there was one
  ///   throws   ArgumentError for a name used twice; ShapeError if it exists with another shape
  Value parameter(std::string_view name, const Shape& shape,
                  const Initializer& initializer = "glorot_uniform");
  /// A tensor that is kept, and saved, but not trained: a running mean. See update().
  Value state(std::string_view name, const Shape& shape, float fill = 0);
  /// After a training step, state holds next; in evaluation and prediction nothing happens. Where a
  /// batch is cut among replicas, state holds the mean of what their slices give, weighted by their
  /// rows.
  void update(Value state, Value next);

  /// What the builders of ops/random.hpp ask for: a key that differs from step to step, and a
  /// stream that differs from call to call.
  struct RandomSource {
    Value key;  ///< s32[2]
    std::uint32_t stream;
  };
  RandomSource random();

  bool training() const noexcept { return trace_->training; }
  Graph& graph() const noexcept { return trace_->graph; }

  /// Calls a layer in a scope of that name below this one. Layer's own call operator does the same
  /// with the layer's given name, or else one made of its type's: "dense", "dense_1".
  Value call(const std::string& name, const Layer& layer, Value x);
  /// This scope, where weights that do not exist yet begin as those of the same name in
  /// `pretrained`.
  Scope starting_from(const Variables& pretrained) const;

 private:
  friend class Layer;
  Value weight(std::string_view name, const Shape& shape, bool trainable,
               const Initializer& initializer);
  std::string name_for(const Layer& layer);

  Trace* trace_;
  std::string prefix_;                        // "block/conv2d/"
  std::set<std::string, std::less<>> names_;  // of parameters and layers within this call
  std::map<const void*, std::string>
      layers_;  // called within this call: a second call shares weights
  const Variables* pretrained_ = nullptr;
  std::size_t pretrained_prefix_ = 0;  // how much of prefix_ its names lack
};

template <class T>
concept LayerType = requires(const T& layer, Scope& scope, Value x) {
  { layer(scope, x) } -> std::same_as<Value>;
  { layer.name() } -> std::convertible_to<std::string_view>;
}
&&std::copy_constructible<T>;

/// A layer of any type. Copies are the same layer: called twice in one model, it shares its
/// weights.
class Layer {
 public:
  /// name: what its weights are named after; empty means layer.config.name, where there is one,
  /// else a name made of the type's.
  template <class T>
  requires(!std::same_as<T, Layer> && LayerType<T>) Layer(T layer, std::string name = {})
      : name_(std::move(name)), self_(std::make_shared<const Erased<T>>(std::move(layer))) {
    if (name_.empty()) name_ = self_->given_name();
  }

  /// Appends the layer to x's graph, in a scope of its own below the given one.
  Value operator()(Scope& scope, Value x) const {
    return scope.call(scope.name_for(*this), *this, x);
  }

  std::string type() const { return self_->type(); }          ///< "Conv2D"
  const std::string& name() const noexcept { return name_; }  ///< as given; may be empty
  /// Without the batch, as layer.config.input_shape gives it; of rank 0 if it does not.
  Shape input_shape() const { return self_->input_shape(); }
  /// The layer as a T, or nullptr if it is of another type.
  template <class T>
  const T* as() const noexcept {
    return self_->id() == typeid(T) ? &static_cast<const Erased<T>&>(*self_).layer : nullptr;
  }

 private:
  friend class Scope;
  struct Concept {
    virtual ~Concept() = default;
    virtual Value call(Scope& scope, Value x) const = 0;
    virtual std::string type() const = 0;
    virtual std::string given_name() const = 0;
    virtual Shape input_shape() const = 0;
    virtual const std::type_info& id() const = 0;
  };
  template <class T>
  struct Erased final : Concept {
    explicit Erased(T value) : layer(std::move(value)) {}
    const std::type_info& id() const override { return typeid(T); }
    Value call(Scope& scope, Value x) const override { return layer(scope, x); }
    std::string type() const override { return std::string(layer.name()); }
    std::string given_name() const override {
      if constexpr (requires { std::string(layer.config.name); }) {
        return layer.config.name;
      } else {
        return {};
      }
    }
    Shape input_shape() const override {
      if constexpr (requires { Shape(layer.config.input_shape); }) {
        return layer.config.input_shape;
      } else {
        return {};
      }
    }
    T layer;
  };

  std::string name_;
  std::shared_ptr<const Concept> self_;
};

/// A name that is not taken: base, else base_1, base_2, ...
template <class Taken>
std::string free_name(const std::string& base, Taken taken) {
  std::string name = base;
  for (int i = 1; taken(name); ++i) name = base + '_' + std::to_string(i);
  return name;
}

}  // namespace weft::nn
