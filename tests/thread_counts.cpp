// How many threads: what a control group leaves, what a program is worth, what a model may use.
#include "runtime/threads.hpp"

#include <doctest/doctest.h>

#include <fstream>

#include "graph/rewrite.hpp"
#include "ops/ops.hpp"
#include "runtime/cgroup.hpp"
#include "runtime/compile.hpp"
#include "runtime/work.hpp"
#include "tests/io_files.hpp"
#include "tests/nn_testing.hpp"

namespace weft {
namespace {

namespace fs = std::filesystem;
using test::message_of, test::TemporaryFolder;

/// A system's files, of which only those of control groups are there.
struct System {
  TemporaryFolder folder;

  const System& file(const std::string& path, const std::string& text) const {
    const fs::path whole = folder / path;
    fs::create_directories(whole.parent_path());
    std::ofstream(whole) << text;
    return *this;
  }
  std::optional<double> quota() const { return cpu_quota(folder.path()); }
};

TEST_CASE("threads: the quota of a control group, version 2") {
  System system;
  CHECK(!system.quota());
  system.file("proc/self/cgroup", "0::/user/job\n");
  CHECK(!system.quota());
  system.file("sys/fs/cgroup/user/job/cpu.max", "max 100000\n");
  CHECK(!system.quota());
  system.file("sys/fs/cgroup/user/cpu.max", "250000 100000\n");
  CHECK(system.quota() == 2.5);
  system.file("sys/fs/cgroup/user/job/cpu.max", "50000 100000\n");
  CHECK(system.quota() == 0.5);
  system.file("sys/fs/cgroup/user/job/cpu.max", "damaged\n");
  CHECK(system.quota() == 2.5);
}

TEST_CASE("threads: the quota of a control group, version 1") {
  System system;
  system.file("proc/self/cgroup", "5:memory:/a\n4:cpu,cpuacct:/docker/1f\n1:cpuset:/b\n");
  const std::string group = "sys/fs/cgroup/cpu,cpuacct/docker/1f/";
  system.file(group + "cpu.cfs_quota_us", "-1\n").file(group + "cpu.cfs_period_us", "100000\n");
  CHECK(!system.quota());
  system.file(group + "cpu.cfs_quota_us", "150000\n");
  CHECK(system.quota() == 1.5);
}

TEST_CASE("threads: in a container, its own group is the topmost") {
  System system;
  system.file("proc/self/cgroup", "0::/../../../kubepods/pod1\n");
  system.file("sys/fs/cgroup/cpu.max", "300000 100000\n");
  CHECK(system.quota() == 3);
  System elsewhere;
  elsewhere.file("proc/self/cgroup", "4:cpu:/docker/not-seen-here\n");
  elsewhere.file("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "200000\n");
  elsewhere.file("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  CHECK(elsewhere.quota() == 2);
}

Program program_of(Value value) {
  return rewrite({value}, [](const Rewriting&) { return std::nullopt; });
}

Value product(Graph& graph, std::int64_t n) {
  return matmul(graph.input({DType::f32, {n, n}}, "a"), graph.input({DType::f32, {n, n}}, "b"));
}

TEST_CASE("threads: as many as the work is worth") {
  Graph small, large;
  const Value little = product(small, 32), much = product(large, 1024);
  CHECK(threads_worth(program_of(little), 8) == 1);
  CHECK(threads_worth(program_of(much), 8) == 8);
  CHECK(threads_worth(program_of(much), 1) == 1);
  CHECK(work_of_a_step(program_of(much)) == doctest::Approx(2.0 * 1024 * 1024 * 1024));
  // Many small steps make no large one.
  Value chain = little;
  for (int i = 0; i < 2000; ++i) chain = matmul(chain, chain);
  CHECK(threads_worth(program_of(chain), 8) == 1);
  // A compiled program has them, unless it is told how many.
  CHECK(compile({little}, {.most_threads = 2}).statistics().threads == 1);
  CHECK(compile({much}, {.most_threads = 2}).statistics().threads == 2);
  CHECK(compile({little}, {.threads = 2}).statistics().threads == 2);
  CHECK(message_of<CompileError>([&] { compile({little}, {.most_threads = -1}); }) ==
        "compile: there cannot be -1 threads at hand");
}

TEST_CASE("threads: convolutions and their gradients count alike") {
  Graph graph;
  const Value x = graph.input({DType::f32, {2, 8, 8, 4}}, "x");
  const Value k = graph.input({DType::f32, {3, 3, 2, 6}}, "k");
  const Conv2dOptions options{.groups = 2};
  const Value y = conv2d(x, k, options);
  const double flops = 2.0 * 2 * 6 * 6 * 6 * 3 * 3 * 2;
  const auto flops_of = [](Value value) {
    std::vector<Type> inputs;
    for (const Value& input : value.inputs()) inputs.push_back(input.type());
    return value.op().flops(inputs);
  };
  CHECK(flops_of(y) == flops);
  CHECK(flops_of(conv2d_input_grad(y, k, x.shape(), options)) == flops);
  CHECK(flops_of(conv2d_kernel_grad(x, y, {3, 3}, options)) == flops);
}

TEST_CASE("threads: a model uses no more than it is told to") {
  set_threads(4);
  const nn::Dataset data(Tensor(Type{DType::f32, {64, 8}}), Tensor(Type{DType::f32, {64, 1}}));
  for (const int threads : {1, 2, 4}) {
    nn::Sequential model({nn::Dense(16), nn::Dense(1)}, {.threads = threads});
    model.compile({.loss = "mse"});
    const auto statistics = model.training_step(data, 64).statistics();
    CHECK(static_cast<int>(statistics.replicas) * statistics.threads == threads);
  }
  nn::Sequential model({nn::Dense(1)}, {.threads = -1});
  model.compile({.loss = "mse"});
  CHECK(message_of<CompileError>([&] { model.training_step(data, 64); }) ==
        "compile: there cannot be -1 threads at hand");
  set_threads(0);
}

}  // namespace
}  // namespace weft
