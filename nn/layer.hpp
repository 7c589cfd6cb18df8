// Layer: a model's building block. Scope: where a layer gets its parameters from while a model is
// traced into a graph. A layer is any struct with a name and one call operator:
//
//   struct Scale {
//     static std::string_view name() { return "Scale"; }
//     Value operator()(nn::Scope& scope, Value x) const {
//       return x * scope.parameter("factor", {x.shape()[-1]}, "ones");
//     }
//   };
//
// One that takes several inputs has const std::vector<Value>& in the place of Value x, and one that
// makes several outputs returns std::vector<Value>.
#pragma once

#include <concepts>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <typeinfo>
#include <utility>
#include <vector>

#include "graph/graph.hpp"
#include "nn/constraints.hpp"
#include "nn/initializers.hpp"
#include "nn/names.hpp"
#include "nn/regularizers.hpp"
#include "runtime/compile.hpp"
#include "runtime/variables.hpp"

namespace weft::nn {

class Layer;
class Symbol;
class Symbols;

/// What collects while a model is traced: its weights, in order of creation, and what is to be kept
/// of a step. Models make it; layers see it through their Scope.
struct Trace {
  struct Weight {
    std::string name;  ///< "conv2d/kernel": also its name in `variables`
    Value value;
    bool is_parameter;      ///< of parameter(), not of state()
    bool trainable;         ///< a parameter of a layer that is not frozen
    std::size_t owner = 0;  ///< how much of the name is that of the layer that a model called
    Regularizer regularizer{};
    Constraint constraint{};
  };

  Graph& graph;
  Variables& variables;  ///< a weight that is not there yet is initialized
  std::uint64_t seed;    ///< of initial weights, together with their names
  bool training;
  std::size_t replicas = 1;  ///< how many will run the graph side by side (runtime/compile.hpp)
  float share = 1;           ///< the slice's rows / the batch's rows
  std::vector<Weight> weights{};
  std::vector<Update> updates{};  ///< in training only
  std::vector<Value> losses{};    ///< what layers add to the loss: Scope::add_loss
  Value random_key{};             ///< input "random_key", if a layer asked for it
  std::uint32_t random_streams = 0;
  /// Input "random_step", if a layer with a seed of its own asked for it: s32[2], the step and the
  /// replica.
  Value random_step{};
  std::map<std::string, std::uint32_t> seeded_draws{};  ///< of such layers, by scope
  bool types_only = false;  ///< only types are asked for: no weight is initialized
  /// Which layers were trainable when the model was compiled, by identity; of others, their own
  /// word counts.
  const std::map<const void*, bool>* trainable = nullptr;
  /// Where a weight is in `weights`, by the set of variables it lives in and its name there.
  std::map<std::pair<const void*, std::string>, std::size_t> index{};
  /// Where an update that a layer made is in `updates`: by the node and port of the variable, and
  /// of what it will be.
  std::map<std::pair<NodeId, std::uint32_t>, std::size_t> update_of{}, update_to{};
};

/// A layer's view of the trace: names that it gives are below its own, "conv2d/kernel".
class Scope {
 public:
  /// The scope of a whole model, which may be frozen.
  explicit Scope(Trace& trace, bool trainable = true) : trace_(&trace), trainable_(trainable) {}

  /// A tensor that training adjusts.
  ///   name         "kernel": unique within this call of the layer
  ///   regularizer  what it adds to the loss, once, however often the layer is called
  ///   constraint   what it is held to after each step
  ///   returns      f32 of that shape; what an earlier call of the same layer made, if there was one
  ///   throws       ArgumentError for a name used twice; ShapeError if it exists with another shape
  Value parameter(std::string_view name, const Shape& shape,
                  const Initializer& initializer = "glorot_uniform",
                  const Regularizer& regularizer = {}, const Constraint& constraint = {});
  /// A tensor that is kept, and saved, but not trained: a running mean. See update().
  Value state(std::string_view name, const Shape& shape, float fill = 0);
  Value state(std::string_view name, const Shape& shape, const Initializer& initializer);
  /// After a training step, state holds next; in evaluation and prediction nothing happens. Where a
  /// batch is cut among replicas, state holds the mean of what their slices give, weighted by their
  /// rows.
  void update(Value state, Value next);
  /// The same for a next that is equal in all replicas already, as what batch_moments gives is.
  void update_uniform(Value state, Value next);

  /// What the builders of ops/random.hpp ask for: a key that differs from step to step, and a
  /// stream that differs from call to call.
  struct RandomSource {
    Value key;  ///< s32[2]
    std::uint32_t stream;
  };
  RandomSource random();
  /// With a seed: numbers that depend on it, the step, the replica, and how often this layer has
  /// drawn before, alone.
  RandomSource random(std::optional<std::int64_t> seed);

  /// Adds to the loss that is minimized and shown. Where replicas share the batch, what each of
  /// them adds is summed: a mean over the slice must be multiplied by share(). Throws TypeError
  /// unless it is f32[].
  void add_loss(Value loss);

  bool training() const noexcept { return trace_->training; }
  /// False within a layer that is frozen: its parameters stay as they are, and what it keeps should
  /// stay too.
  bool trainable() const noexcept { return trainable_; }
  /// What part of the batch x is: less than 1 where replicas share it. The mean over the batch is
  /// the sum over replicas (ops/all_reduce.hpp) of share times the mean over the slice.
  float share() const noexcept { return trace_->share; }
  Graph& graph() const noexcept { return trace_->graph; }

  /// Calls a layer in a scope of that name below this one. Layer's own call operator does the same
  /// with the layer's given name, or else one made of its type's: "dense", "dense_1".
  Value call(const std::string& name, const Layer& layer, Value x);
  std::vector<Value> call(const std::string& name, const Layer& layer,
                          const std::vector<Value>& inputs);
  /// What a model does: as call(), and the weights are those that live with the layer, whichever
  /// model made them first.
  std::vector<Value> call_owner(const std::string& name, const Layer& layer,
                                const std::vector<Value>& inputs);

 private:
  friend class Layer;
  Scope below(const std::string& name, const Layer& layer) const;
  Value weight(std::string_view name, const Shape& shape, bool is_parameter,
               const Initializer& initializer, const Regularizer& regularizer,
               const Constraint& constraint);
  Tensor initial(const std::string& name, const Shape& shape, const Initializer& initializer) const;
  std::string name_for(const Layer& layer);

  Trace* trace_;
  std::string prefix_;  // "block/conv2d/"
  UniqueNames names_;   // of parameters and layers within this call
  // Called within this call: a second call shares weights.
  std::map<const void*, std::string> layers_;
  std::optional<Variables> home_;  // of the layer that a model called: where its weights live
  std::size_t home_prefix_ = 0;    // how much of prefix_ its names lack
  bool trainable_ = true;
};

template <class T>
concept LayerResult = std::same_as<T, Value> || std::same_as<T, std::vector<Value>>;
template <class T>
concept OneInputLayer = requires(const T& layer, Scope& scope, Value x) {
  { layer(scope, x) } -> LayerResult;
};
template <class T>
concept ManyInputLayer = requires(const T& layer, Scope& scope, const std::vector<Value>& inputs) {
  { layer(scope, inputs) } -> LayerResult;
};
template <class T>
concept LayerType = (OneInputLayer<T> || ManyInputLayer<T>)&&requires(const T& layer) {
  { layer.name() } -> std::convertible_to<std::string_view>;
}
&&std::copy_constructible<T>;

/// A model: it says itself what layer it is.
template <class T>
concept ConvertsToLayer = requires {
  &T::operator Layer;
};

/// A layer of any type, as an object: copies are the same layer. Wherever models call it, once or
/// often, in one model or in several, it has one set of weights.
///
///   const nn::Layer shared = nn::Dense(8);
///   nn::Symbol same = nn::Add()({shared(left), shared(right)});
class Layer {
 public:
  /// name: what its weights are named after; empty means layer.config.name, where there is one,
  /// else a name made of the type's.
  template <class T>
  requires(!std::same_as<T, Layer> && !ConvertsToLayer<T> && LayerType<T>)
      Layer(T layer, std::string name = {})
      : name_(std::move(name)), self_(std::make_shared<const Erased<T>>(std::move(layer))) {
    if (name_.empty()) name_ = self_->given_name();
    self_->trainable = self_->given_trainable();
  }

  /// Appends the layer to x's graph, in a scope of its own below the given one.
  ///   throws  ArgumentError for a number of inputs that it does not take, and for several outputs
  ///           where one is asked for
  Value operator()(Scope& scope, Value x) const {
    return scope.call(scope.name_for(*this), *this, x);
  }
  std::vector<Value> operator()(Scope& scope, const std::vector<Value>& inputs) const {
    return scope.call(scope.name_for(*this), *this, inputs);
  }
  /// Calls it on symbols, for a functional model (nn/symbol.hpp). Throws as above, and what the
  /// layer throws of inputs that do not fit.
  Symbol operator()(const Symbols& inputs) const;
  std::vector<Symbol> call_all(const Symbols& inputs) const;  ///< every output

  std::string type() const { return self_->type(); }          ///< "Conv2D"
  const std::string& name() const noexcept { return name_; }  ///< as given; may be empty
  /// Without the batch, as layer.config.input_shape gives it; of rank 0 if it does not.
  Shape input_shape() const { return self_->input_shape(); }
  /// The layer as a T, or nullptr if it is of another type.
  template <class T>
  const T* as() const noexcept {
    return self_->id() == typeid(T) ? &static_cast<const Erased<T>&>(*self_).layer : nullptr;
  }

  /// Whether training adjusts its weights, and those of layers in it; true unless
  /// layer.config.trainable says otherwise. A frozen BatchNormalization normalizes by what it has
  /// kept, also in training. A model that is compiled trains on as it was when it was compiled.
  bool trainable() const noexcept { return self_->trainable; }
  /// Also of all layers in a model (or in any layer that has a set_trainable of its own).
  void set_trainable(bool trainable) const;
  /// How often any layer was frozen or thawed, so that what was derived from it can be seen to be
  /// old.
  static std::uint64_t freezes() noexcept;

  /// The same layer, which models call by that name.
  Layer named(std::string name) const {
    Layer copy = *this;
    copy.name_ = std::move(name);
    return copy;
  }

  /// What it has of weights, by their names in it, "kernel"; none before a model made them.
  const Variables& weights() const noexcept { return self_->weights; }
  /// Another layer of the same type, arguments and name, with weights of its own that are equal
  /// now.
  Layer clone() const;
  /// Whether they are the same layer.
  friend bool operator==(const Layer& a, const Layer& b) noexcept { return a.self_ == b.self_; }
  /// The same for all copies, and for no other layer that lives.
  const void* identity() const noexcept { return self_.get(); }

 private:
  friend class Scope;
  struct Concept {
    virtual ~Concept() = default;
    virtual std::vector<Value> call(Scope& scope, const std::vector<Value>& inputs) const = 0;
    virtual std::shared_ptr<const Concept> clone() const = 0;
    virtual std::string type() const = 0;
    virtual std::string given_name() const = 0;
    virtual Shape input_shape() const = 0;
    virtual bool given_trainable() const = 0;
    virtual void set_inner_trainable(bool trainable) const = 0;
    virtual const std::type_info& id() const = 0;
    Variables weights{};
    mutable bool trainable = true;
  };
  template <class T>
  struct Erased final : Concept {
    explicit Erased(T value) : layer(std::move(value)) {}
    const std::type_info& id() const override { return typeid(T); }
    std::vector<Value> call(Scope& scope, const std::vector<Value>& inputs) const override {
      if constexpr (ManyInputLayer<T>) {
        return in_vector(layer(scope, inputs));
      } else {
        expect_one_input(layer.name(), inputs.size());
        return in_vector(layer(scope, inputs[0]));
      }
    }
    std::shared_ptr<const Concept> clone() const override {
      return std::make_shared<const Erased<T>>(layer);
    }
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
    bool given_trainable() const override {
      if constexpr (requires { bool(layer.config.trainable); }) {
        return layer.config.trainable;
      } else {
        return true;
      }
    }
    void set_inner_trainable(bool trainable) const override {
      if constexpr (requires { layer.set_trainable(trainable); }) layer.set_trainable(trainable);
    }
    T layer;
  };
  static std::vector<Value> in_vector(Value output) { return {output}; }
  static std::vector<Value> in_vector(std::vector<Value> outputs) { return outputs; }
  /// Throws ArgumentError.
  static void expect_one_input(std::string_view type, std::size_t inputs);

  std::string name_;
  std::shared_ptr<const Concept> self_;
};

/// Throws ArgumentError.
void expect_one_output(const Layer& layer, std::size_t outputs);

}  // namespace weft::nn
