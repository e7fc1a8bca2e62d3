#include "block/throttled_disk.h"

#include <algorithm>
#include <cassert>
#include <limits>

#include "io/clock.h"

namespace hv {

ThrottledDisk::ThrottledDisk(std::unique_ptr<Disk> below, std::shared_ptr<ThrottleGroup> group)
    : FilterDisk(std::move(below)), group_(std::move(group)) {}

ThrottledDisk::~ThrottledDisk() {
  assert(reads_.empty() && writes_.empty());
}

void ThrottledDisk::attach(EventLoop& loop) {
  loop_ = &loop;
  below().attach(loop);
}

void ThrottledDisk::detach() {
  if (!loop_) return;
  hurry();
  below().detach();
  timer_.reset();
  loop_ = nullptr;
}

unsigned ThrottledDisk::in_flight() const {
  return FilterDisk::in_flight() + static_cast<unsigned>(reads_.size() + writes_.size());
}

void ThrottledDisk::submit(DiskRequest& request) {
  if (request.op == DiskOp::kFlush) return below().submit(request);
  if (!timer_)
    timer_ = loop_->make_timer([this] {
      start_due(monotonic_now_ns());
      below().flush_batch();
      arm();
    });
  const int64_t now_ns = monotonic_now_ns();
  const bool write = request.op != DiskOp::kRead;
  const int64_t start_ns = group_->reserve(write, request.length, now_ns);
  auto& waiting = write ? writes_ : reads_;
  if (start_ns <= now_ns && waiting.empty()) return below().submit(request);
  // The double arithmetic of the group may round a later request to an earlier nanosecond.
  waiting.push_back(
      {&request, waiting.empty() ? start_ns : std::max(start_ns, waiting.back().start_ns)});
  arm();
}

void ThrottledDisk::start_due(int64_t now_ns) {
  for (auto* waiting : {&reads_, &writes_}) {
    while (!waiting->empty() && waiting->front().start_ns <= now_ns) {
      DiskRequest& request = *waiting->front().request;
      waiting->pop_front();
      below().submit(request);
    }
  }
}

void ThrottledDisk::arm() {
  int64_t first_ns = std::numeric_limits<int64_t>::max();
  for (const auto* waiting : {&reads_, &writes_})
    if (!waiting->empty()) first_ns = std::min(first_ns, waiting->front().start_ns);
  if (reads_.empty() && writes_.empty())
    timer_->cancel();
  else
    timer_->arm_at(first_ns);
}

void ThrottledDisk::hurry() {
  if (timer_) {
    start_due(std::numeric_limits<int64_t>::max());
    below().flush_batch();
    timer_->cancel();
  }
  below().hurry();
}

std::unique_ptr<Disk> ThrottledDisk::share() {
  auto other = below().share();
  return other ? std::make_unique<ThrottledDisk>(std::move(other), group_) : nullptr;
}

}  // namespace hv
