// Sequential: layers one after the other.
#pragma once

#include <initializer_list>
#include <string>

#include "nn/layers.hpp"
#include "nn/model.hpp"

namespace weft::nn {

/// A model whose layers feed one another. Its input's shape comes from nn::Input as the first
/// layer, from input_shape of the first layer, from build(), or from the first data it sees.
///
///   nn::Sequential model{nn::Flatten{}, nn::Dense(10, {.activation = "softmax"})};
///   model.compile({.optimizer = "adam", .loss = "sparse_categorical_crossentropy"});
///   model.fit(images, labels, {.epochs = 5});
class Sequential : public Model {
 public:
  explicit Sequential(ModelConfig config = {});
  Sequential(std::initializer_list<Layer> layers, ModelConfig config = {});
  /// A model that was a Sequential when it was saved: nn::Sequential m(nn::load_model("m.h5"));
  /// Throws ArgumentError for another.
  explicit Sequential(Model model);

  /// Appends a layer; what was built of those before it stays.
  /// Throws ArgumentError if another layer of the given name is there, or an Input is not the
  /// first one.
  Sequential& add(const Layer& layer);
  /// Creates the weights for samples of a shape, where they do not exist yet.
  void build(const Shape& input_shape);
};

}  // namespace weft::nn
