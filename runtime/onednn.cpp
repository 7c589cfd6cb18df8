#include "runtime/onednn.hpp"

#include <string_view>
#include <tuple>

#include "graph/error.hpp"
#include "graph/print.hpp"

namespace weft::onednn {

dnnl::engine& engine() {
  static dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
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
