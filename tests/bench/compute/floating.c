// Floating-point programs.
#include <math.h>
#include <string.h>

#include "compute.h"

static uint64_t bits_of(double value) {
  uint64_t bits;
  memcpy(&bits, &value, sizeof(bits));
  return bits;
}

// One product of 512 x 512 doubles; blocked by rows, so that memory is not what counts.
enum { kSide = 512 };
static double a[kSide][kSide], b[kSide][kSide], c[kSide][kSide];

uint64_t run_matrix(void) {
  uint64_t state = 3;
  for (int i = 0; i < kSide; ++i)
    for (int j = 0; j < kSide; ++j) {
      a[i][j] = (double)(next_random(&state) >> 40) / 65536;
      b[i][j] = (double)(next_random(&state) >> 40) / 65536;
    }
  for (int i = 0; i < kSide; ++i)
    for (int k = 0; k < kSide; ++k) {
      const double factor = a[i][k];
      for (int j = 0; j < kSide; ++j) c[i][j] += factor * b[k][j];
    }
  uint64_t hash = 0;
  for (int i = 0; i < kSide; ++i) hash = mix(hash, bits_of(c[i][(i * 7) % kSide]));
  return hash;
}

// Five bodies under gravity, in units that keep them together.
struct Body {
  double x[3], v[3], mass;
};

uint64_t run_bodies(void) {
  struct Body bodies[5];
  for (int i = 0; i < 5; ++i)
    bodies[i] = (struct Body){{i * 1.5, i * 0.75 - 1, 0.25 * i * i},
                              {0.1 * i - 0.2, 0.3 - 0.15 * i, 0.05},
                              i == 0 ? 40 : 0.01 * i};
  const double step = 0.001;
  for (unsigned round = 0; round < 450000; ++round) {
    for (int i = 0; i < 5; ++i)
      for (int j = i + 1; j < 5; ++j) {
        double d[3], square = 0.01;
        for (int k = 0; k < 3; ++k) {
          d[k] = bodies[i].x[k] - bodies[j].x[k];
          square += d[k] * d[k];
        }
        const double pull = step / (square * sqrt(square));
        for (int k = 0; k < 3; ++k) {
          bodies[i].v[k] -= d[k] * bodies[j].mass * pull;
          bodies[j].v[k] += d[k] * bodies[i].mass * pull;
        }
      }
    for (int i = 0; i < 5; ++i)
      for (int k = 0; k < 3; ++k) bodies[i].x[k] += step * bodies[i].v[k];
  }
  uint64_t hash = 0;
  for (int i = 0; i < 5; ++i)
    for (int k = 0; k < 3; ++k) hash = mix(hash, bits_of(bodies[i].x[k]));
  return hash;
}
