// What the tests of nn/ share.
#pragma once

#include <doctest/doctest.h>

#include <string>
#include <unordered_map>
#include <vector>

#include "graph/evaluate.hpp"
#include "nn/nn.hpp"
#include "tests/messages.hpp"

namespace weft::test {

/// A function of two inputs, in double precision: f(prediction, target).
template <class F>
Array evaluate_pair(F f, const Array& prediction, const Array& target,
                    DType target_type = DType::f32) {
  Graph graph;
  const Value p = graph.input({DType::f32, prediction.shape}, "p");
  const Value t = graph.input({target_type, target.shape}, "t");
  return evaluate({f(p, t)}, {{"p", prediction}, {"t", target}})[0];
}

inline void check_close(const std::vector<double>& got, const std::vector<double>& wanted,
                        double tolerance = 1e-6) {
  REQUIRE(got.size() == wanted.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    CAPTURE(i);
    CHECK(got[i] == doctest::Approx(wanted[i]).epsilon(tolerance));
  }
}

}  // namespace weft::test
