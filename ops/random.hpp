// Random numbers that are functions of a key: the same key gives the same numbers, on any machine
// and with any number of threads.
#pragma once

#include <array>
#include <cstdint>

#include "graph/value.hpp"

namespace weft {

/// Philox 4x32-10, a generator without state but a counter.
/// See Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", 2011.
/// It models std::uniform_random_bit_generator: std::shuffle takes it, for one.
class Philox {
 public:
  using result_type = std::uint32_t;
  using Key = std::array<std::uint32_t, 2>;
  using Block = std::array<std::uint32_t, 4>;

  /// The stream is what the random ops below call by that name: their element i is made of number i
  /// of Philox(key, stream).
  explicit Philox(Key key, std::uint32_t stream = 0) : key_(key), stream_(stream) {}

  static constexpr result_type min() { return 0; }
  static constexpr result_type max() { return 0xffffffff; }
  result_type operator()();

  /// The function itself: four numbers for each counter.
  static Block block(Block counter, Key key);

 private:
  Key key_;
  std::uint32_t stream_;
  std::uint64_t next_ = 0;
  Block block_{};
};

// Of the ops, each element depends on key, stream and its own position only.
//   key      s32[2]: seed and step, say; has no gradient
//   shape    of the result, which is f32
//   stream   tells calls in one graph apart: two with one key and one stream are the same
//   throws   ShapeError or TypeError if key is not s32[2]

/// Numbers in [low, high), all equally likely. Throws ArgumentError unless low < high, both finite.
Value random_uniform(Value key, const Shape& shape, std::uint32_t stream, float low = 0,
                     float high = 1);

/// Normally distributed numbers, by the method of Box and Muller (1958); none lies further than 5.8
/// stddev from the mean. Throws ArgumentError unless stddev >= 0, both finite.
Value random_normal(Value key, const Shape& shape, std::uint32_t stream, float mean = 0,
                    float stddev = 1);

/// 1 with the given probability, else 0. Throws ArgumentError unless 0 <= probability <= 1.
Value random_bernoulli(Value key, const Shape& shape, std::uint32_t stream, float probability);

}  // namespace weft
