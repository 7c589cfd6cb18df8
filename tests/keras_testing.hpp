// What the tests of Keras' files share: files of tests/data/keras, and predictions compared.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>
#include <string>

#include "io/npy.hpp"
#include "nn/nn.hpp"

namespace weft::test {

inline std::filesystem::path sample(const std::string& name) {
  return std::filesystem::path(WEFT_SOURCE_DIR "/tests/data/keras") / name;
}

inline Tensor ramp(const Shape& shape) {
  Tensor tensor({DType::f32, shape});
  int i = 0;
  for (float& number : tensor.data<float>()) number = static_cast<float>(i++ * 7 % 13) / 13 - 0.4f;
  return tensor;
}

/// Equal to what Keras predicted, to what sums in another order may differ by.
inline void check_predicts(nn::Model& model, const std::string& folder) {
  const Tensor expected = read_npy(sample(folder) / "y0.npy");
  const Tensor got = model.predict(read_npy(sample(folder) / "x0.npy"), {.verbose = 0});
  REQUIRE(got.shape() == expected.shape());
  for (std::size_t i = 0; i < got.data<float>().size(); ++i) {
    const float wanted = expected.data<float>()[i];
    CHECK(std::abs(got.data<float>()[i] - wanted) <= 1e-5f * std::abs(wanted) + 1e-6f);
  }
}

/// The same numbers, but for their last digits: other names may mean another order of sums.
inline void check_same(nn::Model& a, nn::Model& b, const nn::Dataset& x) {
  const auto expected = a.predict_all(x, {.verbose = 0}), got = b.predict_all(x, {.verbose = 0});
  REQUIRE(expected.size() == got.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    REQUIRE(expected[i].shape() == got[i].shape());
    for (std::size_t k = 0; k < got[i].data<float>().size(); ++k) {
      CHECK(got[i].data<float>()[k] == doctest::Approx(expected[i].data<float>()[k]).epsilon(1e-5));
    }
  }
}

}  // namespace weft::test
