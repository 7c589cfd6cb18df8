#include "io/hdf5/types.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

namespace weft::hdf5 {
namespace {

static_assert(std::endian::native == std::endian::little);

/// The formats of real numbers that are read, all of IEEE 754's form: sign, exponent, mantissa.
struct RealFormat {
  unsigned bytes, exponent_bits;
  unsigned mantissa_bits() const { return 8 * bytes - 1 - exponent_bits; }
  unsigned bias() const { return (1u << (exponent_bits - 1)) - 1; }
};
constexpr std::array real_formats{RealFormat{2, 5}, RealFormat{2, 8}, RealFormat{4, 8},
                                  RealFormat{8, 11}};

void parse_integer(Cursor& cursor, unsigned flags, Datatype& type) {
  type.is_big_endian = (flags & 0x01) != 0;
  type.is_signed = (flags & 0x08) != 0;
  const unsigned offset = cursor.u16(), precision = cursor.u16();
  const bool known = type.size == 1 || type.size == 2 || type.size == 4 || type.size == 8;
  if (known && offset == 0 && precision == 8 * type.size) {
    type.kind = Datatype::Kind::integer;
  } else {
    type.problem = fmt::format(
        "its integers of {} bits in {} bytes are not read, only whole ones of 1, 2, 4 or 8 bytes",
        precision, type.size);
  }
}

void parse_real(Cursor& cursor, unsigned flags, Datatype& type) {
  constexpr unsigned order = 0x41, padding = 0x0e, normalization = 0x30, implied = 0x20;
  const unsigned sign_at = flags >> 8 & 0xff;
  const unsigned offset = cursor.u16(), precision = cursor.u16();
  const unsigned exponent_at = cursor.u8(), exponent_bits = cursor.u8(), mantissa_at = cursor.u8(),
                 mantissa_bits = cursor.u8();
  const std::uint32_t bias = cursor.u32();
  type.is_big_endian = (flags & order) == 0x01;
  for (const RealFormat& format : real_formats) {
    if (type.size == format.bytes && exponent_bits == format.exponent_bits && offset == 0 &&
        precision == 8 * format.bytes && (flags & 0x40) == 0 && (flags & padding) == 0 &&
        (flags & normalization) == implied && sign_at == precision - 1 && mantissa_at == 0 &&
        mantissa_bits == format.mantissa_bits() && exponent_at == mantissa_bits &&
        bias == format.bias()) {
      type.kind = Datatype::Kind::real;
      type.exponent_bits = exponent_bits;
      return;
    }
  }
  type.problem = fmt::format(
      "its real numbers of {} bytes have a format that is not read (exponent of {} bits, mantissa "
      "of {}, bias {}), only float16, bfloat16, float32 and float64",
      type.size, exponent_bits, mantissa_bits, bias);
}

/// An element in this machine's byte order, in the low bytes.
std::uint64_t bits_of(const Datatype& type, const std::byte* element) {
  std::uint64_t bits = 0;
  for (std::size_t i = 0; i < type.size; ++i) {
    const std::size_t at = type.is_big_endian ? i : type.size - 1 - i;
    bits = bits << 8 | std::to_integer<std::uint64_t>(element[at]);
  }
  return bits;
}

std::int64_t signed_of(const Datatype& type, std::uint64_t bits) {
  const unsigned unused = static_cast<unsigned>(64 - 8 * type.size);
  return static_cast<std::int64_t>(bits << unused) >> unused;
}

/// A float16, of which every value is a float.
float from_half(std::uint64_t bits) {
  const int exponent = static_cast<int>(bits >> 10 & 0x1f);
  const auto mantissa = static_cast<float>(bits & 0x3ff);
  const float sign = (bits & 0x8000) != 0 ? -1.0f : 1.0f;
  if (exponent == 0x1f) {
    return mantissa == 0 ? sign * std::numeric_limits<float>::infinity()
                         : std::numeric_limits<float>::quiet_NaN();
  }
  return sign *
         (exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(mantissa + 1024, exponent - 25));
}

double real_of(const Datatype& type, std::uint64_t bits) {
  if (type.size == 8) return std::bit_cast<double>(bits);
  if (type.size == 4) return std::bit_cast<float>(static_cast<std::uint32_t>(bits));
  if (type.exponent_bits == 5) return from_half(bits);
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);  // bfloat16
}

template <class T, class F>
void convert_plain(Bytes elements, std::span<float> to, F f) {
  for (std::size_t i = 0; i < to.size(); ++i) {
    T element;
    std::memcpy(&element, elements.data() + i * sizeof(T), sizeof(T));
    to[i] = f(element);
  }
}

}  // namespace

// ---- sizes

std::uint64_t Dataspace::elements() const {
  if (is_null) return 0;
  if (std::find(sizes.begin(), sizes.end(), 0) != sizes.end()) return 0;
  std::uint64_t count = 1;
  for (const std::uint64_t size : sizes) {
    if (count > (std::uint64_t{1} << 60) / size) damaged("it declares more elements than can be");
    count *= size;
  }
  return count;
}

Dataspace Dataspace::parse(Bytes message) {
  Cursor cursor(message, "the sizes of an array");
  const unsigned version = cursor.u8(), rank = cursor.u8(), flags = cursor.u8();
  if (version != 1 && version != 2) damaged("the sizes of an array have version {}", version);
  Dataspace space;
  const unsigned type = cursor.u8();  // reserved in version 1
  cursor.skip(version == 1 ? 4 : 0);
  space.is_null = version == 2 && type == 2;
  for (unsigned i = 0; i < rank; ++i) space.sizes.push_back(cursor.u64());
  space.most = space.sizes;
  if ((flags & 0x01) != 0) {
    for (std::uint64_t& most : space.most) most = cursor.u64();
  }
  for (unsigned i = 0; i < rank; ++i) {
    if (space.most[i] < space.sizes[i]) damaged("it is larger than it may be");
  }
  return space;
}

// ---- types

Datatype Datatype::parse(Bytes message) {
  Cursor cursor(message, "the type of an array's elements");
  const unsigned first = cursor.u8(), version = first >> 4, group = first & 0x0f;
  if (version < 1 || version > 5) damaged("the type of its elements has version {}", version);
  const auto flags = static_cast<unsigned>(cursor.number(3));
  Datatype type;
  type.size = cursor.u32();
  if (type.size == 0) damaged("its elements have no size");
  switch (group) {
    case 0:
      parse_integer(cursor, flags, type);
      break;
    case 1:
      parse_real(cursor, flags, type);
      break;
    case 3:
      type.kind = Kind::text;
      break;
    case 5:
      if (type.size == 2) type.kind = Kind::bfloat16;
      break;
    case 9:
      if ((flags & 0x0f) == 1 && type.size == 16) type.kind = Kind::any_text;
      break;
    default:
      break;
  }
  if (type.kind == Kind::foreign && type.problem.empty())
    type.problem = "its elements are no numbers";
  return type;
}

void convert(const Datatype& type, Bytes elements, std::span<float> to) {
  if (elements.size() < times(to.size(), type.size)) damaged("it has fewer elements than it says");
  if (to.empty()) return;
  if (type.kind == Datatype::Kind::bfloat16) {
    return convert_plain<std::uint16_t>(elements, to, [](std::uint16_t bits) {
      return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
    });
  }
  if (type.kind == Datatype::Kind::real && !type.is_big_endian && type.size == 4) {
    std::memcpy(to.data(), elements.data(), to.size_bytes());
    return;
  }
  if (type.kind == Datatype::Kind::real && !type.is_big_endian && type.size == 8) {
    return convert_plain<double>(elements, to, [](double x) { return static_cast<float>(x); });
  }
  for (std::size_t i = 0; i < to.size(); ++i) {
    const std::uint64_t bits = bits_of(type, elements.data() + i * type.size);
    if (type.kind == Datatype::Kind::real) {
      to[i] = static_cast<float>(real_of(type, bits));
    } else {
      to[i] = type.is_signed ? static_cast<float>(signed_of(type, bits)) : static_cast<float>(bits);
    }
  }
}

std::int64_t integer_of(const Datatype& type, Bytes element) {
  constexpr std::int64_t least = std::numeric_limits<std::int64_t>::min();
  constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
  if (element.size() < type.size) damaged("it has fewer elements than it says");
  const std::uint64_t bits = bits_of(type, element.data());
  if (type.kind == Datatype::Kind::integer) {
    if (type.is_signed) return signed_of(type, bits);
    return static_cast<std::int64_t>(std::min<std::uint64_t>(bits, most));
  }
  const double number = real_of(type, bits);
  if (std::isnan(number)) damaged("it is NaN, not an integer");
  if (number <= -0x1p63) return least;
  return number >= 0x1p63 ? most : static_cast<std::int64_t>(number);
}

}  // namespace weft::hdf5
