// Pooling. Max pooling says which element of each window was the largest; its adjoint and the
// adjoint of that (a gather) read this index, so the family is closed. Average pooling is linear
// and has one adjoint.
//
// Loops over the windows of max pooling are our own. Where a gradient is wanted: oneDNN's workspace
// cannot be read by anyone else, and writing it costs oneDNN 2.6 several times the pooling itself
// on AVX2. Where none is: oneDNN passes over a NaN.
#include "ops/pool2d.hpp"

#include <algorithm>
#include <cstring>
#include <limits>

#include "graph/checked.hpp"
#include "graph/graph.hpp"
#include "graph/print.hpp"
#include "ops/conv2d_pool.hpp"
#include "ops/image_layouts.hpp"
#include "ops/unary.hpp"
#include "runtime/lowering.hpp"
#include "runtime/parallel.hpp"

namespace weft {
namespace {

using onednn::ChannelBlocks;

struct Window {
  std::array<std::int64_t, 2> window{2, 2}, stride{2, 2};
  Padding2D padding{};
  friend bool operator==(const Window&, const Window&) = default;

  Shape output(std::string_view name, const Shape& x) const {
    if (x.rank() != 4) fail<ShapeError>("{}: x must be [N,H,W,C], {} was given", name, x);
    for (int i = 0; i < 2; ++i) {
      if (std::min(window[i], stride[i]) < 1 ||
          std::max(window[i], stride[i]) > checked::largest_extent) {
        fail<ShapeError>(
            "{}: window and stride must be at least 1 and at most {}: window {},{} stride {},{}",
            name, checked::largest_extent, window[0], window[1], stride[0], stride[1]);
      }
    }
    // Places in a window are counted as s32, by oneDNN as by us.
    if (window[0] * window[1] > checked::largest_extent) {
      fail<ShapeError>("{}: a window may have {} elements, not {} x {}", name,
                       checked::largest_extent, window[0], window[1]);
    }
    if (std::ranges::min(padding.list()) < 0 ||
        std::max(padding.top, padding.bottom) >= window[0] ||
        std::max(padding.left, padding.right) >= window[1]) {
      fail<ShapeError>(
          "{}: padding must be at least 0 and less than the window {},{}: {} (top, "
          "bottom, left, right)",
          name, window[0], window[1], fmt::join(padding.list(), ","));
    }
    const std::int64_t h = checked::padded(x[1], padding.top, padding.bottom, name) - window[0];
    const std::int64_t w = checked::padded(x[2], padding.left, padding.right, name) - window[1];
    if (h < 0 || w < 0) {
      fail<ShapeError>("{}: window {},{} is larger than the padded input {}", name, window[0],
                       window[1], x);
    }
    return {x[0], h / stride[0] + 1, w / stride[1] + 1, x[3]};
  }

  /// A window's part inside the input, along one axis: [first, last) in the input's positions.
  struct Range {
    std::int64_t first, last, start;  // start may be negative: the window's own position 0
  };
  Range range(std::int64_t position, std::int64_t size, int axis) const {
    const std::int64_t start = position * stride[axis] - (axis == 0 ? padding.top : padding.left);
    return {std::max<std::int64_t>(start, 0), std::min(start + window[axis], size), start};
  }

  /// Calls f(place in y, place in x, index in the window) for all elements under all windows.
  template <class F>
  void for_each(const Shape& x, const Shape& y, F f) const {
    for (std::int64_t n = 0; n < y[0]; ++n)
      for (std::int64_t i = 0; i < y[1]; ++i)
        for (std::int64_t j = 0; j < y[2]; ++j)
          for (std::int64_t c = 0; c < y[3]; ++c) {
            const Range rows = range(i, x[1], 0), columns = range(j, x[2], 1);
            for (std::int64_t h = rows.first; h < rows.last; ++h)
              for (std::int64_t w = columns.first; w < columns.last; ++w)
                f(((n * y[1] + i) * y[2] + j) * y[3] + c, ((n * x[1] + h) * x[2] + w) * x[3] + c,
                  (h - rows.start) * window[1] + (w - columns.start));
          }
  }

  DType index_type() const { return window[0] * window[1] <= 256 ? DType::u8 : DType::s32; }

  onednn::Dims strides() const { return {stride[0], stride[1]}; }
  onednn::Dims sizes() const { return {window[0], window[1]}; }
  onednn::Dims dilates() const { return {0, 0}; }
  onednn::Dims before() const { return {padding.top, padding.left}; }
  onednn::Dims behind() const { return {padding.bottom, padding.right}; }
};

/// Input and output images, as the loops see them.
struct Images {
  Window window;
  ChannelBlocks x, y;
  std::int64_t samples, height, width, out_height, out_width;

  Images(const Window& w, const Layout& x_layout, const Shape& x_shape, const Layout& y_layout,
         const Shape& y_shape)
      : window(w),
        x(*onednn::channel_blocks(x_layout.md)),
        y(*onednn::channel_blocks(y_layout.md)),
        samples(x_shape[0]),
        height(x_shape[1]),
        width(x_shape[2]),
        out_height(y_shape[1]),
        out_width(y_shape[2]) {}

  /// Calls f(offset in x, offset in y) for every sample and block of channels, cut among threads.
  template <class F>
  void for_planes(F f) const {
    const auto work = static_cast<std::size_t>(height * width * x.width);
    parallel_for(static_cast<std::size_t>(samples * x.count),
                 1 + 16384 / std::max<std::size_t>(work, 1),
                 [&](std::size_t first, std::size_t last) {
                   for (auto i = static_cast<std::int64_t>(first);
                        i < static_cast<std::int64_t>(last); ++i) {
                     const std::int64_t n = i / x.count, b = i % x.count;
                     f(n * x.sample + b * x.block, n * y.sample + b * y.block);
                   }
                 });
  }
};

// Channels are taken eight at a time as one vector (GCC's and Clang's vector extension), and one at
// a time where fewer remain.
using Floats = float __attribute__((vector_size(32)));
using Ints = std::int32_t __attribute__((vector_size(32)));
using Bytes = std::uint8_t __attribute__((vector_size(8)));

// Vectors are returned through references: how they are returned by value depends on the
// instruction set that the caller was built for.
template <class V>
[[gnu::always_inline]] inline void load(V& v, const void* from) {
  std::memcpy(&v, from, sizeof v);
}
template <class V>
[[gnu::always_inline]] inline void store(const V& v, void* to) {
  std::memcpy(to, &v, sizeof v);
}
[[gnu::always_inline]] inline void load_index(Ints& v, const std::uint8_t* from) {
  Bytes bytes;
  load(bytes, from);
  v = __builtin_convertvector(bytes, Ints);
}
[[gnu::always_inline]] inline void load_index(Ints& v, const std::int32_t* from) { load(v, from); }
[[gnu::always_inline]] inline void store_index(const Ints& v, std::uint8_t* to) {
  store(__builtin_convertvector(v, Bytes), to);
}
[[gnu::always_inline]] inline void store_index(const Ints& v, std::int32_t* to) { store(v, to); }

/// The largest of each channel under each window, and where it was, unless `index` is null: the
/// first among equals. A NaN is larger than all.
template <bool with_index, class Index>
[[gnu::always_inline]] inline void max_plane(const Images& g, const float* x, float* y,
                                             Index* index) {
  const std::int64_t channels = g.x.width, wide = channels / 8 * 8, kw = g.window.window[1];
  for (std::int64_t i = 0; i < g.out_height; ++i) {
    const auto rows = g.window.range(i, g.height, 0);
    for (std::int64_t j = 0; j < g.out_width; ++j) {
      const auto columns = g.window.range(j, g.width, 1);
      const std::int64_t to = i * g.y.row + j * g.y.column;
      const std::int64_t first = rows.first * g.x.row + columns.first * g.x.column;
      const auto first_index =
          static_cast<std::int32_t>((rows.first - rows.start) * kw + columns.first - columns.start);
      for (std::int64_t c = 0; c < wide; c += 8) {
        Floats best, v;
        load(best, x + first + c);
        Ints where = Ints{} + first_index;
        for (std::int64_t h = rows.first; h < rows.last; ++h) {
          const float* from = x + h * g.x.row + c;
          auto here =
              static_cast<std::int32_t>((h - rows.start) * kw + columns.first - columns.start);
          for (std::int64_t w = columns.first; w < columns.last; ++w, ++here) {
            load(v, from + w * g.x.column);
            const Ints wins = (v > best) | (v != v);
            best = wins ? v : best;
            where = wins ? Ints{} + here : where;
          }
        }
        store(best, y + to + c);
        if constexpr (with_index) store_index(where, index + to + c);
      }
      for (std::int64_t c = wide; c < channels; ++c) {
        float best = x[first + c];
        std::int32_t where = first_index;
        for (std::int64_t h = rows.first; h < rows.last; ++h) {
          for (std::int64_t w = columns.first; w < columns.last; ++w) {
            const float v = x[h * g.x.row + w * g.x.column + c];
            if (v > best || v != v) {
              best = v;
              where = static_cast<std::int32_t>((h - rows.start) * kw + w - columns.start);
            }
          }
        }
        y[to + c] = best;
        if constexpr (with_index) index[to + c] = static_cast<Index>(where);
      }
    }
  }
}

/// dx is dy where the index points, summed over windows, and zero elsewhere.
template <class Index>
[[gnu::always_inline]] inline void scatter_plane(const Images& g, const Index* index,
                                                 const float* dy, float* dx) {
  const std::int64_t channels = g.x.width, wide = channels / 8 * 8;
  const auto& [window, stride, padding] = g.window;
  // Windows that tile the input write each of its elements once; else sums start from zero.
  const bool tiles = window == stride && padding == Padding2D{} &&
                     g.out_height * stride[0] == g.height && g.out_width * stride[1] == g.width;
  if (!tiles) {
    for (std::int64_t h = 0; h < g.height; ++h) {
      for (std::int64_t w = 0; w < g.width; ++w) {
        std::fill_n(dx + h * g.x.row + w * g.x.column, channels, 0.0f);
      }
    }
  }
  for (std::int64_t i = 0; i < g.out_height; ++i) {
    const auto rows = g.window.range(i, g.height, 0);
    for (std::int64_t j = 0; j < g.out_width; ++j) {
      const auto columns = g.window.range(j, g.width, 1);
      const std::int64_t from = i * g.y.row + j * g.y.column;
      for (std::int64_t c = 0; c < wide; c += 8) {
        Floats value, before;
        Ints where;
        load(value, dy + from + c);
        load_index(where, index + from + c);
        for (std::int64_t h = rows.first; h < rows.last; ++h) {
          float* to = dx + h * g.x.row + c;
          auto here = static_cast<std::int32_t>((h - rows.start) * window[1] + columns.first -
                                                columns.start);
          for (std::int64_t w = columns.first; w < columns.last; ++w, ++here) {
            const Floats chosen = where == here ? value : Floats{};
            float* at = to + w * g.x.column;
            if (tiles) {
              store(chosen, at);
            } else {
              load(before, at);
              store(before + chosen, at);
            }
          }
        }
      }
      for (std::int64_t c = wide; c < channels; ++c) {
        const auto where = static_cast<std::int64_t>(index[from + c]);
        if (tiles) {
          for (std::int64_t h = rows.first; h < rows.last; ++h) {
            for (std::int64_t w = columns.first; w < columns.last; ++w) {
              dx[h * g.x.row + w * g.x.column + c] = 0;
            }
          }
        }
        const std::int64_t h = rows.start + where / window[1],
                           w = columns.start + where % window[1];
        dx[h * g.x.row + w * g.x.column + c] += dy[from + c];
      }
    }
  }
}

template <class Index>
[[gnu::always_inline]] inline void gather_plane(const Images& g, const Index* index, const float* x,
                                                float* y) {
  for (std::int64_t i = 0; i < g.out_height; ++i) {
    const auto rows = g.window.range(i, g.height, 0);
    for (std::int64_t j = 0; j < g.out_width; ++j) {
      const auto columns = g.window.range(j, g.width, 1);
      const std::int64_t to = i * g.y.row + j * g.y.column;
      for (std::int64_t c = 0; c < g.x.width; ++c) {
        const auto where = static_cast<std::int64_t>(index[to + c]);
        const std::int64_t h = rows.start + where / g.window.window[1];
        const std::int64_t w = columns.start + where % g.window.window[1];
        y[to + c] = x[h * g.x.row + w * g.x.column + c];
      }
    }
  }
}

/// Calls f with a null pointer of the index's type.
template <class F>
void with_index(DType dtype, F f) {
  if (dtype == DType::u8) {
    f(static_cast<std::uint8_t*>(nullptr));
  } else {
    f(static_cast<std::int32_t*>(nullptr));
  }
}

struct MaxPoolGather : Window {  // (index, x) -> x at the index
  static constexpr auto fields =
      std::tuple{field("window", &MaxPoolGather::window), field("stride", &MaxPoolGather::stride),
                 field("padding", &MaxPoolGather::padding)};
  static std::string_view name() { return "max_pool2d_gather"; }
  friend bool operator==(const MaxPoolGather&, const MaxPoolGather&) = default;

  std::vector<Type> infer(std::span<const Type> in) const {
    expect_inputs(name(), in, 2);
    expect_f32(name(), in.subspan(1));
    const Shape y = output(name(), in[1].shape);
    if (in[0].shape != y)
      fail<ShapeError>("{}: index is {}, x {} has windows {}", name(), in[0], in[1], y);
    return {{DType::f32, y}};
  }
  std::vector<Value> vjp(const VjpArgs& args) const;
  std::vector<Array> evaluate(std::span<const Array> in) const {
    Array y(in[0].shape);
    for_each(in[1].shape, y.shape, [&](auto to, auto from, auto k) {
      if (in[0].data[to] == static_cast<double>(k)) y.data[to] = in[1].data[from];
    });
    return {y};
  }
  void lower(Lowering& l) const {
    const Layout x = with_channels(l, 1), y = like(x, l.output(0)), index = like(x, l.input(0));
    const Images images(*this, x, l.input(1).shape, y, l.output(0).shape);
    with_index(l.input(0).dtype, [&]<class Index>(Index*) {
      l.step({l.read(0, index), l.read(1, x)}, {l.write(0, y)}, [images](auto in, auto out) {
        images.for_planes([&](std::int64_t at_x, std::int64_t at_y) {
          gather_plane(images, as<Index>(in[0]) + at_y, as<float>(in[1]) + at_x,
                       as<float>(out[0]) + at_y);
        });
      });
    });
  }
};

struct MaxPoolGrad : Window {          // (index, dy) -> dx
  std::int64_t height = 2, width = 2;  // of x
  static constexpr auto fields =
      std::tuple{field("window", &MaxPoolGrad::window), field("stride", &MaxPoolGrad::stride),
                 field("padding", &MaxPoolGrad::padding), field("height", &MaxPoolGrad::height),
                 field("width", &MaxPoolGrad::width)};
  static std::string_view name() { return "max_pool2d_grad"; }
  friend bool operator==(const MaxPoolGrad&, const MaxPoolGrad&) = default;

  std::vector<Type> infer(std::span<const Type> in) const {
    expect_inputs(name(), in, 2);
    expect_f32(name(), in.subspan(1));
    if (in[0].shape != in[1].shape || in[0].shape.rank() != 4) {
      fail<ShapeError>("{}: index and dy must be images of one shape: {} and {}", name(), in[0],
                       in[1]);
    }
    const Shape x{in[1].shape[0], height, width, in[1].shape[3]};
    if (output(name(), x) != in[1].shape) {
      fail<ShapeError>("{}: x {} has windows {}, dy is {}", name(), x, output(name(), x), in[1]);
    }
    return {{DType::f32, x}};
  }
  std::vector<Value> vjp(const VjpArgs& args) const {
    return {Value{}, apply(MaxPoolGather{*this}, {args.inputs[0], args.cotangents[0]})};
  }
  std::vector<Array> evaluate(std::span<const Array> in) const {
    Array dx(Shape{in[1].shape[0], height, width, in[1].shape[3]});
    for_each(dx.shape, in[1].shape, [&](auto from, auto to, auto k) {
      if (in[0].data[from] == static_cast<double>(k)) dx.data[to] += in[1].data[from];
    });
    return {dx};
  }
  void lower(Lowering& l) const {
    // The index lies as the forward pass left it, and so shall dy and dx.
    const Layout index = with_channels(l, 0), dy = like(index, l.input(1)),
                 dx = like(index, l.output(0));
    const Images images(*this, dx, l.output(0).shape, dy, l.input(1).shape);
    with_index(l.input(0).dtype, [&]<class Index>(Index*) {
      l.step({l.read(0, index), l.read(1, dy)}, {l.write(0, dx)}, [images](auto in, auto out) {
        run(images, as<Index>(in[0]), as<float>(in[1]), as<float>(out[0]));
      });
    });
  }

  template <class Index>
  static void run(const Images& g, const Index* index, const float* dy, float* dx) {
    g.for_planes([&](std::int64_t at_x, std::int64_t at_y) {
      plane(g, index + at_y, dy + at_y, dx + at_x);
    });
  }
  [[gnu::target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")]] static void plane(
      const Images& g, const std::uint8_t* index, const float* dy, float* dx) {
    scatter_plane(g, index, dy, dx);
  }
  static void plane(const Images& g, const std::int32_t* index, const float* dy, float* dx) {
    scatter_plane(g, index, dy, dx);
  }
};

std::vector<Value> MaxPoolGather::vjp(const VjpArgs& args) const {
  const Shape x = args.inputs[1].shape();
  return {Value{}, apply(MaxPoolGrad{*this, x[1], x[2]}, {args.inputs[0], args.cotangents[0]})};
}

struct MaxPool : Window {  // x -> y, index of the largest in its window
  static constexpr auto fields =
      std::tuple{field("window", &MaxPool::window), field("stride", &MaxPool::stride),
                 field("padding", &MaxPool::padding)};
  static std::string_view name() { return "max_pool2d"; }
  friend bool operator==(const MaxPool&, const MaxPool&) = default;

  std::vector<Type> infer(std::span<const Type> in) const {
    expect_inputs(name(), in, 1);
    expect_f32(name(), in);
    const Shape y = output(name(), in[0].shape);
    return {{DType::f32, y}, {index_type(), y}};
  }
  std::vector<Value> vjp(const VjpArgs& args) const {
    const Value dy = args.cotangents[0];
    if (!dy) return {Value{}};
    const Shape x = args.inputs[0].shape();
    return {apply(MaxPoolGrad{*this, x[1], x[2]}, {args.outputs[1], dy})};
  }
  std::vector<Array> evaluate(std::span<const Array> in) const {
    Array y(output(name(), in[0].shape)), index(y.shape);
    std::ranges::fill(y.data, -std::numeric_limits<double>::infinity());
    std::ranges::fill(index.data, -1);
    for_each(in[0].shape, y.shape, [&](auto to, auto from, auto k) {
      const double x = in[0].data[from];
      if (index.data[to] < 0 || x > y.data[to] || x != x) {
        y.data[to] = x;
        index.data[to] = static_cast<double>(k);
      }
    });
    return {y, index};
  }
  // max_pool2d(relu(x)) is relu(max_pool2d(x)), exactly, with fewer elements to compare with 0. The
  // index may differ where all of a window is negative, and there no gradient passes relu.
  std::optional<std::vector<Value>> simplify(std::span<const Value> in) const {
    if (in[0].op().name() != "relu") return std::nullopt;
    auto pooled = apply_all(*this, {in[0].inputs()[0]});
    return std::vector<Value>{relu(pooled[0]), pooled[1]};
  }
  std::optional<Joined> join(std::span<const Value> in, const OnlyHere& only_here) const {
    return join_conv2d_max_pool2d(in[0], {window, stride, padding}, only_here);
  }
  void lower(Lowering& l) const {
    const Layout x = with_channels(l, 0), y = like(x, l.output(0)), index = like(x, l.output(1));
    const Images images(*this, x, l.input(0).shape, y, l.output(0).shape);
    if (!l.output_used(1)) {
      l.step({l.read(0, x)}, {l.write(0, y)}, [images](auto in, auto out) {
        images.for_planes([&](std::int64_t at_x, std::int64_t at_y) {
          values(images, as<float>(in[0]) + at_x, as<float>(out[0]) + at_y);
        });
      });
      return;
    }
    with_index(index_type(), [&]<class Index>(Index*) {
      l.step({l.read(0, x)}, {l.write(0, y), l.write(1, index)}, [images](auto in, auto out) {
        images.for_planes([&](std::int64_t at_x, std::int64_t at_y) {
          plane(images, as<float>(in[0]) + at_x, as<float>(out[0]) + at_y,
                as<Index>(out[1]) + at_y);
        });
      });
    });
  }

  [[gnu::target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")]] static void values(
      const Images& g, const float* x, float* y) {
    max_plane<false>(g, x, y, static_cast<std::uint8_t*>(nullptr));
  }
  [[gnu::target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")]] static void plane(
      const Images& g, const float* x, float* y, std::uint8_t* index) {
    max_plane<true>(g, x, y, index);
  }
  static void plane(const Images& g, const float* x, float* y, std::int32_t* index) {
    max_plane<true>(g, x, y, index);
  }
};

/// How many elements of each window are not padding.
Array counts(const Window& window, const Shape& x, const Shape& y) {
  Array result(y);
  window.for_each(x, y, [&](auto to, auto, auto) { ++result.data[to]; });
  return result;
}

struct AveragePoolGrad : Window {      // dy -> dx
  std::int64_t height = 2, width = 2;  // of x
  static constexpr auto fields = std::tuple{
      field("window", &AveragePoolGrad::window), field("stride", &AveragePoolGrad::stride),
      field("padding", &AveragePoolGrad::padding), field("height", &AveragePoolGrad::height),
      field("width", &AveragePoolGrad::width)};
  static std::string_view name() { return "average_pool2d_grad"; }
  friend bool operator==(const AveragePoolGrad&, const AveragePoolGrad&) = default;

  std::vector<Type> infer(std::span<const Type> in) const {
    expect_inputs(name(), in, 1);
    expect_f32(name(), in);
    if (in[0].shape.rank() != 4) fail<ShapeError>("{}: dy must be [N,H,W,C]: {}", name(), in[0]);
    const Shape x{in[0].shape[0], height, width, in[0].shape[3]};
    if (output(name(), x) != in[0].shape) {
      fail<ShapeError>("{}: x {} has windows {}, dy is {}", name(), x, output(name(), x), in[0]);
    }
    return {{DType::f32, x}};
  }
  std::vector<Value> vjp(const VjpArgs& args) const {
    return {average_pool2d(args.cotangents[0], {window, stride, padding})};
  }
  std::vector<Array> evaluate(std::span<const Array> in) const {
    Array dx(Shape{in[0].shape[0], height, width, in[0].shape[3]});
    const Array count = counts(*this, dx.shape, in[0].shape);
    for_each(dx.shape, in[0].shape,
             [&](auto from, auto to, auto) { dx.data[to] += in[0].data[from] / count.data[from]; });
    return {dx};
  }
  void lower(Lowering& l) const {
    const Layout dy = with_channels(l, 0), dx = like(dy, l.output(0));
    const auto average = dnnl::algorithm::pooling_avg_exclude_padding;
    const auto pd = onednn::try_to(l.describe(), [&] {
      const auto hint = onednn::forward<onednn::pooling_forward>(
          l.attr(), dnnl::prop_kind::forward_training, average, dx.md, dy.md, strides(), sizes(),
          dilates(), before(), behind());
      return onednn::backward<onednn::pooling_backward>(
          hint, l.attr(), average, dx.md, dy.md, strides(), sizes(), dilates(), before(), behind());
    });
    l.step(pd, {{DNNL_ARG_DIFF_DST, l.read(0, dy)}}, {{DNNL_ARG_DIFF_SRC, l.write(0, dx)}});
  }
};

struct AveragePool : Window {
  static constexpr auto fields =
      std::tuple{field("window", &AveragePool::window), field("stride", &AveragePool::stride),
                 field("padding", &AveragePool::padding)};
  static std::string_view name() { return "average_pool2d"; }
  friend bool operator==(const AveragePool&, const AveragePool&) = default;

  std::vector<Type> infer(std::span<const Type> in) const {
    expect_inputs(name(), in, 1);
    expect_f32(name(), in);
    return {{DType::f32, output(name(), in[0].shape)}};
  }
  std::vector<Value> vjp(const VjpArgs& args) const {
    const Shape x = args.inputs[0].shape();
    return {apply(AveragePoolGrad{*this, x[1], x[2]}, {args.cotangents[0]})};
  }
  std::vector<Array> evaluate(std::span<const Array> in) const {
    Array y(output(name(), in[0].shape));
    const Array count = counts(*this, in[0].shape, y.shape);
    for_each(in[0].shape, y.shape,
             [&](auto to, auto from, auto) { y.data[to] += in[0].data[from]; });
    for (std::size_t i = 0; i < y.data.size(); ++i) y.data[i] /= count.data[i];
    return {y};
  }
  void lower(Lowering& l) const {
    const Layout x = with_channels(l, 0), y = like(x, l.output(0));
    const auto pd = onednn::try_to(l.describe(), [&] {
      return onednn::forward<onednn::pooling_forward>(l.attr(), dnnl::prop_kind::forward_inference,
                                                      dnnl::algorithm::pooling_avg_exclude_padding,
                                                      x.md, y.md, strides(), sizes(), dilates(),
                                                      before(), behind());
    });
    l.step(pd, {{DNNL_ARG_SRC, l.read(0, x)}}, {{DNNL_ARG_DST, l.write(0, y)}});
  }
};

const Register registered{MaxPool{}, MaxPoolGrad{}, MaxPoolGather{}, AveragePool{},
                          AveragePoolGrad{}};

}  // namespace

Value max_pool2d(Value x, const Pool2dOptions& o) {
  return apply(MaxPool{{o.window, o.stride, o.padding}}, {x});
}

Value max_pool2d_grad(Value index, Value dy, const Shape& x_shape, const Pool2dOptions& o) {
  if (x_shape.rank() != 4) {
    fail<ShapeError>("max_pool2d_grad: x_shape must be [N,H,W,C]: {}", x_shape);
  }
  return apply(MaxPoolGrad{{o.window, o.stride, o.padding}, x_shape[1], x_shape[2]}, {index, dy});
}

std::optional<Pool2dOptions> max_pool2d_grad_options(const Op& op) {
  const auto* grad = op.as<MaxPoolGrad>();
  if (grad == nullptr) return std::nullopt;
  return Pool2dOptions{grad->window, grad->stride, grad->padding};
}

Value average_pool2d(Value x, const Pool2dOptions& o) {
  return apply(AveragePool{{o.window, o.stride, o.padding}}, {x});
}

}  // namespace weft
