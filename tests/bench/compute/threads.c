// Threads that contend for one word and for one mutex.
#include <pthread.h>

#include "compute.h"

enum { kAdditions = 48000000, kLocks = 9000000 };
static uint64_t counter, guarded;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static unsigned share;

static void* add(void* unused) {
  (void)unused;
  for (unsigned i = 0; i < share; ++i) {
    __atomic_fetch_add(&counter, 1, __ATOMIC_SEQ_CST);
    if (i % 4 == 0) {
      uint64_t seen = __atomic_load_n(&counter, __ATOMIC_RELAXED);
      while (!__atomic_compare_exchange_n(&counter, &seen, seen + 2, 1, __ATOMIC_ACQ_REL,
                                          __ATOMIC_RELAXED)) {
      }
    }
  }
  return 0;
}

static void* lock(void* unused) {
  (void)unused;
  for (unsigned i = 0; i < share; ++i) {
    pthread_mutex_lock(&mutex);
    guarded = guarded * 3 + 1;
    pthread_mutex_unlock(&mutex);
  }
  return 0;
}

// The same work whatever the number of threads.
static void in_threads(unsigned count, unsigned work, void* (*function)(void*)) {
  pthread_t threads[4];
  share = work / count;
  for (unsigned i = 0; i < count; ++i) pthread_create(&threads[i], 0, function, 0);
  for (unsigned i = 0; i < count; ++i) pthread_join(threads[i], 0);
}

static uint64_t atomics(unsigned count) {
  in_threads(count, kAdditions, add);
  return counter;
}
static uint64_t mutexes(unsigned count) {
  in_threads(count, kLocks, lock);
  return guarded;
}
uint64_t run_atomics_1(void) {
  return atomics(1);
}
uint64_t run_atomics_2(void) {
  return atomics(2);
}
uint64_t run_atomics_4(void) {
  return atomics(4);
}
uint64_t run_mutex_1(void) {
  return mutexes(1);
}
uint64_t run_mutex_2(void) {
  return mutexes(2);
}
uint64_t run_mutex_4(void) {
  return mutexes(4);
}
