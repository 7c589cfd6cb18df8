#include "runtime/elementwise.hpp"

#include <algorithm>
#include <cstring>

namespace weft {
namespace {

// Floats of every value that one pass over the code handles: small enough that two dozen live
// values stay in a first-level cache of 32 KiB, large enough that the calls cost little.
constexpr std::size_t block = 256;

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
  std::vector<bool> single;              // by input: one element for all
  std::uint32_t register_count = 0;
};

Compiled compile_region(const Region& region, std::vector<bool> single) {
  Compiled result;
  result.single = std::move(single);
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
  return result;
}

/// Runs the code over elements [first, last). Outputs are stored after a block's code has run,
/// since they may lie over inputs that the code still reads.
void run(const Compiled& region, std::span<const std::byte* const> reads,
         std::span<std::byte* const> writes, std::size_t first, std::size_t last) {
  alignas(64) float registers[Region::max_ops][block];
  alignas(64) float spread[Region::max_singles][block];
  const float* inputs[Region::max_inputs] = {};
  std::size_t spread_count = 0;
  for (std::size_t i = 0; i < region.single.size(); ++i) {
    if (!region.single[i]) continue;
    std::fill_n(spread[spread_count], std::min(block, last - first), as<float>(reads[i])[0]);
    inputs[i] = spread[spread_count++];
  }
  for (std::size_t start = first; start < last; start += block) {
    const std::size_t count = std::min(block, last - start);
    for (std::size_t i = 0; i < region.single.size(); ++i) {
      if (!region.single[i]) inputs[i] = as<float>(reads[i]) + start;
    }
    for (const auto& instruction : region.code) {
      const float* arguments[4] = {};
      for (std::size_t k = 0; k < instruction.arguments.size(); ++k) {
        const std::size_t argument = instruction.arguments[k];
        arguments[k] = argument < region.single.size()
                           ? inputs[argument]
                           : registers[region.registers[argument - region.single.size()]];
      }
      instruction.function.run(instruction.function, arguments, registers[instruction.target],
                               count);
    }
    for (std::size_t o = 0; o < writes.size(); ++o) {
      std::memcpy(as<float>(writes[o]) + start, registers[region.outputs[o]],
                  count * sizeof(float));
    }
  }
}

}  // namespace

void lower_region(Lowering& l, const Region& region) {
  const Type& type = l.output(0);
  const auto elements = static_cast<std::size_t>(type.shape.elements());
  std::vector<bool> single;
  for (std::size_t i = 0; i < l.input_count(); ++i) {
    single.push_back(l.input(i).shape.elements() == 1 && elements != 1);
  }
  // A layout with padding is left alone: the code need not keep zeros zero.
  Layout layout = row_major(type);
  for (std::size_t i = 0; i < l.input_count(); ++i) {
    if (single[i] || l.flexible(i)) continue;
    const Layout candidate = l.layout(i);
    if (onednn::padded_elements(candidate.md) != elements) continue;
    layout = candidate;
    if (!candidate.is_plain()) break;  // prefer one that somebody chose
  }
  std::vector<Operand> reads, writes;
  for (std::size_t i = 0; i < l.input_count(); ++i) {
    reads.push_back(single[i] ? l.read_row_major(i) : l.read(i, layout));
  }
  for (std::size_t o = 0; o < region.outputs.size(); ++o) {
    writes.push_back(l.write(o, layout));
    for (std::size_t i = 0; i < reads.size(); ++i) {
      if (!single[i]) l.allow_over(writes[o], reads[i]);
    }
  }
  l.step(reads, writes, elements,
         [compiled = compile_region(region, std::move(single))](
             auto in, auto out, std::size_t first, std::size_t last) {
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
