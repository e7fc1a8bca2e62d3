#include "main-loop/glib_bridge.h"

#include <sys/epoll.h>

namespace hv {

// GIOCondition has the values of poll(2), and so has epoll.
static_assert(int{G_IO_IN} == int{EPOLLIN} && int{G_IO_OUT} == int{EPOLLOUT} &&
              int{G_IO_PRI} == int{EPOLLPRI} && int{G_IO_ERR} == int{EPOLLERR} &&
              int{G_IO_HUP} == int{EPOLLHUP});

GlibBridge::GlibBridge() : context_(g_main_context_new()) {}

GlibBridge::~GlibBridge() {
  g_main_context_unref(context_);
}

int64_t GlibBridge::prepare(LoopBackend& backend) {
  g_main_context_acquire(context_);
  g_main_context_prepare(context_, &priority_);
  gint timeout_ms = -1;
  for (;;) {
    const auto room = static_cast<gint>(poll_fds_.size());
    const gint count =
        g_main_context_query(context_, priority_, &timeout_ms, poll_fds_.data(), room);
    poll_fds_.resize(count);
    if (count <= room) break;
  }
  records_.clear();
  records_.resize(poll_fds_.size());
  for (size_t i = 0; i < records_.size(); i++) {
    poll_fds_[i].revents = 0;
    records_[i].fd = poll_fds_[i].fd;
    records_[i].events = poll_fds_[i].events & (EPOLLIN | EPOLLOUT | EPOLLPRI);
    if (records_[i].fd >= 0) backend.add(records_[i]);
  }
  return timeout_ms < 0 ? -1 : int64_t{timeout_ms} * 1'000'000;
}

void GlibBridge::check(LoopBackend& backend) {
  for (const ReadyEvent& event : backend.ready) {
    for (size_t i = 0; i < records_.size(); i++)
      if (event.record == &records_[i]) poll_fds_[i].revents |= event.result;
  }
  for (FdRecord& record : records_)
    if (record.fd >= 0) backend.remove(record);
  records_.clear();
  ready_ = g_main_context_check(context_, priority_, poll_fds_.data(),
                                static_cast<gint>(poll_fds_.size()));
  g_main_context_release(context_);
}

bool GlibBridge::dispatch() {
  if (!ready_) return false;
  ready_ = false;
  g_main_context_acquire(context_);
  g_main_context_dispatch(context_);
  g_main_context_release(context_);
  return true;
}

}  // namespace hv
