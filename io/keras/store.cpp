// Weights in the store of a .keras or .weights.h5: an object's variables by number, below a name
// made of its class.
#include <algorithm>
#include <array>
#include <set>
#include <string>
#include <vector>

#include "graph/print.hpp"
#include "io/keras/names.hpp"
#include "io/keras/optimizers.hpp"
#include "io/keras/owned.hpp"
#include "io/keras/weights.hpp"
#include "nn/names.hpp"

namespace weft::keras {
namespace {

/// How layers are found in a store. All name them by their class and a number: "dense", "dense_1".
struct Scheme {
  std::string_view container;
  /// A layer that is in a model within this one, too, was kept there, and takes no number.
  bool skips_known;
  /// A layer with weights takes two numbers, so that the second is "dense_2".
  bool counts_twice;
};
constexpr std::array schemes{
    Scheme{"layers", false, false},                         // Keras 3
    Scheme{"layers", true, false},                          // 2.15
    Scheme{"_layer_checkpoint_dependencies", true, false},  // 2.14
    Scheme{"_layer_checkpoint_dependencies", false, true},  // 2.12, 2.13
};

/// Keras 3's name of a class: no word begins at a digit or within capitals.
std::string key_of(const nn::Layer& layer) {
  const auto* nested = layer.as<nn::NestedModel>();
  return nn::snake_case(nested != nullptr ? file_type(nested->type, nested->network)
                                          : layer.type());
}

/// Layers that draw random numbers have the generator's state, a seed and a count, in Keras 3.
bool draws(const nn::Layer& layer) {
  static const std::set<std::string> types{"Dropout",       "SpatialDropout1D", "SpatialDropout2D",
                                           "GaussianNoise", "GaussianDropout",  "AlphaDropout"};
  return types.contains(layer.type());
}

using Identities = std::set<const void*>;

void add_all(const nn::Layer& layer, Identities& known) {
  if (!known.insert(layer.identity()).second) return;
  const auto* nested = layer.as<nn::NestedModel>();
  if (nested == nullptr) return;
  for (const auto& member : nested->network.layers) add_all(member.layer, known);
}

struct Entry {
  std::string key;
  const nn::Network::Member& member;
};

/// The layers of a model that are kept in its own part of a store, where `known` are kept elsewhere.
std::vector<Entry> entries(const nn::Network& network, const Owned& owned, const Scheme& scheme,
                           Identities known) {
  std::vector<Entry> result;
  nn::UniqueNames keys;
  for (const nn::Network::Member& member : network.layers) {
    const bool is_known = known.contains(member.layer.identity());
    if (is_known && scheme.skips_known) continue;
    const std::string key = keys.make(key_of(member.layer));
    if (scheme.counts_twice && !owned.below(member.layer).empty()) keys.make(key_of(member.layer));
    if (is_known) continue;
    add_all(member.layer, known);
    result.push_back({key, member});
  }
  return result;
}

/// A layer that is in several models is written for each: in a file, they are layers of their own.
void write_layers(nn::Model& model, const Owned& owned, const nn::Network& network,
                  const NewHdf5Group& to) {
  to.create_group("vars");
  nn::UniqueNames keys;
  for (const nn::Network::Member& member : network.layers) {
    const NewHdf5Group group = to.create_group("layers/" + keys.make(key_of(member.layer)));
    if (const auto* nested = member.layer.as<nn::NestedModel>()) {
      write_layers(model, owned, nested->network, group);
      continue;
    }
    const NewHdf5Group vars = group.create_group("vars");
    vars.set_text("name", file_name(member.name));
    std::size_t number = 0;
    for (const auto& weight : owned.of(member.layer)) {
      vars.write(std::to_string(number++), model.variables().get(weight.name));
    }
    if (draws(member.layer)) group.create_group("seed_generator/vars").write_seed("0");
  }
}

/// Keras of Windows, until 3.0, made one name of a path: "layers\\dense".
char separator_of(const Hdf5Group& root) {
  for (const std::string& child : root.children()) {
    for (const Scheme& scheme : schemes) {
      if (child.starts_with(std::string(scheme.container) + '\\')) return '\\';
    }
  }
  return '/';
}

/// Reads a model's layers, and those of models in it, each once.
class StoreReader {
 public:
  StoreReader(const Owned& owned, const Hdf5Group& root, bool skip_mismatch)
      : owned_(owned), root_(root), separator_(separator_of(root)), skip_mismatch_(skip_mismatch) {}

  /// Those of a model at a place, "" or "layers/functional/".
  void read(const nn::Network& network, const std::string& place) {
    const Scheme& scheme = scheme_of(network, place);
    for (const auto& [key, member] : entries(network, owned_, scheme, known_)) {
      known_.insert(member.layer.identity());
      if (owned_.below(member.layer).empty()) continue;
      const std::string at = place_of(place, scheme, key);
      if (const auto* nested = member.layer.as<nn::NestedModel>()) {
        read(nested->network, at + separator_);
      } else {
        read_or_skip(member, at);
      }
    }
  }
  Incoming incoming() && { return std::move(incoming_); }

 private:
  std::string place_of(const std::string& place, const Scheme& scheme,
                       const std::string& key) const {
    return place + std::string(scheme.container) + separator_ + key;
  }

  /// The first by which most layers are found with as many weights as they have.
  const Scheme& scheme_of(const nn::Network& network, const std::string& place) const {
    const Scheme* best = nullptr;
    std::size_t most = 0;
    for (const Scheme& scheme : schemes) {
      std::size_t fitting = 0;
      for (const auto& [key, member] : entries(network, owned_, scheme, known_)) {
        const std::size_t count = owned_.below(member.layer).size();
        const std::string at = place_of(place, scheme, key);
        if (count == 0 || !root_.has_group(at)) continue;
        if (member.layer.as<nn::NestedModel>() != nullptr) {
          ++fitting;
        } else if (root_.has_group(at + "/vars")) {
          fitting += root_.group(at + "/vars").children().size() == count ? 1 : 0;
        }
      }
      if (best != nullptr && fitting <= most) continue;
      best = &scheme;
      most = fitting;
    }
    return *best;
  }

  void read_or_skip(const nn::Network::Member& member, const std::string& place) {
    if (!skip_mismatch_) return read_layer(incoming_, member, place);
    Incoming trial = incoming_;
    try {
      read_layer(trial, member, place);
      incoming_ = std::move(trial);
    } catch (const Error&) {
    }
  }

  void read_layer(Incoming& to, const nn::Network::Member& member, const std::string& place) const {
    const Weights weights = owned_.of(member.layer);
    const Hdf5Group vars = root_.group(place).group("vars");
    const std::size_t stored = vars.children().size();
    if (stored != weights.size()) {
      fail<ShapeError>("layer \"{}\" has {} weights, but {} are in the file, at \"{}\"",
                       member.name, weights.size(), stored, vars.path());
    }
    for (std::size_t i = 0; i < weights.size(); ++i) to.read(weights[i], vars, std::to_string(i));
  }

  const Owned& owned_;
  const Hdf5Group& root_;
  char separator_;
  bool skip_mismatch_;
  Identities known_{};
  Incoming incoming_{};
};

}  // namespace

bool is_store(const Hdf5Group& root) {
  return root.has_group("layers") || root.has_group("_layer_checkpoint_dependencies") ||
         separator_of(root) != '/';
}

void write_store(nn::Model& model, const NewHdf5Group& root) {
  const Owned owned(model);
  write_layers(model, owned, model.network(), root);
  write_optimizer(model, root.create_group("optimizer"));
}

void read_store(nn::Model& model, const Hdf5Group& root, const LoadOptions& options) {
  if (options.by_name) {
    fail<ArgumentError>(
        "load_weights: by_name is for .h5 files: a .weights.h5 or .keras has no names");
  }
  const Owned owned(model);
  StoreReader reader(owned, root, options.skip_mismatch);
  reader.read(model.network(), "");
  std::move(reader).incoming().apply(model);
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
      vars.write_integer(place, value.item<std::int32_t>());
    } else {
      vars.write(place, value);
    }
  }
}

bool read_optimizer(nn::Model& model, const Hdf5Group& group) {
  if (!model.is_compiled() || !group.has_group("vars")) return false;
  const Hdf5Group vars = group.group("vars");
  std::vector<Kept> kept = kept_by_optimizer(model);
  const std::size_t stored = vars.children().size();
  if (stored + 1 == kept.size()) {  // Keras 2 does not keep the learning rate there
    std::erase_if(kept, [](const Kept& one) { return one.slot == "learning_rate"; });
  }
  if (stored != kept.size()) return false;
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
        kept[i].name, is_count(kept[i]) ? count_of_steps(vars.integer(place)) : vars.array(place));
  }
  return true;
}

}  // namespace weft::keras
