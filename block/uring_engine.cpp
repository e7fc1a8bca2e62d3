#include <fcntl.h>
#include <linux/falloc.h>

#include <liburing.h>

#include "block/file_engine.h"

namespace hv {

namespace {

class UringEngine final : public FileEngine {
 public:
  explicit UringEngine(EventLoop& loop) : loop_(loop) {}
  ~UringEngine() override {
    if (index_ >= 0) loop_.unregister_file(index_);
  }

  void start(FileOp& op) override {
    io_uring_sqe* sqe = loop_.get_sqe(op);
    switch (op.kind) {
      case FileOp::Kind::kRead:
      case FileOp::Kind::kWrite:
        prepare_transfer(sqe, op);
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
    if (fixed_file(op.fd)) {
      sqe->fd = index_;
      sqe->flags |= IOSQE_FIXED_FILE;
    }
  }

  // The loop submits what is queued with the io_uring_enter of its next wait, which follows when
  // the callbacks of this round have run: one syscall for the batch and the wait.
  void flush_batch() override {}

 private:
  // An engine has one file.
  bool fixed_file(int fd) {
    if (fd != fd_) {
      if (index_ >= 0) loop_.unregister_file(index_);
      fd_ = fd;
      index_ = loop_.register_file(fd);
    }
    return index_ >= 0;
  }

  void prepare_transfer(io_uring_sqe* sqe, const FileOp& op) {
    const bool read = op.kind == FileOp::Kind::kRead;
    const iovec& first = op.iov.front();
    const auto size = static_cast<unsigned>(first.iov_len);
    const int index = op.iov.size() == 1 && size == first.iov_len
                          ? loop_.memory_index(first.iov_base, first.iov_len)
                          : -1;
    const auto pieces = static_cast<unsigned>(op.iov.size());
    if (index >= 0 && read)
      io_uring_prep_read_fixed(sqe, op.fd, first.iov_base, size, op.offset, index);
    else if (index >= 0)
      io_uring_prep_write_fixed(sqe, op.fd, first.iov_base, size, op.offset, index);
    else if (read)
      io_uring_prep_readv(sqe, op.fd, op.iov.data(), pieces, op.offset);
    else
      io_uring_prep_writev(sqe, op.fd, op.iov.data(), pieces, op.offset);
  }

  EventLoop& loop_;
  int fd_ = -1;
  int index_ = -1;
};

}  // namespace

std::unique_ptr<FileEngine> make_uring_engine(EventLoop& loop) {
  return std::make_unique<UringEngine>(loop);
}

}  // namespace hv
