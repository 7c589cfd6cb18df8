// Matrix product. With T(a, b, g) = <g, a b>, the op and its two gradients are partial gradients of
// one trilinear form: each is a matmul with other transposes.
#include "ops/matmul.hpp"

#include <algorithm>
#include <iterator>

#include "graph/graph.hpp"
#include "graph/print.hpp"
#include "ops/binary.hpp"
#include "ops/reduce.hpp"
#include "runtime/lowering.hpp"

namespace weft {
namespace {

using onednn::Dims;

struct Matmul {
  bool ta = false, tb = false;
  static constexpr Traits traits{.takes_epilogue = true, .takes_bias = true};
  static constexpr auto fields =
      std::tuple{field("transpose_a", &Matmul::ta), field("transpose_b", &Matmul::tb)};
  static std::string_view name() { return "matmul"; }
  friend bool operator==(const Matmul&, const Matmul&) = default;

  static std::int64_t rows(const Shape& s, bool t) { return s[t ? -1 : -2]; }
  static std::int64_t columns(const Shape& s, bool t) { return s[t ? -2 : -1]; }
  static Shape batch(const Shape& s) { return Shape(std::span(s.begin(), s.rank() - 2)); }

  std::vector<Type> infer(std::span<const Type> in) const {
    expect_inputs(name(), in, 2);
    expect_f32(name(), in);
    const Shape &a = in[0].shape, &b = in[1].shape;
    if (a.rank() < 2 || b.rank() < 2) {
      fail<ShapeError>("matmul: operands need two axes or more: a {}, b {}", in[0], in[1]);
    }
    if (columns(a, ta) != rows(b, tb)) {
      fail<ShapeError>("matmul: inner sizes differ: a {} has {}, b {} has {}{}", in[0],
                       columns(a, ta), in[1], rows(b, tb),
                       ta || tb ? fmt::format(" (transpose_a {}, transpose_b {})", ta, tb) : "");
    }
    const Shape batches = broadcast(batch(a), batch(b), name());
    std::vector<std::int64_t> sizes(batches.begin(), batches.end());
    sizes.push_back(rows(a, ta));
    sizes.push_back(columns(b, tb));
    return {{DType::f32, Shape(sizes)}};
  }

  // y = A B: dA = dy B', dB = A' dy; where an operand is given transposed, so is its gradient.
  std::vector<Value> vjp(const VjpArgs& args) const {
    const Value a = args.inputs[0], b = args.inputs[1], dy = args.cotangents[0];
    std::vector<Value> result(2);
    if (args.wants(0)) {
      result[0] = ta ? matmul(b, dy, {tb, true}) : matmul(dy, b, {false, !tb});
    }
    if (args.wants(1)) {
      result[1] = tb ? matmul(dy, a, {true, ta}) : matmul(a, dy, {!ta, false});
    }
    return result;
  }

  std::vector<Array> evaluate(std::span<const Array> in) const {
    const Shape &a = in[0].shape, &b = in[1].shape;
    const Type types[] = {{DType::f32, a}, {DType::f32, b}};
    Array y(infer(types)[0].shape);
    const std::int64_t m = rows(a, ta), n = columns(b, tb), k = columns(a, ta);
    const Shape batches = batch(y.shape);
    for (std::int64_t i = 0; i < batches.elements(); ++i) {
      const double* pa = in[0].data.data() + batch_index(batches, i, batch(a)) * m * k;
      const double* pb = in[1].data.data() + batch_index(batches, i, batch(b)) * k * n;
      double* py = y.data.data() + i * m * n;
      for (std::int64_t r = 0; r < m; ++r) {
        for (std::int64_t c = 0; c < n; ++c) {
          double total = 0;
          for (std::int64_t j = 0; j < k; ++j) {
            total += pa[ta ? j * m + r : r * k + j] * pb[tb ? c * k + j : j * n + c];
          }
          py[r * n + c] = total;
        }
      }
    }
    return {y};
  }

  /// A sum of nothing is zero.
  std::optional<Value> simplify(std::span<const Value> in) const {
    if (columns(in[0].shape(), ta) != 0) return std::nullopt;
    const Type types[] = {in[0].type(), in[1].type()};
    return broadcast_to(scalar_like(in[0], 0), infer(types)[0].shape);
  }

  /// Which of an operand's batches belongs to batch `index` of the result.
  static std::int64_t batch_index(const Shape& result, std::int64_t index, const Shape& operand) {
    std::int64_t at = 0, stride = 1;
    for (std::size_t i = 0; i < result.rank(); ++i) {
      const std::int64_t size = *(result.end() - 1 - i), position = index % size;
      index /= size;
      if (i >= operand.rank()) break;
      const std::int64_t own = *(operand.end() - 1 - i);
      if (own != 1) at += position * stride;
      stride *= own;
    }
    return at;
  }

  double flops(std::span<const Type> in) const {
    const double inner = static_cast<double>(columns(in[0].shape, ta));
    return 2 * inner * static_cast<double>(infer(in)[0].shape.elements());
  }

  void lower(Lowering& l) const {
    const bool flat = l.input(0).shape.rank() == 2 && l.input(1).shape.rank() == 2;
    const bool plain = !l.has_epilogue() && !l.bias();
    if (flat && !ta && !tb) return lower_dense(l);
    if (flat && ta && !tb && plain) return lower_kernel_gradient(l);
    if (flat && !ta && tb && plain) return lower_input_gradient(l);
    lower_general(l);
  }

  // As an inner product, x may keep the layout that a convolution or pooling left it in: an
  // activation that was flattened still has its axes (in oneDNN's order), and the kernel's rows are
  // then seen as those axes too. `names` is the kernel [K,O] under x's axis names, output first.
  static Layout kernel_names(const Layout& x, const Type& kernel) {
    const Dims x_sizes = onednn::dims(x.plain), x_strides = onednn::strides(x.plain);
    const std::int64_t outputs = kernel.shape[1];
    Dims sizes{outputs}, strides{1};
    for (std::size_t i = 1; i < x_sizes.size(); ++i) {
      sizes.push_back(x_sizes[i]);
      strides.push_back(x_strides[i] * outputs);
    }
    return strided(DType::f32, sizes, strides);
  }

  /// x as an inner product takes it: samples first, in memory too; row-major if it lies otherwise,
  /// and as two axes if it is row-major, since oneDNN's best kernels (brgemm) know no more.
  static Layout dense_input(const Lowering& l, std::size_t i) {
    const Type& type = l.input(i);
    const Layout layout = l.layout(i);
    const Dims sizes = onednn::dims(layout.plain), strides = onednn::strides(layout.plain);
    const bool usable = sizes.size() >= 2 && sizes.size() <= 5 && sizes[0] == type.shape[0] &&
                        (sizes[0] == 1 || strides[0] == type.shape[1]);
    return usable && !layout.is_plain() ? layout : row_major(type);
  }

  void lower_dense(Lowering& l) const {
    const Layout x = dense_input(l, 0), names = kernel_names(x, l.input(1));
    const Layout y = row_major(l.output(0));
    const auto epilogue = l.epilogue(y);
    const auto bias = l.bias();
    const Layout b = bias ? per_channel(l.input(*bias)) : Layout{};
    const auto pd = onednn::try_to(l.describe(), [&] {
      const auto& attr = epilogue.attr;
      const auto kind = dnnl::prop_kind::forward_training;
      const auto kernel = onednn::any(onednn::dims(names.md));
      return bias ? onednn::forward<dnnl::inner_product_forward>(attr, kind, x.md, kernel, b.md,
                                                                 y.md)
                  : onednn::forward<dnnl::inner_product_forward>(attr, kind, x.md, kernel, y.md);
    });
    Lowering::Arguments reads{{DNNL_ARG_SRC, l.read(0, x)},
                              {DNNL_ARG_WEIGHTS, l.read(1, with(names, pd.weights_desc()))}};
    if (bias) reads.emplace_back(DNNL_ARG_BIAS, l.read(*bias, b));
    std::ranges::move(l.read(epilogue), std::back_inserter(reads));
    l.step(pd, reads, {{DNNL_ARG_DST, l.write(0, y)}});
  }

  static Layout per_channel(const Type& bias) {
    return strided(bias.dtype, {bias.shape.elements()}, {1});
  }

  static dnnl::inner_product_forward::primitive_desc hint(const onednn::Desc& x,
                                                          const onednn::Desc& kernel,
                                                          const onednn::Desc& y) {
    return onednn::forward<dnnl::inner_product_forward>(
        Lowering::attr(), dnnl::prop_kind::forward_training, x, kernel, y);
  }

  void lower_kernel_gradient(Lowering& l) const {  // x[N,K], dy[N,O] -> [K,O]
    const Layout x = dense_input(l, 0), names = kernel_names(x, l.output(0));
    const Layout dy = row_major(l.input(1));
    const auto kernel = onednn::any(onednn::dims(names.md));
    const auto pd = onednn::try_to(l.describe(), [&] {
      return onednn::backward<dnnl::inner_product_backward_weights>(hint(x.md, kernel, dy.md),
                                                                    l.attr(), x.md, kernel, dy.md);
    });
    l.step(pd, {{DNNL_ARG_SRC, l.read(0, x)}, {DNNL_ARG_DIFF_DST, l.read(1, dy)}},
           {{DNNL_ARG_DIFF_WEIGHTS, l.write(0, with(names, pd.diff_weights_desc()))}});
  }

  void lower_input_gradient(Lowering& l) const {  // dy[N,O], kernel[K,O] -> [N,K]
    const Layout dy = row_major(l.input(0));
    // If the kernel already has the axes of a flattened activation, dx gets them too.
    Layout kernel = l.layout(1);
    const Dims sizes = onednn::dims(kernel.plain), strides = onednn::strides(kernel.plain);
    const std::int64_t outputs = l.input(1).shape[1];
    const bool dense =
        !l.flexible(1) && sizes.size() >= 2 && sizes[0] == outputs && strides[0] == 1;
    if (!dense) kernel = strided(DType::f32, {outputs, l.input(1).shape[0]}, {1, outputs});
    Dims x_sizes = onednn::dims(kernel.plain), x_strides = onednn::strides(kernel.plain);
    x_sizes[0] = l.output(0).shape[0];
    x_strides[0] = l.output(0).shape[1];
    for (std::size_t i = 1; i < x_strides.size(); ++i) x_strides[i] /= outputs;
    const Layout names = strided(DType::f32, x_sizes, x_strides);
    const auto make = [&](const onednn::Desc& x, const onednn::Desc& w) {
      return onednn::backward<dnnl::inner_product_backward_data>(hint(x, w, dy.md), l.attr(), x, w,
                                                                 dy.md);
    };
    // Left to itself, oneDNN 2.6 may pair a blocked kernel with a plain dx, for which it has only
    // its reference code; so dx is offered the blocks that the kernel may have been made for.
    for (const onednn::Desc& x : gradient_layouts(names)) {
      try {
        const auto pd = make(x, kernel.md);
        if (!onednn::is_fast(pd)) continue;
        emit_input_gradient(l, pd, dy, kernel, names);
        return;
      } catch (const dnnl::error&) {
        continue;
      }
    }
    const Layout flat = strided(DType::f32, {outputs, l.output(0).shape[1]}, {1, outputs});
    const Layout rows = row_major(l.output(0));
    const auto pd = onednn::try_to(l.describe(), [&] { return make(rows.md, flat.md); });
    emit_input_gradient(l, pd, dy, flat, rows);
  }

  static std::vector<onednn::Desc> gradient_layouts(const Layout& names) {
    using tag = dnnl::memory::format_tag;
    const Dims sizes = onednn::dims(names.plain);
    std::vector<onednn::Desc> result{onednn::any(sizes), names.md};
    if (sizes.size() == 4) {
      for (const tag blocked : {tag::nChw16c, tag::nChw8c, tag::nChw4c}) {
        result.emplace_back(sizes, onednn::data_type(DType::f32), blocked);
      }
    }
    return result;
  }

  static void emit_input_gradient(Lowering& l,
                                  const dnnl::inner_product_backward_data::primitive_desc& pd,
                                  const Layout& dy, const Layout& kernel, const Layout& names) {
    l.step(pd, {{DNNL_ARG_DIFF_DST, l.read(0, dy)}, {DNNL_ARG_WEIGHTS, l.read(1, kernel)}},
           {{DNNL_ARG_DIFF_SRC, l.write(0, with(names, pd.diff_src_desc()))}});
  }

  /// An operand with the result's rank, read transposed where asked for.
  static Layout matrix(const Type& type, bool transposed, std::size_t rank) {
    const auto own = strides_of(type.shape);
    const std::size_t missing = rank - type.shape.rank();
    Dims sizes(missing, 1), strides(missing, type.shape.elements());
    sizes.insert(sizes.end(), type.shape.begin(), type.shape.end());
    strides.insert(strides.end(), own.begin(), own.end());
    if (transposed) {
      std::swap(sizes[rank - 1], sizes[rank - 2]);
      std::swap(strides[rank - 1], strides[rank - 2]);
    }
    return strided(type.dtype, sizes, strides);
  }

  void lower_general(Lowering& l) const {
    const std::size_t rank = l.output(0).shape.rank();
    const Layout a = matrix(l.input(0), ta, rank), b = matrix(l.input(1), tb, rank);
    const Layout y = row_major(l.output(0));
    const auto epilogue = l.epilogue(y);
    const auto bias = l.bias();
    Layout c;
    if (bias) {
      Dims sizes(rank, 1), strides(rank, l.output(0).shape[-1]);
      sizes.back() = l.output(0).shape[-1];
      strides.back() = 1;
      c = strided(DType::f32, sizes, strides);
    }
    const auto pd = onednn::try_to(l.describe(), [&] {
      const auto& attr = epilogue.attr;
      return bias ? onednn::forward<dnnl::matmul>(attr, a.md, b.md, c.md, y.md)
                  : onednn::forward<dnnl::matmul>(attr, a.md, b.md, y.md);
    });
    Lowering::Arguments reads{{DNNL_ARG_SRC, l.read(0, a)}, {DNNL_ARG_WEIGHTS, l.read(1, b)}};
    if (bias) reads.emplace_back(DNNL_ARG_BIAS, l.read(*bias, c));
    std::ranges::move(l.read(epilogue), std::back_inserter(reads));
    l.step(pd, reads, {{DNNL_ARG_DST, l.write(0, y)}});
  }
};

const Register registered{Matmul{}};

}  // namespace

Value matmul(Value a, Value b, const MatmulOptions& options) {
  return apply(Matmul{options.transpose_a, options.transpose_b}, {a, b});
}

}  // namespace weft
