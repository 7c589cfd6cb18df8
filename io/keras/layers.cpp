#include "io/keras/layers.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <mutex>
#include <set>
#include <tuple>

#include "graph/print.hpp"
#include "io/keras/keras1.hpp"
#include "io/model_files.hpp"
#include "nn/names.hpp"
#include "nn/nn.hpp"

namespace weft::keras {

// What each layer's arguments are called, in the order in which Keras writes them.

/// For reading alone: an argument that Weft has with one value.
static void expect(nn::Fields& f, std::string_view key, const Json& value) {
  if (auto* read = dynamic_cast<ReadFields*>(&f)) read->expect(key, value);
}

/// The same: one without meaning here.
static void ignore(nn::Fields& f, std::string_view key) {
  if (auto* read = dynamic_cast<ReadFields*>(&f)) read->ignore(key);
}

/// For writing alone: Keras' None.
static void set_null_if(bool condition, nn::Fields& f, std::string_view key) {
  auto* write = dynamic_cast<WriteFields*>(&f);
  if (condition && write != nullptr) write->set(key, nullptr);
}

/// Of the axes of a layer in an .h5 or a .json, Keras 3 takes a list of one, its first versions no
/// mere number; of several it would take its default.
static void describe_axes(nn::Fields& f, nn::Axes& axes) {
  f("axis", axes);
  auto* write = dynamic_cast<WriteFields*>(&f);
  if (write == nullptr || write->to() == Generation::keras3) return;
  if (axes.size() > 1) {
    fail<UnsupportedError>(
        "{}: axis is {}, and Keras 3 reads one axis from an .h5 or .json: save as .keras",
        write->where(), fmt::join(axes, ", "));
  }
  write->set("axis", Json::array({axes.at(0)}));
}

/// An argument that some Keras 2 does not know yet: it is written there if it is not as it was.
template <class T>
static void describe_later(nn::Fields& f, std::string_view key, T& value, const T& before) {
  const auto* write = dynamic_cast<WriteFields*>(&f);
  if (write == nullptr || write->to() == Generation::keras3 || value != before) f(key, value);
}

template <class Config>
static void describe_kernel(nn::Fields& f, Config& c) {
  f("kernel_initializer", c.kernel_initializer)("bias_initializer", c.bias_initializer);
  f("kernel_regularizer", c.kernel_regularizer)("bias_regularizer", c.bias_regularizer);
  f("activity_regularizer", c.activity_regularizer);
  f("kernel_constraint", c.kernel_constraint)("bias_constraint", c.bias_constraint);
}

static void describe(nn::Fields& f, nn::Dense& l) {
  f("units", l.units)("activation", l.config.activation)("use_bias", l.config.use_bias);
  describe_kernel(f, l.config);
}
template <class Conv>
static void describe_conv(nn::Fields& f, Conv& l) {
  auto& c = l.config;
  f("filters", l.filters)("kernel_size", l.kernel_size)("strides", c.strides);
  f("padding", c.padding)("data_format", c.data_format)("dilation_rate", c.dilation_rate);
  if constexpr (requires { c.groups; }) {
    f("groups", c.groups);
  } else {
    expect(f, "groups", 1);
  }
  if constexpr (requires { c.output_padding; }) f("output_padding", c.output_padding);
  f("activation", c.activation)("use_bias", c.use_bias);
  describe_kernel(f, c);
}
static void describe(nn::Fields& f, nn::Conv1D& l) { describe_conv(f, l); }
static void describe(nn::Fields& f, nn::Conv2D& l) { describe_conv(f, l); }
static void describe(nn::Fields& f, nn::Conv2DTranspose& l) { describe_conv(f, l); }
static void describe(nn::Fields& f, nn::DepthwiseConv2D& l) {
  auto& c = l.config;
  expect(f, "groups", 1);
  for (const char* unused : {"kernel_initializer", "kernel_regularizer", "kernel_constraint"}) {
    ignore(f, unused);  // of the class that it inherits from
  }
  f("kernel_size", l.kernel_size)("strides", c.strides)("padding", c.padding);
  f("data_format", c.data_format)("dilation_rate", c.dilation_rate);
  f("depth_multiplier", c.depth_multiplier)("activation", c.activation)("use_bias", c.use_bias);
  f("depthwise_initializer", c.depthwise_initializer)("bias_initializer", c.bias_initializer);
  f("depthwise_regularizer", c.depthwise_regularizer)("bias_regularizer", c.bias_regularizer);
  f("activity_regularizer", c.activity_regularizer);
  f("depthwise_constraint", c.depthwise_constraint)("bias_constraint", c.bias_constraint);
}
static void describe(nn::Fields& f, nn::SeparableConv2D& l) {
  auto& c = l.config;
  expect(f, "groups", 1);
  for (const char* unused : {"kernel_initializer", "kernel_regularizer", "kernel_constraint"}) {
    ignore(f, unused);
  }
  f("filters", l.filters)("kernel_size", l.kernel_size)("strides", c.strides);
  f("padding", c.padding)("data_format", c.data_format)("dilation_rate", c.dilation_rate);
  f("depth_multiplier", c.depth_multiplier)("activation", c.activation)("use_bias", c.use_bias);
  f("depthwise_initializer", c.depthwise_initializer);
  f("pointwise_initializer", c.pointwise_initializer)("bias_initializer", c.bias_initializer);
  f("depthwise_regularizer", c.depthwise_regularizer);
  f("pointwise_regularizer", c.pointwise_regularizer)("bias_regularizer", c.bias_regularizer);
  f("activity_regularizer", c.activity_regularizer);
  f("depthwise_constraint", c.depthwise_constraint);
  f("pointwise_constraint", c.pointwise_constraint)("bias_constraint", c.bias_constraint);
}

template <class Pooling>
static void describe_pooling(nn::Fields& f, Pooling& l) {
  f("pool_size", l.pool_size)("padding", l.config.padding)("strides", l.config.strides);
  f("data_format", l.config.data_format);
}
static void describe(nn::Fields& f, nn::MaxPooling1D& l) { describe_pooling(f, l); }
static void describe(nn::Fields& f, nn::MaxPooling2D& l) { describe_pooling(f, l); }
static void describe(nn::Fields& f, nn::AveragePooling1D& l) { describe_pooling(f, l); }
static void describe(nn::Fields& f, nn::AveragePooling2D& l) { describe_pooling(f, l); }
template <class Pooling>
static void describe_global(nn::Fields& f, Pooling& l) {
  f("data_format", l.config.data_format);
  describe_later(f, "keepdims", l.config.keepdims, false);
}
static void describe(nn::Fields& f, nn::GlobalMaxPooling1D& l) { describe_global(f, l); }
static void describe(nn::Fields& f, nn::GlobalMaxPooling2D& l) { describe_global(f, l); }
static void describe(nn::Fields& f, nn::GlobalAveragePooling1D& l) { describe_global(f, l); }
static void describe(nn::Fields& f, nn::GlobalAveragePooling2D& l) { describe_global(f, l); }

static void describe(nn::Fields& f, nn::Flatten& l) { f("data_format", l.config.data_format); }
static void describe(nn::Fields& f, nn::Reshape& l) { f("target_shape", l.target_shape); }
static void describe(nn::Fields& f, nn::Permute& l) { f("dims", l.dims); }
static void describe(nn::Fields& f, nn::RepeatVector& l) { f("n", l.n); }

/// (before, after) of an axis, as Keras has it for one axis and for two.
static void describe_ends(nn::Fields& f, const char* key, nn::Ends& ends) {
  std::vector<std::int64_t> sizes{ends.before, ends.after};
  f(key, sizes);
  if (sizes.size() == 1) sizes.push_back(sizes[0]);
  if (sizes.size() != 2) fail<ArgumentError>("{} must be one or two sizes", key);
  ends = {sizes[0], sizes[1]};
}
static void describe_margins(nn::Fields& f, const char* key, nn::Margins& m) {
  std::vector<std::vector<std::int64_t>> sides{{m.height.before, m.height.after},
                                               {m.width.before, m.width.after}};
  f(key, sides);
  if (sides.size() == 1) sides.push_back(sides[0]);
  const auto ends = [&](const std::vector<std::int64_t>& side) {
    if (side.size() != 1 && side.size() != 2) {
      fail<ArgumentError>("{} must be one or two pairs of sizes", key);
    }
    return nn::Ends(side.front(), side.back());
  };
  if (sides.size() != 2) fail<ArgumentError>("{} must be one or two pairs of sizes", key);
  m = {ends(sides[0]), ends(sides[1])};
}
static void describe(nn::Fields& f, nn::ZeroPadding1D& l) {
  expect(f, "data_format", "channels_last");
  describe_ends(f, "padding", l.padding);
}
static void describe(nn::Fields& f, nn::Cropping1D& l) { describe_ends(f, "cropping", l.cropping); }
static void describe(nn::Fields& f, nn::ZeroPadding2D& l) {
  describe_margins(f, "padding", l.padding);
  f("data_format", l.config.data_format);
}
static void describe(nn::Fields& f, nn::Cropping2D& l) {
  describe_margins(f, "cropping", l.cropping);
  f("data_format", l.config.data_format);
}
static void describe(nn::Fields& f, nn::UpSampling1D& l) { f("size", l.size); }
static void describe(nn::Fields& f, nn::UpSampling2D& l) {
  f("size", l.size)("data_format", l.config.data_format);
  f("interpolation", l.config.interpolation);
  for (const char* other : {"area", "gaussian", "mitchellcubic"}) {
    if (l.config.interpolation != other) continue;
    fail<UnsupportedError>("interpolation \"{}\" is one of Keras 2's that Weft does not have",
                           other);
  }
}

static void describe(nn::Fields& f, nn::Embedding& l) {
  f("input_dim", l.input_dim)("output_dim", l.output_dim);
  f("embeddings_initializer", l.config.embeddings_initializer);
  f("embeddings_regularizer", l.config.embeddings_regularizer);
  f("activity_regularizer", l.config.activity_regularizer);
  f("embeddings_constraint", l.config.embeddings_constraint);
  expect(f, "mask_zero", false);  // layers pass on no masks
  f("mask_zero", l.config.mask_zero);
  expect(f, "dropout", 0);
}
static void describe(nn::Fields& f, nn::Rescaling& l) { f("scale", l.scale)("offset", l.offset); }
static void describe(nn::Fields& f, nn::ActivityRegularization& l) {
  f("l1", l.config.l1)("l2", l.config.l2);
}
static void describe(nn::Fields&, nn::Identity&) {}
static void describe(nn::Fields& f, nn::Activation& l) { f("activation", l); }

static void describe(nn::Fields& f, nn::ReLU& l) {
  f("max_value", l.config.max_value)("negative_slope", l.config.negative_slope);
  f("threshold", l.config.threshold);
}
static void describe(nn::Fields& f, nn::LeakyReLU& l) {
  f("negative_slope", l.config.negative_slope, "alpha");
}
static void describe(nn::Fields& f, nn::PReLU& l) {
  f("alpha_initializer", l.config.alpha_initializer)("alpha_regularizer",
                                                     l.config.alpha_regularizer);
  f("alpha_constraint", l.config.alpha_constraint)("shared_axes", l.config.shared_axes);
  set_null_if(l.config.shared_axes.empty(), f, "shared_axes");
}
static void describe(nn::Fields& f, nn::ELU& l) { f("alpha", l.config.alpha); }
static void describe(nn::Fields& f, nn::Softmax& l) { describe_axes(f, l.config.axis); }

template <class Config>
static void describe_normalization(nn::Fields& f, Config& c) {
  f("epsilon", c.epsilon)("center", c.center)("scale", c.scale);
  f("beta_initializer", c.beta_initializer)("gamma_initializer", c.gamma_initializer);
  f("beta_regularizer", c.beta_regularizer)("gamma_regularizer", c.gamma_regularizer);
  f("beta_constraint", c.beta_constraint)("gamma_constraint", c.gamma_constraint);
}

static void describe(nn::Fields& f, nn::BatchNormalization& l) {
  auto& c = l.config;
  nn::Axes axes = c.axis;
  describe_axes(f, axes);
  if (axes.size() != 1) {
    fail<UnsupportedError>("axis is [{}], but Weft has one axis, that of the channels",
                           fmt::join(axes, ", "));
  }
  c.axis = axes[0];
  f("momentum", c.momentum);
  expect(f, "mode", 0);          // of Keras 1: 1 is over each sample, 2 without what is kept
  ignore(f, "renorm_momentum");  // of renorm, which is refused
  ignore(f, "renorm_clipping");
  describe_normalization(f, c);
  f("moving_mean_initializer", c.moving_mean_initializer);
  f("moving_variance_initializer", c.moving_variance_initializer);
}
static void describe(nn::Fields& f, nn::LayerNormalization& l) {
  describe_axes(f, l.config.axis);
  // Keras 3.4 and later alone know it.
  if (l.config.rms_scaling || dynamic_cast<ReadFields*>(&f) != nullptr) {
    f("rms_scaling", l.config.rms_scaling);
  }
  describe_normalization(f, l.config);
}
static void describe(nn::Fields& f, nn::GroupNormalization& l) {
  f("groups", l.config.groups)("axis", l.config.axis);
  describe_normalization(f, l.config);
}
static void describe(nn::Fields& f, nn::RMSNormalization& l) {
  describe_axes(f, l.config.axis);
  f("epsilon", l.config.epsilon);
}
static void describe(nn::Fields& f, nn::UnitNormalization& l) { describe_axes(f, l.config.axis); }

/// Keras' noise_shape has null where the input's size counts.
template <class Config>
static void describe_noise(nn::Fields& f, Config& c) {
  if (auto* write = dynamic_cast<WriteFields*>(&f)) {
    Json sizes = Json::array();
    for (const std::int64_t size : c.noise_shape) {
      sizes.push_back(size < 0 ? Json(nullptr) : Json(size));
    }
    write->set("noise_shape", sizes.empty() ? Json(nullptr) : sizes);
  } else {
    f("noise_shape", c.noise_shape);
  }
  f("seed", c.seed);
}
static void describe(nn::Fields& f, nn::Dropout& l) {
  f("rate", l.rate);
  describe_noise(f, l.config);
}
static void describe(nn::Fields& f, nn::AlphaDropout& l) {
  f("rate", l.rate);
  describe_noise(f, l.config);
}
static void describe_seed(nn::Fields& f, std::optional<std::int64_t>& seed) {
  describe_later(f, "seed", seed, std::optional<std::int64_t>());
}
static void describe(nn::Fields& f, nn::SpatialDropout1D& l) {
  f("rate", l.rate);
  describe_seed(f, l.config.seed);
}
static void describe(nn::Fields& f, nn::SpatialDropout2D& l) {
  f("rate", l.rate)("data_format", l.config.data_format);
  describe_seed(f, l.config.seed);
}
static void describe(nn::Fields& f, nn::GaussianNoise& l) {
  f("stddev", l.stddev);
  describe_seed(f, l.config.seed);
}
static void describe(nn::Fields& f, nn::GaussianDropout& l) {
  f("rate", l.rate);
  describe_seed(f, l.config.seed);
}

template <class Kind>
requires std::derived_from<Kind, nn::Merging<Kind>>
static void describe(nn::Fields&, Kind&) {}
static void describe(nn::Fields& f, nn::Concatenate& l) { f("axis", l.axis); }
static void describe(nn::Fields& f, nn::Dot& l) {
  f("axes", l.axes)("normalize", l.config.normalize);
}

// ---- the table

namespace {

struct Row {
  nn::Layer (*read)(nn::Fields&, const std::string& name, bool trainable);
  bool (*write)(const nn::Layer&, nn::Fields&);
};

/// Makes one again of its members, so that its constructor checks them.
template <class T, class... Members>
nn::Layer checked(const T& layer, Members T::*... members) {
  return T(layer.*members..., layer.config);
}

/// first: how to make one that describe() then fills; members: its constructor's arguments before
/// config.
template <class T, auto first, auto... members>
constexpr Row row() {
  return {[](nn::Fields& fields, const std::string& name, bool trainable) -> nn::Layer {
            T layer = first();
            describe(fields, layer);
            if constexpr (requires { layer.config.trainable; }) {
              layer.config.name = name;
              layer.config.trainable = trainable;
              return checked(layer, members...);
            } else {
              nn::Layer result(std::move(layer), name);
              result.set_trainable(trainable);
              return result;
            }
          },
          [](const nn::Layer& layer, nn::Fields& fields) {
            const T* object = layer.as<T>();
            if (object == nullptr) return false;
            T copy = *object;
            describe(fields, copy);
            return true;
          }};
}

template <class T>
constexpr auto plain = [] { return T(); };

const std::map<std::string, Row, std::less<>>& table() {
  using namespace nn;
  static const std::map<std::string, Row, std::less<>> rows{
      {"Dense", row<Dense, [] { return Dense(1); }, &Dense::units>()},
      {"Conv1D",
       row<Conv1D, [] { return Conv1D(1, 1); }, &Conv1D::filters, &Conv1D::kernel_size>()},
      {"Conv2D",
       row<Conv2D, [] { return Conv2D(1, 1); }, &Conv2D::filters, &Conv2D::kernel_size>()},
      {"Conv2DTranspose", row<Conv2DTranspose, [] { return Conv2DTranspose(1, 1); },
                              &Conv2DTranspose::filters, &Conv2DTranspose::kernel_size>()},
      {"DepthwiseConv2D",
       row<DepthwiseConv2D, [] { return DepthwiseConv2D(1); }, &DepthwiseConv2D::kernel_size>()},
      {"SeparableConv2D", row<SeparableConv2D, [] { return SeparableConv2D(1, 1); },
                              &SeparableConv2D::filters, &SeparableConv2D::kernel_size>()},
      {"MaxPooling1D", row<MaxPooling1D, plain<MaxPooling1D>, &MaxPooling1D::pool_size>()},
      {"MaxPooling2D", row<MaxPooling2D, plain<MaxPooling2D>, &MaxPooling2D::pool_size>()},
      {"AveragePooling1D",
       row<AveragePooling1D, plain<AveragePooling1D>, &AveragePooling1D::pool_size>()},
      {"AveragePooling2D",
       row<AveragePooling2D, plain<AveragePooling2D>, &AveragePooling2D::pool_size>()},
      {"GlobalMaxPooling1D", row<GlobalMaxPooling1D, plain<GlobalMaxPooling1D>>()},
      {"GlobalMaxPooling2D", row<GlobalMaxPooling2D, plain<GlobalMaxPooling2D>>()},
      {"GlobalAveragePooling1D", row<GlobalAveragePooling1D, plain<GlobalAveragePooling1D>>()},
      {"GlobalAveragePooling2D", row<GlobalAveragePooling2D, plain<GlobalAveragePooling2D>>()},
      {"Flatten", row<Flatten, plain<Flatten>>()},
      {"Reshape", row<Reshape, [] { return Reshape({-1}); }, &Reshape::target_shape>()},
      {"Permute", row<Permute, [] { return Permute({1}); }, &Permute::dims>()},
      {"RepeatVector", row<RepeatVector, [] { return RepeatVector(1); }, &RepeatVector::n>()},
      {"ZeroPadding1D", row<ZeroPadding1D, plain<ZeroPadding1D>, &ZeroPadding1D::padding>()},
      {"ZeroPadding2D", row<ZeroPadding2D, plain<ZeroPadding2D>, &ZeroPadding2D::padding>()},
      {"Cropping1D", row<Cropping1D, plain<Cropping1D>, &Cropping1D::cropping>()},
      {"Cropping2D", row<Cropping2D, plain<Cropping2D>, &Cropping2D::cropping>()},
      {"UpSampling1D", row<UpSampling1D, plain<UpSampling1D>, &UpSampling1D::size>()},
      {"UpSampling2D", row<UpSampling2D, plain<UpSampling2D>, &UpSampling2D::size>()},
      {"Embedding", row<Embedding, [] { return Embedding(1, 1); }, &Embedding::input_dim,
                        &Embedding::output_dim>()},
      {"Rescaling",
       row<Rescaling, [] { return Rescaling(1); }, &Rescaling::scale, &Rescaling::offset>()},
      {"ActivityRegularization", row<ActivityRegularization, plain<ActivityRegularization>>()},
      {"Identity", row<Identity, plain<Identity>>()},
      {"Activation", row<Activation, plain<Activation>>()},
      {"ReLU", row<ReLU, plain<ReLU>>()},
      {"LeakyReLU", row<LeakyReLU, plain<LeakyReLU>>()},
      {"PReLU", row<PReLU, plain<PReLU>>()},
      {"ELU", row<ELU, plain<ELU>>()},
      {"Softmax", row<Softmax, plain<Softmax>>()},
      {"BatchNormalization", row<BatchNormalization, plain<BatchNormalization>>()},
      {"LayerNormalization", row<LayerNormalization, plain<LayerNormalization>>()},
      {"GroupNormalization", row<GroupNormalization, plain<GroupNormalization>>()},
      {"RMSNormalization", row<RMSNormalization, plain<RMSNormalization>>()},
      {"UnitNormalization", row<UnitNormalization, plain<UnitNormalization>>()},
      {"Dropout", row<Dropout, [] { return Dropout(0); }, &Dropout::rate>()},
      {"AlphaDropout", row<AlphaDropout, [] { return AlphaDropout(0); }, &AlphaDropout::rate>()},
      {"SpatialDropout1D",
       row<SpatialDropout1D, [] { return SpatialDropout1D(0); }, &SpatialDropout1D::rate>()},
      {"SpatialDropout2D",
       row<SpatialDropout2D, [] { return SpatialDropout2D(0); }, &SpatialDropout2D::rate>()},
      {"GaussianNoise",
       row<GaussianNoise, [] { return GaussianNoise(0); }, &GaussianNoise::stddev>()},
      {"GaussianDropout",
       row<GaussianDropout, [] { return GaussianDropout(0); }, &GaussianDropout::rate>()},
      {"Add", row<Add, plain<Add>>()},
      {"Subtract", row<Subtract, plain<Subtract>>()},
      {"Multiply", row<Multiply, plain<Multiply>>()},
      {"Average", row<Average, plain<Average>>()},
      {"Maximum", row<Maximum, plain<Maximum>>()},
      {"Minimum", row<Minimum, plain<Minimum>>()},
      {"Concatenate", row<Concatenate, plain<Concatenate>, &Concatenate::axis>()},
      {"Dot", row<Dot, [] { return Dot(1); }, &Dot::axes>()},
  };
  return rows;
}

/// Types that the program registered.
struct Registry {
  std::mutex mutex;
  std::map<std::string, nn::LayerCodec, std::less<>> codecs;
  static Registry& instance() {
    static Registry registry;
    return registry;
  }
  std::optional<nn::LayerCodec> find(const std::string& name) {
    const std::lock_guard lock(mutex);
    const auto found = codecs.find(name);
    return found == codecs.end() ? std::nullopt : std::optional(found->second);
  }
};

/// What every layer's config has, and says nothing that matters, or is looked at elsewhere.
void ignore_common(ReadFields& fields) {
  for (const char* key :
       {"name", "trainable", "dtype", "batch_input_shape", "batch_shape", "build_input_shape",
        "input_length", "autocast", "sparse", "ragged", "implementation", "fused", "synchronized",
        "shared_object_id", "input_dim", "input_dtype"}) {
    fields.ignore(key);
  }
}

/// Computing in another precision would give other results.
void check_dtype(const Json& dtype, const std::string& where) {
  const Json& policy = dtype.is_object() ? member(member(dtype, "config"), "name") : dtype;
  if (policy.is_null() || policy == "float32") return;
  // What an Embedding or a first layer is fed with.
  for (const char* integer : {"int32", "int64", "uint8"}) {
    if (policy == integer) return;
  }
  fail<UnsupportedError>("{}: dtype {}: Weft computes in float32", where, excerpt(policy));
}

[[noreturn]] void unknown_class(const std::string& class_name, const std::string& where,
                                const Json& config) {
  if (class_name == "Lambda") {
    fail<UnsupportedError>(
        "{}: a Lambda holds code of Python's, which no other program can run: replace it by a "
        "layer "
        "of the same meaning (Rescaling, Activation, Reshape, ...), or by one of a type of your "
        "own "
        "under the name Lambda: nn::register_layer<T>(\"Lambda\")",
        where);
  }
  fail<UnsupportedError>(
      "{}: Weft has no layer \"{}\"; its config is {}. A type of your own can take its place: "
      "nn::register_layer<T>(\"{}\"), io/model_files.hpp",
      where, class_name, excerpt(config), without_package(class_name));
}

}  // namespace

nn::Layer read_layer(const std::string& class_name, const Json& config, Generation from) {
  const Json& given = member(config, "name");
  const std::string name = given.is_string() ? given.get<std::string>() : "";
  const std::string where = fmt::format("layer \"{}\" ({})", name, class_name);
  if (!config.is_object()) fail<IoError>("{}: its config is {}", where, excerpt(config));
  const bool trainable = member(config, "trainable") != false;
  if (const auto codec = Registry::instance().find(std::string(without_package(class_name)))) {
    check_dtype(member(config, "dtype"), where);
    ReadFields fields(config, where, from);
    ignore_common(fields);
    const nn::Layer made = codec->read(fields);
    made.set_trainable(trainable);
    fields.finish();
    return made.named(name);
  }
  std::string present_class = class_name;
  Json present = config;
  modernize(present_class, present, where);
  const auto found = table().find(present_class);
  if (found == table().end()) unknown_class(class_name, where, config);
  check_dtype(member(present, "dtype"), where);
  ReadFields fields(present, where, from);
  ignore_common(fields);
  try {
    const nn::Layer layer = found->second.read(fields, name, trainable);
    fields.finish();
    return layer;
  } catch (const ArgumentError& error) {
    fail<IoError>("{}: {}", where, error.what());
  } catch (const UnsupportedError& error) {
    const std::string_view what = error.what();
    if (what.starts_with(where)) throw;
    fail<UnsupportedError>("{}: {}", where, what);
  }
}

LayerText write_layer(const nn::Layer& layer, const std::string& name, Generation to) {
  const std::string where = fmt::format("layer \"{}\" ({})", name, layer.type());
  Json config = Json::object();
  config["name"] = name;
  config["trainable"] = layer.trainable();
  config["dtype"] = "float32";
  WriteFields fields(config, where, to);
  if (const auto found = table().find(layer.type());
      found != table().end() && found->second.write(layer, fields)) {
    // Keras 3 refuses it there.
    if (std::string(layer.type()).starts_with("SpatialDropout")) config.erase("trainable");
    return {"keras.layers", layer.type(), std::move(config)};
  }
  for (const auto& [class_name, codec] : [] {
         const std::lock_guard lock(Registry::instance().mutex);
         return Registry::instance().codecs;
       }()) {
    if (codec.write(layer, fields)) return {"", class_name, std::move(config)};
  }
  fail<UnsupportedError>(
      "{}: this type is not registered, so that no file can hold it: nn::register_layer<T>(), "
      "io/model_files.hpp",
      where);
}

}  // namespace weft::keras

namespace weft::nn {

void register_layer(const std::string& class_name, LayerCodec codec) {
  auto& registry = keras::Registry::instance();
  const std::lock_guard lock(registry.mutex);
  if (keras::table().contains(class_name) ||
      !registry.codecs.emplace(class_name, std::move(codec)).second) {
    fail<ArgumentError>("register_layer: \"{}\" is there already", class_name);
  }
}

}  // namespace weft::nn
