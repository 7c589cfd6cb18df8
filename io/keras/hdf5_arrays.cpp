// Reading arrays: what an array claims is checked against what the file stores of it.
#include <algorithm>
#include <array>
#include <cstring>

#include "graph/error.hpp"
#include "graph/print.hpp"
#include "io/keras/hdf5_library.hpp"

namespace weft {
namespace {

using namespace hdf5;

constexpr std::uint64_t most_expansion = 100;  // as of a member of a ZIP archive
constexpr std::uint64_t small = 1 << 20;       // bytes, of which no harm comes

/// 16 bits of a bfloat16 are the upper half of an f32.
float from_bfloat16(std::uint16_t bits) {
  const std::uint32_t wide = static_cast<std::uint32_t>(bits) << 16;
  float number = 0;
  std::memcpy(&number, &wide, sizeof number);
  return number;
}

}  // namespace

Hdf5Handle Hdf5Group::open_array(const std::string& name) const {
  const Kind found = kind(name);
  if (found == Kind::nothing) refuse(name, "there is no such array");
  if (found != Kind::array) refuse(name, "it is no array");
  Hdf5Handle array(H5Dopen2(*handle_, name.c_str(), H5P_DEFAULT), H5Dclose);
  if (!array) refuse(name, complaint());
  return array;
}

namespace {

/// The sizes of an array, if they and the way it is stored are such that it can be read: what it
/// declares must be there. Else `problem` says why not.
std::vector<std::int64_t> sizes_of(const Hdf5Handle& array, std::string& problem) {
  const Hdf5Handle space(H5Dget_space(*array), H5Sclose);
  const Hdf5Handle plist(H5Dget_create_plist(*array), H5Pclose);
  const Hdf5Handle type(H5Dget_type(*array), H5Tclose);
  if (!space || !plist || !type) return problem = complaint(), std::vector<std::int64_t>{};
  const int rank = H5Sget_simple_extent_ndims(*space);
  if (rank < 0) return problem = complaint(), std::vector<std::int64_t>{};
  if (rank > static_cast<int>(Shape::max_rank)) {
    problem = fmt::format("it has {} axes, more than {}", rank, Shape::max_rank);
    return {};
  }
  std::array<hsize_t, H5S_MAX_RANK> sizes{};
  if (H5Sget_simple_extent_dims(*space, sizes.data(), nullptr) < 0) {
    return problem = complaint(), std::vector<std::int64_t>{};
  }
  const std::uint64_t element = std::max<std::size_t>(H5Tget_size(*type), 1);
  std::uint64_t bytes = element;
  for (int i = 0; i < rank; ++i) {
    if (sizes[static_cast<std::size_t>(i)] != 0 &&
        bytes > (std::uint64_t{1} << 62) / sizes[static_cast<std::size_t>(i)]) {
      return problem = "it declares more elements than can be", std::vector<std::int64_t>{};
    }
    bytes *= sizes[static_cast<std::size_t>(i)];
  }
  const H5D_layout_t layout = H5Pget_layout(*plist);
  if (layout == H5D_VIRTUAL || H5Pget_external_count(*plist) > 0) {
    return problem = "its elements lie in other files, which is refused",
           std::vector<std::int64_t>{};
  }
  const int filters = H5Pget_nfilters(*plist);
  for (int i = 0; i < filters; ++i) {
    unsigned flags = 0, config = 0;
    std::size_t values = 0;
    const H5Z_filter_t filter = H5Pget_filter2(*plist, static_cast<unsigned>(i), &flags, &values,
                                               nullptr, 0, nullptr, &config);
    if (filter != H5Z_FILTER_DEFLATE && filter != H5Z_FILTER_SHUFFLE &&
        filter != H5Z_FILTER_FLETCHER32) {
      problem = fmt::format("it is compressed by filter {}, which is not known here", filter);
      return {};
    }
  }
  const std::uint64_t stored = H5Dget_storage_size(*array);
  if (filters > 0 && bytes > small && bytes / most_expansion > stored) {
    problem = fmt::format(
        "it would unpack {} bytes into {}, more than a hundred times as many, which is refused",
        stored, bytes);
    return {};
  }
  if (filters <= 0 && bytes > stored) {
    problem = fmt::format("it declares {} bytes of numbers, but stores {}", bytes, stored);
    return {};
  }
  if (layout == H5D_CHUNKED) {
    std::array<hsize_t, H5S_MAX_RANK> chunk{};
    const int axes = H5Pget_chunk(*plist, H5S_MAX_RANK, chunk.data());
    std::uint64_t chunk_bytes = element;
    for (int i = 0; i < axes; ++i) {
      const hsize_t size = std::max<hsize_t>(chunk[static_cast<std::size_t>(i)], 1);
      if (chunk_bytes > (std::uint64_t{1} << 40) / size)
        chunk_bytes = std::uint64_t{1} << 41;
      else
        chunk_bytes *= size;
    }
    if (axes < 0 || chunk_bytes > std::max<std::uint64_t>(2 * bytes, std::uint64_t{1} << 24)) {
      return problem = "its chunks are larger than all of it", std::vector<std::int64_t>{};
    }
  }
  return {sizes.begin(), sizes.begin() + rank};
}

}  // namespace

Shape Hdf5Group::shape_of(const Hdf5Handle& array, const std::string& name) const {
  std::string problem;
  const std::vector<std::int64_t> sizes = sizes_of(array, problem);
  if (!problem.empty()) refuse(name, problem);
  return Shape(sizes);
}

Shape Hdf5Group::shape(const std::string& name) const { return shape_of(open_array(name), name); }

/// Throws IoError if more than what the file has would be read of it.
void Hdf5Group::count(const Hdf5Handle& array, const std::string& name) const {
  const Hdf5Handle plist(H5Dget_create_plist(*array), H5Pclose);
  const std::uint64_t stored = H5Dget_storage_size(*array);
  if (stored > file_->size - file_->stored)
    refuse(name, "the arrays claim more bytes than the file has");
  file_->stored += stored;
  if (H5Pget_nfilters(*plist) <= 0) return;
  file_->unpacked += static_cast<std::uint64_t>(shape_of(array, name).elements()) * sizeof(float);
  if (file_->unpacked > small && file_->unpacked / most_expansion > file_->size) {
    refuse(name,
           "the arrays would unpack into more than a hundred times the file, which is refused");
  }
}

Tensor Hdf5Group::array(const std::string& name) const {
  const Hdf5Handle array = open_array(name);
  const Shape shape = shape_of(array, name);
  const Hdf5Handle type(H5Dget_type(*array), H5Tclose);
  const H5T_class_t kind = H5Tget_class(*type);
  count(array, name);
  Tensor tensor(Type{DType::f32, shape});
  if (tensor.shape().elements() == 0) return tensor;
  const auto numbers = tensor.data<float>();
  if (kind == H5T_OPAQUE && H5Tget_size(*type) == 2) {  // how Keras 3 stores bfloat16
    std::vector<std::uint16_t> bits(numbers.size());
    if (H5Dread(*array, *type, H5S_ALL, H5S_ALL, H5P_DEFAULT, bits.data()) < 0) {
      refuse(name, complaint());
    }
    std::ranges::transform(bits, numbers.begin(), from_bfloat16);
    return tensor;
  }
  if (kind != H5T_FLOAT && kind != H5T_INTEGER) refuse(name, "its elements are no numbers");
  if (H5Dread(*array, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, numbers.data()) < 0) {
    refuse(name, complaint());
  }
  return tensor;
}

std::int64_t Hdf5Group::integer(const std::string& name) const {
  const Hdf5Handle array = open_array(name);
  if (shape_of(array, name).elements() != 1) refuse(name, "it is not one number");
  const Hdf5Handle type(H5Dget_type(*array), H5Tclose);
  if (H5Tget_class(*type) != H5T_INTEGER && H5Tget_class(*type) != H5T_FLOAT) {
    refuse(name, "it is no number");
  }
  std::int64_t number = 0;
  if (H5Dread(*array, H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, &number) < 0) {
    refuse(name, complaint());
  }
  return number;
}

}  // namespace weft
