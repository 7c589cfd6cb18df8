#include "runtime/lowering.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <shared_mutex>

#include "graph/print.hpp"
#include "runtime/lowering_context.hpp"

namespace weft {

bool Layout::is_plain() const { return onednn::same_memory(md, plain); }

Layout row_major(const Type& type) {
  const auto md = onednn::row_major(type);
  return {md, md};
}

Layout named(const Type& type, std::span<const int> axes) {
  const auto all = strides_of(type.shape);
  onednn::Dims sizes, strides;
  for (const int axis : axes) {
    sizes.push_back(type.shape[axis]);
    strides.push_back(all[static_cast<std::size_t>(axis)]);
  }
  return strided(type.dtype, sizes, strides);
}

Layout named(const Type& type, std::initializer_list<int> axes) {
  return named(type, std::span(axes.begin(), axes.size()));
}

Layout strided(DType dtype, const onednn::Dims& sizes, const onednn::Dims& strides) {
  const onednn::Desc md(sizes, onednn::data_type(dtype), strides);
  return {md, md};
}

Layout with(const Layout& layout, const onednn::Desc& chosen) { return {chosen, layout.plain}; }

std::optional<Layout> renamed(const Layout& layout, const Layout& names) {
  if (onednn::same_memory(layout.plain, names.plain)) return Layout{layout.md, names.plain};
  if (layout.is_plain()) return Layout{names.plain, names.plain};
  return std::nullopt;
}

std::optional<Layout> broadcast_like(const Layout& full, const Shape& shape, const Type& operand) {
  const onednn::Dims sizes = onednn::dims(full.plain), strides = onednn::strides(full.plain);
  if (sizes.size() != shape.rank() || operand.shape.rank() > shape.rank()) return std::nullopt;
  const auto own = strides_of(shape);
  const auto operand_strides = strides_of(operand.shape);
  const std::size_t missing = shape.rank() - operand.shape.rank();
  std::vector<bool> taken(shape.rank());
  onednn::Dims result_sizes, result_strides;
  for (std::size_t d = 0; d < sizes.size(); ++d) {
    // Axis d of the layout is the free axis of the shape with its size and stride; axes of size 1
    // are all alike.
    std::size_t axis = 0;
    while (axis < shape.rank() && (taken[axis] || shape.begin()[axis] != sizes[d] ||
                                   (sizes[d] != 1 && own[axis] != strides[d]))) {
      ++axis;
    }
    if (axis == shape.rank()) return std::nullopt;
    taken[axis] = true;
    const bool present = axis >= missing;
    result_sizes.push_back(present ? operand.shape.begin()[axis - missing] : 1);
    result_strides.push_back(present ? operand_strides[axis - missing] : 1);
  }
  return strided(operand.dtype, result_sizes, result_strides);
}

std::optional<ChannelPlanes> channel_planes(const Layout& layout, const Type& type) {
  if (type.shape.rank() == 0 || type.shape.elements() == 0) return std::nullopt;
  if (layout.is_plain()) {
    const auto width = static_cast<std::size_t>(type.shape[-1]);
    return ChannelPlanes{.pixels = static_cast<std::size_t>(type.shape.elements()) / width,
                         .width = width};
  }
  if (type.shape.rank() != 4) return std::nullopt;
  const auto image = renamed(layout, named(type, {0, 3, 1, 2}));
  const auto found = image ? onednn::channel_blocks(image->md) : std::nullopt;
  if (!found) return std::nullopt;
  const std::int64_t pixels = type.shape[1] * type.shape[2];
  const bool has_gaps = found->column != found->width ||
                        found->row != type.shape[2] * found->width ||
                        (found->count > 1 && found->block != pixels * found->width) ||
                        found->sample != found->count * pixels * found->width;
  if (has_gaps) return std::nullopt;
  const auto size = [](std::int64_t n) { return static_cast<std::size_t>(n); };
  return ChannelPlanes{size(type.shape[0] * found->count), size(pixels), size(found->width),
                       size(found->count)};
}

bool is_per_channel(const Type& b, const Type& full) {
  return b.shape.rank() >= 1 && full.shape.rank() >= 1 && b.shape[-1] == full.shape[-1] &&
         b.shape.elements() == full.shape[-1];
}

// ---- LoweringContext

BufferId LoweringContext::add_buffer(Buffer buffer) {
  if (buffer.bytes == 0) buffer.bytes = buffer.layout.md.get_size();
  plan_.buffers.push_back(std::move(buffer));
  flexible_.push_back(false);
  return static_cast<BufferId>(plan_.buffers.size() - 1);
}

void LoweringContext::place(NodeId node, std::uint32_t port, Operand operand) {
  auto& places = places_[node];
  if (places.size() <= port) places.resize(program_.graph[node].outputs.size());
  places[port] = std::move(operand);
}

bool LoweringContext::flexible(const Operand& operand) const { return flexible_[operand.buffer]; }

void LoweringContext::lower_leaf(NodeId id) {
  const Node& node = program_.graph[id];
  const Type& type = node.outputs[0];
  Buffer buffer{.layout = row_major(type), .name = node.name};
  if (const auto* input = node.op.as<Input>()) {
    buffer.kind = Buffer::Kind::feed;
    buffer.index = plan_.feeds.size();
    if (!feed_names_.insert(input->label).second) {
      fail<CompileError>("compile: two inputs are named \"{}\"", input->label);
    }
    plan_.feeds.push_back(input->label);
    plan_.feed_types.push_back(type);
    place(id, 0, {add_buffer(buffer), buffer.layout});
  } else if (const auto* variable = node.op.as<Variable>()) {
    auto* entry = variables_.find(variable->label);
    if (entry == nullptr) {
      fail<CompileError>("compile: variable \"{}\" ({}) has no value; set it in Variables first",
                         variable->label, type);
    }
    if (entry->type != type) {
      fail<CompileError>("compile: variable \"{}\" is {} in the graph, but {} in Variables",
                         variable->label, type, entry->type);
    }
    auto [known, is_new] = variable_buffers_.try_emplace(variable->label, BufferId{0});
    if (is_new) {
      const std::shared_lock lock(*entry->lock);
      buffer.kind = Buffer::Kind::variable;
      buffer.name = variable->label;
      if (entry->layout) buffer.layout = *entry->layout;
      known->second = add_buffer(buffer);
      flexible_[known->second] = !entry->layout.has_value();
    }
    place(id, 0, {known->second, plan_.buffers[known->second].layout});
  } else if (const auto* constant = node.op.as<Constant>()) {
    buffer.kind = Buffer::Kind::constant;
    buffer.memory = constant->tensor;
    const BufferId added = add_buffer(buffer);
    flexible_[added] = true;
    place(id, 0, {added, buffer.layout});
  }
}

Layout LoweringContext::layout_of_sum(const Type& type, const Layout& own) {
  Layout layout = own;
  const std::size_t k = plan_.sums.size();
  if (sibling_ != nullptr && k < sibling_->sums.size() && sibling_->sums[k].type == type) {
    layout = sibling_->sums[k].layout;
  }
  plan_.sums.push_back({type, layout});
  return layout;
}

Operand LoweringContext::reorder(const Operand& from, const Layout& to) {
  for (const Reordered& known : reordered_[from.buffer]) {
    if (onednn::same_memory(known.layout.md, to.md) &&
        onednn::same_memory(known.layout.plain, to.plain)) {
      return {known.to, to};
    }
  }
  const BufferId added = add_buffer({.layout = to, .name = plan_.buffers[from.buffer].name});
  const auto pd = onednn::try_to("reorder", [&] {
    return dnnl::reorder::primitive_desc(onednn::engine(), from.layout.md, onednn::engine(), to.md,
                                         Lowering::attr());
  });
  Step step{.label = "reorder", .detail = onednn::implementation(pd), .is_reorder = true};
  step.primitive = dnnl::primitive(pd.get());
  step.reads = {from.buffer};
  step.writes = {added};
  step.arguments = {{DNNL_ARG_SRC, from.buffer, from.layout.md}, {DNNL_ARG_DST, added, to.md}};
  if (const auto scratch = pd.scratchpad_desc(); scratch.get_size() > 0) {
    const BufferId pad = add_buffer({.layout = {scratch, scratch}, .name = "scratchpad"});
    step.scratch.push_back(pad);
    step.arguments.push_back({DNNL_ARG_SCRATCHPAD, pad, scratch});
  }
  plan_.steps.push_back(std::move(step));
  reordered_[from.buffer].push_back({to, added});
  return {added, to};
}

Operand LoweringContext::convert(const Operand& have, const Layout& wanted) {
  if (flexible_[have.buffer]) {
    // Nobody has read it yet, so it becomes what this reader wants. A constant is moved now, a
    // variable in the store, for this and every later executable.
    flexible_[have.buffer] = false;
    Buffer& buffer = plan_.buffers[have.buffer];
    buffer.layout = wanted;
    if (buffer.kind == Buffer::Kind::variable) {
      buffer.layout = variables_.choose(*variables_.find(buffer.name), wanted);
    } else if (!wanted.is_plain()) {
      Tensor memory(Type{DType::u8, {static_cast<std::int64_t>(wanted.md.get_size())}});
      reorder_now(wanted.plain, buffer.memory.bytes(), wanted.md, memory.bytes());
      buffer.memory = memory;
    }
    buffer.bytes = buffer.layout.md.get_size();
    const bool is_chosen = onednn::same_memory(buffer.layout.md, wanted.md) &&
                           onednn::same_memory(buffer.layout.plain, wanted.plain);
    if (is_chosen) return {have.buffer, wanted};
    // Another compile on these variables was first to choose, just now.
  }
  // Values that are placed already may be views of a buffer whose layout was chosen since.
  Operand from{have.buffer, have.layout};
  if (const Buffer& buffer = plan_.buffers[have.buffer];
      buffer.kind == Buffer::Kind::variable || buffer.kind == Buffer::Kind::constant) {
    from.layout = buffer.layout;
  }
  if (onednn::same_memory(from.layout.plain, wanted.plain)) {
    if (onednn::same_memory(from.layout.md, wanted.md)) return {from.buffer, wanted};
    return reorder(from, wanted);
  }
  if (!from.layout.is_plain()) {
    from = reorder(from, {from.layout.plain, from.layout.plain});
  }
  from.layout = {wanted.plain, wanted.plain};
  if (wanted.is_plain()) return {from.buffer, wanted};
  return reorder(from, wanted);
}

// ---- Lowering

namespace {

const Node& node_of(LoweringContext& context, NodeId id) { return context.program().graph[id]; }

}  // namespace

std::size_t Lowering::input_count() const { return node_of(context_, node_).inputs.size(); }
const Type& Lowering::input(std::size_t i) const {
  return node_of(context_, node_).inputs[i].type();
}
const Type& Lowering::output(std::size_t o) const { return node_of(context_, node_).outputs[o]; }

bool Lowering::output_used(std::size_t o) const {
  const Program& program = context_.program();
  const Value value = program.graph.value(node_, static_cast<std::uint32_t>(o));
  return !program.graph.uses(value).empty() || context_.is_output(value);
}

Layout Lowering::layout(std::size_t i) const {
  const Operand& operand = context_.place(node_of(context_, node_).inputs[i]);
  const Buffer& buffer = context_.plan().buffers[operand.buffer];
  const bool settled_later =
      buffer.kind == Buffer::Kind::variable || buffer.kind == Buffer::Kind::constant;
  return settled_later ? buffer.layout : operand.layout;
}

bool Lowering::flexible(std::size_t i) const {
  return context_.flexible(context_.place(node_of(context_, node_).inputs[i]));
}

bool Lowering::computed(std::size_t i) const {
  const Operand& operand = context_.place(node_of(context_, node_).inputs[i]);
  return context_.plan().buffers[operand.buffer].kind == Buffer::Kind::arena;
}

Operand Lowering::read(std::size_t i, const Layout& wanted) {
  return context_.convert(context_.place(node_of(context_, node_).inputs[i]), wanted);
}

Operand Lowering::write(std::size_t o, const Layout& layout) {
  const Operand operand{
      context_.add_buffer({.layout = layout, .name = node_of(context_, node_).name}), layout};
  context_.place(node_, static_cast<std::uint32_t>(o), operand);
  return operand;
}

Operand Lowering::write_over(std::size_t o, const Operand& in) {
  const Operand operand = write(o, in.layout);
  allow_over(operand, in);
  return operand;
}

Operand Lowering::write_copy(std::size_t o, const Operand& in) {
  const Operand out = write_over(o, in);
  Step copy = new_step();
  copy.label = "copy";
  copy.detail = "weft";
  copy.reads = {in.buffer};
  copy.writes = {out.buffer};
  copy.kernel = [bytes = in.layout.md.get_size()](auto from, auto to) {
    if (from[0] != to[0]) std::memcpy(to[0], from[0], bytes);
  };
  finish(std::move(copy));
  over_.pop_back();
  begun_.push_back(out.buffer);
  return out;
}

Operand Lowering::scratch(const Type& type) {
  const Layout layout = row_major(type);
  return {context_.add_buffer({.layout = layout, .name = "scratchpad"}), layout};
}

void Lowering::allow_over(const Operand& out, const Operand& in) {
  over_.emplace_back(out.buffer, in.buffer);
}

void Lowering::view(std::size_t o, std::size_t i) {
  const Operand operand = context_.place(node_of(context_, node_).inputs[i]);
  context_.place(node_, static_cast<std::uint32_t>(o), operand);
}

const Choices& Lowering::choices() const { return context_.choices(); }

void Lowering::view(std::size_t o, std::size_t i, const Layout& layout) {
  const Operand& operand = context_.place(node_of(context_, node_).inputs[i]);
  context_.place(node_, static_cast<std::uint32_t>(o), {operand.buffer, layout});
}

std::string Lowering::describe() const {
  const Node& node = node_of(context_, node_);
  const auto types = question().substr(node.op.name().size());
  const auto name = node.name.empty() ? "" : fmt::format(" \"{}\"", node.name);
  return fmt::format("{}{}:{}", node.op.name(), name, types);
}

std::string Lowering::question() const {
  const Node& node = node_of(context_, node_);
  std::string out(node.op.name());
  for (const Value& input : node.inputs) out += fmt::format(" {}", input.type());
  if (const auto attributes = node.op.attributes(); !attributes.empty()) out += " " + attributes;
  return out;
}

Step Lowering::new_step() const {
  Step step{.label = std::string(node_of(context_, node_).op.name())};
  step.node = node_;
  return step;
}

void Lowering::finish(Step step) {
  for (std::size_t w = 0; w < step.writes.size(); ++w) {
    for (const auto& [to, from] : over_) {
      const auto r = std::ranges::find(step.reads, from);
      if (step.writes[w] == to && r != step.reads.end()) {
        step.over.emplace_back(w, static_cast<std::size_t>(r - step.reads.begin()));
      }
    }
  }
  context_.plan().steps.push_back(std::move(step));
}

void Lowering::step(const dnnl::primitive_desc_base& pd, const Arguments& reads,
                    const Arguments& writes) {
  Step step = new_step();
  step.detail = onednn::implementation(pd);
  step.primitive = onednn::try_to(describe(), [&] { return dnnl::primitive(pd.get()); });
  for (const auto& [index, operand] : reads) {
    step.reads.push_back(operand.buffer);
    step.arguments.push_back({index, operand.buffer, operand.layout.md});
  }
  for (const auto& [index, operand] : writes) {
    step.writes.push_back(operand.buffer);
    step.arguments.push_back({index, operand.buffer, operand.layout.md});
  }
  // It must come behind the copy that it goes on from.
  for (const BufferId id : begun_) {
    if (std::ranges::count(step.writes, id) > 0) step.reads.push_back(id);
  }
  if (!onednn::keeps_padding(pd)) clear_padding_behind(step);
  if (const auto pad = pd.scratchpad_desc(); pad.get_size() > 0) {
    const BufferId scratch = context_.add_buffer({.layout = {pad, pad}, .name = "scratchpad"});
    step.scratch.push_back(scratch);
    step.arguments.push_back({DNNL_ARG_SCRATCHPAD, scratch, pad});
  }
  finish(std::move(step));
}

/// Padding is zero whenever a step is done (runtime/onednn.hpp).
void Lowering::clear_padding_behind(Step& step) const {
  std::vector<std::pair<std::size_t, onednn::Desc>> padded;
  for (std::size_t w = 0; w < step.writes.size(); ++w) {
    const onednn::Desc& md = context_.plan().buffers[step.writes[w]].layout.md;
    if (onednn::has_padding(md)) padded.emplace_back(w, md);
  }
  if (padded.empty()) return;
  step.behind = [padded = std::move(padded)](auto, auto writes) {
    for (const auto& [w, md] : padded) onednn::clear_padding(md, writes[w]);
  };
}

void Lowering::step(std::vector<Operand> reads, std::vector<Operand> writes, Kernel kernel) {
  Step step = new_step();
  step.detail = "weft";
  for (const Operand& operand : reads) step.reads.push_back(operand.buffer);
  for (const Operand& operand : writes) step.writes.push_back(operand.buffer);
  step.kernel = std::move(kernel);
  finish(std::move(step));
}

void Lowering::step(std::vector<Operand> reads, std::vector<Operand> writes, std::size_t elements,
                    RangeKernel kernel) {
  Step step = new_step();
  step.detail = "weft";
  for (const Operand& operand : reads) step.reads.push_back(operand.buffer);
  for (const Operand& operand : writes) step.writes.push_back(operand.buffer);
  step.range = std::move(kernel);
  step.elements = elements;
  finish(std::move(step));
}

void Lowering::all_reduce(std::size_t o, std::size_t i) {
  if (context_.plan().replicas == 1) return view(o, i);
  const Operand x = read(i, context_.layout_of_sum(input(i), layout(i)));
  const Operand y = write(o, x.layout);
  Step step = new_step();
  step.detail = "weft";
  step.reads = {x.buffer};
  step.writes = {y.buffer};
  step.all_reduce = true;
  step.elements = onednn::padded_elements(x.layout.md);
  finish(std::move(step));
}

void Lowering::sum_of_parts(std::size_t o, const Operand& x, std::size_t elements,
                            RangeKernel part) {
  const Operand y = write_row_major(o);
  const bool alone = context_.plan().replicas == 1;
  const Operand own = alone ? y : scratch(output(o));
  step({x}, {own}, elements, std::move(part));
  context_.plan().steps.back().makes_part = true;
  if (alone) return;
  context_.layout_of_sum(output(o), y.layout);
  Step sum = new_step();
  sum.detail = "weft";
  sum.reads = {own.buffer};
  sum.writes = {y.buffer};
  sum.all_reduce = true;
  sum.elements = 1;
  finish(std::move(sum));
}

// ---- Epilogues

dnnl::primitive_attr Lowering::attr() {
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attr;
}

void Lowering::set_epilogue(std::optional<std::size_t> scale, std::optional<std::size_t> bias,
                            std::span<const Rider> riders) {
  scale_ = scale;
  bias_ = bias;
  riders_ = riders;
}

Operand Lowering::read_scaled(std::size_t i, const Layout& wanted) {
  if (!scale_) return read(i, wanted);
  // A variable that nobody has read yet shall lie as it would without the factor.
  if (flexible(i)) read(i, wanted);
  // Row by row, and back: this is done once for many runs (passes/prologue.cpp).
  const Operand rows = read_row_major(i), factors = read_row_major(*scale_);
  const Operand scaled{context_.add_buffer({.layout = rows.layout, .name = "scaled"}), rows.layout};
  allow_over(scaled, rows);
  const auto width = static_cast<std::size_t>(input(i).shape[-1]);
  step({rows, factors}, {scaled}, static_cast<std::size_t>(input(i).shape.elements()),
       [width](auto in, auto out, std::size_t first, std::size_t last) {
         for (std::size_t k = first; k < last; ++k) {
           as<float>(out[0])[k] = as<float>(in[0])[k] * as<float>(in[1])[k % width];
         }
       });
  context_.plan().steps.back().label = "scale";
  return context_.convert(scaled, wanted);
}

std::optional<std::size_t> Lowering::bias() const { return bias_; }
bool Lowering::has_epilogue() const { return !riders_.empty(); }

Lowering::Attributes Lowering::epilogue(const Layout& output, bool accumulate) {
  const Epilogue epilogue(*this, output, riders_, accumulate);
  Attributes result{.attr = attr()};
  dnnl::post_ops ops;
  onednn::try_to(describe(), [&] {
    for (const auto& [algorithm, a, b, other] : epilogue.operations_) {
      if (!other) {
        onednn::append_eltwise(ops, algorithm, a, b);
      } else if (accumulate && other->is_whole && algorithm == dnnl::algorithm::binary_add &&
                 ops.len() == 0) {
        ops.append_sum(1.0f);
        result.accumulated = other->input;
      } else {
        ops.append_binary(algorithm, other->layout.md);
        const int argument = DNNL_ARG_ATTR_MULTIPLE_POST_OP(ops.len() - 1) | DNNL_ARG_SRC_1;
        result.operands.push_back({argument, other->input, other->layout});
      }
    }
    result.attr.set_post_ops(ops);
  });
  return result;
}

Operand Lowering::before_epilogue(const Layout& layout) {
  return {context_.add_buffer({.layout = layout, .name = node_of(context_, node_).name}), layout};
}

void Lowering::apply_epilogue(const Operand& made) {
  const Epilogue epilogue(*this, made.layout, riders_, false);
  const onednn::Desc& md = made.layout.md;
  Operand from = made;
  for (std::size_t i = 0; i < epilogue.operations_.size(); ++i) {
    // Not a structured binding: Clang 16 cannot capture one in a lambda when OpenMP is on.
    const auto& operation = epilogue.operations_[i];
    const bool is_last = i + 1 == epilogue.operations_.size();
    const Operand to = is_last ? write(0, made.layout) : before_epilogue(made.layout);
    allow_over(to, from);
    if (operation.other) {
      const auto pd = onednn::try_to(describe(), [&] {
        return onednn::forward<dnnl::binary>(attr(), operation.algorithm, md,
                                             operation.other->layout.md, md);
      });
      step(pd,
           {{DNNL_ARG_SRC_0, from},
            {DNNL_ARG_SRC_1, read(operation.other->input, operation.other->layout)}},
           {{DNNL_ARG_DST, to}});
    } else {
      const auto pd = onednn::try_to(describe(), [&] {
        return onednn::eltwise(attr(), operation.algorithm, md, operation.a, operation.b);
      });
      step(pd, {{DNNL_ARG_SRC, from}}, {{DNNL_ARG_DST, to}});
    }
    from = to;
  }
}

Lowering::Arguments Lowering::read(const Attributes& attributes) {
  Arguments arguments;
  for (const auto& [argument, input, layout] : attributes.operands) {
    arguments.emplace_back(argument, read(input, layout));
  }
  return arguments;
}

Epilogue::Epilogue(const Lowering& lowering, const Layout& output, std::span<const Rider> riders,
                   bool is_limited)
    : lowering_(&lowering), output_(&output), is_limited_(is_limited) {
  for (const Rider& rider : riders) {
    rider_ = &rider;
    rider.op.ride(*this, rider.through);
  }
}

Epilogue::Epilogue(std::span<const Rider> riders) {
  for (const Rider& rider : riders) rider.op.ride(*this, rider.through);
}

void Epilogue::eltwise(dnnl::algorithm algorithm, float a, float b) {
  operations_.push_back({algorithm, a, b});
}

void Epilogue::binary(dnnl::algorithm algorithm) {
  if (lowering_ == nullptr) return;
  const std::size_t input = rider_->operands.at(0);
  const Type& type = lowering_->input(input);
  const bool is_whole = type.shape == lowering_->output(0).shape;
  const std::optional<Layout> layout =
      is_whole ? *output_ : broadcast_like(*output_, lowering_->output(0).shape, type);
  if (!layout) {
    fail<CompileError>("{}: cannot broadcast {} in an epilogue", lowering_->describe(), type);
  }
  operations_.push_back(
      {.algorithm = algorithm, .other = Operation::Other{input, is_whole, *layout}});
}

std::optional<std::string> epilogue_fault(std::span<const Rider> riders) {
  const Epilogue epilogue(riders);
  std::vector<onednn::PostOp> appended;
  for (const auto& operation : epilogue.operations_) {
    appended.push_back({operation.algorithm, operation.a, operation.b});
  }
  return onednn::known_fault(appended);
}

}  // namespace weft
