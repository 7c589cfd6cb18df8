#include "nn/sharing.hpp"

#include "runtime/executable.hpp"

namespace weft::nn {

bool Sharing::is_trained_by_others() const noexcept {
  return depth_ > 0 && trainer_ != thread_number() && is_here(trainer_, trainer_forks_);
}

void Sharing::expect_no_training(std::string_view who) {
  const Look look(*this);
  if (is_trained_by_others()) {
    fail<BusyError>("{}: another thread is training this model", who);
  }
}

Sharing::Training::Training(Sharing& sharing, std::string_view who, Length length)
    : sharing_(sharing) {
  for (;;) {
    const std::uint32_t trained = sharing_.trained_;
    if (begin(who, length)) return;
    sharing_.trained_.wait(trained);  // outside of any section, so that nobody's fork waits for it
  }
}

bool Sharing::Training::begin(std::string_view who, Length length) {
  const Look look(sharing_);
  if (sharing_.is_trained_by_others()) {
    if (length == Length::batch && !sharing_.is_fit_) return false;
    fail<BusyError>(
        "{}: another thread is training this model; one does so at a time, and others train a copy",
        who);
  }
  const bool is_own = sharing_.depth_ > 0 && sharing_.trainer_ == thread_number();
  if (!is_own) {  // also where a thread of the parent's was training before a fork
    sharing_.trainer_ = thread_number();
    sharing_.depth_ = 0;
    sharing_.is_fit_ = false;
  }
  sharing_.trainer_forks_ = fork_count();
  ++sharing_.depth_;
  was_fit_ = sharing_.is_fit_;
  sharing_.is_fit_ = sharing_.is_fit_ || length == Length::fit;
  return true;
}

Sharing::Training::~Training() {
  {
    const Look look(sharing_);
    sharing_.is_fit_ = was_fit_;
    --sharing_.depth_;
  }
  ++sharing_.trained_;
  sharing_.trained_.notify_all();
}

}  // namespace weft::nn
