#include "runtime/variables.hpp"

#include <cstring>
#include <shared_mutex>
#include <utility>

#include "graph/print.hpp"
#include "runtime/fork.hpp"
#include "runtime/lowering.hpp"
#include "runtime/parallel.hpp"
#include "runtime/variable_store.hpp"

namespace weft {

void reorder_now(const dnnl::memory::desc& from, const std::byte* source,
                 const dnnl::memory::desc& to, std::byte* destination) {
  if (onednn::same_memory(from, to)) {
    std::memcpy(destination, source, to.get_size());
    return;
  }
  // A network has many small weights, and threads that wait for each other take longer.
  constexpr std::size_t worth_threads = std::size_t{1} << 20;
  const ThreadCount threads(to.get_size() < worth_threads ? 1 : omp_get_max_threads());
  dnnl::stream stream(onednn::engine());
  dnnl::memory a(from, onednn::engine(), const_cast<std::byte*>(source));
  dnnl::memory b(to, onednn::engine(), destination);
  dnnl::reorder(a, b).execute(stream, a, b);
  stream.wait();
}

VariableStore::Entry* VariableStore::find(const std::string& name) const {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(name);
  return found == entries_.end() ? nullptr : found->second.get();
}

std::shared_ptr<VariableStore::Entry> VariableStore::shared(const std::string& name) const {
  const std::lock_guard lock(mutex_);
  return entries_.at(name);
}

VariableStore::Entry& VariableStore::add(const std::string& name, Tensor memory) {
  const std::lock_guard lock(mutex_);
  const auto [place, is_new] = entries_.try_emplace(name);
  if (is_new) {
    names_.push_back(name);
    const Type type = memory.type();
    place->second = std::make_shared<Entry>(Entry{type, std::nullopt, std::move(memory), 0, lock_});
  }
  return *place->second;
}

void VariableStore::share(const std::string& name, std::shared_ptr<Entry> entry) {
  const std::lock_guard lock(mutex_);
  if (entries_.emplace(name, std::move(entry)).second) names_.push_back(name);
}

void VariableStore::copy(const VariableStore& other) {
  const std::vector<std::string> names = other.names();
  VariableLocks locks;
  for (const std::string& name : names) locks.add(other.find(name)->lock, false);
  const VariableLocks::Held held(locks);
  for (const std::string& name : names) {
    const Entry& theirs = *other.find(name);
    entries_[name] = std::make_shared<Entry>(
        Entry{theirs.type, theirs.layout, theirs.memory.clone(), theirs.version, lock_});
  }
  names_ = names;
}

Layout VariableStore::choose(Entry& entry, const Layout& layout) {
  const std::lock_guard lock(*entry.lock);
  if (entry.layout) return *entry.layout;
  entry.layout = layout;
  if (layout.is_plain()) return layout;
  Tensor memory(Type{DType::u8, {static_cast<std::int64_t>(layout.md.get_size())}});
  reorder_now(layout.plain, entry.memory.bytes(), layout.md, memory.bytes());
  entry.memory = memory;
  return layout;
}

std::vector<std::string> VariableStore::names() const {
  const std::lock_guard lock(mutex_);
  return names_;
}

// ---- Variables

Variables::Variables() : store_(std::make_shared<VariableStore>()) {}

namespace {

using Entry = VariableStore::Entry;

Entry& entry_of(const VariableStore& store, const std::string& name) {
  if (auto* entry = store.find(name)) return *entry;
  fail<ArgumentError>("variables: there is no \"{}\"; there are: {}", name,
                      fmt::join(store.names(), ", "));
}

void expect_some(const std::string& name, const Tensor& value) {
  if (!value) fail<ArgumentError>("variables: \"{}\" was given an empty tensor", name);
}

void expect_type(const std::string& name, const Entry& entry, const Tensor& value) {
  expect_some(name, value);
  if (entry.type.dtype != value.dtype()) {
    fail<TypeError>("variables: \"{}\" is {}, but the value given is {}", name, entry.type,
                    value.type());
  }
  if (entry.type.shape != value.shape()) {
    fail<ShapeError>("variables: \"{}\" is {}, but the value given is {}", name, entry.type,
                     value.type());
  }
}

/// With the entry's lock held.
void write(Entry& entry, const Tensor& value) {
  const Layout layout = entry.layout.value_or(row_major(entry.type));
  reorder_now(layout.plain, value.bytes(), layout.md, entry.memory.bytes());
  ++entry.version;
}

}  // namespace

void Variables::set(const std::string& name, const Tensor& value) {
  const Section section(Section::Kind::step);
  expect_some(name, value);
  Entry* entry = store_->find(name);
  if (entry == nullptr) {
    entry = &store_->add(name, Tensor(value.type(), fmt::format("variable \"{}\"", name)));
  }
  expect_type(name, *entry, value);
  const std::lock_guard lock(*entry->lock);
  write(*entry, value);
}

void Variables::set_all(const std::vector<std::pair<std::string, Tensor>>& values) {
  const Section section(Section::Kind::step);
  std::vector<Entry*> entries;
  VariableLocks locks;
  for (const auto& [name, value] : values) {
    entries.push_back(&entry_of(*store_, name));
    expect_type(name, *entries.back(), value);
    locks.add(entries.back()->lock, true);
  }
  const VariableLocks::Held held(locks);
  for (std::size_t i = 0; i < values.size(); ++i) write(*entries[i], values[i].second);
}

void Variables::adopt(const std::string& name, Tensor value) {
  const Section section(Section::Kind::step);
  Entry* entry = store_->find(name);
  if (!value || (entry != nullptr && entry->type != value.type())) return set(name, value);
  if (entry == nullptr) entry = &store_->add(name, value);
  const std::lock_guard lock(*entry->lock);
  if (entry->layout) return write(*entry, value);
  entry->memory = std::move(value);
  ++entry->version;
}

Tensor Variables::get(const std::string& name) const {
  const Section section(Section::Kind::step);
  const Entry& entry = entry_of(*store_, name);
  Tensor result(entry.type);
  const std::shared_lock lock(*entry.lock);
  const Layout layout = entry.layout.value_or(row_major(entry.type));
  reorder_now(layout.md, entry.memory.bytes(), layout.plain, result.bytes());
  return result;
}

void Variables::share(const std::string& name, const Variables& other,
                      const std::string& other_name) {
  const Section section(Section::Kind::step);
  const Entry& theirs = entry_of(*other.store_, other_name);
  if (const auto* own = store_->find(name); own != nullptr && own != &theirs) {
    fail<ArgumentError>("variables: \"{}\" is there already, so it cannot share \"{}\" of others",
                        name, other_name);
  }
  store_->share(name, other.store_->shared(other_name));
}

bool Variables::contains(const std::string& name) const noexcept {
  const Section section(Section::Kind::step);
  return store_->find(name) != nullptr;
}

const Type& Variables::type(const std::string& name) const {
  const Section section(Section::Kind::step);
  return entry_of(*store_, name).type;
}

std::vector<std::string> Variables::names() const {
  const Section section(Section::Kind::step);
  return store_->names();
}

std::unique_lock<std::recursive_mutex> Variables::making() const {
  return std::unique_lock(store_->making());
}

Variables Variables::clone() const {
  const Section section(Section::Kind::step);
  Variables copy;
  copy.store_->copy(*store_);
  return copy;
}

}  // namespace weft
