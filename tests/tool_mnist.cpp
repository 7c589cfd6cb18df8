// weft --data mnist where MNIST is not there: it is got from a mirror, here one of our own.
#include <httplib.h>
#include <zlib.h>

#include <cstdlib>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "io/model_files.hpp"
#include "nn/nn.hpp"
#include "tests/program.hpp"

#ifdef WEFT_PROGRAM

namespace weft::test {
namespace {

namespace fs = std::filesystem;

/// Answers with files of these names, until the end of its scope.
class Mirror {
 public:
  explicit Mirror(std::map<std::string, std::string> files) : files_(std::move(files)) {
    server_.Get("/mnist/(.*)", [this](const httplib::Request& request, httplib::Response& answer) {
      const auto found = files_.find(request.matches[1]);
      answer.status = found == files_.end() ? 404 : 200;
      if (found != files_.end()) answer.set_content(found->second, "application/gzip");
    });
    port_ = server_.bind_to_any_port("127.0.0.1");
    thread_ = std::thread([this] { server_.listen_after_bind(); });
    while (!server_.is_running()) std::this_thread::yield();
  }
  ~Mirror() {
    server_.stop();
    thread_.join();
  }
  std::string address() const { return fmt::format("http://127.0.0.1:{}/mnist", port_); }

 private:
  std::map<std::string, std::string> files_;
  httplib::Server server_;
  int port_ = 0;
  std::thread thread_;
};

/// A user with an empty home, in an empty folder, until the end of its scope.
class NewUser {
 public:
  explicit NewUser(const std::string& mirror) {
    fs::current_path(home_.path());
    set("HOME", home_.path().string());
    set("XDG_CACHE_HOME", "");
    set("MNIST_DIR", "");
    set("MNIST_MIRROR", mirror);
  }
  ~NewUser() {
    fs::current_path(before_);
    for (const auto& [name, value] : variables_) {
      value ? ::setenv(name.c_str(), value->c_str(), 1) : ::unsetenv(name.c_str());
    }
  }
  NewUser(const NewUser&) = delete;
  NewUser& operator=(const NewUser&) = delete;

  std::string at(std::string_view name) const { return (home_ / name).string(); }
  /// The tutorial's network on this data.
  std::vector<std::string> evaluation() const {
    nn::Sequential model(
        {nn::Flatten({.input_shape = {28, 28, 1}}), nn::Dense(10, {.activation = "softmax"})});
    model.compile({.loss = "categorical_crossentropy", .metrics = {"accuracy"}});
    model.save(at("m.h5"));
    return {"evaluate", at("m.h5"), "--data", "mnist", "--json"};
  }

 private:
  void set(const char* name, const std::string& value) {
    const char* old = std::getenv(name);
    variables_.emplace_back(name, old == nullptr ? std::nullopt : std::optional<std::string>(old));
    ::setenv(name, value.c_str(), 1);
  }

  TemporaryFolder home_;
  fs::path before_ = fs::current_path();
  std::vector<std::pair<std::string, std::optional<std::string>>> variables_;
};

std::string gzipped(const TemporaryFolder& folder, const std::string& bytes) {
  const fs::path file = folder / "packed.gz";
  const std::unique_ptr<gzFile_s, int (*)(gzFile)> out(gzopen(file.c_str(), "wb1"), gzclose);
  REQUIRE(gzwrite(out.get(), bytes.data(), static_cast<unsigned>(bytes.size())) ==
          static_cast<int>(bytes.size()));
  REQUIRE(gzflush(out.get(), Z_FINISH) == Z_OK);
  return content(file);
}

void check_fetch_fails(const NewUser& user, std::initializer_list<std::string_view> texts) {
  const Outcome outcome = run(user.evaluation());
  CHECK(outcome.code == 1);
  CHECK(outcome.out == "");
  CAPTURE(outcome.err);
  for (const std::string_view text : texts) {
    CAPTURE(text);
    CHECK(outcome.err.find(text) != std::string::npos);
  }
  for (const auto& entry : fs::recursive_directory_iterator(user.at(""))) {
    if (entry.is_regular_file()) CHECK(entry.path().filename() == "m.h5");
  }
}

constexpr const char* names[]{"train-images-idx3-ubyte", "train-labels-idx1-ubyte",
                              "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"};

TEST_CASE("program: MNIST that cannot be got is an error that says why, and leaves nothing") {
  const TemporaryFolder folder;
  {
    const NewUser user("http://127.0.0.1:1/mnist");  // nobody listens there
    check_fetch_fails(user, {"there is no MNIST here, and it could not be got", "127.0.0.1:1",
                             "no answer", "set MNIST_DIR"});
  }
  {
    const Mirror mirror({});
    const NewUser user(mirror.address());
    check_fetch_fails(user, {"HTTP status 404", "train-images-idx3-ubyte.gz"});
  }
  {
    const Mirror mirror({{"train-images-idx3-ubyte.gz", gzipped(folder, "something else")}});
    const NewUser user(mirror.address());
    check_fetch_fails(user, {"its SHA-256 is ", "not ba891046e6505d7a"});
  }
  {
    const Mirror mirror({{"train-images-idx3-ubyte.gz", gzipped(folder, "abc").substr(0, 12)}});
    const NewUser user(mirror.address());
    check_fetch_fails(user, {"its SHA-256 is "});
  }
  {
    const NewUser user("where?");
    check_fetch_fails(user, {"\"where?/train-images-idx3-ubyte.gz\" is no address like https://"});
  }
  {
    const NewUser user("");
    ::setenv("MNIST_DIR", user.at("").c_str(), 1);
    check_fails(1, user.evaluation(), {"there is no MNIST in MNIST_DIR", "four files"});
  }
}

TEST_CASE("program: MNIST is got once, and kept") {
  const fs::path cache = fs::path(WEFT_SOURCE_DIR) / ".cache" / "mnist";
  if (!fs::exists(cache / names[0])) {
    MESSAGE("SKIPPED: there is no MNIST in .cache/mnist to give; examples/run.sh mnist --get-data");
    return;
  }
  const TemporaryFolder folder;
  std::map<std::string, std::string> files;
  for (const std::string name : names) {
    files[name + ".gz"] = gzipped(folder, content(cache / name));
  }
  std::optional<Mirror> mirror(files);
  const NewUser user(mirror->address());
  const std::vector<std::string> evaluation = user.evaluation();
  const Outcome first = run(evaluation);
  CHECK(first.code == 0);
  CHECK(first.err == fmt::format("Getting MNIST from {} into {}\n", mirror->address(),
                                 user.at(".cache/weft/mnist")));
  CHECK(nlohmann::json::parse(first.out)["samples"] == 10000);
  mirror.reset();
  CHECK(check_done(evaluation) == first.out);
}

}  // namespace
}  // namespace weft::test

#endif
