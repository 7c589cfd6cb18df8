// Denormal numbers are zero while steps run, in whatever thread they do, and nowhere else.
#include "runtime/denormals.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <cmath>
#include <stdexcept>

#include "ops/ops.hpp"
#include "runtime/compile.hpp"

namespace weft {
namespace {

constexpr float denormal = 1e-40f;

std::uint64_t mode() { return FlushDenormals::bits() & FlushDenormals::flush; }

/// Enough elements that two threads share them.
Tensor denormals(std::int64_t rows) { return Tensor::full({rows, 65536}, denormal); }

Executable product(const CompileOptions& options, std::int64_t rows) {
  Graph graph;
  const Value x = graph.input({DType::f32, {rows, 65536}}, "x");
  const Value one = graph.input({DType::f32, {}}, "one");
  return compile({x * one}, options);
}

TEST_CASE("denormals: are zero in a run, in all its threads, and the caller's mode comes back") {
  if (FlushDenormals::flush == 0) return;  // this processor knows no such mode
  for (const Split& split : {Split{1, 1}, Split{1, 2}, Split{2, 1}, Split{2, 2}}) {
    CAPTURE(split.replicas);
    CAPTURE(split.threads);
    Executable executable = product({.replicas = split.replicas, .threads = split.threads}, 2);
    const auto rows = static_cast<std::int64_t>(2 * split.replicas);
    const Tensor out = executable.run({{"x", denormals(rows)}, {"one", Tensor::scalar(1.0f)}})[0];
    for (const float number : out.data<float>()) REQUIRE(number == 0);
    CHECK(mode() == 0);
    // Another mode of the caller's is kept as well.
    FlushDenormals::set(FlushDenormals::flush);
    executable.step();
    CHECK(mode() == FlushDenormals::flush);
    FlushDenormals::set(0);
  }
}

TEST_CASE("denormals: the caller's mode comes back when a run fails") {
  for (const std::size_t replicas : {1, 2}) {
    Executable executable = product({.replicas = replicas, .threads = 2}, 1);
    std::atomic<std::size_t> flushing{0};
    const auto prepare = [&](std::size_t replica) {
      if (mode() == FlushDenormals::flush) ++flushing;
      if (replica + 1 == replicas) throw std::runtime_error("no rows");
    };
    CHECK_THROWS_WITH(executable.step(prepare), "no rows");
    CHECK(flushing == replicas);
    CHECK(mode() == 0);
  }
}

TEST_CASE("denormals: what decays becomes zero") {
  if (FlushDenormals::flush == 0) return;
  Graph graph;
  const Value moment = graph.variable({DType::f32, {100}}, "moment");
  Variables variables;
  variables.set("moment", Tensor::full({100}, 1));
  Executable executable = compile({}, variables, {.updates = {{moment, moment * 0.5f}}});
  for (int step = 0; step < 160; ++step) {
    executable.step();
    const float now = variables.get("moment").data<float>()[0];
    REQUIRE(std::fpclassify(now) != FP_SUBNORMAL);
  }
  CHECK(variables.get("moment").data<float>()[0] == 0);
}

}  // namespace
}  // namespace weft
