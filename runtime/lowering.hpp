// Lowering: all that an op sees of the runtime. `lower` asks how its inputs lie, decides how its
// outputs shall lie, and emits steps. Included by .cpp files only.
#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "graph/op.hpp"
#include "runtime/onednn.hpp"
#include "runtime/plan.hpp"

namespace weft {

/// Row-major, axes in the value's own order.
Layout row_major(const Type& type);
/// Row-major, axes named in another order: named(type, {0, 3, 1, 2}) lets oneDNN see N,H,W,C as
/// N,C,H,W without moving anything.
Layout named(const Type& type, std::span<const int> axes);
Layout named(const Type& type, std::initializer_list<int> axes);
/// Row-major memory seen with axes of the given sizes and strides (in elements).
Layout strided(DType dtype, const onednn::Dims& sizes, const onednn::Dims& strides);
/// `layout` with another physical layout of the same axes: what a primitive chose.
Layout with(const Layout& layout, const onednn::Desc& chosen);
/// How `layout` reads under the axis names of `names`, if that is a matter of words only.
std::optional<Layout> renamed(const Layout& layout, const Layout& names);
/// The axes of an operand that broadcasts against `full`, named as those of `full` are; nothing if
/// the axes of `full` are not the axes of its shape in some order.
std::optional<Layout> broadcast_like(const Layout& full, const Shape& shape, const Type& operand);

/// Where the channels of a tensor, its last axis, lie in memory without gaps: `width` side by side,
/// for each of `pixels`, in each of `planes`, of which `blocks` in a row make all channels.
/// Channels last is one plane. Element i has the channel i / (pixels * width) % blocks * width + i
/// % width.
struct ChannelPlanes {
  std::size_t planes = 1, pixels = 0, width = 0, blocks = 1;

  std::size_t plane_elements() const { return pixels * width; }
  std::size_t first_channel(std::size_t plane) const { return plane % blocks * width; }
};
/// Nothing if the layout keeps channels otherwise.
std::optional<ChannelPlanes> channel_planes(const Layout& layout, const Type& type);
/// Is `b` one number per channel of `full`, the same at every position?
bool is_per_channel(const Type& b, const Type& full);

/// A buffer, read or written under a certain layout.
struct Operand {
  BufferId buffer = 0;
  Layout layout;
};

class LoweringContext;  // runtime/lowering_context.hpp

/// An op that became part of its producer's step, and which of its inputs that producer is.
struct Rider {
  Op op;
  std::size_t through = 0;            ///< the input that the chain comes in by
  std::vector<std::size_t> operands;  ///< its other inputs, as inputs of the fused node
  friend bool operator==(const Rider&, const Rider&) = default;
};

class Lowering {
 public:
  std::size_t input_count() const;
  const Type& input(std::size_t i) const;
  const Type& output(std::size_t o) const;
  /// False: nobody reads it, so it need not be computed (but may be).
  bool output_used(std::size_t o) const;

  /// How the input lies now.
  Layout layout(std::size_t i) const;
  /// True for a variable or constant whose layout nobody has chosen yet: the first `read` chooses.
  bool flexible(std::size_t i) const;
  /// True for what an earlier step of this run made; false for inputs, variables and constants.
  bool computed(std::size_t i) const;

  /// The input in the wanted layout; adds a reorder, shared between readers, only if it lies
  /// otherwise.
  Operand read(std::size_t i, const Layout& wanted);
  Operand read(std::size_t i) { return read(i, layout(i)); }
  Operand read_row_major(std::size_t i) { return read(i, row_major(input(i))); }

  Operand write(std::size_t o, const Layout& layout);
  Operand write_row_major(std::size_t o) { return write(o, row_major(output(o))); }
  /// The output in the operand's layout; it may take the operand's place if that dies here.
  Operand write_over(std::size_t o, const Operand& in);
  /// Output o as a copy of the operand, for a step that goes on from there: no work if it dies
  /// here.
  Operand write_copy(std::size_t o, const Operand& in);
  /// Memory for one step alone, to be given among its writes.
  Operand scratch(const Type& type);
  /// For a step that may put `out` where `in` lies, of the same size in bytes or smaller.
  void allow_over(const Operand& out, const Operand& in);
  /// The output is the input: no work. The element counts and dtypes must be equal; the order of
  /// the elements, row by row, is kept (reshape).
  void view(std::size_t o, std::size_t i);
  /// The same where elements are read in another order: `layout` says how the output is seen.
  void view(std::size_t o, std::size_t i, const Layout& layout);
  /// One oneDNN primitive. The scratchpad is added to the plan.
  using Arguments = std::vector<std::pair<int, Operand>>;
  void step(const dnnl::primitive_desc_base& pd, const Arguments& reads, const Arguments& writes);
  /// One loop of ours.
  void step(std::vector<Operand> reads, std::vector<Operand> writes, Kernel kernel);
  /// One loop of ours over elements that do not depend on one another, which may be cut anywhere.
  void step(std::vector<Operand> reads, std::vector<Operand> writes, std::size_t elements,
            RangeKernel kernel);
  /// The output is the sum of the input over all replicas.
  void all_reduce(std::size_t o, std::size_t i);
  /// The output, f32[], is the sum of what `part` writes for ranges of the operand, which is equal
  /// in all replicas: each does one range.
  void sum_of_parts(std::size_t o, const Operand& x, std::size_t elements, RangeKernel part);

  /// For ops with Traits::takes_scale: the kernel, input i, in the wanted layout, multiplied along
  /// its last axis by what output 0 is to be multiplied by, if there is such a thing.
  Operand read_scaled(std::size_t i, const Layout& wanted);
  /// For ops with Traits::takes_bias: the input to be added along the last axis of output 0.
  std::optional<std::size_t> bias() const;
  /// For ops with Traits::takes_unary: what is to be applied to output 0, in order.
  std::span<const Rider> riders() const { return riders_; }
  /// For ops with Traits::takes_epilogue: are there ops to be applied to output 0?
  bool has_epilogue() const;
  /// The epilogue for an output that lies like this: attributes for the primitive, and what they
  /// will read, which is not read yet: a primitive may be tried. Attributes always ask for a
  /// scratchpad from the caller.
  struct Attributes {
    struct Operand {
      int argument;
      std::size_t input;
      Layout layout;
    };
    dnnl::primitive_attr attr;
    std::vector<Operand> operands;
    /// The input that the primitive finds in its destination, and adds to.
    std::optional<std::size_t> accumulated;
  };
  ///   accumulate  a first addition of a whole tensor is done in the destination (post-op "sum"),
  ///               for primitives that know no binary post-op
  Attributes epilogue(const Layout& output, bool accumulate = false);
  /// Reads what the attributes want.
  Arguments read(const Attributes& attributes);
  /// Memory for what a primitive makes that cannot take the epilogue; see apply_epilogue.
  Operand before_epilogue(const Layout& layout);
  /// Makes output 0 of `made` by the ops of the epilogue, each as a step of its own.
  void apply_epilogue(const Operand& made);
  /// Attributes without an epilogue.
  static dnnl::primitive_attr attr();

  const Choices& choices() const;

  /// `conv2d "block1/conv": f32[...], f32[...] {...}`, for messages.
  std::string describe() const;
  /// The same without the name: what one asks runtime/tuning.hpp.
  std::string question() const;

  // For the walk and for composite ops only.
  Lowering(LoweringContext& context, NodeId node) : context_(context), node_(node) {}
  void set_epilogue(std::optional<std::size_t> scale, std::optional<std::size_t> bias,
                    std::span<const Rider> riders);

 private:
  friend class Epilogue;
  Step new_step() const;
  void clear_padding_behind(Step& step) const;
  void finish(Step step);

  LoweringContext& context_;
  NodeId node_;
  std::vector<std::pair<BufferId, BufferId>> over_;  // (output, the operand it may replace)
  std::vector<BufferId> begun_;                      // outputs that hold a copy already
  std::optional<std::size_t> scale_, bias_;
  std::span<const Rider> riders_;
};

/// What `ride` appends to.
class Epilogue {
 public:
  void eltwise(dnnl::algorithm algorithm, float a, float b);
  /// True for a primitive that knows no ops but an addition and a plain relu (Winograd's).
  bool is_limited() const noexcept { return is_limited_; }
  /// chain = algorithm(chain, other input of the rider).
  void binary(dnnl::algorithm algorithm);

 private:
  friend class Lowering;
  friend std::optional<std::string> epilogue_fault(std::span<const Rider> riders);
  Epilogue(const Lowering& lowering, const Layout& output, std::span<const Rider> riders,
           bool is_limited);
  /// Of the elementwise operations alone.
  explicit Epilogue(std::span<const Rider> riders);

  struct Operation {
    dnnl::algorithm algorithm;
    float a = 0, b = 0;  // of an eltwise
    struct Other {
      std::size_t input;
      bool is_whole;
      Layout layout;
    };
    std::optional<Other> other{};  // of a binary
  };
  const Lowering* lowering_ = nullptr;
  const Layout* output_ = nullptr;
  bool is_limited_ = false;
  const Rider* rider_ = nullptr;
  std::vector<Operation> operations_;
};

/// Why a primitive cannot be trusted with all of these, for this version of oneDNN; nothing if no
/// fault of it is known.
std::optional<std::string> epilogue_fault(std::span<const Rider> riders);

/// Typed views of what a Kernel gets.
template <class T>
const T* as(const std::byte* p) {
  return reinterpret_cast<const T*>(p);
}
template <class T>
T* as(std::byte* p) {
  return reinterpret_cast<T*>(p);
}

}  // namespace weft
