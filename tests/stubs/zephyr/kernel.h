#pragma once
#include <zephyr/drivers/uart.h>

#define CONFIG_MAIN_STACK_SIZE 4096

typedef int k_timeout_t;
typedef void *k_tid_t;
struct k_msgq {
  uint8_t bytes[1024];
  unsigned put, got;
};
#define K_MSGQ_DEFINE(name, size, count, align) static struct k_msgq name
#define K_MSEC(ms) ((k_timeout_t)(ms))
#define K_NO_WAIT ((k_timeout_t)0)

static inline int k_msgq_put(struct k_msgq *queue, const void *data, k_timeout_t wait)
{
  (void)wait;
  queue->bytes[queue->put++ % 1024] = *(const uint8_t *)data;
  return 0;
}
static inline int k_msgq_get(struct k_msgq *queue, void *data, k_timeout_t wait)
{
  if (queue->put == queue->got && stub_enabled) {
    stub_byte = host_get(wait);
    if (stub_byte >= 0) {
      stub_callback(&stub_zephyr_console, NULL);
    }
  }
  if (queue->put == queue->got) {
    return -11;
  }
  *(uint8_t *)data = queue->bytes[queue->got++ % 1024];
  return 0;
}
static inline uint32_t k_cycle_get_32(void) { return (uint32_t)host_microseconds(); }
static inline int sys_clock_hw_cycles_per_sec(void) { return 1000000; }
static inline k_tid_t k_current_get(void) { return NULL; }
static inline int k_thread_stack_space_get(k_tid_t thread, size_t *unused)
{
  *unused = thread == NULL ? 3000 : 0;
  return 0;
}
