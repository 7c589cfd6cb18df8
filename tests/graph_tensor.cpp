// graph/tensor.hpp and graph/array.hpp.
#include "graph/tensor.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "graph/array.hpp"
#include "graph/error.hpp"

namespace weft {

TEST_CASE("tensor: numbers in, numbers out") {
  const Tensor t = Tensor::of<float>({2, 2}, {1, 2, 3, 4});
  CHECK(t.type() == Type{DType::f32, {2, 2}});
  CHECK(t.data<float>()[3] == 4);
  CHECK(Tensor::scalar(std::int32_t{7}).item<std::int32_t>() == 7);
  CHECK(Tensor::of<std::uint8_t>({3}, std::vector<std::uint8_t>{1, 2, 255}).dtype() == DType::u8);
  CHECK(Tensor::full({2}, 0.5f).data<float>()[1] == 0.5f);
  CHECK(Tensor(Type{DType::f32, {3}}).data<float>()[2] == 0);
  CHECK(Tensor(Type{DType::f32, {0, 3}}).data<float>().empty());
  CHECK(to_floats(Tensor::of<std::int8_t>({2}, {-1, 5})) == std::vector<float>{-1, 5});
  CHECK(reinterpret_cast<std::uintptr_t>(t.bytes()) % 64 == 0);
}

TEST_CASE("tensor: copies share, clones do not, reshaped is a view") {
  Tensor a = Tensor::of<float>({2, 2}, {1, 2, 3, 4});
  Tensor shared = a, apart = a.clone(), view = a.reshaped({4});
  a.data<float>()[0] = 9;
  CHECK(shared.data<float>()[0] == 9);
  CHECK(view.data<float>()[0] == 9);
  CHECK(apart.data<float>()[0] == 1);
  CHECK(view.shape() == Shape{4});
  const Tensor nothing;
  CHECK_FALSE(nothing);
  CHECK_FALSE(nothing.clone());
  CHECK(a);
}

TEST_CASE("tensor: errors") {
  const Tensor t = Tensor::of<float>({2, 2}, {1, 2, 3, 4});
  CHECK_THROWS_WITH_AS((Tensor::of<float>({2}, {1, 2, 3})), "tensor: f32[2] has 2 elements, not 3",
                       ShapeError);
  CHECK_THROWS_WITH_AS(t.data<std::int32_t>(), "tensor: elements of a f32[2,2] tensor are not s32",
                       TypeError);
  CHECK_THROWS_WITH_AS(t.item<float>(), "tensor: f32[2,2] has 4 elements, not 1", ShapeError);
  CHECK_THROWS_WITH_AS(t.reshaped({3}),
                       "tensor: cannot see f32[2,2] (4 elements) as [3] (3 elements)", ShapeError);
}

TEST_CASE("array: integers truncate toward zero and saturate") {
  const Array array({5}, {-300.5, -1.9, 1.9, 127.9, 1e10});
  const Tensor s8 = to_tensor(array, DType::s8), u8 = to_tensor(array, DType::u8);
  CHECK(to_floats(s8) == std::vector<float>{-128, -1, 1, 127, 127});
  CHECK(to_floats(u8) == std::vector<float>{0, 0, 1, 127, 255});
  CHECK(to_tensor(array, DType::s32).data<std::int32_t>()[4] ==
        std::numeric_limits<std::int32_t>::max());
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(to_tensor(Array({1}, {nan}), DType::s32).item<std::int32_t>() == 0);
  CHECK(std::isnan(to_tensor(Array({1}, {nan}), DType::f32).item<float>()));
  CHECK(to_array(Tensor::of<std::int32_t>({2}, {-5, 6})).data == std::vector<double>{-5, 6});
}

TEST_CASE("bf16: nearest, ties to even") {
  CHECK(to_float(to_bf16(1.0f)) == 1.0f);
  CHECK(to_float(to_bf16(1.0f + 0x1p-8f)) == 1.0f);                // half way: to even, below
  CHECK(to_float(to_bf16(1.0f + 3 * 0x1p-8f)) == 1.0f + 0x1p-6f);  // half way: to even, above
  CHECK(to_float(to_bf16(1.0f + 0x1p-8f + 0x1p-16f)) == 1.0f + 0x1p-7f);
  CHECK(to_float(to_bf16(-2.5f)) == -2.5f);
  CHECK(std::isinf(to_float(to_bf16(std::numeric_limits<float>::max()))));
  CHECK(std::isinf(to_float(to_bf16(std::numeric_limits<float>::infinity()))));
  CHECK(std::isnan(to_float(to_bf16(std::numeric_limits<float>::quiet_NaN()))));
  const Tensor t = to_tensor(Array({2}, {0.1, -3}), DType::bf16);
  CHECK(to_array(t).data[1] == -3);
  CHECK(to_array(t).data[0] == doctest::Approx(0.1).epsilon(0.004));
}

TEST_CASE("tensor: zeros, on a cache line or, if large, on a large page") {
  for (const std::int64_t count : {1, 1000, 3 << 20}) {
    const Tensor tensor(Type{DType::f32, {count}});
    const auto numbers = tensor.data<float>();
    const std::size_t alignment = count > (1 << 20) ? std::size_t{2} << 20 : 64;
    CHECK(reinterpret_cast<std::uintptr_t>(numbers.data()) % alignment == 0);
    CHECK(std::ranges::count(numbers, 0.0f) == count);
  }
}

}  // namespace weft
