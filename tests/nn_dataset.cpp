#include "nn/dataset.hpp"

#include <algorithm>

#include "tests/nn_testing.hpp"

namespace weft::test {
namespace {

std::vector<float> taken(const nn::Column& column, std::vector<std::int64_t> rows) {
  std::vector<std::int64_t> sizes{static_cast<std::int64_t>(rows.size())};
  for (const std::int64_t size : column.row_shape()) sizes.push_back(size);
  Tensor batch(Type{DType::f32, Shape(sizes)});
  column.take(rows, batch);
  return to_floats(batch);
}

const Tensor bytes = Tensor::of<std::uint8_t>({4, 2}, {0, 51, 102, 153, 204, 255, 1, 2});

}  // namespace

TEST_CASE("dataset: rows are picked and scaled as they are taken") {
  const nn::Dataset data(bytes);
  CHECK(data.size() == 4);
  CHECK(data.x().row_shape() == Shape{2});
  CHECK(taken(data.x(), {2, 0}) == std::vector<float>{204, 255, 0, 51});
  const nn::Dataset scaled = data.scaled(1.0f / 255);
  CHECK(taken(scaled.x(), {1})[0] == doctest::Approx(0.4));
  CHECK(taken(data.scaled(2, 1).scaled(10, -3).x(), {3}) == std::vector<float>{27, 47});
}

TEST_CASE("dataset: integers can stay integers") {
  Tensor batch(Type{DType::s32, {2, 2}});
  nn::Column(bytes).take(std::vector<std::int64_t>{1, 3}, batch);
  CHECK(batch.data<std::int32_t>()[0] == 102);
  CHECK(batch.data<std::int32_t>()[3] == 2);
  const std::int32_t large = (1 << 30) + 1;  // no float
  Tensor one(Type{DType::s32, {1}});
  nn::Column(Tensor::of<std::int32_t>({1}, {large})).take(std::vector<std::int64_t>{0}, one);
  CHECK(one.item<std::int32_t>() == large);
}

TEST_CASE("dataset: rows go to any place of a larger batch") {
  const nn::Column column = nn::Dataset(bytes).scaled(2).x();
  Tensor batch = Tensor::full({4, 2}, -1);
  column.take(std::vector<std::int64_t>{3, 0}, batch, 1);
  CHECK(to_floats(batch) == std::vector<float>{-1, -1, 2, 4, 0, 102, -1, -1});
  CHECK(message_of<ShapeError>([&] {
          column.take(std::vector<std::int64_t>{3, 0}, batch, 3);
        }) == "dataset: 2 rows of 2 elements do not fit into f32[4,2] from row 3 on");
}

TEST_CASE("dataset: a split takes the last part") {
  const nn::Dataset data(bytes, Tensor::of<float>({4}, {0, 1, 2, 3}));
  const auto [train, validation] = data.split(0.3);  // floor(4 * 0.7) = 2
  CHECK(train.size() == 2);
  CHECK(validation.size() == 2);
  CHECK(taken(validation.x(), {0}) == std::vector<float>{204, 255});
  CHECK(taken(validation.y(), {1}) == std::vector<float>{3});
  CHECK(taken(validation.rows(1, 2).y(), {0}) == std::vector<float>{3});
  CHECK(message_of<ArgumentError>([&] { data.split(0.9); }) ==
        "dataset: a split of 0.9 leaves nothing on one side of 4 samples");
  CHECK(message_of<ArgumentError>([&] { data.split(-1); }) ==
        "dataset: a split of -1 leaves nothing on one side of 4 samples");
  CHECK(message_of<ArgumentError>([&] { data.rows(2, 5); }) ==
        "dataset: there are no samples 2 to 4 among 4");
}

TEST_CASE("dataset: what does not fit together") {
  CHECK(message_of<ShapeError>([] {
          nn::Dataset(bytes, Tensor::of<float>({3}, {0, 1, 2}));
        }) == "dataset: x has 4 samples, but y has 3");
  CHECK(message_of<ShapeError>([] { nn::Dataset(Tensor::scalar(1.0f)); }) ==
        "dataset: a tensor with one row per sample is needed, not a scalar");
  CHECK(message_of<ShapeError>([] {
          Tensor batch(Type{DType::f32, {2, 3}});
          nn::Column(bytes).take(std::vector<std::int64_t>{0, 1}, batch);
        }) == "dataset: 2 rows of 2 elements do not fit into f32[2,3]");
}

TEST_CASE("to_categorical: one-hot vectors") {
  const Tensor labels = Tensor::of<std::uint8_t>({3}, {2, 0, 1});
  const Tensor vectors = nn::to_categorical(labels);
  CHECK(vectors.type() == Type{DType::f32, {3, 3}});
  CHECK(to_floats(vectors) == std::vector<float>{0, 0, 1, 1, 0, 0, 0, 1, 0});
  CHECK(nn::to_categorical(labels, 5).shape() == Shape{3, 5});
  CHECK(nn::to_categorical(labels.reshaped({3, 1})).shape() == Shape{3, 3});
  CHECK(nn::to_categorical(Tensor::of<float>({2, 2}, {0, 1, 1, 0})).shape() == Shape{2, 2, 2});
  CHECK(message_of<ArgumentError>([&] { nn::to_categorical(labels, 2); }) ==
        "labels: label 2 at position 0 is not one of the 2 classes 0 to 1");
  CHECK(message_of<ArgumentError>([&] {
          nn::to_categorical(Tensor::of<std::int32_t>({2}, {3, -1}));
        }) == "labels: label -1 at position 1 is not one of the 4 classes 0 to 3");
  CHECK(message_of<ArgumentError>([&] {
          nn::to_categorical(Tensor::of<float>({2}, {0, 0.5f}), 3);
        }) == "labels: label 0.5 at position 1 is not one of the 3 classes 0 to 2");
}

TEST_CASE("dataset: a column as a tensor") {
  const nn::Dataset data(Tensor::of<std::uint8_t>({3, 2}, {0, 51, 102, 153, 204, 255}),
                         Tensor::of<std::uint8_t>({3}, {2, 0, 1}));
  const Tensor x = data.scaled(1.0f / 255).rows(1, 3).x().to_tensor();
  CHECK(x.type() == Type{DType::f32, {2, 2}});
  CHECK(x.data<float>()[1] == doctest::Approx(0.6));
  const Tensor y = data.y().picked(std::vector<std::int64_t>{2, 0}).to_tensor();
  CHECK(y.type() == Type{DType::s32, {2}});
  CHECK(std::ranges::equal(y.data<std::int32_t>(), std::vector{1, 2}));
}

}  // namespace weft::test
