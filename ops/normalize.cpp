// Batch normalisation. Two ops read the batch and sum over it: its moments, and in the backward
// pass the two sums that all gradients need. All else is arithmetic with one number per channel,
// which the compiler joins with what stands around it (a residual, an activation) into one loop, or
// into the convolution before it.
//
// So a normalisation in training reads x twice and writes y once; its gradient reads x and dy twice
// each and writes dx once, over dy if nobody else needs that.
#include "ops/normalize.hpp"

#include <algorithm>
#include <cstring>

#include "graph/graph.hpp"
#include "graph/print.hpp"
#include "ops/all_reduce.hpp"
#include "ops/binary.hpp"
#include "ops/reduce.hpp"
#include "ops/unary.hpp"
#include "runtime/lowering.hpp"
#include "runtime/parallel.hpp"

namespace weft {
namespace {

std::vector<int> all_but_last(const Shape& shape) {
  std::vector<int> axes;
  for (int axis = 0; axis + 1 < static_cast<int>(shape.rank()); ++axis) axes.push_back(axis);
  return axes;
}

/// Elements per channel.
float rows_of(const Shape& x) { return static_cast<float>(x.elements() / x[-1]); }

void expect_batch(std::string_view name, const Type& x) {
  if (x.shape.rank() < 2) {
    fail<ShapeError>("{}: x must have a batch axis and a channel axis: {}", name, x);
  }
}

void expect_channels(std::string_view name, std::string_view what, const Type& given,
                     const Type& x) {
  if (given.shape == Shape{x.shape[-1]}) return;
  fail<ShapeError>("{}: {} must have one number for each of the {} channels of {}, not {}", name,
                   what, x.shape[-1], x, given);
}

// ---- Sums over a batch
//
// A tile of some rows is summed in f32, 16 channels at a time, while it lies in the first-level
// cache; tiles add up in double. So a sum is as exact as one of a few dozen numbers, however large
// the batch. Tiles belong to pieces, which threads share; how a batch is cut into them depends on
// its size only, and so do results.

using Floats16 = float __attribute__((vector_size(64)));
using Floats8 = float __attribute__((vector_size(32)));

template <class V>
constexpr std::size_t lanes = sizeof(V) / sizeof(float);

// Vectors are returned through references: how they are returned by value depends on the
// instruction set that the caller was built for.
template <class V>
[[gnu::always_inline]] inline void load(V& v, const float* from) {
  std::memcpy(&v, from, sizeof v);
}
/// The lanes of a sum that was made in four parts.
template <class V>
[[gnu::always_inline]] inline void join(const V* parts, float* to) {
  const V sum = (parts[0] + parts[1]) + (parts[2] + parts[3]);
  std::memcpy(to, &sum, sizeof sum);
}

/// Sums over some of the rows, by channel. Squares are of the difference from `about`, which is
/// near the mean, so that nothing cancels.
struct Partial {
  double *count, *about, *sum, *squares;
  static constexpr std::size_t fields = 4;

  Partial(double* memory, std::size_t channels)
      : count(memory),
        about(memory + channels),
        sum(memory + 2 * channels),
        squares(memory + 3 * channels) {}

  double mean(std::size_t c) const { return count[c] > 0 ? sum[c] / count[c] : 0; }
  /// The sum of squares about the mean.
  double spread(std::size_t c) const {
    const double step = mean(c) - about[c];
    return squares[c] - count[c] * step * step;
  }
};

/// A V's lanes of channels, of which the first is `channel`.
template <class V>
[[gnu::always_inline]] inline void moments_strip(const float* x, std::size_t rows,
                                                 std::size_t width, const Partial& out,
                                                 std::size_t channel) {
  V parts[4] = {}, v, mean;
  std::size_t r = 0;
  for (; r + 4 <= rows; r += 4) {
    for (std::size_t k = 0; k < 4; ++k) {
      load(v, x + (r + k) * width);
      parts[k] += v;
    }
  }
  for (; r < rows; ++r) {
    load(v, x + r * width);
    parts[0] += v;
  }
  float sums[lanes<V>], means[lanes<V>], squares[lanes<V>];
  join(parts, sums);
  const float share = 1 / static_cast<float>(rows);
  for (std::size_t k = 0; k < lanes<V>; ++k) means[k] = sums[k] * share;

  load(mean, means);
  for (V& part : parts) part = V{};
  for (r = 0; r + 4 <= rows; r += 4) {
    for (std::size_t k = 0; k < 4; ++k) {
      load(v, x + (r + k) * width);
      parts[k] += (v - mean) * (v - mean);
    }
  }
  for (; r < rows; ++r) {
    load(v, x + r * width);
    parts[0] += (v - mean) * (v - mean);
  }
  join(parts, squares);

  const auto n = static_cast<double>(rows);
  double *count = out.count + channel, *about = out.about + channel, *sum = out.sum + channel,
         *square = out.squares + channel;
  if (count[0] == 0) std::copy_n(means, lanes<V>, about);
#pragma omp simd
  for (std::size_t k = 0; k < lanes<V>; ++k) {
    const double here = means[k], total = sums[k], step = here - about[k];
    count[k] += n;
    sum[k] += total;
    square[k] += squares[k] + step * (2 * (total - n * here) + n * step);
  }
}

[[gnu::target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")]] void moments_tile(
    const float* x, std::size_t rows, std::size_t width, const Partial& out, std::size_t channel) {
  std::size_t c = 0;
  for (; c + 16 <= width; c += 16) moments_strip<Floats16>(x + c, rows, width, out, channel + c);
  for (; c + 8 <= width; c += 8) moments_strip<Floats8>(x + c, rows, width, out, channel + c);
  for (; c < width; ++c) moments_strip<float>(x + c, rows, width, out, channel + c);
}

template <class V>
[[gnu::always_inline]] inline void sums_strip(const float* x, const float* dy, const float* mean,
                                              std::size_t rows, std::size_t width, double* sums,
                                              double* products) {
  V first[4] = {}, second[4] = {}, m, a, b;
  load(m, mean);
  std::size_t r = 0;
  for (; r + 4 <= rows; r += 4) {
    for (std::size_t k = 0; k < 4; ++k) {
      load(a, dy + (r + k) * width);
      load(b, x + (r + k) * width);
      first[k] += a;
      second[k] += a * (b - m);
    }
  }
  for (; r < rows; ++r) {
    load(a, dy + r * width);
    load(b, x + r * width);
    first[0] += a;
    second[0] += a * (b - m);
  }
  float one[lanes<V>], two[lanes<V>];
  join(first, one);
  join(second, two);
#pragma omp simd
  for (std::size_t k = 0; k < lanes<V>; ++k) {
    sums[k] += one[k];
    products[k] += two[k];
  }
}

[[gnu::target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")]] void sums_tile(
    const float* x, const float* dy, const float* mean, std::size_t rows, std::size_t width,
    double* sums, double* products) {
  std::size_t c = 0;
  for (; c + 16 <= width; c += 16) {
    sums_strip<Floats16>(x + c, dy + c, mean + c, rows, width, sums + c, products + c);
  }
  for (; c + 8 <= width; c += 8) {
    sums_strip<Floats8>(x + c, dy + c, mean + c, rows, width, sums + c, products + c);
  }
  for (; c < width; ++c) {
    sums_strip<float>(x + c, dy + c, mean + c, rows, width, sums + c, products + c);
  }
}

/// A batch, cut into pieces, and those into tiles.
struct Tiles {
  ChannelPlanes planes;
  std::size_t channels, rows, pieces;  // channels with those that fill up the last block

  explicit Tiles(const ChannelPlanes& p) : planes(p), channels(p.width * p.blocks) {
    constexpr std::size_t tile = 4096, piece = 64 * 1024, most_pieces = 8;  // floats
    rows = std::clamp<std::size_t>(tile / std::max<std::size_t>(p.width, 1), 16, 128);
    pieces = std::clamp<std::size_t>(p.planes * p.plane_elements() / piece, 1, most_pieces);
  }

  /// Calls f(piece, offset of the tile, its rows, its first channel).
  template <class F>
  void for_each(F f) const {
    const std::size_t per_plane = (planes.pixels + rows - 1) / rows,
                      count = planes.planes * per_plane;
    parallel_for(pieces, 1, [&](std::size_t first_piece, std::size_t last_piece) {
      for (std::size_t piece = first_piece; piece < last_piece; ++piece) {
        for (std::size_t t = count * piece / pieces; t < count * (piece + 1) / pieces; ++t) {
          const std::size_t plane = t / per_plane, row = t % per_plane * rows;
          f(piece, plane * planes.plane_elements() + row * planes.width,
            std::min(rows, planes.pixels - row), planes.first_channel(plane));
        }
      }
    });
  }
};

/// The layout of a batch, as it lies if channels can be found there, else row-major.
std::pair<Layout, Tiles> tiles_of(const Lowering& l, std::size_t i) {
  const Type& type = l.input(i);
  if (const auto planes = channel_planes(l.layout(i), type)) return {l.layout(i), Tiles(*planes)};
  const Layout plain = row_major(type);
  const ChannelPlanes nothing{.width =
                                  static_cast<std::size_t>(type.shape[-1])};  // of an empty batch
  return {plain, Tiles(channel_planes(plain, type).value_or(nothing))};
}

/// Memory for one step.
Operand doubles(Lowering& l, std::size_t count) {
  return l.scratch({DType::u8, {static_cast<std::int64_t>(count * sizeof(double))}});
}

// ---- Moments

struct BatchMoments {  // x -> mean, variance
  static std::string_view name() { return "batch_moments"; }
  friend bool operator==(const BatchMoments&, const BatchMoments&) = default;

  std::vector<Type> infer(std::span<const Type> in) const {
    expect_inputs(name(), in, 1);
    expect_f32(name(), in);
    expect_batch(name(), in[0]);
    if (in[0].shape.elements() == 0) fail<ShapeError>("{}: x is empty: {}", name(), in[0]);
    const Type channels{DType::f32, {in[0].shape[-1]}};
    return {channels, channels};
  }
  // dx = (dmean + 2 (x - mean) dvariance) / rows, as a x + b
  std::vector<Value> vjp(const VjpArgs& args) const {
    const Value x = args.inputs[0], dmean = args.cotangents[0], dvariance = args.cotangents[1];
    const float share = 1 / rows_of(x.shape());
    if (!dvariance) return {broadcast_to(dmean * share, x.shape())};
    const Value a = dvariance * (2 * share), b = -(args.outputs[0] * a);
    return {x * a + (dmean ? b + dmean * share : b)};
  }
  std::vector<Value> decompose(std::span<const Value> in) const {
    const auto axes = all_but_last(in[0].shape());
    const Value average = mean(in[0], axes);
    return {average, mean(square(in[0] - average), axes)};
  }
  void lower(Lowering& l) const {
    const auto [layout, tiles] = tiles_of(l, 0);
    const auto channels = static_cast<std::size_t>(l.output(0).shape[0]);
    const Operand memory = doubles(l, tiles.pieces * Partial::fields * tiles.channels);
    l.step({l.read(0, layout)}, {l.write_row_major(0), l.write_row_major(1), memory},
           [tiles = tiles, channels](auto in, auto out) {
             run(tiles, channels, as<float>(in[0]), as<double>(out[2]), as<float>(out[0]),
                 as<float>(out[1]));
           });
  }

  static void run(const Tiles& tiles, std::size_t channels, const float* x, double* memory,
                  float* mean, float* variance) {
    const std::size_t each = Partial::fields * tiles.channels;
    std::fill_n(memory, tiles.pieces * each, 0.0);
    const auto partial = [&](std::size_t p) { return Partial(memory + p * each, tiles.channels); };
    tiles.for_each([&](std::size_t piece, std::size_t at, std::size_t rows, std::size_t channel) {
      moments_tile(x + at, rows, tiles.planes.width, partial(piece), channel);
    });
    for (std::size_t c = 0; c < channels; ++c) {
      double count = 0, sum = 0, spread = 0;
      for (std::size_t p = 0; p < tiles.pieces; ++p) {
        count += partial(p).count[c];
        sum += partial(p).sum[c];
      }
      const double average = sum / count;
      for (std::size_t p = 0; p < tiles.pieces; ++p) {
        const Partial part = partial(p);
        const double step = part.mean(c) - average;
        spread += part.spread(c) + part.count[c] * step * step;
      }
      mean[c] = static_cast<float>(average);
      variance[c] = static_cast<float>(spread / count);
    }
  }
};

// Replicas meet twice: for the mean, and then for the spread about it. They could meet once, for
// the means of x and of x^2; but where the mean is large against the deviation, as in raw data, the
// variance would then be a small difference of large numbers: a mean of 2000 costs an error of 0.5,
// and a variance of 0 would become negative. The second meeting follows at once, when nobody has
// anything else to do, and costs no more than a barrier.
struct WholeBatchMoments {  // mean, variance of a slice -> of the batch
  float share = 1;
  static constexpr auto fields = std::tuple{field("share", &WholeBatchMoments::share)};
  static std::string_view name() { return "whole_batch_moments"; }
  friend bool operator==(const WholeBatchMoments&, const WholeBatchMoments&) = default;

  std::vector<Type> infer(std::span<const Type> in) const {
    expect_inputs(name(), in, 2);
    expect_f32(name(), in);
    if (in[0] != in[1]) fail<ShapeError>("{}: types differ: {} and {}", name(), in[0], in[1]);
    return {in[0], in[0]};
  }
  // By the slice's mean, the variance of the batch changes with share * 2 (its mean - the batch's):
  // that the batch's mean changes too adds nothing, since deviations from it add up to 0. One
  // meeting.
  std::vector<Value> vjp(const VjpArgs& args) const {
    const Value dmean = args.cotangents[0], dvariance = args.cotangents[1];
    std::vector<Value> result(2);
    if (dmean) result[0] = all_reduce(dmean) * share;
    if (!dvariance) return result;
    result[1] = all_reduce(dvariance) * share;
    const Value through_mean = 2.0f * (args.inputs[0] - args.outputs[0]) * result[1];
    result[0] = result[0] ? result[0] + through_mean : through_mean;
    return result;
  }
  std::vector<Value> decompose(std::span<const Value> in) const {
    const Value mean = all_reduce(in[0] * share);
    return {mean, all_reduce((in[1] + square(in[0] - mean)) * share)};
  }
};

// ---- Normalisation

// The decomposition is the way it runs. Two terms of the size of mean / deviation cancel in it:
// where the mean is a hundred times the deviation, results are good to 1e-5.
Value inverse_deviation(Value variance, float epsilon) {
  return reciprocal(sqrt(variance + epsilon));
}

struct BatchNormSums {  // (x, dy, mean) -> the sums of dy, and of dy * (x - mean)
  static std::string_view name() { return "batch_norm_sums"; }
  friend bool operator==(const BatchNormSums&, const BatchNormSums&) = default;

  std::vector<Type> infer(std::span<const Type> in) const {
    expect_inputs(name(), in, 3);
    expect_f32(name(), in);
    expect_batch(name(), in[0]);
    if (in[0] != in[1]) fail<ShapeError>("{}: x is {}, dy {}", name(), in[0], in[1]);
    expect_channels(name(), "mean", in[2], in[0]);
    return {in[2], in[2]};
  }
  std::vector<Value> decompose(std::span<const Value> in) const {
    const auto axes = all_but_last(in[0].shape());
    return {sum(in[1], axes), sum(in[1] * (in[0] - in[2]), axes)};
  }
  void lower(Lowering& l) const {
    const auto [layout, tiles] = tiles_of(l, 0);
    const auto channels = static_cast<std::size_t>(l.output(0).shape[0]);
    const auto padded = static_cast<std::int64_t>(tiles.channels);
    const Operand means = l.scratch({DType::f32, {padded}});
    const Operand memory = doubles(l, 2 * tiles.pieces * tiles.channels);
    l.step({l.read(0, layout), l.read(1, layout), l.read_row_major(2)},
           {l.write_row_major(0), l.write_row_major(1), means, memory},
           [tiles = tiles, channels](auto in, auto out) {
             std::fill(std::copy_n(as<float>(in[2]), channels, as<float>(out[2])),
                       as<float>(out[2]) + tiles.channels, 0.0f);
             run(tiles, channels, as<float>(in[0]), as<float>(in[1]), as<float>(out[2]),
                 as<double>(out[3]), as<float>(out[0]), as<float>(out[1]));
           });
  }

  /// means, unlike the other numbers per channel, go on into the padding.
  static void run(const Tiles& tiles, std::size_t channels, const float* x, const float* dy,
                  const float* means, double* partials, float* sums, float* products) {
    std::fill_n(partials, 2 * tiles.pieces * tiles.channels, 0.0);
    tiles.for_each([&](std::size_t piece, std::size_t at, std::size_t rows, std::size_t channel) {
      double* to = partials + 2 * piece * tiles.channels + channel;
      sums_tile(x + at, dy + at, means + channel, rows, tiles.planes.width, to,
                to + tiles.channels);
    });
    for (std::size_t c = 0; c < channels; ++c) {
      double first = 0, second = 0;
      for (std::size_t p = 0; p < tiles.pieces; ++p) {
        first += partials[2 * p * tiles.channels + c];
        second += partials[(2 * p + 1) * tiles.channels + c];
      }
      sums[c] = static_cast<float>(first);
      products[c] = static_cast<float>(second);
    }
  }
};

struct BatchNorm {  // (x, mean, variance, gamma, beta) -> y
  float epsilon = 1e-3f;
  static constexpr auto fields = std::tuple{field("epsilon", &BatchNorm::epsilon)};
  static std::string_view name() { return "batch_norm"; }
  friend bool operator==(const BatchNorm&, const BatchNorm&) = default;

  std::vector<Type> infer(std::span<const Type> in) const {
    expect_inputs(name(), in, 5);
    expect_f32(name(), in);
    expect_batch(name(), in[0]);
    static constexpr std::string_view names[] = {"mean", "variance", "gamma", "beta"};
    for (std::size_t i = 1; i < in.size(); ++i) {
      expect_channels(name(), names[i - 1], in[i], in[0]);
    }
    return {in[0]};
  }
  // dx by x alone: mean and variance are inputs of their own, which may or may not depend on x.
  std::vector<Value> vjp(const VjpArgs& args) const {
    const Value x = args.inputs[0], mean = args.inputs[1], gamma = args.inputs[3];
    const Value dy = args.cotangents[0], inverse = inverse_deviation(args.inputs[2], epsilon);
    std::vector<Value> result(5), sums;
    const auto others = args.wanted.subspan(1);
    const bool needs_sums = std::ranges::any_of(others, [](auto wanted) { return wanted != 0; });
    // First, so that the islands pass does not compute the product below before dy is summed, but
    // together with the rest of dx.
    if (needs_sums) sums = apply_all(BatchNormSums{}, {x, dy, mean});
    if (args.wants(0)) result[0] = dy * (gamma * inverse);
    if (args.wants(1)) result[1] = -(sums[0] * gamma * inverse);
    if (args.wants(2)) {
      result[2] = sums[1] * gamma * (-0.5f * inverse * inverse * inverse);
    }
    if (args.wants(3)) result[3] = sums[1] * inverse;
    if (args.wants(4)) result[4] = sums[0];
    return result;
  }
  std::vector<Value> decompose(std::span<const Value> in) const {
    const Value scale = in[3] * inverse_deviation(in[2], epsilon);
    return {in[0] * scale + (in[4] - in[1] * scale)};
  }
};

const Register registered{BatchMoments{}, WholeBatchMoments{}, BatchNormSums{}, BatchNorm{}};

}  // namespace

Moments batch_moments(Value x, float share) {
  if (!(share > 0 && share <= 1)) {
    fail<ArgumentError>("batch_moments: share must be above 0 and at most 1, not {}", share);
  }
  auto moments = apply_all(BatchMoments{}, {x});
  if (share < 1) moments = apply_all(WholeBatchMoments{share}, moments);
  return {moments[0], moments[1]};
}

Value batch_norm(Value x, Value mean, Value variance, Value gamma, Value beta, float epsilon) {
  if (!(epsilon >= 0)) {
    fail<ArgumentError>("batch_norm: epsilon must be at least 0, not {}", epsilon);
  }
  return apply(BatchNorm{epsilon}, {x, mean, variance, gamma, beta});
}

}  // namespace weft
