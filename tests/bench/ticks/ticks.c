// Timer interrupts of busy harts, counted by the kernel that takes them.
//
// ticks SECONDS: one busy hart, then all of them busy with a 1000 Hz timer each. Prints
//   busy N of M
//     timer interrupts that the last hart took, and the scheduler's ticks (250 Hz) that were due
//   timer HART N of M, W wake-ups, L merged
//     expirations read, those due by the clock, reads, and reads of more than one expiration
//   timers exact | timers LOST
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { kMaxHarts = 64, kTickHz = 250, kTimerHz = 1000 };
static const int64_t kSecond = 1000000000, kPeriod = 1000000000 / kTimerHz;

static int64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * kSecond + now.tv_nsec;
}

static void run_on(int hart) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(hart, &set);
  if (sched_setaffinity(0, sizeof(set), &set) != 0) exit(2);
}

// Timer interrupts that the hart has taken, from its column of /proc/interrupts.
static uint64_t timer_interrupts(int hart) {
  FILE* file = fopen("/proc/interrupts", "r");
  char line[4096];
  uint64_t count = 0;
  while (file && fgets(line, sizeof(line), file)) {
    if (!strstr(line, "riscv-timer")) continue;
    char* field = strchr(line, ':') + 1;
    for (int column = 0; column <= hart; ++column) count = strtoull(field, &field, 10);
  }
  if (file) fclose(file);
  return count;
}

static void one_busy_hart(int hart, int seconds) {
  run_on(hart);
  const uint64_t before = timer_interrupts(hart);
  const int64_t start = now_ns(), end = start + seconds * kSecond;
  while (now_ns() < end) {
  }
  const uint64_t taken = timer_interrupts(hart) - before;
  printf("busy %llu of %lld\n", (unsigned long long)taken,
         (long long)((now_ns() - start) * kTickHz / kSecond));
}

struct Timer {
  int hart, seconds;
  int64_t first;
  uint64_t expirations, due_before, due_after, wakes, merged;
};
static volatile int stop;

static void* spin(void* argument) {
  run_on(*(int*)argument);
  while (!stop) {
  }
  return NULL;
}

static uint64_t due(const struct Timer* timer, int64_t now) {
  return now < timer->first ? 0 : (uint64_t)((now - timer->first) / kPeriod) + 1;
}

static void* read_timer(void* argument) {
  struct Timer* timer = argument;
  run_on(timer->hart);
  // Ahead of the busy thread, so that what is late is the interrupt.
  const struct sched_param priority = {.sched_priority = 50};
  if (sched_setscheduler(0, SCHED_FIFO, &priority) != 0) exit(2);
  const int file = timerfd_create(CLOCK_MONOTONIC, 0);
  const struct itimerspec times = {
      .it_interval = {.tv_nsec = kPeriod},
      .it_value = {.tv_sec = timer->first / kSecond, .tv_nsec = timer->first % kSecond}};
  if (file < 0 || timerfd_settime(file, TFD_TIMER_ABSTIME, &times, NULL) != 0) exit(2);
  const uint64_t wanted = (uint64_t)timer->seconds * kTimerHz;
  while (timer->expirations < wanted) {
    uint64_t count;
    timer->due_before = due(timer, now_ns());
    if (read(file, &count, sizeof(count)) != sizeof(count)) exit(2);
    timer->expirations += count;
    timer->due_after = due(timer, now_ns());
    ++timer->wakes;
    if (count > 1) ++timer->merged;
  }
  close(file);
  return NULL;
}

int main(int argc, char** argv) {
  const int harts = (int)sysconf(_SC_NPROCESSORS_ONLN), seconds = argc > 1 ? atoi(argv[1]) : 1;
  if (harts > kMaxHarts || seconds < 1) return 2;
  one_busy_hart(harts - 1, seconds);

  static struct Timer timers[kMaxHarts];
  pthread_t spinners[kMaxHarts], readers[kMaxHarts];
  const int64_t first = now_ns() + kSecond / 2;
  for (int i = 0; i < harts; ++i) {
    timers[i] = (struct Timer){.hart = i, .seconds = seconds, .first = first};
    pthread_create(&spinners[i], NULL, spin, &timers[i].hart);
    pthread_create(&readers[i], NULL, read_timer, &timers[i]);
  }
  for (int i = 0; i < harts; ++i) pthread_join(readers[i], NULL);
  stop = 1;
  int lost = 0;
  for (int i = 0; i < harts; ++i) {
    const struct Timer* timer = &timers[i];
    pthread_join(spinners[i], NULL);
    // The clock is read after the timer, so one more may have fallen due between the two.
    const int exact = timer->expirations <= timer->due_after && timer->expirations >= timer->due_before;
    lost |= !exact;
    printf("timer %d %llu of %llu, %llu wake-ups, %llu merged\n", i,
           (unsigned long long)timer->expirations, (unsigned long long)timer->due_after,
           (unsigned long long)timer->wakes, (unsigned long long)timer->merged);
  }
  puts(lost ? "timers LOST" : "timers exact");
  return lost;
}
