#include "main-loop/worker_pool.h"

#include <pthread.h>
#include <signal.h>

#include <condition_variable>
#include <deque>
#include <thread>
#include <vector>

#include "io/thread_safety.h"

namespace hv {

struct WorkerPool::Impl {
  struct Job {
    EventLoop* loop;
    std::function<int()> work;
    std::function<void(int)> done;
  };

  std::string name;
  unsigned max_threads;
  Mutex mutex;
  std::condition_variable_any wake;
  std::deque<Job> jobs HV_GUARDED_BY(mutex);
  unsigned idle HV_GUARDED_BY(mutex) = 0;
  bool ending HV_GUARDED_BY(mutex) = false;
  std::vector<std::thread> threads HV_GUARDED_BY(mutex);

  void start_thread() HV_REQUIRES(mutex);
  void run();
};

// Workers take no signals, as IO threads.
void WorkerPool::Impl::start_thread() {
  sigset_t all, before;
  sigfillset(&all);
  for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS})
    sigdelset(&all, fault);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  threads.emplace_back([this] { run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void WorkerPool::Impl::run() {
  current_role = Role::kWorker;
  pthread_setname_np(pthread_self(), name.substr(0, 15).c_str());
  MutexLock lock(mutex);
  for (;;) {
    while (jobs.empty()) {
      if (ending) return;
      idle++;
      wake.wait(mutex);
      idle--;
    }
    Job job = std::move(jobs.front());
    jobs.pop_front();
    mutex.unlock();
    const int result = job.work();
    job.loop->post([done = std::move(job.done), result] { done(result); });
    job = {};
    mutex.lock();
  }
}

WorkerPool::WorkerPool(std::string name, unsigned max_threads) : impl_(std::make_unique<Impl>()) {
  impl_->name = std::move(name);
  impl_->max_threads = max_threads;
}

WorkerPool::~WorkerPool() {
  std::vector<std::thread> threads;
  {
    MutexLock lock(impl_->mutex);
    impl_->ending = true;
    threads.swap(impl_->threads);
  }
  impl_->wake.notify_all();
  for (std::thread& thread : threads) thread.join();
}

void WorkerPool::submit(EventLoop& loop, std::function<int()> work, std::function<void(int)> done) {
  {
    MutexLock lock(impl_->mutex);
    impl_->jobs.push_back({&loop, std::move(work), std::move(done)});
    if (impl_->jobs.size() > impl_->idle && impl_->threads.size() < impl_->max_threads)
      impl_->start_thread();
  }
  impl_->wake.notify_one();
}

}  // namespace hv
