// What all descriptor-backed character back ends share. Internal to main-loop.
#pragma once

#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "io/char_backend.h"
#include "io/unique_fd.h"
#include "main-loop/chardev.h"
#include "main-loop/escape_keys.h"
#include "main-loop/event_loop.h"
#include "main-loop/output_queue.h"

namespace hv {

// Moves bytes between a front end and one or two non-blocking descriptors. Everything but the
// CharBackend calls that may come from any thread runs on the loop's thread; set_frontend(),
// drain() and the destructor go there by themselves.
//
// A subclass says when there is a stream: open_stream() when a peer is there, close_stream() when
// it is gone. Its destructor begins with stop().
class CharStream : public CharBackend {
 public:
  void set_frontend(CharFrontend* frontend) override;
  size_t write(std::span<const uint8_t> bytes) override;
  size_t write_pieces(std::span<const iovec> pieces) override;
  size_t output_room() const override;
  void accept_input() override;
  void drain(int timeout_ms) override;

 protected:
  // `escapes` nullptr: no C-a keys.
  CharStream(EventLoop& loop, const CharEscapes* escapes);
  ~CharStream() override;

  EventLoop& loop() { return loop_; }
  bool is_open() const { return open_; }

  // Loop thread. One descriptor for both directions.
  void open_stream(UniqueFd both);
  // Loop thread. One for each; an invalid one is a direction that does not exist.
  void open_stream(UniqueFd input, UniqueFd output);
  // Loop thread. Drops queued output; the front end hears closed(). No on_end() for it.
  void close_stream();
  // Loop thread: what is known of the terminal; the front end hears of changes.
  void set_size(CharSize size);
  // Any thread: runs `release` and takes the base apart on the loop's thread.
  void stop(const std::function<void()>& release);

  // Loop thread: the input has ended (`error` 0 or an errno value). As it is here, a stream of one
  // descriptor closes, and one of two goes on without input.
  virtual void on_end(int error);
  // Loop thread: output cannot be written. False: what comes from now on is discarded; true: only
  // what is queued is, and later output is tried again.
  virtual bool on_output_error(int error) { return false; }
  // An on_output_error() that tells of it, once, and goes on when a disk is full.
  bool tell_output_error(std::string_view name, int error);

 private:
  static constexpr size_t kHeldLimit = 4096;
  static constexpr size_t kRestLimit = 64 << 10;

  int output_fd() const { return output_.valid() ? output_.get() : both_ ? input_.get() : -1; }
  void update_watches();
  bool wants_input();
  void on_events(uint32_t events);
  void read_input();
  void take_rest();
  void take_input(std::span<const uint8_t> bytes);
  void act(EscapeKeys::Action action);
  void deliver_held();
  size_t frontend_room();
  void resume_input();
  void flush();
  ssize_t write_some(std::span<const iovec> pieces);
  void tell_closed();
  void fail_output(int error);
  void tell_room();
  void say(std::string_view text);

  EventLoop& loop_;
  mutable OutputQueue queue_;
  // The front end could not receive: accept_input() wakes the loop.
  std::atomic<bool> blocked_{false};
  EventNotifier output_queued_;
  EventNotifier input_accepted_;

  // Loop thread from here on.
  CharFrontend* frontend_ = nullptr;
  std::optional<EscapeKeys> keys_;
  std::function<void()> quit_;
  // Came in and not yet received: with keys, what was typed less the keys; without, the rest of a
  // peer that is gone.
  std::vector<uint8_t> held_;
  UniqueFd input_;
  UniqueFd output_;
  bool open_ = false;
  bool close_untold_ = false;  // the front end hears closed() after what is held
  CharSize size_;
  bool both_ = false;  // input_ is for both directions
  bool output_is_socket_ = false;
  bool loss_told_ = false;
  bool output_waits_ = false;  // the descriptor takes no more for now
  std::unique_ptr<FdWatch> input_watch_;
  std::unique_ptr<FdWatch> output_watch_;
};

}  // namespace hv
