#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdio>

struct FakeSerial {
  void begin(unsigned long) {}
  explicit operator bool() const { return true; }
  void print(const char *text) { std::printf("%s", text); }
  void print(int value) { std::printf("%d", value); }
  void print(long value) { std::printf("%ld", value); }
  void print(unsigned long value) { std::printf("%lu", value); }
  void print(double value, int digits = 2) { std::printf("%.*f", digits, value); }
  template <typename T> void println(T value) { print(value); std::printf("\n"); }
};
inline FakeSerial Serial;

inline void delay(unsigned long) {}
inline unsigned long millis() { return 5000; }
inline unsigned long micros() { static unsigned long now; return now += 1234; }

void setup();
void loop();
