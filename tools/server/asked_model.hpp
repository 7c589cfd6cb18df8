// AskedModel: what POST /predict asks.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "nn/model.hpp"
#include "tools/classes.hpp"

namespace weft {

/// A model with what the page has to know of it. Any number of threads may ask at the same time.
class AskedModel {
 public:
  /// Scale and classes as ServerOptions'; throws as Server.
  AskedModel(nn::Model model, double scale, std::vector<std::string> classes);
  AskedModel(const AskedModel&) = delete;
  AskedModel& operator=(const AskedModel&) = delete;

  /// What /model.json says.
  nlohmann::json description() const;
  const std::string& drawing() const { return drawing_; }    ///< as SVG; "" without Graphviz
  std::int64_t pixels() const { return input_.elements(); }  ///< numbers of its input
  /// What /predict says to that body. Throws Refusal.
  nlohmann::json answer(const std::string& body);

 private:
  bool is_image() const;
  bool is_digit() const { return input_ == Shape{28, 28, 1}; }
  std::vector<float> probabilities(const std::vector<float>& pixels);

  nn::Model model_;
  double scale_;
  std::optional<Classes> classes_;
  Shape input_;
  std::string drawing_;
};

}  // namespace weft
