#include "main-loop/char_stream.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <climits>
#include <cstring>
#include <utility>

#include "io/clock.h"
#include "io/log.h"

namespace hv {
namespace {

bool is_socket(int fd) {
  struct stat info{};
  return fstat(fd, &info) == 0 && S_ISSOCK(info.st_mode);
}

}  // namespace

CharStream::CharStream(EventLoop& loop, const CharEscapes* escapes) : loop_(loop) {
  if (escapes) {
    keys_.emplace(escapes->key);
    quit_ = escapes->quit;
  }
  loop_.run_on_loop([this] {
    loop_.attach(output_queued_, [this] { flush(); });
    loop_.attach(input_accepted_, [this] { resume_input(); });
  });
}

CharStream::~CharStream() {
  assert(!open_ && !input_watch_);
}

void CharStream::stop(const std::function<void()>& release) {
  loop_.run_on_loop([&] {
    frontend_ = nullptr;
    release();
    close_stream();
    loop_.detach(output_queued_);
    loop_.detach(input_accepted_);
  });
}

void CharStream::set_frontend(CharFrontend* frontend) {
  loop_.run_on_loop([&] {
    frontend_ = frontend;
    if (!frontend_) return;
    close_untold_ = false;
    if (open_) frontend_->opened();
    if (size_ != CharSize{}) frontend_->resized(size_);
    resume_input();
  });
}

size_t CharStream::write(std::span<const uint8_t> bytes) {
  const size_t taken = queue_.push(bytes);
  if (taken > 0) output_queued_.set();
  return taken;
}

size_t CharStream::write_pieces(std::span<const iovec> pieces) {
  loop_.assert_here();
  size_t total = 0;
  for (const iovec& piece : pieces) total += piece.iov_len;
  size_t done = 0;
  if (!open_ || !queue_.is_open()) return total;  // nobody is there to miss it
  if (queue_.empty() && !output_waits_) {
    pieces = pieces.first(std::min<size_t>(pieces.size(), IOV_MAX));
    ssize_t size;
    do size = write_some(pieces);
    while (size < 0 && errno == EINTR);
    if (size < 0 && errno != EAGAIN) {
      fail_output(errno);
      return total;
    }
    if (size > 0) done = static_cast<size_t>(size);
    size_t given = 0;
    for (const iovec& piece : pieces) given += piece.iov_len;
    if (done == given) return done;
    output_waits_ = true;
    update_watches();
  }
  queue_.note_starved();
  return done;
}

size_t CharStream::output_room() const {
  return queue_.room();
}

void CharStream::accept_input() {
  if (blocked_.load(std::memory_order_seq_cst) && blocked_.exchange(false)) input_accepted_.set();
}

void CharStream::drain(int timeout_ms) {
  loop_.run_on_loop([&] {
    const int64_t end_ns = monotonic_now_ns() + int64_t{timeout_ms} * 1'000'000;
    flush();
    while (open_ && !queue_.empty()) {
      const int64_t left_ms = (end_ns - monotonic_now_ns()) / 1'000'000;
      if (left_ms <= 0) break;
      pollfd output{.fd = output_fd(), .events = POLLOUT, .revents = 0};
      poll(&output, 1, static_cast<int>(left_ms));
      flush();
    }
  });
}

void CharStream::open_stream(UniqueFd both) {
  both_ = true;
  open_stream(std::move(both), UniqueFd());
}

void CharStream::open_stream(UniqueFd input, UniqueFd output) {
  loop_.assert_here();
  assert(!open_);
  open_ = true;
  input_ = std::move(input);
  output_ = std::move(output);
  output_is_socket_ = output_fd() >= 0 && is_socket(output_fd());
  if (output_fd() >= 0) queue_.open();
  if (input_.valid())
    input_watch_ = loop_.watch_fd(input_.get(), 0, [this](uint32_t events) { on_events(events); });
  if (output_.valid())
    output_watch_ = loop_.watch_fd(output_.get(), 0, [this](uint32_t) { flush(); });
  tell_closed();
  if (frontend_) frontend_->opened();
  update_watches();
}

void CharStream::close_stream() {
  if (!open_) return;
  open_ = false;
  input_watch_.reset();
  output_watch_.reset();
  input_.reset();
  output_.reset();
  both_ = false;
  output_waits_ = false;
  queue_.close();
  close_untold_ = true;
  if (held_.empty()) tell_closed();
  tell_room();
}

void CharStream::tell_closed() {
  if (std::exchange(close_untold_, false) && frontend_) frontend_->closed();
}

void CharStream::set_size(CharSize size) {
  if (size == size_ || size.columns == 0 || size.rows == 0) return;
  size_ = size;
  if (frontend_) frontend_->resized(size_);
}

void CharStream::on_end(int) {
  if (both_) {
    close_stream();
  } else {
    input_watch_.reset();
    input_.reset();
  }
}

bool CharStream::wants_input() {
  if (!input_.valid()) return false;
  if (keys_) return held_.size() < kHeldLimit;
  return held_.empty() && frontend_room() > 0;
}

void CharStream::update_watches() {
  const uint32_t in = wants_input() ? uint32_t{EPOLLIN} : 0;
  const uint32_t out = output_waits_ ? uint32_t{EPOLLOUT} : 0;
  // A peer may go while we want nothing of it. PRI never comes; with it, hang-ups are heard, once.
  const uint32_t none = uint32_t{EPOLLPRI} | uint32_t{EPOLLET};
  if (input_watch_) input_watch_->set_events(!both_ ? in : in | out ? in | out : none);
  if (output_watch_) output_watch_->set_events(out);
}

void CharStream::on_events(uint32_t events) {
  if (both_ && output_waits_ && (events & ~uint32_t{EPOLLIN})) flush();
  // Errors and the end of the stream show in read().
  if (open_ && wants_input()) {
    if (events & ~uint32_t{EPOLLOUT}) read_input();
  } else if (open_ && both_ && (events & EPOLLHUP)) {
    take_rest();
  }
  if (open_) update_watches();
}

void CharStream::read_input() {
  std::array<uint8_t, kRestLimit> buffer;
  const size_t wanted = keys_ ? kHeldLimit - held_.size() : frontend_room();
  if (wanted == 0) return;
  const ssize_t size = read(input_.get(), buffer.data(), std::min(buffer.size(), wanted));
  if (size > 0) {
    take_input({buffer.data(), static_cast<size_t>(size)});
  } else if (size == 0) {
    on_end(0);
  } else if (errno != EAGAIN && errno != EINTR) {
    on_end(errno);
  }
}

// The peer is gone and the front end takes nothing: keep what it sent, so that the next peer does
// not wait for the front end. What is beyond the limit stays in the descriptor, and then it does.
void CharStream::take_rest() {
  std::array<uint8_t, 4096> buffer;
  while (held_.size() < kRestLimit) {
    const ssize_t size = read(input_.get(), buffer.data(), buffer.size());
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return on_end(size == 0 ? 0 : errno);
    const std::span<const uint8_t> bytes(buffer.data(), static_cast<size_t>(size));
    if (keys_)
      take_input(bytes);
    else
      held_.insert(held_.end(), bytes.begin(), bytes.end());
  }
}

void CharStream::take_input(std::span<const uint8_t> bytes) {
  if (!keys_) {
    if (frontend_) frontend_->receive(bytes);
    return;
  }
  for (const uint8_t byte : bytes) {
    const EscapeKeys::Outcome outcome = keys_->type(byte);
    if (outcome.data) held_.push_back(*outcome.data);
    if (outcome.action != EscapeKeys::Action::kNone) {
      deliver_held();  // a break comes after what was typed before it
      act(outcome.action);
    }
  }
  deliver_held();
}

void CharStream::act(EscapeKeys::Action action) {
  switch (action) {
    case EscapeKeys::Action::kNone:
      break;
    case EscapeKeys::Action::kHelp:
      // NOLINTNEXTLINE(bugprone-unchecked-optional-access): actions come from keys_.
      say(keys_->help());
      break;
    case EscapeKeys::Action::kBreak:
      if (frontend_) frontend_->receive_break();
      break;
    case EscapeKeys::Action::kQuit:
      say("\r\nhartvisor: terminated\r\n");
      if (quit_) quit_();
      break;
  }
}

void CharStream::deliver_held() {
  while (!held_.empty()) {
    const size_t count = std::min(held_.size(), frontend_room());
    if (count == 0) return;
    const std::vector<uint8_t> bytes(held_.begin(), held_.begin() + static_cast<ptrdiff_t>(count));
    held_.erase(held_.begin(), held_.begin() + static_cast<ptrdiff_t>(count));
    frontend_->receive(bytes);
  }
  if (!open_) tell_closed();
}

// What the front end takes now. If that is nothing, accept_input() brings us back: either it comes
// after `blocked_` went up, and sees it, or the front end's state changed before our second look.
size_t CharStream::frontend_room() {
  if (!frontend_) return 0;
  if (const size_t room = frontend_->can_receive()) return room;
  blocked_.store(true, std::memory_order_seq_cst);
  const size_t room = frontend_->can_receive();
  if (room > 0) blocked_.store(false, std::memory_order_relaxed);
  return room;
}

void CharStream::resume_input() {
  deliver_held();
  if (open_) update_watches();
}

void CharStream::flush() {
  if (!open_ || output_fd() < 0) return;
  output_waits_ = false;
  for (;;) {
    const std::span<const uint8_t> bytes = queue_.front();
    if (bytes.empty()) break;
    const iovec piece{const_cast<uint8_t*>(bytes.data()), bytes.size()};
    const ssize_t size = write_some({&piece, 1});
    if (size >= 0) {
      queue_.consume(static_cast<size_t>(size));
    } else if (errno == EAGAIN) {
      output_waits_ = true;
      break;
    } else if (errno != EINTR) {
      fail_output(errno);
      break;
    }
  }
  tell_room();
  if (open_) update_watches();
}

ssize_t CharStream::write_some(std::span<const iovec> pieces) {
  if (!output_is_socket_)
    return writev(output_fd(), pieces.data(), static_cast<int>(pieces.size()));
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(pieces.data());
  message.msg_iovlen = pieces.size();
  return sendmsg(output_fd(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

// The input side may still hold bytes that the peer sent before it went; it finds the end itself.
void CharStream::fail_output(int error) {
  queue_.close();
  if (on_output_error(error)) queue_.open();
}

bool CharStream::tell_output_error(std::string_view name, int error) {
  const bool may_pass = error == ENOSPC || error == EDQUOT || error == EFBIG;
  if (!std::exchange(loss_told_, true))
    warn(fmt::format("{}: output is lost{}: {}", name, may_pass ? "" : " from here on",
                     std::strerror(error)));
  return may_pass;
}

void CharStream::tell_room() {
  if (queue_.take_room_again() && frontend_) frontend_->output_ready();
}

void CharStream::say(std::string_view text) {
  queue_.force({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  output_queued_.set();
}

}  // namespace hv
