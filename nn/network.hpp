// Network: what a model computes, as a list of calls of layers. Sequential and functional models
// differ only in how the list comes about.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "nn/layers.hpp"

namespace weft::nn {

struct Network {
  struct Input {
    std::string name;
    Shape shape;  ///< without the batch; rank 0: not known yet
    DType dtype = DType::f32;
    std::size_t position = 0;  ///< in front of which layer it is listed
  };
  struct Member {
    std::string name;  ///< "dense_1": unique in its model
    Layer layer;
  };
  /// Where a tensor comes from: the inputs count first, then the calls.
  struct Source {
    std::size_t from = 0, port = 0;
    friend bool operator==(const Source&, const Source&) = default;
  };
  struct Call {
    std::size_t layer;
    std::vector<Source> inputs;
    bool has_one_output = false;  ///< which is checked; else as many as the layer makes
  };

  std::vector<Input> inputs;
  std::vector<Member> layers;  ///< in Keras' order, which is that of the weights
  std::vector<Call> calls;     ///< each behind those that it needs
  std::vector<Source> outputs;
  UniqueNames names;  ///< of inputs and layers
  /// Where a layer is in `layers`, by identity; append() makes it anew if its size is another.
  std::unordered_map<const void*, std::size_t> places{};

  /// Appends all calls to the inputs' graph, in scopes named after the layers; returns outputs.
  ///   throws  ArgumentError for another number of inputs, and for a layer of several outputs where
  ///           one is needed; ShapeError for others than the inputs' shapes; what layers throw
  std::vector<Value> operator()(Scope& scope, const std::vector<Value>& values) const;
  /// The same, returning all that was made: the inputs, and each call's outputs.
  std::vector<std::vector<Value>> trace(Scope& scope, const std::vector<Value>& values) const;

  /// For each weight of a trace, "conv2d/kernel", the layer that it belongs to, by its place in
  /// `layers`. Names may have a "/" themselves, as in files of Keras 2: the longest that fits is
  /// the one.
  std::vector<std::size_t> owners(const Trace& trace) const;

  /// Of a network with one output: appends a call of a layer on it, which becomes the output. A
  /// layer that is there is called once more.
  /// Throws ArgumentError if another layer of the given name is there.
  void append(const Layer& layer);

  /// Of the layers that the outputs come from, made unique: "dense", "dense_1".
  std::vector<std::string> output_names() const;

  void set_trainable(bool trainable) const;  ///< of all layers
  /// Whether each layer is trainable, by identity; those of models in it, too.
  void collect_trainable(std::map<const void*, bool>& trainable) const;

  /// The same with layers, and so weights, of its own. `clones` says which layers are cloned
  /// already, by identity.
  using Clones = std::map<const void*, Layer>;
  Network clone(Clones& clones) const;
};

/// The network between symbols.
///   throws  ArgumentError for none of either, for an input that is given twice, for outputs that
///           hang on an Input that is not given, and for two layers of one given name
Network network_of(std::string_view model, const Symbols& inputs, const Symbols& outputs);

/// A model as a layer: it shares the layers, and so the weights, of the model that it was made of.
struct NestedModel {
  Network network;
  std::string type;  ///< "Sequential"
  LayerConfig config;

  const std::string& name() const noexcept { return type; }
  std::vector<Value> operator()(Scope& scope, const std::vector<Value>& inputs) const {
    return network(scope, inputs);
  }
  void set_trainable(bool trainable) const { network.set_trainable(trainable); }
};

}  // namespace weft::nn
