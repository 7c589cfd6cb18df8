// Random numbers on the host: initial weights and shuffles. The draws are ours, so that a seed
// means the same numbers with every standard library.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "ops/random.hpp"

namespace weft::nn {

class Random {
 public:
  explicit Random(std::uint64_t seed);
  /// A stream of its own for each purpose: "conv2d/kernel".
  Random(std::uint64_t seed, std::string_view purpose);

  std::uint64_t bits();
  /// An integer in [0, bound), each equally likely; bound must be positive.
  std::uint64_t below(std::uint64_t bound);
  double uniform(double low = 0, double high = 1);       ///< in [low, high)
  double normal(double mean = 0, double deviation = 1);  ///< by Box and Muller's transform
  /// The same, with numbers beyond two deviations drawn again.
  double truncated_normal(double mean = 0, double deviation = 1);

 private:
  Philox engine_;
};

/// Fisher and Yates' shuffle: every order is equally likely.
void shuffle(std::vector<std::int64_t>& items, Random& random);

}  // namespace weft::nn
