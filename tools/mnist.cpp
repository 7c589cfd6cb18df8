#include "tools/mnist.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <httplib.h>
#include <openssl/evp.h>
#include <unistd.h>
#include <zlib.h>

#include <array>
#include <exception>
#include <memory>
#include <span>
#include <sstream>
#include <string_view>
#include <vector>

#include "graph/error.hpp"
#include "io/atomic_file.hpp"

namespace weft {

extern const std::string_view mnist_sources;  // tools/mnist.txt

namespace tools {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t largest = 64 << 20;  // bytes of a file, compressed or not

struct Sources {
  struct File {
    std::string name, sum;
  };
  std::vector<std::string> mirrors{};
  std::vector<File> files{};

  Sources() {
    std::istringstream lines{std::string(mnist_sources)};
    for (std::string line; std::getline(lines, line);) {
      std::istringstream words(line);
      std::string kind, name, sum;
      words >> kind >> name >> sum;
      if (kind == "mirror") mirrors.push_back(name);
      if (kind == "file") files.push_back({name, sum});
    }
  }
};

std::string get(const std::string& address) {
  const auto host_end = address.find('/', address.find("://") + 3);
  if (address.find("://") == address.npos || host_end == address.npos) {
    fail<IoError>("\"{}\" is no address like https://host/folder", address);
  }
  httplib::Client client(address.substr(0, host_end));
  client.set_follow_location(true);
  client.set_connection_timeout(20);
  client.set_read_timeout(30);
  std::string body;
  const auto response =
      client.Get(address.substr(host_end), [&](const char* data, std::size_t size) {
        body.append(data, size);
        return body.size() <= largest;
      });
  if (body.size() > largest) fail<IoError>("{}: it is larger than {} bytes", address, largest);
  if (!response) fail<IoError>("{}: no answer ({})", address, httplib::to_string(response.error()));
  if (response->status != 200) fail<IoError>("{}: HTTP status {}", address, response->status);
  return body;
}

std::string sha256(std::span<const unsigned char> bytes) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> sum{};
  std::size_t size = 0;
  if (EVP_Q_digest(nullptr, "SHA256", nullptr, bytes.data(), bytes.size(), sum.data(), &size) !=
      1) {
    fail<IoError>("OpenSSL cannot compute SHA-256");
  }
  return fmt::format("{:02x}", fmt::join(std::span(sum).first(size), ""));
}

/// SHA-256 of what a file compressed by gzip holds.
std::string sum_of(const fs::path& file) {
  const std::unique_ptr<gzFile_s, int (*)(gzFile)> in(gzopen(file.c_str(), "rb"), gzclose);
  if (!in) fail<IoError>("\"{}\" cannot be read", file.string());
  std::vector<unsigned char> bytes(largest);
  const int size = gzread(in.get(), bytes.data(), static_cast<unsigned>(bytes.size()));
  if (size < 0) return "that of a damaged file";
  return sha256(std::span(bytes).first(static_cast<std::size_t>(size)));
}

void fetch_from(const std::string& mirror, const std::vector<Sources::File>& files,
                const fs::path& folder) {
  for (const auto& [name, sum] : files) {
    const std::string address = mirror + "/" + name + ".gz", body = get(address);
    const fs::path file = folder / (name + ".gz");
    write_atomically(file, {std::as_bytes(std::span(body))});
    if (const std::string found = sum_of(file); found != sum) {
      fail<IoError>("{}: its SHA-256 is {}, not {}", address, found, sum);
    }
  }
}

}  // namespace

void fetch_mnist(const fs::path& folder, const std::string& mirror,
                 const std::function<void(const std::string&)>& say) {
  const Sources sources;
  const std::vector<std::string> mirrors = mirror.empty() ? sources.mirrors : std::vector{mirror};
  const fs::path scratch = fs::path(folder).concat(fmt::format(".{}.tmp", ::getpid()));
  std::vector<std::string> problems;
  for (const std::string& each : mirrors) {
    say(each);
    try {
      fs::remove_all(scratch);
      fs::create_directories(scratch);
      fetch_from(each, sources.files, scratch);
      fs::remove_all(folder);
      rename_durably(scratch, folder);
      return;
    } catch (const std::exception& problem) {
      problems.emplace_back(problem.what());
    }
  }
  std::error_code ignored;
  fs::remove_all(scratch, ignored);
  fail<IoError>("{}", fmt::join(problems, "; "));
}

}  // namespace tools
}  // namespace weft
