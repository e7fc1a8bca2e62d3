// Waiting with epoll and an eventfd, for hosts without io_uring.
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cassert>
#include <cerrno>
#include <ctime>

#include "main-loop/fd_table.h"
#include "main-loop/loop_backend.h"

namespace hv {
namespace {

constexpr uint64_t kWakeTag = UINT64_MAX;

class EpollBackend final : public LoopBackend {
 public:
  Result<> init();

  void add(FdRecord& record) override;
  void update(FdRecord& record) override;
  void remove(FdRecord& record) override;
  void dispatched(FdRecord&) override {}
  void wait(int64_t timeout_ns) override;
  bool peek() override { return !ready.empty() || always_ready_.any(); }
  void wake() override;
  io_uring_sqe* get_sqe(UringOp&) override {
    assert(!"get_sqe() on an epoll loop");
    return nullptr;
  }

 private:
  int polled_fd(const FdRecord& record) const {
    return record.duplicate ? record.duplicate->get() : record.fd;
  }
  int control(int operation, FdRecord& record);
  int wait_for_events(int64_t timeout_ns);

  UniqueFd epoll_;
  UniqueFd wake_;
  FdTable table_;
  AlwaysReady always_ready_;
  std::array<epoll_event, 256> events_;
  bool has_pwait2_ = true;
};

Result<> EpollBackend::init() {
  epoll_.reset(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_.valid()) return fail_errno(errno, "cannot create an epoll instance");
  wake_.reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake_.valid()) return fail_errno(errno, "cannot create an eventfd");
  // Edge-triggered: every write is one event and the counter is never read.
  epoll_event event{};
  event.events = EPOLLIN | EPOLLET;
  event.data.u64 = kWakeTag;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &event) < 0)
    return fail_errno(errno, "cannot watch an eventfd");
  return {};
}

int EpollBackend::control(int operation, FdRecord& record) {
  epoll_event event{};
  event.events = record.events;
  event.data.u64 = FdTable::key(record);
  return epoll_ctl(epoll_.get(), operation, polled_fd(record), &event) < 0 ? errno : 0;
}

void EpollBackend::add(FdRecord& record) {
  table_.insert(record);
  update(record);
}

void EpollBackend::update(FdRecord& record) {
  forget_ready(record);
  if (!record.always_ready) {
    if (record.events == 0) {
      if (record.armed) control(EPOLL_CTL_DEL, record);
      record.armed = false;
      return;
    }
    if (record.armed) {
      [[maybe_unused]] const int error = control(EPOLL_CTL_MOD, record);
      assert(error == 0);
      return;
    }
    int error = control(EPOLL_CTL_ADD, record);
    if (error == EEXIST) {
      // epoll knows each descriptor once; a second watch gets a descriptor of its own.
      record.duplicate = std::make_unique<UniqueFd>(fcntl(record.fd, F_DUPFD_CLOEXEC, 0));
      error = control(EPOLL_CTL_ADD, record);
    }
    record.armed = error == 0;
    assert(error == 0 || error == EPERM);
    if (error != EPERM) return;
    record.always_ready = true;
  }
  always_ready_.set(record, record.events != 0);
}

void EpollBackend::remove(FdRecord& record) {
  record.events = 0;
  update(record);
  record.duplicate.reset();
  table_.erase(record);
}

int EpollBackend::wait_for_events(int64_t timeout_ns) {
  const int capacity = static_cast<int>(events_.size());
  if (has_pwait2_) {
    timespec timeout{.tv_sec = timeout_ns / 1'000'000'000, .tv_nsec = timeout_ns % 1'000'000'000};
    const int count = epoll_pwait2(epoll_.get(), events_.data(), capacity,
                                   timeout_ns < 0 ? nullptr : &timeout, nullptr);
    if (count >= 0 || errno != ENOSYS) return count;
    has_pwait2_ = false;
  }
  const int64_t ms = timeout_ns < 0 ? -1 : (timeout_ns + 999'999) / 1'000'000;
  return epoll_wait(epoll_.get(), events_.data(), capacity,
                    static_cast<int>(std::min<int64_t>(ms, INT32_MAX)));
}

void EpollBackend::wait(int64_t timeout_ns) {
  if (always_ready_.any() || !ready.empty()) timeout_ns = 0;
  const int count = wait_for_events(timeout_ns);
  assert(count >= 0 || errno == EINTR);
  for (int i = 0; i < count; i++) {
    if (events_[i].data.u64 == kWakeTag) continue;
    if (FdRecord* record = table_.find(events_[i].data.u64))
      ready.push_back({.record = record, .result = static_cast<int>(events_[i].events)});
  }
  always_ready_.report(ready);
}

void EpollBackend::wake() {
  const uint64_t one = 1;
  // Fails only when the counter is full, after 2^64 writes.
  [[maybe_unused]] const ssize_t size = write(wake_.get(), &one, sizeof one);
}

}  // namespace

Result<std::unique_ptr<LoopBackend>> create_epoll_backend() {
  auto backend = std::make_unique<EpollBackend>();
  HV_TRY(backend->init());
  return backend;
}

}  // namespace hv
