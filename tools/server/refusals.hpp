// What clients may not do. Other sites' pages can make a browser send requests to this machine, and
// can have their names led to it; they shall get no answer.
#pragma once

#include <fmt/format.h>
#include <httplib.h>

#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace weft {

/// What the client did wrong, by HTTP's number for it.
struct Refusal : std::runtime_error {
  Refusal(int refusal_status, const std::string& what)
      : std::runtime_error(what), status(refusal_status) {}
  int status;
};

template <class... Args>
[[noreturn]] void refuse(int status, fmt::format_string<Args...> format, Args&&... args) {
  throw Refusal(status, fmt::format(format, std::forward<Args>(args)...));
}

// Each throws Refusal.

/// A request of which all who read it see the same end: header names without blanks, and at most
/// one length of the body.
void expect_clear_head(const httplib::Request& request);
/// One Host header, with a name of the server that listens at `host` and says that it is at `url`.
/// Upper and lower case are the same, here and in media types.
void expect_own_host(const httplib::Request& request, std::string_view host, std::string_view url);
/// A body of a known length of at most `limit` bytes, and not to be unpacked.
void expect_plain_body(const httplib::Request& request, std::size_t limit);
/// A body of JSON, and if a page sends it, one of this server's. (A page elsewhere may not send
/// this type without asking, and nobody answers that it may.)
void expect_own_page(const httplib::Request& request);

}  // namespace weft
