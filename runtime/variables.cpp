#include "runtime/variables.hpp"

#include <cstring>
#include <utility>

#include "graph/print.hpp"
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

VariableStore& VariableStore::operator=(const VariableStore& other) {
  names_ = other.names_;
  entries_ = other.entries_;
  for (auto& [name, entry] : entries_) entry = std::make_shared<Entry>(*entry);
  return *this;
}

VariableStore::Entry* VariableStore::find(const std::string& name) {
  const auto found = entries_.find(name);
  return found == entries_.end() ? nullptr : found->second.get();
}

VariableStore::Entry& VariableStore::add(const std::string& name, Tensor memory) {
  names_.push_back(name);
  const Type type = memory.type();
  auto entry = std::make_shared<Entry>(Entry{type, std::nullopt, std::move(memory), 0});
  return *entries_.emplace(name, std::move(entry)).first->second;
}

void VariableStore::share(const std::string& name, const VariableStore& other,
                          const std::string& other_name) {
  if (entries_.emplace(name, other.entries_.at(other_name)).second) names_.push_back(name);
}

void VariableStore::choose(Entry& entry, const Layout& layout) {
  entry.layout = layout;
  if (layout.is_plain()) return;
  Tensor memory(Type{DType::u8, {static_cast<std::int64_t>(layout.md.get_size())}});
  reorder_now(layout.plain, entry.memory.bytes(), layout.md, memory.bytes());
  entry.memory = memory;
}

Variables::Variables() : store_(std::make_shared<VariableStore>()) {}

namespace {

VariableStore::Entry& entry_of(VariableStore& store, const std::string& name) {
  if (auto* entry = store.find(name)) return *entry;
  fail<ArgumentError>("variables: there is no \"{}\"; there are: {}", name,
                      fmt::join(store.names(), ", "));
}

}  // namespace

void Variables::set(const std::string& name, const Tensor& value) {
  if (!value) fail<ArgumentError>("variables: \"{}\" was given an empty tensor", name);
  auto* entry = store_->find(name);
  if (entry == nullptr) entry = &store_->add(name, value.type());
  if (entry->type.dtype != value.dtype()) {
    fail<TypeError>("variables: \"{}\" is {}, but the value given is {}", name, entry->type,
                    value.type());
  }
  if (entry->type.shape != value.shape()) {
    fail<ShapeError>("variables: \"{}\" is {}, but the value given is {}", name, entry->type,
                     value.type());
  }
  const Layout layout = entry->layout.value_or(row_major(entry->type));
  reorder_now(layout.plain, value.bytes(), layout.md, entry->memory.bytes());
  ++entry->version;
}

void Variables::adopt(const std::string& name, Tensor value) {
  auto* entry = store_->find(name);
  if (!value || (entry != nullptr && (entry->layout || entry->type != value.type()))) {
    return set(name, value);
  }
  if (entry == nullptr) entry = &store_->add(name, Tensor());
  entry->type = value.type();
  entry->memory = std::move(value);
  ++entry->version;
}

Tensor Variables::get(const std::string& name) const {
  const auto& entry = entry_of(*store_, name);
  Tensor result(entry.type);
  const Layout layout = entry.layout.value_or(row_major(entry.type));
  reorder_now(layout.md, entry.memory.bytes(), layout.plain, result.bytes());
  return result;
}

void Variables::share(const std::string& name, const Variables& other,
                      const std::string& other_name) {
  const auto& theirs = entry_of(*other.store_, other_name);
  if (const auto* own = store_->find(name); own != nullptr && own != &theirs) {
    fail<ArgumentError>("variables: \"{}\" is there already, so it cannot share \"{}\" of others",
                        name, other_name);
  }
  store_->share(name, *other.store_, other_name);
}

bool Variables::contains(const std::string& name) const noexcept {
  return store_->find(name) != nullptr;
}

const Type& Variables::type(const std::string& name) const { return entry_of(*store_, name).type; }

std::vector<std::string> Variables::names() const { return store_->names(); }

Variables Variables::clone() const {
  Variables copy;
  *copy.store_ = *store_;
  for (const std::string& name : store_->names()) {
    Tensor& memory = copy.store_->find(name)->memory;
    memory = memory.clone();
  }
  return copy;
}

}  // namespace weft
