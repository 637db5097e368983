/* A board that is a process: the reference port, and the device of the link's tests. */
#define _POSIX_C_SOURCE 200809L
#include "host_io.h"

#include "port.h"

void tc_port_init(void)
{
}

int tc_port_read(void *data, size_t size, uint32_t timeout_ms)
{
  struct pollfd waiting = {0, POLLIN, 0};

  if (poll(&waiting, 1, (int)timeout_ms) <= 0) {
    return 0;
  }
  const ssize_t count = read(0, data, size);
  return count > 0 ? (int)count : -1;
}

void tc_port_write(const void *data, size_t size)
{
  host_put(data, size);
}

uint32_t tc_port_ticks(void)
{
  return (uint32_t)host_microseconds();
}

uint32_t tc_port_ticks_per_second(void)
{
  return 1000000;
}

uint32_t tc_port_stack_used(void)
{
  return TC_UNKNOWN;
}

int main(void)
{
  tc_port_init();
  const int status = tc_app_start();
  while (tc_app_step() != 0) {
  }
  return status;
}
