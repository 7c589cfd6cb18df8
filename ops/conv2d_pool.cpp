// A first layer's convolution has so few channels that it waits for memory: it writes an image of
// 32 channels for every one that it reads, pooling reads that and keeps a quarter, and the backward
// pass does it all again, with three quarters of the numbers zero. Here four neighbours of the
// convolution are computed in registers, and only the largest is stored; the kernel's gradient
// takes the cotangent from where the index says. Neither image ever exists.
//
// The meaning is that of the ops of conv2d.cpp and pool2d.cpp that these replace.
#include "ops/conv2d_pool.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <algorithm>
#include <cstring>

#include "graph/graph.hpp"
#include "graph/print.hpp"
#include "ops/binary.hpp"
#include "ops/conv2d.hpp"
#include "runtime/lowering.hpp"
#include "runtime/parallel.hpp"

namespace weft {
namespace {

/// Sizes of both ops; K is the kernel's height and width, the window is 2x2.
struct Geometry {
  Padding2D padding{};
  friend bool operator==(const Geometry&, const Geometry&) = default;

  Conv2dOptions options() const { return {.padding = padding}; }
  Shape pooled(const Shape& x, const Shape& kernel) const {
    return {x[0], (x[1] + padding.top + padding.bottom - kernel[0] + 1) / 2,
            (x[2] + padding.left + padding.right - kernel[1] + 1) / 2, kernel[3]};
  }
};

/// The loops' view of it. A strip is what one row of windows sees of one image: K + 1 rows of each
/// channel, channel by channel, with the padding in place.
struct Sizes {
  std::int64_t samples, height, width, channels;  // of x
  std::int64_t out_height, out_width, filters;    // of the pooled image
  std::int64_t top, left, kernel, strip_width;

  Sizes(const Geometry& g, const Shape& x, const Shape& k)
      : samples(x[0]),
        height(x[1]),
        width(x[2]),
        channels(x[3]),
        filters(k[3]),
        top(g.padding.top),
        left(g.padding.left),
        kernel(k[0]) {
    const Shape y = g.pooled(x, k);
    out_height = y[1];
    out_width = y[2];
    strip_width = 2 * out_width + kernel - 1;
  }
  std::int64_t strip_rows() const { return kernel + 1; }
  std::int64_t strip_elements() const { return channels * strip_rows() * strip_width; }
  std::int64_t taps() const { return kernel * kernel * channels; }
};

constexpr std::int64_t most_strip = 8192;  // elements, on the stack
constexpr std::int64_t most_taps = 128;    // of the kernel, such that 32 filters fit a 16 KiB half
                                           // of the first-level cache
constexpr std::int64_t most_row = 16384;   // elements of a pooled row, likewise on the stack

bool suits(const Shape& x, const Shape& kernel, const Conv2dOptions& conv) {
  const Conv2dOptions plain{.padding = conv.padding};
  if (!(conv == plain) || kernel[0] != kernel[1] || (kernel[0] != 3 && kernel[0] != 5)) {
    return false;
  }
  const Sizes s({conv.padding}, x, kernel);
  return s.filters % 8 == 0 && s.out_height > 0 && s.out_width > 0 && s.taps() <= most_taps &&
         s.strip_elements() <= most_strip && s.out_width * s.filters <= most_row;
}

void fill_strip(const Sizes& s, const float* image, std::int64_t row, float* strip) {
  const std::int64_t first = std::clamp<std::int64_t>(s.left, 0, s.strip_width);
  const std::int64_t last = std::clamp<std::int64_t>(s.left + s.width, first, s.strip_width);
  for (std::int64_t c = 0; c < s.channels; ++c) {
    for (std::int64_t r = 0; r < s.strip_rows(); ++r) {
      float* to = strip + (c * s.strip_rows() + r) * s.strip_width;
      const std::int64_t h = 2 * row - s.top + r;
      if (h < 0 || h >= s.height) {
        std::fill_n(to, s.strip_width, 0.0f);
        continue;
      }
      std::fill_n(to, first, 0.0f);
      const float* from = image + h * s.width * s.channels + c;
      if (s.channels == 1) {
        std::copy_n(from, last - first, to + first);
      } else {
        for (std::int64_t w = first; w < last; ++w) to[w] = from[(w - s.left) * s.channels];
      }
      std::fill_n(to + last, s.strip_width - last, 0.0f);
    }
  }
}

// The loops, in the instruction sets that there may be.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define WEFT_LANES 16
#pragma GCC push_options
#pragma GCC target("arch=x86-64-v4,prefer-vector-width=512")
namespace v4 {
#include "ops/conv2d_pool_loops.inc"
}
#pragma GCC pop_options
#undef WEFT_LANES
#define WEFT_LANES 8
#pragma GCC push_options
#pragma GCC target("arch=x86-64-v3")
namespace v3 {
#include "ops/conv2d_pool_loops.inc"
}
#pragma GCC pop_options
#else
#define WEFT_LANES 8
#endif
namespace portable {
#include "ops/conv2d_pool_loops.inc"
}

struct Loops {
  void (*pooled_row)(const Sizes&, const float* strip, const float* kernel, const float* bias,
                     float* y, std::uint8_t* index);
  void (*kernel_grad_row)(const Sizes&, const float* strip, const std::uint8_t* index,
                          const float* dy, float* dkernel, float* dbias);
};

/// With the widest vectors that processor and number of filters allow.
Loops loops([[maybe_unused]] std::int64_t filters) {
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
  static const bool has_v4 = __builtin_cpu_supports("x86-64-v4"),
                    has_v3 = __builtin_cpu_supports("x86-64-v3");
  if (has_v4 && filters % 16 == 0) return {v4::pooled_row, v4::kernel_grad_row};
  if (has_v3) return {v3::pooled_row, v3::kernel_grad_row};
#endif
  return {portable::pooled_row, portable::kernel_grad_row};
}

Layout bias_layout(const Type& type) { return strided(DType::f32, {type.shape.elements()}, {1}); }

struct Conv2dMaxPool2d : Geometry {  // (x, kernel[, bias]) -> y, index
  static constexpr Traits traits{.takes_unary = true};
  static constexpr auto fields = std::tuple{field("padding", &Conv2dMaxPool2d::padding)};
  static std::string_view name() { return "conv2d_max_pool2d"; }
  friend bool operator==(const Conv2dMaxPool2d&, const Conv2dMaxPool2d&) = default;

  std::vector<Type> infer(std::span<const Type> in) const {
    expect_inputs(name(), in, in.size() == 3 ? 3 : 2);
    expect_f32(name(), in);
    if (in[0].shape.rank() != 4 || in[1].shape.rank() != 4 || in[0].shape[3] != in[1].shape[2] ||
        !suits(in[0].shape, in[1].shape, options())) {
      fail<ShapeError>("{}: it is not made for x {} and kernel {}", name(), in[0], in[1]);
    }
    if (in.size() == 3 && in[2].shape.elements() != in[1].shape[3]) {
      fail<ShapeError>("{}: bias {} does not fit kernel {}", name(), in[2], in[1]);
    }
    const Shape y = pooled(in[0].shape, in[1].shape);
    return {{DType::f32, y}, {DType::u8, y}};
  }
  std::vector<Value> decompose(std::span<const Value> in) const {
    Value y = conv2d(in[0], in[1], options());
    if (in.size() == 3) y = y + in[2];
    y = max_pool2d(y);
    return {y, Graph::of(y).value(y.node(), 1)};
  }
  double flops(std::span<const Type> in) const {
    const Sizes s(*this, in[0].shape, in[1].shape);
    constexpr double window = 4;  // places, of which one is kept
    return 2 * window * static_cast<double>(s.taps() * pooled(in[0].shape, in[1].shape).elements());
  }
  void lower(Lowering& l) const {
    const Sizes s(*this, l.input(0).shape, l.input(1).shape);
    std::vector<Operand> reads{l.read_row_major(0), l.read_row_major(1)};
    const bool has_bias = l.input_count() == 3, wants_index = l.output_used(1);
    if (has_bias) reads.push_back(l.read(2, bias_layout(l.input(2))));
    std::vector<Operand> writes{l.write_row_major(0)};
    if (wants_index) writes.push_back(l.write_row_major(1));
    std::vector<Op> behind;
    for (const Rider& rider : l.riders()) behind.push_back(rider.op);
    l.step(reads, writes, [=](auto in, auto out) {
      parallel_for(static_cast<std::size_t>(s.samples), 1,
                   [&](std::size_t first, std::size_t last) {
                     for (std::size_t n = first; n < last; ++n) {
                       run(s, static_cast<std::int64_t>(n), as<float>(in[0]), as<float>(in[1]),
                           has_bias ? as<float>(in[2]) : nullptr, as<float>(out[0]),
                           wants_index ? as<std::uint8_t>(out[1]) : nullptr, behind);
                     }
                   });
    });
  }

  static void run(const Sizes& s, std::int64_t sample, const float* x, const float* kernel,
                  const float* bias, float* y, std::uint8_t* index, const std::vector<Op>& behind) {
    alignas(64) float strip[most_strip];
    const auto pooled_row = loops(s.filters).pooled_row;
    const std::int64_t row_elements = s.out_width * s.filters;
    x += sample * s.height * s.width * s.channels;
    for (std::int64_t i = 0; i < s.out_height; ++i) {
      const std::int64_t at = (sample * s.out_height + i) * row_elements;
      fill_strip(s, x, i, strip);
      pooled_row(s, strip, kernel, bias, y + at, index == nullptr ? nullptr : index + at);
      for (const Op& op : behind) {
        const Elementwise f = op.elementwise();
        const float* in = y + at;
        f.run(f, &in, y + at, static_cast<std::size_t>(row_elements));
      }
    }
  }
};

// With has_activation, the cotangent of the pooled image is activation(y, dy), as relu_grad is.
struct Conv2dMaxPool2dKernelGrad : Geometry {  // (x, index, dy or (y, dy)) -> dkernel, dbias
  std::int64_t kernel = 3;
  std::vector<Op> activation{};  // none or one, of two inputs
  std::string activation_name{};
  static constexpr auto fields =
      std::tuple{field("padding", &Conv2dMaxPool2dKernelGrad::padding),
                 field("kernel", &Conv2dMaxPool2dKernelGrad::kernel),
                 field("activation", &Conv2dMaxPool2dKernelGrad::activation_name)};
  static std::string_view name() { return "conv2d_max_pool2d_kernel_grad"; }
  friend bool operator==(const Conv2dMaxPool2dKernelGrad&,
                         const Conv2dMaxPool2dKernelGrad&) = default;

  std::vector<Type> infer(std::span<const Type> in) const {
    expect_inputs(name(), in, 3 + activation.size());
    const Type& dy = in[2];
    if (in[0].shape.rank() != 4 || dy.shape.rank() != 4) {
      fail<ShapeError>("{}: x and dy must be images: {} and {}", name(), in[0], dy);
    }
    const Shape k{kernel, kernel, in[0].shape[3], dy.shape[3]};
    if (pooled(in[0].shape, k) != dy.shape || in[1].shape != dy.shape ||
        in.back().shape != dy.shape || !suits(in[0].shape, k, options())) {
      fail<ShapeError>("{}: x {}, index {} and dy {} do not fit", name(), in[0], in[1], dy);
    }
    return {{DType::f32, k}, {DType::f32, Shape{k[3]}}};
  }
  std::vector<Value> decompose(std::span<const Value> in) const {
    const Shape& x = in[0].shape();
    const Value dy = activation.empty() ? in[2] : apply(activation[0], {in[2], in[3]});
    const Shape conv{x[0], x[1] + padding.top + padding.bottom - kernel + 1,
                     x[2] + padding.left + padding.right - kernel + 1, dy.shape()[3]};
    const Value spread = max_pool2d_grad(in[1], dy, conv);
    const Value dkernel = conv2d_kernel_grad(in[0], spread, {kernel, kernel}, options());
    return {dkernel, Graph::of(dkernel).value(dkernel.node(), 1)};
  }
  double flops(std::span<const Type> in) const {
    const std::int64_t taps = kernel * kernel * in[0].shape[3];
    return 2 * static_cast<double>(taps) * static_cast<double>(in[2].shape.elements());
  }
  void lower(Lowering& l) const {
    const Sizes s(*this, l.input(0).shape, l.output(0).shape);
    std::vector<Operand> reads;
    for (std::size_t i = 0; i < l.input_count(); ++i) reads.push_back(l.read_row_major(i));
    // Each thread sums its own samples.
    const std::int64_t parts = std::clamp<std::int64_t>(s.samples, 1, omp_get_max_threads());
    const std::int64_t sums = (s.taps() + 1) * s.filters;
    const std::vector<Operand> writes{l.write_row_major(0), l.write_row_major(1),
                                      l.scratch({DType::f32, {parts, sums}})};
    l.step(reads, writes, [s, parts, sums, behind = activation](auto in, auto out) {
      float* partial = as<float>(out[2]);
      parallel_for(static_cast<std::size_t>(parts), 1, [&](std::size_t first, std::size_t last) {
        for (auto part = static_cast<std::int64_t>(first); part < static_cast<std::int64_t>(last);
             ++part) {
          float* to = partial + part * sums;
          std::fill_n(to, sums, 0.0f);
          for (std::int64_t n = s.samples * part / parts; n < s.samples * (part + 1) / parts; ++n) {
            run(s, n, in, behind, to, to + s.taps() * s.filters);
          }
        }
      });
      for (std::int64_t part = 1; part < parts; ++part) {
        for (std::int64_t i = 0; i < sums; ++i) partial[i] += partial[part * sums + i];
      }
      std::copy_n(partial, s.taps() * s.filters, as<float>(out[0]));
      std::copy_n(partial + s.taps() * s.filters, s.filters, as<float>(out[1]));
    });
  }

  static void run(const Sizes& s, std::int64_t sample, std::span<const std::byte* const> in,
                  const std::vector<Op>& behind, float* dkernel, float* dbias) {
    alignas(64) float strip[most_strip], cotangent[most_row];
    const auto kernel_grad_row = loops(s.filters).kernel_grad_row;
    const std::int64_t row_elements = s.out_width * s.filters;
    const float* x = as<float>(in[0]) + sample * s.height * s.width * s.channels;
    for (std::int64_t i = 0; i < s.out_height; ++i) {
      const std::int64_t at = (sample * s.out_height + i) * row_elements;
      const float* dy = as<float>(in[2]) + at;
      if (!behind.empty()) {
        const Elementwise f = behind[0].elementwise();
        const float* both[]{dy, as<float>(in[3]) + at};
        f.run(f, both, cotangent, static_cast<std::size_t>(row_elements));
        dy = cotangent;
      }
      fill_strip(s, x, i, strip);
      kernel_grad_row(s, strip, as<std::uint8_t>(in[1]) + at, dy, dkernel, dbias);
    }
  }
};

const Register registered{Conv2dMaxPool2d{}, Conv2dMaxPool2dKernelGrad{}};

}  // namespace

std::optional<Joined> join_conv2d_max_pool2d(Value pooled, const Pool2dOptions& pool,
                                             const OnlyHere& only_here) {
  if (!(pool == Pool2dOptions{}) || !only_here(pooled)) return std::nullopt;
  Value bias;
  if (pooled.op().adds() && is_per_channel(pooled.inputs()[1].type(), pooled.type())) {
    bias = pooled.inputs()[1];
    pooled = pooled.inputs()[0];
    if (!only_here(pooled)) return std::nullopt;
  }
  const auto conv = conv2d_options(pooled.op());
  if (!conv) return std::nullopt;
  std::vector<Value> inputs = pooled.inputs();
  if (!suits(inputs[0].shape(), inputs[1].shape(), *conv)) return std::nullopt;
  if (bias) inputs.push_back(bias);
  return Joined{Conv2dMaxPool2d{conv->padding}, inputs};
}

std::optional<Joined> join_conv2d_kernel_grad(Value x, Value dy, std::array<std::int64_t, 2> kernel,
                                              const Conv2dOptions& options,
                                              const OnlyHere& only_here) {
  const auto pool = max_pool2d_grad_options(dy.op());
  const Shape sizes{kernel[0], kernel[1], x.shape()[3], dy.shape()[3]};
  if (!pool || !(*pool == Pool2dOptions{}) || !only_here(dy) || !suits(x.shape(), sizes, options)) {
    return std::nullopt;
  }
  Conv2dMaxPool2dKernelGrad op{options.padding, kernel[0]};
  std::vector<Value> inputs{x, dy.inputs()[0]};
  const Value cotangent = dy.inputs()[1];
  const auto& behind = cotangent.inputs();
  if (only_here(cotangent) && behind.size() == 2 && cotangent.op().elementwise() &&
      behind[0].type() == cotangent.type() && behind[1].type() == cotangent.type()) {
    op.activation = {cotangent.op()};
    op.activation_name = std::string(cotangent.op().name()) + cotangent.op().attributes();
    inputs.insert(inputs.end(), behind.begin(), behind.end());
  } else {
    inputs.push_back(cotangent);
  }
  return Joined{op, inputs};
}

}  // namespace weft
