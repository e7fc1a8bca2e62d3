// IO threads, signals as events, and the worker pool.
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "io/thread_safety.h"
#include "io/unique_fd.h"
#include "main-loop/io_thread.h"
#include "main-loop/signal_watch.h"
#include "main-loop/worker_pool.h"
#include "tests/unit/main-loop/loop_test.h"

using namespace hv;

TEMPLATE_TEST_CASE("an IO thread has a name, a role, a tid and no signals", "[iothread]", OnUring,
                   OnEpoll) {
  if (TestType::kKind == WaitKind::kUring && !uring_available()) return;
  auto thread = IoThread::create("disk-thread-with-a-long-name", TestType::kKind);
  REQUIRE(thread);
  EventLoop& loop = (*thread)->loop();
  loop.run_on_loop([&] {
    char name[16] = {};
    pthread_getname_np(pthread_self(), name, sizeof name);
    CHECK(std::string(name) == "disk-thread-wit");
    CHECK(current_role == Role::kIo);
    CHECK(gettid() == (*thread)->thread_id());
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, nullptr, &mask);
    CHECK(sigismember(&mask, SIGTERM) == 1);
    CHECK(sigismember(&mask, SIGUSR1) == 1);
    CHECK(sigismember(&mask, SIGSEGV) == 0);
  });
  CHECK((*thread)->thread_id() != gettid());
  sigset_t mine;
  pthread_sigmask(SIG_SETMASK, nullptr, &mine);
  CHECK(sigismember(&mine, SIGUSR1) == 0);
}

TEST_CASE("an IO thread ends after what was posted; its loop is then the caller's", "[iothread]") {
  auto thread = std::move(*IoThread::create("io"));
  int ran = 0;
  for (int i = 0; i < 1000; i++) thread->loop().post([&] { ran++; });
  thread->stop();
  CHECK(ran == 1000);
  CHECK(thread->loop().is_here());
  thread->loop().run_on_loop([&] { ran = 0; });
  CHECK(ran == 0);
  auto timer = thread->loop().make_timer([&] { ran = 7; });
  timer->arm_in(0);
  thread->loop().run_once(-1);
  CHECK(ran == 7);
}

TEMPLATE_TEST_CASE("signals arrive on the loop with their sender", "[signal]", OnUring, OnEpoll) {
  auto loop = make_loop<TestType>();
  std::vector<std::pair<int, int>> seen;
  {
    auto watch = SignalWatch::create(*loop, {SIGUSR1, SIGUSR2}, [&](int signal, int sender) {
      seen.emplace_back(signal, sender);
    });
    REQUIRE(watch);
    kill(getpid(), SIGUSR1);
    kill(getpid(), SIGUSR2);
    while (seen.size() < 2) loop->run_once(-1);
    CHECK(seen == std::vector<std::pair<int, int>>{{SIGUSR1, getpid()}, {SIGUSR2, getpid()}});
  }
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigaddset(&set, SIGUSR2);
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

TEST_CASE("a signal's callback may destroy the watch", "[signal]") {
  auto loop = make_loop<OnUring>();
  std::unique_ptr<SignalWatch> watch;
  bool called = false;
  watch = std::move(*SignalWatch::create(*loop, {SIGUSR1}, [&](int, int) {
    watch.reset();
    called = true;
  }));
  kill(getpid(), SIGUSR1);
  while (!called) loop->run_once(-1);
  CHECK_FALSE(loop->run_once(0));
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

TEST_CASE("work runs on bounded threads and completes on the loop", "[workers]") {
  auto loop = make_loop<OnUring>();
  std::mutex mutex;
  std::set<std::thread::id> threads;
  std::atomic<int> running{0}, most{0}, wrong_role{0};  // Catch is for one thread at a time
  int completed = 0;
  long sum = 0;
  {
    WorkerPool pool("worker", 3);
    for (int i = 0; i < 500; i++) {
      pool.submit(
          *loop,
          [&, i] {
            const int now = ++running;
            for (int before = most; before < now && !most.compare_exchange_weak(before, now);) {
            }
            {
              const std::lock_guard lock(mutex);
              threads.insert(std::this_thread::get_id());
            }
            wrong_role += current_role != Role::kWorker;
            running--;
            return i;
          },
          [&](int result) {
            sum += result;
            completed++;
          });
    }
    while (completed < 250) loop->run_once(-1);
  }
  while (completed < 500) loop->run_once(-1);
  CHECK(sum == 500 * 499 / 2);
  CHECK(wrong_role == 0);
  CHECK(most <= 3);
  CHECK(threads.size() <= 3);
  CHECK(threads.count(std::this_thread::get_id()) == 0);
}

TEST_CASE("workers that block do not hold up others", "[workers]") {
  auto loop = make_loop<OnUring>();
  WorkerPool pool("worker", 2);
  int pipe_fds[2];
  REQUIRE(pipe(pipe_fds) == 0);
  UniqueFd reader(pipe_fds[0]), writer(pipe_fds[1]);
  int blocked_result = -1;
  bool other_done = false;
  pool.submit(
      *loop,
      [&] {
        char byte = 0;
        return static_cast<int>(read(reader.get(), &byte, 1));
      },
      [&](int result) { blocked_result = result; });
  pool.submit(*loop, [] { return 0; }, [&](int) { other_done = true; });
  while (!other_done) loop->run_once(-1);
  CHECK(blocked_result == -1);
  REQUIRE(write(writer.get(), "x", 1) == 1);
  while (blocked_result < 0) loop->run_once(-1);
  CHECK(blocked_result == 1);
}
