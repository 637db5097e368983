/* The serial port of every stub: standard input and output. At the end of the input the program leaves with status 0. */
#pragma once
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* The next byte, -1 if none has come within the time. */
static inline int host_get(int timeout_ms)
{
  struct pollfd waiting = {0, POLLIN, 0};
  uint8_t byte;

  if (poll(&waiting, 1, timeout_ms) <= 0) {
    return -1;
  }
  if (read(0, &byte, 1) != 1) {
    exit(0);
  }
  return byte;
}

static inline void host_put(const void *data, size_t size)
{
  const char *bytes = (const char *)data;

  while (size > 0) {
    const ssize_t count = write(1, bytes, size);
    if (count <= 0) {
      exit(0);
    }
    bytes += count;
    size -= (size_t)count;
  }
}

static inline uint64_t host_microseconds(void)
{
  struct timespec now;

  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}
