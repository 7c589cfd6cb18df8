#include "ops/random.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>

#include "graph/graph.hpp"
#include "graph/print.hpp"
#include "runtime/lowering.hpp"
#include "runtime/parallel.hpp"

namespace weft {
namespace {

// The constants of the paper: multipliers, and what the key grows by each round.
constexpr std::uint32_t multiplier[2] = {0xD2511F53, 0xCD9E8D57};
constexpr std::uint32_t weyl[2] = {0x9E3779B9, 0xBB67AE85};
constexpr int rounds = 10;

std::uint32_t low_half(std::uint64_t x) { return static_cast<std::uint32_t>(x); }
std::uint32_t high_half(std::uint64_t x) { return static_cast<std::uint32_t>(x >> 32); }

Philox::Block counter_of(std::uint64_t index, std::uint32_t stream) {
  return {low_half(index), high_half(index), stream, 0};
}

constexpr float unit = 0x1p-24f;  // a float holds every multiple of it up to 1

/// A number in [0, 1), made of the upper 24 bits.
float uniform(std::uint32_t bits) { return static_cast<float>(bits >> 8) * unit; }

constexpr std::size_t blocks_at_once = 32;
constexpr std::size_t batch = 4 * blocks_at_once;  // numbers

/// Philox::block of consecutive counters, side by side so that the loops become vector code.
void fill_batch(Philox::Key key, std::uint32_t stream, std::uint64_t first, std::uint32_t* bits) {
  std::uint32_t a[blocks_at_once], b[blocks_at_once], c[blocks_at_once], d[blocks_at_once];
  for (std::size_t i = 0; i < blocks_at_once; ++i) {
    a[i] = low_half(first + i);
    b[i] = high_half(first + i);
    c[i] = stream;
    d[i] = 0;
  }
  for (int round = 0; round < rounds; ++round) {
    for (std::size_t i = 0; i < blocks_at_once; ++i) {
      const std::uint64_t x = std::uint64_t{multiplier[0]} * a[i];
      const std::uint64_t y = std::uint64_t{multiplier[1]} * c[i];
      a[i] = high_half(y) ^ b[i] ^ key[0];
      b[i] = low_half(y);
      c[i] = high_half(x) ^ d[i] ^ key[1];
      d[i] = low_half(x);
    }
    key[0] += weyl[0];
    key[1] += weyl[1];
  }
  for (std::size_t i = 0; i < blocks_at_once; ++i) {
    bits[4 * i] = a[i];
    bits[4 * i + 1] = b[i];
    bits[4 * i + 2] = c[i];
    bits[4 * i + 3] = d[i];
  }
}

// A distribution knows what to make of a block: number `lane` of it in double precision, and all
// numbers of a batch in f32.

struct Uniform {
  float low = 0, high = 1;
  static constexpr auto fields =
      std::tuple{field("low", &Uniform::low), field("high", &Uniform::high)};
  static std::string_view name() { return "random_uniform"; }
  friend bool operator==(const Uniform&, const Uniform&) = default;

  /// Rounding must not reach high, which does not belong to the range.
  float below_high() const { return std::nextafter(high, low); }
  float number(std::uint32_t bits, float greatest) const {
    return std::min(low + (high - low) * uniform(bits), greatest);
  }
  double exact(const Philox::Block& block, std::size_t lane) const {
    return number(block[lane], below_high());
  }
  void fill(const std::uint32_t* bits, float* out) const {
    const float greatest = below_high();
    for (std::size_t i = 0; i < batch; ++i) out[i] = number(bits[i], greatest);
  }
};

struct Normal {
  float mean = 0, stddev = 1;
  static constexpr auto fields =
      std::tuple{field("mean", &Normal::mean), field("stddev", &Normal::stddev)};
  static std::string_view name() { return "random_normal"; }
  friend bool operator==(const Normal&, const Normal&) = default;

  // Two uniform numbers u in (0, 1] and v in [0, 1) make two normal ones, r cos(2 pi v) and
  // r sin(2 pi v), with r = sqrt(-2 log u).
  template <class T>
  std::array<T, 2> pair(std::uint32_t u, std::uint32_t v) const {
    const T radius = std::sqrt(-2 * std::log(static_cast<T>(uniform(u) + unit)));
    const T angle = 2 * std::numbers::pi_v<T> * static_cast<T>(uniform(v));
    return {mean + stddev * radius * std::cos(angle), mean + stddev * radius * std::sin(angle)};
  }
  double exact(const Philox::Block& block, std::size_t lane) const {
    const std::size_t first = lane / 2 * 2;
    return pair<double>(block[first], block[first + 1])[lane % 2];
  }
  void fill(const std::uint32_t* bits, float* out) const {
    for (std::size_t i = 0; i < batch; i += 2) {
      const auto [x, y] = pair<float>(bits[i], bits[i + 1]);
      out[i] = x;
      out[i + 1] = y;
    }
  }
};

struct Bernoulli {
  float probability = 0;
  static constexpr auto fields = std::tuple{field("probability", &Bernoulli::probability)};
  static std::string_view name() { return "random_bernoulli"; }
  friend bool operator==(const Bernoulli&, const Bernoulli&) = default;

  double exact(const Philox::Block& block, std::size_t lane) const {
    return uniform(block[lane]) < probability ? 1 : 0;
  }
  void fill(const std::uint32_t* bits, float* out) const {
    for (std::size_t i = 0; i < batch; ++i) out[i] = uniform(bits[i]) < probability ? 1.0f : 0.0f;
  }
};

template <class Distribution>
struct Random : Distribution {
  Shape shape;
  std::uint32_t stream = 0;
  static constexpr auto fields =
      std::tuple_cat(std::tuple{field("shape", &Random::shape), field("stream", &Random::stream)},
                     Distribution::fields);
  friend bool operator==(const Random&, const Random&) = default;
  using Distribution::name;

  std::vector<Type> infer(std::span<const Type> in) const {
    expect_inputs(name(), in, 1);
    if (in[0].dtype != DType::s32) {
      fail<TypeError>("{}: the key must be s32[2], {} was given; see cast", name(), in[0]);
    }
    if (in[0].shape != Shape{2}) {
      fail<ShapeError>("{}: the key must be s32[2], {} was given", name(), in[0]);
    }
    return {{DType::f32, shape}};
  }

  // The key is no number to differentiate by.
  std::vector<Value> vjp(const VjpArgs&) const { return {Value{}}; }

  std::vector<Array> evaluate(std::span<const Array> in) const {
    Philox::Key key;
    for (std::size_t i : {0, 1}) {
      key[i] = static_cast<std::uint32_t>(static_cast<std::int32_t>(in[0].data[i]));
    }
    Array y(shape);
    for (std::size_t i = 0; i < y.data.size(); ++i) {
      y.data[i] = this->exact(Philox::block(counter_of(i / 4, stream), key), i % 4);
    }
    return {y};
  }

  void lower(Lowering& l) const {
    l.step({l.read_row_major(0)}, {l.write_row_major(0)}, [op = *this](auto reads, auto writes) {
      Philox::Key key;
      std::memcpy(key.data(), reads[0], sizeof key);
      op.fill_all(key, as<float>(writes[0]));
    });
  }

  void fill_all(Philox::Key key, float* out) const {
    const auto count = static_cast<std::size_t>(shape.elements());
    parallel_for((count + batch - 1) / batch, 32, [=, this](std::size_t first, std::size_t last) {
      std::uint32_t bits[batch];
      float numbers[batch];
      for (std::size_t i = first; i < last; ++i) {
        fill_batch(key, stream, i * blocks_at_once, bits);
        this->fill(bits, numbers);
        std::copy_n(numbers, std::min(batch, count - i * batch), out + i * batch);
      }
    });
  }
};

const Register registered{Random<Uniform>{}, Random<Normal>{}, Random<Bernoulli>{}};

}  // namespace

Philox::Block Philox::block(Block counter, Key key) {
  for (int round = 0; round < rounds; ++round) {
    const std::uint64_t x = std::uint64_t{multiplier[0]} * counter[0];
    const std::uint64_t y = std::uint64_t{multiplier[1]} * counter[2];
    counter = {high_half(y) ^ counter[1] ^ key[0], low_half(y), high_half(x) ^ counter[3] ^ key[1],
               low_half(x)};
    key[0] += weyl[0];
    key[1] += weyl[1];
  }
  return counter;
}

Philox::result_type Philox::operator()() {
  const std::size_t lane = next_ % 4;
  if (lane == 0) block_ = block(counter_of(next_ / 4, stream_), key_);
  ++next_;
  return block_[lane];
}

Value random_uniform(Value key, const Shape& shape, std::uint32_t stream, float low, float high) {
  if (!(std::isfinite(low) && std::isfinite(high) && low < high)) {
    fail<ArgumentError>("random_uniform: low {} must be less than high {}, and both finite", low,
                        high);
  }
  return apply(Random<Uniform>{{low, high}, shape, stream}, {key});
}

Value random_normal(Value key, const Shape& shape, std::uint32_t stream, float mean, float stddev) {
  if (!(std::isfinite(mean) && std::isfinite(stddev) && stddev >= 0)) {
    fail<ArgumentError>("random_normal: stddev {} must be at least 0, and it and mean {} finite",
                        stddev, mean);
  }
  return apply(Random<Normal>{{mean, stddev}, shape, stream}, {key});
}

Value random_bernoulli(Value key, const Shape& shape, std::uint32_t stream, float probability) {
  if (!(probability >= 0 && probability <= 1)) {
    fail<ArgumentError>("random_bernoulli: probability {} must be in 0 to 1", probability);
  }
  return apply(Random<Bernoulli>{{probability}, shape, stream}, {key});
}

}  // namespace weft
