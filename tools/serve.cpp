// weft serve: a page to draw on, for a model.
#include <fmt/format.h>
#include <pthread.h>
#include <signal.h>

#include <cerrno>
#include <cmath>
#include <cstdio>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include "graph/error.hpp"
#include "tools/commands.hpp"
#include "tools/server/server.hpp"

namespace weft::tools {
namespace {

struct Given {
  ModelFile file;
  ServerOptions server;
};

/// The signals that end the program, from now on for whoever waits for them: in threads that begin
/// later, too.
sigset_t hold_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

/// A model that cannot be served, or options that do not fit it, is the command's use, not a
/// failure.
std::unique_ptr<Server> server_of(const Given& given) {
  nn::Model model = given.file.load_with_weights();
  try {
    return std::make_unique<Server>(std::move(model), given.server);
  } catch (const ArgumentError& error) {
    throw UsageError(error.what());
  }
}

void serve(const Given& given) {
  const sigset_t signals = hold_signals();
  const auto made = server_of(given);
  Server& server = *made;
  server.start();
  fmt::print("Serving {} at {} - Ctrl-C ends it\n", given.file.model, server.url());
  if (std::fflush(stdout) != 0) throw std::system_error(errno, std::generic_category(), "stdout");
  int signal = 0;
  sigwait(&signals, &signal);
  server.stop();
}

}  // namespace

void add_serve(CLI::App& app) {
  CLI::App* command =
      app.add_subcommand("serve", "Show a page in the browser, to draw for a model what it knows");
  const auto given = std::make_shared<Given>();
  ServerOptions& server = given->server;
  given->file.add_to(*command);
  command
      ->add_option("--host", server.host,
                   "Where to listen; another than 127.0.0.1 lets other machines in")
      ->capture_default_str();
  command->add_option("--port", server.port, "0: any that is free")
      ->check(CLI::Range(0, 65535))
      ->capture_default_str();
  command->add_option("--classes", server.classes, "Names of the outputs, separated by commas")
      ->delimiter(',')
      ->allow_extra_args(false);
  command
      ->add_option("--scale", server.scale,
                   "Factor from pixels, 0 to 255, to what the model takes; 1/255, as in the "
                   "tutorial, unless given")
      ->check([](const std::string& text) {
        double scale = 0;
        const bool right =
            CLI::detail::lexical_cast(text, scale) && std::isfinite(scale) && scale != 0;
        return right ? "" : "\"" + text + "\" is no number other than 0, such as 1 or 0.00392";
      });
  command->callback([given] { serve(*given); });
}

}  // namespace weft::tools
