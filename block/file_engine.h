// How operations on a host file are carried out: by io_uring or by threads.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <memory>
#include <span>

#include "main-loop/event_loop.h"

namespace hv {

// One operation on a host file. Its owner keeps it in place until finished() has run.
class FileOp : public UringOp {
 public:
  enum class Kind : uint8_t {
    kRead,   // iov, offset
    kWrite,  // iov, offset
    kSync,   // fdatasync
    kPunch,  // offset, length: deallocate, reads as zeroes
    kZero,   // offset, length: zeroes that stay allocated
  };

  Kind kind = Kind::kRead;
  int fd = -1;
  uint64_t offset = 0;
  uint64_t length = 0;
  std::span<const iovec> iov;  // not empty for reads and writes, at most IOV_MAX

  // `result` is what the syscall gave: bytes, 0, or -errno. Loop thread, never from inside start().
  virtual void finished(int result) = 0;

  void complete(int result) final { finished(result); }

 protected:
  ~FileOp() = default;
};

// Loop thread. Destroyed with nothing in flight.
class FileEngine {
 public:
  virtual ~FileEngine() = default;
  virtual void start(FileOp& op) = 0;
  // What was started is on its way to the host.
  virtual void flush_batch() = 0;
};

// For loops with has_uring().
std::unique_ptr<FileEngine> make_uring_engine(EventLoop& loop);
// Blocking calls on threads of its own, started as they are needed.
std::unique_ptr<FileEngine> make_thread_engine(EventLoop& loop);

}  // namespace hv
