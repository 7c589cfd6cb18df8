// The only file that asks which oneDNN this is. Version 2.x builds a primitive descriptor from an
// operation descriptor, 3.x from the arguments themselves; the two templates hide that, and named
// functions hide what else differs. Included by .cpp files only.
#pragma once

#include <dnnl.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "graph/shape.hpp"

namespace weft::onednn {

using Desc = dnnl::memory::desc;
using Dims = dnnl::memory::dims;

/// The one engine: the CPU.
dnnl::engine& engine();

/// "2.6.3", as the library that is loaded says.
std::string version();
/// The instruction set that oneDNN uses here: "AVX-512", "AVX2", "SSE4.1".
std::string isa();

dnnl::memory::data_type data_type(DType dtype);

/// A row-major descriptor of a tensor; a scalar has one axis of size 1.
Desc row_major(const Type& type);
/// A descriptor that leaves the layout to the primitive.
Desc any(const Dims& dims, DType dtype = DType::f32);

// Known faults: combinations for which a version of oneDNN computes wrong numbers.

enum class Pass { forward, input_gradient, kernel_gradient };

/// What a convolution is asked for, as far as faults depend on it. Height first.
struct Convolution {
  Pass pass = Pass::forward;
  Dims kernel, stride, dilation, before, behind;
};

/// Why the numbers of this primitive cannot be trusted, for this version of oneDNN; nothing if no
/// fault of it is known.
std::optional<std::string> known_fault(const dnnl::primitive_desc_base& pd,
                                       const Convolution& convolution);

/// An elementwise operation behind a primitive's own work: a post-op.
struct PostOp {
  dnnl::algorithm algorithm;
  float a = 0, b = 0;
};

/// The same of elementwise operations that one primitive is to do, whichever it is.
std::optional<std::string> known_fault(std::span<const PostOp> appended);

/// A descriptor's first implementation without a known fault; nothing if there is none.
template <class PrimitiveDesc>
std::optional<PrimitiveDesc> first_trusted(const Convolution& use, PrimitiveDesc pd) {
  while (known_fault(pd, use)) {
    if (!pd.next_impl()) return std::nullopt;
  }
  return pd;
}

#if DNNL_VERSION_MAJOR >= 3

using dnnl::pooling_backward;
using dnnl::pooling_forward;
using dnnl::softmax_backward;
using dnnl::softmax_forward;

template <class P, class... Args>
typename P::primitive_desc forward(const dnnl::primitive_attr& attr, const Args&... args) {
  return typename P::primitive_desc(engine(), args..., attr);
}
template <class P, class Hint, class... Args>
typename P::primitive_desc backward(const Hint& hint, const dnnl::primitive_attr& attr,
                                    const Args&... args) {
  return typename P::primitive_desc(engine(), args..., hint, attr);
}
template <class P, class... Args>
std::optional<typename P::primitive_desc> trusted_forward(const Convolution& use,
                                                          const dnnl::primitive_attr& attr,
                                                          const Args&... args) {
  return first_trusted(use, forward<P>(attr, args...));
}
template <class P, class Hint, class... Args>
std::optional<typename P::primitive_desc> trusted_backward(const Convolution& use, const Hint& hint,
                                                           const dnnl::primitive_attr& attr,
                                                           const Args&... args) {
  return first_trusted(use, backward<P>(hint, attr, args...));
}
inline Dims dims(const Desc& desc) { return desc.get_dims(); }
inline dnnl::memory::data_type data_type(const Desc& desc) { return desc.get_data_type(); }

#else

using pooling_backward = dnnl::pooling_v2_backward;
using pooling_forward = dnnl::pooling_v2_forward;
using softmax_backward = dnnl::softmax_v2_backward;
using softmax_forward = dnnl::softmax_v2_forward;

template <class P, class... Args>
typename P::primitive_desc forward(const dnnl::primitive_attr& attr, const Args&... args) {
  return typename P::primitive_desc(typename P::desc(args...), attr, engine());
}
template <class P, class Hint, class... Args>
typename P::primitive_desc backward(const Hint& hint, const dnnl::primitive_attr& attr,
                                    const Args&... args) {
  return typename P::primitive_desc(typename P::desc(args...), attr, engine(), hint);
}
// While it looks for the next implementation, oneDNN 2.x reads the operation descriptor again, so
// that has to live until then.
template <class P, class... Args>
std::optional<typename P::primitive_desc> trusted_forward(const Convolution& use,
                                                          const dnnl::primitive_attr& attr,
                                                          const Args&... args) {
  const typename P::desc desc(args...);
  return first_trusted(use, typename P::primitive_desc(desc, attr, engine()));
}
template <class P, class Hint, class... Args>
std::optional<typename P::primitive_desc> trusted_backward(const Convolution& use, const Hint& hint,
                                                           const dnnl::primitive_attr& attr,
                                                           const Args&... args) {
  const typename P::desc desc(args...);
  return first_trusted(use, typename P::primitive_desc(desc, attr, engine(), hint));
}
inline Dims dims(const Desc& desc) { return desc.dims(); }
inline dnnl::memory::data_type data_type(const Desc& desc) { return desc.data_type(); }

#endif

/// y = algorithm(x, a, b), elementwise, in one layout.
dnnl::eltwise_forward::primitive_desc eltwise(const dnnl::primitive_attr& attr,
                                              dnnl::algorithm algorithm, const Desc& data, float a,
                                              float b);
/// dx from dy and the data that the algorithm's derivative reads: x, or y for *_use_dst_for_bwd.
dnnl::eltwise_backward::primitive_desc eltwise_grad(const dnnl::primitive_attr& attr,
                                                    dnnl::algorithm algorithm, const Desc& data,
                                                    float a, float b);
void append_eltwise(dnnl::post_ops& ops, dnnl::algorithm algorithm, float a, float b);
dnnl::concat::primitive_desc concat(const dnnl::primitive_attr& attr, const Desc& destination,
                                    int axis, const std::vector<Desc>& sources);

/// The name of the implementation that a descriptor chose: "jit:avx2", "ref:any".
std::string implementation(const dnnl::primitive_desc_base& pd);
/// Multiplications and additions of a convolution, inner product or matrix product in any
/// direction, counted as the definition has them; 0 for all else.
double flops(const dnnl::primitive& primitive, const std::vector<std::pair<int, Desc>>& arguments);
/// Does that implementation let the stack pointer lead into the heap while it runs, so that the
/// handler of a signal that comes then writes over other memory? The f32 GEMM that oneDNN generates
/// for AVX and later does, in all versions before 3.11.2 (issue 4845).
bool corrupts_below_stack(std::string_view implementation);
/// False for the reference implementations, which are there to be right and are very slow.
bool is_fast(const dnnl::primitive_desc_base& pd);
/// How it lies, in a word: "64,1,4,2" are strides, "64,1,4,2:16@1" has blocks of 16 of axis 1.
std::string layout_name(const Desc& desc);
/// Row-major or a permutation of it, without blocks or padding.
bool is_strided(const Desc& desc);
/// The strides of a strided descriptor, in elements.
Dims strides(const Desc& desc);
/// True if the two put every element in the same place. Descriptors that differ only in the stride
/// of an axis of size 1 do, though oneDNN's == calls them different.
bool same_memory(const Desc& a, const Desc& b);
/// How a descriptor with axes N,C,H,W keeps channels together: `width` of them side by side, in
/// `count` blocks; channels last is one block of all. Strides are in elements.
struct ChannelBlocks {
  std::int64_t count, width;
  std::int64_t sample, block, row, column;
};
/// Nothing for layouts that do not keep channels together.
std::optional<ChannelBlocks> channel_blocks(const Desc& desc);
/// Elements in memory, with what padding there is.
std::size_t padded_elements(const Desc& desc);

// Padding: a layout with blocks of 8 or 16 channels has lanes that belong to no channel if the
// channels do not fill the last block. **They are zero whenever a step is done.** Kernels rely on
// it: a convolution multiplies its source's lanes with the kernel's, and NaN times zero is NaN.

bool has_padding(const Desc& desc);
/// Sets the lanes that belong to no element to zero.
void clear_padding(const Desc& desc, std::byte* memory);
bool padding_is_zero(const Desc& desc, const std::byte* memory);
/// True if the primitive is sure to leave zeros in its destination's padding. oneDNN promises it
/// for all primitives, and 2.6 breaks the promise for post-ops whose value at zero is not zero.
bool keeps_padding(const dnnl::primitive_desc_base& pd);

[[noreturn]] void cannot(const std::string& what, const dnnl::error& error);

/// Calls make() and turns "could not create a primitive descriptor" into a CompileError that names
/// the op and its types.
template <class Make>
auto try_to(const std::string& what, Make make) -> decltype(make()) {
  try {
    return make();
  } catch (const dnnl::error& error) {
    cannot(what, error);
  }
}

}  // namespace weft::onednn
