// Addresses of stream sockets, and what is done with them. Any thread.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <vector>

#include "io/result.h"
#include "io/unique_fd.h"

namespace hv {

// A unix or tcp address; a host name may stand for several socket addresses.
class SocketAddress {
 public:
  static Result<SocketAddress> unix_path(const std::string& path);
  // `host` "" is every local address for a server. Asks the resolver, which may block.
  static Result<SocketAddress> tcp(const std::string& host, uint16_t port, bool server);

  bool is_tcp() const { return path_.empty(); }
  const std::string& path() const { return path_; }  // unix only
  // "unix:PATH" or "tcp:HOST:PORT", as given.
  const std::string& text() const { return text_; }

  // A listening socket, non-blocking. The socket file that an ended server left behind is replaced.
  Result<UniqueFd> listen() const;

  // A connected socket, non-blocking, after as long as it takes.
  Result<UniqueFd> connect() const;

  // How many addresses there are to try; start_connect(0) is the first.
  size_t count() const { return addresses_.size(); }
  // A non-blocking socket whose connect() is done or under way: writable means finished, and
  // connect_error() says how. An invalid one with errno set: failed at once.
  UniqueFd start_connect(size_t which) const;

 private:
  struct Address {
    sockaddr_storage storage{};
    socklen_t length = 0;
    const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  };
  Result<> make_way() const;

  std::string text_;
  std::string path_;
  std::vector<Address> addresses_;
};

// 0 or the errno value of a connect() that has finished.
int connect_error(int fd);

// The local port of a tcp socket, for one that was asked to choose.
uint16_t local_port(int fd);

// Waits until `fd` is ready for `events` of poll(2). Fails when a signal to end the process comes
// that the caller has blocked for a signalfd.
Result<> wait_ready(int fd, short events);

}  // namespace hv
