// Element types and sizes of arrays and attributes, and how elements become numbers of ours. For
// io/ alone.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "io/hdf5/bytes.hpp"

namespace weft::hdf5 {

/// Sizes (section IV.A.2.b).
struct Dataspace {
  std::vector<std::uint64_t> sizes;
  std::vector<std::uint64_t> most;  ///< how far they can grow: undefined where without limit
  bool is_null = false;             ///< without elements

  /// Throws Damaged for more elements than can be.
  std::uint64_t elements() const;
  static Dataspace parse(Bytes message);
};

/// The type of an element (section IV.A.2.d).
struct Datatype {
  enum class Kind {
    integer,
    real,
    bfloat16,  ///< two bytes without a meaning, as Keras 3 stores it
    text,      ///< of one size
    any_text,  ///< of any length: references to heaps
    foreign,   ///< something else, or numbers in a format that is not read
  };
  Kind kind = Kind::foreign;
  std::uint64_t size = 0;
  bool is_signed = false, is_big_endian = false;
  unsigned exponent_bits = 0;  ///< of a real number
  std::string problem;         ///< why it is foreign

  bool is_number() const { return kind == Kind::integer || kind == Kind::real; }
  static Datatype parse(Bytes message);
};

/// Converts elements to f32, as libhdf5 does: what is too large for f32 becomes infinite.
void convert(const Datatype& type, Bytes elements, std::span<float> to);
/// One element as an integer: a real number is cut, and held within the range.
std::int64_t integer_of(const Datatype& type, Bytes element);

}  // namespace weft::hdf5
