/* Gestures from an accelerometer: each new sample goes into a ring, and every STEP samples the model looks at the last
 * 1.28 seconds.
 */
#include <string.h>

#include "gesture.h"
#include "port.h"
#include "sensor.h"
#include "serve.h"
#include "show.h"

enum { AXES = 3, WINDOW = GESTURE_INPUT0_BYTES / AXES, STEP = 32 };

static const char *const names[GESTURE_OUTPUT0_ELEMENTS] = {"rest", "circle", "shake", "lift"};

static uint8_t arena[GESTURE_ARENA_SIZE] __attribute__((aligned(GESTURE_ARENA_ALIGN)));
static gesture_ctx_t model;
static int8_t ring[WINDOW][AXES];
static size_t next, seen; /* where the next sample goes; how many there have been, WINDOW at most */

/* The ring's samples, the oldest first, as the model's input. */
static void fill_input(void)
{
  int8_t(*const input)[AXES] = gesture_input(&model, 0);
  const size_t older = WINDOW - next;

  memcpy(&input[0], &ring[next], older * AXES);
  memcpy(&input[older], &ring[0], next * AXES);
}

int tc_app_start(void)
{
  return (int)gesture_init(&model, arena, sizeof arena);
}

int tc_app_step(void)
{
  uint8_t sample[AXES];

  if (tc_serve(&model) == TC_TALKING) {
    return 1; /* the PC is using the model */
  }
  if (!sensor_read(sample, sizeof sample)) {
    return 0;
  }
  for (size_t axis = 0; axis < AXES; axis++) {
    ring[next][axis] = (int8_t)(sample[axis] - 128);
  }
  next = (next + 1) % WINDOW;
  seen += seen < WINDOW;
  if (seen == WINDOW && next % STEP == 0) {
    fill_input();
    if (gesture_invoke(&model) == GESTURE_OK) {
      const int8_t *const scores = gesture_output(&model, 0);
      show_result(scores, GESTURE_OUTPUT0_ELEMENTS, names[best_of(scores, GESTURE_OUTPUT0_ELEMENTS)]);
    }
  }
  return 1;
}
