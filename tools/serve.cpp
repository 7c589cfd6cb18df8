#include "tools/serve.hpp"

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
#include "io/model_files.hpp"
#include "tools/server.hpp"

namespace {

namespace nn = weft::nn;

struct Given {
  std::string model, weights;
  weft::ServerOptions server;
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

nn::Model load(const Given& given) {
  nn::Model model = nn::load_model(given.model, {.compile = false});
  if (!given.weights.empty()) model.load_weights(given.weights);
  for (const auto& weight : model.declared_weights()) {
    if (model.variables().contains(weight.name)) continue;
    throw CLI::ValidationError(fmt::format(
        "{}: there are no weights in it: give a file of them by --weights", given.model));
  }
  return model;
}

/// A model that cannot be served, or options that do not fit it, is the command's use, not a
/// failure.
std::unique_ptr<weft::Server> server_of(const Given& given) {
  try {
    return std::make_unique<weft::Server>(load(given), given.server);
  } catch (const weft::ArgumentError& error) {
    throw CLI::ValidationError(error.what());
  }
}

void serve(const Given& given) {
  const sigset_t signals = hold_signals();
  const auto made = server_of(given);
  weft::Server& server = *made;
  server.start();
  fmt::print("Serving {} at {} - Ctrl-C ends it\n", given.model, server.url());
  if (std::fflush(stdout) != 0) throw std::system_error(errno, std::generic_category(), "stdout");
  int signal = 0;
  sigwait(&signals, &signal);
  server.stop();
}

}  // namespace

CLI::App* add_serve(CLI::App& app) {
  CLI::App* command =
      app.add_subcommand("serve", "Show a page in the browser, to draw for a model what it knows");
  const auto given = std::make_shared<Given>();
  weft::ServerOptions& server = given->server;
  command->add_option("MODEL", given->model, "An .h5, .keras or .json")->required();
  command->add_option("--weights", given->weights, "Take weights from this .h5 instead");
  command
      ->add_option("--host", server.host,
                   "Where to listen; another than 127.0.0.1 lets other machines in")
      ->capture_default_str();
  command->add_option("--port", server.port, "0: any that is free")
      ->check(CLI::Range(0, 65535))
      ->capture_default_str();
  command->add_option("--classes", server.classes, "Names of the outputs, separated by commas")
      ->delimiter(',');
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
  return command;
}
