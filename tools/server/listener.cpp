#include "tools/server/listener.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <optional>
#include <string>

namespace weft {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t threads = 128;  // clients that are answered at a time
constexpr int backlog = 512;          // and those that wait
constexpr std::chrono::seconds time_to_ask(5), time_to_take(20), time_to_leave(2);
constexpr std::size_t head_limit = 64 << 10;  // bytes of a request before its body

class Connection : public httplib::Stream {
 public:
  explicit Connection(socket_t socket) : socket_(socket) {}

  /// Of a body httplib reads no more than Content-Length says. Lines before it may have any length.
  void expect_body() { is_body_ = true; }

  bool is_readable() const override { return begin_ < end_ || wait(POLLIN, ask_until_); }
  bool is_writable() const override { return wait(POLLOUT, take_until()); }

  /// httplib reads lines letter by letter.
  ssize_t read(char* to, std::size_t size) override {
    if (begin_ == end_) {
      if (head_ > head_limit || !wait(POLLIN, ask_until_)) return -1;
      const ssize_t count = ::recv(socket_, buffer_.data(), buffer_.size(), 0);
      if (count <= 0) return count;
      begin_ = 0;
      end_ = static_cast<std::size_t>(count);
      if (!is_body_) head_ += end_;
    }
    size = std::min(size, end_ - begin_);
    std::memcpy(to, buffer_.data() + begin_, size);
    begin_ += size;
    return static_cast<ssize_t>(size);
  }

  ssize_t write(const char* from, std::size_t size) override {
    while (is_writable()) {
      const ssize_t count = ::send(socket_, from, size, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (count >= 0 || (errno != EAGAIN && errno != EINTR)) return count;
    }
    return -1;
  }

  /// After the answer, until the client hangs up. To close a connection with bytes that nobody has
  /// read resets it, and the client may lose the answer: a refusal that came before its body was
  /// read.
  void take_leave() {
    ::shutdown(socket_, SHUT_WR);
    const auto until = Clock::now() + time_to_leave;
    while (wait(POLLIN, until) && ::recv(socket_, buffer_.data(), buffer_.size(), 0) > 0) {
    }
  }

  void get_remote_ip_and_port(std::string&, int&) const override {}  // nobody asks for it
  void get_local_ip_and_port(std::string&, int&) const override {}
  socket_t socket() const override { return socket_; }

 private:
  /// The model's time is not the client's: this begins with the first write.
  Clock::time_point take_until() const {
    if (!take_until_) take_until_ = Clock::now() + time_to_take;
    return *take_until_;
  }
  bool wait(short event, Clock::time_point until) const {
    while (true) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now()).count();
      if (left <= 0) return false;
      pollfd one{.fd = socket_, .events = event, .revents = 0};
      const int ready = ::poll(&one, 1, static_cast<int>(left));
      if (ready >= 0 || errno != EINTR) return ready > 0;
    }
  }

  socket_t socket_;
  Clock::time_point ask_until_ = Clock::now() + time_to_ask;
  mutable std::optional<Clock::time_point> take_until_;
  std::array<char, 4096> buffer_;
  std::size_t begin_ = 0, end_ = 0;  // what of it is not read yet
  bool is_body_ = false;
  std::size_t head_ = 0;  // bytes that came before the body
};

}  // namespace

Listener::Listener() {
  new_task_queue = [] { return new httplib::ThreadPool(threads); };
  set_tcp_nodelay(true);
  // httplib's own would let two servers share a port, each answering some of the clients.
  set_socket_options([](socket_t socket) {
    const int yes = 1;
    ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  });
}

void Listener::lengthen_queue() { ::listen(svr_sock_, backlog); }

void Listener::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    // What has arrived can still be read.
    for (const socket_t socket : open_) ::shutdown(socket, SHUT_RD);
  }
  httplib::Server::stop();
}

bool Listener::answer(httplib::Stream& stream,
                      const std::function<void(httplib::Request&)>& setup) {
  bool is_closed = false;
  const auto process = [&](auto& server, const auto&... ends) {
    if constexpr (requires { server.process_request(stream, ends..., true, is_closed, setup); }) {
      return server.process_request(stream, ends..., true, is_closed, setup);
    } else {  // httplib 0.11 asks the stream for the addresses and ports of both ends
      return server.process_request(stream, true, is_closed, setup);
    }
  };
  const std::string nobody;
  return process(*this, nobody, 0, nobody, 0);
}

bool Listener::process_and_close_socket(socket_t socket) {
  {
    const std::lock_guard lock(mutex_);
    open_.insert(socket);
    if (stopped_) ::shutdown(socket, SHUT_RD);
  }
  Connection connection(socket);
  const bool is_answered = answer(connection, [&](httplib::Request&) { connection.expect_body(); });
  if (is_answered) connection.take_leave();
  {
    const std::lock_guard lock(mutex_);
    open_.erase(socket);
  }
  ::shutdown(socket, SHUT_RDWR);
  ::close(socket);
  return is_answered;
}

}  // namespace weft
