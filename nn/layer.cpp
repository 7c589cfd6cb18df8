#include "nn/layer.hpp"

#include <utility>

#include "graph/print.hpp"
#include "ops/all_reduce.hpp"
#include "ops/binary.hpp"

namespace weft::nn {

Value Scope::parameter(std::string_view name, const Shape& shape, const Initializer& initializer) {
  return weight(name, shape, true, initializer);
}

Value Scope::state(std::string_view name, const Shape& shape, float fill) {
  return weight(name, shape, false, Constant{fill});
}

Value Scope::weight(std::string_view name, const Shape& shape, bool trainable,
                    const Initializer& initializer) {
  const std::string full = prefix_ + std::string(name);
  if (!names_.emplace(name).second) {
    fail<ArgumentError>(
        "scope: \"{}\" is made twice in one call of a layer; another layer within it needs a scope "
        "of its own: make it an nn::Layer, or call it by scope.call()",
        full);
  }
  for (const Trace::Weight& weight : trace_->weights) {
    if (weight.name != full) continue;
    if (weight.value.shape() != shape) {
      fail<ShapeError>(
          "scope: \"{}\" is shared by two calls, but the first needs it as {} and the second as "
          "f32{}",
          full, weight.value.type(), shape);
    }
    return weight.value;
  }
  const Type type{DType::f32, shape};
  Variables& variables = trace_->variables;
  if (!variables.contains(full)) {
    const std::string short_name = full.substr(pretrained_prefix_);
    if (pretrained_ != nullptr && pretrained_->contains(short_name)) {
      variables.set(full, pretrained_->get(short_name));
    } else {
      Random random(trace_->seed, full);
      const Tensor first = initializer(shape, random);
      if (first.type() != type) {
        fail<ShapeError>("initializer \"{}\": \"{}\" is {}, but it returned {}", initializer.name,
                         full, type, first.type());
      }
      variables.set(full, first);
    }
  }
  if (variables.type(full) != type) {
    fail<ShapeError>("scope: \"{}\" is {} already, but with this input it would be {}", full,
                     variables.type(full), type);
  }
  const Value value = trace_->graph.variable(type, full);
  trace_->weights.push_back({full, value, trainable});
  return value;
}

void Scope::update(Value state, Value next) {
  if (state.type() != next.type()) {
    fail<ShapeError>("scope: \"{}\" is {}, but its update is {}", state.name(), state.type(),
                     next.type());
  }
  if (!training()) return;
  if (trace_->replicas > 1 && !is_uniform(next)) next = all_reduce(next * trace_->share);
  trace_->updates.push_back({state, next});
}

Scope::RandomSource Scope::random() {
  if (!trace_->random_key) {
    trace_->random_key = trace_->graph.input({DType::s32, {2}}, "random_key");
  }
  return {trace_->random_key, trace_->random_streams++};
}

std::string Scope::name_for(const Layer& layer) {
  const void* identity = layer.self_.get();
  if (const auto known = layers_.find(identity); known != layers_.end()) return known->second;
  const auto taken = [&](const std::string& name) { return names_.contains(name); };
  if (!layer.name().empty() && taken(layer.name())) {
    fail<ArgumentError>("scope: two layers are named \"{}\"", prefix_ + layer.name());
  }
  const std::string name =
      layer.name().empty() ? free_name(snake_case(layer.type()), taken) : layer.name();
  names_.insert(name);
  layers_.emplace(identity, name);
  return name;
}

Value Scope::call(const std::string& name, const Layer& layer, Value x) {
  Scope inner(*trace_);
  inner.prefix_ = prefix_ + name + '/';
  inner.pretrained_ = pretrained_;
  inner.pretrained_prefix_ = pretrained_prefix_;
  const NameScope named(trace_->graph, name);
  return layer.self_->call(inner, x);
}

Scope Scope::starting_from(const Variables& pretrained) const {
  Scope scope = *this;
  scope.pretrained_ = &pretrained;
  scope.pretrained_prefix_ = prefix_.size();
  return scope;
}

}  // namespace weft::nn
