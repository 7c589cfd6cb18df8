// Drawings of models and of training steps.
#include "io/drawing.hpp"

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <set>
#include <string>

#include "nn/nn.hpp"
#include "ops/ops.hpp"
#include "tests/io_files.hpp"

namespace weft::test {
namespace {

std::size_t count(const std::string& text, std::string_view part) {
  std::size_t found = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

/// Two inputs through one shared layer to two outputs.
nn::Model siamese() {
  const nn::Input left({4}, {.name = "left"}), right({4}, {.name = "right"});
  const nn::Layer shared = nn::Dense(3, {.name = "shared"});
  const nn::Symbol a = shared(left), b = shared(right);
  return nn::Model({left, right}, {nn::Dense(1, {.name = "difference"})(nn::Subtract()({a, b})),
                                   nn::Dense(2, {.name = "both"})(nn::Concatenate()({a, b}))});
}

}  // namespace

TEST_CASE("drawing: a model is a box for each call, tied where a layer is shared") {
  nn::Model model = siamese();
  const std::string dot = model.to_dot();
  CHECK(count(dot, "[label=<") == 2 + 2 + 2 + 2);
  CHECK(count(dot, "style=dotted") == 1);
  CHECK(count(dot, "15 parameters, call 1 of 2") == 1);
  CHECK(count(dot, "15 parameters, call 2 of 2") == 1);
  CHECK(count(dot, "<b>Concatenate</b>") == 1);
  CHECK(count(dot, " -> ") == 1 + 2 + 4 + 2);
  CHECK(count(dot, "penwidth=2.2") == 2);
  CHECK(count(model.to_dot({.parameters = false}), "parameters") == 0);
  CHECK(count(model.to_dot({.rankdir = "LR"}), "rankdir=LR") == 1);
  check_message<ArgumentError>([&] { model.to_dot({.rankdir = "up"}); }, {"rankdir", "\"up\""});
}

TEST_CASE("drawing: frozen layers are grey, and names cannot break out of their labels") {
  nn::Sequential model({nn::Dense(2, {.input_shape = {3}, .name = "a<b>&\"c"})}, {.name = "m"});
  CHECK(count(model.to_dot(), "a&lt;b&gt;&amp;&quot;c") == 1);
  CHECK(count(model.to_dot(), "frozen") == 0);
  model.set_trainable(false);
  CHECK(count(model.to_dot(), "8 parameters, frozen") == 1);
}

TEST_CASE("drawing: a model without an input shape cannot be drawn yet") {
  nn::Sequential model{nn::Dense(2)};
  check_message<Error>([&] { model.to_dot(); }, {"draw", "input_shape"});
}

TEST_CASE("drawing: files by their ending") {
  const TemporaryFolder folder;
  nn::Model model = siamese();
  model.draw(folder / "model.dot");
  CHECK(content(folder / "model.dot") == model.to_dot());
  model.draw(folder / "model.svg");
  const std::string svg = content(folder / "model.svg");
  CHECK(count(svg, "<svg") == 1);
  CHECK(count(svg, "shared") >= 2);
  model.draw(folder / "model.png");
  CHECK(content(folder / "model.png").substr(1, 3) == "PNG");
  check_message<ArgumentError>([&] { model.draw(folder / "model.jpeg"); }, {"model.jpeg", ".svg"});
  // Nothing else is left behind.
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 3);
}

TEST_CASE("drawing: what Graphviz says of a bad drawing is passed on, and nothing is written") {
  const TemporaryFolder folder;
  check_message<IoError>([&] { write_drawing(folder / "x.svg", "digraph { a -> }"); },
                         {"x.svg", "dot failed", "syntax error"});
  CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("drawing: without Graphviz, the message says what is missing") {
  const TemporaryFolder folder;
  const std::string path = std::getenv("PATH");
  ::setenv("PATH", folder.path().c_str(), 1);
  const std::string message =
      message_of<IoError>([&] { write_drawing(folder / "x.svg", "digraph {}"); });
  ::setenv("PATH", path.c_str(), 1);
  CHECK(message.find("dot is not installed") != std::string::npos);
}

TEST_CASE("drawing: a training step after every pass") {
  const TemporaryFolder folder;
  nn::Model model = siamese();
  model.compile({.optimizer = "adam", .loss = "mse"});
  const nn::Dataset data({Tensor::full({4, 4}, 1), Tensor::full({4, 4}, 2)},
                         {Tensor::full({4, 1}, 0), Tensor::full({4, 2}, 1)});
  model.draw_training_step(folder / "passes", data, 4, "dot");
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder / "passes")) {
    names.insert(entry.path().filename().string());
  }
  CHECK(names.contains("00-traced.dot"));
  CHECK(names.contains("01-expand.dot"));
  CHECK(names.contains("10-islands.dot"));
  CHECK(names.size() == 11);
  CHECK(count(content(folder / "passes" / "00-traced.dot"), "matmul") > 4);
  // Looking at it does not train.
  CHECK(model.iterations() == 0);
}

TEST_CASE("drawing: values of a plain graph") {
  const TemporaryFolder folder;
  Graph graph;
  const Value x = graph.input({DType::f32, {2}}, "x");
  draw({relu(x)}, folder / "graph.svg");
  CHECK(count(content(folder / "graph.svg"), "relu") >= 1);
}

}  // namespace weft::test
