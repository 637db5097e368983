#pragma once
#include "FreeRTOS.h"
static inline UBaseType_t uxTaskGetStackHighWaterMark(TaskHandle_t task) { return task == NULL ? 7000 : 0; }
