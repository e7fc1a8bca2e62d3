// Integer programs.
#include <stdlib.h>
#include <string.h>

#include "compute.h"

// --- lists, small matrices, a state machine over text, and a CRC of it all
struct Node {
  struct Node* next;
  int32_t key, value;
};

static struct Node* merge_sort(struct Node* list, unsigned length) {
  if (length < 2) {
    if (list) list->next = NULL;
    return list;
  }
  struct Node* middle = list;
  for (unsigned i = 0; i < length / 2; ++i) middle = middle->next;
  struct Node* b = merge_sort(middle, length - length / 2);
  struct Node* a = merge_sort(list, length / 2);
  struct Node head, *tail = &head;
  while (a && b) {
    struct Node** least = a->key <= b->key ? &a : &b;
    tail = tail->next = *least;
    *least = (*least)->next;
  }
  tail->next = a ? a : b;
  return head.next;
}

static uint32_t crc_step(uint32_t crc, uint32_t value) {
  for (unsigned bit = 0; bit < 16; ++bit) {
    const uint32_t carry = (crc ^ value) & 1;
    crc >>= 1;
    value >>= 1;
    if (carry) crc ^= 0xa001;
  }
  return crc;
}

static unsigned classify(const char* text) {
  enum { kStart, kInteger, kFraction, kExponent, kName, kBad } state = kStart;
  for (; *text; ++text) {
    const char c = *text;
    const int digit = c >= '0' && c <= '9';
    switch (state) {
      case kStart:
        state = digit || c == '-' ? kInteger : c >= 'a' ? kName : kBad;
        break;
      case kInteger:
        state = digit ? kInteger : c == '.' ? kFraction : c == 'e' ? kExponent : kBad;
        break;
      case kFraction:
        state = digit ? kFraction : c == 'e' ? kExponent : kBad;
        break;
      case kExponent:
        state = digit || c == '-' ? kExponent : kBad;
        break;
      case kName:
        state = c >= 'a' || digit ? kName : kBad;
        break;
      case kBad:
        return kBad;
    }
  }
  return state;
}

uint64_t run_integer_mix(void) {
  enum { kNodes = 400, kSide = 12 };
  static struct Node nodes[kNodes];
  static int16_t a[kSide][kSide], b[kSide][kSide];
  static const char* const kTexts[] = {"123", "-4.5e-7", "name7", "1.2.3", "9e", "&", "0.125"};
  uint64_t state = 1;
  uint32_t crc = 0;
  for (unsigned round = 0; round < 4800; ++round) {
    for (unsigned i = 0; i < kNodes; ++i)
      nodes[i] = (struct Node){i + 1 < kNodes ? &nodes[i + 1] : NULL,
                               (int32_t)(next_random(&state) & 0xffff), (int32_t)i};
    for (struct Node* node = merge_sort(nodes, kNodes); node; node = node->next)
      if (node->key & 8) crc = crc_step(crc, (uint32_t)node->value);
    for (unsigned i = 0; i < kSide; ++i)
      for (unsigned j = 0; j < kSide; ++j) {
        a[i][j] = (int16_t)(i * round + j);
        b[i][j] = (int16_t)(i ^ (j + crc));
      }
    for (unsigned i = 0; i < kSide; ++i)
      for (unsigned j = 0; j < kSide; ++j) {
        int32_t sum = 0;
        for (unsigned k = 0; k < kSide; ++k) sum += a[i][k] * b[k][j];
        if (sum > 0) crc = crc_step(crc, (uint32_t)sum & 0xffff);
      }
    for (unsigned i = 0; i < sizeof(kTexts) / sizeof(kTexts[0]); ++i)
      crc = crc_step(crc, classify(kTexts[i]));
  }
  return crc;
}

// --- records that are copied, compared and passed about
struct Record {
  struct Record* other;
  int kind, number;
  char text[32];
};

__attribute__((noinline)) static int same_kind(const struct Record* a, const struct Record* b) {
  return a->kind == b->kind && strcmp(a->text, b->text) > 0;
}

__attribute__((noinline)) static void exchange(struct Record* to, const struct Record* from) {
  struct Record* other = to->other;
  *to = *from;
  to->other = other;
  to->number += other->number;
}

uint64_t run_records(void) {
  static struct Record records[16];
  for (int i = 0; i < 16; ++i) {
    records[i] =
        (struct Record){&records[(i * 5 + 1) % 16], i % 3, i, "some record's text, number "};
    records[i].text[27] = (char)('a' + i);
  }
  uint64_t hash = 0;
  for (unsigned round = 0; round < 6000000; ++round) {
    struct Record* record = &records[round % 16];
    if (same_kind(record, record->other)) {
      exchange(record, record->other);
    } else {
      record->kind = (record->kind + record->number / 7) % 3;
      record->text[round % 27] = (char)('a' + (record->number & 15));
    }
    hash += (uint64_t)record->number;
  }
  return hash;
}

// --- SHA-256 (FIPS 180-4) of a growing chain of blocks; the constants are computed as it defines
static uint32_t k[64], h0[8];

static uint32_t fraction_of_root(unsigned prime, unsigned root) {
  // 32 bits behind the point of the square or cube root, by bisection in integers.
  unsigned __int128 low = 0, high = (unsigned __int128)32 << 32;
  while (high - low > 1) {
    const unsigned __int128 middle = (low + high) / 2;
    const int below = root == 2 ? middle * middle <= (unsigned __int128)prime << 64
                                : middle * middle * middle <= (unsigned __int128)prime << 96;
    if (below) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return (uint32_t)low;
}

static void prepare_constants(void) {
  unsigned count = 0;
  for (unsigned n = 2; count < 64; ++n) {
    int prime = 1;
    for (unsigned d = 2; d * d <= n; ++d) prime = prime && n % d != 0;
    if (!prime) continue;
    if (count < 8) h0[count] = fraction_of_root(n, 2);
    k[count++] = fraction_of_root(n, 3);
  }
}

static uint32_t rotate(uint32_t x, unsigned by) {
  return x >> by | x << (32 - by);
}

static void compress(uint32_t state[8], const uint32_t block[16]) {
  uint32_t w[64], s[8];
  memcpy(w, block, 64);
  memcpy(s, state, 32);
  for (unsigned t = 16; t < 64; ++t) {
    const uint32_t a = w[t - 15], b = w[t - 2];
    w[t] = w[t - 16] + (rotate(a, 7) ^ rotate(a, 18) ^ a >> 3) + w[t - 7] +
           (rotate(b, 17) ^ rotate(b, 19) ^ b >> 10);
  }
  for (unsigned t = 0; t < 64; ++t) {
    const uint32_t e = s[4], a = s[0];
    const uint32_t t1 = s[7] + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) +
                        ((e & s[5]) ^ (~e & s[6])) + k[t] + w[t];
    const uint32_t t2 =
        (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & s[1]) ^ (a & s[2]) ^ (s[1] & s[2]));
    memmove(s + 1, s, 28);
    s[4] += t1;
    s[0] = t1 + t2;
  }
  for (unsigned i = 0; i < 8; ++i) state[i] += s[i];
}

uint64_t run_sha256(void) {
  prepare_constants();
  uint32_t state[8], block[16] = {0};
  memcpy(state, h0, sizeof(state));
  for (uint32_t i = 0; i < 80000; ++i) {
    block[0] = i;
    memcpy(block + 8, state, 32);
    compress(state, block);
  }
  return (uint64_t)state[0] << 32 | state[7];
}

// --- an interpreter with a switch, running a program with data-dependent branches
enum Code { kPush, kAdd, kSub, kMul, kXor, kDup, kSwap, kJumpIfOdd, kJump, kStore, kLoad, kCodes };

uint64_t run_bytecode(void) {
  static uint8_t program[512];
  static uint64_t memory[64];
  uint64_t state = 7, stack[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  for (unsigned i = 0; i < 512; ++i) program[i] = (uint8_t)(next_random(&state) >> 20);
  unsigned top = 0;
  uint64_t pc = 0;
  for (unsigned i = 0; i < 24000000; ++i) {
    const uint8_t byte = program[pc++ & 511];
    uint64_t* const a = &stack[top & 7];
    uint64_t* const b = &stack[(top - 1) & 7];
    switch ((enum Code)(byte % kCodes)) {
      case kPush:
        stack[++top & 7] = byte + i;
        break;
      case kAdd:
        *b += *a;
        --top;
        break;
      case kSub:
        *b -= *a;
        --top;
        break;
      case kMul:
        *b = *b * (*a | 1) + 1;
        break;
      case kXor:
        *b ^= *a >> 3;
        break;
      case kDup:
        stack[++top & 7] = *a;
        break;
      case kSwap: {
        const uint64_t t = *a;
        *a = *b;
        *b = t;
        break;
      }
      case kJumpIfOdd:
        if (*a & 1) pc += byte;
        *a = *a / 2 + i;
        break;
      case kJump:
        pc += byte & 15;
        break;
      case kStore:
        memory[*a & 63] = *b;
        break;
      case kLoad:
        *a ^= memory[*b & 63];
        break;
      case kCodes:
        break;
    }
  }
  uint64_t hash = pc;
  for (unsigned i = 0; i < 8; ++i) hash = mix(hash, stack[i]);
  return hash;
}

// --- calls through pointers, in an order that is not known beforehand
#define FUNCTION(n)                                                    \
  __attribute__((noinline)) static uint64_t function_##n(uint64_t x) { \
    return x * (2 * n + 3) + n;                                        \
  }
FUNCTION(0)
FUNCTION(1)
FUNCTION(2)
FUNCTION(3)
FUNCTION(4)
FUNCTION(5)
FUNCTION(6)
FUNCTION(7)

uint64_t run_indirect_calls(void) {
  static uint64_t (*const functions[])(uint64_t) = {function_0, function_1, function_2, function_3,
                                                    function_4, function_5, function_6, function_7};
  uint64_t x = 1;
  for (unsigned i = 0; i < 40000000; ++i) x = functions[x >> 40 & 7](x);
  return x;
}
