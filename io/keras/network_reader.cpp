#include "io/keras/network.hpp"

#include <algorithm>
#include <deque>
#include <map>
#include <optional>
#include <set>

#include "graph/print.hpp"
#include "io/keras/activations.hpp"
#include "io/keras/layers.hpp"
#include "nn/names.hpp"
#include "nn/sequential.hpp"

namespace weft::keras {
namespace {

constexpr int most_levels = 50;  // of models within models
// Calls of layers, those in models counted each time that the model is called: a short text may
// mean more of them than anything can work on.
constexpr std::uint64_t most_calls = 20'000;

bool is_model(const std::string& class_name) {
  return class_name == "Sequential" || class_name == "Functional" || class_name == "Model";
}

/// ["dense", 0, 0]: an output of a call of a layer.
bool is_reference(const Json& value) {
  return value.is_array() && value.size() >= 3 && value[0].is_string() &&
         value[1].is_number_integer() && value[2].is_number_integer();
}

/// Which calls of which layers a text refers to.
using Used = std::map<std::string, std::set<std::int64_t>>;
void collect_used(const Json& value, Used& used) {
  if (is_reference(value)) {
    used[value[0].get<std::string>()].insert(value[1].get<std::int64_t>());
  } else if (value.is_structured()) {
    for (const Json& element : value) collect_used(element, used);
  }
}

/// How often a model calls layers, at least; from some point on it is merely too often. Calls of
/// models that nothing refers to are not made.
std::uint64_t calls_in(const Json& config, const std::string& type) {
  const Json& layers = config.is_array() ? config : member(config, "layers");
  if (!layers.is_array()) return 1;
  // Apart, since they may count from different numbers.
  Used by_outputs, by_layers;
  collect_used(member(config, "output_layers"), by_outputs);
  for (const Json& entry : layers) collect_used(member(entry, "inbound_nodes"), by_layers);
  std::uint64_t all = 0;
  for (const Json& entry : layers) {
    const Json& calls = member(entry, "inbound_nodes");
    std::uint64_t times = calls.is_array() ? calls.size() : 1;
    const Json& class_name = member(entry, "class_name");
    const std::string inner = class_name.is_string() ? class_name.get<std::string>() : "";
    const bool nested = is_model(inner);
    const Json& name = member(entry, "name");
    if (nested && type != "Sequential" && name.is_string()) {
      const auto key = name.get<std::string>();
      times = std::min<std::uint64_t>(times, by_outputs[key].size() + by_layers[key].size());
    }
    all += std::min<std::uint64_t>(times, most_calls + 1) *
           (nested ? calls_in(member(entry, "config"), inner) : 1);
    if (all > most_calls) return most_calls + 1;
  }
  return std::max<std::uint64_t>(all, 1);
}

struct InputText {
  Shape shape;
  DType dtype = DType::f32;
};

DType dtype_of(const Json& value, const std::string& where) {
  if (value.is_null()) return DType::f32;
  const std::string name = value.is_string() ? value.get<std::string>() : excerpt(value);
  if (name == "float32") return DType::f32;
  for (const char* integer : {"int32", "int64", "uint8", "int8", "int16"}) {
    if (name == integer) return DType::s32;
  }
  fail<UnsupportedError>("{}: inputs of float32 and of integers are known, not of {}", where, name);
}

/// [null, 28, 28, 1] without the batch.
Shape shape_of(const Json& given, const std::string& where) {
  const Json& sizes = unwrapped(given);
  if (!sizes.is_array() || sizes.empty()) {
    fail<IoError>("{}: its shape must be a list of sizes, not {}", where, excerpt(sizes));
  }
  std::vector<std::int64_t> row;
  for (std::size_t i = 1; i < sizes.size(); ++i) {
    if (sizes[i].is_null()) {
      fail<UnsupportedError>("{}: its shape is {}: Weft compiles for sizes that are known", where,
                             excerpt(sizes));
    }
    if (!sizes[i].is_number_integer() || sizes[i].get<std::int64_t>() < 1 ||
        sizes[i].get<std::int64_t>() > std::int64_t{1} << 40) {
      fail<IoError>("{}: its shape must be a list of sizes, not {}", where, excerpt(sizes));
    }
    row.push_back(sizes[i].get<std::int64_t>());
  }
  if (row.empty()) row.push_back(1);  // mere numbers
  if (row.size() >= Shape::max_rank) {
    fail<UnsupportedError>("{}: its shape has {} axes, more than {}", where, row.size() + 1,
                           Shape::max_rank);
  }
  return Shape(row);
}

/// A config's input shape, under whichever of its names.
std::optional<Shape> input_shape_of(const Json& config, const std::string& where) {
  for (const char* key : {"batch_shape", "batch_input_shape"}) {
    const Json& shape = member(config, key);
    if (!shape.is_null()) return shape_of(shape, where);
  }
  return std::nullopt;
}

/// The same of a layer or model that a Sequential begins with.
std::optional<Shape> first_shape_of(const Described& object, const std::string& where) {
  if (object.class_name != "Sequential") return input_shape_of(*object.config, where);
  const Json& layers =
      object.config->is_array() ? *object.config : member(*object.config, "layers");
  if (!layers.is_array() || layers.empty()) return std::nullopt;
  return first_shape_of(described(layers[0], where), where);
}

InputText read_input(const Json& config, const std::string& where) {
  for (const char* key : {"sparse", "ragged", "optional"}) {
    if (member(config, key) == true) {
      fail<UnsupportedError>("{}: its input is {}, but Weft's are dense and always there", where,
                             key);
    }
  }
  const std::optional<Shape> shape = input_shape_of(config, where);
  if (!shape) fail<IoError>("{}: it has no shape", where);
  const Json& dtype = member(config, "dtype");
  return {*shape, dtype_of(dtype.is_null() ? member(config, "input_dtype") : dtype, where)};
}

std::string text_of(const Json& value, std::string_view otherwise) {
  return value.is_string() ? value.get<std::string>() : std::string(otherwise);
}

/// Keras 3 writes x + y as an operation, which may be called what a layer is called and take other
/// arguments. These mean the same where all inputs have as many axes. Returns whether it is one.
bool is_operation(const Json& entry, const Described& object) {
  const Json& module = member(entry, "module");
  if (!module.is_string() || !module.get<std::string>().starts_with("keras.src.ops")) return false;
  for (const char* same : {"Add", "Subtract", "Multiply", "Maximum", "Minimum", "Concatenate"}) {
    if (object.class_name == same) return true;
  }
  fail<UnsupportedError>(
      "\"{}\": it is an operation, {}.{}, where Weft reads layers: write the model with layers",
      text_of(member(entry, "name"), ""), module.get<std::string>(), object.class_name);
}

/// The names of all layers in a list of them.
nn::UniqueNames names_in(const Json& layers) {
  nn::UniqueNames names;
  for (const Json& entry : layers) {
    for (const Json* name : {&member(entry, "name"), &member(member(entry, "config"), "name")}) {
      if (name->is_string()) names.take(name->get<std::string>());
    }
  }
  return names;
}

/// A layer, as layers that follow each other, or a model as a layer.
std::vector<nn::Layer> read_member(const Described& object, Generation from, int levels,
                                   nn::UniqueNames& names) {
  if (!is_model(object.class_name)) {
    std::vector<nn::Layer> layers;
    for (PlainLayer& layer : without_odd_activation(object.class_name, *object.config, from)) {
      if (!layers.empty()) {
        layer.config["name"] =
            names.make(fmt::format("{}_{}", layers[0].name(), nn::snake_case(layer.class_name)));
      }
      layers.push_back(read_layer(layer.class_name, layer.config, from));
    }
    return layers;
  }
  Json inner = Json::object();
  inner["class_name"] = object.class_name;
  inner["config"] = *object.config;
  nn::Model model = read_model(inner, from, levels + 1);
  const nn::Layer layer = model;
  if (member(*object.config, "trainable") == false) layer.set_trainable(false);
  return {layer};
}

nn::Model read_sequential(const Json& config, Generation from, int levels) {
  // Before Keras 2.2.3 the config was the list itself.
  const Json& layers = config.is_array() ? config : member(config, "layers");
  const std::string name = text_of(member(config, "name"), "sequential");
  const std::string where = fmt::format("model \"{}\"", name);
  if (!layers.is_array()) fail<IoError>("{}: it has no list of layers", where);
  nn::Sequential model({.name = name});
  bool has_input = false;
  nn::UniqueNames names = names_in(layers);
  for (const Json& entry : layers) {
    const Described object = described(entry, where);
    if (object.class_name == "InputLayer") {
      const auto [shape, dtype] = read_input(*object.config, where + ": InputLayer");
      model.add(
          nn::Input(shape, {.name = text_of(member(*object.config, "name"), ""), .dtype = dtype}));
      has_input = true;
      continue;
    }
    if (!has_input && model.layers().empty()) {
      std::optional<Shape> shape = first_shape_of(object, where);
      const Json& built = member(config, "build_input_shape");
      if (!shape && !built.is_null()) shape = shape_of(built, where);
      const bool whole_numbers = object.class_name == "Embedding";
      if (shape) {
        model.add(nn::Input(*shape, {.dtype = whole_numbers ? DType::s32 : DType::f32}));
        has_input = true;
      }
    }
    for (const nn::Layer& layer : read_member(object, from, levels, names)) model.add(layer);
  }
  return model;
}

struct Reference {
  std::string layer;
  std::int64_t node = 0, port = 0;
};

Reference reference_of(const Json& value, const std::string& where) {
  if (!is_reference(value) || value[1].get<std::int64_t>() < 0 ||
      value[2].get<std::int64_t>() < 0) {
    if (is_reference(value) && value[0] == "_CONSTANT_VALUE") {
      fail<UnsupportedError>("{}: it is called with a constant, {}", where, excerpt(value));
    }
    fail<IoError>("{}: what it is called on must be [layer, call, output], not {}", where,
                  excerpt(value));
  }
  return {value[0].get<std::string>(), value[1].get<std::int64_t>(), value[2].get<std::int64_t>()};
}

bool says_nothing(const Json& value) {
  return value.is_null() || (value.is_array() && std::ranges::all_of(value, says_nothing));
}

/// Arguments of a call other than tensors: those that say what is so anyway are let pass.
void check_arguments(const Json& arguments, const std::string& where) {
  for (const auto& [key, value] : arguments.items()) {
    if (says_nothing(value) || (key == "training" && value == false)) continue;
    fail<UnsupportedError>("{}: it is called with {} = {}, which is not known", where, key,
                           excerpt(value));
  }
}

/// What Keras 3 keeps of a call's positional arguments: tensors, and lists of them.
void collect_tensors(const Json& value, const std::string& where, std::vector<Reference>& tensors) {
  if (value.is_array()) {
    for (const Json& element : value) collect_tensors(element, where, tensors);
    return;
  }
  if (member(value, "class_name") != "__keras_tensor__") {
    fail<UnsupportedError>("{}: it is called with {}, which is no tensor", where, excerpt(value));
  }
  tensors.push_back(reference_of(member(member(value, "config"), "keras_history"), where));
}

std::vector<Reference> inputs_of_call(const Json& call, const std::string& where) {
  std::vector<Reference> inputs;
  if (call.is_object()) {
    collect_tensors(member(call, "args"), where, inputs);
    const Json& arguments = member(call, "kwargs");
    if (arguments.is_object()) check_arguments(arguments, where);
  } else if (is_reference(call)) {
    inputs.push_back(reference_of(call, where));
    if (call.size() > 3 && call[3].is_object()) check_arguments(call[3], where);
  } else if (call.is_array()) {
    for (const Json& input : call) {
      inputs.push_back(reference_of(input, where));
      if (input.size() > 3 && input[3].is_object()) check_arguments(input[3], where);
    }
  } else {
    fail<IoError>("{}: a call must be a list, not {}", where, excerpt(call));
  }
  if (inputs.empty()) fail<IoError>("{}: it is called on nothing", where);
  return inputs;
}

/// input_layers and output_layers: one reference, a list of them, or an object of them, which Keras
/// takes in the order of their keys.
std::vector<Reference> references_of(const Json& value, const std::string& where) {
  if (is_reference(value)) return {reference_of(value, where)};
  std::vector<Reference> all;
  const auto add = [&](const Json& one) {
    for (Reference& inner : references_of(one, where)) all.push_back(std::move(inner));
  };
  if (value.is_array()) std::ranges::for_each(value, add);
  if (value.is_object()) {
    std::map<std::string, const Json*> by_key;
    for (const auto& [key, one] : value.items()) by_key.emplace(key, &one);
    for (const auto& [key, one] : by_key) add(*one);
  }
  if (all.empty()) fail<IoError>("{}: its inputs or outputs are {}", where, excerpt(value));
  return all;
}

/// Calls the layers on symbols, each when what it is called on is there.
class FunctionalReader {
 public:
  FunctionalReader(const Json& config, Generation from, int levels)
      : name_(text_of(member(config, "name"), "functional")),
        where_(fmt::format("model \"{}\"", name_)),
        config_(config),
        from_(from),
        levels_(levels) {}

  nn::Model model() && {
    const Json& layers = member(config_, "layers");
    if (!layers.is_array()) fail<IoError>("{}: it has no list of layers", where_);
    unique_ = names_in(layers);
    for (const Json& entry : layers) enter(entry);
    start_models_at_zero();
    drop_unused_calls();
    call_all();
    return nn::Model(symbols(member(config_, "input_layers")),
                     symbols(member(config_, "output_layers")), {.name = name_});
  }

 private:
  struct Call {
    std::string layer;
    std::int64_t node;
    std::vector<Reference> inputs;
    std::size_t missing = 0;  ///< of what it is called on
  };

  void enter(const Json& entry) {
    const Described object = described(entry, where_);
    const std::string name =
        text_of(member(entry, "name"), text_of(member(*object.config, "name"), ""));
    const std::string where = fmt::format("{}, layer \"{}\"", where_, name);
    if (name.empty()) fail<IoError>("{}: a layer has no name", where_);
    if (!names_.emplace(name, object.class_name).second) {
      fail<IoError>("{}: it is there twice", where);
    }
    if (object.class_name == "InputLayer") {
      const auto [shape, dtype] = read_input(*object.config, where);
      made_[{name, 0}] = {nn::Input(shape, {.name = name, .dtype = dtype})};
      return;
    }
    if (is_operation(entry, object)) operations_.insert(name);
    layers_.emplace(name, read_member(object, from_, levels_, unique_));
    const Json& calls = member(entry, "inbound_nodes");
    if (!calls.is_array()) fail<IoError>("{}: its inbound_nodes must be a list", where);
    std::int64_t node = 0;
    for (const Json& call : calls) calls_.push_back({name, node++, inputs_of_call(call, where)});
  }

  /// Keras 2 counts the calls of a model from 1, having made one of its own. Keras 3 does so where
  /// a functional model makes an output of the whole, and nowhere else.
  void start_models_at_zero() {
    if (from_ == Generation::keras3) {
      for (const auto& [name, class_name] : names_) {
        if (is_model(class_name) && class_name != "Sequential") output_shift_[name] = 1;
      }
      return;
    }
    std::map<std::string, std::int64_t> least;
    const auto see = [&](const Reference& reference) {
      const auto [at, first] = least.emplace(reference.layer, reference.node);
      at->second = std::min(at->second, reference.node);
    };
    for (const Call& call : calls_) std::ranges::for_each(call.inputs, see);
    std::ranges::for_each(references_of(member(config_, "output_layers"), where_), see);
    for (const auto& [name, node] : least) {
      const auto known = names_.find(name);
      if (known != names_.end() && is_model(known->second) && node > 0) output_shift_[name] = node;
    }
    for (Call& call : calls_) {
      for (Reference& input : call.inputs) input.node -= shift_of(input);
    }
  }
  std::int64_t shift_of(const Reference& reference) const {
    const auto found = output_shift_.find(reference.layer);
    return found == output_shift_.end() ? 0 : std::min(found->second, reference.node);
  }

  /// Files for Keras 2 and 3 have each call of a model twice (network_writer.cpp).
  void drop_unused_calls() {
    std::set<std::pair<std::string, std::int64_t>> used;
    for (const Call& call : calls_) {
      for (const Reference& input : call.inputs) used.emplace(input.layer, input.node);
    }
    for (const Reference& output : references_of(member(config_, "output_layers"), where_)) {
      used.emplace(output.layer, output.node - shift_of(output));
    }
    std::erase_if(calls_, [&](const Call& call) {
      return is_model(names_.at(call.layer)) && !used.contains({call.layer, call.node});
    });
  }

  void call_all() {
    std::map<std::pair<std::string, std::int64_t>, std::vector<std::size_t>> waiting;
    std::deque<std::size_t> ready;
    for (std::size_t i = 0; i < calls_.size(); ++i) {
      for (const Reference& input : calls_[i].inputs) {
        if (made_.contains({input.layer, input.node})) continue;
        waiting[{input.layer, input.node}].push_back(i);
        ++calls_[i].missing;
      }
      if (calls_[i].missing == 0) ready.push_back(i);
    }
    std::size_t done = 0;
    while (!ready.empty()) {
      const Call& call = calls_[ready.front()];
      ready.pop_front();
      ++done;
      std::vector<nn::Symbol> inputs;
      for (const Reference& input : call.inputs) inputs.push_back(symbol(input));
      if (operations_.contains(call.layer)) check_ranks(call.layer, inputs);
      for (const nn::Layer& layer : layers_.at(call.layer)) inputs = layer.call_all(inputs);
      made_[{call.layer, call.node}] = std::move(inputs);
      for (const std::size_t next : waiting[{call.layer, call.node}]) {
        if (--calls_[next].missing == 0) ready.push_back(next);
      }
    }
    if (done == calls_.size()) return;
    const auto stuck = std::ranges::find_if(calls_, [](const Call& call) { return call.missing; });
    fail<IoError>("{}: layer \"{}\" is called on what is not there, or on what hangs on it itself",
                  where_, stuck->layer);
  }

  /// A layer brings batches together, and an operation the last axes.
  void check_ranks(const std::string& layer, const std::vector<nn::Symbol>& inputs) const {
    for (const nn::Symbol& input : inputs) {
      if (input.shape().rank() == inputs[0].shape().rank()) continue;
      fail<UnsupportedError>(
          "{}: \"{}\" is an operation of {} and {}, whose axes it would bring together from the "
          "last on: write the model with layers",
          where_, layer, inputs[0].shape(), input.shape());
    }
  }

  const nn::Symbol& symbol(const Reference& reference) const {
    const auto made = made_.find({reference.layer, reference.node});
    if (made == made_.end()) {
      fail<IoError>("{}: there is no call {} of a layer \"{}\"", where_, reference.node,
                    reference.layer);
    }
    if (static_cast<std::size_t>(reference.port) >= made->second.size()) {
      fail<IoError>("{}: layer \"{}\" has no output {}", where_, reference.layer, reference.port);
    }
    return made->second[static_cast<std::size_t>(reference.port)];
  }

  std::vector<nn::Symbol> symbols(const Json& value) const {
    std::vector<nn::Symbol> all;
    for (Reference reference : references_of(value, where_)) {
      reference.node -= shift_of(reference);
      all.push_back(symbol(reference));
    }
    return all;
  }

  std::string name_, where_;
  const Json& config_;
  Generation from_;
  int levels_;
  std::map<std::string, std::string> names_;  // and classes
  nn::UniqueNames unique_;
  std::map<std::string, std::vector<nn::Layer>> layers_;
  std::set<std::string> operations_;  // of layers_
  std::map<std::string, std::int64_t> output_shift_;
  std::vector<Call> calls_;
  std::map<std::pair<std::string, std::int64_t>, std::vector<nn::Symbol>> made_;
};

}  // namespace

nn::Model read_model(const Json& model, Generation from, int levels) {
  if (levels > most_levels) fail<IoError>("model: models within models, {} deep", levels);
  const Described object = described(model, "model");
  if (!is_model(object.class_name)) {
    fail<UnsupportedError>(
        "model: \"{}\" is a class of its own: Sequential and Functional models can be read",
        object.class_name);
  }
  if (levels == 0 && calls_in(*object.config, object.class_name) > most_calls) {
    fail<IoError>("model: it calls layers more than {} times, which is refused", most_calls);
  }
  if (object.class_name == "Sequential") return read_sequential(*object.config, from, levels);
  return FunctionalReader(*object.config, from, levels).model();
}

}  // namespace weft::keras
