// What tells the data of one training from those of another, without keeping them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace weft::nn {

class Dataset;

/// A hash of bytes that are added one after the other. The same on all machines of one byte order;
/// not made against people who want two texts to have one hash.
class Hash {
 public:
  Hash& add(std::span<const std::byte> bytes);
  Hash& add(std::string_view text);
  Hash& add(std::uint64_t number);
  std::uint64_t value() const noexcept { return value_; }

 private:
  std::uint64_t value_ = 0x9e3779b97f4a7c15u;
};

/// Named facts, in order.
using Facts = std::vector<std::pair<std::string, std::string>>;

/// For each column of x, y and sample weights, of the samples to train and to validate with: how
/// many rows, their type, and a hash of them. Column::fingerprint says which rows it covers.
Facts facts_of(const Dataset& train, const Dataset& validation);

/// "rows of y: 0f3a... then, 77b1... now"; "" if they are the same.
std::string difference(const Facts& then, const Facts& now);

}  // namespace weft::nn
