#pragma once
struct device {
  int unused;
};
static const struct device stub_zephyr_console;
#define DT_CHOSEN(name) stub_##name
#define DEVICE_DT_GET(node) (&node)
