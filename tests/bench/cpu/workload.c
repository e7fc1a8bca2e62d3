// Guest programs for measuring an engine: no library, Linux system calls write and exit. -DWORK=n
// chooses one; each prints a checksum that must be the same on every emulator.
#include <stddef.h>
#include <stdint.h>

static long call(long number, long a, long b, long c) {
  register long a0 __asm__("a0") = a;
  register long a1 __asm__("a1") = b;
  register long a2 __asm__("a2") = c;
  register long a7 __asm__("a7") = number;
  __asm__ volatile("ecall" : "+r"(a0) : "r"(a1), "r"(a2), "r"(a7) : "memory");
  return a0;
}

void* memcpy(void* to, const void* from, size_t size) {
  char* out = to;
  for (const char* in = from; size; --size) *out++ = *in++;
  return to;
}
void* memset(void* to, int value, size_t size) {
  for (char* out = to; size; --size) *out++ = (char)value;
  return to;
}

#if WORK == 1  // records, strings, calls: the mix of Dhrystone
struct record {
  struct record* next;
  int kind, value;
  char text[32];
};
static struct record records[4];

static int compare(const char* a, const char* b) {
  while (*a && *a == *b) ++a, ++b;
  return *a - *b;
}
static void copy(char* to, const char* from) {
  while ((*to++ = *from++)) {
  }
}
static __attribute__((noinline)) int classify(int a, int b) {
  return a == b ? 1 : a < b ? 2 : 3;
}
static __attribute__((noinline)) void update(struct record* r, int i) {
  r->next->value = r->value + i;
  r->next->kind = classify(r->kind, i & 3);
  if (r->kind == 2) copy(r->next->text, "DHRYSTONE PROGRAM, SOME STRING");
}
static uint64_t work(void) {
  uint64_t sum = 0;
  for (int i = 0; i < 4; ++i) {
    records[i].next = &records[(i + 1) & 3];
    copy(records[i].text, "DHRYSTONE PROGRAM, 2'ND STRING");
  }
  for (int i = 0; i < 1000000; ++i) {
    struct record* r = &records[i & 3];
    update(r, i);
    if (compare(r->text, r->next->text) > 0) sum += (unsigned)r->value;
    sum += (unsigned)(r->kind * 3 / (i % 7 + 1));
  }
  return sum;
}
#elif WORK == 2  // table-driven CRC and a sieve: tight loops, loads and stores
static uint32_t table[256];
static uint8_t flags[1 << 16];
static uint64_t work(void) {
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t c = i;
    for (int k = 0; k < 8; ++k) c = c & 1 ? 0xedb88320u ^ c >> 1 : c >> 1;
    table[i] = c;
  }
  uint32_t crc = ~0u, count = 0;
  for (int turn = 0; turn < 100; ++turn) {
    memset(flags, 1, sizeof(flags));
    for (unsigned i = 2; i < sizeof(flags); ++i) {
      if (!flags[i]) continue;
      ++count;
      for (unsigned k = 2 * i; k < sizeof(flags); k += i) flags[k] = 0;
    }
    for (unsigned i = 0; i < sizeof(flags); ++i) crc = table[(crc ^ flags[i]) & 255] ^ crc >> 8;
  }
  return (uint64_t)count << 32 | crc;
}
#elif WORK == 3  // recursion, comparisons, pointers: sorts linked lists and arrays
static uint64_t values[1 << 14];
static uint64_t seed = 1;
static uint64_t next(void) {
  seed ^= seed << 13;
  seed ^= seed >> 7;
  seed ^= seed << 17;
  return seed;
}
static void sort(uint64_t* a, long n) {
  if (n < 2) return;
  const uint64_t pivot = a[n / 2];
  long i = 0, k = n - 1;
  for (;; ++i, --k) {
    while (a[i] < pivot) ++i;
    while (a[k] > pivot) --k;
    if (i >= k) break;
    const uint64_t swap = a[i];
    a[i] = a[k];
    a[k] = swap;
  }
  sort(a, i);
  sort(a + i, n - i);
}
static uint64_t work(void) {
  uint64_t sum = 0;
  const long n = sizeof(values) / sizeof(values[0]);
  for (int turn = 0; turn < 60; ++turn) {
    for (long i = 0; i < n; ++i) values[i] = next();
    sort(values, n);
    for (long i = 0; i < n; i += 97) sum = sum * 31 + values[i];
  }
  return sum;
}
#else  // double-precision matrix product
static double a[64][64], b[64][64], c[64][64];
static uint64_t work(void) {
  double sum = 0;
  for (int i = 0; i < 64; ++i)
    for (int k = 0; k < 64; ++k) a[i][k] = i + 0.5 * k, b[i][k] = i - 0.25 * k;
  for (int turn = 0; turn < 40; ++turn) {
    for (int i = 0; i < 64; ++i)
      for (int k = 0; k < 64; ++k) {
        double dot = 0;
        for (int j = 0; j < 64; ++j) dot += a[i][j] * b[j][k];
        c[i][k] = dot;
      }
    sum += c[turn][turn];
  }
  return (uint64_t)(int64_t)sum;
}
#endif

void _start(void) {
  uint64_t sum = work();
  char text[17];
  for (int i = 15; i >= 0; --i, sum >>= 4) text[i] = "0123456789abcdef"[sum & 15];
  text[16] = '\n';
  call(64, 1, (long)text, sizeof(text));
  call(93, 0, 0, 0);
}
