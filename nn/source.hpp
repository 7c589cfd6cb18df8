// Source: rows that are made as they are needed, such as pictures in files.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "graph/tensor.hpp"
#include "nn/random.hpp"

namespace weft::nn {

/// Samples that are made when a batch asks for them, by several threads at a time. One sample may
/// have rows in several columns: what a generator makes for x and y.
class Source {
 public:
  virtual ~Source() = default;
  virtual std::int64_t size() const = 0;              ///< samples
  virtual std::vector<Shape> row_shapes() const = 0;  ///< of each column; all are f32
  /// Writes a sample's row of each column. What is random comes of `random`, which is the same for
  /// a sample of an epoch whichever thread makes it. May throw; fit throws it on.
  virtual void read(std::int64_t sample, Random& random,
                    std::span<const std::span<float>> rows) const = 0;
  /// A number that tells its data from others', for training that is resumed; 0: nothing is known.
  virtual std::uint64_t fingerprint() const { return 0; }
};

/// Makes of a row of x another: random is as Source::read's.
using MapRow = std::function<void(std::span<const float> x, std::span<float> out, Random& random)>;

/// What makes a sample: rows are those of x, and then those of y.
using MakeSample = std::function<void(std::int64_t sample, Random& random,
                                      std::span<const std::span<float>> rows)>;

}  // namespace weft::nn
