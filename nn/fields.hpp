// Fields: what the arguments of a layer are called in files. A layer of the user's that shall be
// saved and loaded says it once, for both directions:
//
//   struct Scale {
//     double factor = 1;
//     static std::string_view name() { return "Scale"; }
//     Value operator()(nn::Scope&, Value x) const { return x * static_cast<float>(factor); }
//     void fields(nn::Fields& f) { f("factor", factor); }
//   };
//   nn::register_layer<Scale>();  // io/model_files.hpp
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "nn/activations.hpp"
#include "nn/axes.hpp"
#include "nn/constraints.hpp"
#include "nn/core.hpp"
#include "nn/initializers.hpp"
#include "nn/regularizers.hpp"
#include "nn/schedules.hpp"

namespace weft::nn {

/// Reads members from a file, or writes them to one. What a file does not have keeps its value.
class Fields {
 public:
  virtual ~Fields() = default;

  /// key    as Keras 3 calls it
  /// older  as Keras 2 called it, if that is another name
  template <class T>
  Fields& operator()(std::string_view key, T& value, std::string_view older = {}) {
    if constexpr (std::is_same_v<T, int> || std::is_same_v<T, std::uint64_t>) {
      auto wide = static_cast<std::int64_t>(value);
      field({key, older}, wide);
      value = static_cast<T>(wide);
    } else {
      field({key, older}, value);
    }
    return *this;
  }

 protected:
  struct Key {
    std::string_view name, older;
  };
  virtual void field(Key key, bool& value) = 0;
  virtual void field(Key key, std::int64_t& value) = 0;
  virtual void field(Key key, double& value) = 0;
  virtual void field(Key key, std::string& value) = 0;
  virtual void field(Key key, std::optional<double>& value) = 0;
  virtual void field(Key key, std::optional<std::int64_t>& value) = 0;
  virtual void field(Key key, std::vector<std::int64_t>& value) = 0;
  virtual void field(Key key, std::vector<std::vector<std::int64_t>>& value) = 0;
  virtual void field(Key key, std::vector<double>& value) = 0;
  virtual void field(Key key, std::vector<std::string>& value) = 0;
  virtual void field(Key key, Axes& value) = 0;
  virtual void field(Key key, std::vector<int>& value) = 0;
  virtual void field(Key key, Size2D& value) = 0;
  virtual void field(Key key, std::optional<Size2D>& value) = 0;
  virtual void field(Key key, Activation& value) = 0;
  virtual void field(Key key, Initializer& value) = 0;
  virtual void field(Key key, Regularizer& value) = 0;
  virtual void field(Key key, Constraint& value) = 0;
  virtual void field(Key key, LearningRate& value) = 0;
};

}  // namespace weft::nn
