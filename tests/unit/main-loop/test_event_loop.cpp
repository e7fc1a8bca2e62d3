// The event loop's own behaviour, the same on both wait primitives.
#include "main-loop/event_loop.h"

#include <liburing.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <set>
#include <thread>
#include <vector>

#include "io/unique_fd.h"
#include "tests/unit/main-loop/loop_test.h"

using namespace hv;

TEMPLATE_TEST_CASE("posts run in order, later than the post, on the loop's thread", "[loop]",
                   OnUring, OnEpoll) {
  auto loop = make_loop<TestType>();
  std::vector<int> order;
  loop->post([&] {
    order.push_back(1);
    loop->post([&] { order.push_back(3); });
  });
  loop->post([&] { order.push_back(2); });
  CHECK(order.empty());
  CHECK(loop->run_once(0));
  CHECK(order == std::vector{1, 2});
  CHECK(loop->run_once(0));
  CHECK(order == std::vector{1, 2, 3});
  CHECK_FALSE(loop->run_once(0));
}

TEMPLATE_TEST_CASE("posts of one thread keep their order while others post too", "[loop]", OnUring,
                   OnEpoll) {
  auto loop = make_loop<TestType>();
  constexpr int kThreads = 4;
  constexpr int kPosts = 5000;
  std::vector<int> next(kThreads, 0);
  int out_of_order = 0;
  int finished = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; t++) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kPosts; i++) {
        loop->post([&, t, i] {
          out_of_order += next[t]++ != i;
          if (next[t] == kPosts && ++finished == kThreads) loop->quit();
        });
      }
    });
  }
  loop->run();
  for (auto& thread : threads) thread.join();
  CHECK(out_of_order == 0);
  CHECK(next == std::vector<int>(kThreads, kPosts));
}

TEMPLATE_TEST_CASE("run_on_loop returns after the function has run", "[loop]", OnUring, OnEpoll) {
  RunningLoop<TestType> running;
  int value = 0;
  std::thread::id ran_on;
  running.loop().run_on_loop([&] {
    value = 7;
    ran_on = std::this_thread::get_id();
    running.loop().run_on_loop([&] { value++; });
  });
  CHECK(value == 8);
  CHECK(ran_on != std::this_thread::get_id());
  CHECK_FALSE(running.loop().is_here());
}

TEMPLATE_TEST_CASE("quit before run ends that run only", "[loop]", OnUring, OnEpoll) {
  auto loop = make_loop<TestType>();
  loop->quit();
  loop->run();
  bool ran = false;
  loop->post([&] {
    ran = true;
    loop->quit();
  });
  loop->run();
  CHECK(ran);
}

TEMPLATE_TEST_CASE("a nested round runs what the round around it left", "[loop]", OnUring,
                   OnEpoll) {
  auto loop = make_loop<TestType>();
  std::vector<int> order;
  loop->post([&] {
    order.push_back(1);
    while (order.size() < 2) loop->run_once(-1);
    order.push_back(3);
  });
  loop->post([&] { order.push_back(2); });
  loop->run_once(0);
  CHECK(order == std::vector{1, 2, 3});
}

TEMPLATE_TEST_CASE("a loop may change its thread between runs", "[loop]", OnUring, OnEpoll) {
  auto loop = make_loop<TestType>();
  UniqueFd event(eventfd(0, EFD_NONBLOCK));
  int calls = 0;
  auto watch = loop->watch_fd(event.get(), EPOLLIN, [&](uint32_t) {
    drain_eventfd(event.get());
    calls++;
    loop->quit();
  });
  signal_eventfd(event.get());
  loop->run();
  CHECK(calls == 1);
  std::thread other([&] {
    signal_eventfd(event.get());
    loop->run();
  });
  other.join();
  CHECK(calls == 2);
  loop->adopt();
  signal_eventfd(event.get());
  loop->run();
  CHECK(calls == 3);
}

TEST_CASE("automatic choice always gives a loop", "[loop]") {
  auto loop = EventLoop::create("auto", WaitKind::kAuto);
  REQUIRE(loop);
  CHECK((*loop)->has_uring() == uring_available());
  auto epoll = EventLoop::create("epoll", WaitKind::kEpoll);
  REQUIRE(epoll);
  CHECK_FALSE((*epoll)->has_uring());
}

// In a child, for a filter cannot be taken off again.
TEST_CASE("where io_uring is forbidden, automatic choice falls back and kUring fails", "[loop]") {
  const int error = GENERATE(EPERM, ENOSYS);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(error)),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const sock_fprog program{.len = std::size(code), .filter = code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
      _exit(3);
    if (EventLoop::create("uring", WaitKind::kUring)) _exit(1);
    auto loop = EventLoop::create("auto", WaitKind::kAuto);
    _exit(loop && !(*loop)->has_uring() ? 0 : 2);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 3) {
    WARN("no seccomp filters here");
    return;
  }
  CHECK(WEXITSTATUS(status) == 0);
}

// Operations, on io_uring only.

namespace {

struct RecordedOp final : UringOp {
  void complete(int result) override {
    results.push_back(result);
    if (then) then();
  }
  std::vector<int> results;
  std::function<void()> then;
};

}  // namespace

TEST_CASE("operations complete once with the kernel's result", "[loop][uring]") {
  if (!uring_available()) return;
  auto loop = make_loop<OnUring>();
  int pipe_fds[2];
  REQUIRE(pipe(pipe_fds) == 0);
  UniqueFd reader(pipe_fds[0]), writer(pipe_fds[1]);

  char buffer[16] = {};
  RecordedOp read_op, bad_op;
  io_uring_prep_read(loop->get_sqe(read_op), reader.get(), buffer, sizeof buffer, 0);
  io_uring_prep_read(loop->get_sqe(bad_op), -1, buffer, sizeof buffer, 0);
  while (bad_op.results.empty()) loop->run_once(-1);
  CHECK(bad_op.results == std::vector{-EBADF});
  CHECK(read_op.results.empty());
  REQUIRE(write(writer.get(), "hello", 5) == 5);
  while (read_op.results.empty()) loop->run_once(-1);
  CHECK(read_op.results == std::vector{5});
  CHECK(std::string(buffer) == "hello");
  CHECK_FALSE(loop->run_once(0));
}

TEST_CASE("more operations than the ring holds are all submitted", "[loop][uring]") {
  if (!uring_available()) return;
  auto loop = make_loop<OnUring>();
  std::vector<RecordedOp> ops(10'000);
  size_t done = 0;
  for (RecordedOp& op : ops) {
    op.then = [&] { done++; };
    io_uring_prep_nop(loop->get_sqe(op));
  }
  while (done < ops.size()) loop->run_once(-1);
  for (const RecordedOp& op : ops) REQUIRE(op.results == std::vector{0});
}

TEST_CASE("an operation may be started from a completion and submitted at once", "[loop][uring]") {
  if (!uring_available()) return;
  auto loop = make_loop<OnUring>();
  RecordedOp first, second;
  first.then = [&] {
    io_uring_prep_nop(loop->get_sqe(second));
    loop->submit_now();
  };
  io_uring_prep_nop(loop->get_sqe(first));
  while (second.results.empty()) loop->run_once(-1);
  CHECK(first.results.size() == 1);
}
