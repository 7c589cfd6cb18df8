// Listener: httplib's server, with a time for each client.
#pragma once

#include <httplib.h>

#include <functional>
#include <mutex>
#include <set>

namespace weft {

/// Each request has a connection of its own, and a connection has its time. (httplib's timeouts
/// begin anew with each byte: who sends them one by one holds a thread for as long as he likes.)
class Listener : public httplib::Server {
 public:
  Listener();
  /// To be called when it is bound: httplib's queue of clients that wait has five places.
  void lengthen_queue();
  /// Answers what has been asked, and hangs up on clients that have not said yet what they want.
  void stop();

 private:
  bool process_and_close_socket(socket_t socket) override;
  bool answer(httplib::Stream& stream, const std::function<void(httplib::Request&)>& setup);

  std::mutex mutex_;  // of what follows
  std::set<socket_t> open_;
  bool stopped_ = false;
};

}  // namespace weft
