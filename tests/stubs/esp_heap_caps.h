/* ESP-IDF's heap with capabilities, as far as the application uses it: the host's memory is all alike. */
#ifndef ESP_HEAP_CAPS_H
#define ESP_HEAP_CAPS_H

#include <stdint.h>
#include <stdlib.h>

#define MALLOC_CAP_SPIRAM (1 << 10)

static inline void *heap_caps_aligned_alloc(size_t alignment, size_t size, uint32_t caps)
{
  void *memory = NULL;

  return caps == MALLOC_CAP_SPIRAM && posix_memalign(&memory, alignment, size) == 0 ? memory : NULL;
}

#endif
