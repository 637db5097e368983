/* What a port for an unknown board leaves to its user. */
#define _POSIX_C_SOURCE 200809L
#include "host_io.h"

int board_getchar(void);
void board_putchar(char c);
uint32_t board_ticks(void);

int board_getchar(void)
{
  return host_get(0);
}

void board_putchar(char c)
{
  host_put(&c, 1);
}

uint32_t board_ticks(void)
{
  return (uint32_t)host_microseconds();
}
