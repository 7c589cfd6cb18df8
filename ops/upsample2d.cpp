// Two linear ops, each the other's adjoint. Both are loops of ours that leave blocked channels as
// they lie: between convolutions nothing is reordered.
#include "ops/upsample2d.hpp"

#include <algorithm>
#include <type_traits>

#include "graph/checked.hpp"
#include "graph/graph.hpp"
#include "graph/print.hpp"
#include "ops/image_layouts.hpp"
#include "runtime/parallel.hpp"

namespace weft {
namespace {

using onednn::ChannelBlocks;

/// A small image and a large one, whose windows are the small one's pixels.
struct Scale {
  std::array<std::int64_t, 2> size{2, 2};
  friend bool operator==(const Scale&, const Scale&) = default;

  void check(std::string_view name, std::span<const Type> in) const {
    expect_inputs(name, in, 1);
    expect_f32(name, in);
    if (in[0].shape.rank() != 4) fail<ShapeError>("{}: x must be [N,H,W,C]: {}", name, in[0]);
    if (size[0] < 1 || size[1] < 1) {
      fail<ShapeError>("{}: size must be at least 1, not {}x{}", name, size[0], size[1]);
    }
  }

  /// Calls f(place in the small image, place in the large one) for each pixel of the latter.
  template <class F>
  void for_each(const Shape& small, F f) const {
    const std::int64_t height = small[1] * size[0], width = small[2] * size[1];
    for (std::int64_t n = 0; n < small[0]; ++n)
      for (std::int64_t h = 0; h < height; ++h)
        for (std::int64_t w = 0; w < width; ++w)
          for (std::int64_t c = 0; c < small[3]; ++c)
            f(((n * small[1] + h / size[0]) * small[2] + w / size[1]) * small[3] + c,
              ((n * height + h) * width + w) * small[3] + c);
  }
};

/// Both images, as the loops see them.
struct Images {
  Scale scale;
  ChannelBlocks small, large;
  std::int64_t samples, height, width;  // of the small one

  Images(const Scale& s, const Layout& small_layout, const Shape& shape, const Layout& large_layout)
      : scale(s),
        small(*onednn::channel_blocks(small_layout.md)),
        large(*onednn::channel_blocks(large_layout.md)),
        samples(shape[0]),
        height(shape[1]),
        width(shape[2]) {}

  /// Calls f(offset in small, offset in large) for each row of the small image and block of its
  /// channels, cut among threads.
  template <class F>
  void for_rows(F f) const {
    const auto work = static_cast<std::size_t>(width * small.width * scale.size[0] * scale.size[1]);
    parallel_for(static_cast<std::size_t>(samples * small.count * height),
                 1 + 16384 / std::max<std::size_t>(work, 1),
                 [&](std::size_t first, std::size_t last) {
                   for (auto i = static_cast<std::int64_t>(first);
                        i < static_cast<std::int64_t>(last); ++i) {
                     const std::int64_t h = i % height, b = i / height % small.count,
                                        n = i / height / small.count;
                     f(n * small.sample + b * small.block + h * small.row,
                       n * large.sample + b * large.block + h * scale.size[0] * large.row);
                   }
                 });
  }
};

// Where there is but one channel, vectors run along the row instead, which works for counts that
// the compiler knows: for_count calls f with one that it does for the usual ones.

template <class F>
[[gnu::always_inline]] inline void for_count(std::int64_t count, F f) {
  switch (count) {
    case 2:
      return f(std::integral_constant<std::int64_t, 2>{});
    case 3:
      return f(std::integral_constant<std::int64_t, 3>{});
    case 4:
      return f(std::integral_constant<std::int64_t, 4>{});
    default:
      return f(count);
  }
}

/// Is a pixel of the row one number, right behind that of the last?
bool is_dense(const ChannelBlocks& blocks) { return blocks.width == 1 && blocks.column == 1; }

[[gnu::target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")]] void repeat_numbers(
    const float* small, std::int64_t width, std::int64_t right, float* large) {
  for_count(
      right, [&](auto count) __attribute__((always_inline)) {
        for (std::int64_t w = 0; w < width; ++w) {
          for (std::int64_t j = 0; j < count; ++j) large[w * count + j] = small[w];
        }
      });
}

void repeat_row(const Images& g, const float* small, float* large) {
  const auto& [down, right] = g.scale.size;
  if (is_dense(g.small) && is_dense(g.large)) {
    repeat_numbers(small, g.width, right, large);
  } else {
    for (std::int64_t w = 0; w < g.width; ++w) {
      const float* from = small + w * g.small.column;
      for (std::int64_t j = 0; j < right; ++j) {
        std::copy_n(from, g.small.width, large + (w * right + j) * g.large.column);
      }
    }
  }
  // Rows of the output are packed: like() makes it so.
  const std::int64_t elements = g.width * right * g.large.column;
  for (std::int64_t i = 1; i < down; ++i) std::copy_n(large, elements, large + i * g.large.row);
}

[[gnu::target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")]] void sum_numbers(
    const float* large, std::int64_t width, std::int64_t right, float* small) {
  for_count(
      right, [&](auto count) __attribute__((always_inline)) {
        for (std::int64_t w = 0; w < width; ++w) {
          float sum = 0;
          for (std::int64_t j = 0; j < count; ++j) sum += large[w * count + j];
          small[w] += sum;
        }
      });
}

[[gnu::target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")]] void sum_pixels(
    const Images& g, const float* large, float* small) {
  const std::int64_t right = g.scale.size[1];
  for (std::int64_t w = 0; w < g.width; ++w) {
    float* to = small + w * g.small.column;
    for (std::int64_t j = 0; j < right; ++j) {
      const float* from = large + (w * right + j) * g.large.column;
      for (std::int64_t c = 0; c < g.small.width; ++c) to[c] += from[c];
    }
  }
}

void sum_row(const Images& g, const float* large, float* small) {
  std::fill_n(small, g.width * g.small.column, 0.0f);  // packed, as above
  for (std::int64_t i = 0; i < g.scale.size[0]; ++i) {
    const float* row = large + i * g.large.row;
    if (is_dense(g.small) && is_dense(g.large)) {
      sum_numbers(row, g.width, g.scale.size[1], small);
    } else {
      sum_pixels(g, row, small);
    }
  }
}

struct Upsample : Scale {
  static constexpr auto fields = std::tuple{field("size", &Upsample::size)};
  static std::string_view name() { return "upsample2d"; }
  friend bool operator==(const Upsample&, const Upsample&) = default;

  Shape large(const Shape& x) const {
    return {x[0], checked::mul(x[1], size[0], name()), checked::mul(x[2], size[1], name()), x[3]};
  }
  std::vector<Type> infer(std::span<const Type> in) const {
    check(name(), in);
    return {{DType::f32, large(in[0].shape)}};
  }
  std::vector<Value> vjp(const VjpArgs& args) const {
    return {sum_pool2d(args.cotangents[0], size)};
  }
  std::vector<Array> evaluate(std::span<const Array> in) const {
    Array y(large(in[0].shape));
    for_each(in[0].shape, [&](auto from, auto to) { y.data[to] = in[0].data[from]; });
    return {y};
  }
  std::optional<Value> simplify(std::span<const Value> in) const {
    return size == std::array<std::int64_t, 2>{1, 1} ? std::optional(in[0]) : std::nullopt;
  }
  void lower(Lowering& l) const {
    const Layout x = with_channels(l, 0), y = like(x, l.output(0));
    l.step({l.read(0, x)}, {l.write(0, y)},
           [g = Images(*this, x, l.input(0).shape, y)](auto in, auto out) {
             g.for_rows([&](std::int64_t from, std::int64_t to) {
               repeat_row(g, as<float>(in[0]) + from, as<float>(out[0]) + to);
             });
           });
  }
};

struct SumPool : Scale {
  static constexpr auto fields = std::tuple{field("size", &SumPool::size)};
  static std::string_view name() { return "sum_pool2d"; }
  friend bool operator==(const SumPool&, const SumPool&) = default;

  Shape small(const Shape& x) const { return {x[0], x[1] / size[0], x[2] / size[1], x[3]}; }
  std::vector<Type> infer(std::span<const Type> in) const {
    check(name(), in);
    const Shape& x = in[0].shape;
    if (x[1] % size[0] != 0 || x[2] % size[1] != 0) {
      fail<ShapeError>("sum_pool2d: windows of {}x{} do not tile {}", size[0], size[1], in[0]);
    }
    return {{DType::f32, small(x)}};
  }
  std::vector<Value> vjp(const VjpArgs& args) const {
    return {upsample2d(args.cotangents[0], size)};
  }
  std::vector<Array> evaluate(std::span<const Array> in) const {
    Array y(small(in[0].shape));
    for_each(y.shape, [&](auto to, auto from) { y.data[to] += in[0].data[from]; });
    return {y};
  }
  std::optional<Value> simplify(std::span<const Value> in) const {
    return size == std::array<std::int64_t, 2>{1, 1} ? std::optional(in[0]) : std::nullopt;
  }
  void lower(Lowering& l) const {
    const Layout x = with_channels(l, 0), y = like(x, l.output(0));
    l.step({l.read(0, x)}, {l.write(0, y)},
           [g = Images(*this, y, l.output(0).shape, x)](auto in, auto out) {
             g.for_rows([&](std::int64_t to, std::int64_t from) {
               sum_row(g, as<float>(in[0]) + from, as<float>(out[0]) + to);
             });
           });
  }
};

const Register registered{Upsample{}, SumPool{}};

}  // namespace

Value upsample2d(Value x, std::array<std::int64_t, 2> size) { return apply(Upsample{{size}}, {x}); }

Value sum_pool2d(Value x, std::array<std::int64_t, 2> size) { return apply(SumPool{{size}}, {x}); }

}  // namespace weft
