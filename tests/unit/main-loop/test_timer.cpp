// Timers and the queue behind them.
#include <ctime>
#include <map>
#include <random>
#include <vector>

#include "main-loop/timer_queue.h"
#include "tests/unit/main-loop/loop_test.h"

using namespace hv;

namespace {

int64_t now_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

}  // namespace

TEMPLATE_TEST_CASE("timers fire in the order of their deadlines, equal ones as armed",
                   "[loop][timer]", OnUring, OnEpoll) {
  auto loop = make_loop<TestType>();
  std::vector<int> order;
  const auto note = [&](int id) { return [&order, id] { order.push_back(id); }; };
  auto a = loop->make_timer(note(1)), b = loop->make_timer(note(2)), c = loop->make_timer(note(3)),
       d = loop->make_timer(note(4));
  const int64_t soon = now_ns() + 1'000'000;
  c->arm_at(soon + 2'000'000);
  b->arm_at(soon);
  a->arm_at(soon - 5'000'000);
  d->arm_at(soon);
  while (order.size() < 4) loop->run_once(-1);
  CHECK(order == std::vector{1, 2, 4, 3});
  CHECK_FALSE(a->armed());
}

TEMPLATE_TEST_CASE("a timer is never early", "[loop][timer]", OnUring, OnEpoll) {
  auto loop = make_loop<TestType>();
  int64_t deadline = 0, fired = 0;
  auto timer = loop->make_timer([&] { fired = now_ns(); });
  for (int i = 0; i < 50; i++) {
    deadline = now_ns() + 37'000 * i;
    fired = 0;
    timer->arm_at(deadline);
    while (fired == 0) loop->run_once(-1);
    REQUIRE(fired >= deadline);
  }
}

TEMPLATE_TEST_CASE("cancel and re-arm replace the deadline", "[loop][timer]", OnUring, OnEpoll) {
  auto loop = make_loop<TestType>();
  int calls = 0;
  auto timer = loop->make_timer([&] { calls++; });
  timer->arm_in(0);
  CHECK(timer->armed());
  timer->cancel();
  timer->cancel();
  CHECK_FALSE(loop->run_once(0));
  timer->arm_in(0);
  timer->arm_in(3'600'000'000'000);
  CHECK_FALSE(loop->run_once(0));
  timer->arm_in(INT64_MAX);
  CHECK_FALSE(loop->run_once(0));
  timer->arm_in(1000);
  CHECK(loop->run_once(-1));
  CHECK(calls == 1);
  CHECK_FALSE(loop->run_once(0));
}

TEMPLATE_TEST_CASE("a timer that arms itself anew does not starve the loop", "[loop][timer]",
                   OnUring, OnEpoll) {
  auto loop = make_loop<TestType>();
  int ticks = 0;
  bool posted = false;
  std::unique_ptr<Timer> timer = loop->make_timer([&] {
    ticks++;
    timer->arm_in(0);
  });
  timer->arm_in(0);
  loop->run_once(-1);
  CHECK(ticks == 1);
  loop->post([&] { posted = true; });
  loop->run_once(-1);
  CHECK(posted);
  CHECK(ticks == 2);
}

TEMPLATE_TEST_CASE("a timer's callback may destroy timers", "[loop][timer]", OnUring, OnEpoll) {
  auto loop = make_loop<TestType>();
  std::unique_ptr<Timer> self, other;
  int calls = 0;
  self = loop->make_timer([&, canary = std::vector{42}] {
    calls++;
    self.reset();
    other.reset();
    CHECK(canary == std::vector{42});
  });
  other = loop->make_timer([&] { calls += 100; });
  self->arm_in(-1);
  other->arm_in(0);
  loop->run_once(-1);
  CHECK_FALSE(loop->run_once(0));
  CHECK(calls == 1);
}

TEMPLATE_TEST_CASE("run_once gives up after its timeout", "[loop][timer]", OnUring, OnEpoll) {
  auto loop = make_loop<TestType>();
  const int64_t start = now_ns();
  unsigned rounds = 0;
  do {
    CHECK_FALSE(loop->run_once(3'000'000));
    ++rounds;
  } while (now_ns() - start < 3'000'000);
  // A signal, or the end of another test's io_uring, may end a wait early.
  CHECK(rounds < 5);
}

TEST_CASE("the timer queue agrees with a sorted multimap", "[timer]") {
  std::mt19937 random(7);
  TimerQueue queue;
  std::vector<TimerRecord> records(200);
  std::multimap<int64_t, TimerRecord*> model;
  const auto forget = [&](TimerRecord& record) {
    std::erase_if(model, [&](const auto& entry) { return entry.second == &record; });
  };
  for (int step = 0; step < 20'000; step++) {
    TimerRecord& record = records[random() % records.size()];
    switch (random() % 4) {
      case 0:
      case 1: {
        const int64_t deadline = random() % 1000;
        forget(record);
        model.emplace(deadline, &record);  // after its equals, as multimap promises
        queue.arm(record, deadline);
        break;
      }
      case 2:
        forget(record);
        queue.cancel(record);
        break;
      default:
        if (model.empty()) break;
        REQUIRE(queue.next_deadline_ns() == model.begin()->first);
        REQUIRE(queue.pop_due(INT64_MAX, UINT64_MAX) == model.begin()->second);
        model.erase(model.begin());
    }
    REQUIRE(queue.empty() == model.empty());
  }
}
