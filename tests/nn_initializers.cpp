#include "nn/initializers.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "tests/nn_testing.hpp"

namespace weft::test {
namespace {

struct Statistics {
  double mean = 0, deviation = 0, low = 0, high = 0;
};

Statistics statistics_of(const Tensor& tensor) {
  const auto numbers = tensor.data<float>();
  const auto n = static_cast<double>(numbers.size());
  Statistics s;
  for (const float x : numbers) s.mean += x / n;
  for (const float x : numbers) s.deviation += (x - s.mean) * (x - s.mean) / n;
  s.deviation = std::sqrt(s.deviation);
  const auto [low, high] = std::minmax_element(numbers.begin(), numbers.end());
  s.low = *low;
  s.high = *high;
  return s;
}

Statistics draw(const nn::Initializer& initializer, const Shape& shape) {
  nn::Random random(1);
  return statistics_of(initializer(shape, random));
}

// 200 x 300 numbers: the deviation of their mean is 1/245 of theirs.
const Shape large{200, 300};
constexpr double slack = 0.02;

}  // namespace

TEST_CASE("random: draws are even, bounded and repeatable") {
  nn::Random random(5), same(5), other(6), purpose(5, "a");
  const auto first = random.bits();
  CHECK(first == same.bits());
  CHECK(first != other.bits());
  CHECK(first != purpose.bits());
  std::vector<int> counts(6);
  for (int i = 0; i < 6000; ++i) ++counts[random.below(6)];
  for (const int count : counts) CHECK(std::abs(count - 1000) < 150);
  for (int i = 0; i < 1000; ++i) {
    const double x = random.uniform(2, 3);
    CHECK((x >= 2 && x < 3));
  }
}

TEST_CASE("random: a shuffle is a permutation, and the same for the same seed") {
  std::vector<std::int64_t> a(1000);
  std::iota(a.begin(), a.end(), 0);
  const auto in_order = a;
  auto b = a;
  nn::Random random(3), same(3);
  nn::shuffle(a, random);
  nn::shuffle(b, same);
  CHECK(a == b);
  CHECK(a != in_order);
  std::sort(a.begin(), a.end());
  CHECK(a == in_order);
}

TEST_CASE("initializers: fans") {
  CHECK(nn::fans_of({7}).in == 7);
  CHECK(nn::fans_of({7}).out == 7);
  CHECK(nn::fans_of({3, 5}).in == 3);
  CHECK(nn::fans_of({3, 5}).out == 5);
  CHECK(nn::fans_of({3, 3, 16, 32}).in == 144);
  CHECK(nn::fans_of({3, 3, 16, 32}).out == 288);
}

TEST_CASE("initializers: uniform ones fill their range") {
  const auto check = [](const char* name, double limit) {
    CAPTURE(name);
    const Statistics s = draw(name, large);
    CHECK(std::abs(s.mean) < slack * limit);
    CHECK(s.deviation == doctest::Approx(limit / std::sqrt(3)).epsilon(slack));
    CHECK(s.low >= -limit);
    CHECK(s.high <= limit);
    CHECK(s.high > 0.99 * limit);
  };
  check("glorot_uniform", std::sqrt(6.0 / 500));
  check("he_uniform", std::sqrt(6.0 / 200));
  check("lecun_uniform", std::sqrt(3.0 / 200));
  check("random_uniform", 0.05);
}

TEST_CASE("initializers: normal ones have the right deviation, cut or not") {
  const auto check = [](const char* name, double deviation, double cut) {
    CAPTURE(name);
    const Statistics s = draw(name, large);
    CHECK(std::abs(s.mean) < slack * deviation);
    CHECK(s.deviation == doctest::Approx(deviation).epsilon(slack));
    CHECK(s.high <= cut);
    CHECK(s.low >= -cut);
  };
  constexpr double when_cut = 0.87962566103423978;
  check("glorot_normal", std::sqrt(2.0 / 500), 2 * std::sqrt(2.0 / 500) / when_cut);
  check("he_normal", std::sqrt(2.0 / 200), 2 * std::sqrt(2.0 / 200) / when_cut);
  check("lecun_normal", std::sqrt(1.0 / 200), 2 * std::sqrt(1.0 / 200) / when_cut);
  check("truncated_normal", 0.05 * when_cut, 0.1);
  check("random_normal", 0.05, 0.3);
  CHECK(draw("random_normal", large).high > 0.15);
}

TEST_CASE("initializers: constants, and objects that can be read back") {
  nn::Random random(0);
  CHECK(nn::Initializer("ones")({2}, random).data<float>()[1] == 1);
  CHECK(nn::Initializer("zeros")({2}, random).data<float>()[1] == 0);
  const nn::Initializer constant = nn::Constant{2.5};
  CHECK(constant.name == "constant");
  CHECK(constant({2}, random).data<float>()[0] == 2.5f);
  REQUIRE(constant.as<nn::Constant>() != nullptr);
  CHECK(constant.as<nn::Constant>()->value == 2.5);
  CHECK(constant.as<nn::RandomNormal>() == nullptr);
}

TEST_CASE("initializers: orthogonal") {
  for (const Shape& shape : {Shape{6, 4}, Shape{4, 6}, Shape{1, 2, 3, 4}}) {
    nn::Random random(4);
    const Tensor q = nn::Orthogonal{2}(shape, random);
    const auto columns = static_cast<std::size_t>(shape[-1]);
    const std::size_t rows = q.data<float>().size() / columns;
    const bool tall = rows >= columns;
    const std::size_t count = std::min(rows, columns), length = std::max(rows, columns);
    for (std::size_t i = 0; i < count; ++i) {
      for (std::size_t j = 0; j < count; ++j) {
        double dot = 0;
        for (std::size_t k = 0; k < length; ++k) {
          dot += double{q.data<float>()[tall ? k * columns + i : i * columns + k]} *
                 double{q.data<float>()[tall ? k * columns + j : j * columns + k]};
        }
        CHECK(dot == doctest::Approx(i == j ? 4 : 0).epsilon(1e-5).scale(1));
      }
    }
  }
  nn::Random random(0);
  CHECK(message_of<ShapeError>([&] { nn::Orthogonal{}({3}, random); }) ==
        "orthogonal: a parameter of at least 2 axes is needed, not f32[3]");
}

TEST_CASE("initializers: an unknown name") {
  CHECK(message_of<ArgumentError>([] { nn::Initializer("xavier"); }) ==
        "initializer: unknown name \"xavier\"; known are zeros, ones, constant, glorot_uniform, "
        "glorot_normal, he_uniform, he_normal, lecun_uniform, lecun_normal, random_normal, normal, "
        "random_uniform, uniform, truncated_normal, variance_scaling, orthogonal, identity");
  CHECK(nn::Initializer("GlorotUniform").name == "glorot_uniform");
}

TEST_CASE("names: as Keras makes them of classes") {
  CHECK(nn::snake_case("Conv2D") == "conv2d");
  CHECK(nn::snake_case("MaxPooling2D") == "max_pooling2d");
  CHECK(nn::snake_case("GlobalAveragePooling2D") == "global_average_pooling2d");
  CHECK(nn::snake_case("Dense") == "dense");
  CHECK(nn::snake_case("LSTM") == "lstm");
  CHECK(nn::snake_case("ReLU") == "re_lu");
  CHECK(nn::snake_case("BatchNormalization") == "batch_normalization");
  CHECK(nn::same_name("RMSprop", "rmsprop"));
  CHECK(nn::same_name("CategoricalCrossentropy", "categorical_crossentropy"));
  CHECK_FALSE(nn::same_name("adam", "adamw"));
}

}  // namespace weft::test
