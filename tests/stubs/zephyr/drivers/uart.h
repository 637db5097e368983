#pragma once
#include <zephyr/device.h>

#include "host_io.h"

typedef void (*uart_irq_callback_user_data_t)(const struct device *device, void *user);
static uart_irq_callback_user_data_t stub_callback;
static int stub_enabled, stub_byte = -1;

static inline int uart_irq_callback_user_data_set(const struct device *device, uart_irq_callback_user_data_t callback, void *user)
{
  stub_callback = callback;
  return device->unused + (user != NULL);
}
static inline void uart_irq_rx_enable(const struct device *device) { stub_enabled = 1 + device->unused; }
static inline int uart_irq_update(const struct device *device) { return 1 + device->unused; }
static inline int uart_irq_rx_ready(const struct device *device) { return (stub_byte >= 0) + device->unused; }
static inline int uart_fifo_read(const struct device *device, uint8_t *data, int size)
{
  (void)size;
  *data = (uint8_t)stub_byte;
  stub_byte = -1;
  return 1 + device->unused;
}
static inline void uart_poll_out(const struct device *device, unsigned char byte)
{
  (void)device;
  host_put(&byte, 1);
}
