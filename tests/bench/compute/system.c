// Programs that spend their time in the guest's kernel.
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "compute.h"

uint64_t run_syscalls(void) {
  uint64_t sum = 0;
  for (unsigned i = 0; i < 1200000; ++i) sum += syscall(SYS_getppid) > 0;
  return sum;
}

uint64_t run_page_faults(void) {
  enum { kPages = 1024, kPage = 4096 };
  uint64_t sum = 0;
  for (unsigned round = 0; round < 60; ++round) {
    volatile uint8_t* pages =
        mmap(0, kPages * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) return 0;
    madvise((void*)pages, kPages * kPage, MADV_NOHUGEPAGE);
    for (unsigned i = 0; i < kPages; ++i) sum += ++pages[i * kPage];
    munmap((void*)pages, kPages * kPage);
  }
  return sum;
}
