#include "nn/layer.hpp"

#include <atomic>
#include <utility>

#include "graph/print.hpp"
#include "ops/all_reduce.hpp"
#include "ops/binary.hpp"
#include "runtime/fork.hpp"

namespace weft::nn {
namespace {

std::pair<NodeId, std::uint32_t> key_of(Value value) { return {value.node(), value.port()}; }

}  // namespace

Value Scope::parameter(std::string_view name, const Shape& shape, const Initializer& initializer,
                       const Regularizer& regularizer, const Constraint& constraint) {
  return weight(name, shape, true, initializer, regularizer, constraint);
}

Value Scope::state(std::string_view name, const Shape& shape, float fill) {
  return weight(name, shape, false, Constant{fill}, {}, {});
}

Value Scope::state(std::string_view name, const Shape& shape, const Initializer& initializer) {
  return weight(name, shape, false, initializer, {}, {});
}

Value Scope::weight(std::string_view name, const Shape& shape, bool is_parameter,
                    const Initializer& initializer, const Regularizer& regularizer,
                    const Constraint& constraint) {
  std::string full = prefix_ + std::string(name);
  if (!names_.take(std::string(name))) {
    fail<ArgumentError>(
        "scope: \"{}\" is made twice in one call of a layer; another layer within it needs a scope "
        "of its own: make it an nn::Layer, or call it by scope.call()",
        full);
  }
  const Type type{DType::f32, shape};
  Variables& variables = trace_->variables;
  const Variables& home = home_ ? *home_ : variables;
  const std::string own = full.substr(home_prefix_);  // its name there
  const std::pair<const void*, std::string> key{&home.store(), own};
  const bool trainable = is_parameter && trainable_;
  if (const auto found = trace_->index.find(key); found != trace_->index.end()) {
    Trace::Weight& weight = trace_->weights[found->second];
    weight.trainable = weight.trainable && trainable;
    if (weight.value.shape() != shape) {
      fail<ShapeError>(
          "scope: \"{}\" is shared by two calls, but the first needs it as {} and the second as "
          "f32{}",
          weight.name, weight.value.type(), shape);
    }
    // A second call of a layer finds what the first one left.
    const auto update = trace_->update_of.find(key_of(weight.value));
    return update == trace_->update_of.end() ? weight.value : trace_->updates[update->second].next;
  }
  // Models in several threads may call the layer for the first time at once.
  const Section section(Section::Kind::compile);
  const auto making = home.making();
  // A layer "n/d" and a layer "d" of a model "n" would give the same name.
  std::string unique = full;
  for (int i = 1; !trace_->index.emplace(std::pair(nullptr, unique), trace_->weights.size()).second;
       ++i) {
    unique = fmt::format("{}_{}", full, i);
  }
  full = unique;
  if (home.contains(own)) {
    if (home.type(own) != type) {
      fail<ShapeError>("scope: \"{}\" is {} already, but with this input it would be {}", full,
                       home.type(own), type);
    }
    if (!trace_->types_only) variables.share(full, home, own);
  } else if (!trace_->types_only) {
    if (!variables.contains(full)) variables.set(full, initial(full, shape, initializer));
    if (variables.type(full) != type) {
      fail<ShapeError>("scope: \"{}\" is {} already, but with this input it would be {}", full,
                       variables.type(full), type);
    }
    if (home_) home_->share(own, variables, full);
  }
  const Value value = trace_->graph.variable(type, full);
  trace_->index.emplace(key, trace_->weights.size());
  trace_->weights.push_back(
      {full, value, is_parameter, trainable, home_prefix_, regularizer, constraint});
  return value;
}

Tensor Scope::initial(const std::string& name, const Shape& shape,
                      const Initializer& initializer) const {
  const Type type{DType::f32, shape};
  Random random(trace_->seed, name);
  Tensor first;
  try {
    first = initializer(shape, random);
  } catch (const MemoryError& error) {
    fail<MemoryError>("weight \"{}\": {}", name, error.what());
  }
  if (first.type() != type) {
    fail<ShapeError>("initializer \"{}\": \"{}\" is {}, but it returned {}", initializer.name, name,
                     type, first.type());
  }
  return first;
}

void Scope::update(Value state, Value next) {
  const bool differs = training() && trace_->replicas > 1 && !is_uniform(next);
  update_uniform(state, differs ? all_reduce(next * share()) : next);
}

void Scope::update_uniform(Value state, Value next) {
  if (state.type() != next.type()) {
    fail<ShapeError>("scope: \"{}\" is {}, but its update is {}", state.name(), state.type(),
                     next.type());
  }
  if (!training()) return;
  std::size_t place = trace_->updates.size();
  if (const auto earlier = trace_->update_to.find(key_of(state));
      earlier != trace_->update_to.end()) {
    place = earlier->second;
    trace_->update_to.erase(earlier);
    trace_->updates[place].next = next;
  } else {
    trace_->updates.push_back({state, next});
    trace_->update_of.emplace(key_of(state), place);
  }
  trace_->update_to.emplace(key_of(next), place);
}

void Scope::add_loss(Value loss) {
  if (!loss || loss.type() != Type{DType::f32, {}}) {
    fail<TypeError>("scope: a loss must be f32[], not {}",
                    loss ? fmt::format("{}", loss.type()) : "an empty Value");
  }
  trace_->losses.push_back(loss);
}

Scope::RandomSource Scope::random() {
  if (!trace_->random_key) {
    trace_->random_key = trace_->graph.input({DType::s32, {2}}, "random_key");
  }
  return {trace_->random_key, trace_->random_streams++};
}

Scope::RandomSource Scope::random(std::optional<std::int64_t> seed) {
  if (!seed) return random();
  if (!trace_->random_step) {
    trace_->random_step = trace_->graph.input({DType::s32, {2}}, "random_step");
  }
  const std::uint32_t draw = trace_->seeded_draws[prefix_]++;
  Random numbers(static_cast<std::uint64_t>(*seed), fmt::format("draw {}", draw));
  return {trace_->random_step, static_cast<std::uint32_t>(numbers.bits())};
}

std::string Scope::name_for(const Layer& layer) {
  const void* identity = layer.self_.get();
  if (const auto known = layers_.find(identity); known != layers_.end()) return known->second;
  if (!layer.name().empty() && !names_.take(layer.name())) {
    fail<ArgumentError>("scope: two layers are named \"{}\"", prefix_ + layer.name());
  }
  const std::string name =
      layer.name().empty() ? names_.make(snake_case(layer.type())) : layer.name();
  layers_.emplace(identity, name);
  return name;
}

Scope Scope::below(const std::string& name, const Layer& layer) const {
  Scope inner(*trace_);
  inner.prefix_ = prefix_ + name + '/';
  inner.home_ = home_;
  inner.home_prefix_ = home_prefix_;
  inner.trainable_ = trainable_ && layer.trainable();
  if (trace_->trainable != nullptr) {
    const auto then = trace_->trainable->find(layer.identity());
    if (then != trace_->trainable->end()) inner.trainable_ = trainable_ && then->second;
  }
  return inner;
}

std::vector<Value> Scope::call(const std::string& name, const Layer& layer,
                               const std::vector<Value>& inputs) {
  Scope inner = below(name, layer);
  const NameScope named(trace_->graph, name);
  return layer.self_->call(inner, inputs);
}

std::vector<Value> Scope::call_owner(const std::string& name, const Layer& layer,
                                     const std::vector<Value>& inputs) {
  Scope inner = below(name, layer);
  inner.home_ = layer.weights();
  inner.home_prefix_ = inner.prefix_.size();
  const NameScope named(trace_->graph, name);
  return layer.self_->call(inner, inputs);
}

Value Scope::call(const std::string& name, const Layer& layer, Value x) {
  const std::vector<Value> outputs = call(name, layer, std::vector{x});
  expect_one_output(layer, outputs.size());
  return outputs[0];
}

void expect_one_output(const Layer& layer, std::size_t outputs) {
  if (outputs == 1) return;
  fail<ArgumentError>(
      "{}: it has {} outputs, where one is needed: a layer is called for all of them by call_all() "
      "on symbols, and with a vector of inputs in a scope",
      layer.name().empty() ? layer.type() : layer.name(), outputs);
}

void Layer::expect_one_input(std::string_view type, std::size_t inputs) {
  if (inputs != 1) fail<ArgumentError>("{}: it takes one input, but {} were given", type, inputs);
}

namespace {
std::atomic<std::uint64_t> freezes_so_far{0};
}

void Layer::set_trainable(bool trainable) const {
  if (self_->trainable != trainable) ++freezes_so_far;
  self_->trainable = trainable;
  self_->set_inner_trainable(trainable);
}

std::uint64_t Layer::freezes() noexcept { return freezes_so_far; }

Layer Layer::clone() const {
  Layer copy = *this;
  copy.self_ = self_->clone();
  copy.self_->trainable = trainable();
  Variables weights = copy.weights();
  for (const std::string& name : this->weights().names()) {
    weights.set(name, this->weights().get(name));
  }
  return copy;
}

}  // namespace weft::nn
