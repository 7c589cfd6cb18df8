#include "tests/random/networks.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <exception>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "autodiff/gradients.hpp"
#include "graph/print.hpp"
#include "nn/nn.hpp"
#include "nn/shapes.hpp"
#include "ops/ops.hpp"
#include "tests/random/expected.hpp"
#include "tests/random/program.hpp"

namespace weft::random_test {
namespace {

using nn::Symbol;

/// A layer, and what it is called on: value 0 is the input, value i + 1 what step i makes.
struct Step {
  std::string text;  ///< C++ of the layer
  std::function<nn::Layer()> layer;
  std::vector<std::size_t> inputs;
  std::size_t same_as = none;  ///< the step whose layer is called once more
  static constexpr std::size_t none = ~std::size_t{0};
};

struct NetworkProgram {
  Shape input_shape;  ///< without the batch
  std::vector<Step> steps;
  std::int64_t rows = 1;
  std::size_t replicas = 1;
  int threads = 1;
  std::uint64_t seed = 0;
};

/// The input, and what each step makes.
std::vector<Symbol> values_of(const NetworkProgram& program) {
  std::vector<Symbol> values{nn::Input(program.input_shape)};
  std::vector<nn::Layer> layers;
  for (const Step& step : program.steps) {
    layers.push_back(step.same_as == Step::none ? step.layer() : layers.at(step.same_as));
    std::vector<Symbol> inputs;
    for (const std::size_t i : step.inputs) inputs.push_back(values.at(i));
    values.push_back(layers.back()(nn::Symbols(inputs)));
  }
  return values;
}

/// Its outputs are all values that no layer reads.
nn::Model model_of(const NetworkProgram& program) {
  const std::vector<Symbol> values = values_of(program);
  std::vector<bool> is_read(values.size(), false);
  is_read[0] = true;
  for (const Step& step : program.steps) {
    for (const std::size_t i : step.inputs) is_read[i] = true;
  }
  std::vector<Symbol> outputs;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!is_read[i]) outputs.push_back(values[i]);
  }
  return nn::Model(
      values[0], outputs,
      {.seed = program.seed, .replicas = program.replicas, .threads = program.threads});
}

/// Whether it can be built: shapes fit, also those of weights that two calls share.
bool fits(const NetworkProgram& program) {
  try {
    model_of(program).weights();
    return true;
  } catch (const Error&) {
    return false;
  }
}

std::string to_cpp(const NetworkProgram& program) {
  std::string text = fmt::format(
      "// rows {}, replicas {}, threads {}\nconst auto v0 = nn::Input({{{}}});\n", program.rows,
      program.replicas, program.threads, fmt::join(program.input_shape, ", "));
  for (std::size_t i = 0; i < program.steps.size(); ++i) {
    const Step& step = program.steps[i];
    std::vector<std::string> inputs;
    for (const std::size_t input : step.inputs) inputs.push_back(fmt::format("v{}", input));
    const std::string layer = step.same_as == Step::none
                                  ? fmt::format("const nn::Layer l{} = {};", i, step.text)
                                  : std::string();
    text += fmt::format(
        "{}{}const auto v{} = l{}({});\n", layer, layer.empty() ? "" : " ", i + 1,
        step.same_as == Step::none ? i : step.same_as,
        inputs.size() == 1 ? inputs[0] : fmt::format("{{{}}}", fmt::join(inputs, ", ")));
  }
  return text + "// outputs: all values that no layer reads\n";
}

/// Proposes one layer after the other.
class Builder {
 public:
  explicit Builder(std::uint64_t seed) : random_(seed) {}

  NetworkProgram make() {
    program_.rows = random_.between(1, 9);
    program_.replicas = static_cast<std::size_t>(random_.between(1, 3));
    program_.threads = static_cast<int>(random_.between(1, 2));
    program_.seed = static_cast<std::uint64_t>(random_.between(1, 1'000'000));
    const bool is_image = random_.chance(0.8);
    program_.input_shape = is_image
                               ? Shape{random_.between(3, 12), random_.between(3, 12), channels()}
                               : Shape{channels()};
    shapes_ = {program_.input_shape};
    const std::int64_t count = random_.between(2, 10);
    for (std::int64_t tries = 0; tries < 60; ++tries) {
      if (static_cast<std::int64_t>(program_.steps.size()) == count) break;
      program_.steps.push_back(propose());
      const Shape made = fits(program_) ? values_of(program_).back().shape() : Shape{too_many};
      if (made.elements() < too_many) {
        shapes_.push_back(made);
      } else {
        program_.steps.pop_back();
      }
    }
    return program_;
  }

 private:
  static constexpr std::int64_t too_many = 20'000;  // elements: it would take long
  std::int64_t channels() { return random_.of<std::int64_t>({1, 2, 3, 4, 5, 7, 8, 12, 16, 17}); }
  nn::Size2D size(std::int64_t most) {
    return {random_.between(1, most), random_.between(1, most)};
  }
  static std::string text(const nn::Size2D& size) {
    return fmt::format("{{{}, {}}}", size.height, size.width);
  }
  std::string padding() { return random_.chance(0.5) ? "same" : "valid"; }
  std::string activation() {
    return random_.of<std::string>({"linear", "linear", "relu", "relu", "relu", "sigmoid", "tanh",
                                    "elu", "selu", "softplus", "softsign", "silu", "gelu",
                                    "hard_sigmoid", "leaky_relu", "relu6", "mish"});
  }

  template <class Make>
  Step step(std::string text, Make make) {
    // Mostly in a row; sometimes a branch.
    const std::size_t last = shapes_.size() - 1;
    const std::size_t from =
        random_.chance(0.85)
            ? last
            : static_cast<std::size_t>(random_.between(0, static_cast<std::int64_t>(last)));
    return {std::move(text), [make] { return nn::Layer(make()); }, {from}};
  }

  Step propose() {
    if (shapes_.size() > 2 && random_.chance(0.2)) return merge();
    if (program_.steps.size() > 1 && random_.chance(0.07)) return again();
    return shapes_.back().rank() >= 3 ? image() : vector();
  }

  /// A layer that is there, on the newest value.
  Step again() {
    Step step = random_.of(program_.steps);
    if (step.same_as == Step::none) {
      step.same_as = static_cast<std::size_t>(
          std::ranges::find(program_.steps, step.text, &Step::text) - program_.steps.begin());
    }
    if (step.inputs.size() == 1) step.inputs = {shapes_.size() - 1};
    return step;
  }

  Step merge() {
    const std::size_t last = shapes_.size() - 1;
    std::vector<std::size_t> others;
    for (std::size_t i = 0; i < last; ++i) {
      if (shapes_[i].rank() == shapes_[last].rank()) others.push_back(i);
    }
    const std::size_t other = others.empty() ? last : random_.of(others);
    Step step;
    switch (random_.between(0, 5)) {
      case 0:
        step = this->step("nn::Multiply()", [] { return nn::Multiply(); });
        break;
      case 1:
        step = this->step("nn::Maximum()", [] { return nn::Maximum(); });
        break;
      case 2:
        step = this->step("nn::Concatenate()", [] { return nn::Concatenate(); });
        break;
      case 3:
        step = this->step("nn::Average()", [] { return nn::Average(); });
        break;
      default:
        step = this->step("nn::Add()", [] { return nn::Add(); });
        break;
    }
    step.inputs = random_.chance(0.5) ? std::vector{last, other} : std::vector{other, last};
    return step;
  }

  Step any() {
    switch (random_.between(0, 6)) {
      case 0:
        return step("nn::BatchNormalization()", [] { return nn::BatchNormalization(); });
      case 1:
        return step("nn::LayerNormalization()", [] { return nn::LayerNormalization(); });
      case 2:
        return step("nn::PReLU()", [] { return nn::PReLU(); });
      case 3:
        return step("nn::LeakyReLU()", [] { return nn::LeakyReLU(); });
      case 4:
        return step("nn::ReLU({.max_value = 0.5})", [] { return nn::ReLU({.max_value = 0.5}); });
      default: {
        const std::string name = activation();
        return step(fmt::format("nn::Activation(\"{}\")", name),
                    [=] { return nn::Activation(name); });
      }
    }
  }

  Step vector() {
    if (random_.chance(0.5)) return any();
    if (random_.chance(0.15)) return step("nn::Softmax()", [] { return nn::Softmax(); });
    return dense();
  }

  Step dense() {
    const std::int64_t units = channels();
    const std::string f = activation();
    const bool use_bias = random_.chance(0.8);
    return step(
        fmt::format("nn::Dense({}, {{.activation = \"{}\", .use_bias = {}}})", units, f, use_bias),
        [=] { return nn::Dense(units, {.activation = f, .use_bias = use_bias}); });
  }

  Step image() {
    const std::string pad = padding(), f = activation();
    const nn::Size2D strides = random_.chance(0.6) ? nn::Size2D(1) : size(3);
    const nn::Size2D kernel = size(random_.chance(0.8) ? 3 : 6);
    const bool use_bias = random_.chance(0.8);
    const std::string rest =
        fmt::format(".padding = \"{}\", .activation = \"{}\", .use_bias = {}", pad, f, use_bias);
    switch (random_.between(0, 16)) {
      case 0:
      case 1:
      case 2:
      case 3: {
        const std::int64_t in = shapes_.back()[-1];
        std::vector<std::int64_t> divisors;
        for (std::int64_t d = 1; d <= in; ++d) {
          if (in % d == 0) divisors.push_back(d);
        }
        const std::int64_t groups = random_.chance(0.6) ? 1 : random_.of(divisors);
        const std::int64_t filters = groups * (groups == 1 ? channels() : random_.between(1, 4));
        const nn::Size2D dilation =
            strides == nn::Size2D(1) && random_.chance(0.2) ? size(2) : nn::Size2D(1);
        return step(
            fmt::format(
                "nn::Conv2D({}, {}, {{.strides = {}, {}, .dilation_rate = {}, .groups = {}}})",
                filters, text(kernel), text(strides), rest, text(dilation), groups),
            [=] {
              return nn::Conv2D(filters, kernel,
                                {.strides = strides,
                                 .padding = pad,
                                 .dilation_rate = dilation,
                                 .groups = groups,
                                 .activation = f,
                                 .use_bias = use_bias});
            });
      }
      case 4: {
        const std::int64_t multiplier = random_.chance(0.7) ? 1 : 2;
        const nn::Size2D both(strides.height);
        return step(
            fmt::format("nn::DepthwiseConv2D({}, {{.strides = {}, .depth_multiplier = {}, {}}})",
                        text(kernel), text(both), multiplier, rest),
            [=] {
              return nn::DepthwiseConv2D(kernel, {.strides = both,
                                                  .padding = pad,
                                                  .depth_multiplier = multiplier,
                                                  .activation = f,
                                                  .use_bias = use_bias});
            });
      }
      case 5: {
        const std::int64_t filters = channels();
        return step(fmt::format("nn::SeparableConv2D({}, {}, {{{}}})", filters, text(kernel), rest),
                    [=] {
                      return nn::SeparableConv2D(
                          filters, kernel, {.padding = pad, .activation = f, .use_bias = use_bias});
                    });
      }
      case 6: {
        const std::int64_t filters = channels();
        return step(
            fmt::format("nn::Conv2DTranspose({}, {}, {{.strides = {}, {}}})", filters, text(kernel),
                        text(strides), rest),
            [=] {
              return nn::Conv2DTranspose(
                  filters, kernel,
                  {.strides = strides, .padding = pad, .activation = f, .use_bias = use_bias});
            });
      }
      case 7:
        return step(fmt::format("nn::MaxPooling2D({}, {{.strides = {}, .padding = \"{}\"}})",
                                text(kernel), text(strides), pad),
                    [=] { return nn::MaxPooling2D(kernel, {.strides = strides, .padding = pad}); });
      case 8:
        return step(
            fmt::format("nn::AveragePooling2D({}, {{.strides = {}, .padding = \"{}\"}})",
                        text(kernel), text(strides), pad),
            [=] { return nn::AveragePooling2D(kernel, {.strides = strides, .padding = pad}); });
      case 9: {
        const std::int64_t before = random_.between(0, 3), after = random_.between(0, 3);
        return step(fmt::format("nn::ZeroPadding2D({{{{{}, {}}}, {{{}, {}}}}})", before, after,
                                after, before),
                    [=] {
                      return nn::ZeroPadding2D({{before, after}, {after, before}});
                    });
      }
      case 10: {
        const std::int64_t before = random_.between(0, 2), after = random_.between(0, 2);
        return step(
            fmt::format("nn::Cropping2D({{{{{}, {}}}, {{{}, {}}}}})", before, after, after, before),
            [=] {
              return nn::Cropping2D({{before, after}, {after, before}});
            });
      }
      case 11:
        return step("nn::UpSampling2D(2)", [] { return nn::UpSampling2D(2); });
      case 12:
        return step("nn::Flatten()", [] { return nn::Flatten(); });
      case 13:
        return random_.chance(0.5)
                   ? step("nn::GlobalAveragePooling2D()",
                          [] { return nn::GlobalAveragePooling2D(); })
                   : step("nn::GlobalMaxPooling2D()", [] { return nn::GlobalMaxPooling2D(); });
      case 14:
        return random_.chance(0.5) ? dense() : step("nn::Permute({2, 3, 1})", [] {
          return nn::Permute({2, 3, 1});
        });
      case 15:
        return step("nn::GroupNormalization({.groups = -1})",
                    [] { return nn::GroupNormalization({.groups = -1}); });
      default:
        return any();
    }
  }

  Random random_;
  NetworkProgram program_;
  std::vector<Shape> shapes_;  // of the values so far, without the batch
};

Tensor random_tensor(Random& random, const Shape& shape, double low, double high) {
  Tensor tensor(Type{DType::f32, shape});
  for (float& number : tensor.data<float>()) {
    number = static_cast<float>(low + (high - low) * random.fraction());
  }
  return tensor;
}

/// The network in a graph of its own, with the weights that the model has, and a mean squared error
/// and a step of gradient descent of it.
struct Meaning {
  static constexpr float learning_rate = 0.125f;  // without rounding

  Graph graph;
  std::vector<Value> outputs, after;
  Value loss;
  std::vector<std::string> labels;  // of the weights

  Meaning(const nn::Model& model, const NetworkProgram& program, bool training) {
    Variables unused;  // weights live with their layers
    nn::Trace trace{graph, unused, program.seed, training};
    nn::Scope scope(trace);
    const Value x =
        graph.input({DType::f32, nn::with_batch(program.rows, program.input_shape)}, "x");
    outputs = model.network()(scope, {x});
    for (const nn::Trace::Weight& weight : trace.weights) {
      labels.push_back(weight.value.op().as<Variable>()->label);
    }
    if (!training) return;
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      const Value wanted = graph.input(outputs[i].type(), fmt::format("y{}", i));
      const Value term = mean(square(outputs[i] - wanted));
      loss = loss ? loss + term : term;
    }
    std::vector<Value> trained;
    for (const nn::Trace::Weight& weight : trace.weights) {
      if (weight.trainable) trained.push_back(weight.value);
    }
    const std::vector<Value> found = gradients(loss, trained);
    for (const nn::Trace::Weight& weight : trace.weights) {
      Value next = weight.value;
      for (const Update& update : trace.updates) {
        if (update.variable == weight.value) next = update.next;
      }
      for (std::size_t i = 0; i < trained.size(); ++i) {
        if (trained[i] == weight.value) next = weight.value - learning_rate * found[i];
      }
      after.push_back(next);
    }
  }
};

/// The first difference between the model and the reference. An empty string if there is none, and
/// for numbers too large to compare.
std::string difference(const NetworkProgram& program) {
  if (program.steps.empty()) return "";
  nn::Model model = model_of(program);
  Random random(program.seed);
  std::vector<Tensor> weights;
  for (const nn::Model::Weight& weight : model.weights()) {
    const bool is_variance = weight.name.find("variance") != std::string::npos;
    weights.push_back(is_variance ? random_tensor(random, weight.shape, 0.5, 1.5)
                                  : random_tensor(random, weight.shape, -0.6, 0.6));
  }
  model.set_weights(weights);
  const Tensor x = random_tensor(random, nn::with_batch(program.rows, program.input_shape), -1, 1);

  const auto feeds_for = [&](const Meaning& meaning) {
    Feeds64 feeds{{"x", to_array(x)}};
    for (std::size_t i = 0; i < weights.size(); ++i)
      feeds[meaning.labels[i]] = to_array(weights[i]);
    return feeds;
  };
  const Meaning prediction(model, program, false);
  Expected expected(prediction.outputs, feeds_for(prediction));
  if (!expected.is_usable() || !expected.is_finite()) return "";
  const std::vector<Tensor> predicted = model.predict_all_on_batch(nn::Dataset(x));
  for (std::size_t i = 0; i < predicted.size(); ++i) {
    if (const std::string text = expected.difference(i, predicted[i]); !text.empty()) {
      return fmt::format("prediction {} {}", i, text);
    }
  }

  if (std::ranges::none_of(model.weights(), &nn::Model::Weight::trainable)) return "";
  const Meaning training(model, program, true);
  Feeds64 feeds = feeds_for(training);
  std::vector<Tensor> targets;
  for (std::size_t i = 0; i < training.outputs.size(); ++i) {
    targets.push_back(random_tensor(random, training.outputs[i].shape(), -1, 1));
    feeds[fmt::format("y{}", i)] = to_array(targets.back());
  }
  std::vector<Value> wanted = training.after;
  wanted.push_back(training.loss);
  Expected after(wanted, feeds);
  if (!after.is_usable() || !after.is_finite()) return "";
  model.compile({.optimizer = nn::SGD{.learning_rate = Meaning::learning_rate}, .loss = "mse"});
  const nn::Logs logs = model.train_on_batch(nn::Dataset({x}, targets));
  Tensor loss(Type{DType::f32, {}});
  loss.data<float>()[0] = static_cast<float>(logs["loss"]);
  if (const std::string text = after.difference(weights.size(), loss); !text.empty()) {
    return fmt::format("the loss {}", text);
  }
  const std::vector<Tensor> trained = model.get_weights();
  for (std::size_t i = 0; i < trained.size(); ++i) {
    if (const std::string text = after.difference(i, trained[i]); !text.empty()) {
      return fmt::format("{} after a step {}", model.weights()[i].name, text);
    }
  }
  return "";
}

std::string checked(const NetworkProgram& program) {
  try {
    return difference(program);
  } catch (const std::exception& error) {
    return fmt::format("threw {}", error.what());
  }
}

/// The same without step i: its readers read its first input. Nothing if that does not fit.
std::optional<NetworkProgram> without(NetworkProgram program, std::size_t i) {
  const std::size_t from = program.steps[i].inputs[0];
  program.steps.erase(program.steps.begin() + static_cast<std::ptrdiff_t>(i));
  for (Step& step : program.steps) {
    for (std::size_t& input : step.inputs) {
      if (input == i + 1) input = from;
      if (input > i + 1) --input;
    }
    if (step.same_as == i) return std::nullopt;
    if (step.same_as != Step::none && step.same_as > i) --step.same_as;
  }
  if (!fits(program)) return std::nullopt;
  return program;
}

NetworkProgram shrunk(NetworkProgram program) {
  bool is_smaller = true;
  while (is_smaller) {
    is_smaller = false;
    std::vector<NetworkProgram> tries;
    for (std::size_t i = program.steps.size(); i-- > 0;) {
      if (auto smaller = without(program, i)) tries.push_back(std::move(*smaller));
    }
    if (program.rows > 1) tries.emplace_back(program).rows = 1;
    if (program.replicas > 1) tries.emplace_back(program).replicas = 1;
    if (program.threads > 1) tries.emplace_back(program).threads = 1;
    for (NetworkProgram& smaller : tries) {
      if (checked(smaller).empty()) continue;
      program = std::move(smaller);
      is_smaller = true;
      break;
    }
  }
  return program;
}

}  // namespace

std::string check_network(std::uint64_t seed, bool shrinks) {
  NetworkProgram program = Builder(seed).make();
  std::string text = checked(program);
  if (text.empty()) return "";
  if (shrinks) {
    program = shrunk(program);
    text = checked(program);
  }
  return fmt::format("{}\n{}", text, to_cpp(program));
}

}  // namespace weft::random_test
