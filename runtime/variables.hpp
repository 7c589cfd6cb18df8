// Variables: named tensors that live between runs, shared by executables and files.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "graph/tensor.hpp"

namespace weft {

class VariableStore;  // runtime/variable_store.hpp: what executables see

/// A shared set of named tensors. Copying a Variables shares the set. Inside, a tensor lies in the
/// layout that the first executable to read it chose; set and get speak row-major.
///
/// Any number of threads may use a set at the same time, and run executables on it. A run that
/// updates variables has them for itself: it sees no half of another's update, and no other run
/// sees half of its own.
class Variables {
 public:
  Variables();

  /// Copies the numbers. A new name is added; an old one keeps the layout already chosen.
  /// Throws ShapeError or TypeError if the name is there with another type.
  void set(const std::string& name, const Tensor& value);
  /// Several that are there, at once: no run sees some of them changed and others not. Throws as
  /// above, and ArgumentError for an unknown name, and then changes none.
  void set_all(const std::vector<std::pair<std::string, Tensor>>& values);
  /// As set, but takes the tensor's memory as it is where no layout is chosen: no copy of it may
  /// be in use.
  void adopt(const std::string& name, Tensor value);
  /// Makes `name` stand for the tensor that another set has as `other_name`: what is written under
  /// either is seen under both, and it lives as long as one of them. Throws ArgumentError if `name`
  /// stands for another tensor already, or the other set has none of that name.
  void share(const std::string& name, const Variables& other, const std::string& other_name);
  /// A copy, row-major. Throws ArgumentError for an unknown name, listing those there are.
  Tensor get(const std::string& name) const;
  bool contains(const std::string& name) const noexcept;
  /// The type. Throws ArgumentError for an unknown name.
  const Type& type(const std::string& name) const;
  /// In the order in which they were first set.
  std::vector<std::string> names() const;

  /// A set of its own with the same numbers, in the same layouts.
  Variables clone() const;

  /// To be held by those who look for a variable in order to make it if it is not there, so that
  /// nobody else makes it meanwhile.
  std::unique_lock<std::recursive_mutex> making() const;

  VariableStore& store() const noexcept { return *store_; }

 private:
  std::shared_ptr<VariableStore> store_;
};

}  // namespace weft
