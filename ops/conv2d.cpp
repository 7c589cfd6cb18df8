// With T(x, w, g) = <g, conv2d(x, w)>, the three ops are the partial gradients of one trilinear
// form: the vjp of each is written with the other two.
#include "ops/conv2d.hpp"

#include <algorithm>
#include <functional>

#include "graph/checked.hpp"
#include "graph/graph.hpp"
#include "graph/print.hpp"
#include "ops/binary.hpp"
#include "ops/conv2d_pool.hpp"
#include "ops/image_layouts.hpp"
#include "ops/reduce.hpp"
#include "ops/slice.hpp"
#include "runtime/lowering.hpp"
#include "runtime/tuning.hpp"

namespace weft {
namespace {

using onednn::Desc;
using onednn::Dims;

/// Attributes and shape rules that the three share.
struct Geometry {
  std::array<std::int64_t, 2> stride{1, 1};
  Padding2D padding{};
  std::array<std::int64_t, 2> dilation{1, 1};
  std::int64_t groups = 1;
  friend bool operator==(const Geometry&, const Geometry&) = default;

  Conv2dOptions options() const { return {stride, padding, dilation, groups}; }

  void check_options(std::string_view name) const {
    for (int i = 0; i < 2; ++i) {
      if (std::min(stride[i], dilation[i]) < 1 ||
          std::max(stride[i], dilation[i]) > checked::largest_extent) {
        fail<ShapeError>(
            "{}: stride and dilation must be at least 1 and at most {}: stride {},{} dilation "
            "{},{}",
            name, checked::largest_extent, stride[0], stride[1], dilation[0], dilation[1]);
      }
    }
    if (groups < 1) fail<ShapeError>("{}: groups must be at least 1, {} was given", name, groups);
    if (std::ranges::min(padding.list()) < 0) {
      fail<ShapeError>("{}: padding must not be negative: {}", name,
                       fmt::join(padding.list(), ","));
    }
  }

  /// Of conv2d and its gradients alike: each output takes a product with each number of its kernel.
  static double flops_of(const Shape& kernel, const Shape& y) {
    const auto size = [](std::int64_t n) { return static_cast<double>(n); };
    return 2 * size(y.elements()) * size(kernel[0]) * size(kernel[1]) * size(kernel[2]);
  }

  /// The type rule of conv2d; `name` is whose inputs they are.
  Shape output(std::string_view name, const Shape& x, const Shape& kernel) const {
    check_options(name);
    const std::int64_t channels = x[3], outputs = kernel[3];
    if (channels % groups != 0 || outputs % groups != 0) {
      fail<ShapeError>(
          "{}: groups {} must divide the channels of input and output, {} and {}: "
          "x {}, kernel {}",
          name, groups, channels, outputs, x, kernel);
    }
    if (const std::int64_t wanted = checked::mul(kernel[2], groups, name); wanted != channels) {
      fail<ShapeError>("{}: input has {} channels, kernel expects {}: x {}, kernel {}, groups {}",
                       name, channels, wanted, x, kernel, groups);
    }
    const std::int64_t h = size(name, x[1], kernel[0], 0), w = size(name, x[2], kernel[1], 1);
    if (h < 1 || w < 1) {
      fail<ShapeError>(
          "{}: the kernel does not fit into the padded input: x {}, kernel {}, padding "
          "{} (top, bottom, left, right), dilation {},{}",
          name, x, kernel, fmt::join(padding.list(), ","), dilation[0], dilation[1]);
    }
    return {x[0], h, w, outputs};
  }
  std::int64_t size(std::string_view name, std::int64_t in, std::int64_t kernel, int axis) const {
    const std::int64_t whole = axis == 0 ? checked::padded(in, padding.top, padding.bottom, name)
                                         : checked::padded(in, padding.left, padding.right, name);
    const std::int64_t room = whole - checked::mul(dilation[axis], kernel - 1, name) - 1;
    return room < 0 ? 0 : room / stride[axis] + 1;
  }

  /// Calls f(place in x, place in kernel, place in y) for every product that conv2d sums.
  template <class F>
  void for_each_product(const Shape& x, const Shape& kernel, const Shape& y, F f) const {
    const std::int64_t cg = kernel[2], og = y[3] / groups;
    for (std::int64_t n = 0; n < y[0]; ++n)
      for (std::int64_t i = 0; i < y[1]; ++i)
        for (std::int64_t j = 0; j < y[2]; ++j)
          for (std::int64_t o = 0; o < y[3]; ++o)
            for (std::int64_t kh = 0; kh < kernel[0]; ++kh) {
              const std::int64_t h = i * stride[0] - padding.top + kh * dilation[0];
              if (h < 0 || h >= x[1]) continue;
              for (std::int64_t kw = 0; kw < kernel[1]; ++kw) {
                const std::int64_t w = j * stride[1] - padding.left + kw * dilation[1];
                if (w < 0 || w >= x[2]) continue;
                for (std::int64_t c = 0; c < cg; ++c) {
                  f(((n * x[1] + h) * x[2] + w) * x[3] + o / og * cg + c,
                    ((kh * kernel[1] + kw) * cg + c) * y[3] + o,
                    ((n * y[1] + i) * y[2] + j) * y[3] + o);
                }
              }
            }
  }

  // For oneDNN.
  onednn::Convolution use(onednn::Pass pass, const Desc& kernel) const {
    const Dims sizes = onednn::dims(kernel);
    return {pass,      {sizes.end() - 2, sizes.end()},
            strides(), {dilation[0], dilation[1]},
            before(),  behind()};
  }
  Dims strides() const { return {stride[0], stride[1]}; }
  Dims dilates() const { return {dilation[0] - 1, dilation[1] - 1}; }
  Dims before() const { return {padding.top, padding.left}; }
  Dims behind() const { return {padding.bottom, padding.right}; }

  /// A kernel[KH,KW,C/G,O] under oneDNN's names: O,I,KH,KW, or G,O/G,I,KH,KW.
  Layout kernel_names(const Type& kernel) const {
    const Shape& k = kernel.shape;
    if (groups == 1) return named(kernel, {3, 2, 0, 1});
    const std::int64_t outputs = k[3] / groups;
    return strided(kernel.dtype, {groups, outputs, k[2], k[0], k[1]},
                   {outputs, 1, k[3], k[1] * k[2] * k[3], k[2] * k[3]});
  }
};

/// The geometry for the image that x is a padded form of, if the padding is one of zeros around the
/// image: a convolution can do that itself.
template <class Op>
std::optional<Op> without_padding(Op op, Value x) {
  const auto padding = zero_padding(x.op());
  if (!padding) return std::nullopt;
  const auto& [before, after] = *padding;
  if (before[0] != 0 || after[0] != 0 || before[3] != 0 || after[3] != 0) return std::nullopt;
  op.padding.top += before[1];
  op.padding.bottom += after[1];
  op.padding.left += before[2];
  op.padding.right += after[2];
  return op;
}

/// A way to compute a convolution or one of its gradients.
struct Candidate {
  dnnl::algorithm algorithm;
  Desc x, y;
};

/// How x and y could lie, best first. An input that is computed anyway stays as it is; else oneDNN
/// says what it likes best; channels last serves where that has no fast implementation.
std::vector<Candidate> candidates(const Lowering& l, std::optional<std::size_t> x_index,
                                  const Type& x, std::optional<std::size_t> y_index,
                                  const Type& y) {
  const Layout x_names = image_names(x), y_names = image_names(y);
  const auto as_it_lies = [&](std::optional<std::size_t> index, const Layout& names) {
    std::optional<Layout> layout;
    if (index && l.computed(*index)) layout = renamed(l.layout(*index), names);
    return layout ? layout->md : onednn::any(onednn::dims(names.md));
  };
  const Desc any_x = onednn::any(onednn::dims(x_names.md)),
             any_y = onednn::any(onednn::dims(y_names.md));
  constexpr auto direct = dnnl::algorithm::convolution_direct;
  std::vector<Candidate> result;
  const Candidate here{direct, as_it_lies(x_index, x_names), as_it_lies(y_index, y_names)};
  const Candidate channels_last{direct, x_names.md, y_names.md};
  const bool plain =
      onednn::same_memory(here.x, x_names.md) || onednn::same_memory(here.y, y_names.md);
  if (plain) result.push_back(channels_last);
  result.push_back(here);
  if (!plain) result.push_back(channels_last);
  result.push_back({direct, any_x, any_y});
  return result;
}

// Winograd's algorithm, F(4x4, 3x3) of Lavin and Gray, "Fast Algorithms for Convolutional Neural
// Networks", 2015: 36 products instead of 144 for each 4x4 tile of the output, at the price of
// transforming tiles of x and y and the whole kernel. oneDNN 2.x has it for AVX-512.

using onednn::Pass;

/// Is Winograd the faster algorithm? Without timing, by counting: all in the time of one
/// multiply-add of a direct convolution. The constants were fitted to a core of AVX-512 whose peak
/// is 60 G multiply-adds/s, and hold for one of 100 (docs/performance.md): products run at 0.7 of
/// the peak; a transformed element of x or y costs 12 multiply-adds' time in the second-level
/// cache, one of the kernel, which comes from farther away, 36.
bool winograd_pays(const Geometry& g, Pass pass, const Shape& x, const Shape& kernel,
                   const Shape& y) {
  const std::array<std::int64_t, 2> ones{1, 1};
  if (kernel[0] != 3 || kernel[1] != 3 || g.stride != ones || g.dilation != ones || g.groups != 1) {
    return false;
  }
  const auto in = static_cast<double>(x[3]), out = static_cast<double>(y[3]);
  if (x[3] % 16 != 0 || y[3] % 16 != 0) return false;
  const auto tiles = static_cast<double>(y[0] * ((y[1] + 3) / 4) * ((y[2] + 3) / 4));
  const double products = static_cast<double>(y[0] * y[1] * y[2]) * 9 * in * out;
  // oneDNN's direct gradient of the kernel reaches about 0.8 of the others' speed.
  const double direct = pass == Pass::kernel_gradient ? products / 0.8 : products;
  const double winograd = 36 * (tiles * in * out / 0.7 + 12 * tiles * (in + out) + 36 * in * out);
  return winograd < 0.9 * direct;  // a tie goes to the more exact one
}

/// The candidates with Winograd before them, if it may and should be, or is to be timed.
std::vector<Candidate> with_winograd(const Lowering& l, std::vector<Candidate> list,
                                     const Geometry& g, Pass pass, const Shape& x,
                                     const Shape& kernel, const Shape& y) {
  if (!l.choices().winograd || kernel[0] != 3 || kernel[1] != 3) return list;
  if (!l.choices().tune && !winograd_pays(g, pass, x, kernel, y)) return list;
  const auto any = [](const Desc& desc) { return onednn::any(onednn::dims(desc)); };
  list.insert(list.begin(),
              {dnnl::algorithm::convolution_winograd, any(list[0].x), any(list[0].y)});
  return list;
}

/// A candidate for which oneDNN has an implementation, and the layouts it works on.
struct Way {
  dnnl::primitive_desc_base pd;
  Desc x, kernel, y;
  bool accumulates = false;  // a residual is added in the destination
  bool takes_epilogue = true;
};

/// What a choice depends on besides the time of the primitive: which inputs have to be brought into
/// the way's layouts, and which of these is the output.
struct Ends {
  std::vector<std::pair<std::size_t, Desc Way::*>> inputs;
  Desc Way::*output;
};

/// The best of the candidates that make(candidate) has a way for: the first that is fast (else the
/// first of all), or, when tuning, the one that takes the least time.
Way choose(const Lowering& l, const std::vector<Candidate>& list, const Ends& ends,
           const std::function<std::optional<Way>(const Candidate&)>& make) {
  std::vector<Way> fast, slow;
  std::vector<std::string> names;
  std::optional<dnnl::error> error;
  for (const Candidate& candidate : list) {
    try {
      const auto way = make(candidate);
      if (!way) continue;
      if (!onednn::is_fast(way->pd)) {
        slow.push_back(*way);
        continue;
      }
      if (!l.choices().tune) return *way;
      const std::string name =
          fmt::format("{} {} {}", onednn::implementation(way->pd), onednn::layout_name(way->x),
                      onednn::layout_name(way->y));
      if (std::ranges::count(names, name) > 0) continue;
      names.push_back(name);
      fast.push_back(*way);
    } catch (const dnnl::error& e) {
      error = e;
    }
  }
  if (fast.empty()) {
    if (!slow.empty()) return slow[0];
    if (error) onednn::cannot(l.describe(), *error);
    fail<CompileError>("{}: every implementation in oneDNN {} on {} has a known fault here",
                       l.describe(), onednn::version(), onednn::isa());
  }
  // Whoever reads the output is taken to want it as the first way, that of the rule, leaves it.
  const auto seconds = [&](std::size_t i) {
    double sum =
        seconds_of(fast[i].pd) + reorder_seconds(fast[i].*ends.output, fast[0].*ends.output);
    for (const auto& [input, place] : ends.inputs) {
      if (!l.computed(input)) continue;
      if (const auto lies = renamed(l.layout(input), image_names(l.input(input)))) {
        sum += reorder_seconds(lies->md, fast[i].*place);
      }
    }
    return sum;
  };
  return fast[Tuning::shared().fastest(l.question(), names, seconds)];
}

using Bias = std::optional<Desc>;

/// What a gradient's descriptor is told of its forward pass, whichever implementation that has.
dnnl::convolution_forward::primitive_desc hint(const Geometry& g, const Candidate& c,
                                               const Desc& kernel) {
  return onednn::forward<dnnl::convolution_forward>(
      Lowering::attr(), dnnl::prop_kind::forward_training, c.algorithm, c.x, kernel, c.y,
      g.strides(), g.dilates(), g.before(), g.behind());
}

// Nothing for a way whose numbers cannot be trusted.

std::optional<Way> forward_way(const Geometry& g, const dnnl::primitive_attr& attr,
                               const Candidate& c, const Desc& kernel, const Bias& bias) {
  using Forward = dnnl::convolution_forward;
  const auto kind = dnnl::prop_kind::forward_training;
  const auto use = g.use(Pass::forward, kernel);
  const Dims s = g.strides(), d = g.dilates(), p = g.before(), q = g.behind();
  const auto pd = bias ? onednn::trusted_forward<Forward>(use, attr, kind, c.algorithm, c.x, kernel,
                                                          *bias, c.y, s, d, p, q)
                       : onednn::trusted_forward<Forward>(use, attr, kind, c.algorithm, c.x, kernel,
                                                          c.y, s, d, p, q);
  if (!pd) return std::nullopt;
  return Way{*pd, pd->src_desc(), pd->weights_desc(), pd->dst_desc()};
}

std::optional<Way> input_grad_way(const Geometry& g, const Candidate& c, const Desc& kernel) {
  const auto pd = onednn::trusted_backward<dnnl::convolution_backward_data>(
      g.use(Pass::input_gradient, kernel), hint(g, c, kernel), Lowering::attr(), c.algorithm, c.x,
      kernel, c.y, g.strides(), g.dilates(), g.before(), g.behind());
  if (!pd) return std::nullopt;
  return Way{*pd, pd->diff_src_desc(), pd->weights_desc(), pd->diff_dst_desc()};
}

std::optional<Way> kernel_grad_way(const Geometry& g, const Candidate& c, const Desc& kernel,
                                   const Bias& bias) {
  using Backward = dnnl::convolution_backward_weights;
  const auto attr = Lowering::attr();
  const auto use = g.use(Pass::kernel_gradient, kernel);
  const auto forward = hint(g, c, kernel);
  const Dims s = g.strides(), d = g.dilates(), p = g.before(), q = g.behind();
  const auto pd = bias ? onednn::trusted_backward<Backward>(use, forward, attr, c.algorithm, c.x,
                                                            kernel, *bias, c.y, s, d, p, q)
                       : onednn::trusted_backward<Backward>(use, forward, attr, c.algorithm, c.x,
                                                            kernel, c.y, s, d, p, q);
  if (!pd) return std::nullopt;
  return Way{*pd, pd->src_desc(), pd->diff_weights_desc(), pd->diff_dst_desc()};
}

/// A sum of nothing: zeros, in the graph of `like`.
Value zeros(Value like, const Shape& shape) { return broadcast_to(scalar_like(like, 0), shape); }

struct Conv2dInputGrad : Geometry {    // (dy, kernel) -> dx
  std::int64_t height = 1, width = 1;  // of x
  static constexpr auto fields = std::tuple{
      field("stride", &Conv2dInputGrad::stride),     field("padding", &Conv2dInputGrad::padding),
      field("dilation", &Conv2dInputGrad::dilation), field("groups", &Conv2dInputGrad::groups),
      field("height", &Conv2dInputGrad::height),     field("width", &Conv2dInputGrad::width)};
  static std::string_view name() { return "conv2d_input_grad"; }
  friend bool operator==(const Conv2dInputGrad&, const Conv2dInputGrad&) = default;

  std::vector<Type> infer(std::span<const Type> in) const;
  std::vector<Value> vjp(const VjpArgs& args) const;
  std::vector<Array> evaluate(std::span<const Array> in) const {
    const Shape &dy = in[0].shape, &kernel = in[1].shape;
    Array dx(Shape{dy[0], height, width, kernel[2] * groups});
    for_each_product(dx.shape, kernel, dy,
                     [&](auto x, auto k, auto y) { dx.data[x] += in[1].data[k] * in[0].data[y]; });
    return {dx};
  }
  std::optional<Value> simplify(std::span<const Value> in) const {
    const Shape &dy = in[0].shape(), &kernel = in[1].shape();
    if (dy.elements() > 0 && kernel.elements() > 0) return std::nullopt;
    return zeros(in[0], {dy[0], height, width, kernel[2] * groups});
  }
  double flops(std::span<const Type> in) const { return flops_of(in[1].shape, in[0].shape); }
  void lower(Lowering& l) const {
    const Layout kernel = kernel_names(l.input(1));
    const Type &dx_type = l.output(0), &dy_type = l.input(0);
    const auto list =
        with_winograd(l, candidates(l, std::nullopt, dx_type, 0, dy_type), *this,
                      Pass::input_gradient, dx_type.shape, l.input(1).shape, dy_type.shape);
    const Way way = choose(l, list, {{{0, &Way::y}}, &Way::x}, [&](const Candidate& c) {
      return input_grad_way(*this, c, onednn::any(onednn::dims(kernel.md)));
    });
    l.step(way.pd,
           {{DNNL_ARG_DIFF_DST, l.read(0, with(image_names(dy_type), way.y))},
            {DNNL_ARG_WEIGHTS, l.read(1, with(kernel, way.kernel))}},
           {{DNNL_ARG_DIFF_SRC, l.write(0, with(image_names(dx_type), way.x))}});
  }
};

// The second output is dy summed over samples and positions, the gradient of a bias: oneDNN
// computes it on the way (runtime/passes/share_sums.cpp).
struct Conv2dKernelGrad : Geometry {  // (x, dy) -> dkernel, dbias
  std::int64_t kernel_height = 1, kernel_width = 1;
  static constexpr auto fields =
      std::tuple{field("stride", &Conv2dKernelGrad::stride),
                 field("padding", &Conv2dKernelGrad::padding),
                 field("dilation", &Conv2dKernelGrad::dilation),
                 field("groups", &Conv2dKernelGrad::groups),
                 field("kernel_height", &Conv2dKernelGrad::kernel_height),
                 field("kernel_width", &Conv2dKernelGrad::kernel_width)};
  static std::string_view name() { return "conv2d_kernel_grad"; }
  friend bool operator==(const Conv2dKernelGrad&, const Conv2dKernelGrad&) = default;

  Shape kernel_of(const Shape& x, const Shape& dy) const {
    return {kernel_height, kernel_width, x[3] / groups, dy[3]};
  }
  std::vector<Type> infer(std::span<const Type> in) const;
  std::vector<Value> vjp(const VjpArgs& args) const;
  std::vector<Array> evaluate(std::span<const Array> in) const {
    const Shape &x = in[0].shape, &dy = in[1].shape;
    Array dkernel(kernel_of(x, dy)), dbias(Shape{dy[3]});
    for_each_product(x, dkernel.shape, dy, [&](auto i, auto k, auto y) {
      dkernel.data[k] += in[0].data[i] * in[1].data[y];
    });
    const auto channels = dbias.data.size();
    for (std::size_t i = 0; i < in[1].data.size(); ++i) dbias.data[i % channels] += in[1].data[i];
    return {dkernel, dbias};
  }
  std::optional<std::size_t> channel_sum(std::size_t input, const Type&) const {
    return input == 1 ? std::optional<std::size_t>(1) : std::nullopt;
  }
  std::optional<std::vector<Value>> simplify(std::span<const Value> in) const {
    const Shape &x = in[0].shape(), &dy = in[1].shape();
    if (dy.elements() == 0) {
      return std::vector<Value>{zeros(in[1], kernel_of(x, dy)), zeros(in[1], {dy[3]})};
    }
    if (x.elements() == 0) {  // without channels; the bias still has its gradient
      return std::vector<Value>{zeros(in[1], kernel_of(x, dy)), sum(in[1], {0, 1, 2})};
    }
    const auto op = without_padding(*this, in[0]);
    if (!op) return std::nullopt;
    return apply_all(*op, {in[0].inputs()[0], in[1]});
  }
  std::optional<Joined> join(std::span<const Value> in, const OnlyHere& only_here) const {
    return join_conv2d_kernel_grad(in[0], in[1], {kernel_height, kernel_width}, options(),
                                   only_here);
  }
  double flops(std::span<const Type> in) const {
    return flops_of(kernel_of(in[0].shape, in[1].shape), in[1].shape);
  }
  void lower(Lowering& l) const {
    const Layout kernel = kernel_names(l.output(0));
    const Type &x_type = l.input(0), &dy_type = l.input(1);
    const Layout bias = row_major(l.output(1));
    const bool wants_bias = l.output_used(1);
    const auto list =
        with_winograd(l, candidates(l, 0, x_type, 1, dy_type), *this, Pass::kernel_gradient,
                      x_type.shape, l.output(0).shape, dy_type.shape);
    const Way way =
        choose(l, list, {{{0, &Way::x}, {1, &Way::y}}, &Way::kernel}, [&](const Candidate& c) {
          return kernel_grad_way(*this, c, onednn::any(onednn::dims(kernel.md)),
                                 wants_bias ? Bias(bias.md) : std::nullopt);
        });
    Lowering::Arguments writes{{DNNL_ARG_DIFF_WEIGHTS, l.write(0, with(kernel, way.kernel))}};
    if (wants_bias) writes.emplace_back(DNNL_ARG_DIFF_BIAS, l.write(1, bias));
    l.step(way.pd,
           {{DNNL_ARG_SRC, l.read(0, with(image_names(x_type), way.x))},
            {DNNL_ARG_DIFF_DST, l.read(1, with(image_names(dy_type), way.y))}},
           writes);
  }
};

struct Conv2d : Geometry {
  static constexpr Traits traits{.takes_epilogue = true, .takes_bias = true, .takes_scale = true};
  static constexpr auto fields =
      std::tuple{field("stride", &Conv2d::stride), field("padding", &Conv2d::padding),
                 field("dilation", &Conv2d::dilation), field("groups", &Conv2d::groups)};
  static std::string_view name() { return "conv2d"; }
  friend bool operator==(const Conv2d&, const Conv2d&) = default;

  std::vector<Type> infer(std::span<const Type> in) const {
    expect_inputs(name(), in, 2);
    expect_f32(name(), in);
    if (in[0].shape.rank() != 4 || in[1].shape.rank() != 4) {
      fail<ShapeError>("conv2d: x must be [N,H,W,C] and kernel [KH,KW,C/groups,O]: x {}, kernel {}",
                       in[0], in[1]);
    }
    return {{DType::f32, output(name(), in[0].shape, in[1].shape)}};
  }
  std::vector<Value> vjp(const VjpArgs& args) const {
    const Value x = args.inputs[0], kernel = args.inputs[1], dy = args.cotangents[0];
    std::vector<Value> result(2);
    if (args.wants(0)) result[0] = conv2d_input_grad(dy, kernel, x.shape(), options());
    if (args.wants(1)) {
      result[1] = conv2d_kernel_grad(x, dy, {kernel.shape()[0], kernel.shape()[1]}, options());
    }
    return result;
  }
  std::vector<Array> evaluate(std::span<const Array> in) const {
    const Shape &x = in[0].shape, &kernel = in[1].shape;
    Array y(output(name(), x, kernel));
    for_each_product(x, kernel, y.shape,
                     [&](auto i, auto k, auto o) { y.data[o] += in[0].data[i] * in[1].data[k]; });
    return {y};
  }
  std::optional<Value> simplify(std::span<const Value> in) const {
    if (in[1].shape().elements() == 0) {
      return zeros(in[0], output(name(), in[0].shape(), in[1].shape()));
    }
    const auto op = without_padding(*this, in[0]);
    if (!op) return std::nullopt;
    return apply(*op, {in[0].inputs()[0], in[1]});
  }
  double flops(std::span<const Type> in) const { return flops_of(in[1].shape, infer(in)[0].shape); }
  void lower(Lowering& l) const {
    const Layout kernel = kernel_names(l.input(1)), x = image_names(l.input(0));
    const Layout y_names = image_names(l.output(0));
    const auto bias_index = l.bias();
    const Layout bias_names = strided(DType::f32, {l.output(0).shape[3]}, {1});
    const Bias bias = bias_index ? Bias(bias_names.md) : std::nullopt;
    const Desc any = onednn::any(onednn::dims(kernel.md));

    // Layouts are chosen so that the kernel's gradient, which will read the same x and a dy that
    // lies as y does, has a fast implementation too.
    const auto trains = [&](const Candidate& c) {
      try {
        const auto way = forward_way(*this, l.attr(), c, any, bias);
        if (!way || !onednn::is_fast(way->pd)) return false;
        const Candidate same{dnnl::algorithm::convolution_direct, way->x, way->y};
        const auto gradient = kernel_grad_way(*this, same, any, bias);
        return gradient && onednn::is_fast(gradient->pd);
      } catch (const dnnl::error&) {
        return false;
      }
    };
    auto list = candidates(l, 0, l.input(0), std::nullopt, l.output(0));
    if (const auto first = std::ranges::find_if(list, trains); first != list.end()) {
      std::rotate(list.begin(), first, first + 1);
    }
    list = with_winograd(l, list, *this, Pass::forward, l.input(0).shape, l.input(1).shape,
                         l.output(0).shape);
    const auto make = [&](const Candidate& c) {
      std::optional<Way> alone = forward_way(*this, l.attr(), c, any, bias);
      if (!alone || !l.has_epilogue()) return alone;
      // Winograd has no binary post-op, but can add to what lies in its destination.
      const bool accumulates = c.algorithm == dnnl::algorithm::convolution_winograd;
      const auto attributes = l.epilogue(with(y_names, alone->y), accumulates);
      try {
        auto way = forward_way(*this, attributes.attr, {c.algorithm, alone->x, alone->y},
                               alone->kernel, bias);
        if (way && (onednn::is_fast(way->pd) || !onednn::is_fast(alone->pd))) {
          way->accumulates = accumulates;
          return way;
        }
      } catch (const dnnl::error&) {  // it cannot take the epilogue
      }
      alone->takes_epilogue = false;
      return alone;
    };
    const Way way = choose(l, list, {{{0, &Way::x}}, &Way::y}, make);
    const Layout y = with(y_names, way.y);
    const auto attributes = way.takes_epilogue ? l.epilogue(y, way.accumulates)
                                               : Lowering::Attributes{.attr = l.attr()};
    Lowering::Arguments reads = l.read(attributes);
    reads.emplace_back(DNNL_ARG_SRC, l.read(0, with(x, way.x)));
    reads.emplace_back(DNNL_ARG_WEIGHTS, l.read_scaled(1, with(kernel, way.kernel)));
    if (bias) reads.emplace_back(DNNL_ARG_BIAS, l.read(*bias_index, bias_names));
    if (!way.takes_epilogue) {
      const Operand made = l.before_epilogue(y);
      l.step(way.pd, reads, {{DNNL_ARG_DST, made}});
      return l.apply_epilogue(made);
    }
    const auto added = attributes.accumulated;
    l.step(way.pd, reads,
           {{DNNL_ARG_DST, added ? l.write_copy(0, l.read(*added, y)) : l.write(0, y)}});
  }
};

void expect_images(std::string_view name, const Type& a, std::string_view what_a, const Type& b,
                   std::string_view what_b) {
  if (a.shape.rank() != 4 || b.shape.rank() != 4) {
    fail<ShapeError>("{}: {} and {} must have four axes: {} and {}", name, what_a, what_b, a, b);
  }
}

std::vector<Type> Conv2dInputGrad::infer(std::span<const Type> in) const {
  expect_inputs(name(), in, 2);
  expect_f32(name(), in);
  expect_images(name(), in[0], "dy", in[1], "kernel");
  const Shape &dy = in[0].shape, &kernel = in[1].shape;
  const Shape x{dy[0], height, width, checked::mul(kernel[2], groups, name())};
  if (const Shape y = output(name(), x, kernel); y != dy) {
    fail<ShapeError>("{}: x {} and kernel {} give y {}, but dy is {}", name(), x, kernel, y, dy);
  }
  return {{DType::f32, x}};
}

std::vector<Value> Conv2dInputGrad::vjp(const VjpArgs& args) const {
  const Value dy = args.inputs[0], kernel = args.inputs[1], ddx = args.cotangents[0];
  std::vector<Value> result(2);
  if (args.wants(0)) result[0] = conv2d(ddx, kernel, options());
  if (args.wants(1)) {
    result[1] = conv2d_kernel_grad(ddx, dy, {kernel.shape()[0], kernel.shape()[1]}, options());
  }
  return result;
}

std::vector<Type> Conv2dKernelGrad::infer(std::span<const Type> in) const {
  expect_inputs(name(), in, 2);
  expect_f32(name(), in);
  expect_images(name(), in[0], "x", in[1], "dy");
  const Shape &x = in[0].shape, &dy = in[1].shape;
  check_options(name());
  const Shape kernel = kernel_of(x, dy);
  if (const Shape y = output(name(), x, kernel); y != dy) {
    fail<ShapeError>("{}: x {} and kernel {} give y {}, but dy is {}", name(), x, kernel, y, dy);
  }
  return {{DType::f32, kernel}, {DType::f32, Shape{dy[3]}}};
}

// The bias' gradient is linear in dy alone: its adjoint repeats the cotangent at every position.
std::vector<Value> Conv2dKernelGrad::vjp(const VjpArgs& args) const {
  const Value x = args.inputs[0], dy = args.inputs[1];
  const Value dkernel = args.cotangents[0], dbias = args.cotangents[1];
  std::vector<Value> result(2);
  if (dkernel && args.wants(0)) result[0] = conv2d_input_grad(dy, dkernel, x.shape(), options());
  if (dkernel && args.wants(1)) result[1] = conv2d(x, dkernel, options());
  if (dbias && args.wants(1)) {
    const Value repeated = broadcast_to(dbias, dy.shape());
    result[1] = result[1] ? result[1] + repeated : repeated;
  }
  return result;
}

const Register registered{Conv2d{}, Conv2dInputGrad{}, Conv2dKernelGrad{}};

Geometry geometry(const Conv2dOptions& o) { return {o.stride, o.padding, o.dilation, o.groups}; }

}  // namespace

Padding2D same_padding(std::array<std::int64_t, 2> sizes, std::array<std::int64_t, 2> kernel,
                       std::array<std::int64_t, 2> stride, std::array<std::int64_t, 2> dilation) {
  std::array<std::int64_t, 2> total{};
  for (int i = 0; i < 2; ++i) {
    if (std::min({stride[i], kernel[i], dilation[i]}) < 1 || sizes[i] < 0) {
      fail<ShapeError>(
          "same_padding: stride, kernel and dilation must be at least 1, and sizes at least 0; "
          "size {}, kernel {}, stride {} and dilation {} were given",
          sizes[i], kernel[i], stride[i], dilation[i]);
    }
    constexpr std::string_view who = "same_padding";
    // What the last kernel reaches beyond the input; it begins at the last multiple of the stride.
    const std::int64_t out = checked::ceil_div(sizes[i], stride[i]);
    const std::int64_t reach = checked::add(checked::mul(kernel[i] - 1, dilation[i], who), 1, who);
    const std::int64_t last = out == 0 ? -stride[i] : (out - 1) * stride[i];
    total[i] =
        std::max<std::int64_t>(checked::sub(checked::add(last, reach, who), sizes[i], who), 0);
  }
  return {total[0] / 2, total[0] - total[0] / 2, total[1] / 2, total[1] - total[1] / 2};
}

Value conv2d(Value x, Value kernel, const Conv2dOptions& options) {
  return apply(Conv2d{geometry(options)}, {x, kernel});
}

std::optional<Conv2dOptions> conv2d_options(const Op& op) {
  const auto* conv = op.as<Conv2d>();
  return conv == nullptr ? std::nullopt : std::optional(conv->options());
}

Value conv2d_input_grad(Value dy, Value kernel, const Shape& x_shape,
                        const Conv2dOptions& options) {
  if (x_shape.rank() != 4)
    fail<ShapeError>("conv2d_input_grad: x_shape must be [N,H,W,C]: {}", x_shape);
  const Value dx = apply(Conv2dInputGrad{geometry(options), x_shape[1], x_shape[2]}, {dy, kernel});
  if (dx.shape() != x_shape) {
    fail<ShapeError>("conv2d_input_grad: dy {} and kernel {} belong to x {}, not to {}", dy.type(),
                     kernel.type(), dx.shape(), x_shape);
  }
  return dx;
}

Value conv2d_kernel_grad(Value x, Value dy, std::array<std::int64_t, 2> kernel_size,
                         const Conv2dOptions& options) {
  return apply(Conv2dKernelGrad{geometry(options), kernel_size[0], kernel_size[1]}, {x, dy});
}

}  // namespace weft
