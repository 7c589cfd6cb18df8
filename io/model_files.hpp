// Models in files, as Keras keeps them. What of nn::Model speaks of files is defined here: save,
// load_weights, save_weights, to_json.
//
//   model.save("model.h5");                              // or .keras
//   nn::Model again = nn::load_model("model.h5");
//
// What files hold, by their ending, and who reads what is written here:
//
//   .h5, .hdf5    a model, compiled or not; from save_weights, its weights    Keras 2 and 3
//   .keras        a model, and what its optimizer keeps                       Keras 3
//   .weights.h5   weights, and what the optimizer keeps                       Keras 3
//   .json         layers and their connections                                Keras 2 and 3
//
// Training that is saved, loaded and continued goes on as if it had not stopped: from a .keras, and
// from an .h5, whose optimizer state only Weft reads.
//
// Files are written beside and renamed (io/atomic_file.hpp). No file runs code.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "nn/fields.hpp"
#include "nn/model.hpp"

namespace weft::nn {

struct LoadModelOptions {
  bool compile = true;  ///< as the file says, if it says how
  /// Called with the reason where Weft cannot compile the model as the file says: because of a
  /// metric, a loss or an optimizer's setting that Weft does not have, or that is damaged. The model
  /// is then loaded, but not compiled. By default, the reason is thrown.
  std::function<void(const std::string& reason)> if_not_compiled{};
};

/// A model from an .h5, a .keras, or a .json (which has no weights: new ones are made). The content
/// decides, not the name.
///   throws  IoError for a file that is missing, damaged, or not a model's; UnsupportedError for a
///           layer or setting that Weft does not have, naming it; ShapeError for weights that do
///           not fit the layers
Model load_model(const std::filesystem::path& file, const LoadModelOptions& options = {});

/// A model of what Model::to_json returned, or Keras' model.to_json(). Throws as load_model.
Model model_from_json(std::string_view json);

/// How a layer type of the user's is read and written.
struct LayerCodec {
  std::function<Layer(Fields&)> read;
  /// Returns false if the layer is of another type.
  std::function<bool(const Layer&, Fields&)> write;
};
/// Throws ArgumentError for a class that is there already.
void register_layer(const std::string& class_name, LayerCodec codec);

/// The same for a type with `void fields(nn::Fields&)` (nn/fields.hpp) that can be made without
/// arguments.
template <class T>
void register_layer(const std::string& class_name = std::string(T::name())) {
  register_layer(class_name, {[](Fields& fields) -> Layer {
                                T layer;
                                layer.fields(fields);
                                return Layer(std::move(layer));
                              },
                              [](const Layer& layer, Fields& fields) {
                                const T* object = layer.as<T>();
                                if (object == nullptr) return false;
                                T copy = *object;
                                copy.fields(fields);
                                return true;
                              }});
}

}  // namespace weft::nn
