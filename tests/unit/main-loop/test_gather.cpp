// Sleeping until several operations have completed.
#include <fcntl.h>
#include <liburing.h>

#include <array>
#include <fstream>
#include <vector>

#include "io/futex.h"
#include "io/unique_fd.h"
#include "tests/unit/main-loop/loop_test.h"

using namespace hv;

namespace {

constexpr unsigned kOperations = 8;

struct ReadOp final : UringOp {
  int result = -1;
  bool done = false;
  void complete(int what) override {
    result = what;
    done = true;
  }
};

// Counts; finds work when told so.
struct Handler final : PollHandler {
  unsigned begun = 0, ended = 0, polls = 0, found = 0, sleeps = 0, looks = 0;
  std::atomic<unsigned> work{0};             // pieces
  std::atomic<uint32_t>* sleeper = nullptr;  // woken before the next wait of this kind
  Next wake_before = Next::kLook;
  unsigned poll() override {
    ++polls;
    const unsigned pieces = work.exchange(0);
    found += pieces > 0;
    return pieces;
  }
  void poll_begin() override { ++begun; }
  void before_wait(Next next) override {
    ++(next == Next::kLook ? looks : sleeps);
    if (sleeper && next == wake_before) futex_wake_all_soon(*std::exchange(sleeper, nullptr));
  }
  bool poll_end() override {
    ++ended;
    return false;
  }
};

// Reads of pipes that stay in flight until somebody writes.
struct Rig {
  std::unique_ptr<EventLoop> loop = *EventLoop::create("test", WaitKind::kUring);
  Handler handler;
  std::array<UniqueFd, kOperations> readers, writers;
  std::array<ReadOp, kOperations> operations;
  std::array<char, kOperations> bytes{};

  Rig() {
    loop->set_poll_max_ns(32'000);
    loop->add_poll_handler(handler);
    for (unsigned i = 0; i < kOperations; ++i) {
      int ends[2];
      REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
      readers[i].reset(ends[0]);
      writers[i].reset(ends[1]);
      start(i);
    }
  }
  ~Rig() {
    for (unsigned i = 0; i < kOperations; ++i) complete(i);
    while (done() < kOperations) loop->run_once();
    loop->remove_poll_handler(handler);
  }
  void start(unsigned i) {
    operations[i].done = false;
    io_uring_prep_read(loop->get_sqe(operations[i]), readers[i].get(), &bytes[i], 1, 0);
  }
  // All complete in one round, `rounds` times; nothing is in flight then.
  void bursts(unsigned rounds) {
    for (unsigned round = 0; round < rounds; ++round) {
      for (unsigned i = 0; i < kOperations; ++i) {
        if (round > 0) start(i);
        complete(i);
      }
      while (done() < kOperations) loop->run_once();
    }
  }
  void complete(unsigned i) {
    if (!operations[i].done) REQUIRE(write(writers[i].get(), "x", 1) == 1);
  }
  unsigned done() const {
    unsigned count = 0;
    for (const ReadOp& each : operations) count += each.done;
    return count;
  }
};

}  // namespace

TEST_CASE("a gathering loop delivers every completion", "[loop][gather]") {
  if (!uring_available()) return;
  Rig rig;
  for (unsigned i = 0; i < kOperations; ++i) {
    rig.complete(i);
    while (rig.done() <= i) rig.loop->run_once();
    CHECK(rig.operations[i].result == 1);
  }
  rig.loop->run_once(0);
  CHECK(rig.handler.begun == rig.handler.ended);
  CHECK(rig.handler.begun > 0);
}

TEST_CASE("a gathering loop sees what arrives without a notification", "[loop][gather]") {
  if (!uring_available()) return;
  Rig rig;
  rig.loop->run_once(0);
  rig.handler.work = 1;
  while (rig.handler.found == 0) rig.loop->run_once();
  CHECK(rig.done() == 0);
}

TEST_CASE("a gathering loop hears other threads", "[loop][gather]") {
  if (!uring_available()) return;
  Rig rig;
  for (int round = 0; round < 200; ++round) {
    std::atomic<bool> called{false};
    std::thread poster([&] { rig.loop->post([&] { called = true; }); });
    while (!called) rig.loop->run_once();
    poster.join();
  }
  CHECK(rig.done() == 0);
}

TEST_CASE("timers come while operations stay in flight", "[loop][gather]") {
  if (!uring_available()) return;
  Rig rig;
  unsigned fired = 0;
  auto timer = rig.loop->make_timer([&] { ++fired; });
  for (unsigned i = 1; i <= 50; ++i) {
    timer->arm_in(i * 10'000);
    while (fired < i) rig.loop->run_once();
  }
  CHECK(rig.done() == 0);
}

TEST_CASE("after bursts the loop waits for the answer, not for a notification", "[loop][gather]") {
  if (!uring_available()) return;
  Rig rig;
  rig.bursts(2);
  rig.handler.work = 1;
  while (rig.handler.found == 0) rig.loop->run_once();
  rig.loop->run_once(0);  // does not sleep, so it ends to poll
  CHECK(rig.handler.begun == rig.handler.ended);
}

TEST_CASE("between sleeps a loop that is never idle still looks for requests", "[loop][gather]") {
  if (!uring_available()) return;
  Rig rig;
  rig.bursts(2);
  rig.handler.work = 8;
  while (rig.handler.found == 0) rig.loop->run_once();
  REQUIRE(rig.handler.begun == rig.handler.ended + 1);  // polling goes on
  EventNotifier busy;
  rig.loop->attach(busy, [&] { busy.set(); });
  busy.set();
  const bool stays = GENERATE(true, false);
  if (!stays) rig.loop->set_poll_max_ns(0);
  const unsigned looks = rig.handler.looks, polls = rig.handler.polls;
  rig.handler.work = 1;
  for (int round = 0; round < 8; ++round) rig.loop->run_once();
  CHECK(rig.handler.looks > looks);
  if (stays) {
    CHECK(rig.handler.polls > polls);
    CHECK(rig.handler.work == 0);
  }
  CHECK(rig.handler.begun == rig.handler.ended + stays);
  rig.loop->detach(busy);
  rig.loop->set_poll_max_ns(32'000);
}

TEST_CASE("a late answer to a burst gathers when its first request has come", "[loop][gather]") {
  if (!uring_available()) return;
  Rig rig;
  rig.bursts(2);
  const unsigned before = rig.handler.polls;
  rig.loop->run_once(1'000'000);
  CHECK(rig.handler.polls > before);
  rig.start(0);
  rig.handler.work = 1;
  while (rig.handler.found == 0) rig.loop->run_once();
  CHECK_FALSE(rig.operations[0].done);
}

TEST_CASE("after many short sleeps the loop tries to gather", "[loop][gather]") {
  if (!uring_available()) return;
  auto loop = *EventLoop::create("test", WaitKind::kUring);
  Handler handler;
  loop->set_poll_max_ns(1);  // so that it does not poll
  loop->add_poll_handler(handler);
  const auto sleep_shortly = [&] { loop->run_once(50'000); };
  const bool burst = GENERATE(false, true);
  handler.work = burst ? 8 : 0;
  unsigned sleeps = 0;
  for (; handler.begun == 0 && sleeps < 100'000; ++sleeps) sleep_shortly();
  CHECK(sleeps >= 4);
  REQUIRE(handler.begun == 1);
  if (burst) {
    for (unsigned round = 2; round < 10; ++round) {
      handler.work = 8;
      sleep_shortly();
      CHECK(handler.found == round);
    }
    handler.work = 1;
    sleep_shortly();
  }
  const unsigned before = handler.begun;
  for (unsigned i = 0; i < 60; ++i) sleep_shortly();
  CHECK(handler.begun <= before + 4);  // each after twice as many as the one before
  loop->remove_poll_handler(handler);
}

TEST_CASE("handlers hear of each sleep, and of no other wait", "[loop][gather]") {
  if (!uring_available()) return;
  const int64_t poll_max_ns = GENERATE(0, 32'000);
  Rig rig;
  rig.loop->set_poll_max_ns(poll_max_ns);
  rig.loop->run_once(0);
  CHECK(rig.handler.sleeps == 0);
  CHECK(rig.handler.looks >= 1);
  rig.loop->run_once(1'000'000);
  CHECK(rig.handler.sleeps >= 1);
  const unsigned before = rig.handler.sleeps;
  rig.loop->post([] {});
  rig.loop->run_once();
  CHECK(rig.handler.sleeps == before);
}

namespace {

// A thread that sleeps on a futex until it is woken.
class Sleeper {
 public:
  Sleeper() {
    while (thread_id_.load() == 0) std::this_thread::yield();
    while (state() != 'S') std::this_thread::yield();
    word.store(2);  // and none of its own accord
  }
  ~Sleeper() { thread_.join(); }

  std::atomic<uint32_t> word{1};

 private:
  char state() const {
    std::ifstream stat(fmt::format("/proc/self/task/{}/stat", thread_id_.load()));
    std::string text;
    std::getline(stat, text);
    return text.substr(text.rfind(')') + 2)[0];
  }

  std::atomic<int> thread_id_{0};
  std::thread thread_{[this] {
    thread_id_ = gettid();
    while (word.load() != 2) futex_wait(word, 1);
  }};
};

}  // namespace

TEST_CASE("who is woken before a wait wakes", "[loop][gather]") {
  const WaitKind kind = GENERATE(WaitKind::kAuto, WaitKind::kEpoll);
  const int64_t poll_max_ns = GENERATE(0, 32'000);
  const int64_t timeout_ns = GENERATE(0, 1'000'000);
  auto loop = *EventLoop::create("test", kind);
  Handler handler;
  handler.wake_before =
      timeout_ns > 0 ? GENERATE(Handler::Next::kLook, Handler::Next::kSleep) : Handler::Next::kLook;
  loop->set_poll_max_ns(poll_max_ns);
  loop->add_poll_handler(handler);
  for (unsigned round = 0; round < 20; ++round) {
    Sleeper sleeper;  // its end waits for the wake-up
    handler.sleeper = &sleeper.word;
    loop->run_once(timeout_ns);
    CHECK_FALSE(handler.sleeper);
  }
  loop->remove_poll_handler(handler);
}

TEST_CASE("who is woken before a sleep that gathers wakes", "[loop][gather]") {
  if (!uring_available()) return;
  Rig rig;  // with operations in flight
  rig.handler.wake_before = Handler::Next::kGather;
  for (unsigned round = 0; round < 20; ++round) {
    Sleeper sleeper;
    rig.handler.sleeper = &sleeper.word;
    while (rig.handler.sleeper) rig.loop->run_once(1'000'000);
  }
}
