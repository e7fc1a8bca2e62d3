#include "main-loop/socket_address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

namespace hv {
namespace {

UniqueFd stream_socket(int family) {
  return UniqueFd(socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

}  // namespace

Result<SocketAddress> SocketAddress::unix_path(const std::string& path) {
  sockaddr_un name{};
  if (path.size() >= sizeof name.sun_path)
    return fail("path={}: a socket's path has at most {} bytes", path, sizeof name.sun_path - 1);
  name.sun_family = AF_UNIX;
  std::memcpy(name.sun_path, path.data(), path.size());
  SocketAddress result;
  result.text_ = "unix:" + path;
  result.path_ = path;
  Address& address = result.addresses_.emplace_back();
  std::memcpy(&address.storage, &name, sizeof name);
  address.length = sizeof name;
  return result;
}

Result<SocketAddress> SocketAddress::tcp(const std::string& host, uint16_t port, bool server) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV | (server ? AI_PASSIVE : AI_ADDRCONFIG);
  if (server && host.empty()) hints.ai_family = AF_INET;
  addrinfo* list = nullptr;
  const std::string service = std::to_string(port);
  const int error =
      getaddrinfo(host.empty() ? nullptr : host.c_str(), service.c_str(), &hints, &list);
  if (error != 0) return fail("host={}: {}", host, gai_strerror(error));
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(list, freeaddrinfo);
  SocketAddress result;
  result.text_ = fmt::format("tcp:{}:{}", host, port);
  for (const addrinfo* info = list; info; info = info->ai_next) {
    Address& address = result.addresses_.emplace_back();
    std::memcpy(&address.storage, info->ai_addr, info->ai_addrlen);
    address.length = info->ai_addrlen;
  }
  return result;
}

// Removes the socket file of a server that is gone; anything else that is in the way stays.
Result<> SocketAddress::make_way() const {
  struct stat info{};
  if (lstat(path_.c_str(), &info) != 0) return {};
  if (!S_ISSOCK(info.st_mode)) return fail("{}: the file exists and is not a socket", text_);
  const UniqueFd probe = start_connect(0);
  if (probe.valid() || errno != ECONNREFUSED) return fail_errno(EADDRINUSE, "{}", text_);
  if (unlink(path_.c_str()) != 0) return fail_errno(errno, "cannot replace {}", text_);
  return {};
}

Result<UniqueFd> SocketAddress::listen() const {
  if (!is_tcp()) HV_TRY(make_way());
  const Address& address = addresses_.front();
  UniqueFd fd = stream_socket(address.storage.ss_family);
  if (!fd.valid()) return fail_errno(errno, "cannot create a socket");
  if (is_tcp()) {
    const int one = 1;
    setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  }
  if (bind(fd.get(), address.get(), address.length) != 0 || ::listen(fd.get(), 1) != 0)
    return fail_errno(errno, "cannot listen on {}", text_);
  return fd;
}

Result<UniqueFd> SocketAddress::connect() const {
  int error = 0;
  for (size_t i = 0; i < count(); i++) {
    UniqueFd peer = start_connect(i);
    error = errno;
    if (!peer.valid()) continue;
    HV_TRY(wait_ready(peer.get(), POLLOUT));
    error = connect_error(peer.get());
    if (error == 0) return peer;
  }
  return fail_errno(error, "cannot connect to {}", text_);
}

UniqueFd SocketAddress::start_connect(size_t which) const {
  const Address& address = addresses_[which];
  UniqueFd fd = stream_socket(address.storage.ss_family);
  if (!fd.valid()) return fd;
  if (::connect(fd.get(), address.get(), address.length) == 0 || errno == EINPROGRESS) return fd;
  const int error = errno;
  fd.reset();
  errno = error;
  return fd;
}

int connect_error(int fd) {
  int error = 0;
  socklen_t length = sizeof error;
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0) return errno;
  return error;
}

uint16_t local_port(int fd) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0) return 0;
  if (address.ss_family == AF_INET)
    return ntohs(reinterpret_cast<const sockaddr_in*>(&address)->sin_port);
  if (address.ss_family == AF_INET6)
    return ntohs(reinterpret_cast<const sockaddr_in6*>(&address)->sin6_port);
  return 0;
}

Result<> wait_ready(int fd, short events) {
  // A signal that is not blocked acts by itself; a blocked one shows here and stays pending.
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&signals, signal);
  const UniqueFd ending(signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  for (;;) {
    pollfd fds[] = {{.fd = fd, .events = events, .revents = 0},
                    {.fd = ending.get(), .events = POLLIN, .revents = 0}};
    if (poll(fds, std::size(fds), -1) < 0 && errno != EINTR)
      return fail_errno(errno, "cannot wait");
    if (fds[1].revents & POLLIN) return fail("interrupted while waiting");
    if (fds[0].revents) return {};
  }
}

}  // namespace hv
