// A program of somebody who has installed Weft: d(x^3)/dx at 2.
#include <cstdio>

#include "autodiff/gradients.hpp"
#include "ops/ops.hpp"
#include "runtime/compile.hpp"

int main() {
  weft::Graph graph;
  const weft::Value x = graph.input({weft::DType::f32, {}}, "x");
  const weft::Value slope = weft::gradients(x * x * x, {x})[0];
  std::printf("%g\n",
              weft::compile({slope}).run({{"x", weft::Tensor::scalar(2.0f)}})[0].item<float>());
}
