#pragma once
#include <stdint.h>
#include <stdio.h>

static inline uint32_t ITM_SendChar(uint32_t c) { return (uint32_t)putchar((int)c); }
static inline void SCB_EnableICache(void) {}
static inline void SCB_EnableDCache(void) {}
static inline void HAL_IncTick(void) {}
static inline int HAL_Init(void) { return 0; }
static inline void HAL_Delay(uint32_t ms) { (void)ms; }
static inline uint32_t HAL_GetTick(void) { static uint32_t now; return now += 12; }
