#include "io/keras/fields.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <span>

#include "graph/print.hpp"
#include "io/keras/classes.hpp"
#include "nn/names.hpp"

namespace weft::keras {

// ---- initializers

static void describe(nn::Fields&, nn::Zeros&) {}
static void describe(nn::Fields&, nn::Ones&) {}
static void describe(nn::Fields& f, nn::Constant& c) { f("value", c.value); }
static void describe(nn::Fields& f, nn::GlorotUniform& i) { f("seed", i.seed); }
static void describe(nn::Fields& f, nn::GlorotNormal& i) { f("seed", i.seed); }
static void describe(nn::Fields& f, nn::HeUniform& i) { f("seed", i.seed); }
static void describe(nn::Fields& f, nn::HeNormal& i) { f("seed", i.seed); }
static void describe(nn::Fields& f, nn::LecunUniform& i) { f("seed", i.seed); }
static void describe(nn::Fields& f, nn::LecunNormal& i) { f("seed", i.seed); }
static void describe(nn::Fields& f, nn::RandomNormal& i) {
  f("mean", i.mean)("stddev", i.stddev)("seed", i.seed);
}
static void describe(nn::Fields& f, nn::TruncatedNormal& i) {
  f("mean", i.mean)("stddev", i.stddev)("seed", i.seed);
}
static void describe(nn::Fields& f, nn::RandomUniform& i) {
  f("minval", i.minval)("maxval", i.maxval)("seed", i.seed);
}
static void describe(nn::Fields& f, nn::Orthogonal& i) { f("gain", i.gain)("seed", i.seed); }
static void describe(nn::Fields& f, nn::IdentityInitializer& i) { f("gain", i.gain); }

static constexpr std::array modes{"fan_in", "fan_out", "fan_avg"};
static constexpr std::array distributions{"truncated_normal", "untruncated_normal", "uniform"};

template <std::size_t N>
static std::size_t place_of(const std::array<const char*, N>& names, const std::string& name) {
  return static_cast<std::size_t>(std::find(names.begin(), names.end(), name) - names.begin());
}

static void describe(nn::Fields& f, nn::VarianceScaling& i) {
  std::string mode = modes.at(i.mode), distribution = distributions.at(i.distribution);
  f("scale", i.scale)("mode", mode)("distribution", distribution)("seed", i.seed);
  if (distribution == "normal") distribution = "truncated_normal";  // its name in Keras 1
  const std::size_t m = place_of(modes, mode), d = place_of(distributions, distribution);
  if (m == modes.size() || d == distributions.size()) {
    fail<UnsupportedError>("initializer VarianceScaling: mode \"{}\", distribution \"{}\"", mode,
                           distribution);
  }
  i.mode = static_cast<nn::VarianceScaling::Mode>(m);
  i.distribution = static_cast<nn::VarianceScaling::Distribution>(d);
}

template <class T>
static constexpr auto initializer = class_of<nn::Initializer, T>;

static constexpr std::array initializers{
    initializer<nn::Zeros>("Zeros"),
    initializer<nn::Ones>("Ones"),
    initializer<nn::Constant>("Constant"),
    initializer<nn::GlorotUniform>("GlorotUniform"),
    initializer<nn::GlorotNormal>("GlorotNormal"),
    initializer<nn::HeUniform>("HeUniform"),
    initializer<nn::HeNormal>("HeNormal"),
    initializer<nn::LecunUniform>("LecunUniform"),
    initializer<nn::LecunNormal>("LecunNormal"),
    initializer<nn::VarianceScaling>("VarianceScaling"),
    initializer<nn::RandomNormal>("RandomNormal"),
    initializer<nn::TruncatedNormal>("TruncatedNormal"),
    initializer<nn::RandomUniform>("RandomUniform"),
    initializer<nn::Orthogonal>("Orthogonal"),
    initializer<nn::IdentityInitializer>("Identity"),
    // As Keras 3 called them at first.
    initializer<nn::Orthogonal>("OrthogonalInitializer"),
    initializer<nn::IdentityInitializer>("IdentityInitializer"),
};

// ---- regularizers and constraints

static void describe(nn::Fields& f, nn::L1& r) { f("l1", r.l1); }
static void describe(nn::Fields& f, nn::L2& r) { f("l2", r.l2); }
static void describe(nn::Fields& f, nn::L1L2& r) { f("l1", r.l1)("l2", r.l2); }
static void describe(nn::Fields& f, nn::OrthogonalRegularizer& r) {
  f("factor", r.factor)("mode", r.mode);
}

static constexpr std::array regularizers{
    class_of<nn::Regularizer, nn::L1>("L1"),
    class_of<nn::Regularizer, nn::L2>("L2"),
    class_of<nn::Regularizer, nn::L1L2>("L1L2"),
    class_of<nn::Regularizer, nn::OrthogonalRegularizer>("OrthogonalRegularizer"),
};

static void describe(nn::Fields& f, nn::MaxNorm& c) { f("max_value", c.max_value)("axis", c.axis); }
static void describe(nn::Fields& f, nn::MinMaxNorm& c) {
  f("min_value", c.min_value)("max_value", c.max_value)("rate", c.rate)("axis", c.axis);
}
static void describe(nn::Fields&, nn::NonNeg&) {}
static void describe(nn::Fields& f, nn::UnitNorm& c) { f("axis", c.axis); }

static constexpr std::array constraints{
    class_of<nn::Constraint, nn::MaxNorm>("MaxNorm"),
    class_of<nn::Constraint, nn::MinMaxNorm>("MinMaxNorm"),
    class_of<nn::Constraint, nn::NonNeg>("NonNeg"),
    class_of<nn::Constraint, nn::UnitNorm>("UnitNorm"),
};

// ---- schedules

static void describe(nn::Fields& f, nn::ExponentialDecay& s) {
  f("initial_learning_rate", s.initial_learning_rate)("decay_steps", s.decay_steps);
  f("decay_rate", s.decay_rate)("staircase", s.staircase);
}
static void describe(nn::Fields& f, nn::PiecewiseConstantDecay& s) {
  f("boundaries", s.boundaries)("values", s.values);
}
static void describe(nn::Fields& f, nn::PolynomialDecay& s) {
  f("initial_learning_rate", s.initial_learning_rate)("decay_steps", s.decay_steps);
  f("end_learning_rate", s.end_learning_rate)("power", s.power)("cycle", s.cycle);
}
static void describe(nn::Fields& f, nn::InverseTimeDecay& s) {
  f("initial_learning_rate", s.initial_learning_rate)("decay_steps", s.decay_steps);
  f("decay_rate", s.decay_rate)("staircase", s.staircase);
}
static void describe(nn::Fields& f, nn::CosineDecay& s) {
  f("initial_learning_rate", s.initial_learning_rate)("decay_steps", s.decay_steps);
  f("alpha", s.alpha)("warmup_target", s.warmup_target)("warmup_steps", s.warmup_steps);
}
static void describe(nn::Fields& f, nn::CosineDecayRestarts& s) {
  f("initial_learning_rate", s.initial_learning_rate)("first_decay_steps", s.first_decay_steps);
  f("t_mul", s.t_mul)("m_mul", s.m_mul)("alpha", s.alpha);
}

template <class T>
static constexpr auto schedule = class_of<nn::LearningRate, T>;

static constexpr std::array schedules{
    schedule<nn::ExponentialDecay>("ExponentialDecay"),
    schedule<nn::PiecewiseConstantDecay>("PiecewiseConstantDecay"),
    schedule<nn::PolynomialDecay>("PolynomialDecay"),
    schedule<nn::InverseTimeDecay>("InverseTimeDecay"),
    schedule<nn::CosineDecay>("CosineDecay"),
    schedule<nn::CosineDecayRestarts>("CosineDecayRestarts"),
};

Json object_of(std::string_view module, std::string_view class_name, Json config, Generation to) {
  Json object = Json::object();
  if (to == Generation::keras3) object["module"] = module;
  object["class_name"] = class_name;
  object["config"] = std::move(config);
  if (to == Generation::keras3) object["registered_name"] = nullptr;
  return object;
}

[[noreturn]] static void refuse_sparsemax(const std::string& where) {
  fail<UnsupportedError>(
      "{}: sparsemax of Keras 3.15 does not sum to 1, as that of its paper and of Weft does, so "
      "that "
      "predictions would differ",
      where);
}

nn::Activation read_activation(const Json& value, const std::string& where, Generation from) {
  std::string name;
  if (value.is_null()) {
    name = "linear";
  } else if (value.is_string()) {
    name = value.get<std::string>();
  } else {
    // Keras 3 writes a function as {"class_name": "function", "config": "relu"}.
    const Described object = described(value, where);
    if (object.class_name != "function" || !object.config->is_string()) {
      fail<UnsupportedError>("{}: an activation by name is known, not {}", where, excerpt(value));
    }
    name = object.config->get<std::string>();
  }
  // Keras 2 may write the names of TensorFlow's functions.
  if (name == "softmax_v2" || name == "log_softmax_v2") name.resize(name.size() - 3);
  if (from == Generation::keras2 && name == "hard_sigmoid") {
    fail<UnsupportedError>(
        "{}: hard_sigmoid of Keras 2 is clip(x / 5 + 0.5, 0, 1), that of Keras 3 clip(x / 6 + 0.5, "
        "0, 1); here the latter is known alone",
        where);
  }
  if (name == "sparsemax") refuse_sparsemax(where);
  try {
    return {name};
  } catch (const ArgumentError& error) {
    fail<UnsupportedError>("{}: {}", where, error.what());
  }
}

nn::Initializer read_initializer(const Json& value, const std::string& where) {
  return read_object(value, where, "initializer", initializers);
}
nn::Regularizer read_regularizer(const Json& value, const std::string& where) {
  if (value.is_null()) return {};
  return read_object(value, where, "regularizer", regularizers);
}
nn::Constraint read_constraint(const Json& value, const std::string& where) {
  if (value.is_null()) return {};
  return read_object(value, where, "constraint", constraints);
}
nn::LearningRate read_learning_rate(const Json& value, const std::string& where) {
  const Json& plain = unwrapped(value);
  if (plain.is_number()) return plain.get<double>();
  return read_object(plain, where, "schedule", schedules);
}

// ---- reading

ReadFields::ReadFields(const Json& config, std::string where, Generation from)
    : config_(config), where_(std::move(where)), from_(from) {
  if (!config.is_object()) {
    fail<IoError>("{}: its config must be an object, not {}", where_, excerpt(config));
  }
}

const Json* ReadFields::find(Key key) {
  const Json* found = nullptr;
  for (const std::string_view name : {key.name, key.older}) {
    if (name.empty()) continue;
    seen_.insert(std::string(name));
    const auto at = config_.find(std::string(name));
    if (at != config_.end() && found == nullptr) found = &unwrapped(*at);
  }
  return found;
}

void ReadFields::wrong(Key key, std::string_view wanted, const Json& value) const {
  fail<IoError>("{}: \"{}\" must be {}, not {}", where_, key.name, wanted, excerpt(value));
}

void ReadFields::finish() const {
  for (const auto& [key, value] : config_.items()) {
    if (seen_.contains(key) || value.is_null() || value == false || value.empty()) continue;
    if (value.is_string() && value.get<std::string>().empty()) continue;
    fail<UnsupportedError>("{}: \"{}\" is {}, but Weft does not know that argument", where_, key,
                           excerpt(value));
  }
}

void ReadFields::expect(std::string_view key, const Json& value) {
  ignore(key);
  const Json& given = member(config_, key);
  if (given.is_null() || given == value) return;
  fail<UnsupportedError>("{}: \"{}\" is {}, but Weft has it for {} alone", where_, key,
                         excerpt(given), excerpt(value));
}

std::int64_t ReadFields::integer(Key key, const Json& value) const {
  if (value.is_array() && value.size() == 1) return integer(key, value[0]);
  if (value.is_number_unsigned() &&
      value.get<std::uint64_t>() > std::uint64_t{std::numeric_limits<std::int64_t>::max()}) {
    wrong(key, "an integer of 64 bits", value);
  }
  if (value.is_number_integer()) {
    const auto number = value.get<std::int64_t>();
    // So that no sum or product of sizes leaves 64 bits before a shape is checked.
    constexpr std::int64_t most = std::int64_t{1} << 31;
    if (key.name != "seed" && (number > most || number < -most)) {
      wrong(key, "an integer of at most 31 bits", value);
    }
    return number;
  }
  if (value.is_number_float()) {
    const auto number = value.get<double>();
    if (std::abs(number) < 0x1p53 && std::trunc(number) == number) {
      return static_cast<std::int64_t>(number);
    }
  }
  wrong(key, "an integer", value);
}

double ReadFields::number(Key key, const Json& value) const {
  if (value.is_array() && value.size() == 1) return number(key, value[0]);
  if (!value.is_number()) wrong(key, "a number", value);
  return value.get<double>();
}

std::vector<std::int64_t> ReadFields::integers(Key key, const Json& value) const {
  std::vector<std::int64_t> result;
  if (!value.is_array()) return {integer(key, value)};
  // [[1, 2], [3, 4]], as padding has it, counts as 1, 2, 3, 4; null as -1, a size that is not
  // given.
  for (const Json& element : value) {
    if (element.is_null()) {
      result.push_back(-1);
      continue;
    }
    for (const std::int64_t number : integers(key, unwrapped(element))) result.push_back(number);
  }
  return result;
}

void ReadFields::field(Key key, bool& value) {
  const Json* found = find(key);
  if (found == nullptr || found->is_null()) return;
  if (!found->is_boolean()) wrong(key, "true or false", *found);
  value = found->get<bool>();
}
void ReadFields::field(Key key, std::int64_t& value) {
  const Json* found = find(key);
  if (found != nullptr && !found->is_null()) value = integer(key, *found);
}
void ReadFields::field(Key key, double& value) {
  const Json* found = find(key);
  if (found != nullptr && !found->is_null()) value = number(key, *found);
}
void ReadFields::field(Key key, std::string& value) {
  const Json* found = find(key);
  if (found == nullptr || found->is_null()) return;
  if (!found->is_string()) wrong(key, "a text", *found);
  value = found->get<std::string>();
}
void ReadFields::field(Key key, std::optional<double>& value) {
  const Json* found = find(key);
  if (found == nullptr) return;
  value = found->is_null() ? std::nullopt : std::optional(number(key, *found));
}
void ReadFields::field(Key key, std::optional<std::int64_t>& value) {
  const Json* found = find(key);
  if (found == nullptr) return;
  value = found->is_null() ? std::nullopt : std::optional(integer(key, *found));
}
void ReadFields::field(Key key, std::vector<std::int64_t>& value) {
  const Json* found = find(key);
  if (found != nullptr && !found->is_null()) value = integers(key, *found);
}
void ReadFields::field(Key key, std::vector<std::vector<std::int64_t>>& value) {
  const Json* found = find(key);
  if (found == nullptr || found->is_null()) return;
  value.clear();
  if (!found->is_array()) {
    value.push_back({integer(key, *found)});
    return;
  }
  for (const Json& element : *found) value.push_back(integers(key, unwrapped(element)));
}
void ReadFields::field(Key key, std::vector<double>& value) {
  const Json* found = find(key);
  if (found == nullptr || found->is_null()) return;
  if (!found->is_array()) {
    value = {number(key, *found)};
    return;
  }
  value.clear();
  for (const Json& element : *found) value.push_back(number(key, unwrapped(element)));
}
void ReadFields::field(Key key, std::vector<std::string>& value) {
  const Json* found = find(key);
  if (found == nullptr || found->is_null()) return;
  if (!found->is_array()) wrong(key, "a list of texts", *found);
  value.clear();
  for (const Json& element : *found) {
    if (!element.is_string()) wrong(key, "a list of texts", *found);
    value.push_back(element.get<std::string>());
  }
}
void ReadFields::field(Key key, std::vector<int>& value) {
  std::vector<std::int64_t> wide(value.begin(), value.end());
  field(key, wide);
  value.clear();
  for (const std::int64_t number : wide) {
    if (number != static_cast<int>(number)) wrong(key, "a list of small integers", number);
    value.push_back(static_cast<int>(number));
  }
}
void ReadFields::field(Key key, nn::Axes& value) {
  field(key, static_cast<std::vector<int>&>(value));
}
void ReadFields::field(Key key, nn::Size2D& value) {
  const Json* found = find(key);
  if (found == nullptr || found->is_null()) return;
  const std::vector<std::int64_t> sizes = integers(key, *found);
  if (sizes.size() != 1 && sizes.size() != 2) wrong(key, "one or two integers", *found);
  value = {sizes.front(), sizes.back()};
}
void ReadFields::field(Key key, std::optional<nn::Size2D>& value) {
  const Json* found = find(key);
  if (found == nullptr) return;
  value.reset();
  if (found->is_null()) return;
  nn::Size2D size = 0;
  field(key, size);
  value = size;
}
void ReadFields::field(Key key, nn::Activation& value) {
  const Json* found = find(key);
  if (found == nullptr) return;
  value = read_activation(*found, fmt::format("{}: \"{}\"", where_, key.name), from_);
}
void ReadFields::field(Key key, nn::Initializer& value) {
  const Json* found = find(key);
  if (found == nullptr || found->is_null()) return;
  value = read_initializer(*found, fmt::format("{}: \"{}\"", where_, key.name));
}
void ReadFields::field(Key key, nn::Regularizer& value) {
  const Json* found = find(key);
  if (found == nullptr) return;
  value = read_regularizer(*found, fmt::format("{}: \"{}\"", where_, key.name));
}
void ReadFields::field(Key key, nn::Constraint& value) {
  const Json* found = find(key);
  if (found == nullptr) return;
  value = read_constraint(*found, fmt::format("{}: \"{}\"", where_, key.name));
}
void ReadFields::field(Key key, nn::LearningRate& value) {
  const Json* found = find(key);
  if (found == nullptr || found->is_null()) return;
  value = read_learning_rate(*found, fmt::format("{}: \"{}\"", where_, key.name));
}

// ---- writing

Json& WriteFields::at(Key key) {
  const bool old = to_ == Generation::keras2 && !key.older.empty();
  return config_[std::string(old ? key.older : key.name)];
}

double WriteFields::finite(Key key, double number) const {
  if (std::isfinite(number)) return number;
  fail<UnsupportedError>("{}: \"{}\" is {}, which no file can hold: JSON has finite numbers only",
                         where_, key.name, number);
}

namespace {

template <class T>
Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

}  // namespace

void WriteFields::field(Key key, bool& value) { at(key) = value; }
void WriteFields::field(Key key, std::int64_t& value) { at(key) = value; }
void WriteFields::field(Key key, double& value) { at(key) = finite(key, value); }
void WriteFields::field(Key key, std::string& value) { at(key) = value; }
void WriteFields::field(Key key, std::optional<double>& value) {
  if (value) finite(key, *value);
  at(key) = or_null(value);
}
void WriteFields::field(Key key, std::optional<std::int64_t>& value) { at(key) = or_null(value); }
void WriteFields::field(Key key, std::vector<std::int64_t>& value) { at(key) = value; }
void WriteFields::field(Key key, std::vector<std::vector<std::int64_t>>& value) { at(key) = value; }
void WriteFields::field(Key key, std::vector<double>& value) {
  for (const double number : value) finite(key, number);
  at(key) = value.empty() ? Json(nullptr) : value.size() == 1 ? Json(value[0]) : Json(value);
}
void WriteFields::field(Key key, std::vector<std::string>& value) { at(key) = value; }
void WriteFields::field(Key key, std::vector<int>& value) { at(key) = value; }
void WriteFields::field(Key key, nn::Axes& value) {
  at(key) = value.size() == 1 ? Json(value[0]) : Json(static_cast<std::vector<int>&>(value));
}
void WriteFields::field(Key key, nn::Size2D& value) {
  at(key) = Json::array({value.height, value.width});
}
void WriteFields::field(Key key, std::optional<nn::Size2D>& value) {
  at(key) = value ? Json::array({value->height, value->width}) : Json(nullptr);
}
void WriteFields::field(Key key, nn::Activation& value) {
  try {
    at(key) = nn::Activation(value.identifier).identifier;
  } catch (const ArgumentError&) {
    fail<UnsupportedError>(
        "{}: \"{}\" is a function of the program's, which no file can hold; a layer of a type of "
        "its own can be registered",
        where_, key.name);
  }
  if (value.identifier == "sparsemax") refuse_sparsemax(where_);
  if (to_ == Generation::keras2 && value.identifier == "hard_sigmoid") {
    fail<UnsupportedError>("{}: hard_sigmoid is another function in Keras 2: save as .keras",
                           where_);
  }
}
void WriteFields::field(Key key, nn::Initializer& value) {
  at(key) = write_object(value, where_, "initializer", "keras.initializers", initializers, to_);
}
void WriteFields::field(Key key, nn::Regularizer& value) {
  at(key) =
      value ? write_object(value, where_, "regularizer", "keras.regularizers", regularizers, to_)
            : Json(nullptr);
}
void WriteFields::field(Key key, nn::Constraint& value) {
  at(key) = value ? write_object(value, where_, "constraint", "keras.constraints", constraints, to_)
                  : Json(nullptr);
}
void WriteFields::field(Key key, nn::LearningRate& value) {
  // A schedule without its module is refused by Keras 3, also in an .h5.
  at(key) = value.is_schedule()
                ? write_object(value, where_, "schedule", "keras.optimizers.schedules", schedules,
                               Generation::keras3)
                : Json(finite(key, value.number));
}

}  // namespace weft::keras
