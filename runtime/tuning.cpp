#include "runtime/tuning.hpp"

#include <omp.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>

#include "runtime/config.hpp"
#include "runtime/run_mode.hpp"

namespace weft {
namespace {

namespace fs = std::filesystem;

dnnl::memory made_up(const onednn::Desc& desc) {
  dnnl::memory memory(desc, onednn::engine());
  // Zeros are as good as any numbers: no kernel is faster for them, and none is slowed down by
  // denormals.
  if (desc.get_size() > 0) std::memset(memory.get_data_handle(), 0, desc.get_size());
  return memory;
}

double least_seconds(const dnnl::primitive& primitive, std::vector<dnnl_exec_arg_t>& arguments) {
  using Clock = std::chrono::steady_clock;
  const RunMode mode(omp_get_max_threads(), true);
  dnnl::stream stream(onednn::engine());
  const auto run = [&] {
    const auto start = Clock::now();
    dnnl_primitive_execute(primitive.get(), stream.get(), static_cast<int>(arguments.size()),
                           arguments.data());
    return std::chrono::duration<double>(Clock::now() - start).count();
  };
  run();  // warm: pages are touched, code is loaded
  constexpr double enough_seconds = 0.01;
  constexpr int least_runs = 3, most_runs = 50;
  double best = std::numeric_limits<double>::infinity(), sum = 0;
  for (int i = 0; i < most_runs && (i < least_runs || sum < enough_seconds); ++i) {
    const double seconds = run();
    best = std::min(best, seconds);
    sum += seconds;
  }
  return best;
}

/// As the system names it; empty if it does not.
std::string processor() {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 1);
  }
  return {};
}

}  // namespace

double seconds_of(const dnnl::primitive_desc_base& pd) {
  std::vector<int> indices{DNNL_ARG_SRC,       DNNL_ARG_WEIGHTS,  DNNL_ARG_BIAS,
                           DNNL_ARG_DST,       DNNL_ARG_DIFF_SRC, DNNL_ARG_DIFF_WEIGHTS,
                           DNNL_ARG_DIFF_BIAS, DNNL_ARG_DIFF_DST, DNNL_ARG_SCRATCHPAD};
  const int post_ops = pd.get_primitive_attr().get_post_ops().len();
  for (int i = 0; i < post_ops; ++i) {
    indices.push_back(DNNL_ARG_ATTR_MULTIPLE_POST_OP(i) | DNNL_ARG_SRC_1);
  }
  std::vector<std::pair<int, onednn::Desc>> arguments;
  for (const int index : indices) {
    const auto desc = pd.query_md(dnnl::query::exec_arg_md, index);
    if (desc.get_size() > 0) arguments.emplace_back(index, desc);
  }
  return seconds_of(dnnl::primitive(pd.get()), arguments);
}

double seconds_of(const dnnl::primitive& primitive,
                  const std::vector<std::pair<int, onednn::Desc>>& arguments) {
  std::vector<dnnl::memory> memories;
  std::vector<dnnl_exec_arg_t> with_memory;
  for (const auto& [index, desc] : arguments) {
    memories.push_back(made_up(desc));
    with_memory.push_back({index, memories.back().get()});
  }
  return least_seconds(primitive, with_memory);
}

double reorder_seconds(const onednn::Desc& from, const onednn::Desc& to) {
  if (onednn::same_memory(from, to)) return 0;
  const dnnl::reorder::primitive_desc pd(onednn::engine(), from, onednn::engine(), to);
  const dnnl::memory source = made_up(from), destination = made_up(to);
  std::vector<dnnl_exec_arg_t> arguments{{DNNL_ARG_FROM, source.get()},
                                         {DNNL_ARG_TO, destination.get()}};
  return least_seconds(dnnl::reorder(pd), arguments);
}

Tuning::Tuning(std::string path)
    : path_(std::move(path)),
      machine_(onednn::version() + ' ' + onednn::isa() + processor() + ' ') {
  read();
}

Tuning& Tuning::shared() {
  static Tuning tuning(config().tuning_file);
  return tuning;
}

std::size_t Tuning::fastest(const std::string& question, const std::vector<std::string>& names,
                            const std::function<double(std::size_t)>& seconds) {
  std::string key = machine_ + std::to_string(omp_get_max_threads()) + " threads: " + question;
  std::ranges::replace(key, '\t', ' ');
  std::ranges::replace(key, '\n', ' ');
  if (const auto known = find(key, names)) return *known;
  constexpr double clearly = 0.95;  // less is noise
  std::size_t best = 0;
  double least = std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < names.size(); ++i) {
    const double took = seconds(i);
    if (took >= clearly * least) continue;
    least = took;
    best = i;
  }
  ++measured_;
  const std::lock_guard lock(mutex_);
  read();  // what others have found since
  answers_[key] = names[best];
  write();
  return best;
}

std::optional<std::size_t> Tuning::find(const std::string& key,
                                        const std::vector<std::string>& names) {
  const std::lock_guard lock(mutex_);
  const auto known = answers_.find(key);
  if (known == answers_.end()) return std::nullopt;
  const auto name = std::ranges::find(names, known->second);
  if (name == names.end()) return std::nullopt;
  return static_cast<std::size_t>(name - names.begin());
}

void Tuning::read() {
  std::ifstream in(path_);
  for (std::string line; std::getline(in, line);) {
    const auto tab = line.find('\t');
    if (tab == std::string::npos || tab == 0 || tab + 1 == line.size()) continue;
    answers_.try_emplace(line.substr(0, tab), line.substr(tab + 1));
  }
}

void Tuning::write() const {
  if (path_.empty()) return;
  std::error_code error;
  const fs::path path(path_), beside(path_ + '.' + std::to_string(getpid()));
  if (path.has_parent_path()) fs::create_directories(path.parent_path(), error);
  {
    std::ofstream out(beside);
    for (const auto& [key, name] : answers_) out << key << '\t' << name << '\n';
    out.flush();
    if (!out) {
      out.close();
      fs::remove(beside, error);
      return;
    }
  }
  fs::rename(beside, path, error);
  if (error) fs::remove(beside, error);
}

}  // namespace weft
