// weft: Weft from the command line.
//
// Exit codes: 0 done; 1 an error; 2 used wrongly; 3 the model has something that Weft does not; 130
// broken off by Ctrl-C. What goes wrong stands on stderr, and files are written whole or not at
// all.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdio>
#include <exception>
#include <new>
#include <string>
#include <vector>

#include "graph/error.hpp"
#include "io/quoted.hpp"
#include "runtime/threads.hpp"
#include "tools/commands.hpp"

namespace tools = weft::tools;

namespace {

constexpr int error_code = 1, usage_code = 2, unsupported_code = 3, interrupted_code = 130;

/// What CLI11 says of a mistake, and what would be right.
std::string complaint(const CLI::App* app, const CLI::Error& error) {
  const auto chosen = app->get_subcommands();
  std::string name = app->get_name();
  if (!chosen.empty()) {
    app = chosen[0];
    name += ' ' + app->get_name();
  }
  std::string what = error.what();
  if (const auto rest = app->remaining(); chosen.empty() && !rest.empty()) {
    what = fmt::format("there is no command \"{}\"", rest[0]);
  }
  std::vector<std::string> right;
  for (const CLI::App* command : app->get_subcommands({})) right.push_back(command->get_name());
  const char* kind = right.empty() ? "options" : "commands";
  if (right.empty()) {
    for (const CLI::Option* option : app->get_options()) right.push_back(option->get_name());
  }
  return fmt::format("weft: {}\n{} of {}: {}\nSee {} --help.\n", what, kind, name,
                     fmt::join(right, ", "), name);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "Trains, tests and runs neural networks on CPUs. Models are in Keras' files: .h5, .keras and "
      ".json.",
      "weft");
  app.set_version_flag("--version", [] {
    return fmt::format("weft 0.1.0\noneDNN {}, {}, {} thread{}", weft::onednn_version(),
                       weft::instruction_set(), weft::thread_count(),
                       weft::thread_count() == 1 ? "" : "s");
  });
  app.require_subcommand(1);
  app.failure_message(complaint);
  tools::add_train(app);
  tools::add_evaluate(app);
  tools::add_predict(app);
  tools::add_summary(app);
  tools::add_draw(app);
  tools::add_convert(app);
  tools::add_serve(app);
  tools::add_bench(app);
  tools::add_completion(app);

  const auto failed = [](int code, const std::exception& error) {
    // Names of files, and text from them, may hold what a terminal obeys.
    constexpr std::size_t most = 2000;
    fmt::print(stderr, "weft: {}\n", weft::printable(error.what(), most));
    return code;
  };
  try {
    app.parse(argc, argv);
    return 0;
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : usage_code;
  } catch (const tools::UsageError& error) {
    return failed(usage_code, error);
  } catch (const tools::Interrupted& error) {
    return failed(interrupted_code, error);
  } catch (const weft::UnsupportedError& error) {
    return failed(unsupported_code, error);
  } catch (const std::bad_alloc&) {
    fmt::print(stderr, "weft: there is not enough memory\n");
    return error_code;
  } catch (const std::exception& error) {
    return failed(error_code, error);
  }
}
