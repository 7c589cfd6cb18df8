#include "runtime/cgroup.hpp"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>

namespace weft {
namespace {

namespace fs = std::filesystem;

std::optional<double> ratio(double quota, double period) {
  if (!(quota > 0) || !(period > 0)) return std::nullopt;  // -1: no limit
  return quota / period;
}

/// "150000 100000", or "max 100000".
std::optional<double> quota_v2(const fs::path& group) {
  std::ifstream in(group / "cpu.max");
  double quota = 0, period = 0;
  if (!(in >> quota >> period)) return std::nullopt;
  return ratio(quota, period);
}

std::optional<double> quota_v1(const fs::path& group) {
  std::ifstream quota_in(group / "cpu.cfs_quota_us"), period_in(group / "cpu.cfs_period_us");
  double quota = 0, period = 0;
  if (!(quota_in >> quota) || !(period_in >> period)) return std::nullopt;
  return ratio(quota, period);
}

/// A line of /proc/self/cgroup: "4:cpu,cpuacct:/docker/1f", and "0::/docker/1f" in version 2.
struct Membership {
  std::string controllers, path;
};

std::optional<Membership> membership(const std::string& line) {
  const auto first = line.find(':');
  const auto second = first == line.npos ? first : line.find(':', first + 1);
  if (second == line.npos || second + 1 >= line.size() || line[second + 1] != '/') {
    return std::nullopt;
  }
  return Membership{line.substr(first + 1, second - first - 1), line.substr(second + 2)};
}

bool has_cpu(const std::string& controllers) {
  std::istringstream in(controllers);
  for (std::string name; std::getline(in, name, ',');) {
    if (name == "cpu") return true;
  }
  return false;
}

}  // namespace

std::optional<double> cpu_quota(const fs::path& root) {
  std::optional<double> least;
  // In a container, the path may lead to where only the host can see; its own group is then
  // mounted in the place of the topmost.
  const auto walk = [&](const fs::path& mount, const std::string& path, auto quota_of) {
    const bool is_inside = !path.empty() && path.find("..") == path.npos;
    for (fs::path group = is_inside ? mount / path : mount; group != mount && group != root;
         group = group.parent_path()) {
      if (const auto quota = quota_of(group)) least = std::min(least.value_or(*quota), *quota);
    }
    if (const auto quota = quota_of(mount)) least = std::min(least.value_or(*quota), *quota);
  };
  const fs::path mounts = root / "sys/fs/cgroup";
  std::ifstream in(root / "proc/self/cgroup");
  for (std::string line; std::getline(in, line);) {
    const auto member = membership(line);
    if (!member) continue;
    if (member->controllers.empty()) {
      walk(mounts, member->path, quota_v2);
    } else if (has_cpu(member->controllers)) {
      walk(mounts / member->controllers, member->path, quota_v1);
      walk(mounts / "cpu", member->path, quota_v1);
    }
  }
  return least;
}

}  // namespace weft
