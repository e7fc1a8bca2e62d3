// Where the peer of a stream socket comes from.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string_view>

#include "io/key_values.h"
#include "io/result.h"
#include "io/unique_fd.h"
#include "main-loop/event_loop.h"
#include "main-loop/socket_address.h"

namespace hv {

// One peer after another, at most one at a time: a server listens while it has none (until the
// process ends), a client with reconnect tries again, one without stays closed.
//
//   server: listening -> open -> listening
//   client: connecting -> open -> pause -> connecting; a failed attempt leads to pause
//
// Loop thread, but for the constructor and, once detached, the destructor.
class SocketPeers {
 public:
  struct Options {
    std::optional<SocketAddress> address;  // not for an inherited descriptor
    UniqueFd listener;                     // of a server; its socket file is removed at the end
    UniqueFd first;                        // the first peer, if there is one already
    int64_t reconnect_ns = 0;              // client: 0 never
    bool nodelay = false;                  // for tcp
  };
  explicit SocketPeers(Options options) : options_(std::move(options)) {}
  ~SocketPeers();

  // `opened` gets each peer, the first one maybe at once.
  void attach(EventLoop& loop, std::function<void(UniqueFd peer)> opened);
  void detach();
  // The last one is gone and closed.
  void lost();

 private:
  void open(UniqueFd peer);
  void listen();
  void accept_peer();
  void connect();
  void connect_next();
  void finish_connect();
  void pause();

  Options options_;
  std::function<void(UniqueFd)> opened_;
  EventLoop* loop_ = nullptr;
  std::unique_ptr<FdWatch> listener_watch_;
  size_t next_address_ = 0;  // which of the name's addresses to try next
  UniqueFd connecting_;
  std::unique_ptr<FdWatch> connecting_watch_;
  std::unique_ptr<Timer> timer_;
};

// Takes reconnect= (seconds) or reconnect-ms=; 0 is never.
Result<int64_t> take_reconnect_ns(KeyValues& options);

// The socket behind `text`, a number that the parent has left open to this process; non-blocking
// and ours from here on. `key` begins a message.
Result<UniqueFd> adopt_socket(std::string_view key, std::string_view text);
// Fails unless a server's socket listens, or a client's does not.
Result<> check_listening(std::string_view key, const UniqueFd& socket, bool server);

}  // namespace hv
