#include "bands.h"

enum { BLOCK = 64 };

/* 2 cos(w) of each band, 14 bits after the point: COEFFICIENTS of examples/bands.py. */
static const int32_t coefficients[BANDS] = {32610,  32414, 32117, 31698, 31134, 30399,  29463,  28294,
                                            26856,  25112, 23021, 20545, 17648, 14299,  10481,  6190,
                                            1452,   -3677, -9088, -14616, -20021, -24983, -29092, -31863};

/* A resonator's product: below 2^36. Shifts of negative numbers are arithmetic with every compiler for these cores. */
static int32_t turned(int32_t coefficient, int32_t value)
{
  return (int32_t)(((int64_t)coefficient * value) >> 14);
}

static int64_t power_of(const int16_t *block, int32_t coefficient)
{
  int32_t before = 0, now = 0;

  for (int t = 0; t < BLOCK; t++) {
    const int32_t next = (block[t] >> 3) + turned(coefficient, now) - before;
    before = now;
    now = next;
  }
  return (int64_t)now * now + (int64_t)before * before - (int64_t)turned(coefficient, now) * before;
}

/* Four times the binary logarithm, straight between powers of two; 0 below 2. */
static uint8_t logarithm(int64_t power)
{
  uint32_t bit = 0;

  if (power < 2) {
    return 0;
  }
  while (power >> (bit + 1) != 0) {
    bit++;
  }
  const uint32_t quarter = (uint32_t)(bit > 1 ? power >> (bit - 2) : power << 1) & 3u;
  const uint32_t level = 4 * bit + quarter;
  return (uint8_t)(level < 255 ? level : 255);
}

void bands_of(const int16_t samples[BANDS_FRAME], uint8_t levels[BANDS])
{
  for (int band = 0; band < BANDS; band++) {
    int64_t power = 0;
    for (int t = 0; t < BANDS_FRAME; t += BLOCK) {
      power += power_of(&samples[t], coefficients[band]);
    }
    levels[band] = logarithm(power >> 4);
  }
}
