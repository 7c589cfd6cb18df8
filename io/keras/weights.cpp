#include "io/keras/weights.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "graph/print.hpp"
#include "nn/names.hpp"

namespace weft::keras {
namespace {

using Weights = std::vector<nn::Model::DeclaredWeight>;

/// A model's weights, by the layer that they belong to.
class Owned {
 public:
  explicit Owned(nn::Model& model) : all_(model.declared_weights()) {}

  /// Those of one layer, "tower/conv2d/", in order of creation.
  Weights of(const std::string& path) const {
    return select([&](const auto& weight) { return weight.owner == path; });
  }
  /// Those of a layer, and of all in it, in the legacy order: first what is trained. A frozen model
  /// counts as having nothing to train.
  Weights below(const std::string& path, bool trainable) const {
    Weights result = select([&](const auto& weight) { return weight.owner.starts_with(path); });
    if (trainable) {
      // Not ranges': Clang 14 does not know libstdc++'s.
      std::stable_partition(result.begin(), result.end(),
                            [](const auto& weight) { return weight.is_parameter; });
    }
    return result;
  }

 private:
  template <class F>
  Weights select(F wanted) const {
    Weights result;
    std::ranges::copy_if(all_, std::back_inserter(result), wanted);
    return result;
  }
  Weights all_;
};

/// Keras 1 kept kernels as [out,in,h,w]; so did Theano.
bool is_from_keras1(const Shape& s, const Shape& wanted) {
  return s.rank() == 4 && Shape{s[2], s[3], s[1], s[0]} == wanted;
}

Tensor from_keras1(const Tensor& kernel, const Shape& wanted) {
  const Shape& s = kernel.shape();
  Tensor result(Type{DType::f32, wanted});
  const auto from = kernel.data<float>();
  const auto to = result.data<float>();
  std::size_t i = 0;
  for (std::int64_t y = 0; y < s[2]; ++y) {
    for (std::int64_t x = 0; x < s[3]; ++x) {
      for (std::int64_t in = 0; in < s[1]; ++in) {
        for (std::int64_t out = 0; out < s[0]; ++out) {
          to[i++] = from[static_cast<std::size_t>(((out * s[1] + in) * s[2] + y) * s[3] + x)];
        }
      }
    }
  }
  return result;
}

/// New values of weights, given to the model when all are there.
class Incoming {
 public:
  /// Reads one. Throws ShapeError if it does not fit, before memory is taken for it.
  ///   legacy  it may be a kernel as Keras 1 kept it
  void read(const nn::Model::DeclaredWeight& weight, const Hdf5Group& group,
            const std::string& place, bool legacy) {
    const Shape shape = group.shape(place);
    const bool turned = shape != weight.shape && legacy && is_from_keras1(shape, weight.shape);
    if (shape != weight.shape && !turned) {
      fail<ShapeError>("\"{}\" is f32{} in the model, but f32{} in the file, at \"{}/{}\"",
                       weight.name, weight.shape, shape, group.path(), place);
    }
    const Tensor value = group.array(place);
    values_.insert_or_assign(weight.name, turned ? from_keras1(value, weight.shape) : value);
  }
  void apply(nn::Model& model) && {
    while (!values_.empty()) {
      auto first = values_.extract(values_.begin());
      model.variables().adopt(first.key(), std::move(first.mapped()));
    }
    model.weights();  // makes those that the file did not have
  }

 private:
  std::map<std::string, Tensor> values_;
};

std::string short_name(const nn::Model::DeclaredWeight& weight, const std::string& path) {
  return weight.name.substr(path.size());
}

// ---- legacy

/// A layer in a file, with the places of its weights.
struct LegacyLayer {
  std::string name;
  std::vector<std::string> weights;
};

std::vector<LegacyLayer> legacy_layers(const Hdf5Group& group) {
  std::vector<LegacyLayer> layers;
  for (const std::string& name : group.texts("layer_names")) {
    LegacyLayer layer{name, group.group(name).texts("weight_names")};
    if (!layer.weights.empty()) layers.push_back(std::move(layer));
  }
  return layers;
}

/// Which of a model's layers have weights, in order; and the same for the layers of models in it,
/// as an .h5 has them whose models were made part of it.
struct ModelLayer {
  std::string name;
  Weights weights;
};

std::vector<ModelLayer> layers_with_weights(const Owned& owned, const FileNetwork& file) {
  std::vector<ModelLayer> layers;
  for (const FileLayer& layer : file.layers) {
    ModelLayer with{layer.name, owned.below(layer.path, layer.layer.trainable())};
    if (!with.weights.empty()) layers.push_back(std::move(with));
  }
  return layers;
}

void read_layer_weights(Incoming& incoming, const ModelLayer& to, const LegacyLayer& from,
                        const Hdf5Group& root) {
  if (from.weights.size() != to.weights.size()) {
    fail<ShapeError>("layer \"{}\" has {} weights, but layer \"{}\" in the file has {}", to.name,
                     to.weights.size(), from.name, from.weights.size());
  }
  const Hdf5Group group = root.group(from.name);
  for (std::size_t i = 0; i < to.weights.size(); ++i) {
    incoming.read(to.weights[i], group, from.weights[i], true);
  }
}

std::string names_of(const auto& layers) {
  std::vector<std::string> names;
  for (const auto& layer : layers) names.push_back(layer.name);
  return fmt::format("{}", fmt::join(names, ", "));
}

/// One layer's weights; with skip_mismatch, none of them if one does not fit.
void read_or_skip(Incoming& incoming, const ModelLayer& to, const LegacyLayer& from,
                  const Hdf5Group& root, bool skip_mismatch) {
  if (!skip_mismatch) return read_layer_weights(incoming, to, from, root);
  Incoming trial = incoming;
  try {
    read_layer_weights(trial, to, from, root);
    incoming = std::move(trial);
  } catch (const ShapeError&) {
  }
}

}  // namespace

void write_legacy_weights(nn::Model& model, const FileNetwork& network, const Hdf5Group& to) {
  const Owned owned(model);
  std::vector<std::string> names;
  for (const FileLayer& layer : network.layers) names.push_back(layer.name);
  to.set_texts("layer_names", names);
  to.set_text("backend", "tensorflow");
  to.set_text("keras_version", "2.15.0");
  for (const FileLayer& layer : network.layers) {
    const Hdf5Group group = to.create_group(layer.name);
    const bool is_model = layer.layer.as<nn::NestedModel>() != nullptr;
    std::vector<std::string> places;
    for (const auto& weight : owned.below(layer.path, layer.layer.trainable())) {
      const std::string name = short_name(weight, layer.path) + ":0";
      places.push_back(is_model ? name : layer.name + '/' + name);
      group.write(places.back(), model.variables().get(weight.name));
    }
    group.set_texts("weight_names", places);
  }
  to.create_group("top_level_model_weights").set_texts("weight_names", {});
}

void read_legacy_weights(nn::Model& model, const Hdf5Group& root, const LoadOptions& options) {
  const bool whole = !root.has_attribute("layer_names") && !root.has_attribute("layer_names0") &&
                     root.has_group("model_weights");
  const Hdf5Group group = root.group(whole ? "model_weights" : "/");
  const std::vector<LegacyLayer> from = legacy_layers(group);
  const Owned owned(model);
  std::vector<ModelLayer> to = layers_with_weights(owned, file_network(model, Generation::keras3));
  if (to.size() != from.size()) {
    // Perhaps of a model whose models were made part of it.
    std::vector<ModelLayer> flat =
        layers_with_weights(owned, file_network(model, Generation::keras2));
    if (flat.size() == from.size()) to = std::move(flat);
  }
  Incoming incoming;
  if (options.by_name) {
    for (const LegacyLayer& layer : from) {
      for (const ModelLayer& candidate : to) {
        if (candidate.name == layer.name) {
          read_or_skip(incoming, candidate, layer, group, options.skip_mismatch);
        }
      }
    }
    return std::move(incoming).apply(model);
  }
  if (to.size() != from.size()) {
    fail<ShapeError>(
        "load_weights: the model has {} layers with weights ({}), but the file has {} ({})",
        to.size(), names_of(to), from.size(), names_of(from));
  }
  for (std::size_t i = 0; i < to.size(); ++i) {
    read_or_skip(incoming, to[i], from[i], group, options.skip_mismatch);
  }
  std::move(incoming).apply(model);
}

// ---- Keras 3

namespace {

/// Keras 3's name of a class: no word begins at a digit or within capitals.
std::string key_of(const std::string& class_name) { return nn::snake_case(class_name); }

/// Layers that draw random numbers have the generator's state, a seed and a count, in Keras 3.
bool draws(const nn::Layer& layer) {
  static const std::set<std::string> types{"Dropout",       "SpatialDropout1D", "SpatialDropout2D",
                                           "GaussianNoise", "GaussianDropout",  "AlphaDropout"};
  return types.contains(layer.type());
}

/// Calls f(key, layer, path) for each layer of a model, as Keras 3 walks it.
template <class F>
void walk(const nn::Network& network, const std::string& type, const std::string& path, F f) {
  nn::UniqueNames keys;
  const auto take_input = [&] { keys.make("input_layer"); };
  for (std::size_t i = 0; type != "Sequential" && i < network.inputs.size(); ++i) take_input();
  for (const nn::Network::Member& member : network.layers) {
    f(keys.make(key_of(member.layer.type())), member, path + member.name + '/');
  }
}

void write_layers(nn::Model& model, const Owned& owned, const nn::Network& network,
                  const std::string& type, const std::string& path, const Hdf5Group& to) {
  to.create_group("vars");
  walk(network, type, path,
       [&](const std::string& key, const nn::Network::Member& member, const std::string& below) {
         const Hdf5Group group = to.create_group("layers/" + key);
         if (const auto* nested = member.layer.as<nn::NestedModel>()) {
           write_layers(model, owned, nested->network, nested->type, below, group);
           return;
         }
         const Hdf5Group vars = group.create_group("vars");
         vars.set_text("name", member.name);
         std::size_t number = 0;
         for (const auto& weight : owned.of(below)) {
           vars.write(std::to_string(number++), model.variables().get(weight.name));
         }
         if (draws(member.layer)) group.create_group("seed_generator/vars").write_seed("0");
       });
}

void read_layers(Incoming& incoming, const Owned& owned, const nn::Network& network,
                 const std::string& type, const std::string& path, const Hdf5Group& from,
                 const LoadOptions& options) {
  walk(network, type, path,
       [&](const std::string& key, const nn::Network::Member& member, const std::string& below) {
         // Keras 2.12 and 2.13 kept layers by their own names.
         std::string place = "layers/" + key;
         if (!from.has_group(place) && from.has_group("_layer_checkpoint_dependencies")) {
           place = "_layer_checkpoint_dependencies/" + member.name;
         }
         const auto* nested = member.layer.as<nn::NestedModel>();
         const Weights weights = owned.of(below);
         if (nested == nullptr && weights.empty()) return;
         if (nested != nullptr) {
           if (owned.below(below, false).empty()) return;
           read_layers(incoming, owned, nested->network, nested->type, below, from.group(place),
                       options);
           return;
         }
         const auto read = [&](Incoming& to) {
           const Hdf5Group vars = from.group(place).group("vars");
           const std::size_t stored = vars.children().size();
           if (stored != weights.size()) {
             fail<ShapeError>("layer \"{}\" has {} weights, but {} are in the file, at \"{}\"",
                              member.name, weights.size(), stored, vars.path());
           }
           for (std::size_t i = 0; i < weights.size(); ++i) {
             to.read(weights[i], vars, std::to_string(i), false);
           }
         };
         if (!options.skip_mismatch) return read(incoming);
         Incoming trial = incoming;
         try {
           read(trial);
           incoming = std::move(trial);
         } catch (const Error&) {
         }
       });
}

}  // namespace

void write_store(nn::Model& model, const Hdf5Group& root) {
  const Owned owned(model);
  write_layers(model, owned, model.network(), model.type(), "", root);
  write_optimizer(model, root.create_group("optimizer"));
}

void read_store(nn::Model& model, const Hdf5Group& root, const LoadOptions& options) {
  if (options.by_name) {
    fail<ArgumentError>(
        "load_weights: by_name is for .h5 files: a .weights.h5 or .keras has no names");
  }
  const Owned owned(model);
  Incoming incoming;
  read_layers(incoming, owned, model.network(), model.type(), "", root, options);
  std::move(incoming).apply(model);
}

void write_optimizer(nn::Model& model, const Hdf5Group& group) {
  const Hdf5Group vars = group.create_group("vars");
  if (!model.is_compiled()) return;
  std::size_t number = 0;
  for (const std::string& name : model.optimizer_variables()) {
    const Tensor value = model.variables().get(name);
    const std::string place = std::to_string(number++);
    if (name.ends_with("/iteration")) {
      vars.write_integer(place, static_cast<std::int64_t>(value.item<float>()));
    } else {
      vars.write(place, value);
    }
  }
}

bool read_optimizer(nn::Model& model, const Hdf5Group& group) {
  if (!model.is_compiled() || !group.has_group("vars")) return false;
  const Hdf5Group vars = group.group("vars");
  const std::vector<std::string> names = model.optimizer_variables();
  if (vars.children().size() != names.size()) return false;
  std::vector<Tensor> values;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const std::string place = std::to_string(i);
    if (!vars.has_array(place)) return false;
    const bool is_count = names[i].ends_with("/iteration");
    if (!is_count && vars.shape(place) != model.variables().type(names[i]).shape) return false;
    values.push_back(is_count ? Tensor::scalar(static_cast<float>(vars.integer(place)))
                              : vars.array(place));
    if (values.back().type() != model.variables().type(names[i])) return false;
  }
  for (std::size_t i = 0; i < names.size(); ++i) {
    model.variables().adopt(names[i], std::exchange(values[i], {}));
  }
  return true;
}

}  // namespace weft::keras
