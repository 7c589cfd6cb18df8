// nn::Fields of Keras' configs, in both directions. For io/ alone.
#pragma once

#include <set>
#include <string>
#include <utility>

#include "io/keras/json.hpp"
#include "nn/fields.hpp"

namespace weft::keras {

/// Which Keras a file is for, or from.
enum class Generation { keras2 = 2, keras3 = 3 };

/// Fills members from a config.
class ReadFields : public nn::Fields {
 public:
  /// where: "layer \"conv2d\" (Conv2D)". The config must outlive it.
  ReadFields(const Json& config, std::string where, Generation from);
  /// Says that a key is known, and read elsewhere or without meaning here.
  void ignore(std::string_view key) { seen_.insert(std::string(key)); }
  /// Says that a key can have this value alone, or null. Throws UnsupportedError for another.
  void expect(std::string_view key, const Json& value);
  /// Throws UnsupportedError if a key has not been asked for and says something: is not null, false
  /// or empty.
  void finish() const;

  Generation from() const noexcept { return from_; }

 protected:
  void field(Key key, bool& value) override;
  void field(Key key, std::int64_t& value) override;
  void field(Key key, double& value) override;
  void field(Key key, std::string& value) override;
  void field(Key key, std::optional<double>& value) override;
  void field(Key key, std::optional<std::int64_t>& value) override;
  void field(Key key, std::vector<std::int64_t>& value) override;
  void field(Key key, std::vector<std::vector<std::int64_t>>& value) override;
  void field(Key key, std::vector<double>& value) override;
  void field(Key key, std::vector<std::string>& value) override;
  void field(Key key, nn::Axes& value) override;
  void field(Key key, std::vector<int>& value) override;
  void field(Key key, nn::Size2D& value) override;
  void field(Key key, std::optional<nn::Size2D>& value) override;
  void field(Key key, nn::Activation& value) override;
  void field(Key key, nn::Initializer& value) override;
  void field(Key key, nn::Regularizer& value) override;
  void field(Key key, nn::Constraint& value) override;
  void field(Key key, nn::LearningRate& value) override;

 private:
  const Json* find(Key key);
  [[noreturn]] void wrong(Key key, std::string_view wanted, const Json& value) const;
  std::int64_t integer(Key key, const Json& value) const;
  double number(Key key, const Json& value) const;
  std::vector<std::int64_t> integers(Key key, const Json& value) const;

  const Json& config_;
  std::string where_;
  Generation from_;
  std::set<std::string> seen_;
};

/// Makes a config of members.
class WriteFields : public nn::Fields {
 public:
  WriteFields(Json& config, std::string where, Generation to)
      : config_(config), where_(std::move(where)), to_(to) {}
  void set(std::string_view key, Json value) { config_[std::string(key)] = std::move(value); }
  Generation to() const noexcept { return to_; }
  const std::string& where() const noexcept { return where_; }

 protected:
  void field(Key key, bool& value) override;
  void field(Key key, std::int64_t& value) override;
  void field(Key key, double& value) override;
  void field(Key key, std::string& value) override;
  void field(Key key, std::optional<double>& value) override;
  void field(Key key, std::optional<std::int64_t>& value) override;
  void field(Key key, std::vector<std::int64_t>& value) override;
  void field(Key key, std::vector<std::vector<std::int64_t>>& value) override;
  void field(Key key, std::vector<double>& value) override;
  void field(Key key, std::vector<std::string>& value) override;
  void field(Key key, nn::Axes& value) override;
  void field(Key key, std::vector<int>& value) override;
  void field(Key key, nn::Size2D& value) override;
  void field(Key key, std::optional<nn::Size2D>& value) override;
  void field(Key key, nn::Activation& value) override;
  void field(Key key, nn::Initializer& value) override;
  void field(Key key, nn::Regularizer& value) override;
  void field(Key key, nn::Constraint& value) override;
  void field(Key key, nn::LearningRate& value) override;

 private:
  Json& at(Key key);
  /// JSON has no NaN and no infinity: throws UnsupportedError for them.
  double finite(Key key, double number) const;

  Json& config_;
  std::string where_;
  Generation to_;
};

// What stands in configs beside plain values. `where` begins messages.

nn::Activation read_activation(const Json& value, const std::string& where, Generation from);
nn::Initializer read_initializer(const Json& value, const std::string& where);
nn::Regularizer read_regularizer(const Json& value, const std::string& where);
nn::Constraint read_constraint(const Json& value, const std::string& where);
nn::LearningRate read_learning_rate(const Json& value, const std::string& where);

/// {"class_name": ..., "config": ...}, for Keras 3 with the module and registered_name.
Json object_of(std::string_view module, std::string_view class_name, Json config, Generation to);

}  // namespace weft::keras
