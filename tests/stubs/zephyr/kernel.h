#pragma once
#include <stddef.h>
#include <stdint.h>
static inline int64_t k_uptime_get(void) { static int64_t now; return now += 12; }
static inline int32_t k_msleep(int32_t ms) { return ms - ms; }
