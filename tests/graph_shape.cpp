// graph/shape.hpp and graph/dtype.hpp.
#include "graph/shape.hpp"

#include <doctest/doctest.h>

#include "graph/error.hpp"
#include "graph/print.hpp"

namespace weft {

TEST_CASE("shape: sizes, axes from either end, elements") {
  const Shape shape{2, 3, 4};
  CHECK(shape.rank() == 3);
  CHECK(shape[0] == 2);
  CHECK(shape[-1] == 4);
  CHECK(shape.elements() == 24);
  CHECK(shape.with(-2, 7) == Shape{2, 7, 4});
  CHECK(Shape{}.elements() == 1);
  CHECK(Shape{}.rank() == 0);
  CHECK(Shape{3, 0, 2}.elements() == 0);
  CHECK(Shape{2, 3} != Shape{3, 2});
  CHECK(Shape{2, 3} != Shape{2, 3, 1});
  CHECK(strides_of(shape) == std::vector<std::int64_t>{12, 4, 1});
  CHECK(strides_of(Shape{}).empty());
}

TEST_CASE("shape: errors say what was given") {
  CHECK_THROWS_WITH_AS((Shape{1, 1, 1, 1, 1, 1, 1, 1, 1}),
                       "shape: 9 axes are too many, at most 8 are supported", ShapeError);
  CHECK_THROWS_WITH_AS((Shape{2, -1}), "shape: axis 1 has the negative size -1", ShapeError);
  CHECK_THROWS_WITH_AS(
      (Shape{std::int64_t{1} << 40, std::int64_t{1} << 40}),
      "shape: [1099511627776,1099511627776] has more elements than a tensor can hold", ShapeError);
  const Shape shape{2, 3};
  CHECK_THROWS_WITH_AS(shape[2], "shape: axis 2 is outside a shape of rank 2: [2,3]", ShapeError);
  CHECK_THROWS_WITH_AS(shape[-3], "shape: axis -3 is outside a shape of rank 2: [2,3]", ShapeError);
  CHECK_THROWS_WITH_AS(shape.with(5, 1), "shape: axis 5 is outside a shape of rank 2: [2,3]",
                       ShapeError);
}

TEST_CASE("broadcast: sizes are equal or one of them is 1") {
  CHECK(broadcast({2, 3}, {3}, "add") == Shape{2, 3});
  CHECK(broadcast({3}, {2, 3}, "add") == Shape{2, 3});
  CHECK(broadcast({2, 1}, {1, 3}, "add") == Shape{2, 3});
  CHECK(broadcast({}, {4}, "add") == Shape{4});
  CHECK(broadcast({}, {}, "add") == Shape{});
  CHECK(broadcast({1}, {0}, "add") == Shape{0});
  CHECK_THROWS_WITH_AS(
      broadcast({2, 3}, {2, 4}, "add"),
      "add: shapes [2,3] and [2,4] do not broadcast: axis 1 from the end has sizes "
      "3 and 4, which must be equal or 1",
      ShapeError);
}

TEST_CASE("axes: counted from the front, sorted, none means all") {
  const Shape shape{2, 3, 4};
  CHECK(axis_of(shape, -1, "sum") == 2);
  CHECK(axes_of(shape, std::vector<int>{-1, 0}, "sum") == std::vector<int>{0, 2});
  CHECK(axes_of(shape, {}, "sum") == std::vector<int>{0, 1, 2});
  CHECK_THROWS_WITH_AS(axes_of(shape, std::vector<int>{2, -1}, "sum"),
                       "sum: axis 2 is named twice for shape [2,3,4]", ShapeError);
  CHECK_THROWS_WITH_AS(axis_of(shape, 3, "sum"),
                       "sum: axis 3 is outside a shape of rank 3: [2,3,4]", ShapeError);
}

TEST_CASE("types: bytes, names, text") {
  CHECK(Type{DType::f32, {2, 3}}.bytes() == 24);
  CHECK(Type{DType::bf16, {2, 3}}.bytes() == 12);
  CHECK(Type{DType::u8, {}}.bytes() == 1);
  CHECK(fmt::format("{}", Type{DType::f32, {32, 28, 28, 1}}) == "f32[32,28,28,1]");
  CHECK(fmt::format("{} {}", DType::s32, Shape{}) == "s32 []");
  CHECK(is_floating(DType::bf16));
  CHECK_FALSE(is_floating(DType::s8));
  CHECK(dtype_of<std::uint8_t> == DType::u8);
  CHECK(dtype_of<Bf16> == DType::bf16);
}

}  // namespace weft
