#pragma once
#include <chrono>
namespace rtos {
namespace ThisThread {
inline void sleep_for(std::chrono::milliseconds) {}
}
}
namespace mbed {
struct Timer {
  void start() {}
  void stop() {}
  std::chrono::microseconds elapsed_time() const { return std::chrono::microseconds(1234); }
};
}
