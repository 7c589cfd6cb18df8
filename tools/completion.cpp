// weft completion: what a shell needs to complete commands and options.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>

#include "tools/commands.hpp"

namespace weft::tools {
namespace {

std::vector<std::string> commands_of(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands({})) names.push_back(command->get_name());
  return names;
}

std::vector<std::string> options_of(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

/// For bash, and for zsh by its bashcompinit.
std::string bash(const CLI::App& app) {
  std::string cases;
  for (const CLI::App* command : app.get_subcommands({})) {
    cases += fmt::format("    {}) options=\"{}\" ;;\n", command->get_name(),
                         fmt::join(options_of(*command), " "));
  }
  return fmt::format(
      "_weft() {{\n"
      "  local word=${{COMP_WORDS[COMP_CWORD]}} options=\"{} {}\"\n"
      "  if [ \"$COMP_CWORD\" -gt 1 ]; then case ${{COMP_WORDS[1]}} in\n"
      "{}"
      "  esac; fi\n"
      "  if [ \"$COMP_CWORD\" -gt 1 ] && [[ $word != -* ]]; then\n"
      "    COMPREPLY=($(compgen -f -- \"$word\"))\n"
      "  else\n"
      "    COMPREPLY=($(compgen -W \"$options\" -- \"$word\"))\n"
      "  fi\n"
      "}}\n"
      "complete -o filenames -F _weft weft\n",
      fmt::join(commands_of(app), " "), fmt::join(options_of(app), " "), cases);
}

std::string fish(const CLI::App& app) {
  std::string text;
  for (const CLI::App* command : app.get_subcommands({})) {
    text += fmt::format("complete -c weft -n __fish_use_subcommand -a {} -d '{}'\n",
                        command->get_name(), command->get_description());
    for (const CLI::Option* option : command->get_options()) {
      for (const std::string& name : option->get_lnames()) {
        text += fmt::format("complete -c weft -n '__fish_seen_subcommand_from {}' -l {}\n",
                            command->get_name(), name);
      }
    }
  }
  return text;
}

}  // namespace

void add_completion(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "completion", "Print what a shell needs to complete: source <(weft completion bash)");
  const auto shell = std::make_shared<std::string>();
  command->add_option("SHELL", *shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  command->callback([&app, shell] {
    if (*shell == "fish") return print(fish(app));
    print((*shell == "zsh" ? "autoload -U +X bashcompinit && bashcompinit\n" : "") + bash(app));
  });
}

}  // namespace weft::tools
