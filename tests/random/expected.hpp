// The values of a graph in double precision, and how far from them a result in f32 may be.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "graph/graph.hpp"

namespace weft::random_test {

using Feeds64 = std::unordered_map<std::string, Array>;

/// The reference evaluation.
struct Evaluation {
  std::vector<Array> results;
  double largest = 0;  // of all intermediate values; infinite if one is not finite
};

/// The expected numbers of some values, each with a tolerance.
class Expected {
 public:
  /// values: f32, or equal to the bit
  Expected(std::vector<Value> values, Feeds64 feeds);

  /// Numbers so large that f32 could not hold what follows from them prove nothing.
  bool is_usable() const;
  bool is_finite() const;
  /// Empty if the tensor is value i, as far as f32 can tell.
  std::string difference(std::size_t i, const Tensor& got);

 private:
  void loosen(int times, double noise);
  std::string compare(std::size_t i, const Tensor& got) const;

  std::vector<Value> values_;
  Feeds64 feeds_;
  Evaluation exact_;
  std::vector<double> tolerances_;  // by value: how far noise has moved it
  std::uint64_t seed_ = 1;
};

}  // namespace weft::random_test
