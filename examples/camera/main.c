/* Signs in front of a camera: each line goes into the model as it comes, and no frame is ever held. */
#include "camera.h"
#include "port.h"
#include "sensor.h"
#include "serve.h"
#include "show.h"

static const char *const names[CAMERA_OUTPUT0_ELEMENTS] = {"nothing", "triangle", "square", "circle", "cross"};

static uint8_t arena[CAMERA_ARENA_SIZE] __attribute__((aligned(CAMERA_ARENA_ALIGN)));
static camera_ctx_t model;

int tc_app_start(void)
{
  return (int)camera_init(&model, arena, sizeof arena);
}

int tc_app_step(void)
{
  uint8_t line[CAMERA_INPUT0_ROW_BYTES];
  int8_t row[CAMERA_INPUT0_ROW_BYTES];

  if (tc_serve(&model) == TC_TALKING) {
    return 1; /* the PC is using the model */
  }
  if (!sensor_read(line, sizeof line)) {
    return 0;
  }
  for (size_t x = 0; x < sizeof line; x++) {
    row[x] = (int8_t)(line[x] - 128);
  }
  if (camera_push_row(&model, row) == CAMERA_OK) { /* on the last line of a frame */
    const int8_t *const scores = camera_output(&model, 0);
    show_result(scores, CAMERA_OUTPUT0_ELEMENTS, names[best_of(scores, CAMERA_OUTPUT0_ELEMENTS)]);
  }
  return 1;
}
