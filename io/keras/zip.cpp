#include "io/keras/zip.hpp"

#include <zip.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <memory>
#include <set>
#include <string_view>

#include "graph/error.hpp"
#include "io/atomic_file.hpp"
#include "io/quoted.hpp"

namespace weft {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t most_expansion = 100;
constexpr std::uint64_t small = 1 << 20;  // bytes, of which no harm comes

std::string text_of(int code) {
  zip_error_t error;
  zip_error_init_with_code(&error, code);
  std::string text = zip_error_strerror(&error);
  zip_error_fini(&error);
  return text;
}

bool leads_out(std::string_view name) {
  if (name.starts_with('/') || name.starts_with('\\') || name.find(':') != name.npos) return true;
  for (std::size_t first = 0; first <= name.size();) {
    const std::size_t last = std::min(name.find_first_of("/\\", first), name.size());
    if (name.substr(first, last - first) == "..") return true;
    first = last + 1;
  }
  return false;
}

std::uint64_t number_at(std::string_view bytes, std::size_t at, std::size_t size) {
  std::uint64_t number = 0;
  for (std::size_t i = size; i-- > 0;) {
    number = number << 8 | static_cast<unsigned char>(bytes[at + i]);
  }
  return number;
}

/// Refuses an archive of more members than libzip could list in little memory: it takes some
/// hundred bytes for each, before it can be asked how many there are. Their number is at the end of
/// the file, or, if it does not fit in 16 bits, where a locator at the end says.
void expect_few_members(const fs::path& file) {
  constexpr std::size_t end_size = 22, locator_size = 20, longest_comment = 65535;
  constexpr std::uint64_t most = 65535;
  std::ifstream in(file, std::ios::binary | std::ios::ate);
  const auto size = static_cast<std::uint64_t>(std::max<std::streamoff>(in.tellg(), 0));
  const auto read = [&](std::uint64_t at, std::uint64_t count) {
    std::string bytes(static_cast<std::size_t>(at < size ? std::min(count, size - at) : 0), '\0');
    in.seekg(static_cast<std::streamoff>(at));
    in.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    in.clear();
    return bytes;
  };
  constexpr std::uint64_t tail = end_size + longest_comment + locator_size;
  const std::string end = read(size - std::min(size, tail), tail);
  for (std::size_t at = 0; (at = end.find("PK\x06\x07", at)) != std::string::npos; ++at) {
    if (at + locator_size > end.size()) break;
    constexpr std::size_t count_at = 32;
    const std::string record = read(number_at(end, at + 8, 8), count_at + 8);
    if (record.size() == count_at + 8 && number_at(record, count_at, 8) > most) {
      fail<IoError>("\"{}\" has {} members, more than {}", file.string(),
                    number_at(record, count_at, 8), most);
    }
  }
}

Tensor read_member(zip_t* archive, const zip_stat_t& stat, const fs::path& file) {
  const auto bad = [&](const std::string& what) {
    fail<IoError>("\"{}\": member {}: {}", file.string(), in_quotes(stat.name), what);
  };
  constexpr zip_uint64_t needed = ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_INDEX;
  if ((stat.valid & needed) != needed) bad("its size is not known");
  if ((stat.valid & ZIP_STAT_ENCRYPTION_METHOD) != 0 && stat.encryption_method != ZIP_EM_NONE) {
    bad("it is encrypted");
  }
  if (stat.size > small && stat.size / most_expansion > stat.comp_size) {
    bad("it would unpack into more than a hundred times its size, which is refused");
  }
  if ((stat.valid & ZIP_STAT_COMP_METHOD) != 0 && stat.comp_method == ZIP_CM_STORE &&
      stat.size != stat.comp_size) {
    bad("its two sizes differ, though it is not compressed");
  }
  const std::unique_ptr<zip_file_t, int (*)(zip_file_t*)> member(
      zip_fopen_index(archive, stat.index, 0), zip_fclose);
  if (!member) bad(zip_strerror(archive));
  const std::string wrong_sum = "its check sum or size is wrong";
  // A tensor has large pages, which are far faster to come by.
  Tensor bytes(Type{DType::u8, {static_cast<std::int64_t>(stat.size)}});
  std::uint64_t done = 0;
  while (done < stat.size) {
    const zip_int64_t read = zip_fread(member.get(), bytes.bytes() + done, stat.size - done);
    if (read < 0) {  // libzip 1.8 and later compare the sum as soon as the last byte is read
      const bool is_sum = zip_error_code_zip(zip_file_get_error(member.get())) == ZIP_ER_CRC;
      bad(is_sum ? wrong_sum : zip_file_strerror(member.get()));
    }
    if (read == 0) bad("it ends before its declared size");
    done += static_cast<std::uint64_t>(read);
  }
  std::byte more{};
  if (zip_fread(member.get(), &more, 1) != 0) bad(wrong_sum);
  return bytes;
}

}  // namespace

std::map<std::string, Tensor> read_zip(const fs::path& file, std::span<const std::string> names) {
  expect_few_members(file);
  int code = 0;
  const std::unique_ptr<zip_t, void (*)(zip_t*)> archive(
      zip_open(file.c_str(), ZIP_RDONLY | ZIP_CHECKCONS, &code), zip_discard);
  if (!archive)
    fail<IoError>("\"{}\" cannot be read as a ZIP archive: {}", file.string(), text_of(code));
  std::map<std::string, Tensor> members;
  std::set<std::string> seen;
  const zip_int64_t count = zip_get_num_entries(archive.get(), 0);
  std::error_code ignored;
  const std::uint64_t file_size = fs::file_size(file, ignored);
  for (zip_int64_t i = 0; i < count; ++i) {
    zip_stat_t stat;
    if (zip_stat_index(archive.get(), static_cast<zip_uint64_t>(i), 0, &stat) != 0 ||
        (stat.valid & ZIP_STAT_NAME) == 0) {
      fail<IoError>("\"{}\": {}", file.string(), zip_strerror(archive.get()));
    }
    const std::string name = stat.name;
    if (leads_out(name)) {
      fail<IoError>("\"{}\": member {} has a name that leads out of the archive", file.string(),
                    in_quotes(name));
    }
    if (!seen.insert(name).second) {
      fail<IoError>("\"{}\": member {} is there twice", file.string(), in_quotes(name));
    }
    if (std::find(names.begin(), names.end(), name) == names.end()) continue;
    if ((stat.valid & ZIP_STAT_COMP_SIZE) != 0 && stat.comp_size > file_size) {
      fail<IoError>("\"{}\": member {} claims to be larger than the archive", file.string(),
                    in_quotes(name));
    }
    members.emplace(name, read_member(archive.get(), stat, file));
  }
  return members;
}

void write_zip(const fs::path& file,
               const std::vector<std::pair<std::string, std::span<const std::byte>>>& members) {
  write_atomically(file, [&](const fs::path& temporary) {
    int code = 0;
    std::unique_ptr<zip_t, void (*)(zip_t*)> archive(
        zip_open(temporary.c_str(), ZIP_CREATE | ZIP_TRUNCATE, &code), zip_discard);
    if (!archive) fail<IoError>("\"{}\" cannot be written: {}", file.string(), text_of(code));
    const auto refused = [&] {
      fail<IoError>("\"{}\" cannot be written: {}", file.string(), zip_strerror(archive.get()));
    };
    for (const auto& [name, bytes] : members) {
      zip_source_t* source = zip_source_buffer(archive.get(), bytes.data(), bytes.size(), 0);
      if (source == nullptr) refused();
      const zip_int64_t index = zip_file_add(archive.get(), name.c_str(), source, ZIP_FL_ENC_UTF_8);
      if (index < 0) {
        zip_source_free(source);
        refused();
      }
      if (zip_set_file_compression(archive.get(), static_cast<zip_uint64_t>(index), ZIP_CM_STORE,
                                   0) != 0) {
        refused();
      }
    }
    if (zip_close(archive.get()) != 0) refused();
    static_cast<void>(archive.release());
  });
}

}  // namespace weft
