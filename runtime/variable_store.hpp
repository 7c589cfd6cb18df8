// What executables see of Variables: memory in the layout that its heaviest reader chose.
// Included by .cpp files only.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "runtime/plan.hpp"
#include "runtime/variable_lock.hpp"

namespace weft {

/// Several threads may use one at once: it guards itself, and each entry's numbers, layout and
/// version are guarded by the entry's lock.
class VariableStore {
 public:
  struct Entry {
    const Type type;
    std::optional<Layout> layout;        ///< nothing: row-major, and the first reader may choose
    Tensor memory;                       ///< the raw bytes in that layout
    std::uint64_t version = 0;           ///< counts the changes of its numbers
    std::shared_ptr<VariableLock> lock;  ///< mostly that of all variables of a set
  };

  VariableStore() = default;
  VariableStore(const VariableStore&) = delete;
  VariableStore& operator=(const VariableStore&) = delete;

  /// nullptr if there is none. It stays as long as the store.
  Entry* find(const std::string& name) const;
  /// A row-major one, on this memory; or the one that is there already.
  Entry& add(const std::string& name, Tensor memory);
  /// Copies all of `other` into this one, which is empty, with memory of its own.
  void copy(const VariableStore& other);
  /// The name stands for that entry of another store from now on, unless it is there already.
  void share(const std::string& name, std::shared_ptr<Entry> entry);
  std::shared_ptr<Entry> shared(const std::string& name) const;
  /// Moves the numbers into a layout, for good: the memory of a variable with a layout stays put.
  /// Returns the layout that it has then; another compile may have been first to choose.
  Layout choose(Entry& entry, const Layout& layout);
  std::vector<std::string> names() const;
  /// For those who look for a variable in order to make it.
  std::recursive_mutex& making() noexcept { return making_; }

 private:
  mutable std::mutex mutex_;
  std::unordered_map<std::string, std::shared_ptr<Entry>> entries_;
  std::vector<std::string> names_;
  const std::shared_ptr<VariableLock> lock_ = std::make_shared<VariableLock>();
  std::recursive_mutex making_;
};

/// Copies memory from one layout into another, at once.
void reorder_now(const dnnl::memory::desc& from, const std::byte* source,
                 const dnnl::memory::desc& to, std::byte* destination);

}  // namespace weft
