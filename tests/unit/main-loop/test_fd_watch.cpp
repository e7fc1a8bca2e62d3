// Descriptor watches, the same on both wait primitives.
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <vector>

#include "io/unique_fd.h"
#include "tests/unit/main-loop/loop_test.h"

using namespace hv;

namespace {

UniqueFd make_eventfd() {
  return UniqueFd(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
}

struct SocketPair {
  SocketPair() {
    int fds[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
    ours.reset(fds[0]);
    theirs.reset(fds[1]);
  }
  UniqueFd ours, theirs;
};

}  // namespace

TEMPLATE_TEST_CASE("a watch is level-triggered", "[loop][fd]", OnUring, OnEpoll) {
  auto loop = make_loop<TestType>();
  UniqueFd event = make_eventfd();
  int calls = 0;
  uint32_t seen = 0;
  auto watch = loop->watch_fd(event.get(), EPOLLIN, [&](uint32_t revents) {
    seen = revents;
    calls++;
  });
  CHECK_FALSE(loop->run_once(0));
  signal_eventfd(event.get());
  while (calls < 3) CHECK(loop->run_once(-1));
  CHECK(seen == EPOLLIN);
  drain_eventfd(event.get());
  // A poll that was armed while it was still ready may have fired already; no more than that.
  loop->run_once(0);
  const int settled = calls;
  CHECK_FALSE(loop->run_once(0));
  CHECK(calls == settled);
  CHECK(settled <= 4);
}

TEMPLATE_TEST_CASE("an edge-triggered watch fires once for each edge", "[loop][fd]", OnUring,
                   OnEpoll) {
  auto loop = make_loop<TestType>();
  UniqueFd event = make_eventfd();
  int calls = 0;
  auto watch = loop->watch_fd(event.get(), EPOLLIN | EPOLLET, [&](uint32_t) { calls++; });
  for (int edge = 1; edge <= 100; edge++) {
    signal_eventfd(event.get());
    while (calls < edge) REQUIRE(loop->run_once(-1));
    loop->run_once(0);
    REQUIRE(calls == edge);
  }
}

TEMPLATE_TEST_CASE("output, hang-up and suspension are reported as poll(2) has them", "[loop][fd]",
                   OnUring, OnEpoll) {
  auto loop = make_loop<TestType>();
  SocketPair pair;
  uint32_t seen = 0;
  auto watch = loop->watch_fd(pair.ours.get(), EPOLLIN, [&](uint32_t revents) { seen |= revents; });
  CHECK_FALSE(loop->run_once(0));
  watch->set_events(EPOLLIN | EPOLLOUT);
  CHECK(loop->run_once(-1));
  CHECK(seen == EPOLLOUT);
  seen = 0;
  watch->set_events(0);
  pair.theirs.reset();
  loop->run_once(0);
  CHECK_FALSE(loop->run_once(0));
  CHECK(seen == 0);
  watch->set_events(EPOLLOUT);
  CHECK(loop->run_once(-1));
  CHECK((seen & EPOLLHUP) != 0);
}

TEMPLATE_TEST_CASE("a callback may destroy its own and other watches", "[loop][fd]", OnUring,
                   OnEpoll) {
  auto loop = make_loop<TestType>();
  UniqueFd first = make_eventfd(), second = make_eventfd();
  std::unique_ptr<FdWatch> watches[2];
  int calls = 0;
  // The captured value lives in the callback that is being destroyed.
  const auto destroy_all = [&, canary = std::vector{42}](uint32_t) {
    calls++;
    watches[0].reset();
    watches[1].reset();
    CHECK(canary == std::vector{42});
  };
  watches[0] = loop->watch_fd(first.get(), EPOLLIN, destroy_all);
  watches[1] = loop->watch_fd(second.get(), EPOLLIN, destroy_all);
  signal_eventfd(first.get());
  signal_eventfd(second.get());
  loop->run_once(-1);
  loop->run_once(0);
  loop->run_once(0);
  CHECK(calls == 1);
}

TEMPLATE_TEST_CASE("a descriptor number that is used again belongs to the new watch", "[loop][fd]",
                   OnUring, OnEpoll) {
  auto loop = make_loop<TestType>();
  UniqueFd event = make_eventfd();
  const int number = event.get();
  int old_calls = 0, new_calls = 0;
  auto watch = loop->watch_fd(number, EPOLLIN, [&](uint32_t) { old_calls++; });
  loop->run_once(0);
  signal_eventfd(number);
  loop->post([&] {
    watch.reset();
    event.reset();
    event = make_eventfd();
    REQUIRE(event.get() == number);
    watch = loop->watch_fd(number, EPOLLIN, [&](uint32_t) { new_calls++; });
  });
  while (!loop->run_once(0)) continue;
  loop->run_once(0);
  CHECK(old_calls <= 1);
  CHECK(new_calls == 0);
  signal_eventfd(number);
  while (new_calls == 0) loop->run_once(-1);
}

TEMPLATE_TEST_CASE("destroying a watch lets go of the file at once", "[loop][fd]", OnUring,
                   OnEpoll) {
  auto loop = make_loop<TestType>();
  SocketPair pair;
  auto watch = loop->watch_fd(pair.ours.get(), EPOLLIN, [](uint32_t) {});
  loop->run_once(0);
  watch.reset();
  pair.ours.reset();
  char byte = 0;
  CHECK(read(pair.theirs.get(), &byte, 1) == 0);  // the peer sees the end
}

TEMPLATE_TEST_CASE("one descriptor may have two watches", "[loop][fd]", OnUring, OnEpoll) {
  auto loop = make_loop<TestType>();
  SocketPair pair;
  int in = 0, out = 0;
  auto reader = loop->watch_fd(pair.ours.get(), EPOLLIN, [&](uint32_t) { in++; });
  auto writer = loop->watch_fd(pair.ours.get(), EPOLLOUT, [&](uint32_t) { out++; });
  while (out == 0) loop->run_once(-1);
  CHECK(in == 0);
  REQUIRE(write(pair.theirs.get(), "x", 1) == 1);
  while (in == 0) loop->run_once(-1);
  writer.reset();
  in = 0;
  while (in == 0) loop->run_once(-1);
}

TEMPLATE_TEST_CASE("a regular file is always ready", "[loop][fd]", OnUring, OnEpoll) {
  auto loop = make_loop<TestType>();
  UniqueFd file(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  int calls = 0;
  auto watch = loop->watch_fd(file.get(), EPOLLIN, [&](uint32_t) { calls++; });
  while (calls < 3) loop->run_once(-1);
  watch->set_events(0);
  loop->run_once(0);
  CHECK_FALSE(loop->run_once(0));
}

TEMPLATE_TEST_CASE("thousands of descriptors, each ready once", "[loop][fd]", OnUring, OnEpoll) {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  const size_t count = std::min<size_t>(5000, limit.rlim_cur - 200);

  auto loop = make_loop<TestType>();
  std::vector<UniqueFd> fds;
  std::vector<std::unique_ptr<FdWatch>> watches;
  std::vector<int> calls(count, 0);
  size_t total = 0;
  for (size_t i = 0; i < count; i++) {
    fds.push_back(make_eventfd());
    REQUIRE(fds.back().valid());
    watches.push_back(loop->watch_fd(fds[i].get(), EPOLLIN, [&, i](uint32_t) {
      drain_eventfd(fds[i].get());
      calls[i]++;
      total++;
    }));
  }
  CHECK_FALSE(loop->run_once(0));
  for (int round = 1; round <= 2; round++) {
    for (UniqueFd& fd : fds) signal_eventfd(fd.get());
    while (total < round * count) REQUIRE(loop->run_once(-1));
    CHECK_FALSE(loop->run_once(0));
    CHECK(calls == std::vector<int>(count, round));
  }
  for (size_t i = 0; i < count; i += 2) watches[i].reset();
  total = 0;
  for (UniqueFd& fd : fds) signal_eventfd(fd.get());
  while (total < count / 2) REQUIRE(loop->run_once(-1));
  CHECK_FALSE(loop->run_once(0));
  CHECK(total == count / 2);
}
