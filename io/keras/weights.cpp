#include "io/keras/weights.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "graph/print.hpp"
#include "io/keras/optimizers.hpp"
#include "io/quoted.hpp"
#include "nn/convolutional.hpp"
#include "nn/names.hpp"

namespace weft::keras {
namespace {

using Weights = std::vector<nn::Model::DeclaredWeight>;

/// A model's weights, by the layer that they belong to.
class Owned {
 public:
  explicit Owned(nn::Model& model) : all_(model.declared_weights()) { enter(model.network(), ""); }

  /// The layer that a weight belongs to; none of one within a layer of the program's.
  const nn::Layer* layer_of(const nn::Model::DeclaredWeight& weight) const {
    const auto found = layers_.find(weight.owner);
    return found == layers_.end() ? nullptr : &found->second;
  }

  /// Those of one layer, "tower/conv2d/", in order of creation.
  Weights of(const std::string& path) const {
    return select([&](const auto& weight) { return weight.owner == path; });
  }
  /// Those of a layer, and of all in it, in the legacy order: first what is trained.
  Weights below(const std::string& path) const {
    Weights result = select([&](const auto& weight) { return weight.owner.starts_with(path); });
    // Not ranges': Clang 14 does not know libstdc++'s.
    std::stable_partition(result.begin(), result.end(),
                          [](const auto& weight) { return weight.trainable; });
    return result;
  }

 private:
  template <class F>
  Weights select(F wanted) const {
    Weights result;
    std::ranges::copy_if(all_, std::back_inserter(result), wanted);
    return result;
  }
  void enter(const nn::Network& network, const std::string& path) {
    for (const auto& [name, layer] : network.layers) {
      layers_.emplace(path + name + '/', layer);
      if (const auto* nested = layer.as<nn::NestedModel>()) {
        enter(nested->network, path + name + '/');
      }
    }
  }

  Weights all_;
  std::map<std::string, nn::Layer> layers_;  // by the path of their weights
};

/// New values of weights, given to the model when all are there.
class Incoming {
 public:
  /// Reads one, of as many numbers as the weight has: others are refused before memory is taken for
  /// them. `brought` makes of it what it is now; by default it is that already. Throws ShapeError
  /// if it does not fit.
  void read(
      const nn::Model::DeclaredWeight& weight, const Hdf5Group& group, const std::string& place,
      const std::function<Tensor(Tensor)>& brought = [](Tensor value) { return value; }) {
    const Shape shape = group.shape(place);
    const auto refuse = [&] {
      fail<ShapeError>("\"{}\" is f32{} in the model, but f32{} in the file, at \"{}/{}\"",
                       weight.name, weight.shape, shape, group.path(), place);
    };
    if (shape.elements() != weight.shape.elements()) refuse();
    Tensor value = brought(group.array(place));
    if (value.shape() != weight.shape) refuse();
    values_.insert_or_assign(weight.name, std::move(value));
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

/// "kernel:0", as Keras 2 names it.
std::string legacy_name(const Owned& owned, const nn::Model::DeclaredWeight& weight,
                        const std::string& path) {
  std::string name = weight.name.substr(path.size());
  const nn::Layer* layer = owned.layer_of(weight);
  if (layer != nullptr && layer->as<nn::DepthwiseConv2D>() != nullptr && name.ends_with("kernel")) {
    name.insert(name.size() - std::string_view("kernel").size(), "depthwise_");
  }
  return name + ":0";
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

/// How kernels are to be changed that older Keras wrote.
struct OldKernels {
  bool keras1 = false;
  bool flipped = false;  ///< Theano's convolutions run backwards over theirs
};

/// Which of a model's layers have weights, in order; and the same for the layers of models in it,
/// as an .h5 has them whose models were made part of it.
struct ModelLayer {
  std::string name;
  Weights weights;
};

std::vector<ModelLayer> layers_with_weights(const Owned& owned, const FileNetwork& file) {
  std::vector<ModelLayer> layers;
  for (const FileLayer& layer : file.layers) {
    ModelLayer with{layer.name, owned.below(layer.path)};
    if (!with.weights.empty()) layers.push_back(std::move(with));
  }
  return layers;
}

/// The axes of a tensor of rank 4 in another order: axis i of the result is axis order[i].
Tensor transposed(const Tensor& tensor, const std::array<int, 4>& order) {
  const Shape& s = tensor.shape();
  const std::array<std::int64_t, 4> strides{s[1] * s[2] * s[3], s[2] * s[3], s[3], 1};
  const auto size = [&](std::size_t axis) { return s[order[axis]]; };
  const auto stride = [&](std::size_t axis) {
    return strides[static_cast<std::size_t>(order[axis])];
  };
  Tensor result(Type{DType::f32, Shape{size(0), size(1), size(2), size(3)}});
  const auto from = tensor.data<float>();
  const auto to = result.data<float>();
  std::size_t i = 0;
  for (std::int64_t a = 0; a < size(0); ++a) {
    for (std::int64_t b = 0; b < size(1); ++b) {
      for (std::int64_t c = 0; c < size(2); ++c) {
        for (std::int64_t d = 0; d < size(3); ++d) {
          to[i++] = from[static_cast<std::size_t>(a * stride(0) + b * stride(1) + c * stride(2) +
                                                  d * stride(3))];
        }
      }
    }
  }
  return result;
}

/// The order of the spatial axes, all but the last two, turned around.
Tensor flipped(const Tensor& kernel) {
  const Shape& s = kernel.shape();
  const auto block = static_cast<std::size_t>(s[s.rank() - 2] * s[s.rank() - 1]);
  Tensor result(kernel.type());
  const auto from = kernel.data<float>();
  const auto to = result.data<float>();
  for (std::size_t at = 0; at < from.size(); at += block) {
    std::copy_n(from.begin() + static_cast<std::ptrdiff_t>(at), block,
                to.begin() + static_cast<std::ptrdiff_t>(from.size() - at - block));
  }
  return result;
}

/// Keras 1 kept kernels as its back end did: Theano's [out,in,h,w], or TensorFlow's [h,w,in,out];
/// those of one dimension had a second of size 1.
Tensor from_keras1(Tensor kernel, const nn::Layer& layer, const Shape& wanted) {
  if (layer.as<nn::Conv1D>() != nullptr && kernel.shape().rank() == 4) {
    const Shape& s = kernel.shape();
    if (s[1] != 1 || s[0] != wanted[0]) kernel = transposed(kernel, {2, 3, 1, 0});
    if (kernel.shape() == Shape{wanted[0], 1, wanted[1], wanted[2]}) {
      return kernel.reshaped(wanted);
    }
    return kernel;
  }
  if (kernel.shape().rank() != 4) return kernel;
  const auto* conv = layer.as<nn::Conv2D>();
  const bool channels_first = conv != nullptr && conv->config.data_format == "channels_first";
  if (kernel.shape() == wanted && !channels_first) return kernel;
  Tensor turned = transposed(kernel, {2, 3, 1, 0});
  return turned.shape() == wanted ? turned : kernel;
}

/// The same of a Conv2DTranspose, whose kernel had the axes of a Conv2D's: [out,in,h,w], or
/// [h,w,in,out] where it is now [h,w,out,in].
Tensor deconvolution_from_keras1(const Tensor& kernel, const nn::Conv2DTranspose& layer) {
  if (kernel.shape().rank() != 4) return kernel;
  const bool channels_first = layer.config.data_format == "channels_first";
  return transposed(kernel, channels_first ? std::array{2, 3, 0, 1} : std::array{0, 1, 3, 2});
}

/// A kernel as it is now.
Tensor present_kernel(Tensor kernel, const nn::Layer& layer, const Shape& wanted, OldKernels old) {
  const auto* deconvolution = layer.as<nn::Conv2DTranspose>();
  if (old.keras1 && deconvolution != nullptr) {
    kernel = deconvolution_from_keras1(kernel, *deconvolution);
  } else if (old.keras1 || kernel.shape() != wanted) {
    kernel = from_keras1(std::move(kernel), layer, wanted);
  }
  const bool convolves = layer.as<nn::Conv1D>() != nullptr || layer.as<nn::Conv2D>() != nullptr ||
                         deconvolution != nullptr;
  return old.flipped && convolves ? flipped(kernel) : kernel;
}

/// A legacy file, and the model that it is read into.
struct LegacyFile {
  const Hdf5Group& root;
  const Owned& owned;
  OldKernels old;
};

void read_layer_weights(Incoming& incoming, const ModelLayer& to, const LegacyLayer& from,
                        const LegacyFile& file) {
  if (from.weights.size() != to.weights.size()) {
    fail<ShapeError>("layer \"{}\" has {} weights, but layer \"{}\" in the file has {}", to.name,
                     to.weights.size(), from.name, from.weights.size());
  }
  const Hdf5Group group = file.root.group(from.name);
  for (std::size_t i = 0; i < to.weights.size(); ++i) {
    const nn::Model::DeclaredWeight& weight = to.weights[i];
    const nn::Layer* layer = file.owned.layer_of(weight);
    const bool is_kernel = layer != nullptr && weight.name.ends_with("kernel");
    incoming.read(weight, group, from.weights[i], [&](Tensor value) {
      return is_kernel ? present_kernel(std::move(value), *layer, weight.shape, file.old) : value;
    });
  }
}

std::string names_of(const auto& layers) {
  std::vector<std::string> names;
  for (const auto& layer : layers) names.push_back(layer.name);
  return printable(fmt::format("{}", fmt::join(names, ", ")));
}

/// One layer's weights; with skip_mismatch, none of them if one does not fit.
void read_or_skip(Incoming& incoming, const ModelLayer& to, const LegacyLayer& from,
                  const LegacyFile& file, bool skip_mismatch) {
  if (!skip_mismatch) return read_layer_weights(incoming, to, from, file);
  Incoming trial = incoming;
  try {
    read_layer_weights(trial, to, from, file);
    incoming = std::move(trial);
  } catch (const ShapeError&) {
  }
}

}  // namespace

void write_legacy_weights(nn::Model& model, const FileNetwork& network, const NewHdf5Group& to) {
  const Owned owned(model);
  std::vector<std::string> names;
  for (const FileLayer& layer : network.layers) names.push_back(layer.name);
  to.set_texts("layer_names", names);
  to.set_text("backend", "tensorflow");
  to.set_text("keras_version", "2.15.0");
  for (const FileLayer& layer : network.layers) {
    const NewHdf5Group group = to.create_group(layer.name);
    const bool is_model = layer.layer.as<nn::NestedModel>() != nullptr;
    std::vector<std::string> places;
    for (const auto& weight : owned.below(layer.path)) {
      const std::string name = legacy_name(owned, weight, layer.path);
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
  const std::optional<std::string> version = group.text("keras_version");
  const LegacyFile file{group,
                        owned,
                        {.keras1 = !version || version->starts_with('1'),
                         .flipped = group.text("backend") == "theano"}};
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
          read_or_skip(incoming, candidate, layer, file, options.skip_mismatch);
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
    read_or_skip(incoming, to[i], from[i], file, options.skip_mismatch);
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
                  const std::string& type, const std::string& path, const NewHdf5Group& to) {
  to.create_group("vars");
  walk(network, type, path,
       [&](const std::string& key, const nn::Network::Member& member, const std::string& below) {
         const NewHdf5Group group = to.create_group("layers/" + key);
         if (const auto* nested = member.layer.as<nn::NestedModel>()) {
           write_layers(model, owned, nested->network, nested->type, below, group);
           return;
         }
         const NewHdf5Group vars = group.create_group("vars");
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
           if (owned.below(below).empty()) return;
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
             to.read(weights[i], vars, std::to_string(i));
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

void write_store(nn::Model& model, const NewHdf5Group& root) {
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

void write_optimizer(nn::Model& model, const NewHdf5Group& group) {
  const NewHdf5Group vars = group.create_group("vars");
  if (!model.is_compiled()) return;
  std::size_t number = 0;
  for (const Kept& one : kept_by_optimizer(model)) {
    const std::string place = std::to_string(number++);
    const Tensor value =
        one.name.empty() ? Tensor::full(one.shape, 0) : model.variables().get(one.name);
    if (one.slot == "iteration") {
      vars.write_integer(place, static_cast<std::int64_t>(value.item<float>()));
    } else {
      vars.write(place, value);
    }
  }
}

bool read_optimizer(nn::Model& model, const Hdf5Group& group) {
  if (!model.is_compiled() || !group.has_group("vars")) return false;
  const Hdf5Group vars = group.group("vars");
  const std::vector<Kept> kept = kept_by_optimizer(model);
  if (vars.children().size() != kept.size()) return false;
  const auto is_count = [](const Kept& one) { return one.slot == "iteration"; };
  for (std::size_t i = 0; i < kept.size(); ++i) {
    const std::string place = std::to_string(i);
    if (!vars.has_array(place)) return false;
    if (!is_count(kept[i]) && vars.shape(place) != kept[i].shape) return false;
  }
  // One by one, each into the place of what was there: all together are the larger part of a file.
  for (std::size_t i = 0; i < kept.size(); ++i) {
    const std::string place = std::to_string(i);
    if (kept[i].name.empty()) continue;
    model.variables().adopt(
        kept[i].name, is_count(kept[i]) ? Tensor::scalar(static_cast<float>(vars.integer(place)))
                                        : vars.array(place));
  }
  return true;
}

}  // namespace weft::keras
