// The command `weft serve`.
#pragma once

#include <CLI/CLI.hpp>

/// Registers it with an app; it runs as the command's callback, until SIGINT or SIGTERM. Throws
/// what nn::load_model and weft::Server do.
CLI::App* add_serve(CLI::App& app);
