// The compiler's passes, by text: print, run, print.
#include "runtime/passes/passes.hpp"

#include <doctest/doctest.h>

#include "autodiff/gradients.hpp"
#include "graph/evaluate.hpp"
#include "graph/print.hpp"
#include "graph/rewrite.hpp"
#include "graph/verify.hpp"
#include "ops/ops.hpp"

namespace weft {
namespace {

Program program_of(const std::vector<Value>& outputs) {
  return rewrite(outputs, [](const Rewriting&) { return std::nullopt; });
}

/// The program's ops in order, leaves left out.
std::string ops_of(const Program& program) {
  std::string out;
  for (NodeId id = 0; id < program.graph.size(); ++id) {
    if (program.graph[id].inputs.empty()) continue;
    out += (out.empty() ? "" : " ") + std::string(program.graph[id].op.name());
  }
  return out;
}

struct Fixture {
  Graph graph;
  Value x = graph.input({DType::f32, {2, 8, 8, 3}}, "x");
  Value kernel = graph.variable({DType::f32, {3, 3, 3, 4}}, "kernel");
  Value bias = graph.variable({DType::f32, {4}}, "bias");
  Value dense = graph.variable({DType::f32, {64, 5}}, "dense");
};

TEST_CASE_FIXTURE(Fixture, "prune: what no output needs is gone") {
  const Value wanted = relu(bias);
  exp(bias);
  CHECK(to_string(prune(program_of({wanted}))) ==
        "%0 = variable {name=bias} : f32[4]\n"
        "%1 = relu %0 : f32[4]\n"
        "return %1\n");
}

TEST_CASE_FIXTURE(Fixture, "simplify: neutral elements, and what undoes itself") {
  const auto simple = [](Value v) { return ops_of(simplify(program_of({v}))); };
  CHECK(simple(relu(bias * 1.0f + 0.0f)) == "relu");
  CHECK(simple(relu((bias / 1.0f) - 0.0f)) == "relu");
  CHECK(simple(pow(bias, 1.0f) * 2.0f) == "mul");
  CHECK(simple(pow(bias, 2.0f)) == "square");
  CHECK(simple(1.0f * bias + broadcast_to(graph.constant(3.0f), {4})) == "add");
  CHECK(simple(relu(sum(reshape(bias, {4, 1}), {1}))) == "relu");  // a sum over one element
  // 0 * x is not 0 where x is infinite.
  CHECK(simple(bias * 0.0f) == "mul");
  // Where the constant widens the result, it is not neutral.
  CHECK(simple(graph.constant(Tensor::full({3, 4}, 0)) + bias) == "add");
}

TEST_CASE_FIXTURE(Fixture, "simplify: relu moves behind the max-pool, with its gradient") {
  const Value y = max_pool2d(relu(conv2d(x, kernel)));
  const std::vector<Value> outputs{y, gradients(sum(square(y)), {kernel})[0]};
  const Program before = program_of(outputs), after = cse(simplify(program_of(outputs)));
  CHECK(ops_of(program_of({y})) == "conv2d relu max_pool2d");
  CHECK(ops_of(simplify(program_of({y}))) == "conv2d max_pool2d relu");
  for (NodeId id = 0; id < after.graph.size(); ++id) {
    if (after.graph[id].op.name() == "relu_grad") {
      CHECK(after.graph[id].outputs[0].shape == Shape{2, 3, 3, 4});  // pooled, not 6 by 6
    }
  }
  std::unordered_map<std::string, Array> feeds{{"x", Array({2, 8, 8, 3})},
                                               {"kernel", Array({3, 3, 3, 4})}};
  double number = 0.3;
  for (auto& [name, array] : feeds) {
    for (double& v : array.data) v = (number = 3.9 * number * (1 - number)) - 0.5;
  }
  const auto wanted = evaluate(before.outputs, feeds), got = evaluate(after.outputs, feeds);
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    for (std::size_t k = 0; k < wanted[i].data.size(); ++k) {
      CHECK(got[i].data[k] == doctest::Approx(wanted[i].data[k]).epsilon(1e-12));
    }
  }
}

TEST_CASE_FIXTURE(Fixture, "simplify: zeros around an image are the convolution's own padding") {
  const auto simple = [](Value v) { return to_string(prune(simplify(program_of({v})))); };
  const Value y = conv2d(pad(x, {0, 1, 2, 0}, {0, 3, 0, 0}), kernel, {.padding = {1, 0, 0, 1}});
  CHECK(simple(y).find("conv2d %0 %1 {stride=1,1 padding=2,3,2,1 ") != std::string::npos);
  const auto ops = [&](Value v) { return ops_of(prune(simplify(program_of({v})))); };
  CHECK(ops(gradients(sum(square(y)), {kernel})[0]).find("pad") == std::string::npos);
  CHECK(ops(conv2d(pad(x, {0, 1, 1, 0}, {0, 1, 1, 0}, 1.0f), kernel)) == "pad conv2d");  // ones
  CHECK(ops(conv2d(pad(x, {1, 0, 0, 0}, {0, 0, 0, 0}), kernel)) == "pad conv2d");        // samples
}

TEST_CASE_FIXTURE(Fixture, "join: a first layer's convolution and pooling, and their gradient") {
  const auto ops = [](const std::vector<Value>& outputs) {
    return ops_of(prune(join(cse(simplify(program_of(outputs))))));
  };
  const Value k = graph.variable({DType::f32, {3, 3, 3, 8}}, "k");
  const Value b = graph.variable({DType::f32, {8}}, "b");
  const Value image = conv2d(x, k), y = max_pool2d(relu(image + b));
  CHECK(ops({y}) == "conv2d_max_pool2d relu");
  CHECK(ops({y, gradients(sum(y), {k})[0]}).ends_with("conv2d_max_pool2d_kernel_grad"));
  // Someone else reads the image, it is pooled otherwise, or another kind of convolution makes it.
  CHECK(ops({y, image}) == "conv2d add max_pool2d relu");
  CHECK(ops({max_pool2d(image, {.window = {3, 3}, .stride = {3, 3}})}) == "conv2d max_pool2d");
  CHECK(ops({max_pool2d(conv2d(x, k, {.stride = {2, 2}}))}) == "conv2d max_pool2d");
  CHECK(ops({max_pool2d(conv2d(x, kernel))}) == "conv2d max_pool2d");  // 4 filters
  // The gradient of x needs the image's gradient whole.
  const Value dx = gradients(sum(square(y)), {x})[0];
  CHECK(ops({dx}).find("max_pool2d_grad") != std::string::npos);
}

TEST_CASE_FIXTURE(Fixture, "fold: constants are computed, scalars stay scalars") {
  const Value two = graph.constant(1.0f) + graph.constant(1.0f);
  CHECK(to_string(prune(fold(program_of({bias * two})))) ==
        "%0 = variable {name=bias} : f32[4]\n"
        "%1 = constant {value=2} : f32[]\n"
        "%2 = mul %0 %1 : f32[4]\n"
        "return %2\n");
  CHECK(ops_of(prune(fold(program_of({broadcast_to(two, {1000})})))) == "broadcast_to");
}

TEST_CASE_FIXTURE(Fixture, "cse: equal ops of equal inputs are one") {
  const Value first = exp(bias), second = exp(bias);
  const Value gentle = leaky_relu(bias, 0.1f), steep = leaky_relu(bias, 0.2f);
  CHECK(ops_of(cse(program_of({first * second, gentle * steep}))) ==
        "exp leaky_relu leaky_relu mul mul");
}

TEST_CASE_FIXTURE(Fixture, "share_sums: a bias' gradient comes with the kernel's") {
  const Value y = conv2d(x, kernel) + bias;
  const Value loss = sum(square(y));
  const Program before = program_of(gradients(loss, {kernel, bias}));
  CHECK(ops_of(before).find("sum") != std::string::npos);
  const Program after =
      prune(cse(share_sums(simplify(program_of(gradients(loss, {kernel, bias}))))));
  verify(after, "share_sums");
  CHECK(after.outputs[0].node() == after.outputs[1].node());
  CHECK(after.outputs[1].port() == 1);
}

TEST_CASE_FIXTURE(Fixture, "fuse: bias, activation and residual add become part of the producer") {
  const auto fused = [](Value v) { return ops_of(fuse(program_of({v}))); };
  CHECK(fused(relu(conv2d(x, kernel) + bias)) == "conv2d+add+relu");
  CHECK(fused(sigmoid(matmul(reshape(x, {6, 64}), dense))) == "reshape matmul+sigmoid");
  const Value other = graph.input({DType::f32, {2, 6, 6, 4}}, "other");
  CHECK(fused(relu(other + (conv2d(x, kernel) + bias))) == "conv2d+add+add+relu");
  // Two producers of one sum: one of them takes it.
  CHECK(fused(conv2d(x, kernel) + conv2d(x, kernel)) == "conv2d conv2d+add");
}

TEST_CASE_FIXTURE(Fixture, "fuse: what others read, or no step could do, stays apart") {
  const Value y = conv2d(x, kernel);
  CHECK(ops_of(fuse(program_of({relu(y), y}))) == "conv2d relu");
  CHECK(ops_of(fuse(program_of({relu(y + square(y))}))) == "conv2d square add relu");
  const Value per_sample = graph.input({DType::f32, {2, 1, 1, 1}}, "per_sample");
  CHECK(ops_of(fuse(program_of({y + sum(per_sample, {3}, Keep::axes)}))).find('+') ==
        std::string::npos);
  CHECK(ops_of(fuse(program_of({erf(y)}))) == "conv2d erf");
  const Value wider = graph.input({DType::f32, {3, 2, 6, 6, 4}}, "wider");
  CHECK(ops_of(fuse(program_of({y + wider}))) == "conv2d add");
}

TEST_CASE_FIXTURE(Fixture, "fuse: a fused node decomposes into what it was made of") {
  const Program program = fuse(program_of({relu(conv2d(x, kernel) + bias)}));
  verify(program, "fuse");
  const Program apart =
      rewrite(program, [](const Rewriting& r) -> std::optional<std::vector<Value>> {
        if (!r.node.op.has_decompose()) return std::nullopt;
        return r.node.op.decompose(r.inputs);
      });
  CHECK(ops_of(apart) == "conv2d add relu");
}

TEST_CASE_FIXTURE(Fixture, "islands: elementwise neighbours become one loop") {
  const Value m = graph.variable({DType::f32, {4}}, "m");
  const Value next = m + (square(bias) - m) * 0.1f;
  const Program program = islands(program_of({next, bias - next / (sqrt(next) + 1e-7f)}));
  verify(program, "islands");
  CHECK(ops_of(program) == "island");
  CHECK(program.outputs[0].node() == program.outputs[1].node());
}

TEST_CASE_FIXTURE(Fixture, "islands: a reader outside keeps them apart") {
  // sigmoid has no loop: it stands between the two, so they cannot be one node.
  const Value first = square(bias) + 1.0f;
  const Value y = sigmoid(first) * 2.0f + first;
  const Program program = islands(program_of({y}));
  verify(program, "islands");
  CHECK(ops_of(program) == "island sigmoid island");
  // Other shapes are other loops.
  CHECK(ops_of(islands(program_of({sum(square(bias) + 1.0f) * 2.0f + 1.0f}))) ==
        "island sum island");
}

TEST_CASE_FIXTURE(Fixture, "islands: numbers per channel are read inside") {
  const Value y = conv2d(x, kernel);
  const Value normalized = relu(y * bias + square(bias) + y);
  const Program program = islands(program_of({normalized, sum(y)}));
  verify(program, "islands");
  CHECK(ops_of(program) == "conv2d square island sum");
}

TEST_CASE_FIXTURE(Fixture, "collect_factors: what stands behind a convolution, by channel") {
  const auto collected = [](Value v) { return ops_of(collect_factors(program_of({v}))); };
  const Value y = conv2d(x, kernel), other = graph.variable({DType::f32, {4}}, "other");
  CHECK(collected(relu((y + bias) * other)) == "conv2d mul mul add relu");
  CHECK(collected(relu((other * (y + bias) + other) * bias)) ==
        "conv2d mul add mul mul mul add relu");
  // Nothing to gain, or somebody else reads what is between.
  CHECK(collected(relu(y * other + bias)) == "conv2d mul add relu");
  CHECK(collected(relu(y + bias)) == "conv2d add relu");
  const Value between = y + bias;
  CHECK(ops_of(collect_factors(program_of({between * other, sum(between)}))) ==
        "conv2d add mul sum");
  // The factor joins the kernel if both stay the same from run to run.
  CHECK(ops_of(fuse(program_of({relu(y * other + bias)}))) == "conv2d+mul+add+relu");
}

TEST_CASE_FIXTURE(Fixture, "expand: an op without a kernel becomes its decomposition") {
  struct Twice {
    static constexpr std::string_view name() { return "twice"; }
    bool operator==(const Twice&) const = default;
    std::vector<Type> infer(std::span<const Type> in) const { return {in[0]}; }
    std::vector<Value> decompose(std::span<const Value> in) const { return {in[0] + in[0]}; }
  };
  CHECK(ops_of(expand(program_of({apply(Twice{}, {bias})}))) == "add");
}

}  // namespace
}  // namespace weft
