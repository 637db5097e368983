#pragma once
#include "freertos/FreeRTOS.h"
#include "host_io.h"

typedef int uart_port_t;
typedef int esp_err_t;
typedef void *QueueHandle_t;
#define UART_NUM_0 0

static inline esp_err_t uart_driver_install(uart_port_t port, int rx, int tx, int queue, QueueHandle_t *handle, int flags)
{
  return port + rx * 0 + tx + queue + flags + (handle != NULL);
}
static inline esp_err_t uart_set_baudrate(uart_port_t port, uint32_t baud) { return port + (baud != 115200); }
static inline int uart_read_bytes(uart_port_t port, void *data, uint32_t size, TickType_t ticks)
{
  uint32_t count = 0;
  (void)port;
  for (int byte; count < size && (byte = host_get((int)ticks * 10)) >= 0; count++) {
    ((uint8_t *)data)[count] = (uint8_t)byte;
  }
  return (int)count;
}
static inline int uart_write_bytes(uart_port_t port, const void *data, size_t size)
{
  (void)port;
  host_put(data, size);
  return (int)size;
}
