// Descriptors of a share, and how many of them there may be.
#pragma once

#include <unistd.h>

#include <atomic>
#include <memory>

namespace hv {

// A number of descriptors that all shares of the process may have open together, so that no guest
// takes the last one from the rest of the process. Any thread.
class FdBudget {
 public:
  explicit FdBudget(unsigned limit) : limit_(limit) {}
  bool take() {
    if (used_.fetch_add(1) < limit_) return true;
    used_.fetch_sub(1);
    return false;
  }
  void give() { used_.fetch_sub(1); }
  unsigned used() const { return used_; }
  unsigned limit() const { return limit_; }

 private:
  const unsigned limit_;
  std::atomic<unsigned> used_{0};
};

// An open descriptor that several may hold: a fid, and the system calls under way for it. The last
// one to let go closes it, on its thread.
class Handle {
 public:
  // `fd` was counted in the budget.
  Handle(int fd, FdBudget& budget) : fd_(fd), budget_(budget) {}
  ~Handle() {
    ::close(fd_);
    budget_.give();
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  int fd() const { return fd_; }

 private:
  const int fd_;
  FdBudget& budget_;
};

using HandleRef = std::shared_ptr<const Handle>;

}  // namespace hv
