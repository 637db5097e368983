#pragma once
#include <chrono>

#include "host_io.h"

enum PinName { CONSOLE_TX = 1, CONSOLE_RX };

inline uint32_t us_ticker_read() { return static_cast<uint32_t>(host_microseconds()); }

namespace rtos {
namespace ThisThread {
inline void sleep_for(std::chrono::milliseconds) {}
}
}
namespace mbed {
struct BufferedSerial {
  BufferedSerial(PinName, PinName, int) {}
  void set_blocking(bool) {}
  ssize_t read(void *data, size_t size)
  {
    size_t count = 0;
    for (int byte; count < size && (byte = host_get(0)) >= 0; count++) {
      static_cast<uint8_t *>(data)[count] = static_cast<uint8_t>(byte);
    }
    return count > 0 ? static_cast<ssize_t>(count) : -11;
  }
  ssize_t write(const void *data, size_t size)
  {
    const size_t some = size > 64 ? 64 : size; /* as a full buffer would */
    host_put(data, some);
    return static_cast<ssize_t>(some);
  }
};
}
