#include "main-loop/socket_peers.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>

namespace hv {

SocketPeers::~SocketPeers() {
  const auto& address = options_.address;
  if (options_.listener.valid() && address && !address->is_tcp()) unlink(address->path().c_str());
}

void SocketPeers::attach(EventLoop& loop, std::function<void(UniqueFd)> opened) {
  loop_ = &loop;
  opened_ = std::move(opened);
  if (options_.listener.valid())
    listener_watch_ =
        loop.watch_fd(options_.listener.get(), 0, [this](uint32_t) { accept_peer(); });
  else if (options_.reconnect_ns > 0)
    timer_ = loop.make_timer([this] { connect(); });
  if (options_.first.valid())
    open(std::move(options_.first));
  else if (listener_watch_)
    listener_watch_->set_events(EPOLLIN);
  else if (timer_)
    connect();
}

void SocketPeers::detach() {
  timer_.reset();
  connecting_watch_.reset();
  connecting_.reset();
  listener_watch_.reset();
}

void SocketPeers::lost() {
  if (listener_watch_)
    listener_watch_->set_events(EPOLLIN);
  else
    pause();
}

void SocketPeers::open(UniqueFd peer) {
  const int one = 1;
  if (options_.nodelay) setsockopt(peer.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (listener_watch_) listener_watch_->set_events(0);
  opened_(std::move(peer));
}

void SocketPeers::accept_peer() {
  UniqueFd peer(accept4(options_.listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (peer.valid()) open(std::move(peer));
}

void SocketPeers::connect() {
  next_address_ = 0;
  connect_next();
}

void SocketPeers::connect_next() {
  while (next_address_ < options_.address->count()) {
    connecting_ = options_.address->start_connect(next_address_++);
    if (!connecting_.valid()) continue;
    connecting_watch_ =
        loop_->watch_fd(connecting_.get(), EPOLLOUT, [this](uint32_t) { finish_connect(); });
    return;
  }
  pause();
}

void SocketPeers::finish_connect() {
  connecting_watch_.reset();
  UniqueFd peer = std::move(connecting_);
  if (connect_error(peer.get()) == 0)
    open(std::move(peer));
  else
    connect_next();
}

void SocketPeers::pause() {
  if (timer_) timer_->arm_in(options_.reconnect_ns);
}

Result<int64_t> take_reconnect_ns(KeyValues& options) {
  HV_TRY_ASSIGN(const auto seconds, options.take_number("reconnect"));
  HV_TRY_ASSIGN(const auto ms, options.take_number("reconnect-ms"));
  if (seconds && ms) return fail("reconnect and reconnect-ms are two ways to say one thing");
  const uint64_t in_ms = ms ? *ms : seconds.value_or(0) * 1000;
  if (seconds.value_or(0) > UINT32_MAX || in_ms > uint64_t{UINT32_MAX} * 1000)
    return fail("reconnect={}: that is too long", seconds ? *seconds : *ms);
  return static_cast<int64_t>(in_ms) * 1'000'000;
}

Result<UniqueFd> adopt_socket(std::string_view key, std::string_view text) {
  const auto number = parse_number(text);
  if (!number || *number > INT_MAX) return fail("{}={}: it must be a number", key, text);
  const int fd = static_cast<int>(*number);
  struct stat info{};
  if (fstat(fd, &info) != 0) return fail_errno(errno, "{}={}", key, fd);
  // Our own descriptors close on exec, and so does one that an earlier option has taken.
  if (fcntl(fd, F_GETFD) & FD_CLOEXEC)
    return fail("{}={}: it was not handed to this process, or something else uses it already", key,
                fd);
  if (!S_ISSOCK(info.st_mode)) return fail("{}={}: it must be a socket", key, fd);
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
  fcntl(fd, F_SETFD, FD_CLOEXEC);
  return UniqueFd(fd);
}

Result<> check_listening(std::string_view key, const UniqueFd& socket, bool server) {
  int listening = 0;
  socklen_t length = sizeof listening;
  getsockopt(socket.get(), SOL_SOCKET, SO_ACCEPTCONN, &listening, &length);
  if (server != (listening != 0))
    return fail("{}={}: the socket is {}listening, so server={} is needed", key, socket.get(),
                listening ? "" : "not ", listening ? "on" : "off");
  return {};
}

}  // namespace hv
