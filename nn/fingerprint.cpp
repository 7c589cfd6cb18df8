#include "nn/fingerprint.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "graph/print.hpp"
#include "nn/dataset.hpp"

namespace weft::nn {
namespace {

void add_column(Facts& facts, const std::string& name, const Column& column) {
  if (!column) return;
  facts.emplace_back(
      name, fmt::format("{} rows of {}{}", column.size(), column.dtype(), column.row_shape()));
  facts.emplace_back("rows of " + name, fmt::format("{:016x}", column.fingerprint()));
}

void add_data(Facts& facts, const std::string& whose, const Dataset& data) {
  if (data.size() == 0) return;
  const auto named = [&](const char* name, std::size_t i, std::size_t count) {
    return count == 1 ? whose + name : fmt::format("{}{} {}", whose, name, i);
  };
  for (std::size_t i = 0; i < data.inputs(); ++i) {
    add_column(facts, named("x", i, data.inputs()), data.x(i));
  }
  for (std::size_t i = 0; i < data.targets(); ++i) {
    add_column(facts, named("y", i, data.targets()), data.y(i));
    if (i < data.sample_weights()) {
      add_column(facts, named("sample_weight", i, data.sample_weights()), data.sample_weight(i));
    }
  }
}

}  // namespace

Hash& Hash::add(std::uint64_t number) {
  // Each of these steps can be undone, so a change of one number alone always changes the hash.
  value_ = std::rotl((value_ ^ number) * 0x9fb21c651e98df25u, 29);
  return *this;
}

Hash& Hash::add(std::span<const std::byte> bytes) {
  const std::uint64_t size = bytes.size();
  for (; bytes.size() >= sizeof(std::uint64_t); bytes = bytes.subspan(sizeof(std::uint64_t))) {
    std::uint64_t number;
    std::memcpy(&number, bytes.data(), sizeof number);
    add(number);
  }
  std::uint64_t rest = 0;
  if (!bytes.empty()) std::memcpy(&rest, bytes.data(), bytes.size());
  return add(rest).add(size);
}

Hash& Hash::add(std::string_view text) { return add(std::as_bytes(std::span(text))); }

Facts facts_of(const Dataset& train, const Dataset& validation) {
  Facts facts;
  add_data(facts, "", train);
  add_data(facts, "validation ", validation);
  return facts;
}

std::string difference(const Facts& then, const Facts& now) {
  const auto value_of = [](const Facts& facts, const std::string& name) -> std::string {
    const auto found = std::ranges::find(facts, name, &Facts::value_type::first);
    return found == facts.end() ? "none" : found->second;
  };
  std::string text;
  const auto compare = [&](const std::string& name) {
    const std::string before = value_of(then, name), after = value_of(now, name);
    if (before == after) return;
    text += fmt::format("{}{}: {} then, {} now", text.empty() ? "" : "; ", name, before, after);
  };
  for (const auto& [name, value] : now) compare(name);
  for (const auto& [name, value] : then) {
    if (std::ranges::find(now, name, &Facts::value_type::first) == now.end()) compare(name);
  }
  return text;
}

}  // namespace weft::nn
