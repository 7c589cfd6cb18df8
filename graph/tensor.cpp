#include "graph/tensor.hpp"

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <algorithm>
#include <cstring>
#include <new>

#include "graph/array.hpp"
#include "graph/error.hpp"
#include "graph/print.hpp"

namespace weft {
namespace {

constexpr std::size_t cache_line = 64;  // and the widest vector register
constexpr std::size_t huge_page = std::size_t{2} << 20;

std::shared_ptr<std::byte> allocate(std::size_t bytes) {
  // Large pages for large tensors: loops over several of them otherwise spend much of their time
  // on finding the next small page, where hardware stops to prefetch.
  const bool is_large = bytes >= 2 * huge_page;
  const std::align_val_t alignment{is_large ? huge_page : cache_line};
  auto* memory = static_cast<std::byte*>(
      ::operator new(std::max<std::size_t>(bytes, 1), alignment, std::nothrow));
  // AddressSanitizer ends the program where the other form of new fails.
  if (memory == nullptr) throw std::bad_alloc();
#if defined(__linux__)
  // Advice: where it is not taken, nothing is lost but time.
  if (is_large) madvise(memory, bytes / huge_page * huge_page, MADV_HUGEPAGE);
#endif
  std::memset(memory, 0, bytes);
  return {memory, [alignment](std::byte* p) { ::operator delete(p, alignment); }};
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
