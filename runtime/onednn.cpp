#include "runtime/onednn.hpp"

#include <algorithm>
#include <compare>
#include <cstring>
#include <functional>
#include <limits>
#include <string_view>
#include <tuple>

#include "graph/error.hpp"
#include "graph/print.hpp"

namespace weft::onednn {

dnnl::engine& engine() {
  static dnnl::engine cpu = [] {
    // oneDNN keeps the last 1024 primitives that were made, also when nobody has them any more: up
    // to some hundred megabytes of code. What a model uses it holds itself. Another number was set
    // by the user.
    constexpr int by_default = 1024, enough = 128;
    if (dnnl::get_primitive_cache_capacity() == by_default) {
      dnnl::set_primitive_cache_capacity(enough);
    }
    return dnnl::engine(dnnl::engine::kind::cpu, 0);
  }();
  return cpu;
}

std::string version() {
  const dnnl_version_t* v = dnnl_version();
  return fmt::format("{}.{}.{}", v->major, v->minor, v->patch);
}

std::string isa() {
  const auto level = static_cast<unsigned>(dnnl::get_effective_cpu_isa());
  const auto at_least = [level](dnnl::cpu_isa isa) {
    return (level & static_cast<unsigned>(isa)) == static_cast<unsigned>(isa);
  };
  if (at_least(dnnl::cpu_isa::avx512_core)) return "AVX-512";
  if (at_least(dnnl::cpu_isa::avx2)) return "AVX2";
  if (at_least(dnnl::cpu_isa::avx)) return "AVX";
  return "SSE4.1";
}

dnnl::memory::data_type data_type(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return dnnl::memory::data_type::f32;
    case DType::bf16:
      return dnnl::memory::data_type::bf16;
    case DType::s32:
      return dnnl::memory::data_type::s32;
    case DType::s8:
      return dnnl::memory::data_type::s8;
    case DType::u8:
      return dnnl::memory::data_type::u8;
  }
  return dnnl::memory::data_type::undef;
}

Desc row_major(const Type& type) {
  if (type.shape.rank() == 0) return Desc({1}, data_type(type.dtype), Dims{1});
  const auto strides = strides_of(type.shape);
  return Desc(Dims(type.shape.begin(), type.shape.end()), data_type(type.dtype),
              Dims(strides.begin(), strides.end()));
}

Desc any(const Dims& dims, DType dtype) {
  return Desc(dims, data_type(dtype), dnnl::memory::format_tag::any);
}

std::string implementation(const dnnl::primitive_desc_base& pd) { return pd.impl_info_str(); }

bool corrupts_below_stack(std::string_view implementation) {
#if defined(__x86_64__)
  const dnnl_version_t* v = dnnl_version();
  static const bool is_fixed = std::tuple(v->major, v->minor, v->patch) >= std::tuple(3, 11, 2);
  // "gemm:jit" and "x64:gemm:jit", but not "brgemm:avx512_core", which is other code.
  const auto at = implementation.find("gemm");
  return !is_fixed && at != implementation.npos && !implementation.substr(0, at).ends_with("br");
#else
  return implementation.empty() && false;
#endif
}

bool is_fast(const dnnl::primitive_desc_base& pd) {
  return std::string_view(pd.impl_info_str()).find("ref") == std::string_view::npos;
}

double flops(const dnnl::primitive& primitive, const std::vector<std::pair<int, Desc>>& arguments) {
  const auto sizes_of = [&](std::initializer_list<int> indices) {
    for (const auto& [index, desc] : arguments) {
      for (const int wanted : indices) {
        if (index == wanted) return dims(desc);
      }
    }
    return Dims{};
  };
  const auto product = [](Dims::const_iterator first, Dims::const_iterator last) {
    double result = 1;
    for (; first < last; ++first) result *= static_cast<double>(*first);
    return result;
  };
  const Dims weights = sizes_of({DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_WEIGHTS});
  const Dims output = sizes_of({DNNL_ARG_DST, DNNL_ARG_DIFF_DST});
  if (weights.empty() || output.empty()) return 0;
  const double kernel = product(weights.begin(), weights.end());
  switch (primitive.get_kind()) {
    case dnnl::primitive::kind::convolution:  // every weight, at every position of every sample
      return 2 * kernel * static_cast<double>(output[0]) *
             product(output.begin() + 2, output.end());
    case dnnl::primitive::kind::inner_product:
      return 2 * kernel * static_cast<double>(output[0]);
    case dnnl::primitive::kind::matmul:
      return 2 * product(output.begin(), output.end()) *
             static_cast<double>(weights[weights.size() - 2]);
    default:
      return 0;
  }
}

std::size_t padded_elements(const Desc& desc) {
  return desc.get_size() / dnnl::memory::data_type_size(data_type(desc));
}

void cannot(const std::string& what, const dnnl::error& error) {
  if (error.status == dnnl_out_of_memory) {
    fail<MemoryError>("{}: there is no memory for it: oneDNN {} {}", what, version(),
                      error.message);
  }
  fail<CompileError>("{}: oneDNN {} on {} cannot do this: {}", what, version(), isa(),
                     error.message);
}

namespace {

using Blocks = std::vector<std::pair<std::int64_t, std::int64_t>>;  // axis, width

struct Eltwise {
  dnnl::algorithm algorithm;
  float a, b;
};

}  // namespace

#if DNNL_VERSION_MAJOR >= 3

dnnl::eltwise_forward::primitive_desc eltwise(const dnnl::primitive_attr& attr,
                                              dnnl::algorithm algorithm, const Desc& data, float a,
                                              float b) {
  return {engine(), dnnl::prop_kind::forward_inference, algorithm, data, data, a, b, attr};
}
dnnl::eltwise_backward::primitive_desc eltwise_grad(const dnnl::primitive_attr& attr,
                                                    dnnl::algorithm algorithm, const Desc& data,
                                                    float a, float b) {
  const dnnl::eltwise_forward::primitive_desc hint(engine(), dnnl::prop_kind::forward_training,
                                                   algorithm, data, data, a, b);
  return {engine(), algorithm, data, data, data, a, b, hint, attr};
}
void append_eltwise(dnnl::post_ops& ops, dnnl::algorithm algorithm, float a, float b) {
  ops.append_eltwise(algorithm, a, b);
}
Eltwise eltwise_of(const dnnl::post_ops& ops, int index) {
  Eltwise result{};
  ops.get_params_eltwise(index, result.algorithm, result.a, result.b);
  return result;
}
dnnl::concat::primitive_desc concat(const dnnl::primitive_attr& attr, const Desc& destination,
                                    int axis, const std::vector<Desc>& sources) {
  return {engine(), destination, axis, sources, attr};
}
bool is_strided(const Desc& desc) {
  return desc.get_format_kind() == dnnl::memory::format_kind::blocked &&
         desc.get_inner_nblks() == 0 && desc.get_padded_dims() == desc.get_dims();
}
Dims strides(const Desc& desc) { return desc.get_strides(); }
Dims padded_dims(const Desc& desc) { return desc.get_padded_dims(); }
Blocks inner_blocks(const Desc& desc) {
  Blocks blocks;
  if (desc.get_format_kind() != dnnl::memory::format_kind::blocked) return blocks;
  const Dims axes = desc.get_inner_idxs(), widths = desc.get_inner_blks();
  for (std::size_t i = 0; i < axes.size(); ++i) blocks.emplace_back(axes[i], widths[i]);
  return blocks;
}

#else

dnnl::eltwise_forward::primitive_desc eltwise(const dnnl::primitive_attr& attr,
                                              dnnl::algorithm algorithm, const Desc& data, float a,
                                              float b) {
  return {{dnnl::prop_kind::forward_inference, algorithm, data, a, b}, attr, engine()};
}
dnnl::eltwise_backward::primitive_desc eltwise_grad(const dnnl::primitive_attr& attr,
                                                    dnnl::algorithm algorithm, const Desc& data,
                                                    float a, float b) {
  const dnnl::eltwise_forward::primitive_desc hint(
      {dnnl::prop_kind::forward_training, algorithm, data, a, b}, engine());
  return {{algorithm, data, data, a, b}, attr, engine(), hint};
}
void append_eltwise(dnnl::post_ops& ops, dnnl::algorithm algorithm, float a, float b) {
  ops.append_eltwise(1.0f, algorithm, a, b);
}
Eltwise eltwise_of(const dnnl::post_ops& ops, int index) {
  Eltwise result{};
  float scale = 1;
  ops.get_params_eltwise(index, scale, result.algorithm, result.a, result.b);
  return result;
}
dnnl::concat::primitive_desc concat(const dnnl::primitive_attr& attr, const Desc& destination,
                                    int axis, const std::vector<Desc>& sources) {
  return {destination, axis, sources, engine(), attr};
}
bool is_strided(const Desc& desc) {
  const auto& data = desc.data;
  if (data.format_kind != dnnl_blocked || data.format_desc.blocking.inner_nblks != 0) return false;
  for (int i = 0; i < data.ndims; ++i) {
    if (data.padded_dims[i] != data.dims[i]) return false;
  }
  return true;
}
Dims strides(const Desc& desc) {
  const auto* first = desc.data.format_desc.blocking.strides;
  return Dims(first, first + desc.data.ndims);
}
Dims padded_dims(const Desc& desc) {
  return Dims(desc.data.padded_dims, desc.data.padded_dims + desc.data.ndims);
}
Blocks inner_blocks(const Desc& desc) {
  const auto& blocking = desc.data.format_desc.blocking;
  Blocks blocks;
  if (desc.data.format_kind != dnnl_blocked) return blocks;
  for (int i = 0; i < blocking.inner_nblks; ++i) {
    blocks.emplace_back(blocking.inner_idxs[i], blocking.inner_blks[i]);
  }
  return blocks;
}

#endif

std::optional<ChannelBlocks> channel_blocks(const Desc& desc) {
  const Dims sizes = dims(desc);
  if (sizes.size() != 4) return std::nullopt;
  const auto make = [&](std::int64_t count, std::int64_t width) -> std::optional<ChannelBlocks> {
    const Dims s = strides(desc);
    return ChannelBlocks{count, width, s[0], s[1], s[2], s[3]};
  };
  if (const Blocks blocks = inner_blocks(desc); blocks.size() == 1 && blocks[0].first == 1) {
    const std::int64_t width = blocks[0].second;
    return make(padded_dims(desc)[1] / width, width);
  }
  if (is_strided(desc) && (sizes[1] == 1 || strides(desc)[1] == 1)) return make(1, sizes[1]);
  return std::nullopt;
}

// ---- Padding

bool has_padding(const Desc& desc) { return padded_dims(desc) != dims(desc); }

namespace {

/// Calls f(first, count) for runs of elements that are padding, until it returns false.
template <class F>
bool for_each_padding(const Desc& desc, F f) {
  const Dims sizes = dims(desc), padded = padded_dims(desc);
  if (sizes == padded || std::ranges::count(sizes, 0) > 0) return true;
  if (const auto blocks = channel_blocks(desc); blocks && blocks->width > 1) {
    // Images: the last lanes of each pixel of the last block.
    const std::int64_t lanes = padded[1] - sizes[1], last = blocks->count - 1;
    for (std::int64_t n = 0; n < sizes[0]; ++n) {
      for (std::int64_t h = 0; h < sizes[2]; ++h) {
        std::int64_t at = n * blocks->sample + last * blocks->block + h * blocks->row;
        for (std::int64_t w = 0; w < sizes[3]; ++w, at += blocks->column) {
          if (!f(at + blocks->width - lanes, lanes)) return false;
        }
      }
    }
    return true;
  }
  // Kernels, which are small: every place of the padded box that lies outside the real one.
  const Blocks blocks = inner_blocks(desc);
  const Dims outer = strides(desc);
  Dims index(sizes.size(), 0);
  for (;;) {
    if (!std::equal(index.begin(), index.end(), sizes.begin(), std::less<>())) {
      Dims place = index;
      std::int64_t at = 0, width = 1;
      for (auto block = blocks.rbegin(); block != blocks.rend(); ++block) {
        auto& along = place[static_cast<std::size_t>(block->first)];
        at += along % block->second * width;
        along /= block->second;
        width *= block->second;
      }
      for (std::size_t d = 0; d < place.size(); ++d) at += place[d] * outer[d];
      if (!f(at, 1)) return false;
    }
    std::size_t d = index.size();
    while (d > 0 && ++index[d - 1] == padded[d - 1]) index[--d] = 0;
    if (d == 0) return true;
  }
}

/// Is f(0) = 0?
bool keeps_zero(dnnl::algorithm algorithm, float a, float b) {
  switch (algorithm) {
    case dnnl::algorithm::eltwise_relu:
    case dnnl::algorithm::eltwise_tanh:
    case dnnl::algorithm::eltwise_elu:
    case dnnl::algorithm::eltwise_square:
    case dnnl::algorithm::eltwise_abs:
    case dnnl::algorithm::eltwise_sqrt:
    case dnnl::algorithm::eltwise_swish:
    case dnnl::algorithm::eltwise_gelu_erf:
    case dnnl::algorithm::eltwise_gelu_tanh:
      return true;
    case dnnl::algorithm::eltwise_clip:
      return a <= 0 && b >= 0;
    default:
      return false;
  }
}

}  // namespace

void clear_padding(const Desc& desc, std::byte* memory) {
  const std::size_t bytes = dnnl::memory::data_type_size(data_type(desc));
  for_each_padding(desc, [&](std::int64_t first, std::int64_t count) {
    std::memset(memory + static_cast<std::size_t>(first) * bytes, 0,
                static_cast<std::size_t>(count) * bytes);
    return true;
  });
}

bool padding_is_zero(const Desc& desc, const std::byte* memory) {
  const std::size_t bytes = dnnl::memory::data_type_size(data_type(desc));
  return for_each_padding(desc, [&](std::int64_t first, std::int64_t count) {
    const std::byte* from = memory + static_cast<std::size_t>(first) * bytes;
    return std::all_of(from, from + static_cast<std::size_t>(count) * bytes,
                       [](std::byte b) { return b == std::byte{0}; });
  });
}

bool keeps_padding(const dnnl::primitive_desc_base& pd) {
  const auto kind = pd.get_kind();
  if (kind == dnnl::primitive::kind::eltwise || kind == dnnl::primitive::kind::binary) return false;
  const auto attr = pd.get_primitive_attr();
  const auto ops = attr.get_post_ops();
  for (int i = 0; i < ops.len(); ++i) {
    if (ops.kind(i) == dnnl::primitive::kind::sum) continue;
    if (ops.kind(i) != dnnl::primitive::kind::eltwise) return false;
    const Eltwise eltwise = eltwise_of(ops, i);
    if (!keeps_zero(eltwise.algorithm, eltwise.a, eltwise.b)) return false;
  }
  return true;
}

// ---- Known faults

namespace {

struct Version {
  int major, minor, patch;
  friend auto operator<=>(const Version&, const Version&) = default;
};

/// Faults that no version is known to have fixed.
constexpr Version never{std::numeric_limits<int>::max(), 0, 0};

Version loaded() {
  const dnnl_version_t* v = dnnl_version();
  return {v->major, v->minor, v->patch};
}

bool has_binary_post_op(const dnnl::primitive_desc_base& pd) {
  const auto attr = pd.get_primitive_attr();
  const auto ops = attr.get_post_ops();
  for (int i = 0; i < ops.len(); ++i) {
    if (ops.kind(i) == dnnl::primitive::kind::binary) return true;
  }
  return false;
}

bool is(const dnnl::primitive_desc_base& pd, std::string_view part) {
  return std::string_view(pd.impl_info_str()).find(part) != std::string_view::npos;
}

/// True if the primitive reads its input without blocks of channels.
bool reads_strided(const dnnl::primitive_desc_base& pd) {
  return is_strided(pd.query_md(dnnl::query::src_md));
}

/// A row a fault, for versions from `first` up to, but without, `fixed`.
struct Fault {
  Version first, fixed;
  std::string_view what;
  bool (*applies)(const dnnl::primitive_desc_base& pd, const Convolution& convolution);
};

constexpr Fault faults[] = {
    {{2, 0, 0},
     {3, 0, 0},
     "a gemm convolution reads the operand of a binary post-op from the wrong place",
     [](const dnnl::primitive_desc_base& pd, const Convolution&) {
       return is(pd, "gemm") && has_binary_post_op(pd);
     }},
    // Seen in 3.7.2 on AVX-512, for right padding. The columns of a row are computed in blocks, so
    // that rows and their padding are no matter; left padding was not tried there.
    {{3, 0, 0},
     never,
     "a strided convolution reads columns beside a padded image",
     [](const dnnl::primitive_desc_base& pd, const Convolution& c) {
       return c.pass == Pass::forward && c.stride[1] > 1 && (c.before[1] > 0 || c.behind[1] > 0) &&
              (is(pd, "brgconv:avx512") || is(pd, "brg_fwd:avx512") ||
               is(pd, "brg_conv_fwd:avx512"));
     }},
    // It copies the columns that the kernel passes over into scratch memory, at offsets that are
    // right for blocks of channels only. With few channels, the last are beyond its end.
    {{2, 0, 0},
     never,
     "the kernel's gradient of a strided 1x1 convolution overruns its scratch memory",
     [](const dnnl::primitive_desc_base& pd, const Convolution& c) {
       return c.pass == Pass::kernel_gradient && std::ranges::max(c.stride) > 1 &&
              is(pd, "jit_1x1:") && reads_strided(pd);
     }},
};

}  // namespace

std::optional<std::string> known_fault(const dnnl::primitive_desc_base& pd,
                                       const Convolution& convolution) {
  const Version now = loaded();
  for (const Fault& fault : faults) {
    if (now >= fault.first && now < fault.fixed && fault.applies(pd, convolution)) {
      return std::string(fault.what);
    }
  }
  return std::nullopt;
}

std::optional<std::string> known_fault(std::span<const PostOp> appended) {
  // Seen in 2.6 for every kind and instruction set; later versions were not tried.
  if (loaded() < Version{2, 0, 0}) return std::nullopt;
  for (const PostOp& one : appended) {
    for (const PostOp& other : appended) {
      if (one.algorithm == other.algorithm && (one.a != other.a || one.b != other.b)) {
        return "elementwise operations of one kind all get the parameters of one of them";
      }
    }
  }
  return std::nullopt;
}

std::string layout_name(const Desc& desc) {
  const Blocks blocks = inner_blocks(desc);
  if (blocks.empty() && !is_strided(desc)) return "opaque";
  std::string name = fmt::format("{}", fmt::join(strides(desc), ","));
  for (const auto& [axis, width] : blocks) name += fmt::format(":{}@{}", width, axis);
  return name;
}

bool same_memory(const Desc& a, const Desc& b) {
  if (a == b) return true;
  if (!is_strided(a) || !is_strided(b) || data_type(a) != data_type(b)) return false;
  const Dims sizes = dims(a), a_strides = strides(a), b_strides = strides(b);
  if (sizes != dims(b)) return false;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] != 1 && a_strides[i] != b_strides[i]) return false;
  }
  return true;
}

}  // namespace weft::onednn
