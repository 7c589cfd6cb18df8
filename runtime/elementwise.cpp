#include "runtime/elementwise.hpp"

#include <algorithm>
#include <cstring>

namespace weft {
namespace {

// Floats of every value that one pass over the code handles: small enough that two dozen live
// values stay in a first-level cache of 32 KiB, large enough that the calls cost little.
constexpr std::size_t block = 256;

/// How an input is read: element by element, or one number for all, or one for each channel.
enum class Reading : std::uint8_t { whole, single, channels };

/// A region with a register for each result; a register is used again after its last reader.
struct Compiled {
  struct Instruction {
    Elementwise function;
    std::vector<std::uint32_t> arguments;  // as in RegionOp
    std::uint32_t target = 0;              // register
  };
  std::vector<Instruction> code;
  std::vector<std::uint32_t> registers;  // by result: where it is
  std::vector<std::uint32_t> outputs;    // by output: register
  std::size_t last_output = 0;           // the output that the last instruction makes, if any
  std::vector<Reading> readings;         // by input
  ChannelPlanes planes;                  // if an input is one number per channel, or for padding
  std::size_t channels = 0;              // without those that fill up the last block
  bool is_padded = false;
  std::uint32_t register_count = 0;
};

Compiled compile_region(const Region& region, std::vector<Reading> readings) {
  Compiled result;
  result.readings = std::move(readings);
  const std::size_t inputs = region.input_count;
  constexpr std::size_t forever = std::size_t(-1);
  std::vector<std::size_t> last_use(region.code.size(), 0);
  for (std::size_t i = 0; i < region.code.size(); ++i) {
    for (const auto argument : region.code[i].arguments) {
      if (argument >= inputs) last_use[argument - inputs] = i;
    }
  }
  for (const auto output : region.outputs) last_use[output] = forever;
  std::vector<std::uint32_t> free;
  for (std::size_t i = 0; i < region.code.size(); ++i) {
    // A kernel may write over what it reads, so registers that die here can be its target.
    for (const auto argument : region.code[i].arguments) {
      if (argument < inputs || last_use[argument - inputs] != i) continue;
      const std::uint32_t dead = result.registers[argument - inputs];
      if (std::ranges::count(free, dead) == 0) free.push_back(dead);
    }
    std::uint32_t target = result.register_count;
    if (!free.empty()) {
      target = free.back();
      free.pop_back();
    } else {
      ++result.register_count;
    }
    result.registers.push_back(target);
    result.code.push_back({region.code[i].op.elementwise(), region.code[i].arguments, target});
    if (last_use[i] == 0) free.push_back(target);  // a result that nobody reads
  }
  for (const auto output : region.outputs) result.outputs.push_back(result.registers[output]);
  result.last_output = static_cast<std::size_t>(
      std::ranges::find(region.outputs, region.code.size() - 1) - region.outputs.begin());
  return result;
}

/// What a loop over elements reads of inputs with one number per channel: a copy, repeated over a
/// block and as much more as a block may begin behind the first channel. Where there are more
/// channels than a block has elements, the input itself serves.
class ChannelInputs {
 public:
  ChannelInputs(const Compiled& region, std::span<const std::byte* const> reads)
      : region_(region), planes_(region.planes) {
    for (std::size_t i = 0; i < reads.size(); ++i) {
      if (region.readings[i] != Reading::channels) continue;
      inputs_[count_] = i;
      sources_[count_++] = as<float>(reads[i]);
    }
  }

  /// How many of the `count` elements from `start` on can be one block.
  std::size_t block_length(std::size_t start, std::size_t count) const {
    if (count_ == 0 && !region_.is_padded) return count;
    count = std::min(count, planes_.plane_elements() - start % planes_.plane_elements());
    return repeats() ? count : std::min(count, planes_.width - start % planes_.width);
  }

  /// Sets inputs[i] to what the block from `start` on reads.
  void read(std::size_t start, const float** inputs) {
    if (count_ == 0) return;
    const std::size_t plane = start / planes_.plane_elements();
    const std::size_t first = planes_.first_channel(plane), offset = start % planes_.width;
    if (plane != plane_ && repeats()) {
      plane_ = plane;
      const std::size_t length = std::min(block, planes_.plane_elements()) + planes_.width;
      const std::size_t channels = std::min(planes_.width, region_.channels - first);
      for (std::size_t k = 0; k < count_; ++k) {
        std::fill(std::copy_n(sources_[k] + first, channels, repeated_[k]),
                  repeated_[k] + planes_.width, 0.0f);
        repeat(repeated_[k], length);
      }
    }
    for (std::size_t k = 0; k < count_; ++k) {
      inputs[inputs_[k]] = (repeats() ? repeated_[k] : sources_[k] + first) + offset;
    }
  }

  /// Padding is zero, and other code relies on that.
  void clear_padding(std::size_t start, std::size_t count, float* out) const {
    const std::size_t first = planes_.first_channel(start / planes_.plane_elements());
    if (first + planes_.width <= region_.channels) return;
    // Pixel by pixel, of which the first and the last may be cut.
    const std::size_t channels = region_.channels - first, cut = start % planes_.width;
    for (std::size_t pixel = 0; pixel < cut + count; pixel += planes_.width) {
      const std::size_t from = std::max(pixel + channels, cut),
                        to = std::min(pixel + planes_.width, cut + count);
      if (from < to) std::fill(out + (from - cut), out + (to - cut), 0.0f);
    }
  }

 private:
  bool repeats() const { return planes_.width <= block; }

  /// Fills `length` numbers with the first planes_.width of them.
  void repeat(float* to, std::size_t length) const {
    for (std::size_t done = planes_.width; done < length;) {
      const std::size_t more = std::min(done, length - done);
      std::copy_n(to, more, to + done);
      done += more;
    }
  }

  const Compiled& region_;
  const ChannelPlanes& planes_;
  std::size_t count_ = 0, plane_ = std::size_t(-1);
  std::size_t inputs_[Region::max_channels] = {};
  const float* sources_[Region::max_channels] = {};
  alignas(64) float repeated_[Region::max_channels][2 * block];
};

// The ops of a block run one after another, so that the processor does not look far ahead by
// itself. Floats: far enough for memory to answer.
constexpr std::size_t prefetch_distance = 4 * block;

/// Asks for a block, into the second-level cache.
void prefetch(const float* from) {
  constexpr std::size_t cache_line = 16;  // floats
  for (std::size_t k = 0; k < block; k += cache_line) __builtin_prefetch(from + k, 0, 2);
}

/// Runs the code over elements [first, last). Outputs are stored after a block's code has run,
/// since they may lie over inputs that the code still reads; what the last instruction makes can be
/// stored at once.
void run(const Compiled& region, std::span<const std::byte* const> reads,
         std::span<std::byte* const> writes, std::size_t first, std::size_t last) {
  alignas(64) float registers[Region::max_ops][block];
  alignas(64) float spread[Region::max_singles][block];
  ChannelInputs channels(region, reads);
  const float* inputs[Region::max_inputs] = {};
  std::size_t spread_count = 0;
  for (std::size_t i = 0; i < reads.size(); ++i) {
    if (region.readings[i] != Reading::single) continue;
    std::fill_n(spread[spread_count], std::min(block, last - first), as<float>(reads[i])[0]);
    inputs[i] = spread[spread_count++];
  }
  for (std::size_t start = first, count = 0; start < last; start += count) {
    count = channels.block_length(start, std::min(block, last - start));
    channels.read(start, inputs);
    for (std::size_t i = 0; i < reads.size(); ++i) {
      if (region.readings[i] != Reading::whole) continue;
      inputs[i] = as<float>(reads[i]) + start;
      prefetch(inputs[i] + prefetch_distance);
    }
    for (std::size_t k = 0; k < region.code.size(); ++k) {
      const auto& instruction = region.code[k];
      const float* arguments[4] = {};
      for (std::size_t a = 0; a < instruction.arguments.size(); ++a) {
        const std::size_t argument = instruction.arguments[a];
        arguments[a] = argument < reads.size()
                           ? inputs[argument]
                           : registers[region.registers[argument - reads.size()]];
      }
      const bool stores = k + 1 == region.code.size() && region.last_output < writes.size();
      float* target =
          stores ? as<float>(writes[region.last_output]) + start : registers[instruction.target];
      instruction.function.run(instruction.function, arguments, target, count);
    }
    for (std::size_t o = 0; o < writes.size(); ++o) {
      if (o == region.last_output) continue;
      std::memcpy(as<float>(writes[o]) + start, registers[region.outputs[o]],
                  count * sizeof(float));
    }
    if (!region.is_padded) continue;
    for (std::byte* out : writes) channels.clear_padding(start, count, as<float>(out) + start);
  }
}

Reading reading_of(const Type& input, const Type& full) {
  if (input.shape.elements() == full.shape.elements()) return Reading::whole;
  return input.shape.elements() == 1 ? Reading::single : Reading::channels;
}

/// See lower_region.
Layout layout_for(const Lowering& l, const std::vector<Reading>& readings, const Type& type) {
  const auto elements = static_cast<std::size_t>(type.shape.elements());
  const bool needs_channels = std::ranges::count(readings, Reading::channels) > 0;
  Layout layout = row_major(type);
  for (std::size_t i = 0; i < l.input_count(); ++i) {
    if (readings[i] != Reading::whole || l.flexible(i)) continue;
    const Layout candidate = l.layout(i);
    const bool is_padded = onednn::padded_elements(candidate.md) != elements;
    if ((is_padded || needs_channels) && !channel_planes(candidate, type)) continue;
    layout = candidate;
    if (!candidate.is_plain()) break;  // prefer one that somebody chose
  }
  return layout;
}

}  // namespace

void lower_region(Lowering& l, const Region& region) {
  const Type& type = l.output(0);
  std::vector<Reading> readings;
  for (std::size_t i = 0; i < l.input_count(); ++i)
    readings.push_back(reading_of(l.input(i), type));
  const Layout layout = layout_for(l, readings, type);
  std::vector<Operand> reads, writes;
  for (std::size_t i = 0; i < l.input_count(); ++i) {
    reads.push_back(readings[i] == Reading::whole ? l.read(i, layout) : l.read_row_major(i));
  }
  for (std::size_t o = 0; o < region.outputs.size(); ++o) {
    writes.push_back(l.write(o, layout));
    for (std::size_t i = 0; i < reads.size(); ++i) {
      if (readings[i] == Reading::whole) l.allow_over(writes[o], reads[i]);
    }
  }
  Compiled compiled = compile_region(region, std::move(readings));
  const std::size_t elements = onednn::padded_elements(layout.md);
  if (const auto planes = channel_planes(layout, type)) {
    compiled.planes = *planes;
    compiled.channels = static_cast<std::size_t>(type.shape[-1]);
    compiled.is_padded = elements != static_cast<std::size_t>(type.shape.elements());
  }
  l.step(reads, writes, elements,
         [compiled = std::move(compiled)](auto in, auto out, std::size_t first, std::size_t last) {
           run(compiled, in, out, first, last);
         });
}

void lower_elementwise(Lowering& l, const Op& op) {
  Region region{.input_count = l.input_count()};
  RegionOp only{.op = op};
  for (std::uint32_t i = 0; i < region.input_count; ++i) only.arguments.push_back(i);
  region.code.push_back(std::move(only));
  region.outputs = {0};
  lower_region(l, region);
}

}  // namespace weft
