#include <fcntl.h>
#include <linux/falloc.h>
#include <unistd.h>

#include <cerrno>

#include "block/file_engine.h"
#include "main-loop/worker_pool.h"

namespace hv {

namespace {

// Enough to keep a disk busy; what comes beyond waits in the pool's queue.
constexpr unsigned kMaxThreads = 16;

// Worker thread. The result is the syscall's, or -errno.
int carry_out(const FileOp& op) {
  const auto offset = static_cast<off_t>(op.offset);
  const auto length = static_cast<off_t>(op.length);
  const int count = static_cast<int>(op.iov.size());
  ssize_t result = 0;
  switch (op.kind) {
    case FileOp::Kind::kRead:
      result = preadv(op.fd, op.iov.data(), count, offset);
      break;
    case FileOp::Kind::kWrite:
      result = pwritev(op.fd, op.iov.data(), count, offset);
      break;
    case FileOp::Kind::kSync:
      result = fdatasync(op.fd);
      break;
    case FileOp::Kind::kPunch:
      result = fallocate(op.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length);
      break;
    case FileOp::Kind::kZero:
      result = fallocate(op.fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, offset, length);
      break;
  }
  return result < 0 ? -errno : static_cast<int>(result);
}

class ThreadEngine final : public FileEngine {
 public:
  explicit ThreadEngine(EventLoop& loop) : loop_(loop) {}

  void start(FileOp& op) override {
    pool_.submit(
        loop_, [&op] { return carry_out(op); }, [&op](int result) { op.finished(result); });
  }

  void flush_batch() override {}

 private:
  EventLoop& loop_;
  WorkerPool pool_{"block-worker", kMaxThreads};
};

}  // namespace

std::unique_ptr<FileEngine> make_thread_engine(EventLoop& loop) {
  return std::make_unique<ThreadEngine>(loop);
}

}  // namespace hv
