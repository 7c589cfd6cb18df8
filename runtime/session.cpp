// Contexts and sessions: what each of several threads needs for itself to run one executable.
#include <atomic>
#include <mutex>
#include <utility>

#include "graph/error.hpp"
#include "runtime/executable_impl.hpp"
#include "runtime/fork.hpp"

namespace weft {

std::unique_ptr<Executable::Context> Executable::Impl::make_context() const {
  auto context = std::make_unique<Context>();
  for (std::size_t r = 0; r < plan.replicas; ++r) {
    const std::size_t which = r < parts.larger ? 0 : kept_.size() - 1;
    context->instances.push_back(std::make_unique<Instance>(plan_of(r), variables, kept_[which]));
  }
  context->spare.resize(plan.replicas);
  for (std::size_t r = 1; r < plan.replicas; ++r) {
    for (std::size_t i = 0; i < plan.result_types.size(); ++i) {
      context->spare[r].push_back(
          has_rows(i) ? Tensor() : Tensor(plan.result_types[i], fmt::format("run: output {}", i)));
    }
  }
  return context;
}

std::unique_ptr<Executable::Context> Executable::Impl::take() {
  const Section section(Section::Kind::step);
  {
    const std::lock_guard lock(pool_);
    if (!free_.empty()) {
      auto context = std::move(free_.back());
      free_.pop_back();
      return context;
    }
  }
  auto context = make_context();
  ++context_count;
  return context;
}

void Executable::Impl::put_back(std::unique_ptr<Context> context) noexcept {
  const Section section(Section::Kind::step);
  const std::lock_guard lock(pool_);
  if (free_.size() < most_free) {
    free_.push_back(std::move(context));
  } else {
    --context_count;
  }
}

// ---- sessions

void Executable::Impl::make_own_tensors(Context& context) const {
  if (context.inputs.empty()) {
    for (std::size_t i = 0; i < plan.feeds.size(); ++i) {
      context.inputs.emplace_back(feed_type(i), fmt::format("run: input \"{}\"", plan.feeds[i]));
    }
  }
  if (context.outputs.empty()) {
    for (std::size_t i = 0; i < plan.result_types.size(); ++i) {
      context.outputs.emplace_back(result_type(i), fmt::format("run: output {}", i));
    }
  }
}

Tensor& Executable::Impl::own_input(Context& context, std::size_t index) const {
  if (index >= plan.feeds.size()) {
    fail<ArgumentError>("executable: input {} of {}", index, plan.feeds.size());
  }
  make_own_tensors(context);
  return context.inputs[index];
}

const Tensor& Executable::Impl::own_output(const Context& context, std::size_t index) const {
  if (index >= context.outputs.size()) {
    fail<ArgumentError>("executable: output {} of {}; or step() has not run yet", index,
                        plan.result_types.size());
  }
  return context.outputs[index];
}

void Executable::Impl::step(Context& context, const std::function<void(std::size_t)>* prepare) {
  if (!context.is_own_bound) {
    make_own_tensors(context);
    bind(context, context.inputs, context.outputs);
    context.is_own_bound = true;
  }
  run(context, prepare);
}

Executable::Context& Executable::Impl::own() {
  std::call_once(own_made_, [this] { own_ = take(); });
  return *own_;
}

void Executable::Impl::step_own(const std::function<void(std::size_t)>* prepare) {
  if (is_stepping_.exchange(true)) {
    fail<BusyError>(
        "executable: its step() is at work in another thread; each thread needs a session() of its "
        "own");
  }
  struct Done {
    std::atomic<bool>& flag;
    ~Done() { flag = false; }
  } const done{is_stepping_};
  step(own(), prepare);
}

// ---- Session

Executable::Session Executable::session() const { return Session(impl_); }

Executable::Session::Session(std::shared_ptr<Impl> impl)
    : impl_(std::move(impl)), context_(impl_->take()) {
  impl_->make_own_tensors(*context_);
}
Executable::Session::Session(Session&&) noexcept = default;
Executable::Session& Executable::Session::operator=(Session&& other) noexcept {
  std::swap(impl_, other.impl_);
  std::swap(context_, other.context_);
  return *this;
}
Executable::Session::~Session() {
  if (context_) impl_->put_back(std::move(context_));
}

Tensor& Executable::Session::input(const std::string& name) {
  return impl_->own_input(*context_, impl_->feed_index(name));
}
Tensor& Executable::Session::input(std::size_t index) { return impl_->own_input(*context_, index); }
void Executable::Session::step() { impl_->step(*context_, nullptr); }
void Executable::Session::step(const std::function<void(std::size_t)>& prepare) {
  impl_->step(*context_, &prepare);
}
const Tensor& Executable::Session::output(std::size_t index) const {
  return impl_->own_output(*context_, index);
}

Tensor& Executable::input(const std::string& name) {
  return impl_->own_input(impl_->own(), impl_->feed_index(name));
}

void Executable::step() { impl_->step_own(nullptr); }

void Executable::step(const std::function<void(std::size_t)>& prepare) {
  impl_->step_own(&prepare);
}

const Tensor& Executable::output(std::size_t index) const {
  return impl_->own_output(impl_->own(), index);
}

const std::vector<std::string>& Executable::input_names() const noexcept {
  return impl_->plan.feeds;
}

std::size_t Executable::contexts() const noexcept { return impl_->context_count; }

}  // namespace weft
