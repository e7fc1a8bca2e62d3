// Waiting with io_uring: readiness, operations, timeout and wake-up in one ring and one syscall.
#include <liburing.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>

#include "main-loop/fd_table.h"
#include "main-loop/loop_backend.h"

namespace hv {
namespace {

constexpr unsigned kMaxFiles = 64;          // registered
constexpr uint64_t kMaxPiece = 1ull << 30;  // the kernel's limit for a registered buffer
constexpr unsigned kSqEntries = 256;
constexpr unsigned kCqEntries = 2048;  // more than that overflow into the kernel's backlog

// The low bits of a completion's user data; operations are pointers, so theirs are 0.
constexpr unsigned kTagBits = 3;
constexpr uint64_t kTagMask = (1u << kTagBits) - 1;
enum Tag : uint64_t { kTagOp = 0, kTagPoll = 1, kTagWake = 2, kTagIgnore = 3, kTagFutex = 4 };

// Linux 6.7; Debian 12's headers are older.
constexpr uint8_t kOpFutexWake = 52;
constexpr int kFutex2Private32 = 0x80 | 0x02;

// A level-triggered watch is a one-shot poll that is armed again after its callback: the kernel
// looks at the descriptor when it takes the request, so what is still ready fires again, and the
// request rides on the io_uring_enter of the next wait. An edge-triggered watch and the wake-up are
// multishot polls, armed again only when the kernel ends them (!IORING_CQE_F_MORE).
class UringBackend final : public LoopBackend, public FutexWaker {
 public:
  ~UringBackend() override {
    if (ring_open_) io_uring_queue_exit(&ring_);
  }
  Result<> init();

  void add(FdRecord& record) override;
  void update(FdRecord& record) override;
  void remove(FdRecord& record) override;
  void dispatched(FdRecord& record) override { want_armed(record); }
  void wait(int64_t timeout_ns) override;
  bool wait_for_batch(unsigned operations, int64_t timeout_ns) override;
  unsigned operations_in_flight() const override { return operations_in_flight_; }
  bool peek() override;
  void wake() override;
  bool takes_operations() const override { return true; }
  io_uring_sqe* get_sqe(UringOp& op) override;
  void submit() override;
  int register_file(int fd) override;
  void unregister_file(int index) override;
  void register_memory(void* base, uint64_t size) override;
  int memory_index(const void* at, uint64_t length) const override;
  FutexWaker* futex_waker() override { return wakes_futexes_ ? this : nullptr; }
  void wake_all(std::atomic<uint32_t>& word) override;
  void change_thread() override;

 private:
  int open_ring();
  void probe_operations();
  void enable();
  io_uring_sqe* next_sqe();
  void want_armed(FdRecord& record);
  void arm(FdRecord& record);
  void disarm(FdRecord& record);
  void arm_wake();
  void arm_queued();
  void sleep(int64_t timeout_ns);
  void reap();
  void handle(const io_uring_cqe& cqe);
  void handle_poll(FdRecord& record, const io_uring_cqe& cqe);

  io_uring ring_{};
  bool ring_open_ = false;
  bool enabled_ = false;  // SQEs may be submitted; the enabling thread is the only issuer
  bool wake_armed_ = false;
  bool wakes_futexes_ = false;
  bool woken_ = false;  // a wake-up was reaped since wait() began
  UniqueFd wake_;
  FdTable table_;
  AlwaysReady always_ready_;
  std::vector<FdRecord*> to_arm_;
  std::vector<int> files_;            // registered, by index; -1: free
  std::vector<iovec> memory_pieces_;  // registered, by index
  unsigned operations_in_flight_ = 0;
};

// The cheapest ring that this kernel takes. A ring with a single issuer belongs to the thread that
// enables it, which is not always the one that creates it: it starts disabled.
int UringBackend::open_ring() {
  constexpr unsigned kFlagSets[] = {
      IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
      IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
      0,
  };
  int error = ENOSYS;
  for (const unsigned flags : kFlagSets) {
    io_uring_params params{};
    params.flags = flags | IORING_SETUP_R_DISABLED | IORING_SETUP_CQSIZE;
    params.cq_entries = kCqEntries;
    error = -io_uring_queue_init_params(kSqEntries, &ring_, &params);
    if (error == EINVAL) continue;
    if (error != 0) return error;
    constexpr unsigned kNeeded = IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG | IORING_FEAT_FAST_POLL;
    if ((params.features & kNeeded) != kNeeded) {
      io_uring_queue_exit(&ring_);
      return ENOSYS;
    }
    ring_open_ = true;
    enabled_ = false;
    wake_armed_ = false;
    return 0;
  }
  return error;
}

Result<> UringBackend::init() {
  wake_.reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake_.valid()) return fail_errno(errno, "cannot create an eventfd");
  if (const int error = open_ring()) return fail_errno(error, "cannot create an io_uring");
  probe_operations();
  return {};
}

void UringBackend::probe_operations() {
  io_uring_probe* probe = io_uring_get_probe_ring(&ring_);
  wakes_futexes_ = probe && kOpFutexWake < probe->ops_len &&
                   (probe->ops[kOpFutexWake].flags & IO_URING_OP_SUPPORTED);
  io_uring_free_probe(probe);
}

void UringBackend::enable() {
  if (enabled_) return;
  // liburing 2.3 declares io_uring_enable_rings() but its shared library lacks it.
  [[maybe_unused]] const long result =
      syscall(__NR_io_uring_register, ring_.ring_fd, IORING_REGISTER_ENABLE_RINGS, nullptr, 0);
  assert(result == 0);
  enabled_ = true;
}

// With the ring of another thread nothing is registered: nobody has operations then.
int UringBackend::register_file(int fd) {
  enable();
  if (files_.empty()) {
    if (io_uring_register_files_sparse(&ring_, kMaxFiles) != 0) return -1;
    files_.assign(kMaxFiles, -1);
  }
  const auto slot = std::ranges::find(files_, -1);
  if (slot == files_.end()) return -1;
  const int index = static_cast<int>(slot - files_.begin());
  if (io_uring_register_files_update(&ring_, static_cast<unsigned>(index), &fd, 1) != 1) return -1;
  *slot = fd;
  return index;
}

void UringBackend::unregister_file(int index) {
  if (index < 0 || static_cast<size_t>(index) >= files_.size()) return;
  int none = -1;
  io_uring_register_files_update(&ring_, static_cast<unsigned>(index), &none, 1);
  files_[static_cast<size_t>(index)] = -1;
}

void UringBackend::register_memory(void* base, uint64_t size) {
  enable();
  if (!memory_pieces_.empty()) return;
  std::vector<iovec> pieces;
  for (uint64_t at = 0; at < size; at += kMaxPiece)
    pieces.push_back({static_cast<uint8_t*>(base) + at, std::min(kMaxPiece, size - at)});
  if (io_uring_register_buffers(&ring_, pieces.data(), static_cast<unsigned>(pieces.size())) == 0)
    memory_pieces_ = std::move(pieces);
}

int UringBackend::memory_index(const void* at, uint64_t length) const {
  const auto address = reinterpret_cast<uintptr_t>(at);
  for (size_t i = 0; i < memory_pieces_.size(); ++i) {
    const uint64_t offset = address - reinterpret_cast<uintptr_t>(memory_pieces_[i].iov_base);
    const uint64_t size = memory_pieces_[i].iov_len;
    if (offset < size && length <= size - offset) return static_cast<int>(i);
  }
  return -1;
}

void UringBackend::change_thread() {
  if (!enabled_) return;
  files_.clear();
  memory_pieces_.clear();
  // The old ring takes no request from this thread. Its polls die with it and are armed anew.
  assert(operations_in_flight_ == 0);
  io_uring_queue_exit(&ring_);
  ring_open_ = false;
  [[maybe_unused]] const int error = open_ring();
  assert(error == 0);
  table_.for_each([this](FdRecord& record) {
    record.armed = false;
    want_armed(record);
  });
}

io_uring_sqe* UringBackend::next_sqe() {
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  while (!sqe) {
    submit();
    sqe = io_uring_get_sqe(&ring_);
  }
  return sqe;
}

io_uring_sqe* UringBackend::get_sqe(UringOp& op) {
  io_uring_sqe* sqe = next_sqe();
  sqe->user_data = reinterpret_cast<uintptr_t>(&op);
  assert((sqe->user_data & kTagMask) == kTagOp);
  operations_in_flight_++;
  return sqe;
}

// One entry of the next io_uring_enter instead of a call of its own.
void UringBackend::wake_all(std::atomic<uint32_t>& word) {
  io_uring_sqe* sqe = next_sqe();
  io_uring_prep_nop(sqe);
  sqe->opcode = kOpFutexWake;
  sqe->flags = IOSQE_CQE_SKIP_SUCCESS;
  sqe->fd = kFutex2Private32;
  sqe->addr = reinterpret_cast<uintptr_t>(&word);
  sqe->addr2 = INT_MAX;
  sqe->addr3 = FUTEX_BITSET_MATCH_ANY;
  sqe->user_data = reinterpret_cast<uintptr_t>(&word) << kTagBits | kTagFutex;
}

void UringBackend::submit() {
  enable();
  while (io_uring_sq_ready(&ring_) > 0) {
    const int count = io_uring_submit(&ring_);
    if (count > 0 || count == -EINTR) continue;
    // The kernel is out of room for completions or of memory: make room.
    assert(count == 0 || count == -EBUSY || count == -EAGAIN);
    io_uring_get_events(&ring_);
    reap();
  }
}

void UringBackend::add(FdRecord& record) {
  table_.insert(record);
  want_armed(record);
}

void UringBackend::update(FdRecord& record) {
  forget_ready(record);
  if (record.always_ready) {
    always_ready_.set(record, record.events != 0);
    return;
  }
  disarm(record);
  want_armed(record);
}

void UringBackend::remove(FdRecord& record) {
  record.events = 0;
  update(record);
  if (record.arm_queued) std::erase(to_arm_, &record);
  table_.erase(record);
}

void UringBackend::want_armed(FdRecord& record) {
  if (record.events == 0 || record.armed || record.arm_queued || record.always_ready) return;
  record.arm_queued = true;
  to_arm_.push_back(&record);
}

void UringBackend::arm(FdRecord& record) {
  table_.renew(record);
  io_uring_sqe* sqe = next_sqe();
  const uint32_t mask = record.events & ~uint32_t{EPOLLET};
  if (record.events & EPOLLET)
    io_uring_prep_poll_multishot(sqe, record.fd, mask);
  else
    io_uring_prep_poll_add(sqe, record.fd, mask);
  sqe->user_data = FdTable::key(record) << kTagBits | kTagPoll;
  record.armed = true;
}

void UringBackend::disarm(FdRecord& record) {
  if (!record.armed) return;
  io_uring_sqe* sqe = next_sqe();
  io_uring_prep_poll_remove(sqe, FdTable::key(record) << kTagBits | kTagPoll);
  sqe->user_data = kTagIgnore;
  table_.renew(record);
  record.armed = false;
}

void UringBackend::arm_wake() {
  io_uring_sqe* sqe = next_sqe();
  io_uring_prep_poll_multishot(sqe, wake_.get(), POLLIN);
  sqe->user_data = kTagWake;
  wake_armed_ = true;
}

void UringBackend::arm_queued() {
  // Never read, so the first look of a new poll may find an old wake-up: one empty round.
  if (!wake_armed_) arm_wake();
  // By index: a full ring makes room by reaping, and a poll that ended then joins the list.
  for (size_t i = 0; i < to_arm_.size(); i++) {
    FdRecord& record = *to_arm_[i];
    record.arm_queued = false;
    if (record.events != 0 && !record.armed) arm(record);
  }
  to_arm_.clear();
}

bool UringBackend::peek() {
  return !ready.empty() || always_ready_.any() || io_uring_cq_ready(&ring_) > 0 ||
         (IO_URING_READ_ONCE(*ring_.sq.kflags) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW));
}

void UringBackend::wait(int64_t timeout_ns) {
  enable();
  woken_ = false;
  arm_queued();
  if (always_ready_.any() || !ready.empty() || woken_) timeout_ns = 0;
  if (timeout_ns == 0) {
    submit();
    if (IO_URING_READ_ONCE(*ring_.sq.kflags) & IORING_SQ_TASKRUN) io_uring_get_events(&ring_);
    reap();
  } else {
    sleep(timeout_ns);
  }
  always_ready_.report(ready);
}

bool UringBackend::wait_for_batch(unsigned operations, int64_t timeout_ns) {
  enable();
  woken_ = false;
  arm_queued();
  io_uring_cqe* cqe = nullptr;
  __kernel_timespec timeout{.tv_sec = 0, .tv_nsec = timeout_ns};  // less than a second
  const int error =
      io_uring_submit_and_wait_timeout(&ring_, &cqe, std::max(operations, 1u), &timeout, nullptr);
  if (error == -EBUSY || error == -EAGAIN) io_uring_get_events(&ring_);
  reap();
  always_ready_.report(ready);
  return woken_ || !ready.empty();
}

void UringBackend::sleep(int64_t timeout_ns) {
  const int64_t end_ns = timeout_ns < 0 ? 0 : loop_now_ns() + timeout_ns;
  for (;;) {
    io_uring_cqe* cqe = nullptr;
    __kernel_timespec timeout{.tv_sec = timeout_ns / 1'000'000'000,
                              .tv_nsec = timeout_ns % 1'000'000'000};
    const int error = io_uring_submit_and_wait_timeout(
        &ring_, &cqe, 1, timeout_ns < 0 ? nullptr : &timeout, nullptr);
    assert(error >= 0 || error == -ETIME || error == -EINTR || error == -EBUSY || error == -EAGAIN);
    if (error == -EBUSY || error == -EAGAIN) io_uring_get_events(&ring_);
    reap();
    if (error < 0 || woken_ || !ready.empty() || always_ready_.any()) return;
    // Only the remains of polls that were taken back: not worth a round of the loop.
    arm_queued();
    if (timeout_ns > 0) {
      timeout_ns = end_ns - loop_now_ns();
      if (timeout_ns <= 0) return;
    }
  }
}

void UringBackend::reap() {
  unsigned head = 0;
  unsigned count = 0;
  do {
    count = 0;
    io_uring_cqe* cqe = nullptr;
    io_uring_for_each_cqe(&ring_, head, cqe) {
      handle(*cqe);
      count++;
    }
    io_uring_cq_advance(&ring_, count);
    if (IO_URING_READ_ONCE(*ring_.sq.kflags) & IORING_SQ_CQ_OVERFLOW) {
      io_uring_get_events(&ring_);
      count = 1;
    }
  } while (count > 0);
}

void UringBackend::handle(const io_uring_cqe& cqe) {
  switch (cqe.user_data & kTagMask) {
    case kTagOp:
      operations_in_flight_--;
      ready.push_back({.op = reinterpret_cast<UringOp*>(cqe.user_data), .result = cqe.res});
      break;
    case kTagPoll:
      if (FdRecord* record = table_.find(cqe.user_data >> kTagBits)) handle_poll(*record, cqe);
      break;
    case kTagWake:
      woken_ = true;
      if (!(cqe.flags & IORING_CQE_F_MORE)) wake_armed_ = false;
      break;
    case kTagFutex:  // reported only if it failed
      wakes_futexes_ = false;
      futex_wake_all(*reinterpret_cast<std::atomic<uint32_t>*>(cqe.user_data >> kTagBits));
      break;
    default:
      break;
  }
}

void UringBackend::handle_poll(FdRecord& record, const io_uring_cqe& cqe) {
  if (!(cqe.flags & IORING_CQE_F_MORE)) record.armed = false;
  if (cqe.res == -ECANCELED) {  // the kernel gave the poll up by itself (memory): arm it again
    want_armed(record);
    return;
  }
  if (cqe.res < 0) {
    assert(cqe.res != -EBADF);
    record.always_ready = true;
    always_ready_.set(record, record.events != 0);
    return;
  }
  ready.push_back({.record = &record, .result = cqe.res});
}

void UringBackend::wake() {
  const uint64_t one = 1;
  // Fails only when the counter is full, after 2^64 writes.
  [[maybe_unused]] const ssize_t size = write(wake_.get(), &one, sizeof one);
}

}  // namespace

Result<std::unique_ptr<LoopBackend>> create_uring_backend() {
  auto backend = std::make_unique<UringBackend>();
  HV_TRY(backend->init());
  return backend;
}

}  // namespace hv
