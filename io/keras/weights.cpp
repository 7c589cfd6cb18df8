#include "io/keras/weights.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <iterator>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "graph/print.hpp"
#include "io/keras/names.hpp"
#include "io/keras/network.hpp"
#include "io/keras/optimizers.hpp"
#include "io/keras/owned.hpp"
#include "io/quoted.hpp"
#include "nn/convolutional.hpp"
#include "nn/names.hpp"

namespace weft::keras {
namespace {

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

/// A layer with weights; in an .h5 it may have the other name.
struct ModelLayer {
  std::string name, name_in_file;
  Weights weights;
};

std::vector<ModelLayer> layers_with_weights(const Owned& owned,
                                            const std::vector<nn::Network::Member>& members) {
  std::vector<ModelLayer> layers;
  for (const auto& [name, layer] : members) {
    ModelLayer with{name, file_name(name), owned.below(layer)};
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
    const OwnedWeight& weight = to.weights[i];
    const nn::Layer* layer = file.owned.layer_of(weight);
    const bool is_kernel = layer != nullptr && weight.own.ends_with("kernel");
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

namespace {

/// Where the weights of a layer lie in its group: "conv2d/kernel:0", as Keras 2 names them.
class LegacyPlaces {
 public:
  LegacyPlaces(const Owned& owned, const nn::Network::Member& member) : owned_(owned) {
    const bool is_model = member.layer.as<nn::NestedModel>() != nullptr;
    enter(member.layer, is_model ? "" : member.name + '/');
  }
  const std::string& of(const OwnedWeight& weight) const { return places_.at(weight.name); }

 private:
  void enter(const nn::Layer& layer, const std::string& prefix) {
    if (const auto* nested = layer.as<nn::NestedModel>()) {
      for (const auto& [name, inner] : with_file_names(nested->network).layers) {
        enter(inner, prefix + name + '/');
      }
      return;
    }
    for (const auto& weight : owned_.of(layer)) {
      std::string own = weight.own;
      if (layer.as<nn::DepthwiseConv2D>() != nullptr && own == "kernel") own = "depthwise_kernel";
      std::string place = prefix;
      for (std::size_t begin = 0, end = 0; end != own.npos; begin = end + 1) {
        end = own.find('/', begin);
        place += file_name(own.substr(begin, end - begin));
        if (end != own.npos) place += '/';
      }
      places_.emplace(weight.name, names_.make(place) + ":0");
    }
  }

  const Owned& owned_;
  nn::UniqueNames names_;
  std::map<std::string, std::string> places_;  // by the weight's name
};

}  // namespace

void write_legacy_weights(nn::Model& model, const NewHdf5Group& to) {
  const Owned owned(model);
  const nn::Network network = with_file_names(model.network());
  std::vector<std::string> names;
  for (const auto& member : network.layers) names.push_back(member.name);
  to.set_texts("layer_names", names);
  to.set_text("backend", "tensorflow");
  to.set_text("keras_version", "2.15.0");
  for (const auto& member : network.layers) {
    const NewHdf5Group group = to.create_group(member.name);
    const LegacyPlaces where(owned, member);
    std::vector<std::string> places;
    for (const auto& weight : owned.below(member.layer)) {
      places.push_back(where.of(weight));
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
  std::vector<ModelLayer> to = layers_with_weights(owned, model.network().layers);
  if (to.size() != from.size()) {
    std::vector<ModelLayer> flat = layers_with_weights(owned, flat_layers(model.network()));
    if (flat.size() == from.size()) to = std::move(flat);
  }
  Incoming incoming;
  if (options.by_name) {
    for (const LegacyLayer& layer : from) {
      for (const ModelLayer& candidate : to) {
        if (candidate.name == layer.name || candidate.name_in_file == layer.name) {
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

}  // namespace weft::keras
