#include "main-loop/io_thread.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <future>

#include "io/thread_safety.h"

namespace hv {

Result<std::unique_ptr<IoThread>> IoThread::create(const std::string& id, WaitKind kind) {
  std::unique_ptr<IoThread> self(new IoThread());
  self->id_ = id;

  // Signals go to the main thread; the new thread inherits this mask.
  sigset_t all, before;
  sigfillset(&all);
  for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS})
    sigdelset(&all, fault);
  pthread_sigmask(SIG_SETMASK, &all, &before);

  std::promise<Result<>> started;
  self->thread_ = std::thread([&started, thread = self.get(), kind] {
    current_role = Role::kIo;
    thread->tid_ = gettid();
    pthread_setname_np(pthread_self(), thread->id_.substr(0, 15).c_str());
    auto loop = EventLoop::create(thread->id_, kind);
    if (!loop) {
      started.set_value(std::unexpected(std::move(loop).error()));
      return;
    }
    thread->loop_ = std::move(*loop);
    EventLoop& running = *thread->loop_;
    running.set_poll_max_ns(kPollMaxNs);
    started.set_value({});
    running.run();
  });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);

  if (auto result = started.get_future().get(); !result) {
    self->thread_.join();
    return fail("iothread {}: {}", id, result.error().message);
  }
  return self;
}

void IoThread::stop() {
  if (!thread_.joinable()) return;
  loop_->post([loop = loop_.get()] { loop->quit(); });
  thread_.join();
  loop_->adopt();
}

IoThread::~IoThread() {
  if (loop_) stop();
}

}  // namespace hv
