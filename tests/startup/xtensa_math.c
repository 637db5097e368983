/* What Debian's libgcc for Xtensa LX106 lacks: a product of 64-bit numbers, from products of 16-bit halves. */
#include <stdint.h>

uint64_t __muldi3(uint64_t a, uint64_t b);
uint64_t __muldi3(uint64_t a, uint64_t b)
{
  const uint32_t x = (uint32_t)a, y = (uint32_t)b;
  const uint32_t x0 = x & 0xFFFF, x1 = x >> 16, y0 = y & 0xFFFF, y1 = y >> 16;
  const uint32_t low = x0 * y0, middle = x1 * y0 + (low >> 16), other = (middle & 0xFFFF) + x0 * y1;
  const uint32_t high = x1 * y1 + (middle >> 16) + (other >> 16) + (uint32_t)(a >> 32) * y + x * (uint32_t)(b >> 32);

  return (uint64_t)high << 32 | (uint64_t)(other << 16 | (low & 0xFFFF));
}
