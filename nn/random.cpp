#include "nn/random.hpp"

#include <cmath>
#include <numbers>
#include <utility>

namespace weft::nn {
namespace {

// splitmix64's finalizer (Steele, Lea and Flood, 2014): near seeds give unrelated streams.
std::uint64_t scramble(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

// FNV-1a.
std::uint64_t hash(std::string_view text) {
  std::uint64_t h = 0xcbf29ce484222325u;
  for (const char c : text) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return h;
}

Philox::Key key(std::uint64_t x) {
  return {static_cast<std::uint32_t>(x), static_cast<std::uint32_t>(x >> 32)};
}

}  // namespace

Random::Random(std::uint64_t seed) : engine_(key(scramble(seed))) {}
Random::Random(std::uint64_t seed, std::string_view purpose)
    : engine_(key(scramble(scramble(seed) ^ hash(purpose)))) {}

std::uint64_t Random::bits() {
  const std::uint64_t high = engine_();
  return high << 32 | engine_();
}

std::uint64_t Random::below(std::uint64_t bound) {
  // Draws from the incomplete last round of [0, bound) would favour small numbers.
  const std::uint64_t excess = (UINT64_MAX % bound + 1) % bound;
  std::uint64_t draw = bits();
  while (draw > UINT64_MAX - excess) draw = bits();
  return draw % bound;
}

double Random::uniform(double low, double high) {
  return low + (high - low) * (static_cast<double>(bits() >> 11) * 0x1p-53);
}

double Random::normal(double mean, double deviation) {
  const double radius = std::sqrt(-2 * std::log(1 - uniform()));
  return mean + deviation * radius * std::cos(2 * std::numbers::pi * uniform());
}

double Random::truncated_normal(double mean, double deviation) {
  double draw = normal();
  while (std::abs(draw) > 2) draw = normal();
  return mean + deviation * draw;
}

void shuffle(std::vector<std::int64_t>& items, Random& random) {
  for (std::size_t i = items.size(); i > 1; --i) {
    std::swap(items[i - 1], items[random.below(i)]);
  }
}

}  // namespace weft::nn
