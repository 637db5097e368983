#include "sensor.h"

#include <string.h>

extern const unsigned char recording[]; /* recording.c */
extern const size_t recording_size;

static size_t position;

int sensor_read(void *data, size_t size)
{
  if (recording_size - position < size) {
    return 0;
  }
  memcpy(data, &recording[position], size);
  position += size;
  return 1;
}
