// What executables see of Variables: memory in the layout that its heaviest reader chose.
// Included by .cpp files only.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "runtime/plan.hpp"

namespace weft {

class VariableStore {
 public:
  struct Entry {
    Type type;
    std::optional<Layout> layout;  ///< nothing: row-major, and the first reader may choose
    Tensor memory;                 ///< the raw bytes in that layout
    std::uint64_t version = 0;     ///< counts the changes of its numbers
  };

  VariableStore() = default;
  /// A copy has entries of its own, on the same memory.
  VariableStore(const VariableStore& other) { *this = other; }
  VariableStore& operator=(const VariableStore& other);

  Entry* find(const std::string& name);
  Entry& add(const std::string& name, const Type& type) {
    return add(name, Tensor(type, "variable \"" + name + '"'));
  }
  /// A row-major one, on this memory.
  Entry& add(const std::string& name, Tensor memory);
  /// The name stands for an entry of `other`, which both stores keep from now on.
  void share(const std::string& name, const VariableStore& other, const std::string& other_name);
  /// Moves the numbers into a layout, for good: the memory of a variable with a layout stays put.
  void choose(Entry& entry, const Layout& layout);
  const std::vector<std::string>& names() const noexcept { return names_; }

 private:
  std::unordered_map<std::string, std::shared_ptr<Entry>> entries_;
  std::vector<std::string> names_;
};

/// Copies memory from one layout into another, at once.
void reorder_now(const dnnl::memory::desc& from, const std::byte* source,
                 const dnnl::memory::desc& to, std::byte* destination);

}  // namespace weft
