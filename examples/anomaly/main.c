/* A machine that is listened to: the levels of its vibration, averaged over half a second, go through an autoencoder
 * which has learnt sound machines alone. What does not come back as it went in is none.
 */
#include "anomaly.h"
#include "bands.h"
#include "port.h"
#include "sensor.h"
#include "serve.h"
#include "show.h"

enum { FRAMES = 16, THRESHOLD = 106 }; /* as in data.py, which says where they come from */

static uint8_t arena[ANOMALY_ARENA_SIZE] __attribute__((aligned(ANOMALY_ARENA_ALIGN)));
static anomaly_ctx_t model;
static int8_t levels[BANDS]; /* kept, since the model may write over its input */

static int32_t difference(const int8_t *out)
{
  int32_t sum = 0;

  for (size_t i = 0; i < BANDS; i++) {
    sum += (levels[i] - out[i]) * (levels[i] - out[i]);
  }
  return sum;
}

/* Average levels of the next half second. 0 when the sensor has no more. */
static int listen(void)
{
  static int16_t samples[BANDS_FRAME];
  uint8_t frame[BANDS];
  int32_t sums[BANDS] = {0};

  for (size_t k = 0; k < FRAMES; k++) {
    if (!sensor_read(samples, sizeof samples)) {
      return 0;
    }
    bands_of(samples, frame);
    for (size_t i = 0; i < BANDS; i++) {
      sums[i] += frame[i];
    }
  }
  for (size_t i = 0; i < BANDS; i++) {
    levels[i] = (int8_t)(sums[i] / FRAMES - 128);
  }
  return 1;
}

int tc_app_start(void)
{
  return (int)anomaly_init(&model, arena, sizeof arena);
}

int tc_app_step(void)
{
  if (tc_serve(&model) == TC_TALKING) {
    return 1; /* the PC is using the model */
  }
  if (!listen()) {
    return 0;
  }
  int8_t *const input = anomaly_input(&model, 0);
  for (size_t i = 0; i < BANDS; i++) {
    input[i] = levels[i];
  }
  if (anomaly_invoke(&model) == ANOMALY_OK) {
    const int32_t found = difference(anomaly_output(&model, 0));
    show_number(found, found > THRESHOLD ? "ANOMALY" : "sound");
  }
  return 1;
}
