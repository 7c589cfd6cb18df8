// Denormal numbers, those below 1.2e-38 in f32, take a processor some hundred cycles each where
// others take one. They come by themselves: an optimizer's moments of a weight that gets no
// gradient decay into them. So threads take them for zero while they run steps.
#pragma once

#include <cstdint>

#if defined(__SSE__)
#include <xmmintrin.h>
#endif

namespace weft {

/// While it lives, the calling thread takes denormal numbers for zero, and makes zeros of results
/// that would be denormal. Then its mode is what it was. Where the processor has no such mode,
/// nothing happens.
class FlushDenormals {
 public:
  FlushDenormals() noexcept : before_(bits() & flush) { set(flush); }
  ~FlushDenormals() { set(before_); }
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;

#if defined(__SSE__)
  static constexpr std::uint64_t flush = 0x8040;  // of MXCSR: results and operands
  static std::uint64_t bits() noexcept { return _mm_getcsr(); }
  /// The mode alone; what is noted of exceptions stays.
  static void set(std::uint64_t mode) noexcept {
    _mm_setcsr(static_cast<unsigned>((bits() & ~flush) | mode));
  }
#elif defined(__aarch64__)
  static constexpr std::uint64_t flush = std::uint64_t{1} << 24;  // of FPCR: both
  static std::uint64_t bits() noexcept {
    std::uint64_t value;
    asm volatile("mrs %0, fpcr" : "=r"(value));
    return value;
  }
  static void set(std::uint64_t mode) noexcept {
    asm volatile("msr fpcr, %0" : : "r"((bits() & ~flush) | mode));
  }
#else
  static constexpr std::uint64_t flush = 0;
  static std::uint64_t bits() noexcept { return 0; }
  static void set(std::uint64_t) noexcept {}
#endif

 private:
  std::uint64_t before_;
};

}  // namespace weft
