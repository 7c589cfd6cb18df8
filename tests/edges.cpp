// Cases at the edges of kernels: epilogues that a primitive cannot take, padding of blocked
// layouts, outputs that do not depend on the batch, sums of nothing. tests/random looks for more.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <unordered_map>
#include <vector>

#include "autodiff/gradients.hpp"
#include "graph/evaluate.hpp"
#include "graph/print.hpp"
#include "nn/nn.hpp"
#include "ops/ops.hpp"
#include "runtime/compile.hpp"
#include "runtime/onednn.hpp"
#include "runtime/threads.hpp"
#include "tests/messages.hpp"

namespace weft {
namespace {

// Sums of some hundred products of numbers up to 2.5, in f32.
constexpr double tolerance = 1e-4;

/// Numbers from 0.5 to 2.5, no two alike.
Tensor waves(const Type& type, float phase) {
  Tensor tensor(type);
  for (float& number : tensor.data<float>()) number = 1.5f + std::sin(phase += 1);
  return tensor;
}

/// Compiles the value, fills every input with numbers and compares with the reference; returns the
/// steps. A step that leaves something in the padding of its output is an error.
std::string check(const Graph& graph, const std::vector<Value>& values) {
  Feeds feeds;
  std::unordered_map<std::string, Array> numbers;
  for (NodeId id = 0; id < graph.size(); ++id) {
    const auto* input = graph[id].op.as<Input>();
    if (input == nullptr) continue;
    feeds.emplace(input->label, waves(input->type, static_cast<float>(id)));
    numbers.emplace(input->label, to_array(feeds.at(input->label)));
  }
  Executable executable = compile(values, {}, {.check_numbers = true, .poison = true});
  const auto results = executable.run(feeds);
  const auto wanted = evaluate(values, numbers);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const Array got = to_array(results[i]);
    REQUIRE(got.shape == wanted[i].shape);
    double scale = 1;
    for (const double number : wanted[i].data) scale = std::max(scale, std::abs(number));
    std::size_t wrong = 0;
    for (std::size_t k = 0; k < got.data.size(); ++k) {
      wrong += !(std::abs(got.data[k] - wanted[i].data[k]) <= tolerance * scale);
    }
    CAPTURE(executable.to_string());
    CHECK(wrong == 0);
  }
  return executable.to_string();
}

}  // namespace

TEST_CASE("epilogue: whole tensors behind grouped convolutions") {
  for (const std::int64_t channels : {3, 8, 16, 32}) {
    for (const std::int64_t groups : {std::int64_t{1}, std::int64_t{channels == 3 ? 3 : 4}}) {
      for (const char* op : {"add", "mul", "sub", "add, relu", "bias, mul, tanh"}) {
        CAPTURE(channels);
        CAPTURE(groups);
        CAPTURE(op);
        Graph graph;
        const Type image{DType::f32, {2, 6, 5, channels}};
        const Value x = graph.input(image, "x"), m = graph.input(image, "m");
        const Value k = graph.input({DType::f32, {3, 3, channels / groups, channels}}, "k");
        const Value b = graph.input({DType::f32, {channels}}, "b");
        Value y = conv2d(relu(x), k, {.padding = {1, 1, 1, 1}, .groups = groups});
        const std::string_view name = op;
        if (name == "add") y = y + m;
        if (name == "mul") y = y * m;
        if (name == "sub") y = y - m;
        if (name == "add, relu") y = relu(y + m);
        if (name == "bias, mul, tanh") y = tanh((y + b) * m * 0.01f);
        check(graph, {y});
      }
    }
  }
}

TEST_CASE("epilogue: whole tensors behind a convolution whose padding reaches the kernel's size") {
  for (const std::int64_t size : {1, 2}) {
    for (const bool depthwise : {false, true}) {
      for (const bool multiplies : {false, true}) {
        CAPTURE(size);
        CAPTURE(depthwise);
        CAPTURE(multiplies);
        Graph graph;
        const Value x = graph.input({DType::f32, {2, 4, 4, 8}}, "x");
        const Value k = graph.input({DType::f32, {size, size, depthwise ? 1 : 8, 8}}, "k");
        const Value y =
            conv2d(tanh(x), k, {.padding = {size, size, size, size}, .groups = depthwise ? 8 : 1});
        const Value m = graph.input(y.type(), "m");
        check(graph, {multiplies ? y * m : y + m});
      }
    }
  }
}

TEST_CASE("epilogue: a chain longer than oneDNN takes is cut") {
  for (const int length : {15, 16, 17, 33, 40}) {
    CAPTURE(length);
    Graph graph;
    const Value x = graph.input({DType::f32, {4, 8}}, "x"),
                k = graph.input({DType::f32, {8, 8}}, "k");
    const Value images = graph.input({DType::f32, {1, 5, 5, 3}}, "images");
    const Value kernel = graph.input({DType::f32, {3, 3, 3, 8}}, "kernel");
    Value y = matmul(x, k), z = conv2d(images, kernel);
    for (int i = 0; i < length; ++i) {
      y = y + graph.input(y.type(), fmt::format("y{}", i));
      z = z + graph.input(z.type(), fmt::format("z{}", i));
    }
    check(graph, {y, z});
  }
}

TEST_CASE("epilogue: operations of one kind have parameters of their own") {
  // oneDNN 2.6 gives all of them those of one.
  using Function = Value (*)(Value);
  const std::vector<std::pair<std::string, std::vector<Function>>> kinds{
      {"relu",
       {[](Value x) { return leaky_relu(x, 0.2f); }, [](Value x) { return leaky_relu(x, 0.6f); },
        [](Value x) { return relu(x); }}},
      {"elu", {[](Value x) { return elu(x, 1); }, [](Value x) { return elu(x, 0.3f); }}},
      {"clip",
       {[](Value x) { return clip(x, -0.7f, 0.7f); },
        [](Value x) { return clip(x, -0.1f, 0.3f); }}},
      {"linear", {[](Value x) { return x * 2.0f; }, [](Value x) { return x + 1.0f; }}},
      {"pow", {[](Value x) { return pow(x, 2.0f); }, [](Value x) { return pow(x, 3.0f); }}}};
  for (const auto& [kind, functions] : kinds) {
    CAPTURE(kind);
    Graph graph;
    const Value x = graph.input({DType::f32, {4, 8}}, "x"),
                k = graph.input({DType::f32, {8, 8}}, "k");
    const Value images = graph.input({DType::f32, {1, 5, 5, 3}}, "images");
    const Value one = graph.input({DType::f32, {1, 1, 3, 8}}, "one"),
                three = graph.input({DType::f32, {3, 3, 3, 8}}, "three");
    std::vector<Value> values;
    for (const Function f : functions) {
      for (const Function g : functions) {
        for (const Value& y : {matmul(x, k), conv2d(images, one), conv2d(images, three)}) {
          values.push_back(g(f(y)));
          values.push_back(f(tanh(g(y))));
        }
      }
    }
    check(graph, values);
  }
}

TEST_CASE("epilogue: a Dense layer that is called forty times") {
  nn::Input x({16});
  const nn::Layer dense = nn::Dense(16, {.activation = "tanh"});
  nn::Symbol y = x;
  for (int i = 0; i < 40; ++i) y = dense(y);
  nn::Model model(x, nn::Dense(1)(y));
  model.compile({.loss = "mse"});
  const Tensor inputs(Type{DType::f32, {64, 16}}), targets(Type{DType::f32, {64, 1}});
  CHECK_NOTHROW(model.fit({inputs, targets}, {.epochs = 1, .verbose = 0}));
}

TEST_CASE("padding: lanes that belong to no channel are zero behind every step") {
  using Function = Value (*)(Value y, Value per_channel, Value image);
  const std::vector<std::pair<const char*, Function>> functions{
      {"/ s[C]", [](Value y, Value s, Value) { return y / s; }},
      {"/ m[N,H,W,C]", [](Value y, Value, Value m) { return y / m; }},
      {"* s[C]", [](Value y, Value s, Value) { return y * s; }},
      {"reciprocal", [](Value y, Value, Value) { return reciprocal(y); }},
      {"log", [](Value y, Value, Value) { return log(y); }},
      {"exp", [](Value y, Value, Value) { return exp(y * 0.05f); }},
      {"sigmoid", [](Value y, Value, Value) { return sigmoid(y * 0.05f); }},
      {"pow -1", [](Value y, Value, Value) { return pow(y, -1.0f); }},
      {"y / y", [](Value y, Value, Value) { return y / y; }},
      {"1 - y", [](Value y, Value, Value) { return 1.0f - y; }},
      {"== m", [](Value y, Value, Value m) { return equal(y, m); }},
      {"sigmoid, / s", [](Value y, Value s, Value) { return sigmoid(y * 0.05f) / s; }}};
  for (const auto& [name, f] : functions) {
    for (const std::int64_t channels : {3, 5, 17}) {
      for (const bool depthwise : {false, true}) {
        CAPTURE(name);
        CAPTURE(channels);
        CAPTURE(depthwise);
        Graph graph;
        const Value x = graph.input({DType::f32, {1, 4, 4, channels}}, "x");
        const Value k = graph.input({DType::f32, {3, 3, depthwise ? 1 : channels, channels}}, "k");
        const Value p = graph.input({DType::f32, {1, 1, channels, 2}}, "p");
        const Value s = graph.input({DType::f32, {channels}}, "s");
        const Value m = graph.input({DType::f32, {1, 2, 2, channels}}, "m");
        const Value y = f(conv2d(x, k, {.groups = depthwise ? channels : 1}), s, m);
        // Another convolution reads the lanes, and a sum of squares counts them.
        std::vector<Value> values{conv2d(y, p), sum_of_squares(y)};
        for (const Value& input : {s, m}) {  // every input is read
          values.push_back(sum(input));
        }
        check(graph, values);
      }
    }
  }
}

TEST_CASE("padding: what it is, and what clears it") {
  using tag = dnnl::memory::format_tag;
  for (const auto& [dims, format] :
       std::vector<std::pair<onednn::Dims, tag>>{{{2, 3, 2, 5}, tag::nChw8c},
                                                 {{1, 17, 3, 1}, tag::nChw16c},
                                                 {{5, 3, 3, 3}, tag::OIhw8i8o},
                                                 {{2, 5, 3, 1, 1}, tag::gOIhw8o8i}}) {
    const onednn::Desc desc(dims, dnnl::memory::data_type::f32, format);
    REQUIRE(onednn::has_padding(desc));
    std::vector<float> ones(desc.get_size() / sizeof(float), 1), zeros(ones.size(), 0);
    auto* bytes = reinterpret_cast<std::byte*>(ones.data());
    CHECK_FALSE(onednn::padding_is_zero(desc, bytes));
    onednn::clear_padding(desc, bytes);
    CHECK(onednn::padding_is_zero(desc, bytes));
    std::size_t elements = 1, left = 0;
    for (const auto size : dims) elements *= static_cast<std::size_t>(size);
    for (const float number : ones) left += number == 1;
    CHECK(left == elements);  // and no element was cleared
    CHECK(onednn::padding_is_zero(desc, reinterpret_cast<const std::byte*>(zeros.data())));
  }
  const onednn::Desc whole({2, 8, 2, 2}, dnnl::memory::data_type::f32, tag::nChw8c);
  CHECK_FALSE(onednn::has_padding(whole));
}

TEST_CASE("compile_batch: outputs that do not depend on the batch have all rows") {
  for (const std::int64_t rows : {2, 3, 4, 7}) {
    for (const std::size_t replicas : {1, 2}) {
      CAPTURE(rows);
      CAPTURE(replicas);
      Variables variables;
      variables.set("w", Tensor::full({3}, 2));
      Executable executable = compile_batch(
          rows,
          [](Graph& graph, const Slice& slice) {
            const Value x = graph.input({DType::f32, {slice.rows, 3}}, "x");
            const Value w = graph.variable({DType::f32, {3}}, "w");
            return Traced{{gradients(sum(x * w) + sum(w), {x})[0], gradients(sum(w), {x})[0],
                           broadcast_to(w, {slice.rows, 3}), x, all_reduce(sum(x)), w * 2.0f,
                           reshape(broadcast_to(w, {slice.rows, 2, 3}), {slice.rows * 2, 3})},
                          {}};
          },
          variables, {.replicas = replicas});
      CHECK(executable.statistics().replicas == replicas);
      const auto out = executable.run({{"x", Tensor::full({rows, 3}, 1)}});
      const auto is = [&](std::size_t i, const Shape& shape, float number) {
        CAPTURE(i);
        CHECK(out[i].shape() == shape);
        CHECK(to_floats(out[i]) == to_floats(Tensor::full(shape, number)));
      };
      is(0, {rows, 3}, 2);
      is(1, {rows, 3}, 0);
      is(2, {rows, 3}, 2);
      is(3, {rows, 3}, 1);
      is(4, {}, static_cast<float>(3 * rows));
      is(5, {3}, 4);
      is(6, {2 * rows, 3}, 2);
    }
  }
}

namespace {

/// A table that is the same for every sample.
struct Table : nn::Symbolic<Table> {
  static std::string_view name() { return "Table"; }
  using Symbolic::operator();
  Value operator()(nn::Scope& scope, Value x) const {
    return broadcast_to(scope.parameter("table", {1, 3}, "ones"), {x.shape()[0], 3});
  }
};

}  // namespace

TEST_CASE("predict: outputs that do not depend on the batch have all rows") {
  const nn::Input x({5});
  nn::Model model(
      x, {nn::Dense(2, {.kernel_initializer = "zeros", .bias_initializer = "ones"})(x), Table()(x)},
      {.replicas = 2});
  for (const std::int64_t rows : {2, 20, 33, 64}) {
    CAPTURE(rows);
    const auto both = model.predict_all(Tensor::full({rows, 5}, 1), {.verbose = 0});
    CHECK(to_floats(both[0]) == to_floats(Tensor::full({rows, 2}, 1)));
    CHECK(to_floats(both[1]) == to_floats(Tensor::full({rows, 3}, 1)));
  }
}

TEST_CASE("empty: a batch of no images gives gradients of zero") {
  for (const int layers : {0, 1, 2}) {
    CAPTURE(layers);
    Graph graph;
    const Value x = graph.input({DType::f32, {0, 6, 6, 3}}, "x");
    const Value k = graph.input({DType::f32, {3, 3, 3, 8}}, "k");
    Value y = conv2d(x, k);
    if (layers >= 1) y = relu(y);
    if (layers >= 2) y = max_pool2d(y);
    check(graph, {y, gradients(sum(y), {k})[0]});
  }
}

TEST_CASE("empty: softmax of nothing is refused where it is built") {
  Graph graph;
  const Value x = graph.input({DType::f32, {2, 0}}, "x");
  CHECK(test::message_of<ShapeError>([&] { softmax(x); }) ==
        "softmax: axis 1 of f32[2,0] has no elements");
  CHECK_THROWS_AS(log_softmax(x), ShapeError);
  CHECK_THROWS_AS(sparsemax(x), ShapeError);
  CHECK_THROWS_AS(softmax_cross_entropy(x, x), ShapeError);
  CHECK_NOTHROW(softmax(x, 0));
}

TEST_CASE("empty: a product over no terms is zero, with what is added to it") {
  for (const bool transposed : {false, true}) {
    CAPTURE(transposed);
    Graph graph;
    const Value a = graph.input({DType::f32, transposed ? Shape{0, 3} : Shape{3, 0}}, "a");
    const Value b = graph.input({DType::f32, {0, 4}}, "b"), c = graph.input({DType::f32, {4}}, "c");
    const Value y = matmul(a, b, {.transpose_a = transposed});
    check(graph, {y, relu(y + c), gradients(sum(y), {b})[0]});
  }
}

}  // namespace weft
