#include "graph/tensor.hpp"

#include <algorithm>
#include <cstring>
#include <new>

#include "graph/array.hpp"
#include "graph/error.hpp"
#include "graph/print.hpp"

namespace weft {
namespace {

constexpr std::align_val_t alignment{64};  // a cache line, and the widest vector register

std::shared_ptr<std::byte> allocate(std::size_t bytes) {
  auto* memory =
      static_cast<std::byte*>(::operator new(std::max<std::size_t>(bytes, 1), alignment));
  std::memset(memory, 0, bytes);
  return {memory, [](std::byte* p) { ::operator delete(p, alignment); }};
}

}  // namespace

Tensor::Tensor(const Type& type) : type_(type), memory_(allocate(type.bytes())) {}

Tensor Tensor::full(const Shape& shape, float value) {
  Tensor result(Type{DType::f32, shape});
  std::ranges::fill(result.data<float>(), value);
  return result;
}

void Tensor::check(DType wanted) const {
  if (wanted != type_.dtype) {
    fail<TypeError>("tensor: elements of a {} tensor are not {}", type_, wanted);
  }
}

void Tensor::check_count(std::size_t count) const {
  if (static_cast<std::int64_t>(count) != elements()) {
    fail<ShapeError>("tensor: {} has {} elements, not {}", type_, elements(), count);
  }
}

Tensor Tensor::clone() const {
  if (!memory_) return *this;
  Tensor result(type_);
  std::memcpy(result.bytes(), bytes(), type_.bytes());
  return result;
}

Tensor Tensor::reshaped(const Shape& shape) const {
  if (shape.elements() != elements()) {
    fail<ShapeError>("tensor: cannot see {} ({} elements) as {} ({} elements)", type_, elements(),
                     shape, shape.elements());
  }
  Tensor result = *this;
  result.type_.shape = shape;
  return result;
}

std::vector<float> to_floats(const Tensor& tensor) {
  const Array array = to_array(tensor);
  return {array.data.begin(), array.data.end()};
}

}  // namespace weft
