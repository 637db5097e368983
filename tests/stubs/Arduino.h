#pragma once
#include <cstddef>
#include <cstdint>

#include "host_io.h"

struct FakeSerial {
  int next = -1;
  void begin(unsigned long) {}
  size_t setRxBufferSize(size_t size) { return size; }
  explicit operator bool() const { return true; }
  int available()
  {
    if (next < 0) {
      next = host_get(0);
    }
    return next < 0 ? 0 : 1;
  }
  int read()
  {
    const int byte = next;
    next = -1;
    return byte;
  }
  size_t write(const uint8_t *data, size_t size)
  {
    host_put(data, size);
    return size;
  }
};
inline FakeSerial Serial;

inline void yield() {}
inline unsigned long micros() { return static_cast<unsigned long>(host_microseconds()); }
inline unsigned long millis() { return micros() / 1000; }

void setup();
void loop();
