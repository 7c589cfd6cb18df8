// Sequential: layers one after the other.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "nn/layers.hpp"
#include "nn/model.hpp"

namespace weft::nn {

/// A model whose layers feed one another; itself a layer that other models can contain. Its input's
/// shape comes from nn::Input as the first layer, from input_shape of the first layer, from
/// build(), or from the first data it sees.
///
///   nn::Sequential model{nn::Flatten{}, nn::Dense(10, {.activation = "softmax"})};
///   model.compile({.optimizer = "adam", .loss = "sparse_categorical_crossentropy"});
///   model.fit(images, labels, {.epochs = 5});
class Sequential : public Model {
 public:
  explicit Sequential(ModelConfig config = {}) : Model(std::move(config)) {}
  Sequential(std::initializer_list<Layer> layers, ModelConfig config = {});

  /// Appends a layer; what was built of those before it stays.
  /// Throws ArgumentError if a layer of the given name is there, or an Input is not the first one.
  Sequential& add(Layer layer);

  struct Member {
    std::string name;  ///< "dense_1": unique in this model
    Layer layer;
  };
  const std::vector<Member>& layers() const noexcept { return layers_; }
  /// Throws ArgumentError for an unknown name, listing those there are.
  const Layer& get_layer(std::string_view name) const;

  /// Layers, output shapes and numbers of parameters, as Keras prints them.
  /// Throws Error if the input's shape is not known yet.
  std::string summary();

  static std::string_view name() { return "Sequential"; }
  /// As a layer, the model starts with a copy of its weights of now.
  Value operator()(Scope& scope, Value x) const;

 private:
  Value call(Scope& scope, Value x) const override;
  std::string display_name() const override {
    return config.name.empty() ? "sequential" : config.name;
  }

  std::vector<Member> layers_;
};

}  // namespace weft::nn
