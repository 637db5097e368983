/* Words from a microphone: each frame of 32 ms becomes a row of levels, which two instances of the model take as it
 * comes. Their windows of a second overlap by half, so that a word cut in two by one is whole in the other. Neither the
 * sound nor the window is ever held.
 */
#include "bands.h"
#include "keywords.h"
#include "port.h"
#include "sensor.h"
#include "serve.h"
#include "show.h"

enum { INSTANCES = 2, HALF = KEYWORDS_INPUT0_ROWS / INSTANCES };

static const char *const names[KEYWORDS_OUTPUT0_ELEMENTS] = {"nothing", "go", "stop", "left", "right"};

static uint8_t arenas[INSTANCES][KEYWORDS_ARENA_SIZE] __attribute__((aligned(KEYWORDS_ARENA_ALIGN)));
static keywords_ctx_t models[INSTANCES];
static size_t rows; /* that have come */

/* One row into every instance whose first window has begun. */
static void push(const int8_t *row)
{
  for (size_t i = 0; i < INSTANCES; i++) {
    if (rows >= i * HALF && keywords_push_row(&models[i], row) == KEYWORDS_OK) {
      const int8_t *const scores = keywords_output(&models[i], 0);
      show_result(scores, KEYWORDS_OUTPUT0_ELEMENTS, names[best_of(scores, KEYWORDS_OUTPUT0_ELEMENTS)]);
    }
  }
  rows++;
}

int tc_app_start(void)
{
  keywords_status_t status = KEYWORDS_OK;

  for (size_t i = 0; i < INSTANCES && status == KEYWORDS_OK; i++) {
    status = keywords_init(&models[i], arenas[i], sizeof arenas[i]);
  }
  return (int)status;
}

int tc_app_step(void)
{
  static int16_t samples[BANDS_FRAME];
  uint8_t levels[BANDS];
  int8_t row[BANDS];

  if (tc_serve(&models[0]) == TC_TALKING) {
    return 1; /* the PC is using the model */
  }
  if (!sensor_read(samples, sizeof samples)) {
    return 0;
  }
  bands_of(samples, levels);
  for (size_t i = 0; i < BANDS; i++) {
    row[i] = (int8_t)(levels[i] - 128);
  }
  push(row);
  return 1;
}
