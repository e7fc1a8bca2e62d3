#include <fcntl.h>
#include <linux/falloc.h>

#include <liburing.h>

#include "block/file_engine.h"

namespace hv {

namespace {

class UringEngine final : public FileEngine {
 public:
  explicit UringEngine(EventLoop& loop) : loop_(loop) {}

  void start(FileOp& op) override {
    io_uring_sqe* sqe = loop_.get_sqe(op);
    switch (op.kind) {
      case FileOp::Kind::kRead:
        io_uring_prep_readv(sqe, op.fd, op.iov.data(), static_cast<unsigned>(op.iov.size()),
                            op.offset);
        break;
      case FileOp::Kind::kWrite:
        io_uring_prep_writev(sqe, op.fd, op.iov.data(), static_cast<unsigned>(op.iov.size()),
                             op.offset);
        break;
      case FileOp::Kind::kSync:
        io_uring_prep_fsync(sqe, op.fd, IORING_FSYNC_DATASYNC);
        break;
      case FileOp::Kind::kPunch:
        io_uring_prep_fallocate(sqe, op.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                static_cast<off_t>(op.offset), static_cast<off_t>(op.length));
        break;
      case FileOp::Kind::kZero:
        io_uring_prep_fallocate(sqe, op.fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
                                static_cast<off_t>(op.offset), static_cast<off_t>(op.length));
        break;
    }
  }

  // The loop submits what is queued with the io_uring_enter of its next wait, which follows when
  // the callbacks of this round have run: one syscall for the batch and the wait.
  void flush_batch() override {}

 private:
  EventLoop& loop_;
};

}  // namespace

std::unique_ptr<FileEngine> make_uring_engine(EventLoop& loop) {
  return std::make_unique<UringEngine>(loop);
}

}  // namespace hv
