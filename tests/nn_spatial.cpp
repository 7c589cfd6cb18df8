// The spatial layers: shapes, values, gradients, and what they say of mistakes.
#include <cmath>

#include "nn/layers.hpp"
#include "ops/ops.hpp"
#include "tests/nn_testing.hpp"

namespace weft::test {

TEST_CASE("spatial: an activity regularizer adds its part of the batch's mean to the loss") {
  for (const float share : {1.0f, 0.25f}) {
    Graph graph;
    Variables variables;
    nn::Trace trace{graph, variables, 0, true, share == 1 ? 1u : 4u, share};
    nn::Scope scope(trace);
    const Value y = graph.input({DType::f32, {2, 3}}, "y");
    CHECK(nn::with_activity_loss(scope, y, {}) == y);
    CHECK(trace.losses.empty());
    CHECK(nn::with_activity_loss(scope, y, nn::L2{0.5}) == y);
    REQUIRE(trace.losses.size() == 1);
    // 0.5 * (1 + 4 + 9 + 16 + 25 + 36) / 2 rows
    const Array numbers({2, 3}, {1, -2, 3, -4, 5, -6});
    check_close(evaluate({trace.losses[0]}, {{"y", numbers}})[0].data, {share * 22.75});
  }
}

}  // namespace weft::test
