// What is behind an Executable. Included by .cpp files only.
#pragma once

#include <chrono>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "runtime/executable.hpp"
#include "runtime/plan.hpp"
#include "runtime/variables.hpp"

namespace weft {

/// One instance of a plan: an arena, and every step's arguments with addresses filled in.
struct Executable::Impl {
  Impl(Plan plan, Variables variables, bool check_numbers, bool poison,
       std::set<std::string> unused_inputs);
  ~Impl();

  void bind_feed(std::size_t index, std::byte* memory);
  void bind_result(std::size_t index, std::byte* memory);
  void run();
  std::string profile_table() const;
  void write_trace(const std::string& path) const;
  std::size_t feed_index(const std::string& name) const;

  std::shared_ptr<const Plan> plan;
  Variables variables;  // keeps the store alive
  bool check_numbers = false, poison = false;
  std::set<std::string> unused_inputs;  // of the graph, but nothing wanted needs them
  Statistics statistics;

  std::vector<Tensor> inputs, outputs;  // for step(); made when first asked for
  bool stepping = false;                // do inputs and outputs lie there now?

  // Profile.
  bool profiling = false;
  using Clock = std::chrono::steady_clock;
  struct Time {
    Clock::duration total{}, last{};
    Clock::time_point start{};
    std::size_t calls = 0;
  };
  std::vector<Time> times;

 private:
  struct Bound {  // a step with addresses
    std::vector<dnnl::memory> memories;
    std::vector<dnnl_exec_arg_t> arguments;
    std::vector<const std::byte*> reads;
    std::vector<std::byte*> writes;
  };
  struct Place {  // where an address is kept
    enum class In : std::uint8_t { reads, writes, memories } in;
    std::size_t step, index;
  };
  void bind(BufferId root, std::byte* memory);
  std::byte* own_address(const Buffer& buffer);
  void execute(std::size_t step);
  void check(std::size_t step) const;

  Tensor arena_;
  dnnl::stream stream_;
  std::vector<Bound> bound_;
  std::vector<BufferId> feed_buffers_;
  std::vector<BufferId> result_buffers_;
  std::vector<std::byte*> addresses_;       // by buffer, of those that do not share
  std::vector<std::vector<Place>> places_;  // likewise: of the buffer and those that share it
};

}  // namespace weft
