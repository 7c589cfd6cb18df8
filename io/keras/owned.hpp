// What weights a model has, layer by layer, and new values for them. For io/ alone.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "io/keras/hdf5.hpp"
#include "nn/model.hpp"

namespace weft::keras {

/// A weight as a layer asks for it.
struct OwnedWeight {
  std::string name;  ///< in the model, "tower/conv2d/kernel"
  std::string own;   ///< in its layer, "kernel"
  Shape shape;
  bool trainable;
  const void* home;  ///< where it lives: its layer's set of variables
};
using Weights = std::vector<OwnedWeight>;

/// A model's weights, by the layer that they belong to. Layers are told apart by their identity, not
/// by their names: a layer "n/d" and a layer "d" of a model "n" are two.
class Owned {
 public:
  /// Throws Error if the input's shape is not known.
  explicit Owned(nn::Model& model);

  /// The layer that a weight belongs to; none of a weight that the model itself has.
  const nn::Layer* layer_of(const OwnedWeight& weight) const;
  /// Those of one layer, in order of creation.
  Weights of(const nn::Layer& layer) const;
  /// Those of a layer, and of all in it, in the legacy order: first what is trained.
  Weights below(const nn::Layer& layer) const;

 private:
  void add(const nn::Layer& layer, Weights& to) const;
  void add_below(const nn::Layer& layer, Weights& to, std::set<const void*>& known) const;
  void enter(const nn::Network& network);

  Weights all_;
  std::map<const void*, std::vector<std::size_t>> places_{};  // by home
  std::map<const void*, nn::Layer> layers_{};                 // by home
};

/// New values of weights, given to the model when all are there.
class Incoming {
 public:
  /// Reads one, of as many numbers as the weight has: others are refused before memory is taken for
  /// them. `brought` makes of it what it is now; by default it is that already. Throws ShapeError
  /// if it does not fit.
  void read(
      const OwnedWeight& weight, const Hdf5Group& group, const std::string& place,
      const std::function<Tensor(Tensor)>& brought = [](Tensor value) { return value; });
  void apply(nn::Model& model) &&;

 private:
  std::map<std::string, Tensor> values_;
};

}  // namespace weft::keras
